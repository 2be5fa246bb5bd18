"""A Redis at its maxmemory: new jobs are refused with a typed error, and all that drains the queue still works."""

import contextlib
from collections.abc import Callable, Iterator
from queue import JobQueue, Unavailable, named
from typing import Any

import pytest
import redis

from .conftest import Start
from .helpers import Clock, Look, add, buried, finish, running, take, take_one, tokens

both = pytest.mark.parametrize("kind", ["redis7", "redis62"])


@pytest.fixture
def full(redis_server: Start, kind: str, clock: Clock) -> Iterator[tuple[JobQueue, Look]]:
    """A queue whose Redis has room until the test calls `fill`."""
    server = redis_server(kind)
    with server.client() as raw, redis.Redis.from_url(server.url) as client:
        look = Look(raw)
        yield JobQueue(client, clock=clock), look
        raw.config_set("maxmemory", 0)
        assert look.problems() == []


def fill(look: Look) -> None:
    """From here on Redis is over its limit."""
    look.raw.config_set("maxmemory", 1)
    with pytest.raises(redis.RedisError, match="maxmemory"):
        look.raw.set("more", "x")


@both
def test_enqueue_into_a_full_redis(full: Any) -> None:
    """Typed, nothing half stored, for later as for now; and the same call works when there is room again."""
    jobs, look = full
    fill(look)
    calls: list[Callable[[], object]] = [
        lambda: jobs.enqueue(named("greet", id="a")),
        lambda: jobs.enqueue_in(5, named("greet", id="a")),
        lambda: jobs.enqueue_many([("greet",)] * 3),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="maxmemory"):
            call()
    assert look.raw.keys("*") == []

    look.raw.config_set("maxmemory", 0)
    assert add(jobs, "a") == ["a"]


@both
def test_a_full_redis_drains(full: Any, clock: Clock) -> None:
    """Take, finish, retry, snooze, bury, release, beat, promote, reclaim, cancel, reschedule, revive: all go on."""
    jobs, look = full
    add(jobs, *"abcdefghijk")
    for job_id in ("later", "moved", "off"):
        jobs.enqueue_in(5, named("greet", id=job_id))
    held = tokens(jobs.take("ann", 6, full={"greet": 100}))
    fill(look)

    assert finish(jobs, held[0])
    assert jobs.retry("ann", held[1], 1, "an error")
    assert jobs.snooze("ann", held[2], 1)
    assert jobs.bury("ann", held[3], "failed", "an error")
    assert jobs.revive("d") == "revived"
    assert jobs.release("ann", [held[4]]) == []
    assert jobs.cancel("f") == "stopping"
    assert jobs.cancel("f", ("ann", held[5])) == "cancelled"
    assert jobs.cancel("g") == "cancelled"
    assert jobs.cancel("off") == "cancelled"
    assert jobs.reschedule("moved", clock.now / 1000 + 1) == "rescheduled"
    assert jobs.beat("ann", 15, {"host": "here"})[0] == 15

    more = jobs.take("ann", 2, full={"greet": 100}, finished=[])
    assert more.ids == ["e", "h"]
    clock.advance(5)
    rest = jobs.take("bob", 100, full={"greet": 100}, finished=[])
    assert rest.ids == [*"ijkd", "b", "c", "moved", "later"]
    clock.advance(16)
    fates = [*jobs.reclaim(), *jobs.reclaim()]
    assert {fate for _, fate in fates} == {"pending"}
    assert len(fates) == 10
    clock.advance(1)
    left = [take_one(jobs) for _ in range(10)]
    assert jobs.finish("ann", [(*token, 60_000, '"ok"') for token in left]) == []
    assert (look.pending(), look.running(), look.scheduled()) == ([], [], {})


@both
def test_discard_makes_room_in_a_full_redis(full: Any) -> None:
    """The dead are the first that an operator can do without."""
    jobs, look = full
    buried(jobs)
    fill(look)

    assert [jobs.discard("a"), jobs.discard("a")] == ["discarded", "discarded"]
    assert look.dead() == []


@both
def test_bad_entries_in_a_full_redis(full: Any) -> None:
    """Junk does not jam it either: moved aside and named as ever."""
    jobs, look = full
    add(jobs, "good")
    look.raw.rpush("{queue}:pending:default", "junk")
    look.raw.zadd("{queue}:scheduled", {"more": 1})
    look.raw.set("{queue}:paused", "junk")
    look.raw.set("{queue}:dead", "junk")
    fill(look)

    assert [token[0] for token in take(jobs, limit=5)] == ["good"]
    assert sorted(look.dead()) == ["junk", "more"]


@both
def test_a_worker_that_starts_at_a_full_redis(full: Any) -> None:
    """Its first beat and its first take register it."""
    jobs, look = full
    add(jobs, "a")
    fill(look)
    jobs.beat("ann", 15, {"host": "here"})
    token = take_one(jobs, "bob")

    assert set(look.workers()) == {"ann", "bob"}
    assert finish(jobs, token, "bob")


@both
def test_nothing_happens_twice_in_a_full_redis(full: Any) -> None:
    """A cancel or retry that is repeated gets its first answer."""
    jobs, look = full
    token = running(jobs)
    fill(look)

    assert [jobs.cancel("a"), jobs.cancel("a")] == ["stopping", "stopping"]
    assert [jobs.retry("ann", token, 1, "an error"), jobs.retry("ann", token, 1, "an error")] == [True, True]
    assert look.job("a")["failures"] == "1"
    assert look.job("a")["state"] == "cancelled"


@both
def test_pause_and_resume_in_a_full_redis(full: Any) -> None:
    """A pause, which needs room, says that it failed; a resume takes effect, though its bell may not ring."""
    jobs, look = full
    jobs.pause("low")
    fill(look)
    with pytest.raises(Unavailable, match="maxmemory"):
        jobs.pause("default")
    with contextlib.suppress(Unavailable):
        jobs.resume("low")
    assert look.raw.smembers("{queue}:paused") == set()
