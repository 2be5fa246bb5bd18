# mypy: ignore-errors
# (arq is installed in an environment of its own, where this runs, and not where types are checked.)
"""arq, without results. Many at once are many calls at a time: it has no other way.

A look takes no more jobs than may run at a time; there is one every POLL. At its default of 0.5 s: 20 jobs a second.
"""

import asyncio
from datetime import UTC, datetime

import arq
import uvloop
import work
from arq.connections import RedisSettings

SETTINGS = RedisSettings.from_dsn(work.URL)
POLL = 0.01  # seconds
pool = None


async def empty(_, number):
    """Do nothing."""
    work.empty(number)


async def stamp_task(_, number):
    """Note when it starts."""
    work.stamp(number)


async def sleep(_, ms):
    """Take so long."""
    work.note("start", ms)
    await asyncio.sleep(ms / 1000)
    work.note("end", ms)


def worker(kind):
    """Work until SIGTERM."""
    asyncio.set_event_loop(uvloop.new_event_loop())
    functions = [empty, stamp_task, sleep]
    limits = {"max_jobs": work.WIDTH, "poll_delay": POLL, "keep_result": 0, "log_results": False}
    arq.Worker(functions, redis_settings=SETTINGS, **limits).run()


async def opened():
    """Connect."""
    global pool
    pool = await arq.create_pool(SETTINGS)


async def one(number):
    """Enqueue an empty job."""
    await pool.enqueue_job("empty", number)


async def bulk(numbers):
    """Enqueue many, a hundred calls at a time."""
    for first in range(0, len(numbers), 100):
        await asyncio.gather(*(pool.enqueue_job("empty", number) for number in numbers[first : first + 100]))


async def stamp(number):
    """Enqueue a job that notes when it starts."""
    await pool.enqueue_job("stamp_task", number)


async def later(number, when):
    """Schedule such a job."""
    await pool.enqueue_job("stamp_task", number, _defer_until=datetime.fromtimestamp(when, UTC))


async def sleeps(ms, count):
    """Enqueue jobs that take so long."""
    for _ in range(count):
        await pool.enqueue_job("sleep", ms)
