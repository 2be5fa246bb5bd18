"""What lies in the queue, as dashboards see it: counts, pages, minutes. Looks change nothing and are bounded."""

from queue import JobQueue, QueueError, Unavailable, named, report

import pytest

from tests.servers import each_redis

from .helpers import NS, START, Clock, Look, add, buried, finish, running, take, take_one

pytestmark = each_redis
LISTS = ("default", "low")


@pytest.fixture(autouse=True)
def one_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks go by the tests' clock too."""
    monkeypatch.setattr("queue.report.clock", lambda jobs: clock.now)


def test_the_overview_counts_each_place(jobs: JobQueue, clock: Clock) -> None:
    """Pending by list, running, scheduled, due soon, dead, workers and what they are at."""
    buried(jobs, "dead")
    running(jobs, "runs")
    jobs.beat("ann", 15, {"lists": "default,high", "busy": 1})
    add(jobs, "a", "b")
    add(jobs, "c", queue="low")
    jobs.pause("low")
    for delay in (30, 61, 90):
        jobs.enqueue_in(delay, "greet")

    view = report.overview(jobs, LISTS)
    assert view.pending == {"default": 2, "high": 0, "low": 1}
    assert (view.running, view.scheduled, view.due_soon, view.dead) == (1, 3, 1, 1)
    assert (view.workers, view.busy, view.served) == (1, 1, {"default", "high"})
    assert (view.paused, view.next_due, view.now) == (["low"], START + 30_000, clock.now)
    assert view.last_hour == {"taken": 2, "dead": 1, "waited": 0}


def test_without_names_the_lists_are_found(jobs: JobQueue) -> None:
    """Also one that no worker takes from."""
    add(jobs, "a", queue="forgotten")
    assert report.overview(jobs).pending == {"forgotten": 1}
    assert report.overview(jobs, LISTS).pending == {"default": 0, "low": 0}


def test_a_worker_whose_lease_is_over_is_no_worker(jobs: JobQueue, clock: Clock) -> None:
    """It is still listed, with what it held, and does not count."""
    running(jobs)
    jobs.beat("ann", 15, {"lists": "default", "busy": 1})
    clock.advance(16)

    view = report.overview(jobs, LISTS)
    assert (view.workers, view.busy, view.served, view.running) == (0, 0, set(), 1)
    (worker,) = report.workers(jobs)
    assert (worker["name"], worker["lease_ms"]) == ("ann", -1000)
    jobs.reclaim()


def test_a_job_waits_since_it_could_have_run(jobs: JobQueue, clock: Clock) -> None:
    """One that was scheduled since it was due, not since it was enqueued."""
    jobs.enqueue_in(3600, named("greet", id="later"))
    clock.advance(3605)
    add(jobs, "b")
    assert take(jobs, queues=["low"]) == []  # promotes

    assert report.overview(jobs, LISTS).oldest == {"default": START + 3605_000}
    clock.advance(5)
    assert take_one(jobs)[0] == "b"
    assert report.overview(jobs, LISTS).oldest == {"default": START + 3600_000}


def test_what_was_given_back_does_not_hide_the_others(jobs: JobQueue, clock: Clock) -> None:
    """A released or revived job was enqueued long ago, and has not waited since then."""
    held = running(jobs, "old")
    clock.advance(60)
    add(jobs, "new")
    jobs.release("ann", [held])

    assert report.overview(jobs, LISTS).oldest == {"default": START + 60_000}
    for token in take(jobs, limit=2):
        jobs.bury("ann", token, "failed", "an error")
    jobs.revive("old")
    assert report.overview(jobs, LISTS).oldest == {}


def test_pages_are_bounded_and_in_order(jobs: JobQueue, clock: Clock) -> None:
    """The newest dead, the next scheduled, the longest running: so many and no more."""
    for job_id in "abc":
        buried(jobs, job_id)
        clock.advance(1)
    for delay, job_id in enumerate("xyz", 5):
        jobs.enqueue_in(delay, named("greet", id=job_id))
    first = running(jobs, "r1", "ann")
    clock.advance(1)
    second = running(jobs, "r2", "bob")

    assert [job.id for job in report.dead(jobs, 2)] == ["c", "b"]
    assert report.oldest_dead(jobs, 2) == ["a", "b"]
    assert [job.id for job in report.scheduled(jobs, 2)] == ["x", "y"]
    assert [(job.id, job.worker) for job in report.running(jobs)] == [("r1", "ann"), ("r2", "bob")]
    assert len(report.running(jobs, 1)) == 1
    finish(jobs, first), finish(jobs, second, "bob")


def test_stale_copies_and_junk_are_passed_over(jobs: JobQueue, look: Look, untidy: None) -> None:
    """The hash is the judge; what is no hash, or belongs elsewhere, is not shown."""
    add(jobs, "a")
    for key in ("dead", "running:ann"):
        look.raw.rpush(f"{NS}:{key}", "a", "gone", "junk")
    look.raw.zadd(f"{NS}:scheduled", {"a": 1, "gone": 2, "junk": 3})
    look.raw.set(f"{NS}:job:junk", "no hash")
    jobs.beat("ann", 15, {"busy": "many"})

    assert (report.dead(jobs), report.running(jobs), report.scheduled(jobs)) == ([], [], [])
    assert report.overview(jobs, LISTS).busy == 0


def test_minutes_are_counted_apart(jobs: JobQueue, clock: Clock) -> None:
    """The present one is the last; all together are the hour's."""
    add(jobs, "a", "b")
    clock.advance(3)
    finish(jobs, take_one(jobs))
    clock.advance(60)
    finish(jobs, take_one(jobs))

    *before, last, now = report.minutes(jobs, 5)
    assert before == [{}, {}, {}]
    assert last == {"taken": 1, "done": 1, "waited": 3000}
    assert now == {"taken": 1, "done": 1, "waited": 63_000}
    assert report.total([last, now]) == {"taken": 2, "done": 2, "waited": 66_000}


def test_looks_write_nothing(jobs: JobQueue, look: Look) -> None:
    """Whatever lies there."""
    buried(jobs)
    add(jobs, "b")
    before = look.raw.dbsize(), look.dump()
    for view in (report.overview, report.workers, report.dead, report.scheduled, report.running, report.minutes):
        view(jobs)
    report.oldest_dead(jobs, 10)
    assert (look.raw.dbsize(), look.dump()) == before


def test_looks_raise_our_errors(look: Look, jobs: JobQueue) -> None:
    """Redis away, or another type where a list should be: typed, as with every other call."""
    nowhere = JobQueue.from_url("redis://127.0.0.1:1")
    for view in (report.overview, report.workers, report.dead, report.scheduled, report.running, report.minutes):
        with pytest.raises(Unavailable):
            view(nowhere)
    look.raw.set(f"{NS}:scheduled", "junk")
    with pytest.raises(QueueError):
        report.scheduled(jobs)
    look.raw.flushall()
