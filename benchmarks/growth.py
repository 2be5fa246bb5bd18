"""Of our queue alone: what grows with what. Whatever grew with the length of a list would be a defect."""

import random
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from queue import JobQueue, keys
from queue.job import text
from statistics import median
from typing import Any, TypedDict

from benchmarks.contest import Contest, Figures, percentile
from benchmarks.entrants import OURS
from benchmarks.proxy import Network
from benchmarks.sides import Event, Producer, Worker, resident
from tests.servers import RedisServer, wait_until

SIZES = (1_000, 100_000, 2_000_000)
DEAD = (1_000, 10_000)  # the list of the dead holds no more
CALLS = 1_000  # of which the median is taken
WORKED = 20_000  # jobs that a worker runs in front of the others
HERD = 10_000  # jobs due in the same millisecond
FAR = 365 * 86_400.0  # seconds

# Copies of one real job, whatever its fields are, put where such jobs lie.
PLANT = """
local dump, score = redis.call("DUMP", KEYS[1]), ARGV[4]
for i = ARGV[2], ARGV[3] do
  local id = ARGV[1] .. string.format("%012d", i)
  redis.call("RESTORE", string.sub(KEYS[1], 1, tonumber(ARGV[5])) .. id, 0, dump)
  if score ~= "" then redis.call("ZADD", KEYS[2], score, id) else redis.call("LPUSH", KEYS[2], id) end
end
"""


class Section(TypedDict):
    """One table of the report."""

    title: str
    note: str
    head: list[str]
    rows: list[list[str]]


def measure(server: RedisServer, say: Callable[[str], None]) -> list[Section]:
    """Return all tables."""
    sections = []
    for part in (sizes, dead, processes, arguments, network, fairness, beats, million):
        started = time.monotonic()
        sections.append(part(server))
        say(f"{sections[-1]['title']}: {time.monotonic() - started:.0f} s")
        for row in sections[-1]["rows"]:
            say("  " + "  ".join(f"{name}: {cell}" for name, cell in zip(sections[-1]["head"], row, strict=True)))
    return sections


