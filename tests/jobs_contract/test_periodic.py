"""Periodic tasks: each tick is one job, whoever and how many enqueue it."""

import time
from collections import Counter
from contextlib import ExitStack
from queue import BadOption, JobQueue, current_job, keys, periodic
from queue.periodic import every
from queue.tasks import Registry, Task
from types import SimpleNamespace

import pytest

from tests.servers import wait_until

from .helpers import NS, Look, a_worker, define, wait_for, working


def names(look: Look) -> list[str]:
    """The ids of all jobs there are."""
    return sorted(key.removeprefix(keys.job(NS, "")) for key in look.raw.keys(keys.job(NS, "*")))


def test_each_tick_is_one_job(live: JobQueue, look: Look, tasks: Registry) -> None:
    """Of three workers, at their start and then every second."""
    ran: Counter[str] = Counter()

    def note() -> None:
        job = current_job()
        ran.update([job.id] if job else [])

    task = define(tasks, note)
    every(1, task, tasks=tasks)
    with ExitStack() as crew:
        for _ in range(3):
            crew.enter_context(working(a_worker(live, tasks)))
        wait_until(lambda: len(ran) >= 3, 10, "three ticks")

    assert max(ran.values()) == 1
    ticks = [int(name.removeprefix("greet:")) for name in names(look)]
    assert ticks == list(range(ticks[0], ticks[-1] + 1))


def test_no_tick_is_left_out(tasks: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that begins while the one before is enqueued."""
    now, ids = [99.98], list[str | None]()

    class Slow:
        def enqueue(self, task: Task) -> None:
            ids.append(task.id)
            now[0] += 0.05

    class Stopping:
        def wait(self, seconds: float) -> bool:
            now[0] += seconds
            return len(ids) == 4

    monkeypatch.setattr(periodic, "time", SimpleNamespace(time=lambda: now[0]))
    every(1, define(tasks, lambda: None), tasks=tasks)
    tasks.helpers[0](Slow(), Stopping())
    assert ids == [f"greet:{number}" for number in range(99, 103)]


def test_a_tick_of_before_is_not_made_again(live: JobQueue, look: Look, tasks: Registry) -> None:
    """A worker that starts in the middle of a tick that ran leaves it at that."""
    task = define(tasks, lambda: None)
    every(3000, task, tasks=tasks)
    for _ in range(2):
        with working(a_worker(live, tasks)):
            wait_until(lambda: names(look), 10, "the tick")
            wait_for(live, names(look)[0], "done")

    assert (len(names(look)), live.status(names(look)[0]).attempt) == (1, 1)  # type: ignore[union-attr]  # it is there


def test_a_tick_waits_for_redis(live: JobQueue, look: Look, tasks: Registry) -> None:
    """One that cannot be enqueued is tried again soon, not at the next tick."""
    task = define(tasks, lambda: None)
    every(3000, task, tasks=tasks)
    worker = a_worker(live, tasks)
    look.raw.config_set("maxmemory", "1")
    try:
        with working(worker):
            time.sleep(0.3)
            assert names(look) == []
            look.raw.config_set("maxmemory", "0")
            wait_until(lambda: names(look), 10, "the tick")
    finally:
        look.raw.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    ("period", "task"),
    [(0.5, Task("greet")), (3601, Task("greet")), (60, Task("greet", result_ttl=30)), (60, Task("grüße"))],
)
def test_a_period_that_makes_no_sense_is_refused(tasks: Registry, period: float, task: Task) -> None:
    """Too short, longer than its tick is remembered, or of a task whose name makes no id."""
    with pytest.raises(BadOption, match="gr"):
        every(period, task, tasks=tasks)
    assert tasks.helpers == []
