# mypy: ignore-errors
# (taskiq is installed in an environment of its own, where this runs, and not where types are checked.)
"""taskiq with ListQueueBroker, its fastest: a job that a worker took is nowhere else, it is lost with the worker.

Many at once are many calls at a time: it has no other way. Scheduled jobs need a second process, the scheduler.
"""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime

import work
from taskiq import TaskiqScheduler
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, ListRedisScheduleSource

broker = ListQueueBroker(work.URL).with_serializer(ORJSONSerializer())
source = ListRedisScheduleSource(work.URL)
scheduler = TaskiqScheduler(broker, [source])


@broker.task(task_name="empty")
async def empty(number):
    """Do nothing."""
    work.empty(number)


@broker.task(task_name="stamp")
async def stamp_task(number):
    """Note when it starts."""
    work.stamp(number)


@broker.task(task_name="sleep")
async def sleep(ms):
    """Take so long."""
    work.note("start", ms)
    await asyncio.sleep(ms / 1000)
    work.note("end", ms)


def worker(kind):
    """Work until SIGTERM."""
    taskiq = [sys.executable, "-m", "taskiq"]
    if kind == "idle":
        often = ["--update-interval", "1", "--loop-interval", "1", "--log-level", "ERROR"]
        subprocess.Popen([*taskiq, "scheduler", f"{__name__}:scheduler", *often])
    flags = ["--workers", "1", "--max-async-tasks", str(work.WIDTH), "--no-parse", "--log-level", "ERROR"]
    os.execv(sys.executable, [*taskiq, "worker", f"{__name__}:broker", *flags])


async def opened():
    """Connect."""
    await broker.startup()
    await source.startup()


async def one(number):
    """Enqueue an empty job."""
    await empty.kiq(number)


async def bulk(numbers):
    """Enqueue many, a hundred calls at a time."""
    for first in range(0, len(numbers), 100):
        await asyncio.gather(*(empty.kiq(number) for number in numbers[first : first + 100]))


async def stamp(number):
    """Enqueue a job that notes when it starts."""
    await stamp_task.kiq(number)


async def later(number, when):
    """Schedule such a job."""
    await stamp_task.schedule_by_time(source, datetime.fromtimestamp(when, UTC), number)


async def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    for _ in range(count):
        await sleep.kiq(ms)
