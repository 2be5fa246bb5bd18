"""`make faults`: storms of the queue, of each kind and of all, the tests of the matrix, the ledger: docs/faults.md.

    python -m tests.faults.report --seconds 600 --seed 1 [ledger]

With `ledger` only that one is run, and its part of the page written anew.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.storm import KINDS
from tests.servers import ROOT, best_real, binary

PAGE = ROOT / "docs" / "faults.md"
SHARE, SHORT = 20, 30.0  # a storm of one kind lasts this part of the long one, at most so many seconds


# row | fault | tests: words of which one is in file::name | rows of test_matrix.py, if any | kinds of storms, if any
MATRIX = """
F1 | kill -9 of random workers, in mid-job, in mid-batch | test_kills | | kill -9
F2 | kill -9 before and after every call to Redis | test_each_line
F3 | frozen past the lease, then thawed | frozen_past_its_lease frozen_itself | | frozen past the lease
F4 | frozen for 0.9 of the lease | frozen_for_less | nearly_frozen | frozen within the lease
F5 | SIGTERM: once, often, while taking, with a job that does not end; SIGINT | test_signals told_to_stop to_the_front \
   | told_while_taking | leaves and starts
F6 | jobs that exit, crash, eat memory, recurse, block, return junk | test_nasty stuck_in_c_code
F7 | Redis killed or stopped, and started; AOF always, everysec, none | after_an_outage kill_of_redis \
   | killed_with_everysec killed_without_a_file | Redis killed
F8 | Redis away for minutes, at the start and in mid-job | without_redis long_away | long_away
F9 | black hole without a reset | half_open | half_open | black hole
F10 | answer lost after the script ran; connections reset | test_lost_answers | | answers lost, cut
F11 | slow: 200 ms each way, CLIENT PAUSE, DEBUG SLEEP, SIGSTOP of Redis | slow_redis hangs_past comes_late \
   | far_away asleep late_reclaim \
   | slow wire, clients paused, Redis frozen
F12 | OOM, MISCONF, LOADING, READONLY, NOAUTH, maxclients, nobody there | that_refuses full_redis test_refusals \
   | MISCONF LOADING READONLY NOAUTH maxclients | Redis full, refused
F14 | SCRIPT FLUSH, CLIENT KILL, CONFIG RESETSTAT, FLUSHALL | scripts_may_be connections_may_be flushall \
   | | scripts flushed, clients killed, counters reset
F15 | junk written by hand into every key | test_junk test_bad_entries
F16 | arguments of 64 KiB, 10 MB, odd characters, deep nesting | test_enqueue test_refusals
F17 | clocks: of workers an hour off and jumping, of Redis 5 s to and fro | clock | wrong_clocks
F18 | 10,000 due in one second, 500 retries at once, 20 workers start together | test_a_herd
F19 | two versions of a worker, tasks that one does not know | test_versions unknown_task
F20 | tasks that block for two leases | two_leases
F21 | cancel and reschedule raced by eight threads | raced_by
F23 | five minutes at a low rate, workers restarted | test_a_soak | soak
F24 | the log: full disk, closed, blocked | test_a_log_that | full_disk closed_log blocked_log
"""


class Row(NamedTuple):
    """A row of the fault matrix."""

    name: str
    what: str
    tests: list[str]
    grounds: list[str]
    kinds: list[str]

    @classmethod
    def read(cls, line: str) -> "Row":
        """Read a line of MATRIX."""
        name, what, tests, grounds, kinds = ([word.strip() for word in line.split("|")] + ["", ""])[:5]
        return cls(name, what, tests.split(), grounds.split(), [kind for kind in kinds.split(", ") if kind])


ROWS = [Row.read(line) for line in MATRIX.replace("\\\n", "").strip().splitlines()]


# Rows with a test in which Redis is told to forget: that nothing is left is what it asserts.
FORGOTTEN = {"F7": "0; without a file, all", "F14": "0; by FLUSHALL, all"}


def main() -> None:
    """Do it all, write the page. Exit code 1 if anything was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("what", nargs="?", choices=["all", "ledger"], default="all")
    given = parser.parse_args()
    queue_part, broken, failed = PAGE.read_text().partition(LEDGER_HEAD)[0], list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        if given.what == "all":
            queue_part, broken, failed = _of_the_queue(given, folder)
        ledger = _ledger(folder, given)
    PAGE.write_text(queue_part + _of_the_ledger(given, ledger))
    broken += ledger["broken"]
    print(f"wrote {PAGE.relative_to(ROOT)}; broken: {broken or 'nothing'}; failed: {failed or 'none'}")
    sys.exit(bool(broken or failed))


