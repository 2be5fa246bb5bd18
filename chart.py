"""What was done lately as bars: the figures and the geometry of templates/chart.html, which draws them."""

from collections.abc import Sequence
from dataclasses import dataclass
from queue.report import total

WIDTH, HEIGHT, WAIT_HEIGHT = 600.0, 100.0, 40.0  # units of the drawings, which stretch to their place
LEAST = 2.5  # units: one dead among a thousand done is seen
KINDS = ("done", "retried", "dead")


@dataclass(frozen=True, slots=True)
class Bar:
    """One span of time: a box (kind, y, height) for each kind that there was, and how long jobs waited."""

    x: float
    at: int  # ms, when it begins
    counts: dict[str, int]
    boxes: list[tuple[str, float, float]]
    waited: float  # ms on average
    wait_height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All bars, the present one last, with what is written beside them."""

    bars: list[Bar]
    width: float  # of a bar
    step: int  # minutes
    most: int  # jobs in the highest bar
    longest: float  # ms, the highest average wait
    total: dict[str, int]
    waited: float  # ms on average


def minutes_of(bars: int, step: int, minute: int) -> int:
    """How many minutes so many bars show: each begins at a round time, the last one is not over."""
    return (bars - 1) * step + minute % step + 1


def draw(minutes: Sequence[dict[str, int]], minute: int, step: int) -> Chart:
    """Return the chart of these minutes, of which the last is the present one."""
    sane = [{name: max(count, 0) for name, count in counts.items()} for counts in minutes]
    spans = [total(sane[start : start + step]) for start in range(0, len(sane), step)]
    most = max(sum(span.get(kind, 0) for kind in KINDS) for span in spans)
    longest = max(map(average, spans))
    pitch, first = WIDTH / len(spans), minute - len(minutes) + 1
    bars = [
        Bar(
            x=round(number * pitch, 2),
            at=(first + number * step) * 60_000,
            counts={kind: span.get(kind, 0) for kind in KINDS},
            boxes=boxes(span, most),
            waited=average(span),
            wait_height=round(average(span) / max(longest, 1) * WAIT_HEIGHT, 2),
        )
        for number, span in enumerate(spans)
    ]
    sums = total(spans)
    return Chart(bars, round(pitch * 0.72, 2), step, most, longest, sums, average(sums))


def boxes(span: dict[str, int], most: int) -> list[tuple[str, float, float]]:
    """Stack what was done from the ground up. What is few is seen all the same: the done give way to it."""
    heights = {kind: max(span[kind] / most * HEIGHT, LEAST) for kind in KINDS if span.get(kind)}
    over = max(sum(heights.values()) - HEIGHT, 0.0)
    stacked, y = [], HEIGHT
    for kind, height in heights.items():
        height -= over if height > HEIGHT / 2 else 0
        y -= height
        stacked.append((kind, round(y, 2), round(height, 2)))
    return stacked


def average(counts: dict[str, int]) -> float:
    """How many ms a job waited."""
    return counts.get("waited", 0) / max(counts.get("taken", 0), 1)
