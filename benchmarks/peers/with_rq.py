# mypy: ignore-errors
# (RQ is installed in an environment of its own, where this runs, and not where types are checked.)
"""RQ. SimpleWorker runs jobs in the worker itself: many times faster than a fork for each."""

from datetime import UTC, datetime

import redis
import work
from rq import Queue, SimpleWorker
from rq.worker_pool import WorkerPool

connection = redis.Redis.from_url(work.URL)
jobs = Queue(connection=connection)


def worker(kind):
    """Work until SIGTERM. A worker runs one job at a time: ten at a time are ten processes."""
    if kind == "wide":
        WorkerPool([jobs], connection, num_workers=work.WIDTH, worker_class=SimpleWorker).start(logging_level="ERROR")
    else:
        SimpleWorker([jobs], connection=connection).work(logging_level="ERROR", with_scheduler=kind == "idle")


def one(number):
    """Enqueue an empty job."""
    jobs.enqueue(work.empty, number)


def bulk(numbers):
    """Enqueue many, a thousand at a time."""
    for first in range(0, len(numbers), 1000):
        jobs.enqueue_many([Queue.prepare_data(work.empty, (number,)) for number in numbers[first : first + 1000]])


def stamp(number):
    """Enqueue a job that notes when it starts."""
    jobs.enqueue(work.stamp, number)


def later(number, when):
    """Schedule such a job."""
    jobs.enqueue_at(datetime.fromtimestamp(when, UTC), work.stamp, number)


def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    jobs.enqueue_many([Queue.prepare_data(work.sleep, (ms,)) for _ in range(count)])
