# mypy: ignore-errors
# (SAQ is installed in an environment of its own, where this runs, and not where types are checked.)
"""SAQ. Many at once are many calls at a time: it has no other way."""

import asyncio

import saq
import uvloop
import work

jobs = saq.Queue.from_url(work.URL)


async def empty(_, *, number):
    """Do nothing."""
    work.empty(number)


async def stamp_task(_, *, number):
    """Note when it starts."""
    work.stamp(number)


async def sleep(_, *, ms):
    """Take so long."""
    work.note("start", ms)
    await asyncio.sleep(ms / 1000)
    work.note("end", ms)


def worker(kind):
    """Work until SIGTERM."""

    async def work_on():
        await saq.Worker(jobs, functions=[empty, stamp_task, sleep], concurrency=work.WIDTH).start()

    uvloop.run(work_on())


async def opened():
    """Connect."""
    await jobs.connect()


async def one(number):
    """Enqueue an empty job."""
    await jobs.enqueue("empty", number=number)


async def bulk(numbers):
    """Enqueue many, a hundred calls at a time."""
    for first in range(0, len(numbers), 100):
        await asyncio.gather(*(jobs.enqueue("empty", number=number) for number in numbers[first : first + 100]))


async def stamp(number):
    """Enqueue a job that notes when it starts."""
    await jobs.enqueue("stamp_task", number=number)


async def later(number, when):
    """Schedule such a job."""
    await jobs.enqueue("stamp_task", number=number, scheduled=when)


async def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    for _ in range(count):
        await jobs.enqueue("sleep", ms=ms)
