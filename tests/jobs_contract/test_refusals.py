"""What enqueue refuses, and how it says so: before anything is stored, and for most without asking Redis at all."""

import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from queue import BadOption, JobQueue, NotATask, NotJSON, QueueError, TooLarge, Unavailable, named, task
from queue.job import MAX_ARGUMENTS
from queue.tasks import Task
from time import monotonic
from typing import Any

import pytest

from tests.servers import free_port

from .conftest import Start


@pytest.fixture
def nowhere() -> JobQueue:
    """A queue whose Redis is away: what asks it gets Unavailable."""
    return JobQueue.from_url(f"redis://127.0.0.1:{free_port()}")


def nested(depth: int) -> list[Any]:
    """Return a list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


circle: list[Any] = []
circle.append(circle)
NOT_JSON = [
    {1, 2},
    object(),
    b"bytes",
    math.nan,
    math.inf,
    {"k": -math.inf},
    {(1, 2): 3},
    datetime(2026, 1, 1),
    1j,
    circle,
]


@pytest.mark.parametrize("value", [*NOT_JSON, nested(100_000), 10**5000], ids=lambda value: type(value).__name__)
def test_what_is_no_json_is_refused(nowhere: JobQueue, value: Any) -> None:
    """Refused at enqueue, never at run: also too deep, circular, NaN, and numbers that no parser reads."""
    with pytest.raises(NotJSON, match="arguments"):
        nowhere.enqueue("greet", value)
    with pytest.raises(NotJSON, match="arguments"):
        nowhere.enqueue("greet", key=value)


def test_not_json_names_the_cause_and_the_remedy(nowhere: JobQueue) -> None:
    """The message says what it was and what to pass instead; it is a TypeError and a QueueError."""
    with pytest.raises(NotJSON, match=r"type set.*pass ids and plain values") as caught:
        nowhere.enqueue("greet", {1})
    assert isinstance(caught.value, TypeError | QueueError)


@pytest.mark.parametrize("extra", [1, 10 * 1024 * 1024])
def test_arguments_over_64_kib_are_refused(nowhere: JobQueue, extra: int) -> None:
    """One byte over the limit is too large, ten megabytes too."""
    with pytest.raises(TooLarge, match="65,536"):
        nowhere.enqueue("greet", "x" * (MAX_ARGUMENTS - len('[""]') + extra))
    with pytest.raises(TooLarge):
        nowhere.enqueue_many([("greet", 1), ("greet", "🐦" * MAX_ARGUMENTS)])


@pytest.mark.parametrize("target", [len, lambda: None, None, 7, b"greet", Task])
def test_a_plain_function_is_no_task(nowhere: JobQueue, target: Any) -> None:
    """What is neither a task nor a name is refused, with the remedy."""
    with pytest.raises(NotATask, match=r"@queue\.task"):
        nowhere.enqueue(target)
    with pytest.raises(NotATask):
        nowhere.enqueue_many([("greet",), (target,)])


@pytest.mark.parametrize("job_id", ["", " ", "a b", "a\n", "ä", "x" * 129, "a/b", "{a}", "a\x00", 7, b"a", "\ud800"])
def test_an_id_that_cannot_be_one(nowhere: JobQueue, job_id: Any) -> None:
    """Ids are refused by enqueue, cancel, reschedule and revive alike."""
    with pytest.raises(BadOption, match="job id"):
        named("greet", id=job_id)
    with pytest.raises(BadOption, match="job id"):
        nowhere.cancel(job_id)
    with pytest.raises(BadOption, match="job id"):
        nowhere.reschedule(job_id, 1)
    with pytest.raises(BadOption, match="job id"):
        nowhere.revive(job_id)


@pytest.mark.parametrize("name", [" ", "a b", "a:b", "ä", "x" * 65, "a\n", "*", 7])
def test_a_list_that_cannot_be_one(nowhere: JobQueue, name: Any) -> None:
    """A list's name is part of a key and is printed: nothing odd in it."""
    with pytest.raises(BadOption, match="list's name"):
        named("greet", queue=name)
    with pytest.raises(BadOption, match="list's name"):
        nowhere.pause(name)
    with pytest.raises(BadOption, match="list's name"):
        nowhere.resume(name)
    with pytest.raises(BadOption, match="list's name"):
        JobQueue(nowhere.redis, name)


