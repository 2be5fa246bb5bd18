"""reclaim and beat: leases, and what becomes of the jobs of a worker that died."""

from queue import JobQueue
from queue.jobs import CRASH_DELAY, DEADLY_CRASHES

import pytest

from tests.servers import each_redis

from .helpers import START, Clock, Look, add, finish, held, running, take, take_one

pytestmark = each_redis


def crash(jobs: JobQueue, clock: Clock, worker: str = "ann") -> list[tuple[str, str]]:
    """Take what there is, let the worker's lease run out, and reclaim."""
    clock.advance(CRASH_DELAY * 3)
    take(jobs, worker)
    clock.advance(15.001)
    return jobs.reclaim()


def test_reclaim_leaves_the_living_alone(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """At the very end of a lease it still holds; a millisecond later it is over."""
    running(jobs)
    clock.advance(15)
    assert jobs.reclaim() == []
    assert look.running() == ["a"]

    clock.advance(0.001)
    assert jobs.reclaim() == [("a", "pending")]


def test_a_reclaim_that_lay_in_a_frozen_redis_does_nothing(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """When it is carried out all leases are over, those of the living too: it holds for a moment after our beat."""
    running(jobs)
    jobs.beat("bob", 15)
    clock.advance(15.001)
    assert jobs.reclaim(within=15) == []
    assert look.running() == ["a"]

    jobs.beat("bob", 15)
    assert jobs.reclaim(within=15) == [("a", "pending")]


def test_the_first_crash_puts_a_job_in_front_at_once(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """It waits no second time; the oldest of several comes first; no failure is counted."""
    add(jobs, *"abcd")
    take(jobs, limit=3)
    clock.advance(16)

    assert jobs.reclaim() == [("c", "pending"), ("b", "pending"), ("a", "pending")]
    assert look.pending() == [*"abcd"]
    job = jobs.status("a")
    assert job is not None
    assert (job.crashes, job.failures, job.attempt, job.state) == (1, 0, 1, "pending")
    assert (look.workers(), look.counts()["reclaimed"]) == ({}, 3)


def test_the_second_crash_waits_a_while(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A killer and its neighbours part: each comes back at another time, within three times the delay."""
    add(jobs, *"abcdefgh")
    for job_id in "abcdefgh":
        look.raw.hset(f"{{queue}}:job:{job_id}", "crashes", 1)
    while take(jobs):
        pass
    clock.advance(16)
    fates = jobs.reclaim()

    assert {fate for _, fate in fates} == {"scheduled"}
    waits = [due - clock.now for due in look.scheduled().values()]
    assert all(CRASH_DELAY * 1000 <= wait <= 3 * CRASH_DELAY * 1000 for wait in waits)
    assert len(set(waits)) > 1


def test_the_third_crash_is_the_last(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A job that kills its worker is dead after three crashes, and says so, with the worker's name."""
    add(jobs, "a")
    fates = [crash(jobs, clock, f"worker{number}") for number in range(DEADLY_CRASHES)]
    job = jobs.status("a")

    assert fates == [[("a", "pending")], [("a", "scheduled")], [("a", "dead")]]
    assert job is not None
    assert (job.state, job.reason, job.crashes, job.failures, job.attempt) == ("dead", "crashed", 3, 0, 3)
    assert job.error is not None
    assert "3 times" in job.error
    assert "worker2" in job.error
    assert look.dead() == ["a"]


def test_crashes_and_failures_are_counted_apart(jobs: JobQueue, clock: Clock) -> None:
    """Two crashes and two failures are neither three nor four of one."""
    add(jobs, "a")
    crash(jobs, clock)
    jobs.retry("ann", take_one(jobs), 0, "an error")
    jobs.retry("ann", take_one(jobs), 0, "an error")
    crash(jobs, clock)
    job = jobs.status("a")

    assert job is not None
    assert (job.crashes, job.failures, job.state) == (2, 2, "scheduled")


def test_a_job_reclaimed_runs_to_its_end_elsewhere(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """The second worker finishes it; the first, back from the dead, is told that it came too late."""
    old = running(jobs)
    clock.advance(16)
    jobs.reclaim()
    new = take_one(jobs, "bob")

    assert not finish(jobs, old)
    assert finish(jobs, new, "bob")
    assert look.job("a")["worker"] == "bob"


def test_a_stale_id_in_a_running_list_is_dropped(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Done, held by another, waiting elsewhere: the hash says where the job is, the copy goes."""
    finish(jobs, running(jobs, "done"))
    running(jobs, "other", "bob")
    add(jobs, "waits")
    look.raw.lpush("{queue}:running:gone", "done", "other", "waits")
    look.raw.zadd("{queue}:workers", {"gone": START - 1})

    assert jobs.reclaim() == []
    assert look.running("gone") == []
    assert (look.pending(), look.running("bob")) == (["waits"], ["other"])


def test_a_bad_id_in_a_running_list_goes_to_the_dead(jobs: JobQueue, look: Look) -> None:
    """Without a hash it cannot run: it is named among the dead, and the others come back."""
    running(jobs, "a", "gone")
    look.raw.lpush("{queue}:running:gone", "junk")
    look.raw.zadd("{queue}:workers", {"gone": START - 1})

    assert jobs.reclaim() == [("a", "pending")]
    assert look.dead() == ["junk"]
    assert look.job("junk")["reason"] == "bad entry"


def test_the_entry_of_a_worker_goes_when_its_list_is_empty(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Of more jobs than one call takes back, the rest is not forgotten."""
    ids = jobs.enqueue_many([("greet",)] * 450)
    while take(jobs, limit=100):
        pass
    jobs.beat("ann", 15, {"host": "here"})
    clock.advance(16)

    left = []
    while fates := jobs.reclaim():
        left.append((len(fates), len(look.workers())))
    assert left == [(200, 1), (200, 1), (50, 0)]
    assert sorted(look.pending()) == sorted(ids)
    assert look.raw.exists("{queue}:worker:ann") == 0


def test_workers_that_never_ran_anything_are_swept(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Many dead entries, also ones put there by hand with odd names and times, go in a few calls."""
    names = {f"w{number}": START - number for number in range(25)}
    look.raw.zadd("{queue}:workers", names | {"": START, "a b:c": 1.5, "-inf": float("-inf"), "\udcff\udcfe": -5})
    clock.advance(1)
    for _ in range(4):
        assert jobs.reclaim() == []

    assert look.workers() == {}


def test_an_entry_that_never_ends_harms_nobody(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A lease of +inf put there by hand is not reclaimed, and beats and takes go on."""
    look.raw.zadd("{queue}:workers", {"forever": float("inf")})
    running(jobs)

    assert jobs.reclaim() == []
    assert jobs.beat("ann", 15)[0] == 15
    assert look.running() == ["a"]


def test_beat_renews_the_lease(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """From now on, and says how long the earliest of all still is."""
    running(jobs)
    jobs.beat("bob", 40)
    clock.advance(10)

    assert jobs.beat("ann", 15)[0] == 15
    assert jobs.beat("bob", 40)[0] == 15
    assert look.workers() == {"ann": START + 25_000, "bob": START + 50_000}
    clock.advance(20)
    assert jobs.beat("bob", 40)[0] == 0


def test_beat_tells_what_the_worker_holds(jobs: JobQueue) -> None:
    """Each job with the token of its take: what the worker does not know of was lost on the way."""
    first, second = running(jobs, "a"), running(jobs, "b")
    running(jobs, "c", "bob")

    assert held(jobs) == {first: False, second: False}


def test_beat_tells_whether_the_lease_had_held(jobs: JobQueue, clock: Clock) -> None:
    """A worker that was frozen past its own lease must know, before it reclaims from others that froze with it."""
    kept = [jobs.beat("ann", 15)[1]]
    for seconds in (1, 14.999, 15, 16):
        clock.advance(seconds)
        kept.append(jobs.beat("ann", 15)[1])

    assert kept == [False, True, True, False, False]


def test_beat_keeps_a_card_of_the_worker(jobs: JobQueue, look: Look) -> None:
    """What it says of itself, for people; gone by itself some leases after its last beat."""
    jobs.beat("ann", 15, {"host": "here", "pid": 7})
    card = look.raw.hgetall("{queue}:worker:ann")

    assert card == {"host": "here", "pid": "7", "last_turn": str(START)}
    assert 50_000 < look.raw.pttl("{queue}:worker:ann") <= 60_000


def test_a_worker_that_leaves_is_reclaimed_at_once(jobs: JobQueue, look: Look) -> None:
    """A beat of 0 ends the lease: what it still holds need not wait for it to run out."""
    running(jobs)
    jobs.beat("ann", 0)

    assert jobs.reclaim() == [("a", "pending")]
    assert look.workers() == {}


def test_reclaim_of_one_worker(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A worker that leaves takes back its own and nobody else's, whatever their leases."""
    running(jobs, "a", "ann")
    running(jobs, "b", "bob")
    clock.advance(16)

    assert jobs.reclaim("ann") == [("a", "pending")]
    assert look.running("bob") == ["b"]


def test_a_take_keeps_the_lease_alive_too(jobs: JobQueue, clock: Clock) -> None:
    """A busy worker is alive."""
    running(jobs, "a")
    clock.advance(10)
    running(jobs, "b")
    clock.advance(10)

    assert jobs.reclaim() == []


@pytest.mark.parametrize("crashes", ["abc", "-1", "1.5", "99999999999999999999"])
def test_a_count_of_crashes_that_is_none(jobs: JobQueue, look: Look, clock: Clock, crashes: str) -> None:
    """Put there by hand: the job is taken back in some way, never lost."""
    running(jobs)
    look.raw.hset("{queue}:job:a", "crashes", crashes)
    clock.advance(16)

    assert [job_id for job_id, _ in jobs.reclaim()] == ["a"]
