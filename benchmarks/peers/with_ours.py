"""Our queue."""

import logging
import queue
import time
from collections.abc import Sequence

import work  # type: ignore[import-not-found] # it is beside this file, which runs from its own folder

logging.getLogger("queue").setLevel(logging.CRITICAL)  # what is buried in the thousands is no news
queue.connect(work.URL)
empty, stamp_task, sleep = queue.task(work.empty), queue.task(work.stamp), queue.task(work.sleep)


def worker(kind: str) -> None:
    """Work until SIGTERM."""
    queue.Worker(threads=work.WIDTH).run()


def one(number: int) -> None:
    """Enqueue an empty job."""
    queue.enqueue(empty, number)


def bulk(numbers: Sequence[int]) -> None:
    """Enqueue many."""
    queue.enqueue_many([(empty, number) for number in numbers])


def stamp(number: int) -> None:
    """Enqueue a job that notes when it starts."""
    queue.enqueue(stamp_task, number)


def later(number: int, when: float) -> None:
    """Schedule such a job."""
    queue.enqueue_at(when, stamp_task, number)


def sleeps(ms: int, count: int) -> None:
    """Enqueue jobs that take so long."""
    queue.enqueue_many([(sleep, ms)] * count)


# For what is measured of ours alone, in growth.py.


@queue.task
def mixed(number: int, ms: int) -> None:
    """Take so long, and note which one it was."""
    work.note("start", number)
    time.sleep(ms / 1000)
    work.note("end", number)


@queue.task
def doomed(number: int) -> None:
    """End among the dead."""
    work.empty(number)
    raise queue.GiveUp("as told")
