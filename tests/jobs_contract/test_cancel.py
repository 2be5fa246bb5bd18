"""cancel: its four answers, and a running job that is asked to stop."""

import threading
from collections import Counter
from queue import JobQueue, named

import pytest

from tests.servers import each_redis

from .helpers import Clock, Look, add, buried, finish, held, running, take, take_one

pytestmark = each_redis


def test_cancel_a_scheduled_job(jobs: JobQueue, look: Look) -> None:
    """It leaves the schedule at once and is remembered for an hour."""
    jobs.enqueue_in(60, named("greet", id="a"))

    assert jobs.cancel("a") == "cancelled"
    assert look.scheduled() == {}
    assert look.job("a")["state"] == "cancelled"
    assert 3_590_000 < look.ttl("a") <= 3_600_000


def test_cancel_a_job_that_waits_for_its_retry(jobs: JobQueue, look: Look) -> None:
    """Retrying is scheduled: it can be cancelled, and keeps its error."""
    jobs.retry("ann", running(jobs), 60, "an error")

    assert jobs.cancel("a") == "cancelled"
    assert look.job("a")["error"] == "an error"


def test_cancel_a_pending_job(jobs: JobQueue, look: Look) -> None:
    """It never runs; no list is searched, its id is dropped when its turn comes."""
    add(jobs, "a", "b")

    assert jobs.cancel("a") == "cancelled"
    assert look.pending() == ["a", "b"]
    assert [token[0] for token in take(jobs, limit=5)] == ["b"]


def test_cancel_a_running_job_asks_it_to_stop(jobs: JobQueue, look: Look) -> None:
    """It runs on until its worker hears of it, with the next beat."""
    token = running(jobs)

    assert jobs.cancel("a") == "stopping"
    assert look.job("a")["state"] == "running"
    assert held(jobs) == {token: True}
    assert jobs.cancel("a", ("ann", token)) == "cancelled"
    assert (look.job("a")["state"], look.running()) == ("cancelled", [])


@pytest.mark.parametrize("state", ["done", "dead"])
def test_cancel_too_late(jobs: JobQueue, look: Look, state: str) -> None:
    """What has ended stays as it ended."""
    finish(jobs, running(jobs)) if state == "done" else buried(jobs)
    before = look.dump()

    assert jobs.cancel("a") == "too late"
    assert look.dump() == before


def test_cancel_something_unknown(jobs: JobQueue, look: Look) -> None:
    """Nothing is made of an id that nobody knows."""
    assert jobs.cancel("nobody") == "unknown"
    assert look.dump() == {}


@pytest.mark.parametrize("state", ["pending", "scheduled", "running", "done"])
def test_cancel_again_gives_the_first_answer(jobs: JobQueue, look: Look, clock: Clock, state: str) -> None:
    """A repeat changes nothing, not even the time."""
    if state == "scheduled":
        jobs.enqueue_in(60, named("greet", id="a"))
    elif state == "pending":
        add(jobs, "a")
    else:
        token = running(jobs)
    if state == "done":
        finish(jobs, token)
    first = jobs.cancel("a")
    before = look.dump()
    clock.advance(1)

    assert jobs.cancel("a") == first
    assert look.dump() == before


@pytest.mark.parametrize("verb", ["retry", "snooze", "release"])
def test_a_job_asked_to_stop_is_cancelled_when_it_would_run_again(jobs: JobQueue, look: Look, verb: str) -> None:
    """It failed, or was given back, before it heard: it does not run again."""
    token = running(jobs)
    jobs.cancel("a")
    calls = {
        "retry": lambda: jobs.retry("ann", token, 5, "an error"),
        "snooze": lambda: jobs.snooze("ann", token, 5),
        "release": lambda: jobs.release("ann", [token]) == [],
    }

    assert calls[verb]()
    assert look.job("a")["state"] == "cancelled"
    assert look.ttl("a") > 0
    assert (look.scheduled(), look.pending(), look.running()) == ({}, [], [])


def test_a_job_asked_to_stop_whose_worker_dies_is_cancelled(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Nobody waits for a dead worker to hear."""
    running(jobs)
    jobs.cancel("a")
    clock.advance(16)

    assert jobs.reclaim() == [("a", "cancelled")]
    assert look.job("a")["state"] == "cancelled"
    assert look.ttl("a") > 0


def test_a_job_that_ends_before_it_hears_has_ended(jobs: JobQueue) -> None:
    """Done is done, also when somebody asked to stop it; and nothing of the request is left."""
    token = running(jobs)
    jobs.cancel("a")
    assert finish(jobs, token)
    job = jobs.status("a")

    assert job is not None
    assert (job.state, job.reason) == ("done", None)


def test_a_job_that_fails_for_good_before_it_hears_is_dead(jobs: JobQueue) -> None:
    """With its own reason."""
    token = running(jobs)
    jobs.cancel("a")
    jobs.bury("ann", token, "failed", "an error")
    job = jobs.status("a")

    assert job is not None
    assert (job.state, job.reason) == ("dead", "failed")


def test_a_cancelled_id_can_not_be_enqueued_again(jobs: JobQueue) -> None:
    """As long as it is remembered: the click that cancelled counts, not the repeat of the one that enqueued."""
    add(jobs, "a")
    jobs.cancel("a")
    add(jobs, "a")

    assert take(jobs) == []


def test_cancel_raced_by_takes(live: JobQueue, look: Look) -> None:
    """Threads that take and threads that cancel: each job is either run or cancelled, and nobody was told otherwise."""
    ids = live.enqueue_many([("greet",)] * 60)
    answers: dict[str, str] = {}
    taken: list[str] = []

    def cancel_all(part: list[str]) -> None:
        answers.update({job_id: live.cancel(job_id) for job_id in part})

    def take_all() -> None:
        while tokens := take(live, "ann", 3):
            taken.extend(token[0] for token in tokens)
            live.finish("ann", [(*token, 60_000, "") for token in tokens])

    threads = [threading.Thread(target=cancel_all, args=(ids[start::2],)) for start in (0, 1)]
    threads += [threading.Thread(target=take_all) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    take_all()

    assert {job_id for job_id, answer in answers.items() if answer == "cancelled"} == set(ids) - set(taken)
    assert max(Counter(taken).values(), default=1) == 1
    assert {look.job(job_id)["state"] for job_id in taken} <= {"done"}


def test_a_job_taken_again_is_not_asked_to_stop_by_an_old_request(jobs: JobQueue, look: Look) -> None:
    """A request to stop ends with the job: a revived one starts without it."""
    token = running(jobs)
    jobs.cancel("a")
    jobs.bury("ann", token, "failed", "an error")
    jobs.revive("a")
    token = take_one(jobs)

    assert held(jobs) == {token: False}
