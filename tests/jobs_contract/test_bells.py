"""Bells: whatever makes a job takeable, or sets a due time before the earliest, wakes one worker of that list."""

from collections.abc import Callable
from queue import JobQueue, keys, named

import pytest

from tests.servers import each_redis

from .helpers import NS, Clock, Look, add, buried, finish, rings, running, take, take_one

pytestmark = each_redis

Act = Callable[[JobQueue, Clock], object]


def due_soon(jobs: JobQueue, clock: Clock) -> None:
    """Enqueue a job for later, empty the bells, let its time come, and take from another list."""
    jobs.enqueue_in(5, named("greet", id="a"))
    clock.advance(5)
    take(jobs, queues=["other"])


def revive(jobs: JobQueue, clock: Clock) -> None:
    """Bury and revive."""
    buried(jobs)
    jobs.redis.delete(keys.bell(NS, "default"))
    jobs.revive("a")


def release(jobs: JobQueue, clock: Clock) -> None:
    """Take and give back."""
    token = running(jobs)
    jobs.redis.delete(keys.bell(NS, "default"))
    jobs.release("ann", [token])


def reclaim(jobs: JobQueue, clock: Clock) -> None:
    """Take and die."""
    running(jobs)
    jobs.redis.delete(keys.bell(NS, "default"))
    clock.advance(16)
    jobs.reclaim()


def retry(jobs: JobQueue, clock: Clock) -> None:
    """Fail, so that the job is the next one due."""
    token = running(jobs)
    jobs.redis.delete(keys.bell(NS, "default"))
    jobs.retry("ann", token, 30, "an error")


RINGS: dict[str, Act] = {
    "enqueue": lambda jobs, clock: add(jobs, "a"),
    "enqueue for later": lambda jobs, clock: jobs.enqueue_in(60, "greet"),
    "promotion": due_soon,
    "resume": lambda jobs, clock: jobs.resume("default"),
    "release": release,
    "reclaim": reclaim,
    "revive": revive,
    "retry": retry,
}


@pytest.mark.parametrize("act", RINGS)
def test_what_makes_work_rings(jobs: JobQueue, look: Look, clock: Clock, act: str) -> None:
    """One token lies in the bell of its list."""
    RINGS[act](jobs, clock)

    assert look.bell() == 1


def test_only_the_bell_of_its_own_list_rings(jobs: JobQueue, look: Look) -> None:
    """Workers of other lists sleep on."""
    add(jobs, "a", queue="low")

    assert look.raw.keys("{queue}:bell:*") == ["{queue}:bell:low"]


def test_at_most_one_token(jobs: JobQueue, look: Look) -> None:
    """However much is enqueued while nobody listens."""
    jobs.enqueue_many([("greet",)] * 50)
    jobs.ring("default")
    jobs.resume("default")

    assert look.bell() == 1


def test_a_due_time_before_the_earliest_rings(jobs: JobQueue, look: Look) -> None:
    """Whoever sleeps until the earliest must hear of an earlier one; a later one wakes nobody."""
    jobs.enqueue_in(60, named("greet", id="first"))
    look.silence()
    jobs.enqueue_in(90, named("greet", id="later"))
    assert look.bell() == 0

    jobs.enqueue_in(30, "greet")
    assert look.bell() == 1


def test_what_is_due_within_a_nap_rings(jobs: JobQueue, look: Look) -> None:
    """Who takes from its list may know nothing of the earlier one, which is another list's."""
    jobs.enqueue_in(0.2, named("greet", id="first", queue="other"))
    look.silence()
    jobs.enqueue_in(0.3, named("greet", id="later"))
    assert (look.bell(), look.bell("other")) == (1, 0)


def test_rescheduling_before_the_earliest_rings(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """The same for a job that gets another time."""
    jobs.enqueue_in(60, named("greet", id="first"))
    jobs.enqueue_in(90, named("greet", id="later"))
    look.silence()
    jobs.reschedule("later", clock.now / 1000 + 70)
    assert look.bell() == 0

    jobs.reschedule("later", clock.now / 1000 + 50)
    assert look.bell() == 1


def test_a_take_that_leaves_more_rings(jobs: JobQueue, look: Look) -> None:
    """Who takes some and leaves some wakes the next; who takes all wakes nobody."""
    add(jobs, "a", "b")
    look.silence()
    take_one(jobs)
    assert look.bell() == 1

    look.silence()
    take_one(jobs)
    assert look.bell() == 0


def test_a_take_that_leaves_more_in_another_list_rings_there(jobs: JobQueue, look: Look) -> None:
    """Each list has its own bell."""
    add(jobs, "a")
    add(jobs, "b", queue="low")
    look.silence()
    take_one(jobs, queues=["default", "low"])

    assert (look.bell(), look.bell("low")) == (0, 1)


@pytest.mark.parametrize(("delay", "rings"), [(0.5, 1), (1, 1), (1.001, 0)])
def test_a_take_rings_when_more_is_due_within_a_second(jobs: JobQueue, look: Look, delay: float, rings: int) -> None:
    """Somebody must watch the clock while this worker is busy; a job further away can wait for its next turn."""
    add(jobs, "a")
    jobs.enqueue_in(delay, named("greet", queue="low"))
    look.silence()
    take_one(jobs)

    assert look.bell("low") == rings


def test_a_take_that_hands_out_nothing_never_rings(jobs: JobQueue, look: Look) -> None:
    """Else idle workers would wake each other for ever: paused, empty, or due soon."""
    add(jobs, "a")
    jobs.enqueue_in(0.5, named("greet", queue="low"))
    jobs.pause("default")
    look.silence()

    assert take(jobs, queues=["default", "low"]) == []
    assert look.raw.keys("{queue}:bell:*") == []


def test_a_paused_list_with_work_does_not_ring_at_a_take(jobs: JobQueue, look: Look) -> None:
    """What cannot be taken is no reason to wake anybody."""
    add(jobs, "a")
    add(jobs, "b", "c", queue="low")
    jobs.pause("default")
    look.silence()
    take_one(jobs, queues=["default", "low"])

    assert (look.bell(), look.bell("low")) == (0, 1)


def test_a_repeat_of_an_enqueue_wakes_nobody(jobs: JobQueue, look: Look) -> None:
    """Nothing new, nothing to look at."""
    add(jobs, "a")
    look.silence()
    add(jobs, "a")

    assert look.bell() == 0


def test_what_ends_a_job_wakes_nobody(jobs: JobQueue, look: Look) -> None:
    """Finish, bury and cancel leave nothing to take."""
    tokens = [running(jobs, job_id) for job_id in "abc"]
    look.silence()
    finish(jobs, tokens[0])
    jobs.bury("ann", tokens[1], "failed", "an error")
    jobs.cancel("c", ("ann", tokens[2]))

    assert look.raw.keys("{queue}:bell:*") == []


def test_a_sleeper_hears_which_list_rang(jobs: JobQueue, look: Look) -> None:
    """One BRPOP on several bells; the token is used up."""
    add(jobs, "a", queue="low")
    bells = [keys.bell(NS, "high"), keys.bell(NS, "low")]

    assert rings(jobs, bells) == "low"
    assert look.bell("low") == 0
    assert rings(jobs, bells, 0.01) is None


def test_pause_and_resume_may_be_repeated(jobs: JobQueue, look: Look) -> None:
    """Twice is once, and resuming what runs is harmless."""
    jobs.pause("default")
    jobs.pause("default")
    assert look.raw.smembers("{queue}:paused") == {"default"}
    jobs.resume("default")
    jobs.resume("default")
    assert look.raw.exists("{queue}:paused") == 0
