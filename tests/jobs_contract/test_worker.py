"""The worker, in threads of this process: how tasks end, who runs what when, and how it stops."""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import (
    BadOption,
    GiveUp,
    Job,
    JobQueue,
    QueueError,
    Retry,
    Snooze,
    Unavailable,
    Worker,
    current_job,
    keys,
    named,
)
from queue.errors import TimeLimit
from queue.hands import Hands
from queue.job import MAX_ERROR
from queue.run import Run
from queue.tasks import Registry, Task
from typing import Any, cast

import pytest
import redis

from tests.servers import each_redis, wait_until

from .helpers import (
    NS,
    Gate,
    Look,
    a_patient_worker,
    a_worker,
    add,
    define,
    finish,
    running,
    take_one,
    tokens,
    wait_for,
    working,
)

BUSY = 0.001  # seconds of a sleep in which Python looks for interrupts


def forever() -> None:
    """A task that never ends by itself, and can be interrupted."""
    while True:
        time.sleep(BUSY)


def run_one(live: JobQueue, tasks: Registry, function: Callable[..., Any], *states: str, **options: Any) -> Job:
    """Run a job of this function until it has one of the states; return it as it is then."""
    define(tasks, function, **options)
    job_id = live.enqueue("greet")
    with working(a_worker(live, tasks, threads=1)):
        job = wait_for(live, job_id, *states)
    assert isinstance(job, Job)
    return job


# How tasks end.


@each_redis
def test_results_are_kept(live: JobQueue, look: Look, tasks: Registry) -> None:
    """What a task returns is its job's result, for as long as the task says."""
    define(tasks, lambda name, *, polite: {"greeting": f"hello {name}", "polite": polite}, result_ttl=77)
    job_id = live.enqueue("greet", "Ada 🐦", polite=True)
    with working(a_worker(live, tasks)):
        job = wait_for(live, job_id, "done")

    assert (job.result, job.attempt, job.failures) == ({"greeting": "hello Ada 🐦", "polite": True}, 1, 0)
    assert job.enqueued_at <= job.started_at <= job.finished_at
    assert 0 < look.ttl(job_id) <= 77_000


@each_redis
def test_each_job_runs_once(live: JobQueue, tasks: Registry) -> None:
    """Hundreds of short jobs over two workers with several threads."""
    ran: Counter[int] = Counter()
    define(tasks, lambda number: ran.update([number]))
    ids = live.enqueue_many([("greet", number) for number in range(300)])
    with working(a_worker(live, tasks, threads=3)), working(a_worker(live, tasks, threads=3)):
        for job_id in ids:
            wait_for(live, job_id, "done")

    assert ran == Counter(range(300))


@each_redis
def test_failures_are_retried_and_then_buried(live: JobQueue, look: Look, tasks: Registry) -> None:
    """`retries` failures are forgiven; after one more the job is dead, with the traceback."""
    seen: list[tuple[int, int, bool]] = []

    def fail() -> None:
        run = current_job()
        assert run is not None
        seen.append((run.attempt, run.failures, run.last_attempt))
        raise ValueError("this is why")

    job = run_one(live, tasks, fail, "dead", retries=2)

    assert seen == [(1, 0, False), (2, 1, False), (3, 2, True)]
    assert (job.reason, job.failures, job.attempt) == ("failed", 3, 3)
    assert job.error is not None
    assert job.error.startswith("Traceback")
    assert job.error.strip().endswith("ValueError: this is why")
    assert look.dead() == [job.id]


def test_the_enqueuer_may_choose_the_retries(live: JobQueue, tasks: Registry) -> None:
    """What the job says counts, not what the task says."""
    define(tasks, lambda: 1 / 0, retries=5)
    job_id = live.enqueue(named("greet", retries=1))
    with working(a_worker(live, tasks)):
        assert wait_for(live, job_id, "dead").failures == 2


