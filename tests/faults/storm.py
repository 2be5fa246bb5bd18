"""A seeded storm: four workers, two producers and a poller, under faults of every kind at once; then the checker.

    python -m tests.faults.storm --seconds 600 --seed 7

The same seed gives the same plan of jobs and faults. What chance the machine adds (who takes which job) is its own.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import JobQueue, Unavailable, named
from typing import Any

from tests.faults.checker import FINAL, Log, Verdict, check, gather
from tests.faults.harness import Crew
from tests.faults.proxy import Proxy
from tests.jobs_contract.helpers import Look
from tests.servers import RedisServer, best_real, binary, wait_until

WORKERS, PRODUCERS = 4, 2
PROGRAM = ("-m", "tests.faults.storm_tasks")
DRAINED_WITHIN = 90.0
LEAKED = 1 << 20  # bytes that Redis may have more than at first, once everything has expired

# kind of fault -> who does it, how often, how long; in seconds, or in leases
KINDS: dict[str, tuple[str, int, float, float]] = {
    "kill -9": ("workers", 6, 0, 0.5),
    "frozen within the lease": ("workers", 3, 0.2, 0.55),
    "frozen past the lease": ("workers", 3, 1.1, 1.8),
    "leaves and starts": ("workers", 3, 0, 0.5),
    "cut": ("wires", 4, 0, 0),
    "refused": ("wires", 2, 0.2, 4),
    "black hole": ("wires", 3, 0.2, 4),
    "slow wire": ("wires", 2, 0.5, 4),
    "answers lost": ("wires", 4, 0.5, 4),
    "Redis killed": ("redis", 3, 0, 4),
    "Redis frozen": ("redis", 2, 0.1, 4),
    "Redis full": ("redis", 2, 0.5, 3),
    "clients paused": ("redis", 2, 0.1, 3),
    "clients killed": ("redis", 4, 0, 0),
    "scripts flushed": ("redis", 4, 0, 0),
    "counters reset": ("redis", 1, 0, 0),
}


@dataclass(frozen=True)
class Weather:
    """What a storm is made of."""

    seconds: float = 600
    seed: int = 1
    lease: float = 3
    beat: float = 1
    only: str = ""  # one kind of fault
    pause: tuple[float, float] = (0.5, 4)  # between two faults of one author


@dataclass(frozen=True)
class Fault:
    """Something to be done to some workers, after a pause."""

    kind: str
    pause: float
    seconds: float
    slots: tuple[int, ...]  # of workers; WORKERS is the producers' wire
    share: float  # how much of it, where that makes sense


@dataclass(frozen=True)
class Order:
    """Something that a producer asks for, after a pause."""

    what: str  # now, many, in, at, cancel, reschedule
    pause: float
    calls: tuple[tuple[Any, ...], ...]  # (id, task, *args)
    seconds: float
    stubborn: bool  # asks again until there is an answer


def faults(weather: Weather, author: str) -> Iterator[Fault]:
    """What the workers', the wires' or the server's bad spirit will do, for ever."""
    chance = random.Random(f"{weather.seed} {author}")
    kinds = [kind for kind, (who, *_) in KINDS.items() if who == author and weather.only in ("", kind)]
    while kinds:
        kind = chance.choices(kinds, [KINDS[kind][1] for kind in kinds])[0]
        seconds = chance.uniform(*KINDS[kind][2:]) * (weather.lease if "lease" in kind else 1)
        victims = range(WORKERS + (author == "wires"))
        slots = tuple(chance.sample(victims, chance.choice([1, 1, 1, 2, len(victims)])))
        everybody = tuple(range(WORKERS))
        pause = chance.uniform(*weather.pause)
        yield Fault(kind, pause, seconds, slots if author != "redis" else everybody, chance.uniform(0.1, 1))


