# mypy: ignore-errors
# (Celery is installed in an environment of its own, where this runs, and not where types are checked.)
"""Celery, without a result backend. It has no call for many at once; one connection is used for all."""

from datetime import UTC, datetime

import work
from celery import Celery

app = Celery("with_celery", broker=work.URL)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
empty = app.task(work.empty, name="empty")
stamp_task = app.task(work.stamp, name="stamp")
sleep = app.task(work.sleep, name="sleep")
LEAN = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]


def worker(kind):
    """Work until SIGTERM."""
    app.conf.worker_prefetch_multiplier = 1 if kind == "wide" else 64
    pool = ["--pool", "threads", "--concurrency", str(work.WIDTH)] if kind == "wide" else ["--pool", "solo"]
    app.worker_main(["worker", *pool, *LEAN])


def one(number):
    """Enqueue an empty job."""
    empty.delay(number)


def bulk(numbers):
    """Enqueue many."""
    with app.producer_or_acquire() as producer:
        for number in numbers:
            empty.apply_async((number,), producer=producer)


def stamp(number):
    """Enqueue a job that notes when it starts."""
    stamp_task.delay(number)


def later(number, when):
    """Schedule such a job: a worker takes it at once and keeps it in its memory."""
    stamp_task.apply_async((number,), eta=datetime.fromtimestamp(when, UTC))


def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    for _ in range(count):
        sleep.delay(ms)