def _of_the_queue(given: argparse.Namespace, folder: Path) -> tuple[str, list[str], list[str]]:
    """Torment the queue alone. Returns its part of the page, what was broken, and which tests failed."""
    short = min(SHORT, given.seconds / SHARE)
    with ThreadPoolExecutor(2) as pool:
        one = {kind: pool.submit(_storm, folder, short, given.seed, kind) for kind in KINDS}
        storms = {kind: future.result() for kind, future in one.items()}
    tests = _tests(folder)
    long = _storm(folder, given.seconds, given.seed, "")
    broken = [line for storm in [long, *storms.values()] for line in storm["broken"]]
    failed = [test for test, outcome in tests.outcomes.items() if outcome == "failed"]
    return _page(given, short, storms, long, tests) + "\n", broken, failed


def _storm(folder: Path, seconds: float, seed: int, only: str) -> dict[str, Any]:
    words = ["--only", only, "--pause", "0.2", "1.5"] if only else []
    return _run(folder / f"{only or 'all'}.json", "storm", seconds, seed, *words)


def _ledger(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    tweets = max(round(2000 * given.seconds / 600), 20)
    return _run(folder / "tweets.json", "ledger", given.seconds, given.seed, "--tweets", str(tweets))


def _run(file: Path, program: str, seconds: float, seed: int, *words: str) -> dict[str, Any]:
    words = "--seconds", str(seconds), "--seed", str(seed), "--json", str(file), *words
    print(f"{program}: {' '.join(words)}", flush=True)
    run = [sys.executable, "-m", f"tests.faults.{program}", *words]
    ended = subprocess.run(run, cwd=ROOT, check=False, capture_output=True, text=True)
    if not file.exists():
        raise RuntimeError(f"the {program} did not end: {ended.stdout}{ended.stderr}")
    found: dict[str, Any] = json.loads(file.read_text())
    print("\n".join(found["broken"]), end="\n" * bool(found["broken"]), flush=True)
    return found


class Tests(NamedTuple):
    """What the tests of the matrix said."""

    outcomes: dict[str, str]  # file::name -> passed, failed, skipped
    notes: list[dict[str, Any]]


def _tests(folder: Path) -> Tests:
    print("the tests of the matrix", flush=True)
    environment = os.environ | {"FAULTS": "full", "LEDGER": str(folder / "ledger")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "tests/faults",
        "tests/jobs_contract",
        f"--junitxml={folder}/tests",
    ]
    subprocess.run(command, cwd=ROOT, check=False, env=environment, stdout=subprocess.DEVNULL)
    found = {}
    for case in ElementTree.parse(folder / "tests").iter("testcase"):
        names = {child.tag for child in case}
        outcome = "failed" if names & {"failure", "error"} else "skipped" if "skipped" in names else "passed"
        file = case.get("classname", "").rpartition(".")[2]
        found[f"{file}::{case.get('name')}"] = outcome
        print("".join(f"{case.get('name')}: {child.get('message')}\n" for child in case if outcome == "failed"), end="")
    return Tests(found, [{"row": ""} | json.loads(line) for line in (folder / "ledger").read_text().splitlines()])


# ---------------------------------------------------------------------------------------------- the page

INTRO = """# Under fire

What was done to the queue, what it cost, and how long it took to recover. Every figure here but those of the
ledger, which says its own command, comes from one run of

    make faults SECONDS={seconds:g} SEED={seed}

on {machine}.
The same seed replays the same plan of jobs and faults.

Producers, workers and a poller write down what they do, each line on disk before they go on, and Redis keeps its
append-only file with `appendfsync always`: every change of every job, in its order. One program,
`tests/faults/checker.py`, reads all of it afterwards and holds nine invariants: each job is in exactly one place; none
that was accepted is lost; every start is explained by a retry, a snooze, a shutdown or a fault that hit its worker; no
attempt changes a job that another attempt holds; nothing runs early; what has ended stays ended; who asks for a status
never sees it run backwards; when all is over every key has a TTL and the memory is back; a worker that was hit works
again within 10 s. Each is broken by hand in `tests/faults/test_storm.py`, to show that the program sees it.

*Again* counts starts of jobs that had started before and neither failed nor asked for it: at-least-once is the promise,
and this is its price. *Resumed* is the time from the end of the last fault that hit a worker to its next start, *rerun*
from the begin of a fault to the next start of a job that it had interrupted; both in seconds.
"""


LEDGER_HEAD = "## The ledger: tweets through the whole app"
LEDGER = """

Twenty people, a browser each, tweet, schedule, edit words and times, cancel, send now, say the same again, sign in
again, send again what failed or is uncertain (some look at their profile first, and say when it is there), and press
again when nothing happens, through a real web process, three workers, Redis, Postgres and the sandbox, whose rule
against the same words is turned off for half of them so that it hides nothing. All of it is killed, frozen, cut and
flushed; Redis comes back with an old copy; X answers late, twice, never, resets after accepting, takes away the access
to accounts, and says everything it can say. X's times and the worker's are scaled down together
(`tests/faults/ledger_worker.py`): what takes minutes takes seconds. In the end `ledger_checker.py` compares what people
were told, the rows, and what X knows: its timeline and its own ledger of requests. *Lost*: accepted, and not at an end.
*Twice*: more often on the timeline than it was sent. *Wrongly told*: an end that is not what X has, an answer that was
not kept, an end that changed by itself, sent before its time, or uncertain where it could have been known.
`tests/faults/test_ledger.py` breaks each by hand, and runs half a minute of the storm.

    make faults WHAT=ledger SECONDS={seconds:g} SEED={seed}

"""


def _of_the_ledger(given: argparse.Namespace, found: dict[str, Any]) -> str:
    """The part of the page about tweets."""
    bold = ("lost", "twice", "wrongly told")
    lines = [_table("what", "figure")]
    for what, figure in found.items():
        if what != "broken":
            shown = _counts(figure) if isinstance(figure, dict) else f"{figure:,}"
            lines.append(_cells(*(f"**{text}**" if what in bold else text for text in (what, shown))))
    return LEDGER_HEAD + LEDGER.format(seconds=given.seconds, seed=given.seed) + "\n".join(lines) + "\n"


def _counts(figures: dict[str, int]) -> str:
    return "; ".join(f"{name}: {count:,}" for name, count in figures.items())


def _page(given: argparse.Namespace, short: float, storms: dict[str, Any], long: dict[str, Any], tests: "Tests") -> str:
    heads = "fault", "times", "jobs", "lost", "again", "resumed p50", "p99", "rerun p50", "p99", "broken"
    lines = [
        INTRO.format(seconds=given.seconds, seed=given.seed, machine=_machine()),
        f"## The storm: everything at once for {given.seconds:g} s\n",
        *_long(long),
        f"\n## One kind of fault at a time, {short:g} s each\n",
        "Four workers with leases of 3 s, two producers, 0.2 to 1.5 s between two faults.\n",
        _table(*heads),
        *(_of_kind(kind, storm) for kind, storm in storms.items()),
        "\n## The fault matrix\n",
        "Tests on real servers and real worker processes. Jobs are those that such processes ran. The tests fail if",
        "more was lost, or ran again, than the fault explains. Two rows are not here: a failover that loses",
        "writes (F13) loses jobs with them, and a form sent twice (F22) is the page's (tests/test_browser.py).\n",
        _table(
            "row", "fault", "storms", "tests passed", "jobs", "lost", "started more than once", "resumed at most, s"
        ),
        *(_of_row(row, tests) for row in ROWS),
    ]
    return "\n".join(lines) + "\n"


def _machine() -> str:
    version = subprocess.run([str(binary(best_real())), "--version"], capture_output=True, text=True, check=True).stdout
    redis = next(word for word in version.split() if word.startswith("v="))[2:]
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{os.cpu_count()} cores ({model}), {platform.system()}, Python {platform.python_version()}, Redis {redis}"


def _table(*heads: str) -> str:
    return f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}"


