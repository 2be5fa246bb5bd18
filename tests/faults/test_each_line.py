"""A worker dies before and after each call to Redis that it makes; and Redis itself dies there.

A call is one script, or BRPOP with a script behind it: Redis runs it whole or not at all, so there is no line inside it
to die at. (Of the two requests on NOSCRIPT the first changes nothing.) Two more calls lead to what stands here already:
a leaving worker that was rung passes the bell on, and settles as ever. What runs twice is what the point explains: work
that was begun, perhaps done, and not told.
"""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Unavailable
from typing import Any, NamedTuple, TypeVar

import pytest
from redis import RedisError

from tests.conftest import Start
from tests.faults.harness import Crew, Process
from tests.servers import RedisServer, best_real, binary

Answer = TypeVar("Answer")
SWIFT: dict[str, Any] = {"lease": 1.5, "beat": 0.5, "crash_delay": 0.3}
SOON = 2.0  # seconds in which two calls are made for sure
PATIENCE = 150.0
OVER = ("done", "dead", "cancelled")


class Fate(NamedTuple):
    """What became of a job."""

    state: str = "done"
    starts: int = 1
    attempt: int = 1
    crashes: int = 0
    failures: int = 0


ONCE = Fate()
UNSEEN = Fate(attempt=2, crashes=1)  # taken by the dead and never begun
TWICE = Fate(starts=2, attempt=2, crashes=1)  # begun and not told
AGAIN = Fate(starts=2, attempt=2)  # begun, and given back
GIVEN_BACK = Fate(attempt=2)  # taken, never begun, given back


@dataclass
class Point:
    """Where a worker dies, what it leaves behind, and what must come of it.

    `at` is `verb moment mark`, as in program.py. The job of interest has the id `this-one`, another beside it
    `next-one`; each is given as task and arguments.
    """

    at: str
    this: tuple[Any, ...]
    left: str  # state of `this-one` at the death
    fate: Fate
    next: tuple[Any, ...] | None = None
    next_fate: Fate = ONCE
    away: bool = False  # `this-one` is in a list that the worker does not look at
    ghost: bool = False  # and was taken by one that died long ago
    delay: float = 0.0
    ready: bool = False  # enqueue when the worker is at work already
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.at.strip().replace(" ", "-")

    @property
    def fates(self) -> dict[str, Fate]:
        """What must become of each job."""
        return {"this-one": self.fate} | ({"next-one": self.next_fate} if self.next else {})

    def enqueue(self, crew: Crew) -> None:
        """Put the jobs where the worker will find them, all at once."""
        (name, *args), place = self.this, "away" if self.away or self.ghost else "default"
        calls: list[Any] = [(queue.named(name, id="this-one", queue=place), *args)]
        if self.delay:
            crew.jobs.enqueue_in(self.delay, *calls.pop())
        if self.next:
            calls.append((queue.named(self.next[0], id="next-one"), *self.next[1:]))
        crew.jobs.enqueue_many(calls)
        if self.ghost:
            crew.jobs.take("ghost", lease=0.001, queues=["away"])


def both(verb: str, mark: str, this: tuple[Any, ...], before: Any, after: Any, **more: Any) -> list[Point]:
    """Return the points before and after a call: each with what it leaves, and the fates."""
    points = []
    for moment, (left, *fates) in (("before", before), ("after", after)):
        others = {"next_fate": fates[1]} if len(fates) > 1 else {}
        points.append(Point(f"{verb} {moment} {mark}", this, left, fates[0], **others, **more))
    return points