@pytest.mark.parametrize("name", ["", " ", "a b", "a\n", "x" * 201, "a\x00b", "\ud800", "a\udfffb"])
def test_a_task_name_that_cannot_be_one(nowhere: JobQueue, name: str) -> None:
    """No blanks, no line ends, no NUL, nothing that is no UTF-8, not longer than anybody reads."""
    with pytest.raises(BadOption):
        nowhere.enqueue(name)


def test_options_that_make_no_sense(nowhere: JobQueue) -> None:
    """Negative retries are refused, unknown options are Python's own error."""
    with pytest.raises(BadOption):
        named("greet", retries=-1)
    with pytest.raises(TypeError):
        named("greet", colour="red")  # type: ignore[call-arg]  # wrong, or wider, on purpose
    with pytest.raises(TypeError):
        named("greet").options(timeout=3)  # type: ignore[call-arg]  # wrong, or wider, on purpose
    with pytest.raises(TypeError):
        task(colour="red")(len)  # type: ignore[call-overload]  # wrong, or wider, on purpose


@pytest.mark.parametrize("when", [datetime(2026, 12, 1, 9), datetime.max])
def test_a_naive_datetime_is_refused(nowhere: JobQueue, when: datetime) -> None:
    """Whose nine o'clock? The error says what to give instead."""
    with pytest.raises(TypeError, match="time zone"):
        nowhere.enqueue_at(when, "greet")
    with pytest.raises(TypeError, match="time zone"):
        nowhere.reschedule("a", when)


@pytest.mark.parametrize("when", ["2026-12-01", None, timedelta(hours=1), [1]])
def test_what_is_no_time_is_refused(nowhere: JobQueue, when: Any) -> None:
    """A text or a duration is no instant."""
    with pytest.raises(TypeError, match="no time"):
        nowhere.enqueue_at(when, "greet")


@pytest.mark.parametrize("when", [math.nan, math.inf, -math.inf, 1e300, 1_800_000_000_000])
def test_a_time_out_of_this_world_is_refused(nowhere: JobQueue, when: float) -> None:
    """NaN, infinities, and milliseconds given for seconds."""
    with pytest.raises(BadOption, match="no time"):
        nowhere.enqueue_at(when, "greet")
    with pytest.raises(BadOption, match="no time"):
        nowhere.reschedule("a", when)


@pytest.mark.parametrize("delay", [math.nan, math.inf, -math.inf, -1, -0.001, 1e300, timedelta.max, timedelta(days=-1)])
def test_a_delay_out_of_this_world_is_refused(nowhere: JobQueue, delay: Any) -> None:
    """NaN, infinities, thousands of years, and less than nothing."""
    with pytest.raises(BadOption, match="no time to wait"):
        nowhere.enqueue_in(delay, "greet")


@pytest.mark.parametrize(
    "url", ["", "localhost:6379", "http://127.0.0.1", "redis://127.0.0.1:port", "redis://[::1", "redis://h/0?foo=1"]
)
def test_a_url_that_is_not_redis(url: str) -> None:
    """A wrong URL is refused when the queue is made, with the URL in the message."""
    with pytest.raises(BadOption, match="not a Redis URL"):
        JobQueue.from_url(url)


def test_a_bad_url_does_not_show_its_password() -> None:
    """Neither in the message nor in the chain of errors, also when the password breaks the URL."""
    with pytest.raises(BadOption) as caught:
        JobQueue.from_url("redis://user:secret/word@127.0.0.1:6379/0")
    assert "secret" not in str(caught.value) + repr(
        caught.value.__context__ if not caught.value.__suppress_context__ else ""
    )
    assert "word" not in str(caught.value)


