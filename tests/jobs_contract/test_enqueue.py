"""enqueue: what is stored, where it goes, and that a repeat is harmless. What is refused: test_refusals.py."""

import json
import threading
from datetime import UTC, datetime, timedelta, timezone
from queue import JobQueue, named
from queue.job import MAX_ARGUMENTS
from queue.jobs import CHUNK_JOBS
from typing import Any

import pytest

from tests.servers import each_redis

from .helpers import DAY, START, Clock, Look, add, buried, finish, running, take, take_one

pytestmark = each_redis


def test_enqueue_stores_readable_fields(jobs: JobQueue, look: Look) -> None:
    """A job is a hash that a person can read with redis-cli."""
    job_id = jobs.enqueue(named("greet", queue="low", retries=2), "Ada", 1, polite=True)

    assert look.job(job_id) == {
        "state": "pending",
        "task": "greet",
        "args": '["Ada",1]',
        "kwargs": '{"polite":true}',
        "queue": "low",
        "max_attempts": "3",
        "enqueued_at": str(START),
    }
    assert look.pending("low") == [job_id]


def test_enqueue_says_nothing_that_the_worker_is_to_choose(jobs: JobQueue, look: Look) -> None:
    """Without keyword arguments and options those fields are absent: the worker's registry decides."""
    assert look.job(jobs.enqueue("greet")).keys() == {"state", "task", "args", "queue", "enqueued_at"}


def test_jobs_are_pushed_left_and_taken_right(jobs: JobQueue, look: Look) -> None:
    """The list is first in, first out; `LRANGE` shows the newest first."""
    add(jobs, "a", "b", "c")

    assert look.raw.lrange("{queue}:pending:default", 0, -1) == ["c", "b", "a"]
    assert take_one(jobs)[0] == "a"


def test_ids_are_new_each_time(jobs: JobQueue) -> None:
    """A job that is given no id gets one of its own: 22 letters and digits."""
    ids = {jobs.enqueue("greet") for _ in range(20)}

    assert len(ids) == 20
    assert all(len(job_id) == 22 and job_id.isalnum() for job_id in ids)


def test_status_reads_back_what_was_enqueued(jobs: JobQueue) -> None:
    """`status` gives the fields with their types."""
    job = jobs.status(jobs.enqueue(named("greet", retries=0), "Ada", deep={"a": [1, None]}))

    assert job is not None
    assert (job.state, job.task, job.queue, job.args, job.kwargs) == (
        "pending",
        "greet",
        "default",
        ["Ada"],
        {"deep": {"a": [1, None]}},
    )
    assert (job.attempt, job.failures, job.crashes, job.max_attempts, job.enqueued_at) == (0, 0, 0, 1, START)
    assert (job.worker, job.result, job.due_at, job.started_at, job.finished_at) == (None,) * 5


def test_an_unknown_id_is_no_job(jobs: JobQueue) -> None:
    """Unknown is None, and neither pending nor complete."""
    assert jobs.status("nobody") is None
    assert not jobs.is_complete("nobody")


@pytest.mark.parametrize("state", ["pending", "scheduled", "running", "done", "dead", "cancelled", "cancelled waiting"])
def test_the_same_id_again_changes_nothing(jobs: JobQueue, look: Look, state: str) -> None:
    """Whatever state the job is in, a second enqueue answers its id and leaves everything as it was."""
    if state == "scheduled":
        jobs.enqueue_in(60, named("greet", id="a"))
    elif state == "dead":
        buried(jobs)
    elif state == "cancelled":
        jobs.enqueue_in(60, named("greet", id="a"))
        jobs.cancel("a")
    else:
        add(jobs, "a")
    if state in ("running", "done"):
        token = take_one(jobs)
    if state == "done":
        finish(jobs, token)
    if state == "cancelled waiting":
        jobs.cancel("a")
    before = look.dump()

    assert jobs.enqueue(named("greet", id="a", queue="low"), "other") == "a"
    assert jobs.enqueue_in(5, named("greet", id="a")) == "a"

    assert look.dump() == before