def orders(weather: Weather, producer: int) -> Iterator[Order]:
    """What a producer will ask for, for ever."""
    chance = random.Random(f"{weather.seed} producer {producer}")
    ids: list[str] = []
    later: list[str] = []
    while True:
        what = chance.choices(["now", "many", "in", "at", "cancel", "reschedule"], [50, 7, 16, 12, 9, 6])[0]
        if what in ("cancel", "reschedule"):
            calls = [(chance.choice((ids if what == "cancel" else later)[-30:] or ["nobody"]),)]
        else:
            new = [
                f"{weather.seed}-{producer}-{len(ids) + at}"
                for at in range(chance.randint(2, 25) if what == "many" else 1)
            ]
            calls = [(job_id, *_task(chance)) for job_id in new]
            ids += new
            later += new if what in ("in", "at") else []
        yield Order(what, chance.uniform(0, 0.08), tuple(calls), chance.uniform(0.1, 6), chance.random() < 0.7)


def _task(chance: random.Random) -> tuple[Any, ...]:
    kind = chance.choices(["quick", "work", "long", "stumble", "fall", "snooze"], [55, 20, 4, 8, 4, 8])[0]
    return {
        "quick": ("work",),
        "work": ("work", chance.uniform(0.01, 0.3)),
        "long": ("work", chance.uniform(1, 5)),
        "stumble": ("stumble", chance.uniform(0, 0.05), chance.randint(1, 2)),
        "fall": ("fall", 0),
        "snooze": ("snooze", chance.randint(1, 2), chance.uniform(0.1, 1)),
    }[kind]


