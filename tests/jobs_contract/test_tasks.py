"""Tasks and their registry: decorators, options, names; and the functions of the module. No worker runs."""

import queue
from collections.abc import Iterator
from datetime import timedelta
from queue import BadOption, JobQueue, QueueError, Task, UnknownTask, named, task
from queue.backoff import CAP, delay, reconnect
from queue.tasks import Registry
from typing import Any

import pytest

from .helpers import Look


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry that decorators use, empty for one test."""
    mine = Registry()
    monkeypatch.setattr("queue.tasks.registry", mine)
    return mine


def test_the_bare_decorator(own_registry: Registry) -> None:
    """`@task` names the task as the function and keeps the usual options."""

    @task
    def greet(name: str) -> str:
        return f"hello {name}"

    assert own_registry.get("greet") is greet
    assert (greet.name, greet.queue, greet.retries, greet.timeout, greet.result_ttl) == (
        "greet",
        "default",
        5,
        300,
        3600,
    )


def test_the_decorator_with_options(own_registry: Registry) -> None:
    """Each option lands where it belongs; durations may be seconds or timedelta."""

    def slow(failures: int, jitter: float) -> float:
        return 7.0

    @task(name="mail.send", queue="mail", retries=0, backoff=slow, timeout=timedelta(minutes=2), result_ttl=60)
    def send() -> None: ...

    assert own_registry.get("mail.send") is send
    assert own_registry.get("send") is None
    assert (send.queue, send.retries, send.backoff, send.timeout, send.result_ttl) == ("mail", 0, slow, 120.0, 60.0)


def test_a_decorator_may_be_used_twice(own_registry: Registry) -> None:
    """Its options are those of both tasks."""
    mail = task(queue="mail", timeout=timedelta(seconds=9))

    @mail
    def first() -> None: ...

    @mail
    def second() -> None: ...

    assert [(known.name, known.queue, known.timeout) for known in (first, second)] == [
        ("first", "mail", 9.0),
        ("second", "mail", 9.0),
    ]


def test_two_functions_of_one_name_are_refused(own_registry: Registry) -> None:
    """The error names both; the first stays."""

    @task(name="greet")
    def first() -> None: ...

    with pytest.raises(BadOption, match=r"greet.*first.*second"):

        @task(name="greet")
        def second() -> None: ...

    assert own_registry.get("greet") is first


def test_the_same_function_again_is_a_reload(own_registry: Registry) -> None:
    """A module that is imported twice, or reloaded, is no conflict; the newer one counts."""

    def define(answer: int) -> Task:
        @task
        def greet() -> int:
            return answer

        return greet

    define(1)
    assert define(2)() == 2
    assert own_registry.get("greet") is not None


def test_calling_a_task_runs_it_here(own_registry: Registry) -> None:
    """A task is still a function: with its arguments, its result and its errors."""

    @task
    def divide(dividend: int, by: int = 2) -> float:
        return dividend / by

    assert divide(9, by=3) == 3
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_calling_a_name_says_that_it_is_one() -> None:
    """A named task has no function here."""
    with pytest.raises(UnknownTask, match=r"greet.*only a name"):
        named("greet")("Ada")


def test_options_are_a_copy(own_registry: Registry) -> None:
    """The task itself is left as it is; what is not given is taken over."""

    @task(queue="low", retries=3)
    def greet() -> None: ...

    copy = greet.options(id="a", retries=0)
    assert (copy.id, copy.queue, copy.max_attempts, copy.function) == ("a", "low", 1, greet.function)
    assert (greet.id, greet.max_attempts) == (None, None)
    assert greet.options(queue="high").queue == "high"
    assert copy.options(queue="high").max_attempts == 1


def test_an_id_is_for_a_single_enqueue(own_registry: Registry) -> None:
    """A copy of a copy does not take the id along: two jobs would be one."""
    assert named("greet", id="a").options(queue="low").id is None


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"result_ttl": 0},
        {"result_ttl": float("inf")},
        {"result_ttl": 1e17},
        {"result_ttl": timedelta(0)},
        {"queue": "a b"},
        {"name": "a b"},
        {"name": "x" * 201},
    ],
    ids=str,
)
def test_settings_that_cannot_be_used(own_registry: Registry, options: dict[str, Any]) -> None:
    """Refused when the module is loaded, not when the job runs; nothing is registered."""
    with pytest.raises(BadOption):
        task(**options)(lambda: None)
    assert own_registry.tasks == {}


def test_backoff_doubles_up_to_its_cap() -> None:
    """Jitter only adds: the wait is never shorter than without it, nor than the one before."""
    waits = [delay(failures, 0.0) for failures in range(1, 60)]
    assert waits[:4] == [15, 30, 60, 120]
    assert waits == sorted(waits)
    assert waits[-1] == CAP
    assert all(wait <= delay(failures, 1.0) <= 1.5 * CAP for failures, wait in enumerate(waits, 1))


def test_reconnects_are_at_most_two_seconds_apart() -> None:
    """From a moment to two seconds, however long Redis is away."""
    assert all(0 < reconnect(attempt, jitter) <= 2 for attempt in range(100) for jitter in (0.0, 0.5, 1.0))


@pytest.fixture
def face(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobQueue]:
    """The module's own functions, connected to an empty queue."""
    monkeypatch.setattr("queue.jobs._default", None)
    with pytest.raises(QueueError, match="connect"):
        queue.enqueue("greet")
    jobs = queue.connect(redis_url)
    yield jobs
    jobs.redis.close()


def test_the_functions_of_the_module(face: JobQueue, look: Look, own_registry: Registry) -> None:
    """They work on the queue chosen by `connect`, with tasks and with names."""

    @task(queue="low")
    def greet(name: str) -> None: ...

    first = queue.enqueue(greet, "Ada")
    second = queue.enqueue(greet.options(id="welcome-17", queue="high"), "Ada")
    later = [queue.enqueue_in(30, "greet"), queue.enqueue_at(4_000_000_000, "greet")]
    many = queue.enqueue_many([(greet, "Ada"), ("greet", "Bob")])

    assert second == "welcome-17"
    assert (look.pending("low"), look.pending("high"), look.pending()) == ([first, many[0]], [second], [many[1]])
    assert set(look.scheduled()) == set(later)
    job = queue.status(first)
    assert job is not None
    assert (job.args, queue.is_complete(first)) == (["Ada"], False)
    assert queue.reschedule(later[0], 4_000_000_001) == "rescheduled"
    assert (queue.cancel(later[0]), queue.cancel("nobody"), queue.revive(first)) == ("cancelled", "unknown", "too late")
    assert (queue.discard(first), queue.discard("nobody")) == ("too late", "unknown")
    queue.pause("low")
    assert face.take("ann", queues=["low"]).ids == []
    queue.resume("low")
    assert face.take("ann", queues=["low"]).ids == [first]


def test_connecting_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is found by the first call, a wrong URL at once."""
    monkeypatch.setattr("queue.jobs._default", None)
    queue.connect("redis://no-such-host.invalid:1/0")
    with pytest.raises(BadOption):
        queue.connect("no URL")
    with pytest.raises(BadOption):
        queue.connect("redis://127.0.0.1", namespace="a b")
