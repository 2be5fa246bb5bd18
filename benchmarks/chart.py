"""Bars in SVG, readable on a light page and on a dark one."""

import math
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 760, 130, 90, 16, 5, 34

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-weight: 600; font-size: 13px }
.bar { fill: #9aa5b1 } .ours { fill: #2f7ed8 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .bar { fill: #6b7683 } .ours { fill: #58a6ff } }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure: a bar for each queue."""

    title: str
    bars: list[tuple[str, float, bool]]  # name, value, whether it is ours
    digits: int
    logarithmic: bool


def draw(panels: list[Panel]) -> str:
    """Return the picture."""
    pieces, y = [], 10
    for panel in panels:
        pieces.append(_panel(panel, y))
        y += TOP + len(panel.bars) * (BAR + GAP) + 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *pieces, "</svg>", ""])


def _panel(panel: Panel, top: int) -> str:
    scale = ", logarithmic" if panel.logarithmic else ""
    lines = [f'<text class="title" x="0" y="{top + 14}">{escape(panel.title)}{scale}</text>']
    for number, (name, value, ours) in enumerate(panel.bars):
        y = top + TOP - 8 + number * (BAR + GAP)
        length, kind = _length(value, panel), "ours" if ours else "bar"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{value:,.{panel.digits}f}</text>',
        ]
    return "\n".join(lines)


def _length(value: float, panel: Panel) -> float:
    values = [abs(one) for _, one, _ in panel.bars]
    full = WIDTH - LEFT - RIGHT
    if not panel.logarithmic:
        return full * abs(value) / max(values)
    least = min(values) / 2
    return full * math.log(abs(value) / least) / math.log(max(values) / least)