DUE: dict[str, Any] = {
    "delay": SOON,
    "ready": True,
    "next": ("hangs",),
    "next_fate": TWICE,
}  # the one thread that rings is busy
SHORT: dict[str, Any] = {"options": {"batches": "sleepy"}}
GRACE: dict[str, Any] = {"options": {"grace": 0.3}}
POINTS = [
    # The bell.
    *both("ring", "", ("quick",), ("scheduled", ONCE), ("scheduled", ONCE), **DUE),
    # Sleeping on it, with a take behind the sleep.
    Point("send_take before 'nap'", ("quick",), "done", ONCE),
    Point("send_take sent 'nap'", ("quick",), "done", ONCE),
    Point("send_take answer this-one", ("quick",), "running", UNSEEN, delay=SOON, ready=True),
    # Taking: with empty hands, and with a job that has ended; `next-one` is handed out by the same call.
    Point("send_take before ", ("quick",), "pending", ONCE),
    Point("send_take sent ", ("quick",), "running", UNSEEN),
    Point("send_take answer this-one", ("quick",), "running", UNSEEN),
    *both("send_take", "this-one", ("quick",), ("running", TWICE, ONCE), ("done", ONCE, UNSEEN), next=("quick",)),
    Point("send_take sent this-one", ("quick",), "done", ONCE, ("quick",), UNSEEN),
    # Asking ahead, for the next leader, before the jobs of the first take begin.
    Point("send_take before #2", ("hangs",), "running", UNSEEN, ("quick",), options={"threads": 2}),
    Point("send_take sent #2", ("hangs",), "running", UNSEEN, ("quick",), UNSEEN, options={"threads": 2}),
    # Telling how a job ended.
    *both("finish", "this-one", ("leaves", 0.3), ("running", TWICE), ("done", ONCE)),
    *both(
        "retry",
        "this-one",
        ("fails_once",),
        ("running", Fate(starts=3, attempt=3, crashes=1, failures=1)),
        ("scheduled", Fate(starts=2, attempt=2, failures=1)),
    ),
    *both("snooze", "this-one", ("snoozes",), ("running", TWICE), ("scheduled", AGAIN)),
    *both(
        "bury",
        "this-one",
        ("gives_up",),
        ("running", Fate("dead", starts=2, attempt=2, crashes=1, failures=1)),
        ("dead", Fate("dead", failures=1)),
    ),
    *both(
        "cancel",
        "'this-one', (",  # by the worker; the job itself has asked for it
        ("quits",),
        ("running", Fate("cancelled", crashes=1)),
        ("cancelled", Fate("cancelled")),
    ),
    # Giving back: what waits behind a slow job, what was taken unknowingly, what runs when the worker is to leave.
    *both(
        "release",
        "next-one",
        ("sleepy", 1),
        ("running", TWICE, UNSEEN),
        ("running", TWICE, GIVEN_BACK),
        next=("sleepy", 0),
        **SHORT,
    ),
    *both(
        "release",
        "this-one",
        ("quick",),
        ("running", UNSEEN),
        ("pending", GIVEN_BACK),
        next=("forgets", "away"),
        away=True,
    ),
    *both("release", "this-one", ("leaves", 600), ("running", TWICE), ("pending", AGAIN), **GRACE),
    # The rest of leaving: the last beat with a lease, the one that ends it, taking back what is left.
    *both("beat", ", 1.5),", ("leaves", 600), ("running", TWICE), ("running", TWICE), **GRACE),
    *both("beat", ", 0),", ("leaves", 600), ("pending", AGAIN), ("pending", AGAIN), **GRACE),
    *both("reclaim", "-", ("leaves", 600), ("pending", AGAIN), ("pending", AGAIN), **GRACE),
    # The timekeeper: with a job in hand, and with the jobs of the dead.
    *both("beat", "'busy': 1", ("hangs",), ("running", TWICE), ("running", TWICE), ready=True),
    Point("reclaim before ", ("quick",), "running", UNSEEN, ghost=True),
    Point("reclaim answer this-one", ("quick",), "pending", UNSEEN, ghost=True),
]


@dataclass
class Run:
    """One point, being run."""

    point: Point
    crew: Crew
    victim: Process
    left: str = ""
    heir: Process | None = None

    def step(self) -> bool:
        """When the victim is dead start an heir; return whether that one has done all there is to do."""
        if self.victim.alive:
            return False
        if self.heir is None:
            self.left = self.crew.job("this-one").state
            self.heir = self.crew.start(ready=False, **SWIFT, threads=2, queues="default,away")
        jobs = [self.crew.job(job_id) for job_id in self.point.fates]
        return all(job.state in OVER for job in jobs) and self.alone()

    def alone(self) -> bool:
        """Whether nothing is left of the dead: no job in their hands, no entry in the register."""
        names = self.crew.register()
        held = [place for place in self.crew.places() if place != "dead"]
        return self.heir is not None and len(names) == 1 and self.crew.registered(self.heir) and not held

    def fates(self) -> dict[str, Fate]:
        """What became of each job."""
        starts = Counter(event.id for event in self.crew.events("start"))
        jobs = [self.crew.job(job_id) for job_id in self.point.fates]
        return {job.id: Fate(job.state, starts[job.id], job.attempt, job.crashes, job.failures) for job in jobs}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """All points, run side by side, each in a namespace of its own: waiting is most of it."""
    found = binary(best_real())
    if found is None:
        pytest.skip("no redis-server here")
    folder: Path = tmp_path_factory.mktemp("points")
    server = RedisServer(found).start()
    with ExitStack() as stack:
        stack.callback(server.close)
        runs: dict[str, Run] = {}
        for number, point in enumerate(POINTS):
            crew = stack.enter_context(Crew(server.url, folder, f"point-{number}"))
            options = SWIFT | {"threads": 1, "die": point.at} | point.options
            if not point.ready:
                point.enqueue(crew)
            runs[str(number)] = Run(point, crew, crew.start(ready=point.ready, **options))
            if point.ready:
                point.enqueue(crew)
        left, end = list(runs.values()), time.monotonic() + PATIENCE
        while left and time.monotonic() < end:
            left = [run for run in left if not run.step()]
            time.sleep(0.05)
        yield runs


