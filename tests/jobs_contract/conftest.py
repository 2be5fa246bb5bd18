"""Fixtures of the contract tests: a queue whose clock stands still, a look into Redis, the law of conservation."""

from collections.abc import Callable, Iterator
from queue import JobQueue
from queue.tasks import Registry

import pytest
import redis

from tests.servers import RedisServer

from .helpers import Clock, Look, exact_client

Start = Callable[..., RedisServer]  # of the fixture redis_server


@pytest.fixture
def clock() -> Clock:
    """The time, which stands still until a test moves it."""
    return Clock()


@pytest.fixture
def look(redis_url: str) -> Iterator[Look]:
    """What lies in Redis, as text; bytes that are no UTF-8 keep their value."""
    with exact_client(redis_url) as raw:
        yield Look(raw)


@pytest.fixture
def jobs(request: pytest.FixtureRequest, redis_url: str, clock: Clock, look: Look) -> Iterator[JobQueue]:
    """A queue. After the test each accepted id must lie in exactly one place, the one that its state says.

    A test that leaves junk of its own making behind asks for the fixture `untidy`.
    """
    with redis.Redis.from_url(redis_url) as client:
        yield JobQueue(client, clock=clock)
    if "untidy" not in request.fixturenames:
        assert look.problems() == []


@pytest.fixture
def live(redis_url: str, look: Look) -> Iterator[JobQueue]:
    """A queue on the server's own clock, for workers. Conservation is checked here too."""
    jobs = JobQueue.from_url(redis_url)
    yield jobs
    jobs.redis.close()
    assert look.problems() == []


@pytest.fixture
def untidy() -> None:
    """The test leaves stale copies or junk behind on purpose."""


@pytest.fixture
def tasks() -> Registry:
    """The tasks of one test."""
    return Registry()
