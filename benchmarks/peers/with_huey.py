# mypy: ignore-errors
# (Huey is installed in an environment of its own, where this runs, and not where types are checked.)
"""Huey. It has no call for many at once. A job that a worker took is nowhere else: it is lost with the worker."""

from datetime import UTC, datetime

import work
from huey import RedisHuey

jobs = RedisHuey("bench", url=work.URL)
empty = jobs.task()(work.empty)
stamp_task = jobs.task()(work.stamp)
sleep = jobs.task()(work.sleep)


def worker(kind):
    """Work until SIGTERM."""
    jobs.create_consumer(workers=work.WIDTH, worker_type="thread").run()


def one(number):
    """Enqueue an empty job."""
    empty(number)


def bulk(numbers):
    """Enqueue many."""
    for number in numbers:
        empty(number)


def stamp(number):
    """Enqueue a job that notes when it starts."""
    stamp_task(number)


def later(number, when):
    """Schedule such a job."""
    stamp_task.schedule(args=(number,), eta=datetime.fromtimestamp(when, UTC))


def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    for _ in range(count):
        sleep(ms)