def test_a_task_that_fails_at_first_ends_well(live: JobQueue, tasks: Registry) -> None:
    """The third time it works: done, with two failures on record."""
    job = run_one(live, tasks, lambda: 1 / (current_job().attempt // 3), "done")  # type: ignore[union-attr]  # inside

    assert (job.result, job.failures, job.attempt) == (1.0, 2, 3)


def raises(error: BaseException) -> Callable[[], None]:
    """Return a task that raises this."""

    def task() -> None:
        raise error

    return task


def test_retry_after(live: JobQueue, tasks: Registry) -> None:
    """The task chooses when; it counts as a failure."""
    job = run_one(live, tasks, raises(Retry("busy", after=600)), "scheduled")

    assert (job.failures, job.state) == (1, "scheduled")
    assert job.due_at is not None
    assert job.started_at is not None
    assert job.due_at >= job.started_at + 600_000
    assert "busy" in (job.error or "")


def test_retry_is_a_failure_like_any_other(live: JobQueue, tasks: Registry) -> None:
    """Asking again and again does not make a job immortal."""
    job = run_one(live, tasks, raises(Retry(after=0)), "dead", retries=1)

    assert (job.failures, job.reason) == (2, "failed")


def test_snooze(live: JobQueue, tasks: Registry) -> None:
    """Later, and no failure, whatever retries are left."""
    job = run_one(live, tasks, raises(Snooze(600)), "scheduled", retries=0)

    assert (job.failures, job.error) == (0, None)
    assert job.due_at is not None
    assert job.started_at is not None
    assert job.due_at >= job.started_at + 600_000


def test_give_up(live: JobQueue, tasks: Registry) -> None:
    """Dead at once, with the words of the task."""
    job = run_one(live, tasks, raises(GiveUp("account suspended")), "dead", retries=5)

    assert (job.attempt, job.reason) == (1, "gave up")
    assert "account suspended" in (job.error or "")


class EvilText(Exception):
    """An error that cannot be printed."""

    def __str__(self) -> str:
        raise ValueError("no text")


class WorseText(Exception):
    """An error whose text ends the program."""

    def __str__(self) -> str:
        raise SystemExit("no text")


class EvilGiveUp(GiveUp):
    """A verdict that cannot be printed."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


class NoText(Exception):
    """An error whose text is none."""

    def __str__(self) -> Any:
        return None


def recurse() -> None:
    """Never return."""
    recurse()


ENDS: dict[str, Callable[[], Any]] = {
    "SystemExit": raises(SystemExit(3)),
    "KeyboardInterrupt": raises(KeyboardInterrupt()),
    "GeneratorExit": raises(GeneratorExit()),
    "BaseException": raises(BaseException("base")),
    "BaseExceptionGroup": raises(BaseExceptionGroup("several", [SystemExit(), ValueError()])),
    "MemoryError": raises(MemoryError()),
    "TimeoutError": raises(TimeoutError()),
    "StopIteration": raises(StopIteration()),
    "recursion": recurse,
    "huge": raises(ValueError("x" * 5_000_000)),
    "EvilText": raises(EvilText()),
    "WorseText": raises(WorseText()),
    "EvilGiveUp": raises(EvilGiveUp()),
    "NoText": raises(NoText()),
    "surrogate": raises(ValueError("\ud800")),
    "NUL": raises(ValueError("\x00")),
    "of the queue": raises(QueueError("mine")),
    "of its own waits": lambda: Snooze(float("nan")),
    "a retry of nonsense": lambda: Retry(after="soon"),  # type: ignore[arg-type]  # wrong, or wider, on purpose
    "thread": lambda: (_ for _ in ()).throw(threading.ThreadError()),
    "IndexError": raises(IndexError("as the worker's own")),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_a_task_raises_the_others_go_on(live: JobQueue, tasks: Registry, end: str) -> None:
    """The one thread that there is runs the next job, and the one that raised is dead with an error."""
    define(tasks, ENDS[end], "evil", retries=0)
    define(tasks, lambda: "fine")
    evil, good = live.enqueue("evil"), live.enqueue("greet")
    with working(a_worker(live, tasks, threads=1)):
        dead = wait_for(live, evil, "dead")
        assert wait_for(live, good, "done").result == "fine"

    assert dead.reason in ("failed", "gave up")
    assert dead.error
    assert len(dead.error) <= MAX_ERROR


@pytest.mark.parametrize(
    "result", [{1}, object(), float("nan"), {(1, 2): 3}, b"bytes"], ids=lambda value: type(value).__name__
)
def test_a_result_that_is_no_json_buries_at_once(live: JobQueue, tasks: Registry, result: Any) -> None:
    """The work is done: doing it again would not help. Dead, and the error says why."""
    ran: list[int] = []

    def task() -> Any:
        ran.append(1)
        return result

    job = run_one(live, tasks, task, "dead", retries=5)

    assert (len(ran), job.attempt) == (1, 1)
    assert "JSON" in (job.error or "")


@pytest.mark.parametrize(
    "backoff", [lambda f, j: 1 / 0, lambda f, j: None, lambda f, j: float("nan"), lambda f, j: -5, lambda: 1]
)
def test_a_backoff_that_fails_is_replaced(live: JobQueue, tasks: Registry, backoff: Any) -> None:
    """Somebody's own function raises, or gives nonsense: the usual wait is used."""
    job = run_one(live, tasks, lambda: 1 / 0, "scheduled", backoff=backoff)

    assert job.failures == 1
    assert job.due_at is not None
    assert job.started_at is not None
    assert job.due_at >= job.started_at + 15_000


def test_a_backoff_gets_the_failures(live: JobQueue, tasks: Registry) -> None:
    """From one on, and a number for its jitter."""
    given: list[tuple[int, float]] = []

    def backoff(failures: int, jitter: float) -> float:
        given.append((failures, jitter))
        return 0

    run_one(live, tasks, lambda: 1 / 0, "dead", retries=2, backoff=backoff)

    assert [failures for failures, _ in given] == [1, 2]
    assert all(0 <= jitter <= 1 for _, jitter in given)


# Time limits and requests to stop.


def test_a_time_limit_is_raised_inside_the_task(live: JobQueue, tasks: Registry) -> None:
    """It cannot be swallowed by `except Exception`; the job is dead, and says at which line."""
    witness: list[type[BaseException]] = []

    def stubborn() -> None:
        try:
            while True:
                with suppress(Exception):
                    forever()
        except BaseException as error:
            witness.append(type(error))
            raise

    job = run_one(live, tasks, stubborn, "dead", timeout=0.15, retries=0)

    assert witness == [TimeLimit]
    assert job.reason == "timed out"
    assert "0.15 s" in (job.error or "")
    assert "forever" in (job.error or "")


def test_a_time_limit_counts_as_a_failure(live: JobQueue, tasks: Registry) -> None:
    """It is retried as any other."""
    job = run_one(live, tasks, forever, "dead", timeout=0.05, retries=1)

    assert (job.failures, job.attempt) == (2, 2)


def test_an_interrupt_never_lands_outside_the_task(jobs: JobQueue) -> None:
    """Raised at any moment around the end of a task: the thread that ran it goes on undisturbed."""
    current: list[Run] = []
    stop = threading.Event()

    def interrupter() -> None:
        while not stop.is_set():
            for run in current[-1:]:
                for _ in range(random.randrange(200)):
                    pass
                run.interrupt(TimeLimit)

    thread = threading.Thread(target=interrupter)
    thread.start()
    outcomes: Counter[str] = Counter()
    try:
        for number in range(3000):
            task = Task("greet", lambda: sum(range(random.randrange(300))))
            run = Run(
                "a", number, "default", "greet", "[]", "", 0, 0, 1, 0.0, False, ("a", "1", "1"), task, jobs, "ann"
            )
            current.append(run)
            try:
                run.call()
                outcomes["returned"] += 1
            except TimeLimit:
                outcomes["interrupted"] += 1
            for _ in range(50):  # here a late one would land
                len(str(number))
    finally:
        stop.set()
        thread.join()

    assert outcomes.total() == 3000


def test_a_task_that_returns_in_time_is_not_interrupted(live: JobQueue, tasks: Registry) -> None:
    """The limit of one job is not that of the next in the same thread."""
    define(tasks, lambda: time.sleep(0.02), timeout=0.2, retries=0)
    ids = [live.enqueue("greet") for _ in range(20)]
    with working(a_worker(live, tasks, threads=1)):
        assert {wait_for(live, job_id, "done", "dead").state for job_id in ids} == {"done"}


@each_redis
def test_cancel_stops_a_running_job(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Its worker hears of it with the next beat, raises inside the task, and the job is cancelled."""
    started = threading.Event()

    def task() -> None:
        started.set()
        forever()

    define(tasks, task)
    job_id = live.enqueue("greet")
    with working(a_worker(live, tasks)):
        assert started.wait(20)
        assert live.cancel(job_id) == "stopping"
        job = wait_for(live, job_id, "cancelled")

    assert (job.failures, job.error) == (0, None)
    assert look.ttl(job_id) > 0


# Who runs what, and when.


def test_urgent_lists_come_first(live: JobQueue, tasks: Registry) -> None:
    """All of the first list before any of the second."""
    order: list[str] = []
    define(tasks, order.append)
    ids = [live.enqueue(named("greet", queue=name), name) for name in ("low", "high", "low", "high", "low", "high")]
    with working(a_worker(live, tasks, threads=1, queues=("high", "low"))):
        for job_id in ids:
            wait_for(live, job_id, "done")

    assert order == ["high"] * 3 + ["low"] * 3


@each_redis
def test_scheduled_jobs_are_never_early(live: JobQueue, tasks: Registry) -> None:
    """By the clock of Redis each starts at its time or after it."""
    define(tasks, lambda: None)
    ids = [live.enqueue_in(random.uniform(0.01, 1), "greet") for _ in range(25)]  # 0 ms is now: no time at all
    with working(a_worker(live, tasks)):
        ended = [wait_for(live, job_id, "done") for job_id in ids]

    assert all(job.started_at >= job.due_at for job in ended)


def test_an_unknown_task_waits_for_a_deploy(live: JobQueue, tasks: Registry) -> None:
    """It is snoozed: no failure, and somebody who knows it may come."""
    job_id = live.enqueue("mystery")
    with working(a_worker(live, tasks)):
        job = wait_for(live, job_id, "scheduled")

    assert (job.failures, job.error, job.reason) == (0, None, None)
    assert job.due_at >= job.started_at + 5000


def test_an_unknown_task_is_dead_a_day_after(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Nobody will ever know it: dead, with its name in the error."""
    second, _ = look.raw.time()
    yesterday = JobQueue(live.redis, clock=lambda: (second - 24 * 3600 - 60) * 1000)
    job_id = yesterday.enqueue("mystery")
    with working(a_worker(live, tasks)):
        job = wait_for(live, job_id, "dead")

    assert (job.reason, job.failures) == ("unknown task", 0)
    assert "mystery" in (job.error or "")


@each_redis
def test_what_waits_behind_a_slow_job_goes_to_idle_hands(live: JobQueue, tasks: Registry) -> None:
    """A batch whose first job blocks: the other thread gets the rest at once, and only then the slow one ends."""
    gate = Gate()
    define(tasks, gate)
    with working(a_worker(live, tasks)) as worker:
        for job_id in live.enqueue_many([("greet", False)] * 200):  # so that it knows how short these are
            wait_for(live, job_id, "done")
        wait_until(lambda: worker.pace["greet"] * 20 < 0.01, 20, "a pace for batches")
        live.pause("default")
        slow, *rest = live.enqueue_many([("greet", True)] + [("greet", False)] * 15)
        live.resume("default")
        assert gate.reached.wait(20)
        for job_id in rest:
            wait_for(live, job_id, "done")
        job = live.status(slow)
        assert job is not None
        assert job.state == "running"
        gate.opened.set()
        wait_for(live, slow, "done")


@contextmanager
def fast_asleep(jobs: JobQueue, tasks: Registry, **options: Any) -> Iterator[Worker]:
    """Run a worker that sleeps longer than any test waits, unless a bell wakes it."""
    worker = a_worker(jobs, tasks, lease=90, beat=30, **options)
    worker.nap = 24
    with working(worker):
        wait_until(lambda: worker.dozing, 20, "an idle worker")
        yield worker
        worker.stop()
        wait_until(worker.stopping.is_set, 20)  # else it sleeps on, and takes what other tests enqueue
        jobs.ring(worker.queues[0])


@pytest.mark.parametrize("redis_url", ["redis7", "redis62"], indirect=True)
@pytest.mark.parametrize("call", ["enqueue", "ring"])
def test_a_worker_told_to_leave_in_its_sleep_keeps_nothing(
    live: JobQueue, look: Look, tasks: Registry, call: str
) -> None:
    """The job that it is given when it wakes goes back unbegun; a bell that brings none rings for the next."""
    define(tasks, lambda: None)
    worker = a_worker(live, tasks, lease=90, beat=30)
    worker.nap = 24
    with working(worker):
        wait_until(lambda: worker.dozing, 20, "an idle worker")
        worker.stop()
        wait_until(worker.stopping.is_set, 20)
        look.silence()
        live.enqueue(named("greet", id="a")) if call == "enqueue" else live.ring("default")

    if call == "enqueue":
        assert (look.job("a")["state"], look.job("a").get("crashes")) == ("pending", None)
    assert (look.bell(), look.workers()) == (1, {})


@pytest.mark.parametrize("redis_url", ["redis7", "redis62"], indirect=True)
def test_a_replica_is_refused_for_now_and_left(live: JobQueue, look: Look) -> None:
    """After a failover the name leads elsewhere: the connection is not kept, though a take of nothing succeeds."""
    token = running(live)
    sleeper = live.sibling(1)
    look.raw.replicaof("127.0.0.1", 1)
    try:
        for refused in (lambda: live.bury("ann", token, "failed", ""), lambda: sleeper.take("bob", nap=0.05)):
            with pytest.raises(QueueError):
                refused()
        with pytest.raises(Unavailable):
            live.bury("ann", token, "failed", "")
        assert [connection._sock for connection in sleeper.wire.spare] == [None]
    finally:
        look.raw.replicaof("NO", "ONE")


def test_who_is_told_to_leave_asks_for_no_more(live: JobQueue, look: Look, tasks: Registry) -> None:
    """What lies behind the job that a leaving sleeper is given stays where it is."""
    define(tasks, lambda: None)
    worker = a_worker(live, tasks, threads=3, lease=90, beat=30)
    worker.nap = 24
    worker.pace["greet"] = 0.0001
    asked: list[object] = []
    leading: Any = worker.leading
    send = leading.send_take

    def noted(*given: Any, **more: Any) -> Any:
        asked.append(more)
        return send(*given, **more)

    leading.send_take = noted
    with working(worker):
        wait_until(lambda: worker.dozing, 20, "an idle worker")
        worker.stop()
        wait_until(worker.stopping.is_set, 20)
        before = len(asked)
        live.enqueue_many([("greet",)] * 50)

    assert (look.bell(), look.workers(), len(asked)) == (1, {}, before)


def test_a_bell_that_cannot_be_slept_on_is_no_reason_to_spin(live: JobQueue, look: Look, tasks: Registry) -> None:
    """A list that is open still brings its jobs."""
    define(tasks, lambda: None)
    live.pause("low")
    look.raw.set(keys.bell(NS, "low"), "no list")
    worker = a_worker(live, tasks, threads=1, queues=("low", "default"))
    with working(worker):
        look.raw.config_resetstat()
        time.sleep(1)
        calls = look.raw.info("commandstats")["cmdstat_brpop"]["calls"]
        assert wait_for(live, live.enqueue("greet"), "done")
        look.raw.delete(keys.bell(NS, "low"))

    assert calls < 20


@pytest.mark.parametrize("redis_url", ["redis7", "redis62"], indirect=True)  # no net: not for an imitation
@pytest.mark.parametrize("name", ["high", "low"])
@pytest.mark.parametrize("how", ["now", "later", "resumed"])
def test_an_idle_worker_is_woken_by_a_bell(live: JobQueue, tasks: Registry, name: str, how: str) -> None:
    """No poll decides when a job starts: not one that comes now, not one that falls due, not one of a resumed list."""
    define(tasks, lambda: None)
    if how == "resumed":
        live.pause(name)
        live.enqueue(named("greet", id="a", queue=name))
    with fast_asleep(live, tasks, queues=("high", "low")):
        if how == "now":
            live.enqueue(named("greet", id="a", queue=name))
        elif how == "later":
            live.enqueue_in(0.2, named("greet", id="a", queue=name))
        else:
            live.resume(name)
        wait_for(live, "a", "done")


def test_an_idle_worker_hears_of_an_earlier_time(live: JobQueue, tasks: Registry) -> None:
    """It sleeps until a job in an hour; the time is changed to soon, and it wakes then."""
    define(tasks, lambda: None)
    job_id = live.enqueue_in(3600, "greet")
    with fast_asleep(live, tasks):
        job = live.status(job_id)
        assert job is not None
        assert job.enqueued_at is not None
        assert live.reschedule(job_id, job.enqueued_at / 1000 + 1) == "rescheduled"
        wait_for(live, job_id, "done")


def test_pause_and_resume(live: JobQueue, tasks: Registry) -> None:
    """Paused, a list waits and others run; resumed, it goes on."""
    define(tasks, lambda: None)
    live.pause("low")
    with working(a_worker(live, tasks, queues=("low", "high"))):
        low, high = live.enqueue(named("greet", queue="low")), live.enqueue(named("greet", queue="high"))
        wait_for(live, high, "done")
        job = live.status(low)
        assert job is not None
        assert job.state == "pending"
        live.resume("low")
        wait_for(live, low, "done")


def test_a_leader_asks_for_the_next_one_if_there_is_one(live: JobQueue, look: Look, tasks: Registry) -> None:
    """With a thread free to run what comes, the next take is on its way before the jobs run; else nothing is taken."""
    define(tasks, lambda: None)
    worker = a_patient_worker(live, tasks, threads=2)
    add(live, *"abc")
    worker._next_jobs()
    assert len(worker.asked) == 1
    wait_until(lambda: look.running(worker.name) == ["a", "b"], 10, "the second take to arrive")

    worker.at_work.add(0)  # the other thread
    taken = worker._next_jobs()
    assert taken is not None
    assert (taken.ids, bool(worker.asked), look.pending()) == (["b"], False, ["c"])
    worker._leave()
    assert look.pending() == ["a", "b", "c"]


def test_two_takes_are_under_way(live: JobQueue, tasks: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a leader reads his answer Redis works at the next one."""
    define(tasks, lambda: None)
    worker = a_patient_worker(live, tasks, threads=3)
    add(live, *"abcd")
    worker._next_jobs()
    read, under_way = worker.leading.wire._in_turn, list[int]()

    def counted(*given: Any) -> Any:
        under_way.append(len(worker.leading.wire.under_way))
        return read(*given)

    monkeypatch.setattr(worker.leading.wire, "_in_turn", counted)
    worker._next_jobs()
    assert (under_way, len(worker.asked)) == ([2], 1)
    worker._leave()


def test_a_leader_settles_nothing_but_what_his_take_carries(live: JobQueue, tasks: Registry) -> None:
    """What he was given must begin before the beat may give it back."""
    define(tasks, lambda: None)
    worker = a_patient_worker(live, tasks, threads=3)
    add(live, *"abcd")
    worker.hands.end("retry", [], lambda jobs: bool(jobs.wire.call("PING")))
    worker._next_jobs()
    worker._next_jobs()
    assert (len(worker.hands.others), len(worker.asked)) == (1, 1)
    worker._leave()
    assert not worker.hands.others


def test_what_cannot_be_told_keeps_nobody_awake(live: JobQueue, tasks: Registry) -> None:
    """An ending that Redis refuses is tried again at each beat; meanwhile the leader sleeps on the bells."""
    worker, takes = a_worker(live, tasks), list[float]()
    leading: Any = worker.leading
    send = leading.send_take

    def noted(*given: Any, **more: Any) -> Any:
        takes.append(more.get("nap", 0))
        return send(*given, **more)

    def refused(_: JobQueue) -> bool:
        raise Unavailable("refused")

    leading.send_take = noted
    worker.hands.end("retry", [], refused)
    with working(worker):
        wait_until(lambda: sum(nap > 0 for nap in takes) >= 2, 20, "two sleeps")
        worker.hands.others.clear()

    assert len(takes) < 20


def test_an_answer_that_comes_too_late_is_none(
    live: JobQueue, look: Look, tasks: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """By then the beat may give back what it brings. What it settled is settled."""
    define(tasks, lambda: 1 / 0)
    worker = a_patient_worker(live, tasks, threads=1)
    add(live, "a")
    worker.fresh = -1.0
    worker._run_batch(worker._take())
    assert "too late" in caplog.text
    assert (look.running(worker.name), worker.hands.held) == (["a"], {})  # the beat finds it, and gives it back
    worker._leave()


def test_what_comes_in_time_is_known_from_then_on(live: JobQueue, tasks: Registry) -> None:
    """Were it known later than it was found in time, the beat could give it back while it begins."""
    known: list[int] = []

    class Fresh(float):
        def __lt__(self, since: float) -> bool:
            known.append(len(worker.hands.held))
            return super().__lt__(since)

    define(tasks, lambda: None)
    worker = a_patient_worker(live, tasks, threads=1)
    worker.fresh = Fresh(worker.fresh)
    add(live, "a")
    worker._run_batch(worker._take())
    assert known == [1]
    worker._leave()


def test_leaving_does_not_wait_for_a_thousand_endings(live: JobQueue, tasks: Registry) -> None:
    """On a slow network they would take longer than a platform waits. What was not told is given back."""

    def slowly(_: JobQueue) -> bool:
        time.sleep(0.1)
        return True

    worker = a_patient_worker(live, tasks, threads=1)
    for _ in range(100):
        worker.hands.end("retry", [], slowly)
    worker._leave()
    assert worker.hands.others


def test_what_ended_well_is_told_no_longer_than_allowed() -> None:
    """The beat has to go on, whatever ends meanwhile."""
    hands, nobody = Hands("ann"), cast(Any, None)
    hands.finished.append(nobody)
    hands.settle(nobody, 0.0)
    assert list(hands.finished) == [nobody]


@pytest.mark.parametrize("kind", [Retry, Snooze])
def test_an_own_kind_of_verdict_that_names_no_time(live: JobQueue, tasks: Registry, kind: type[Exception]) -> None:
    """Its class does not call ours when it is made, or says nonsense: it waits as after a failure."""

    class Own(kind):  # type: ignore[misc, valid-type]  # each in turn
        def __init__(self, after: object) -> None:
            if after != "nothing":
                self.after = after

    for number, after in enumerate(("nothing", "soon", -1, float("nan"))):
        define(tasks, raises(Own(after)), retries=1)
        job_id = live.enqueue(named("greet", id=f"own-{number}"))
        with working(a_worker(live, tasks)):
            job = wait_for(live, job_id, "scheduled")
        assert job.failures == (kind is Retry)
        assert job.due_at >= job.started_at + 15_000
        tasks.tasks.clear()


def test_only_tasks_that_are_known_have_a_pace(live: JobQueue, tasks: Registry) -> None:
    """Each take tells Redis of all paces: names that anybody can make up would add up."""
    worker = a_worker(live, tasks)
    with working(worker):
        wait_for(live, live.enqueue("mystery"), "scheduled")

    assert worker.pace == {}


def test_the_beat_does_not_wait_for_what_is_to_be_settled(live: JobQueue, tasks: Registry) -> None:
    """A thousand endings over a slow network take longer than a lease."""

    def slowly(_: JobQueue) -> bool:
        time.sleep(0.1)
        return True

    worker = a_worker(live, tasks)
    for _ in range(100):
        worker.hands.end("retry", [], slowly)
    worker.time._beat()
    assert worker.hands.others


def test_an_ending_that_cannot_be_told_is_not_the_end(live: JobQueue, tasks: Registry) -> None:
    """Memory is short when it is told: the job is given back, and runs again."""

    def fail() -> None:
        raise ValueError

    define(tasks, fail, retries=0)
    worker, short = a_worker(live, tasks), [True]
    for jobs in (worker.leading, worker.settling, worker.beating):

        def bury(*given: Any, real: Any = jobs.bury, **named: Any) -> Any:
            if short:
                short.pop()
                raise MemoryError
            return real(*given, **named)

        jobs.bury = bury  # type: ignore[method-assign]  # replaced
    with working(worker):
        assert wait_for(live, live.enqueue("greet"), "dead").attempt == 2


@pytest.mark.parametrize("reason", [("account", 7), None, "", "\ud800", "x" * 5_000], ids=ascii)
def test_a_reason_is_whatever_a_task_says(live: JobQueue, tasks: Registry, reason: Any) -> None:
    """It is stored as text, within bounds, and the others go on."""

    def give_up() -> None:
        error = GiveUp("no")
        error.reason = reason
        raise error

    define(tasks, give_up)
    define(tasks, lambda: None, "fine")
    with working(a_worker(live, tasks)):
        dead = wait_for(live, live.enqueue("greet"), "dead")
        wait_for(live, live.enqueue("fine"), "done")
    assert dead.reason
    assert len(dead.reason) <= 2_000


def test_a_backoff_that_exits_ends_no_thread(live: JobQueue, tasks: Registry) -> None:
    """Somebody's own function; the default one takes its place."""

    def fail() -> None:
        raise ValueError

    define(tasks, fail, backoff=lambda failures, jitter: sys.exit())
    define(tasks, lambda: None, "fine")
    with working(a_worker(live, tasks)):
        for job_id in [live.enqueue("greet") for _ in range(3)]:
            wait_for(live, job_id, "scheduled")
        wait_for(live, live.enqueue("fine"), "done")


def test_a_client_that_decodes_meets_no_more_than_others(
    live: JobQueue, look: Look, tasks: Registry, redis_url: str
) -> None:
    """Bytes that are no text, put there by hand, stop nobody."""
    define(tasks, lambda *given: None)
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    jobs = JobQueue(client, live.namespace)
    bad, good = jobs.enqueue("greet", 1), jobs.enqueue("greet", 2)
    look.raw.hset(keys.job(live.ns, bad), "args", b'["\xff"]')
    with working(a_worker(jobs, tasks)):
        wait_for(live, good, "done")
        wait_for(live, bad, "done", "dead")
    jobs.close()


def test_what_was_asked_for_goes_back_at_the_end(live: JobQueue, look: Look, tasks: Registry) -> None:
    """A worker that leaves reads the answer that nobody has read yet; no crash and no failure is counted."""
    define(tasks, lambda: None)
    worker = a_patient_worker(live, tasks, threads=2)
    add(live, *"abc")
    worker._next_jobs()
    worker._leave()

    assert look.pending() == ["a", "b", "c"]
    assert (look.job("b").get("crashes"), look.job("b").get("failures")) == (None, None)


def test_current_job_tells_about_itself(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Inside a task: id, attempt, failures, whether it is the last try, and whether it still is ours."""
    seen: list[Any] = []

    def look_around() -> None:
        run = current_job()
        assert run is not None
        seen.append((run.id, run.attempt, run.failures, run.last_attempt, run.still_mine()))
        look.raw.hset(keys.job(NS, run.id), "worker", "another")
        seen.append(run.still_mine())
        look.raw.hset(keys.job(NS, run.id), "worker", run.worker)

    job = run_one(live, tasks, look_around, "done", retries=0)

    assert seen == [(job.id, 1, 0, True, True), False]
    assert current_job() is None


def test_still_mine_needs_redis(live: JobQueue, tasks: Registry) -> None:
    """After a FLUSHALL the job is nobody's."""
    answers: list[bool] = []

    def task() -> None:
        live.redis.flushall()
        run = current_job()
        assert run is not None
        answers.append(run.still_mine())

    define(tasks, task)
    live.enqueue("greet")
    with working(a_worker(live, tasks)):
        wait_until(lambda: answers, 20)

    assert answers == [False]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("args", "{not json"),
        ("args", "7"),
        ("args", "[1\n2\n"),
        ("kwargs", "[]"),
        ("failures", "x"),
        ("enqueued_at", "x"),
    ],
)
def test_a_job_that_makes_no_sense_is_buried(
    live: JobQueue, look: Look, tasks: Registry, field: str, value: str
) -> None:
    """Its hash was spoilt by hand: dead as a bad entry without being run, and the next one runs."""
    define(tasks, lambda *args, **kwargs: None)
    bad, good = live.enqueue("greet"), live.enqueue("greet")
    look.raw.hset(keys.job(NS, bad), field, value)
    with working(a_worker(live, tasks, threads=1)):
        job = wait_for(live, bad, "dead")
        wait_for(live, good, "done")

    assert job.reason == "bad entry"


# Stopping, and what goes wrong around it.


def join_crew() -> None:
    """Wait for threads of a worker that left while a task still ran."""
    for thread in threading.enumerate():
        if thread.name.startswith("queue-"):
            thread.join(20)


@each_redis
def test_stop_gives_back_what_does_not_end(live: JobQueue, look: Look, tasks: Registry) -> None:
    """The running job goes to the front of its list: no failure, no crash; what it does later changes nothing."""
    gate = Gate()
    define(tasks, gate)
    running, waiting = live.enqueue("greet"), live.enqueue("greet")
    with working(a_worker(live, tasks, threads=1, grace=0.05)):
        assert gate.reached.wait(20)
    assert look.pending() == [running, waiting]
    job = live.status(running)
    assert job is not None
    assert (job.state, job.failures, job.crashes, job.attempt) == ("pending", 0, 0, 1)
    assert look.workers() == {}

    gate.opened.set()
    join_crew()
    assert look.pending() == [running, waiting]


def test_stop_lets_running_jobs_end(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Within the time of grace: done and settled before `run` returns; nothing new is taken."""
    started = threading.Event()

    def task() -> None:
        worker.stop()
        worker.stop()
        started.set()
        time.sleep(0.1)

    define(tasks, task)
    first, second = live.enqueue("greet"), live.enqueue("greet")
    worker = a_worker(live, tasks, threads=1)
    with working(worker):
        assert started.wait(20)
    job = live.status(first)

    assert job is not None
    assert (job.state, look.pending(), look.running(worker.name)) == ("done", [second], [])
    assert look.raw.keys("{queue}:worker*") == []


def test_stop_before_the_start(live: JobQueue, look: Look, tasks: Registry) -> None:
    """A signal that came early: the worker leaves at once, and leaves no trace."""
    add(live, "a")
    worker = a_worker(live, tasks)
    worker.stop()
    with working(worker):
        pass

    assert look.workers() == {}
    job = live.status("a")
    assert job is not None
    assert job.state in ("pending", "scheduled")


def test_a_take_whose_answer_was_lost_is_found(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Redis says that this worker holds a job of which it knows nothing: given back, and run, with nothing counted."""
    define(tasks, lambda: "ran")
    worker = a_worker(live, tasks)
    add(live, "a")
    assert live.take(worker.name).ids == ["a"]
    with working(worker):
        job = wait_for(live, "a", "done")

    assert (job.attempt, job.failures, job.crashes, job.result) == (2, 0, 0, "ran")


@each_redis
def test_the_jobs_of_a_dead_worker_run_again(live: JobQueue, tasks: Registry) -> None:
    """Its lease is over: one crash is counted, and the job runs to its end."""
    define(tasks, lambda: "ran")
    add(live, "a")
    take_one(live, "ghost", lease=0.05)
    with working(a_worker(live, tasks)):
        job = wait_for(live, "a", "done")

    assert (job.attempt, job.failures, job.crashes) == (2, 0, 1)


@pytest.mark.parametrize("redis_url", ["redis7", "redis62"], indirect=True)
def test_three_connections_whatever_the_threads(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Leading, settling, beating; and all are closed or given up when it has left."""
    define(tasks, lambda: time.sleep(0.005))
    live.status("a")
    before = {client["id"] for client in look.raw.client_list()}
    with working(a_worker(live, tasks, threads=8)):
        for _ in range(5):
            for job_id in live.enqueue_many([("greet",)] * 20):
                wait_for(live, job_id, "done")
        now = {client["id"] for client in look.raw.client_list()}
        assert len(now - before) == 3


@pytest.mark.parametrize("fault", ["client kill", "script flush"])
def test_connections_and_scripts_may_go_at_any_time(live: JobQueue, look: Look, tasks: Registry, fault: str) -> None:
    """Every job is done all the same."""
    define(tasks, lambda: time.sleep(0.002))
    ids = live.enqueue_many([("greet",)] * 100)
    with working(a_worker(live, tasks)):
        for job_id in ids[::10]:
            wait_for(live, job_id, "done")
            if fault == "client kill":
                look.raw.client_kill_filter(_type="normal", skipme=True)
            else:
                look.raw.script_flush()
        for job_id in ids:
            wait_for(live, job_id, "done")


def test_flushall_in_the_middle(live: JobQueue, look: Look, tasks: Registry) -> None:
    """What ran is nobody's any more; the worker registers anew and runs what comes."""
    gate = Gate()
    define(tasks, gate)
    live.enqueue("greet")
    with working(a_worker(live, tasks)):
        assert gate.reached.wait(20)
        look.raw.flushall()
        job_id = live.enqueue("greet", False)
        wait_for(live, job_id, "done")
        gate.opened.set()

    assert look.raw.keys("{queue}:job:*") == [keys.job(NS, job_id)]


def test_a_zombie_of_the_same_id_does_not_settle_for_the_living(live: JobQueue, look: Look, tasks: Registry) -> None:
    """While a job runs it is reclaimed and ended by another: the late end of the first changes nothing."""
    gate = Gate()
    define(tasks, gate)
    add(live, "a")
    with working(a_worker(live, tasks, threads=1)) as worker:
        assert gate.reached.wait(20)
        assert live.reclaim(worker.name) == [("a", "pending")]
        token = tokens(live.take("another"))[0]
        assert finish(live, token, "another", '"first"')
        gate.opened.set()
    job = live.status("a")

    assert job is not None
    assert (job.result, job.attempt, job.worker) == ("first", 2, "another")


@pytest.mark.parametrize(
    "options",
    [
        {"queues": ()},
        {"threads": 0},
        {"lease": 1, "beat": 0.5},
        {"beat": 0},
        {"beat": -1},
        {"queues": ("a b",)},
        {"queues": "default"},
    ],
)
def test_a_worker_that_makes_no_sense(live: JobQueue, options: dict[str, Any]) -> None:
    """Refused when it is made: no list, no thread, a lease that ends between two beats, a name for a list of names."""
    with pytest.raises((ValueError, TypeError, BadOption)):
        Worker(jobs=live, **options)


def test_a_worker_needs_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `connect` it says so."""
    monkeypatch.setattr("queue.jobs._default", None)
    with pytest.raises(QueueError, match="connect"):
        Worker()


def test_many_workers_start_and_stop(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Five at once share the work, leave one after the other, and nothing of them is left."""
    define(tasks, lambda: time.sleep(0.001))
    ids = live.enqueue_many([("greet",)] * 100)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(working(a_worker(live, tasks)))
        for job_id in ids[:50]:
            wait_for(live, job_id, "done")
    with working(a_worker(live, tasks)):
        for job_id in ids:
            wait_for(live, job_id, "done")

    assert look.raw.keys("{queue}:worker*") == []
    assert look.raw.keys("{queue}:running:*") == []
