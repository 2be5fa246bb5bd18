# mypy: ignore-errors
# (streaQ is installed in an environment of its own, where this runs, and not where types are checked.)
"""streaQ."""

import asyncio
from datetime import UTC, datetime

import work
from streaq import Worker

jobs = Worker(redis_url=work.URL, concurrency=work.WIDTH, anyio_kwargs={"use_uvloop": True})


@jobs.task
async def empty(number):
    """Do nothing."""
    work.empty(number)


@jobs.task
async def stamp_task(number):
    """Note when it starts."""
    work.stamp(number)


@jobs.task
async def sleep(ms):
    """Take so long."""
    work.note("start", ms)
    await asyncio.sleep(ms / 1000)
    work.note("end", ms)


def worker(kind):
    """Work until SIGTERM."""
    jobs.run_sync()


async def opened():
    """Connect."""
    await jobs.__aenter__()


async def one(number):
    """Enqueue an empty job."""
    await empty.enqueue(number)


async def bulk(numbers):
    """Enqueue many, a thousand at a time."""
    for first in range(0, len(numbers), 1000):
        await jobs.enqueue_many([empty.enqueue(number) for number in numbers[first : first + 1000]])


async def stamp(number):
    """Enqueue a job that notes when it starts."""
    await stamp_task.enqueue(number)


async def later(number, when):
    """Schedule such a job."""
    await stamp_task.enqueue(number).start(schedule=datetime.fromtimestamp(when, UTC))


async def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    await jobs.enqueue_many([sleep.enqueue(ms) for _ in range(count)])
