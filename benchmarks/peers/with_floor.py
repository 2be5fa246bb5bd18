"""No queue at all, redis-py alone: a script that does nothing, and a hand-over from LPUSH to BRPOP."""

from typing import Any

import redis
import work  # type: ignore[import-not-found] # it is beside this file, which runs from its own folder

client = redis.Redis.from_url(work.URL)
sha = client.script_load("return 1")


def worker(kind: str) -> None:
    """Pop until SIGTERM."""
    while True:
        popped: Any = client.brpop(["floor"], 0)
        work.stamp(int(popped[1]))


def one(number: int) -> None:
    """Call a script."""
    client.evalsha(sha, 0)


def stamp(number: int) -> None:
    """Hand over a number."""
    client.lpush("floor", number)