class Storm:
    """One storm in one folder. `run` lets it rage, heals, drains; `verdict` checks."""

    def __init__(self, weather: Weather, folder: Path) -> None:
        self.weather, self.folder = weather, folder
        self.over, self.drained, self.dismissed = threading.Event(), threading.Event(), threading.Event()
        self.asked: dict[str, str] = {}  # id -> state as last seen
        self.down: set[int] = set()  # slots that we emptied
        self.broken: list[str] = []
        self.threads: list[threading.Thread] = []
        self.busy: set[str] = set()  # threads that are not through
        self.logs = {name: Log(folder / f"{name}.log") for name in ("orders", "samples", "faults", "workers")}

    # ------------------------------------------------------------------------------------------ the course of it

    def run(self) -> Verdict:
        """Rage, heal, drain, check."""
        with ExitStack() as stack:
            found = binary(best_real())
            assert found is not None, "no redis-server here"
            config: dict[str, str | int] = {
                "appendonly": "yes",
                "appendfsync": "always",
                "auto_aof_rewrite_percentage": 0,
            }
            self.server = RedisServer(found, **config)
            stack.callback(self.server.close)
            self.server.start()
            self.proxies = [stack.enter_context(Proxy(self.server.port)) for _ in range(WORKERS + 1)]
            self.crew = stack.enter_context(Crew(self.server.url, self.folder, program=PROGRAM))
            self.workers = [self._start(slot) for slot in range(WORKERS)]
            wait_until(lambda: len(self.crew.register()) == WORKERS, 30, "all workers to be there")
            before = self.crew.redis.info("memory")["used_memory"]
            stack.callback(self._stop_threads)
            self._rage()
            self._drain()
            self._dismiss()
            return self._check(before)

    def _rage(self) -> None:
        for author in ("workers", "wires", "redis"):
            self._thread(self._do_faults, author)
        for producer in range(PRODUCERS):
            self._thread(self._produce, producer)
        self._thread(self._poll, None)
        time.sleep(self.weather.seconds)
        self.over.set()
        wait_until(lambda: self.busy <= {"_poll None"}, 90, "faults and producers to end")

    def _drain(self) -> None:
        for proxy in self.proxies:
            proxy.heal()
        try:
            wait_until(lambda: all(state in FINAL for state in list(self.asked.values())), DRAINED_WITHIN)
        except TimeoutError:
            left = [job_id for job_id, state in self.asked.items() if state not in FINAL]
            self.broken.append(f"I2 not ended {DRAINED_WITHIN} s after all was healed: {left[:10]}")

    def _dismiss(self) -> None:
        self.drained.set()
        wait_until(lambda: not self.busy, 10, "the poller to end")
        self.down = set(range(WORKERS))
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        codes = [worker.ends(60) for worker in self.workers]
        if any(codes):
            self.broken.append(f"I9 workers left with {codes} in the end")
        if left := self.crew.register():
            self.broken.append(f"I8 workers that left are still registered: {left}")

    def _check(self, before: int) -> Verdict:
        aof = sorted(self.server.folder.glob("appendonlydir/*.incr.aof")) or [self.server.folder / "appendonly.aof"]
        self.evidence = gather(self.folder, aof).look(Look(self.crew.redis))
        verdict = check(self.evidence)
        verdict.broken += self.broken
        verdict.broken += [
            f"a fault of ours in {log.name}: {said}"
            for log in self.folder.glob("queue-*.log")
            if (said := _stumbled(log))
        ]
        verdict.broken += leaks(self.crew.redis, before)
        return verdict

    def _thread(self, target: Callable[[Any], None], arg: Any) -> None:
        name = f"{target.__name__} {arg}"

        def guarded() -> None:
            try:
                target(arg)
            except Exception as error:  # the storm itself is at fault: say so, and end
                self.broken.append(f"{name}: {error!r}")
            self.busy.discard(name)
            self.dismissed.wait()  # what this thread started dies with it

        self.busy.add(name)
        self.threads.append(threading.Thread(target=guarded))
        self.threads[-1].start()

    def _stop_threads(self) -> None:
        for event in (self.over, self.drained, self.dismissed):
            event.set()
        for thread in self.threads:
            thread.join()

    # ------------------------------------------------------------------------------------------ workers and faults

    def _start(self, slot: int) -> Any:
        limits: dict[str, Any] = {"lease": self.weather.lease, "beat": self.weather.beat, "grace": 2, "crash_delay": 1}
        process = self.crew.start(self.proxies[slot].url, ready=False, **limits)
        self.logs["workers"].write(at=time.time(), slot=slot, pid=process.pid)
        return process

    def _do_faults(self, author: str) -> None:
        for fault in faults(self.weather, author):
            if self.over.wait(fault.pause):
                return
            start = time.time()
            told = getattr(self, "_" + author)(fault) or {}
            slots = [slot for slot in fault.slots if slot < WORKERS]
            last = self.over.is_set()
            self.logs["faults"].write(kind=fault.kind, start=start, end=time.time(), slots=slots, last=last, **told)

    def _workers(self, fault: Fault) -> dict[str, Any] | None:
        hit = [self.workers[slot] for slot in fault.slots]
        if "frozen" in fault.kind:
            for process in hit:
                process.signal(signal.SIGSTOP)
            time.sleep(fault.seconds)
            for process in hit:
                process.signal(signal.SIGCONT)
            return None
        self.down |= set(fault.slots)
        if fault.kind == "leaves and starts":  # before it works nobody answers a SIGTERM but Python
            wait_until(lambda: all("event=work " in process.log or not process.alive for process in hit), 20)
        began = time.time()
        for process in hit:
            process.signal(signal.SIGKILL if fault.kind == "kill -9" else signal.SIGTERM)
        codes = [process.ends(60) for process in hit]
        took = time.time() - began
        time.sleep(fault.seconds)
        for slot in fault.slots:
            self.workers[slot] = self._start(slot)
        self.down -= set(fault.slots)
        return None if fault.kind == "kill -9" else {"codes": codes, "took": took}

    def _wires(self, fault: Fault) -> None:
        hit = [self.proxies[slot] for slot in fault.slots]
        does: dict[str, Callable[[Proxy], None]] = {
            "cut": Proxy.cut,
            "refused": Proxy.refuse,
            "black hole": Proxy.black_hole,
            "slow wire": lambda proxy: proxy.slow(0.2 * fault.share),
            "answers lost": lambda proxy: proxy.lose_some(0.5 * fault.share),
        }
        for proxy in hit:
            does[fault.kind](proxy)
        time.sleep(fault.seconds)
        for proxy in hit:
            proxy.heal()

    def _redis(self, fault: Fault) -> None:
        redis, server = self.crew.redis, self.server
        acts: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "Redis killed": (server.kill, server.start),
            "Redis frozen": (server.pause, server.resume),
            "Redis full": (lambda: redis.config_set("maxmemory", 1), lambda: redis.config_set("maxmemory", 0)),
            "clients paused": (lambda: redis.client_pause(int(fault.seconds * 1000)), redis.ping),
            "clients killed": (lambda: redis.client_kill_filter(_type="normal", skipme=True), redis.ping),
            "scripts flushed": (redis.script_flush, redis.ping),
            "counters reset": (redis.config_resetstat, redis.ping),
        }
        begin, end = acts[fault.kind]
        begin()
        time.sleep(fault.seconds)
        end()

    # ------------------------------------------------------------------------------------------ producers and poller

    def _produce(self, producer: int) -> None:
        jobs = JobQueue.from_url(self.proxies[WORKERS].url)
        for order in orders(self.weather, producer):
            if self.over.wait(order.pause):
                break
            self.asked |= {call[0]: "" for call in order.calls if len(call) > 1}
            first = time.time()
            while self._ask(jobs, order, first) == "unavailable" and order.stubborn and not self.over.wait(0.1):
                pass
        jobs.redis.close()

    def _ask(self, jobs: JobQueue, order: Order, first: float) -> str:
        """Ask once; a repeat asks for the same time as the first."""
        at, due, told = time.time(), first + order.seconds, {"first": first}
        calls = [(named(call[1], id=call[0]), *call[2:]) for call in order.calls if len(call) > 1]
        job_id, answer = order.calls[0][0], "ok"
        try:
            if order.what == "now":
                jobs.enqueue(*calls[0])
            elif order.what == "many":
                jobs.enqueue_many(calls)
            elif order.what == "in":
                told["seconds"] = order.seconds
                jobs.enqueue_in(order.seconds, *calls[0])
            elif order.what == "at":
                told["due"] = round(due * 1000)
                jobs.enqueue_at(due, *calls[0])
            elif order.what == "cancel":
                answer = jobs.cancel(job_id)
            else:
                answer = jobs.reschedule(job_id, due)
        except Unavailable:
            answer = "unavailable"
        ids = [call[0] for call in order.calls]
        self.logs["orders"].write(at=at, until=time.time(), what=order.what, ids=ids, answer=answer, **told)
        return answer

    def _poll(self, _: None) -> None:
        """Ask for the status of open jobs all the time, of ended ones now and then; note what is new."""
        chance = random.Random(self.weather.seed)
        last: dict[str, tuple[str, int]] = {}
        while not self.drained.wait(0.02):
            ended, going = list[str](), list[str]()
            for job_id, state in list(self.asked.items()):
                (ended if state in FINAL else going).append(job_id)
            some = chance.sample(going, min(len(going), 100)), chance.sample(ended, min(len(ended), 10))
            for job_id in chain(*some):
                try:
                    job = self.crew.jobs.status(job_id)
                except Unavailable:
                    break
                if job is None and self.over.is_set() and self.busy == {"_poll None"}:
                    self.asked.pop(job_id)  # never came through
                elif job is not None and last.get(job_id) != (job.state, job.attempt):
                    last[job_id] = job.state, job.attempt
                    self.logs["samples"].write(id=job_id, state=job.state, attempt=job.attempt, at=time.time())
                    self.asked[job_id] = job.state
            for slot, worker in enumerate(self.workers):
                if not (worker.alive or slot in self.down):
                    self.broken.append(f"I9 {worker.log_path.name} ended by itself with {worker.popen.returncode}")
                    self.down.add(slot)