def test_redis_away_is_said_within_two_seconds(nowhere: JobQueue) -> None:
    """A refused port: every call for producers raises Unavailable, a QueueError and a ConnectionError."""
    calls: list[Callable[[], object]] = [
        lambda: nowhere.enqueue("greet"),
        lambda: nowhere.enqueue_in(5, "greet"),
        lambda: nowhere.enqueue_many([("greet",)]),
        lambda: nowhere.status("a"),
        lambda: nowhere.cancel("a"),
        lambda: nowhere.reschedule("a", 1),
        lambda: nowhere.revive("a"),
        lambda: nowhere.discard("a"),
        lambda: nowhere.pause("default"),
        lambda: nowhere.resume("default"),
    ]
    for call in calls:
        started = monotonic()
        with pytest.raises(Unavailable) as caught:
            call()
        assert monotonic() - started < 2
        assert isinstance(caught.value, QueueError)
        assert isinstance(caught.value, ConnectionError)


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_redis_that_never_answers_is_given_up_within_two_seconds(mute: int) -> None:
    """A listening socket behind which nobody answers."""
    jobs = JobQueue.from_url(f"redis://127.0.0.1:{mute}")
    started = monotonic()
    with pytest.raises(Unavailable):
        jobs.enqueue("greet")
    assert monotonic() - started < 2
    jobs.redis.close()


def test_a_redis_that_freezes_is_given_up_within_two_seconds(redis_server: Start) -> None:
    """On a connection that was good a moment ago too; afterwards the same call with the same id does what it should."""
    server = redis_server()
    jobs = JobQueue.from_url(server.url)
    jobs.enqueue(named("greet", id="a"))
    server.pause()
    started = monotonic()
    with pytest.raises(Unavailable):
        jobs.enqueue(named("greet", id="b"))
    assert monotonic() - started < 2
    server.resume()

    assert jobs.enqueue(named("greet", id="b")) == "b"
    with server.client() as raw:
        assert raw.lrange("{queue}:pending:default", 0, -1) == ["b", "a"]
    jobs.redis.close()


def test_a_connection_that_was_closed_meanwhile_is_not_an_error(redis_server: Start) -> None:
    """A server that restarted, or dropped idle clients: the next call finds its way."""
    server = redis_server()
    jobs = JobQueue.from_url(server.url)
    jobs.enqueue("greet")
    with server.client() as raw:
        raw.client_kill_filter(_type="normal", skipme=True)

    assert jobs.enqueue("greet")
    server.stop()
    server.start()
    assert jobs.status("a") is None
    jobs.redis.close()


@pytest.fixture
def rude() -> Iterator[tuple[int, list[bytes]]]:
    """A server that reads a little and hangs up: its port, and what it read from each connection."""
    heard: list[bytes] = []

    def hang_up(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = server.accept()
                with caller:
                    heard.append(caller.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_broken_connection_is_tried_once_more(rude: tuple[int, list[bytes]]) -> None:
    """It may have been an old one; what producers call can be repeated. Twice, not ten times as redis-py would."""
    port, heard = rude
    jobs = JobQueue.from_url(f"redis://127.0.0.1:{port}")
    with pytest.raises(Unavailable):
        jobs.enqueue("greet")
    jobs.redis.close()

    assert len(heard) == 2


def test_a_workers_call_is_made_once(rude: tuple[int, list[bytes]]) -> None:
    """A take that came through, though its answer did not, must not be made twice."""
    port, heard = rude
    own = JobQueue.from_url(f"redis://127.0.0.1:{port}").sibling(1)
    with pytest.raises(Unavailable):
        own.take("ann")
    own.redis.connection_pool.disconnect()

    assert len(heard) == 1
