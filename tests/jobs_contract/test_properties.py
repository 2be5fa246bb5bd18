"""Properties: pauses stay within bounds, whatever is JSON comes back as it was, ids and errors are what they say."""

import json
import re
from queue import BadOption, JobQueue, TooLarge, backoff, named
from queue.hands import settlements
from queue.job import MAX_ERROR, checked_id, cut, new_id
from queue.run import read_taken
from queue.tasks import Registry
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from .helpers import Clock, add, define, take

shared = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
pure = settings(derandomize=True, deadline=None, max_examples=300)

failures = st.integers(1, 10**6)
jitters = st.floats(0, 1)
texts = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates, NUL and all
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@pure
@given(failures, jitters)
def test_backoff_is_within_its_bounds(failures: int, jitter: float) -> None:
    """From the base to the cap; jitter only adds, and no more than a half."""
    plain = backoff.delay(failures, 0)

    assert backoff.BASE <= plain <= backoff.CAP
    assert plain <= backoff.delay(failures, jitter) <= plain * 1.5


@pure
@given(failures, failures, jitters)
def test_backoff_never_gets_shorter(one: int, other: int, jitter: float) -> None:
    """More failures never wait for less, and many wait for the cap."""
    fewer, more = sorted((one, other))

    assert backoff.delay(fewer, jitter) <= backoff.delay(more, jitter)
    assert backoff.delay(more + 10, 0) == backoff.CAP


@pure
@given(st.integers(0, 10**6), st.integers(0, 10**6), jitters)
def test_reconnecting_backs_off_within_its_bounds(one: int, other: int, jitter: float) -> None:
    """Never at once, never later than promised, never sooner after more attempts."""
    fewer, more = sorted((one, other))
    waits = [backoff.reconnect(fewer, jitter), backoff.reconnect(more, jitter)]

    assert 0.02 <= waits[0] <= waits[1] <= backoff.RECONNECT


@shared
@given(args=st.lists(json_values, max_size=4), kwargs=st.dictionaries(texts, json_values, max_size=3))
def test_any_json_reaches_the_task_and_comes_back(
    jobs: JobQueue, tasks: Registry, clock: Clock, args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Arguments from enqueue to the call, the result from the call to `status`, exactly."""
    define(tasks, lambda *given, **named: [list(given), named])
    job_id = jobs.enqueue("greet", *args, **kwargs)
    (run,) = read_taken(jobs.take("ann"), jobs, tasks, "ann")
    run.call()
    assert jobs.finish("ann", settlements([run])) == []

    job = jobs.status(job_id)
    assert job is not None
    assert exactly(job.args) == exactly(args)
    assert exactly(job.kwargs or {}) == exactly(kwargs)
    assert exactly(job.result) == exactly([args, kwargs])


def exactly(value: Any) -> str:
    """Return a form in which 1, 1.0 and True, or -0.0 and 0.0, differ."""
    return json.dumps(value, sort_keys=True)


@shared
@given(args=st.lists(json_values, max_size=2), size=st.integers(65_400, 65_700))
def test_arguments_are_bounded_to_the_byte(jobs: JobQueue, args: list[Any], size: int) -> None:
    """64 KiB as JSON are taken, one byte more is refused before Redis."""
    short = len(json.dumps([*args, ""], separators=(",", ":")))
    filled = [*args, "x" * (size - short)]
    if size <= 65_536:
        jobs.enqueue("greet", *filled)
    else:
        with pytest.raises(TooLarge):
            jobs.enqueue("greet", *filled)


@shared
@given(st.from_regex(r"[A-Za-z0-9_.:-]{1,128}", fullmatch=True))
def test_any_id_of_the_allowed_kind_is_the_job_s(jobs: JobQueue, job_id: str) -> None:
    """It is stored, taken, and asked for under that id; a repeat is the same job."""
    assert add(jobs, job_id, job_id) == [job_id, job_id]
    assert [token[0] for token in take(jobs, limit=5)] == [job_id]
    found = jobs.status(job_id)
    assert found is not None
    assert (found.id, found.state, found.attempt) == (job_id, "running", 1)
    jobs.redis.flushall()


@pure
@given(texts | st.text("ab.:-_ \n", max_size=200))
def test_any_other_id_is_refused(job_id: str) -> None:
    """Before anything is asked of Redis."""
    assume(not re.fullmatch(r"[A-Za-z0-9_.:-]{1,128}", job_id))
    with pytest.raises(BadOption):
        checked_id(job_id)
    with pytest.raises(BadOption):
        named("greet", id=job_id)


def test_new_ids_are_ids_and_differ() -> None:
    """22 letters and digits, which nobody gets twice."""
    ids = [new_id() for _ in range(20_000)]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[A-Za-z0-9]{22}", job_id) for job_id in ids)


@pure
@given(st.text(st.characters(exclude_categories=()), max_size=100), st.integers(1, 200))
def test_any_error_text_is_cut_and_can_be_stored(message: str, times: int) -> None:
    """Bounded, UTF-8, with its start and its end."""
    whole = message * times
    short = cut(whole)

    assert len(short) <= MAX_ERROR
    assert short.encode().decode() == short
    if whole.isascii():
        assert short == whole or (whole.startswith(short[:900]) and whole.endswith(short[-900:]))