def _cells(*values: object) -> str:
    return f"| {' | '.join(str(value) for value in values)} |"


def _spread(figures: dict[str, Any], kind: str) -> tuple[str, str]:
    found = figures.get(kind, {})
    return (f"{found['p50']:.2f}", f"{found['p99']:.2f}") if found else ("-", "-")


AT = ("p50", "p99", "max")
OWN = ("its own failure", "its own snooze")


def _long(storm: dict[str, Any]) -> list[str]:
    again = {why: times for why, times in storm["again"].items() if why not in OWN}
    late, refused = storm["late"].get("all", {}), storm["refused"].get("all", {})
    facts = {
        "jobs accepted": f"{storm['accepted']:,}",
        "done, dead, cancelled": ", ".join(f"{storm.get(state, 0):,}" for state in ("done", "dead", "cancelled")),
        "**lost**": f"**{storm['lost']}**",
        "asked for without an answer (may exist or not)": storm["unanswered"],
        "starts": f"{storm['starts']:,}",
        "after the job's own failure or snooze": f"{sum(storm['again'].get(why, 0) for why in OWN):,}",
        "again": "; ".join(f"{why}: {times}" for why, times in sorted(again.items(), key=lambda pair: -pair[1])),
        "changes of status seen by the poller": f"{storm['samples']:,}",
        "from due to start, p50, p99, max, outages included, s": ", ".join(str(late.get(at)) for at in AT),
        "producers told that Redis is away, times; within p50, p99, max, s": f"{refused.get('n')}; "
        + ", ".join(str(refused.get(at)) for at in AT),
        "**invariants broken**": f"**{len(storm['broken'])}**",
    }
    lines = [_table("what", "figure"), *(_cells(*fact) for fact in facts.items()), "\n"]
    lines.append(_table("fault", "times", "again", "resumed p50", "p99", "rerun p50", "p99"))
    for kind, times in sorted(storm["faults"].items()):
        spreads = *_spread(storm["resumed"], kind), *_spread(storm["rerun"], kind)
        lines.append(_cells(kind, times, again.get(kind, 0), *spreads))
    return lines


