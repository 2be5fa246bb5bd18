"""`python -m benchmarks`: measure all and write docs/benchmarks.md and .svg. `make bench` does that.

`peers` and `growth` measure one half; `ours` writes nothing, and takes two minutes: our rows beside the floors;
`report` writes the page anew from the last figures. `--only rq,celery` measures some queues, `--rounds 1` once.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import contest, growth, report
from benchmarks.entrants import FLOOR, OURS, PEERS, Entrant, LeftOut, install, versions
from benchmarks.sides import server
from tests.servers import ROOT

FIGURES = ROOT / ".venv" / "bench"  # what was measured, for `report`


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=["all", "peers", "growth", "ours", "report"])
    parser.add_argument("--only", default="", metavar="A,B", help="measure these queues")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    FIGURES.mkdir(parents=True, exist_ok=True)
    if given.what == "ours":
        report.show(peers("ours", [FLOOR, OURS], given.rounds))
        return
    if given.what in ("all", "peers"):
        chosen = [one for one in [FLOOR, OURS, *PEERS] if not only or one.key in only]
        peers("peers", chosen, given.rounds)
    if given.what in ("all", "growth"):
        with server() as redis:
            keep("growth", {"machine": machine(), "sections": growth.measure(redis, say)})
    report.write(load("peers"), load("growth"), ROOT / "docs")


def peers(name: str, entrants: list[Entrant], rounds: int) -> dict[str, Any]:
    """Measure them in turn, round after round: what disturbs the machine disturbs no one alone. Keep the figures."""
    found: dict[str, Any] = {"machine": machine(), "rounds": rounds, "left_out": {}, "failed": [], "entrants": {}}
    for entrant in entrants:
        try:
            install(entrant)
            found["entrants"][entrant.key] = {"versions": versions(entrant), "rounds": []}
        except LeftOut as error:
            say(f"{entrant.name} is left out: {error}")
            found["left_out"][entrant.name] = str(error)

    def failed(what: str) -> None:
        say(what)
        found["failed"].append(what)

    there = [entrant for entrant in entrants if entrant.key in found["entrants"]]
    with server() as redis:
        for number in range(rounds):
            rates = contest.singles(there, redis, failed)
            for entrant in there:
                started = time.monotonic()
                figures = rates[entrant.key] | contest.measure(entrant, redis, number == 0, failed)
                found["entrants"][entrant.key]["rounds"].append(figures)
                shown = "  ".join(f"{name} {value:,.5g}" for name, value in figures.items())
                say(f"round {number + 1}  {entrant.name}  ({time.monotonic() - started:.0f} s)  {shown}")
            keep(name, found)
    return found


def machine() -> dict[str, str]:
    """Return what the figures depend on, and when they were taken."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0].strip(" \t:")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores of {cpu}, {memory:.0f} GB, Linux {platform.release()}",
        "software": f"Redis {redis.split('v=')[1].split()[0]} (no persistence), Python {platform.python_version()}",
    }


def keep(name: str, found: dict[str, Any]) -> None:
    """Keep what was measured."""
    (FIGURES / f"{name}.json").write_text(json.dumps(found, indent=1))


def load(name: str) -> dict[str, Any] | None:
    """Return what was measured last, if ever."""
    path = FIGURES / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def say(text: str) -> None:
    """Print at once: a run takes a while."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
