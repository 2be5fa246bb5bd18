"""Figures to words: docs/benchmarks.md, and docs/benchmarks.svg beside it."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import chart
from benchmarks.contest import AT_A_TIME, DUE, PASSES, SINGLES, SLEEP_MS, SLEEPS, STAMPS, WARM
from benchmarks.entrants import FLOOR, OURS, PEERS, Entrant

EVERYBODY = {one.key: one for one in [FLOOR, OURS, *PEERS]}
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of the table."""

    key: str
    head: str
    title: str
    more_is_better: bool = False
    digits: int = 0


MEASURES = [
    Measure("throughput", "jobs /s", "empty jobs a second, one worker process", True),
    Measure("redis", "Redis CPU", "ms of Redis' processor time for 1,000 such jobs", digits=1),
    Measure("enqueue", "enqueue /s", "enqueued a second, one at a time", True),
    Measure("bulk", "in bulk /s", "enqueued a second, in bulk", True),
    Measure(
        "pickup50",
        "pick-up p50",
        "ms from the call of enqueue to the first line of the job, idle worker, p50",
        digits=2,
    ),
    Measure("pickup99", "p99", "the same, p99", digits=2),
    Measure("late50", "late p50", "ms that a scheduled job starts late, idle worker, p50", digits=1),
    Measure("late99", "p99", "the same, p99", digits=1),
    Measure("wide", "500 of 100 ms", "seconds for 500 jobs of 100 ms, ten at a time (ideal 5.00)", digits=2),
    Measure("bytes", "bytes a job", "bytes of Redis for a pending job with one short argument"),
    Measure("memory", "worker MB", "MB of the worker process after 20,000 jobs (RSS)"),
]
FLOORS = {
    "enqueue": "calls a second of a script that does nothing, by redis-py",
    "pickup50": "ms of a hand-over from LPUSH to BRPOP, p50",
    "pickup99": "the same, p99",
}
EARLY = 1.0  # ms: who starts jobs before their time by more has no lateness to compare

METHOD = f"""\
One machine, one Redis, one queue after the other, round after round; each figure is the median of the rounds. Everybody
gets the same work through a small adapter in `benchmarks/peers/`, on one worker process, and the settings named below.

- **jobs /s, Redis CPU**: jobs that do nothing are enqueued, then a worker starts; from the end of the first to the end
  of the last, and what Redis' own count of processor time says.
- **enqueue, in bulk**: one process, no worker. {SINGLES:,} calls, each waited for, {PASSES} times a round, everybody
  within a minute; then the best way there is for many.
- **pick-up**: {STAMPS} jobs, each given to a worker that waits: from before the call to the first line of the job, on
  the clock that all processes of a machine share.
- **late**: {DUE} jobs at times of their own, on a waiting worker: from the time asked for to the first line.
- **500 of 100 ms**: {SLEEPS} jobs that wait {SLEEP_MS} ms, {AT_A_TIME} at a time: from the first start to the last end.
- **bytes a job**: `used_memory` before and after. **worker MB**: of the process that runs the jobs, after {WARM:,}.
"""


def write(found: Found | None, grown: Found | None, folder: Path) -> None:
    """Write both files."""
    parts = [
        "# Benchmarks",
        "`make bench` writes this page: it installs the queues, measures them, and takes about 25 minutes.",
    ]
    if found:
        parts += contest_parts(found)
        (folder / "benchmarks.svg").write_text(chart.draw(panels(found)))
    if grown:
        parts += growth_parts(grown)
    (folder / "benchmarks.md").write_text("\n\n".join(parts) + "\n")


def show(found: Found) -> None:
    """Print our rows."""
    print("\n" + table(found, spread=True))


def contest_parts(found: Found) -> list[str]:
    """The half with the peers."""
    parts = [where(found["machine"]), "![the main figures as bars](benchmarks.svg)", "## All queues", table(found)]
    parts += notes(found)
    parts += ["## Ahead and behind", standing(found), "## How it was measured", METHOD, settings(found)]
    parts += [f"## Spread\n\nSmallest and largest of {found['rounds']} rounds.", table(found, spread=True)]
    return parts


def growth_parts(grown: Found) -> list[str]:
    """The half of our own."""
    parts = ["## How cost grows", "This queue alone: `python -m benchmarks growth`.", where(grown["machine"])]
    for section in grown["sections"]:
        parts += [f"### {section['title']}", section["note"], grid(section["head"], section["rows"])]
    return parts


def where(machine: dict[str, str]) -> str:
    """The machine, in one line."""
    return f"{machine['machine']}. {machine['software']}. {machine['when']}."


def table(found: Found, *, spread: bool = False) -> str:
    """All queues by all measures, the fastest first."""
    rows = []
    for key in ranked(found):
        name = f"**{EVERYBODY[key].name}**" if key == OURS.key else EVERYBODY[key].name
        rows.append([name, *(cell(found, key, measure, spread) for measure in MEASURES)])
    return grid(["", *(measure.head for measure in MEASURES)], rows)


def ranked(found: Found) -> list[str]:
    """The keys of all that were measured, by throughput; the floor last."""
    return sorted(found["entrants"], key=lambda key: -(middle(found, key, MEASURES[0]) or 0))


