"""Takes that are under way together on one connection, and how their answers are written."""

from collections.abc import Iterator
from queue import JobQueue, keys
from queue.errors import Unavailable
from unittest.mock import Mock

import pytest
import redis

from tests.servers import each_redis

from .helpers import NS, Look, add, take

pytestmark = each_redis


@pytest.fixture
def own(live: JobQueue) -> Iterator[JobQueue]:
    """The queue on one connection, as a worker's leader has it, with its script loaded."""
    sibling = live.sibling(5)
    sibling.take("ann")
    yield sibling
    sibling.close()


def test_takes_under_way_are_answered_in_turn(own: JobQueue) -> None:
    """The second is sent before the first is read; both go over one connection."""
    add(own, "a", "b")
    first, second = own.send_take("ann"), own.send_take("ann")

    assert (first().ids, second().ids, own.take("ann").ids) == (["a"], ["b"], [])


def test_a_script_that_is_gone_is_loaded_when_nothing_is_under_way(own: JobQueue, look: Look) -> None:
    """The answer of an EVAL would come behind the other one's: the first take is told so, and took nothing."""
    add(own, "a", "b")
    look.raw.script_flush()
    first, second = own.send_take("ann"), own.send_take("ann")

    with pytest.raises(Unavailable, match="No matching script"):
        first()
    assert (second().ids, own.take("ann").ids) == (["a"], ["b"])


def test_an_answer_that_nobody_read_is_not_another_one_s(own: JobQueue, look: Look) -> None:
    """Who gave up before it came leaves it on the connection: that is closed, and later answers are their own."""
    add(own, "a", "b", "c")
    first, second = own.send_take("ann"), own.send_take("ann")

    for answer in (second, first):
        with pytest.raises(Unavailable, match="before this answer"):
            answer()
    assert own.take("bob").ids == look.running("bob") != []


def test_a_connection_is_free_when_all_is_read(live: JobQueue) -> None:
    """Between two answers that are under way nobody else gets theirs."""
    live.take("ann")  # loads the script
    add(live, "a", "b")
    first, second = live.send_take("ann"), live.send_take("ann")

    assert first().ids == ["a"]
    assert live.wire.call("PING") in (b"PONG", "PONG")
    assert second().ids == ["b"]


def test_threads_may_take_at_the_same_time(live: JobQueue, look: Look) -> None:
    """A take that is not sent to be read later has a connection of its own."""
    add(live, "a", "b")
    first = live.send_take("ann")

    assert live.take("bob").ids == look.running("bob") != []
    assert first().ids == look.running("ann") != []


def test_when_a_connection_breaks_all_that_is_under_way_breaks(own: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer of an old connection is taken for one of the next."""
    first, second = own.send_take("ann"), own.send_take("ann")
    (connection,) = set(own.wire.under_way.values())
    with monkeypatch.context() as broken:
        broken.setattr(connection, "read_response", Mock(side_effect=redis.ConnectionError("cut")))
        with pytest.raises(Unavailable, match="cut"):
            first()

    with pytest.raises(Unavailable, match="before this answer"):
        second()
    assert own.take("ann").ids == []


def test_a_field_cannot_pass_for_the_end_of_a_job(own: JobQueue, look: Look) -> None:
    """What stands between the jobs of a take was written into one by hand: its neighbours are as they were."""
    add(own, "a", "b", "c")
    look.raw.hset(keys.job(NS, "b"), "args", "[1]\x1eb")

    assert [token[:2] for token in take(own, limit=3)] == [("a", "1"), ("b", "1"), ("c", "1")]


def test_the_time_until_the_next_job_is_exact(own: JobQueue, look: Look) -> None:
    """To the microsecond, by the server's clock: nobody rings a part of a millisecond late."""
    own.enqueue_in(60, "greet")
    (due,) = look.scheduled().values()
    for _ in range(10):
        before, left, after = look.raw.time(), own.take("ann").due_in, look.raw.time()

        assert due / 1000 - _seconds(after) <= (left or 0) <= due / 1000 - _seconds(before) + 2e-6


def _seconds(time: tuple[int, int]) -> float:
    return time[0] + time[1] / 1e6
