"""How jobs end: finish, retry, snooze, bury, release; and by hand: revive, discard, reschedule."""

from datetime import UTC, datetime
from queue import JobQueue, named
from queue.job import MAX_ERROR

import pytest

from tests.servers import each_redis

from .helpers import DAY, START, Clock, Look, add, buried, finish, running, take, take_one

pytestmark = each_redis

DEAD_LIMIT, DEAD_DAYS = 10_000, 30


def test_finish_keeps_the_result_for_its_time(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Done, with the result, when it ended, and a TTL; in no list any more."""
    token = running(jobs)
    clock.advance(3)
    assert finish(jobs, token, result='{"tweet":7}', ttl=60_000)
    job = jobs.status("a")

    assert job is not None
    assert (job.state, job.result, job.finished_at, job.attempt) == ("done", {"tweet": 7}, START + 3000, 1)
    assert 50_000 < look.ttl("a") <= 60_000
    assert look.running() == []


def test_finish_without_a_result(jobs: JobQueue, look: Look) -> None:
    """A task that returns nothing has no result field."""
    finish(jobs, running(jobs))

    assert "result" not in look.job("a")


def test_finish_many_at_once(jobs: JobQueue, look: Look) -> None:
    """One call settles a batch and names those that were lost."""
    add(jobs, "a", "b", "c")
    first, second, third = take(jobs, limit=3)

    assert jobs.finish("ann", [(*token, 60_000, "1") for token in (first, ("b", "7", second[2]), third)]) == ["b"]
    assert [look.job(job_id)["state"] for job_id in "abc"] == ["done", "running", "done"]
    assert look.counts()["done"] == 2


def test_retry_puts_a_job_on_the_schedule_and_counts(jobs: JobQueue, look: Look) -> None:
    """It waits for its time, with the error, one failure more and the same attempt."""
    assert jobs.retry("ann", running(jobs), 30, "Traceback: boom")
    job = jobs.status("a")

    assert job is not None
    assert (job.state, job.failures, job.attempt, job.crashes) == ("scheduled", 1, 1, 0)
    assert (job.due_at, job.error) == (START + 30_000, "Traceback: boom")
    assert look.scheduled() == {"a": START + 30_000}
    assert (look.running(), look.counts()["retried"]) == ([], 1)


def test_retries_add_up(jobs: JobQueue, clock: Clock) -> None:
    """Each failure counts, and keeps the last error only."""
    add(jobs, "a")
    for number in range(3):
        jobs.retry("ann", take_one(jobs), 1, f"error {number}")
        clock.advance(1)
    job = jobs.status("a")

    assert job is not None
    assert (job.failures, job.attempt, job.error) == (3, 3, "error 2")


def test_snooze_counts_nothing(jobs: JobQueue, look: Look) -> None:
    """On the schedule without a failure and without an error, and it is no retry in the counts."""
    assert jobs.snooze("ann", running(jobs), 30)
    job = jobs.status("a")

    assert job is not None
    assert (job.state, job.failures, job.error, job.due_at) == ("scheduled", 0, None, START + 30_000)
    assert "retried" not in look.counts()


def test_bury_keeps_the_error(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Dead, with reason, error and time, newest first, for thirty days."""
    buried(jobs, "a")
    clock.advance(1)
    assert jobs.bury("ann", running(jobs, "b"), "gave up", "account suspended", failed=False)
    job = jobs.status("b")

    assert job is not None
    assert (job.state, job.reason, job.error, job.failures) == ("dead", "gave up", "account suspended", 0)
    assert (job.finished_at, look.dead()) == (START + 1000, ["b", "a"])
    assert look.job("a")["failures"] == "1"
    assert 0 < DEAD_DAYS * DAY * 1000 - look.ttl("b") < 60_000
    assert look.counts()["dead"] == 2


@pytest.mark.parametrize("verb", ["retry", "bury"])
def test_error_texts_are_cut(jobs: JobQueue, verb: str) -> None:
    """A megabyte of error keeps its start and its end, which names the error."""
    error = "start" + "x" * 1_000_000 + "the end"
    token = running(jobs)
    jobs.retry("ann", token, 1, error) if verb == "retry" else jobs.bury("ann", token, "failed", error)
    job = jobs.status("a")

    assert job is not None
    assert job.error is not None
    assert len(job.error) <= MAX_ERROR
    assert (job.error[:5], job.error[-7:]) == ("start", "the end")


@pytest.mark.parametrize("text", ["\ud800", "\x00", "naïve 🐦", "a\nb"])
def test_any_text_is_an_error(jobs: JobQueue, text: str) -> None:
    """Also one that cannot be written as UTF-8."""
    assert jobs.retry("ann", running(jobs), 1, text)
    job = jobs.status("a")

    assert job is not None
    assert job.error


def seed_dead(look: Look, how_many: int, finished_at: int) -> None:
    """Put jobs among the dead, d1 the oldest."""
    script = """for i = 1, tonumber(ARGV[1]) do
        redis.call("HSET", "{queue}:job:d" .. i, "state", "dead", "task", "greet", "finished_at", ARGV[2])
        redis.call("PEXPIRE", "{queue}:job:d" .. i, 99999999)
        redis.call("LPUSH", KEYS[1], "d" .. i)
    end"""
    look.raw.eval(script, 1, "{queue}:dead", how_many, finished_at)


def test_bury_trims_by_count_from_the_old_end(jobs: JobQueue, look: Look) -> None:
    """Ten thousand are kept; the oldest goes, with its hash, when another comes."""
    seed_dead(look, DEAD_LIMIT, START)
    buried(jobs)
    dead = look.dead()

    assert (len(dead), dead[0], dead[-1]) == (DEAD_LIMIT, "a", "d2")
    assert jobs.status("d1") is None
    assert jobs.status("d2") is not None
    look.raw.flushall()


def test_bury_trims_by_age(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """What died thirty days ago goes with the next burial, hash and all; what is younger stays."""
    seed_dead(look, 3, START)
    clock.advance(1)
    buried(jobs, "young")
    assert look.dead() == ["young", "d3", "d2", "d1"]

    clock.advance(DEAD_DAYS * DAY - 1)
    buried(jobs)
    assert look.dead() == ["a", "young"]
    assert look.raw.keys("{queue}:job:d*") == []


def test_bury_drops_ids_whose_hash_is_gone_or_alive_again(jobs: JobQueue, look: Look) -> None:
    """At the old end of the list lies what expired by itself, or was revived by hand: dropped, and not deleted."""
    token = running(jobs)
    add(jobs, "alive")
    look.raw.rpush("{queue}:dead", "alive", "expired")
    jobs.bury("ann", token, "failed", "an error")

    assert look.dead() == ["a"]
    assert look.pending() == ["alive"]


def test_every_end_has_a_ttl(jobs: JobQueue, look: Look) -> None:
    """Done, dead, cancelled: none is kept for ever."""
    finish(jobs, running(jobs, "done"))
    buried(jobs, "dead")
    jobs.enqueue_in(5, named("greet", id="cancelled"))
    jobs.cancel("cancelled")
    jobs.cancel(running(jobs, "stopped")[0])
    jobs.release("ann", [("stopped", "1", str(START))])

    assert all(look.ttl(job_id) > 0 for job_id in ("done", "dead", "cancelled", "stopped"))


def test_release_puts_jobs_in_front_in_their_order(jobs: JobQueue, look: Look) -> None:
    """Nothing is counted; they run next, the oldest first."""
    add(jobs, *"abcd")
    held = take(jobs, limit=3)
    assert jobs.release("ann", held) == []

    assert look.pending() == [*"abcd"]
    job = jobs.status("a")
    assert job is not None
    assert (job.state, job.failures, job.crashes, job.attempt) == ("pending", 0, 0, 1)
    assert [token[0] for token in take(jobs, limit=4)] == [*"abcd"]


def test_revive_gives_a_dead_job_another_life(jobs: JobQueue, look: Look) -> None:
    """Pending again, behind the others, with its failures forgotten, no TTL and no error."""
    jobs.retry("ann", running(jobs), 0, "an error")
    jobs.bury("ann", take_one(jobs), "failed", "an error")
    add(jobs, "b")

    assert jobs.revive("a") == "revived"
    assert (look.pending(), look.dead(), look.ttl("a")) == (["b", "a"], [], -1)
    job = jobs.status("a")
    assert job is not None
    assert (job.state, job.failures, job.crashes, job.error, job.reason, job.finished_at) == (
        "pending",
        0,
        0,
        None,
        None,
        None,
    )
    take(jobs, limit=2)


def test_revive_says_what_it_did_not_do(jobs: JobQueue, look: Look) -> None:
    """Only the dead can be revived, and only once."""
    add(jobs, "a")
    assert (jobs.revive("a"), jobs.revive("nobody")) == ("too late", "unknown")
    take(jobs)
    buried(jobs, "b")
    assert [jobs.revive("b"), jobs.revive("b")] == ["revived", "too late"]
    assert look.pending() == ["b"]


def test_a_bad_entry_cannot_be_revived(jobs: JobQueue, look: Look) -> None:
    """It has no task to run: it stays where it is."""
    look.raw.lpush("{queue}:pending:default", "junk")
    take(jobs)

    assert jobs.revive("junk") == "unknown"
    assert look.dead() == ["junk"]


def test_discard_forgets_a_dead_job(jobs: JobQueue, look: Look) -> None:
    """It lies in no list, never runs, can be asked for an hour long, and a repeat gets the same answer."""
    buried(jobs)
    buried(jobs, "b")

    assert [jobs.discard("a"), jobs.discard("a")] == ["discarded", "discarded"]
    assert (look.dead(), look.pending(), take(jobs)) == (["b"], [], [])
    job = jobs.status("a")
    assert job is not None
    assert (job.state, job.reason, job.error) == ("cancelled", "discarded", "an error")
    assert 0 < look.ttl("a") <= 3600 * 1000
    assert jobs.revive("a") == "too late"


def test_discard_says_what_it_did_not_do(jobs: JobQueue, look: Look) -> None:
    """What is not dead stays as it is, also what was cancelled otherwise."""
    add(jobs, "a", "off")
    jobs.cancel("off")
    before = look.dump()
    assert [jobs.discard(job_id) for job_id in ("a", "off", "nobody", "\ud800")] == [
        *["too late"] * 2,
        *["unknown"] * 2,
    ]
    assert look.dump() == before
    take(jobs)
    assert jobs.discard("a") == "too late"


@pytest.mark.parametrize("junk", ["junk", "a b", "x" * 200])
def test_discard_takes_any_entry(jobs: JobQueue, look: Look, junk: str) -> None:
    """Bad entries, whatever they are called, and ids whose hash has expired."""
    look.raw.lpush("{queue}:pending:default", junk)
    take(jobs)
    look.raw.rpush("{queue}:dead", "expired")

    first, _ = look.dead()
    assert (jobs.discard(first), jobs.discard("expired")) == ("discarded", "unknown")
    assert look.dead() == []


@pytest.mark.parametrize("when", [START / 1000 + 7, datetime.fromtimestamp(START / 1000 + 7, UTC)])
def test_reschedule_gives_another_time(jobs: JobQueue, look: Look, when: float | datetime) -> None:
    """The same job with another time, and nothing else changed."""
    jobs.enqueue_in(60, named("greet", id="a"), "Ada")
    before = look.job("a")

    assert jobs.reschedule("a", when) == "rescheduled"
    assert look.scheduled() == {"a": START + 7000}
    assert look.job("a") == before | {"due_at": str(START + 7000)}


def test_reschedule_to_the_past_is_due_at_once(jobs: JobQueue) -> None:
    """The next take hands it out."""
    jobs.enqueue_in(60, named("greet", id="a"))
    assert jobs.reschedule("a", 0) == "rescheduled"

    assert take_one(jobs)[0] == "a"


def test_reschedule_says_what_it_did_not_do(jobs: JobQueue, look: Look) -> None:
    """Only what is scheduled has a time: anything else is too late, or unknown, and left as it is."""
    add(jobs, "pending")
    buried_token = take_one(jobs)
    before = look.dump()
    assert (jobs.reschedule("pending", 5), jobs.reschedule("nobody", 5)) == ("too late", "unknown")
    assert look.dump() == before
    finish(jobs, buried_token)
    assert jobs.reschedule("pending", 5) == "too late"


def test_a_job_that_waits_for_its_retry_can_be_rescheduled(jobs: JobQueue, look: Look) -> None:
    """Retrying, snoozed and scheduled are the same place."""
    jobs.retry("ann", running(jobs), 3600, "an error")

    assert jobs.reschedule("a", START / 1000 + 1) == "rescheduled"
    assert look.scheduled() == {"a": START + 1000}
