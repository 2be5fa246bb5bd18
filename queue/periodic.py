"""Periodic tasks: every worker process enqueues every tick, under an id of the task's name and the tick's number.

So all of them together make one job of it. A tick that passes while no worker runs is not made up for.
"""

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from . import backoff
from .errors import BadOption, QueueError, seconds
from .hands import log
from .jobs import JobQueue
from .tasks import Registry, Task, registry


def every(period: float | timedelta, task: Task, *, tasks: Registry = registry) -> None:
    """Have a task enqueued when a worker starts and every so many seconds since 1970, by the clocks of the workers.

    Raises BadOption if the period is under a second, or longer than a finished job is remembered (`result_ttl`).
    """
    length = seconds(period)
    if not 1 <= length <= task.result_ttl:
        raise BadOption(f"{task.name} needs a period of 1 s to its result_ttl, {task.result_ttl:g} s, not {length:g} s")
    task.options(id=f"{task.name}:0")  # the name must make an id
    tasks.helpers.append(_ticker(task, length))


def _ticker(task: Task, length: float) -> Callable[[JobQueue, threading.Event], None]:
    def tick(jobs: JobQueue, stopping: threading.Event) -> None:
        misses, wait = 0, 0.0
        while not stopping.wait(wait):
            try:
                number = int(time.time() // length)
                jobs.enqueue(task.options(id=f"{task.name}:{number}"))
                misses, wait = 0, max((number + 1) * length - time.time(), 0)
            except QueueError as error:
                misses, wait = misses + 1, backoff.reconnect(misses + 1, random.random())
                log.debug("%s is not enqueued: %s", task.name, error)

    return tick
