"""Fencing: what changes a running job needs its token (worker, attempt, started_at); a repeat gets the first answer."""

from collections.abc import Callable
from queue import JobQueue
from queue.jobs import Token

import pytest

from tests.servers import each_redis

from .helpers import Clock, Look, add, running, take_one

pytestmark = each_redis

Verb = Callable[[JobQueue, str, Token], bool]

VERBS: dict[str, Verb] = {
    "finish": lambda jobs, worker, token: jobs.finish(worker, [(*token, 60_000, '"ok"')]) == [],
    "finish carried by take": lambda jobs, worker, token: (
        jobs.take(worker, queues=["nothing"], finished=[(*token, 60_000, '"ok"')]).lost == []
    ),
    "retry": lambda jobs, worker, token: jobs.retry(worker, token, 30, "an error"),
    "snooze": lambda jobs, worker, token: jobs.snooze(worker, token, 30),
    "bury": lambda jobs, worker, token: jobs.bury(worker, token, "failed", "an error"),
    "release": lambda jobs, worker, token: jobs.release(worker, [token]) == [],
    "cancel": lambda jobs, worker, token: jobs.cancel(token[0], (worker, token)) == "cancelled",
}
ENDS = {"finish": "done", "bury": "dead", "release": "pending", "cancel": "cancelled", "retry": "scheduled"}
each_verb = pytest.mark.parametrize("verb", VERBS)


def settle(verb: str, jobs: JobQueue, token: Token, worker: str = "ann") -> bool:
    """Call the verb; True if it says that the job is settled."""
    return VERBS[verb](jobs, worker, token)


@each_verb
def test_the_right_token_settles(jobs: JobQueue, look: Look, verb: str) -> None:
    """The worker that holds the job may end it, in any way; then it holds it no longer."""
    token = running(jobs)

    assert settle(verb, jobs, token)
    assert look.job("a")["state"] == ENDS.get(verb.split()[0], "scheduled")
    assert look.running() == []


@each_verb
def test_a_repeat_gets_the_first_answer_and_changes_nothing(
    jobs: JobQueue, look: Look, clock: Clock, verb: str
) -> None:
    """An answer was lost and the call is made again, a while later."""
    token = running(jobs)
    settle(verb, jobs, token)
    before, counts = look.dump(), look.counts()
    clock.advance(5)

    assert settle(verb, jobs, token)
    assert look.dump() == before
    assert look.counts() == counts


@each_verb
@pytest.mark.parametrize("wrong", ["worker", "attempt", "started_at", "id"])
def test_another_token_changes_nothing_and_is_told(jobs: JobQueue, look: Look, verb: str, wrong: str) -> None:
    """Each of the three parts counts; a token for a job that does not exist is refused too."""
    job_id, attempt, started = running(jobs)
    before = look.dump()
    worker = "bob" if wrong == "worker" else "ann"
    bad = {
        "worker": (job_id, attempt, started),
        "attempt": (job_id, "2", started),
        "started_at": (job_id, attempt, str(int(started) - 1)),
        "id": ("nobody", attempt, started),
    }

    assert not settle(verb, jobs, bad[wrong], worker)
    assert look.dump() == before


@each_verb
def test_the_same_worker_taking_the_same_job_twice(jobs: JobQueue, look: Look, verb: str) -> None:
    """Even within one millisecond the first take's token is no good for the second."""
    old = running(jobs)
    jobs.release("ann", [old])
    new = take_one(jobs)
    before = look.dump()

    assert not settle(verb, jobs, old)
    assert look.dump() == before
    assert settle(verb, jobs, new)


@each_verb
def test_a_worker_that_lost_its_lease(jobs: JobQueue, look: Look, clock: Clock, verb: str) -> None:
    """Frozen, reclaimed, and somebody else runs the job: it changes nothing any more."""
    old = running(jobs)
    clock.advance(16)
    jobs.reclaim()
    new = take_one(jobs, "bob")
    before = look.dump()

    assert not settle(verb, jobs, old)
    assert look.dump() == before
    assert settle(verb, jobs, new, "bob")


@each_verb
def test_after_flushall_old_tokens_are_worth_nothing(jobs: JobQueue, look: Look, clock: Clock, verb: str) -> None:
    """Redis lost everything, the same worker took the same id again: attempt 1, but another moment."""
    old = running(jobs)
    look.raw.flushall()
    assert not settle(verb, jobs, old)
    assert look.raw.keys("{queue}:job:*") == []

    clock.advance(1)
    add(jobs, "a")
    waiting = look.dump()
    assert not settle(verb, jobs, old)
    assert look.dump() == waiting

    new = take_one(jobs)
    before = look.dump()
    assert not settle(verb, jobs, old)
    assert look.dump() == before
    assert settle(verb, jobs, new)


@each_verb
@pytest.mark.parametrize("first", ["finish", "retry", "bury", "cancel"])
def test_the_first_verb_wins(jobs: JobQueue, look: Look, verb: str, first: str) -> None:
    """Once a token is settled no other verb with it changes anything."""
    token = running(jobs)
    settle(first, jobs, token)
    before = look.dump()
    settle(verb, jobs, token)

    assert look.dump() == before or (verb == "cancel" and first == "retry")


@each_verb
def test_a_settled_job_taken_anew_is_not_settled_by_the_old_token(
    jobs: JobQueue, look: Look, clock: Clock, verb: str
) -> None:
    """Its worker retried it and took it again: a late repeat of the old call changes nothing."""
    old = running(jobs)
    jobs.retry("ann", old, 0, "an error")
    new = take_one(jobs)
    before = look.dump()

    assert not settle(verb, jobs, old)
    assert look.dump() == before
    assert settle(verb, jobs, new)


def test_still_held_by_one_worker_only(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A release of several jobs gives back those that are held and names the others."""
    add(jobs, "a", "b", "c")
    first, second, third = take_one(jobs), take_one(jobs), take_one(jobs)
    jobs.finish("ann", [(*second, 60_000, "")])

    assert jobs.release("ann", [first, second, third, ("nobody", "1", "1")]) == ["nobody", "b"]
    assert look.pending() == ["a", "c"]
