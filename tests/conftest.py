"""Fixtures for all tests: Redis servers, and the watch on processes left behind. Helpers are in servers.py."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.servers import RedisServer, best_real, binary, children, end_child

Start = Callable[..., RedisServer]
Find = Callable[[str], RedisServer]

shared: set[int] = set()  # pids of the servers that outlive a test


def _binary_or_skip(kind: str) -> str:
    """The server's path. Without one the test is skipped and says so; with CI=true it fails, so that CI proves all."""
    found = binary(kind)
    if found is None:
        reason = f"no {kind} server here: `make test` looks for redis-server on PATH and fetches 6.2"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found


@pytest.fixture(scope="session")
def servers() -> Iterator[Find]:
    """The shared server of a kind, started on first use: `servers("fake").url`. Never stopped or frozen by a test."""
    started: dict[str, RedisServer] = {}

    def find(kind: str) -> RedisServer:
        if kind not in started:
            started[kind] = RedisServer(_binary_or_skip(kind)).start()
            shared.add(started[kind].pid)
        return started[kind]

    yield find
    for server in started.values():
        server.close()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, servers: Find) -> str:
    """An empty database on a shared server: the best real one, or what the test is parametrized with (`each_redis`)."""
    server = servers(getattr(request, "param", None) or best_real())
    with server.client() as client:
        client.flushall()
        client.script_flush()
    return server.url


@pytest.fixture
def redis_server() -> Iterator[Start]:
    """A test's own servers, to stop, kill, freeze, restart: `redis_server("redis7", appendonly="yes")` starts one."""
    mine: list[RedisServer] = []

    def start(kind: str | None = None, **config: str | int) -> RedisServer:
        mine.append(RedisServer(_binary_or_skip(kind or best_real()), **config))
        return mine[-1].start()

    yield start
    for server in mine:
        server.close()


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail a test that leaves a child running. What ran before it, shared servers and Python's own helpers may stay."""
    before = children()
    yield
    helpers = ("resource_tracker", "forkserver", "playwright")
    known = before.keys() | shared
    new = {pid: line for pid, line in children().items() if pid not in known}
    left = {pid: line for pid, line in new.items() if line and not any(helper in line for helper in helpers)}
    for pid in left:
        end_child(pid)
    assert not left, f"left running: {left}"
