"""Start one side of a queue of Python: `start.py ADAPTER worker KIND` or `start.py ADAPTER produce`.

A worker works until SIGTERM; KIND is for what: busy (empty jobs), idle (waits for a job, a scheduled one too) or wide
(jobs that wait themselves). A producer reads a command a line and answers each with a line of JSON. An adapter has the
functions one(n), bulk(numbers), stamp(n), later(n, when), sleeps(ms, count) and worker(kind); plain or async.
"""

import asyncio
import importlib
import inspect
import json
import random
import sys
import time
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

AHEAD = 1.0  # seconds before the first scheduled job


def main(name: str, side: str, kind: str = "") -> None:
    """Do what the command line says."""
    adapter = importlib.import_module(name)  # under its own name: what is enqueued may carry it
    if side == "worker":
        adapter.worker(kind)
    else:
        run(produce(adapter))


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it on uvloop where an environment has that."""
    try:
        import uvloop  # type: ignore[import-not-found] # only some environments have it
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)


async def produce(adapter: ModuleType) -> None:
    """Answer commands until there are no more."""
    if hasattr(adapter, "opened"):
        await adapter.opened()
    for line in sys.stdin:
        verb, *numbers = line.split()
        print(json.dumps(await COMMANDS[verb](adapter, *map(int, numbers))), flush=True)


async def one(adapter: ModuleType, count: int) -> float:
    """Enqueue one at a time; return the seconds."""
    call = adapter.one
    started = time.perf_counter()
    if inspect.iscoroutinefunction(call):
        for number in range(count):
            await call(number)
    else:
        for number in range(count):
            call(number)
    return time.perf_counter() - started


async def bulk(adapter: ModuleType, count: int) -> float:
    """Enqueue many in the best way that the queue has; return the seconds."""
    started = time.perf_counter()
    await done(adapter.bulk(range(count)))
    return time.perf_counter() - started


async def stamps(adapter: ModuleType, count: int, gap: int) -> list[int]:
    """Enqueue a job every `gap` ms, more or less; return when each call began, in monotonic ns."""
    calls = []
    for number in range(count):
        await asyncio.sleep(gap / 1000 * random.uniform(0.5, 1.5))
        calls.append(time.monotonic_ns())
        await done(adapter.stamp(number))
    return calls


async def later(adapter: ModuleType, count: int, gap: int) -> list[int]:
    """Schedule a job for every `gap` ms, more or less, from a second from now on; return the times in Unix ns."""
    now = time.time() + AHEAD
    times = [now + gap / 1000 * (number + random.uniform(0, 1)) for number in range(count)]
    for number, when in enumerate(times):
        await done(adapter.later(number, when))
    return [int(when * 1e9) for when in times]


async def sleeps(adapter: ModuleType, count: int, ms: int) -> None:
    """Enqueue jobs that take so long."""
    await done(adapter.sleeps(ms, count))


async def done(answer: Any) -> None:
    """Wait for the answer of an async adapter."""
    if inspect.isawaitable(answer):
        await answer


COMMANDS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    call.__name__: call for call in (one, bulk, stamps, later, sleeps)
}

if __name__ == "__main__":
    main(*sys.argv[1:])