def _stumbled(log: Path) -> str:
    """What a worker says of an error that is its own, with where it happened."""
    lines = log.read_text(errors="replace").splitlines()
    at = next((at for at, line in enumerate(lines) if "stumbles" in line or "timekeeper:" in line), None)
    return "" if at is None else " / ".join(line.strip() for line in lines[at : at + 40])


def leaks(redis: Any, before: int, patience: float = 10) -> list[str]:
    """I8: let everything that has a TTL expire at once; what is left then is left for ever."""
    for key in list(redis.scan_iter("*", 1000)):
        if redis.ttl(key) > 0:
            redis.pexpire(key, 1)
    allowed = {
        "{queue}:dead",
        "{queue}:bell:default",
    }  # the first is bounded by count, the second has one token at most
    redis.delete("{queue}:dead")
    try:
        wait_until(lambda: not set(redis.keys("*")) - allowed, patience)
        wait_until(lambda: redis.info("memory")["used_memory"] <= before + LEAKED, patience)
    except TimeoutError:
        return [f"I8 left: {sorted(redis.keys('*'))[:10]}, {redis.info('memory')['used_memory'] - before:+,} bytes"]
    return []


# ---------------------------------------------------------------------------------------------- from the terminal


def main() -> None:
    """Let a storm rage and print what came of it. Exit code 1 if an invariant is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--lease", type=float, default=3)
    parser.add_argument("--beat", type=float, default=1)
    parser.add_argument("--only", choices=["", *KINDS], default="", help="one kind of fault")
    parser.add_argument(
        "--pause", type=float, nargs=2, default=(0.5, 4), help="seconds between two faults, from and to"
    )
    parser.add_argument("--folder", type=Path, help="where to leave the logs")
    parser.add_argument("--json", type=Path, help="where to write the totals")
    given = vars(parser.parse_args())
    folder, file = given.pop("folder"), given.pop("json")
    weather = Weather(**given | {"pause": tuple(given["pause"])})
    print(f"seed {weather.seed}: {weather}", flush=True)
    with tempfile.TemporaryDirectory(prefix="storm-") as temporary:
        folder = folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        verdict = Storm(weather, folder).run()
    if file:
        file.write_text(json.dumps(totals(verdict) | {"broken": verdict.broken}))
    for what, figure in totals(verdict).items():
        print(f"{what}: {json.dumps(figure)}")
    print("\n".join(verdict.broken[:50]))
    sys.exit(1 if verdict.broken else 0)


def totals(verdict: Verdict) -> dict[str, Any]:
    """The figures of a storm."""
    spread = {
        "resumed": verdict.resumed,  # seconds from the fault's end to the next start of a worker that was hit
        "rerun": verdict.rerun,  # seconds from the fault's begin until an interrupted job started again
        "late": {"all": verdict.late},  # seconds from due to started
        "refused": {"all": verdict.refused},  # seconds until a producer was told that Redis is away
    }
    return {
        "accepted": sum(verdict.ends.values()),
        **verdict.ends,
        "lost": verdict.lost,
        "unanswered": verdict.unknown,
        "starts": verdict.starts,
        "again": dict(verdict.again),  # starts after the first, by what ended the one before
        "unstarted": dict(verdict.given_back),
        "faults": dict(verdict.faults),
        "samples": verdict.samples,
        "broken": len(verdict.broken),
    } | {what: {kind: quantiles(values) for kind, values in all_.items() if values} for what, all_ in spread.items()}


def quantiles(values: list[float]) -> dict[str, float]:
    """Count, median, 99th percentile and the largest."""
    ordered = sorted(values)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {"n": len(ordered)} | {
        name: round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 3) for name, share in at.items()
    }


if __name__ == "__main__":
    main()