def cell(found: Found, key: str, measure: Measure, spread: bool) -> str:
    """One figure, or its smallest and largest."""
    figures = values(found, key, measure)
    if not figures:
        return ""
    if spread and len(figures) > 1:
        return f"{min(figures):,.{measure.digits}f} to {max(figures):,.{measure.digits}f}"
    mark = "" if fair(found, key, measure) else " (early)"
    return f"{median(figures):,.{measure.digits}f}{mark}"


def values(found: Found, key: str, measure: Measure) -> list[float]:
    """What the rounds gave."""
    rounds = found["entrants"].get(key, {"rounds": []})["rounds"]
    return [figures[measure.key] for figures in rounds if measure.key in figures]


def middle(found: Found, key: str, measure: Measure) -> float | None:
    """The median of the rounds."""
    figures = values(found, key, measure)
    return median(figures) if figures else None


def early(found: Found, key: str) -> float:
    """How many ms before its time a job was started, at most."""
    return max((figures.get("early", 0.0) for figures in found["entrants"][key]["rounds"]), default=0.0)


def fair(found: Found, key: str, measure: Measure) -> bool:
    """Whether the figure can be compared."""
    return not (measure.key.startswith("late") and early(found, key) > EARLY)


def notes(found: Found) -> list[str]:
    """What the table alone does not tell."""
    lines = [f"- {name} is not in the table: {why}." for name, why in found["left_out"].items()]
    lines += [f"- {what}" for what in found["failed"]]
    for key in found["entrants"]:
        if (most := early(found, key)) > EARLY:
            lines.append(f"- {EVERYBODY[key].name} starts scheduled jobs before their time: up to {most:,.0f} ms.")
    stateless = [EVERYBODY[key].name for key in found["entrants"] if not EVERYBODY[key].keeps_state]
    if stateless:
        lines.append(
            f"- {', '.join(stateless)}: no state of a waiting job can be asked for, so fewer bytes are no wonder."
        )
    return ["\n".join(lines)] if lines else []


def standing(found: Found) -> str:
    """Ours beside the best of the others, for each measure, won or lost; and beside the floors."""
    rows = []
    pythons = [one for one in PEERS if one.language == "Python"]
    for measure in MEASURES:
        ours = middle(found, OURS.key, measure)
        best, python = best_of(found, measure, PEERS), best_of(found, measure, pythons)
        if ours is not None and best is not None:
            others = [
                f"{EVERYBODY[who].name}, {compare(ours, value, measure)}" for who, value in filter(None, (best, python))
            ]
            rows.append([measure.title, f"{ours:,.{measure.digits}f}", *others])
    for key, title in FLOORS.items():
        measure = next(one for one in MEASURES if one.key == key)
        pairs = list(zip(values(found, OURS.key, measure), values(found, FLOOR.key, measure), strict=False))
        if pairs:
            ratio = median(max(pair) / min(pair) for pair in pairs)
            both = [f"{median(figures):,.{measure.digits}f}" for figures in zip(*pairs, strict=True)]
            rows.append([f"floor: {title}", both[0], f"{both[1]}: {ratio:.2f} times the floor", ""])
    return grid(["", "this queue", "best of all others", "best in Python"], rows)


def best_of(found: Found, measure: Measure, field: list[Entrant]) -> tuple[str, float] | None:
    """Who is best at it, and how good."""
    able = [one.key for one in field if one.key in found["entrants"] and fair(found, one.key, measure)]
    able = [key for key in able if measure.key != "bytes" or EVERYBODY[key].keeps_state]
    fit = [(key, value) for key in able if (value := middle(found, key, measure)) is not None]
    return (max if measure.more_is_better else min)(fit, key=lambda pair: pair[1]) if fit else None


def compare(ours: float, other: float, measure: Measure) -> str:
    """Ahead or behind, and how much."""
    ratio = ours / other if measure.more_is_better else other / ours
    figure = f"{other:,.{measure.digits}f}"
    return f"{figure}: " + (f"{ratio:.3g} times better" if ratio > 1 else f"**behind**, {ratio:.2f} of it")


def settings(found: Found) -> str:
    """Versions and settings of each."""
    rows = []
    for key, one in found["entrants"].items():
        entrant = EVERYBODY[key]
        rows.append([entrant.name, one["versions"], str(entrant.busy), entrant.settings])
    note = (
        "Empty jobs at a time: whatever was fastest here; ten for all else. "
        "All peers that use redis-py have its parser hiredis."
    )
    return f"{note}\n\n" + grid(["", "versions", "empty jobs at a time", "settings"], rows)


def panels(found: Found) -> list[chart.Panel]:
    """What the chart shows."""
    shown = {
        "throughput": False,
        "enqueue": False,
        "bulk": False,
        "redis": False,
        "pickup50": True,
        "late99": True,
        "bytes": False,
    }
    drawn = []
    for measure in MEASURES:
        if measure.key in shown:
            bars = [
                (EVERYBODY[key].name, value, key == OURS.key)
                for key in ranked(found)
                if (value := middle(found, key, measure)) and key != FLOOR.key and fair(found, key, measure)
            ]
            bars.sort(key=lambda bar: bar[1], reverse=measure.more_is_better)
            better = "more" if measure.more_is_better else "less"
            drawn.append(chart.Panel(f"{measure.title} ({better} is better)", bars, measure.digits, shown[measure.key]))
    return drawn


def grid(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
