# mypy: ignore-errors
# (Dramatiq is installed in an environment of its own, where this runs, and not where types are checked.)
"""Dramatiq. It has no call for many at once."""

import os
import sys
import time

import dramatiq
import work
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=work.URL))
empty = dramatiq.actor(work.empty)
stamp_task = dramatiq.actor(work.stamp)
sleep = dramatiq.actor(work.sleep)


def worker(kind):
    """Work until SIGTERM. Empty jobs are fetched far ahead; where they wait, that would be hoarding."""
    if kind == "busy":
        os.environ["dramatiq_queue_prefetch"] = "1000"  # noqa: SIM112 - its own spelling
    flags = ["--processes", "1", "--threads", str(work.WIDTH), "--skip-logging"]
    os.execv(sys.executable, [sys.executable, "-m", "dramatiq", __name__, *flags])


def one(number):
    """Enqueue an empty job."""
    empty.send(number)


def bulk(numbers):
    """Enqueue many."""
    for number in numbers:
        empty.send(number)


def stamp(number):
    """Enqueue a job that notes when it starts."""
    stamp_task.send(number)


def later(number, when):
    """Schedule such a job: a worker takes it at once and keeps it in its memory."""
    stamp_task.send_with_options(args=(number,), delay=max(int((when - time.time()) * 1000), 0))


def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    for _ in range(count):
        sleep.send(ms)