def _of_kind(kind: str, storm: dict[str, Any]) -> str:
    again = sum(times for why, times in storm["again"].items() if why not in OWN)
    spreads = *_spread(storm["resumed"], kind), *_spread(storm["rerun"], kind)
    times = storm["faults"].get(kind, 0)
    return _cells(kind, times, f"{storm['accepted']:,}", storm["lost"], again, *spreads, len(storm["broken"]))


def _of_row(row: Row, tests: "Tests") -> str:
    outcomes = [outcome for name, outcome in tests.outcomes.items() if any(word in name for word in row.tests)]
    everywhere = {ground for other in ROWS for ground in other.grounds}
    noted = [line for line in tests.notes if line["row"] in row.grounds]
    for line in tests.notes:
        if line["row"] not in everywhere and any(word in _short(line["test"]) for word in row.tests):
            noted.append(line)
    jobs, again = (sum(line.get(what, 0) for line in noted if "starts" in line) for what in ("jobs", "again"))
    unwritten = sum(len(line.get("unwritten", [])) for line in noted)
    resumed = [seconds for line in noted for seconds in line.get("resumed", [])]
    lost = f"{unwritten} not yet written by everysec" if unwritten else FORGOTTEN.get(row.name, 0)
    passed = f"{outcomes.count('passed')} of {len(outcomes)}"
    longest = f"{max(resumed):.2f}" if resumed else "-"
    return _cells(row.name, row.what, ", ".join(row.kinds) or "-", passed, f"{jobs:,}", lost, again, longest)


def _short(test: str) -> str:
    return Path(test.partition("::")[0]).stem + "::" + test.partition("::")[2]


if __name__ == "__main__":
    main()