def sizes(server: RedisServer) -> Section:
    """What calls cost, with more and more pending, then with more and more scheduled."""
    rows = []
    for place in ("pending", "scheduled"):
        for size in SIZES:
            with Bench(server) as bench:
                bench.pending(WORKED)  # taken first
                ids = bench.pending(size) if place == "pending" else bench.plant("scheduled", size)
                some = random.sample(ids, min(2 * CALLS, size))
                cells = [
                    bench.cost(bench.enqueue, range(CALLS)),
                    bench.cost(bench.enqueue_far, range(CALLS)),
                    bench.cost(bench.jobs.status, some[: len(some) // 2]),
                    bench.cost(bench.jobs.cancel, some[len(some) // 2 :]),
                    f"{bench.worked(WORKED):,.0f}",
                    *(bench.promoted() if place == "scheduled" else ("", "")),
                ]
                rows.append([f"{size:,} {place}", *cells])
    calls = ["enqueue, µs", "enqueue_in, µs", "status, µs", "cancel, µs"]
    head = ["with", *calls, "jobs a second", "late p50 / p99, ms", f"{HERD:,} due at once, a second"]
    note = f"A call is the median of {CALLS:,}; a worker then runs the {WORKED:,} empty jobs that lie in front."
    return {"title": "Pending and scheduled", "note": note, "head": head, "rows": rows}


def dead(server: RedisServer) -> Section:
    """What the dead cost: the list is capped, so there are never more."""
    rows = []
    for size in DEAD:
        with Bench(server) as bench:
            ids = bench.plant("dead", size)
            enqueue = bench.cost(bench.enqueue, range(CALLS))
            revive = bench.cost(bench.jobs.revive, random.sample(ids, CALLS // 2))
            bench.redis.delete(keys.pending(bench.jobs.ns, "default"))
            bench.jobs.enqueue_many([("doomed", n) for n in range(2_000)])
            rows.append([f"{size:,} dead", enqueue, revive, f"{bench.worked(2_000):,.0f}"])
    head = ["with", "enqueue, µs", "revive, µs", "jobs buried a second"]
    note = "However many die, the newest 10,000 are kept: that is the longest the list can be."
    return {"title": "Dead", "note": note, "head": head, "rows": rows}


def processes(server: RedisServer) -> Section:
    """One list, more and more worker processes."""
    rows = []
    for count in (1, 4, 16):
        with Bench(server) as bench, ExitStack() as stack:
            bench.jobs.pause("default")
            for _ in range(count):
                stack.enter_context(bench.worker(10))
            bench.meet(count)
            jobs = 200_000
            bench.pending(jobs)
            started = time.monotonic()
            bench.jobs.resume("default")
            wait_until(bench.settled, 120, "all jobs")
            rows.append([str(count), f"{jobs / (time.monotonic() - started):,.0f}"])
    note = "200,000 empty jobs. All processes, Redis among them, share the cores of this machine."
    return {"title": "Worker processes", "note": note, "head": ["workers", "jobs a second"], "rows": rows}


def arguments(server: RedisServer) -> Section:
    """Longer and longer arguments."""
    rows = []
    for title, size, jobs in (("a number", 0, WORKED), ("1 KB", 1_000, WORKED), ("60 KB", 60_000, 2_000)):
        with Bench(server) as bench:
            value: Any = "x" * size or 7
            enqueue = bench.cost(bench.enqueue, [value] * CALLS)
            bench.redis.flushall()
            bench.pending(jobs, value)
            rows.append([title, enqueue, f"{bench.worked(jobs):,.0f}"])
    note = "What it costs to carry them is left; the limit is 64 KiB."
    return {"title": "Arguments", "note": note, "head": ["argument", "enqueue, µs", "jobs a second"], "rows": rows}


def network(server: RedisServer) -> Section:
    """The same with a millisecond between Redis and everybody else."""
    rows = []
    with Network(server.port, 1.0) as far, server.client() as client:
        for title, url in (("on this machine", server.url), ("1 ms away", far.url)):
            with Bench(server, url) as bench:
                ping = bench.cost(bench.redis.execute_command, ["PING"] * CALLS)
            producer = Producer(OURS, url)
            contest = Contest(OURS, url, client, producer)
            figures: Figures = {}
            try:
                for step in (contest.enqueue, contest.bulk, contest.empty, contest.idle):
                    client.flushall()
                    figures |= step()
            finally:
                producer.close()
            whole = [f"{figures[name]:,.0f}" for name in ("enqueue", "bulk", "throughput")]
            fine = [f"{figures[name]:.2f}" for name in ("pickup50", "pickup99", "late99")]
            rows.append([title, ping, *whole, *fine])
    head = ["Redis is", "PING, µs", "enqueue /s", "in bulk /s", "jobs a second", "pick-up p50, ms", "p99", "late p99"]
    note = "The network is a proxy that hands each piece on after half a millisecond."
    return {"title": "A network between", "note": note, "head": head, "rows": rows}


def fairness(server: RedisServer) -> Section:
    """Three workers, short and long jobs of one task: how long a job waits while a worker has a free hand."""
    rows = []
    for width, long_share in ((1, 0.02), (10, 0.1)):
        with Bench(server) as bench, ExitStack() as stack:
            workers = [stack.enter_context(bench.worker(width)) for _ in range(3)]
            bench.meet(3)
            chance, calls = random.Random(7), []
            for number in range(3_000):
                calls.append(time.monotonic_ns())
                bench.jobs.enqueue("mixed", number, 100 if chance.random() < long_share else 1)
                time.sleep(chance.uniform(0, 0.004))
            wait_until(bench.settled, 60, "all jobs")
            ends = [worker.events("start", "end") for worker in workers]
            waits = sorted(idle_waits(calls, ends, width))
            cells = [f"{percentile(waits, 50):.1f}", f"{percentile(waits, 99):.1f}", f"{waits[-1]:.1f}"]
            rows.append([f"3 of {width} threads, {long_share:.0%} of the jobs take 100 ms", *cells])
    head = ["workers", "p50, ms", "p99", "longest"]
    note = "3,000 jobs of one task in 6 s, 1 ms or 100 ms: how long a job waited while some worker had a free thread."
    return {"title": "No hoarding", "note": note, "head": head, "rows": rows}


def idle_waits(calls: list[int], events: list[list[Event]], width: int) -> Iterable[float]:
    """Return for each job the ms from its call to its start in which some worker had a free thread."""
    busy = [0] * len(events)
    edges, free = [min(calls)], [0]  # until each edge, how many ns somebody was free
    starts = {}
    changes = sorted((event.at, which, event) for which, one in enumerate(events) for event in one)
    for at, which, event in changes:
        passed = at - edges[-1] if min(busy) < width else 0
        edges.append(at)
        free.append(free[-1] + passed)
        busy[which] += 1 if event.kind == "start" else -1
        if event.kind == "start":
            starts[event.number] = len(edges) - 1

    def until(moment: int) -> int:
        place = bisect_left(edges, moment)
        if place == 0 or free[place] == free[place - 1]:
            return free[max(place - 1, 0)]
        return free[place] - (edges[place] - moment)

    return [(free[starts[number]] - until(called)) / 1e6 for number, called in enumerate(calls)]


def beats(server: RedisServer) -> Section:
    """A stream as fast as it goes: does the worker's beat still come?"""
    with Bench(server) as bench:
        bench.pending(400_000)
        redis = bench.redis
        ages, left = [], []
        with bench.worker(10, 400_000) as worker:
            name = bench.meet(1)[0]
            card = keys.worker(bench.jobs.ns, name)
            whole = redis.pttl(card)
            while not worker.events("last"):
                seconds, micros = redis.time()
                ages.append((whole - redis.pttl(card)) / 1000)
                end = redis.zscore(keys.workers(bench.jobs.ns), name)
                left.append((end - seconds * 1000 - micros / 1000) / 1000)
                time.sleep(0.02)
    row = [f"{max(ages):.2f}", f"{min(left):.2f}"]
    head = ["longest time between two beats, s", "least time left of the lease, s"]
    note = "400,000 empty jobs without a pause; a beat is due every 3 s, and a lease lasts 15 s."
    return {"title": "A fast stream and the beat", "note": note, "head": head, "rows": [row]}


def million(server: RedisServer) -> Section:
    """The memory of a worker over a million jobs."""
    row, marks = [], [20_000, 100_000, 500_000]
    with Bench(server) as bench:
        bench.pending(1_000_000)
        with bench.worker(10, 1_000_000) as worker:
            for mark in marks:
                bench.shrink(1_000_000 - mark)
                row.append(f"{resident(worker.process.pid):.1f}")
            worker.wait("last")
            row.append(f"{resident(worker.process.pid):.1f}")
    head = [f"after {mark:,}" for mark in [*marks, 1_000_000]]
    return {"title": "Memory of a worker, MB", "note": "Empty jobs, one process.", "head": head, "rows": [row]}


class Bench:
    """Our queue on this Redis, and worker processes for it."""

    def __init__(self, server: RedisServer, url: str | None = None) -> None:
        self.url = url or server.url
        self.jobs = JobQueue.from_url(self.url, socket_timeout=60)
        self.redis: Any = self.jobs.redis

    def __enter__(self) -> "Bench":
        self.redis.flushall()
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()

    def worker(self, width: int, jobs: int = 0) -> Worker:
        """A worker process; the last of so many jobs is noted."""
        return Worker(OURS, self.url, "grow", width, jobs)

    def enqueue(self, value: Any) -> str:
        """Enqueue an empty job."""
        return self.jobs.enqueue("empty", value)

    def enqueue_far(self, value: Any) -> str:
        """Schedule one for the next year."""
        return self.jobs.enqueue_in(FAR, "empty", value)

    def pending(self, count: int, value: Any = 7) -> list[str]:
        """Enqueue many; return the ids."""
        chunk = 50_000
        parts = [self.jobs.enqueue_many([("empty", value)] * min(chunk, count - n)) for n in range(0, count, chunk)]
        return [one for part in parts for one in part]

    def plant(self, place: str, count: int, due: int = 0) -> list[str]:
        """Put copies of one job among the scheduled or the dead, as many as that; return the ids."""
        ns, redis = self.jobs.ns, self.redis
        if place == "scheduled":
            model, target = self.jobs.enqueue_in(FAR, "empty", 7), keys.scheduled(ns)
            score = str(due or int(redis.zscore(target, model)))
        else:
            model, target, score = self.jobs.enqueue("doomed", 7), keys.dead(ns), ""
            with self.worker(10):
                wait_until(lambda: redis.llen(target), 30, "a dead job")
        prefix, home = model[:-12], len(keys.job(ns, ""))
        for first in range(1, count + 1, 10_000):  # Redis answers nobody meanwhile
            last = min(first + 9_999, count)
            redis.eval(PLANT, 2, keys.job(ns, model), target, prefix, first, last, score, home)
        redis.zrem(target, model) if score else redis.lrem(target, 1, model)
        redis.delete(keys.job(ns, model))
        return [f"{prefix}{number:012d}" for number in range(1, count + 1)]

    def cost(self, call: Callable[[Any], object], values: Iterable[Any]) -> str:
        """Return the median µs of a call."""
        spent = []
        for value in values:
            started = time.perf_counter()
            call(value)
            spent.append(time.perf_counter() - started)
        return f"{median(spent) * 1e6:,.0f}"

    def worked(self, count: int) -> float:
        """Let a worker run the first so many jobs; return how many a second."""
        with self.worker(10, count) as worker:
            last, first = worker.wait("last")[0], worker.wait("first")[0]
        return (count - 1) / (last.at - first.at) * 1e9

    def promoted(self) -> tuple[str, str]:
        """Return how late jobs are that fall due while a worker waits, and how fast a herd is run."""
        producer = Producer(OURS, self.url)
        with self.worker(10) as worker:
            self.meet(1)
            wait_until(self.settled, 30, "a worker with nothing to do")
            times = producer.ask("later", CALLS // 10, 20)
            found = worker.wait("stamp", len(times))
            late = [(event.wall - times[event.number]) / 1e6 for event in found]
        producer.close()
        with self.worker(10, HERD) as worker:
            due = int((time.time() + 3) * 1000)
            self.plant("scheduled", HERD, due)
            last = worker.wait("last")[0]
        return (
            f"{percentile(late, 50):.1f} / {percentile(late, 99):.1f}",
            f"{HERD / (last.wall / 1e9 - due / 1e3):,.0f}",
        )

    def meet(self, count: int) -> list[str]:
        """Wait until there are so many workers and return their names."""
        wait_until(lambda: len(self.workers()) == count, 30, f"{count} workers")
        return self.workers()

    def workers(self) -> list[str]:
        """Return the names of the workers that there are."""
        return [text(name) for name in self.redis.zrange(keys.workers(self.jobs.ns), 0, -1)]

    def shrink(self, count: int) -> None:
        """Wait until no more than so many are pending."""
        wait_until(lambda: self.waiting() <= count, 120, f"{count} pending")

    def waiting(self) -> int:
        """Count the pending jobs."""
        return int(self.redis.llen(keys.pending(self.jobs.ns, "default")))

    def settled(self) -> bool:
        """Whether nothing is pending and nothing runs."""
        running = (self.redis.llen(keys.running(self.jobs.ns, name)) for name in self.workers())
        return not self.waiting() and not any(running)