def test_threads_that_enqueue_the_same_id_make_one_job(jobs: JobQueue, look: Look) -> None:
    """Of a hundred calls at once with one id one makes the job."""
    threads = [threading.Thread(target=lambda: [add(jobs, "a") for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert look.pending() == ["a"]


def test_enqueue_many_keeps_the_order(jobs: JobQueue, look: Look) -> None:
    """More than one call's worth of jobs are stored in the order given."""
    ids = jobs.enqueue_many([("greet", number) for number in range(CHUNK_JOBS + 20)])

    assert look.pending() == ids
    assert look.job(ids[-1])["args"] == f"[{CHUNK_JOBS + 19}]"


def test_enqueue_many_of_one_id_makes_one_job(jobs: JobQueue, look: Look) -> None:
    """A repeat within one call is a repeat."""
    assert jobs.enqueue_many([(named("greet", id="a"), 1), (named("greet", id="a"), 2), ("greet", 3)])[:2] == ["a", "a"]

    assert look.job("a")["args"] == "[1]"
    assert len(look.pending()) == 2


def test_enqueue_many_of_nothing(jobs: JobQueue, look: Look) -> None:
    """No jobs make no keys."""
    assert jobs.enqueue_many([]) == []
    assert look.dump() == {}


def test_enqueue_many_of_large_arguments(jobs: JobQueue, look: Look) -> None:
    """Jobs whose arguments together are several megabytes are stored in several calls."""
    ids = jobs.enqueue_many([("greet", "x" * 60_000) for _ in range(40)])

    assert look.pending() == ids


def test_enqueue_in_puts_a_job_on_the_schedule(jobs: JobQueue, look: Look) -> None:
    """It is due that much later by the clock of Redis, in no list until then."""
    job_id = jobs.enqueue_in(90, "greet")
    other = jobs.enqueue_in(timedelta(minutes=2), "greet")

    assert look.scheduled() == {job_id: START + 90_000, other: START + 120_000}
    assert (look.job(job_id)["state"], look.job(job_id)["due_at"], look.pending()) == (
        "scheduled",
        str(START + 90_000),
        [],
    )


@pytest.mark.parametrize(
    "when",
    [
        START / 1000 + 60,
        START // 1000 + 60,
        datetime.fromtimestamp(START / 1000 + 60, UTC),
        datetime.fromtimestamp(START / 1000 + 60, timezone(timedelta(hours=5, minutes=45))),
    ],
)
def test_enqueue_at_takes_an_instant(jobs: JobQueue, look: Look, when: Any) -> None:
    """Unix seconds and aware datetimes of any zone mean the same instant."""
    job_id = jobs.enqueue_at(when, "greet")

    assert look.scheduled() == {job_id: START + 60_000}


@pytest.mark.parametrize("when", [0, -1.5, START / 1000, START / 1000 - DAY, datetime(1970, 1, 1, tzinfo=UTC)])
def test_a_time_that_is_past_runs_at_once(jobs: JobQueue, look: Look, when: Any) -> None:
    """Nothing is scheduled for the past: the job is pending."""
    job_id = jobs.enqueue_at(when, "greet")

    assert (look.pending(), look.scheduled()) == ([job_id], {})


def test_a_delay_of_nothing_runs_at_once(jobs: JobQueue, look: Look) -> None:
    """`enqueue_in(0, ...)` is `enqueue`."""
    ids = [jobs.enqueue_in(0, "greet"), jobs.enqueue_in(timedelta(), "greet")]

    assert (look.pending(), look.scheduled()) == (ids, {})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "naïve 🐦",
        "\x00",
        '\n\r\t"\\',
        "\ud83d",
        "a\ud800z\udfff",
        "\u2028",
        [[]],
        {"": {"": None}},
        1e300,
        -0.0,
        2**80,
        True,
    ],
    ids=ascii,
)
def test_arguments_come_back_as_they_were(jobs: JobQueue, value: Any) -> None:
    """NUL, line ends, emoji and lone surrogates survive the way through Redis and a take."""
    job_id = jobs.enqueue("greet", value, key=value)
    line = jobs.take("ann").lines[0].split("\n")
    job = jobs.status(job_id)

    assert json.loads(line[4]) == [value]
    assert json.loads(line[5]) == {"key": value}
    assert job is not None
    assert (job.args, job.kwargs) == ([value], {"key": value})


def test_arguments_may_have_64_kib_exactly(jobs: JobQueue) -> None:
    """The limit itself is allowed, of positional and keyword arguments together."""
    positional = "x" * (MAX_ARGUMENTS - len('[""]') - len('{"k":"yy"}'))
    job_id = jobs.enqueue("greet", positional, k="yy")
    job = jobs.status(job_id)

    assert job is not None
    assert job.args == [positional]


@pytest.mark.parametrize("job_id", ["a", "A.b:c-d_e", "x" * 128, "0", "-", "tick:2026-11-23T09:00"])
def test_ids_may_look_like_this(jobs: JobQueue, look: Look, job_id: str) -> None:
    """Letters, digits and _ . : - up to 128 of them; such a job runs through to its end."""
    add(jobs, job_id)

    assert finish(jobs, take_one(jobs))
    assert look.job(job_id)["state"] == "done"


def test_a_task_may_have_any_name_without_blanks(jobs: JobQueue) -> None:
    """Names are kept as they are, dots and emoji too."""
    for name in ("a", "mail.send", "🐦", "x" * 200):
        job = jobs.status(jobs.enqueue(name))
        assert job is not None
        assert job.task == name


def test_namespaces_do_not_meet(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Two queues on one Redis see nothing of each other."""
    other = JobQueue(jobs.redis, "other", clock=clock)
    other.enqueue(named("greet", id="a"))

    assert jobs.status("a") is None
    assert take(jobs) == []
    assert look.raw.delete(*look.raw.keys("{other}:*")) == 3  # hash, list, bell


def test_the_clock_is_that_of_the_server(live: JobQueue, look: Look) -> None:
    """Without a clock of ours the time is that of Redis, in ms."""
    second, micro = look.raw.time()
    job = live.status(live.enqueue("greet"))

    assert job is not None
    assert job.enqueued_at is not None
    assert 0 <= job.enqueued_at - (second * 1000 + micro // 1000) < 60_000


def test_is_complete_only_when_done(jobs: JobQueue) -> None:
    """Pending, running, dead and cancelled are not complete; done is."""
    add(jobs, "a", "b")
    assert not jobs.is_complete("a")
    token = take_one(jobs)
    assert not jobs.is_complete("a")
    finish(jobs, token)
    assert jobs.is_complete("a")
    jobs.cancel("b")
    assert not jobs.is_complete("b")
    take(jobs)
    buried(jobs, "c")
    assert not jobs.is_complete("c")


def test_a_second_life_under_the_same_id(jobs: JobQueue, look: Look) -> None:
    """Once a finished job is forgotten its id is free again."""
    token = running(jobs)
    finish(jobs, token)
    look.raw.delete("{queue}:job:a")
    add(jobs, "a")

    assert look.pending() == ["a"]