@pytest.mark.parametrize("number", range(len(POINTS)), ids=lambda number: str(POINTS[number]))
def test_a_worker_may_die_at_each_call(runs: dict[str, Run], number: int) -> None:
    """What it leaves is what the call had done by then; all jobs come to their end, and each start is explained."""
    run = runs[str(number)]

    assert run.victim.popen.poll() == -9, f"did not die there: {run.victim.log}"
    assert (run.left, run.fates()) == (run.point.left, run.point.fates)
    assert run.alone()
    assert max(Counter((event.id, event.attempt) for event in run.crew.events("start")).values()) == 1
    assert run.heir is not None
    assert run.heir.alive
    assert "Traceback" not in run.heir.log


# Redis dies instead, and is started again with what it had written.

CALLS = [
    "send_take",
    "finish",
    "retry",
    "snooze",
    "bury",
    "release",
    "reclaim",
    "beat",
    "ring",
    "cancel",
]
STRIKES = [f"{verb} {moment} " for verb in CALLS for moment in ("before", "after")]
STRIKES += ["send_take sent ", "send_take before 'nap'", "send_take sent 'nap'"]
SOME: list[tuple[Any, ...]] = [  # a job for each way to end; two in one batch, of which the first is slow
    ("sleepy", 0.2),
    ("sleepy", 0),
    ("quick",),
    ("fails_once",),
    ("snoozes",),
    ("gives_up",),
    ("quits",),
]
MOST_STARTS = {
    "quick": 1,
    "sleepy": 1,
    "fails_once": 2,
    "snoozes": 2,
    "gives_up": 1,
    "quits": 2,
}  # it asks Redis itself


def surely(server: RedisServer, call: Callable[..., Answer], *args: Any) -> Answer:
    """Call until it is answered; start Redis again whenever it is gone."""
    while True:
        if server.process is None or server.process.poll() is not None:
            with suppress(RuntimeError):  # struck again before it was up
                server.start()
        with suppress(Unavailable, RedisError):
            return call(*args)


def enqueue_some(server: RedisServer, crew: Crew, turn: int) -> list[str]:
    """Enqueue a job of each kind, and one that is due soon."""
    calls = [(queue.named(name, id=f"{name}-{turn}-{n}"), *args) for n, (name, *args) in enumerate(SOME)]
    later = queue.named("quick", id=f"later-{turn}")
    return [*surely(server, crew.jobs.enqueue_many, calls), surely(server, crew.jobs.enqueue_in, 0.1, later)]


def test_redis_may_die_at_each_call(redis_server: Start, tmp_path: Path) -> None:
    """With everything written at once (appendfsync always) no job is lost, crashes, or runs again without a reason."""
    server = redis_server(appendonly="yes", appendfsync="always")
    with Crew(server.url, tmp_path) as crew:
        worker = crew.start(ready=False, **SWIFT, threads=3, batches="sleepy", victim=server.url, die=";".join(STRIKES))
        ids, turn, end = list[str](), 0, time.monotonic() + PATIENCE
        while any(f"dies at {point}\n" not in worker.log for point in STRIKES):
            assert time.monotonic() < end, worker.log
            ids, turn, pause = ids + enqueue_some(server, crew, turn), turn + 1, time.monotonic() + 0.5
            while time.monotonic() < pause:
                surely(server, crew.redis.ping)
        jobs = [surely(server, crew.job, job_id) for job_id in ids]
        while any(job.state not in OVER for job in jobs):
            assert time.monotonic() < end, [job for job in jobs if job.state not in OVER]
            jobs = [surely(server, crew.job, job_id) for job_id in ids]
        starts = Counter(event.id for event in crew.events("start"))

        assert [job for job in jobs if job.crashes or starts[job.id] > MOST_STARTS[job.task]] == []
        assert [job for job in jobs if (job.state == "dead") != (job.task == "gives_up")] == []
        assert max(Counter((event.id, event.attempt) for event in crew.events("start")).values()) == 1
        assert worker.alive
