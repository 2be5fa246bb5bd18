"""The sweep: whatever Redis forgot or never heard of, the tweet goes out; and none is touched that is well."""

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue.jobs import Token, connected

import peewee
import pytest

import holds
import sweep
from models import Tweet, User
from reasons import Reason, reason
from tests.jobs_contract.helpers import tokens
from tests.test_models import AWAY, database_in, end_job, sending
from times import FOR_EVER, now_ms

HOUR = timedelta(hours=1)


@pytest.fixture
def ada(tmp_path: Path, redis_url: str) -> Iterator[User]:
    """A person, in a fresh database beside an empty queue."""
    first = queue.connect(redis_url)
    with database_in(tmp_path):
        yield User.sign_in("1815121001", "ada", "token-of-ada", "secret-of-ada")
    for jobs in (first, connected()):
        jobs.redis.close()


def soon(seconds: float = 60) -> datetime:
    """A time that is near enough to be looked at."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def swept() -> dict[str, int]:
    """Sweep once as a worker does, in a thread of its own with its own connection."""
    with ThreadPoolExecutor(1) as thread:
        mended: dict[str, int] = thread.submit(sweep.sweep).result()
        return mended


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("how", ["away", "flushed"])
def test_a_tweet_without_a_job_is_woken_under_its_id(ada: User, redis_url: str, how: str, scheduled: bool) -> None:
    """Redis was away when it came, or was emptied since: the next sweep enqueues it, once."""
    at = soon() if scheduled else None
    if how == "away":
        queue.connect(AWAY)
    tweet = ada.tweet("Hello", at=at)
    queue.connect(redis_url)
    connected().redis.flushall()

    assert (swept(), swept()) == ({"woken": 1}, {})
    job = queue.status(tweet.job_id)
    assert job is not None
    assert (job.state, job.args, job.due_at) == ("scheduled" if at else "pending", [tweet.id], tweet.due_at)


def test_what_is_due_later_is_looked_at_later(ada: User) -> None:
    """Two minutes ahead, no more; nor is what is at an end, or waits for X."""
    far = ada.tweet("Far", at=datetime.now(UTC) + HOUR)
    waiting = sending(ada)
    waiting.record_waiting(Reason("rate_limited", "", None), now_ms() + 3_600_000)
    ada.tweet("Over").cancel()
    connected().redis.flushall()

    assert swept() == {}
    assert [queue.status(tweet.job_id) for tweet in (far, waiting)] == [None, None]


@pytest.mark.parametrize("how", ["dead", "done", "cancelled"])
def test_a_tweet_that_its_job_left_behind_is_ended(ada: User, how: str) -> None:
    """It has failed; or, if X may have it, another job looks for it."""
    tweets = ada.tweet("Queued"), sending(ada)
    for tweet in tweets:
        end_job(tweet, how)

    assert swept() == {"ended": 2}
    failed, looked_for = (Tweet.get_by_id(tweet.id) for tweet in tweets)
    assert (failed.state, looked_for.state) == ("failed", "sending")
    assert looked_for.job_id != tweets[1].job_id
    assert getattr(queue.status(looked_for.job_id), "state", None) == "pending"


def taken() -> Token:
    """Have a worker take the only job that waits."""
    return tokens(connected().take("w", 1, full={"post_tweet": 1}))[0]


DEEDS: dict[str, Callable[[Tweet], object]] = {
    "sign-in": lambda tweet: User.sign_in(tweet.user.x_id, "ada", "new", "new"),
    "send now": Tweet.send_now,
    "another time": lambda tweet: tweet.edit(at=soon(30)),
    "another time after a failure": lambda tweet: tweet.edit(at=soon(30)),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("how", ["away", "running"])
def test_what_redis_did_not_hear_of_is_told(ada: User, redis_url: str, how: str, deed: str) -> None:
    """It was away, or the job ran, and then went to sleep for as long as the row had said: it goes by the new row."""
    tweet = ada.tweet("Hello")
    token = taken()
    if "failure" in deed:
        connected().retry("w", token, 0, "X cannot be reached")
        token = taken()
    if deed == "sign-in":
        holds.hold(ada, "waits_for_sign_in", FOR_EVER)
        tweet.record_waiting(reason("waits_for_sign_in"), FOR_EVER)
    else:
        tweet.edit(at=datetime.now(UTC) + 24 * HOUR)
    sleep = ((tweet.wakes_at or 0) - now_ms()) / 1000
    if how == "away":
        connected().snooze("w", token, sleep)
        queue.connect(AWAY)
        DEEDS[deed](tweet)
        queue.connect(redis_url)
    else:
        DEEDS[deed](tweet)
        connected().snooze("w", token, sleep)

    assert (swept(), swept()) == ({"moved": 1}, {})
    job, row = queue.status(tweet.job_id), Tweet.get_by_id(tweet.id)
    assert job is not None
    assert (job.due_at or 0) <= max(row.wakes_at or 0, now_ms()) < now_ms() + 60_000


def test_a_pause_after_a_failure_is_the_queue_s(ada: User) -> None:
    """A sweep hurries no retry; what sleeps for longer than any retry would is moved."""
    tweet = ada.tweet("Hello")
    connected().retry("w", taken(), 20, "X cannot be reached")
    assert swept() == {}
    queue.reschedule(tweet.job_id, datetime.now(UTC) + HOUR)
    assert (swept(), swept()) == ({"moved": 1}, {})


def test_a_wait_for_a_sign_in_that_was_there_already_ends(ada: User) -> None:
    """A worker saw the hold, the person signed in, then the worker wrote down that it waits: nobody would end that."""
    grace = User.sign_in("1906120902", "grace", "t", "s")
    holds.hold(grace, "waits_for_sign_in", FOR_EVER)
    late, waits = ada.tweet("Late"), grace.tweet("Waits")
    for tweet in (late, waits):
        tweet.record_waiting(reason("waits_for_sign_in"), FOR_EVER)
    User.update(held_for="rate_limited", held_until=now_ms() + 60_000).where(User.id == ada.id).execute()

    assert (swept(), swept()) == ({"moved": 1}, {})
    late, waits = Tweet.get_by_id(late.id), Tweet.get_by_id(waits.id)
    assert (late.reason, (late.wakes_at or FOR_EVER) <= now_ms()) == (None, True)
    assert (waits.reason_code, waits.wakes_at) == ("waits_for_sign_in", FOR_EVER)


def test_all_are_found_however_many(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read in pages."""
    monkeypatch.setattr(sweep, "PAGE", 3)
    ids = {ada.tweet(f"Tweet {n}").job_id for n in range(10)}
    connected().redis.flushall()

    assert swept() == {"woken": 10}
    assert all(queue.status(job_id) for job_id in ids)


def test_a_sweep_that_cannot_go_on_ends_in_peace(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Redis or the database there is nothing to mend with; dead sweeps would only fill the dead list."""
    ada.tweet("Hello")
    queue.connect(AWAY)
    assert swept() == {}

    def broken(_: int) -> None:
        raise peewee.OperationalError("away")

    monkeypatch.setattr(sweep, "unfinished", broken)
    assert swept() == {}


def test_a_bad_key_is_no_reason_to_leave_the_others(ada: User) -> None:
    """Where a job should be lies something else, put there by hand: it is moved aside, and all go on."""
    junk, other = ada.tweet("First"), ada.tweet("Second")
    redis = connected().redis
    redis.flushall()
    redis.set(f"{connected().ns}:job:{junk.job_id}", "junk")

    assert (swept(), swept()) == ({"woken": 2}, {})
    assert [found and found.state for found in map(queue.status, (junk.job_id, other.job_id))] == ["pending"] * 2


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_job_that_lies_nowhere_is_made_anew(ada: User, monkeypatch: pytest.MonkeyPatch, scheduled: bool) -> None:
    """Somebody removed its list, or the schedule: its hash still says that it waits, and no worker would find it."""
    tweet = ada.tweet("Hello", at=soon() if scheduled else None)
    place = f"{connected().ns}:scheduled" if scheduled else f"{connected().ns}:pending:default"
    connected().redis.delete(place)
    assert swept() == {}  # it may have been taken just now
    monkeypatch.setattr(sweep, "now_ms", lambda: now_ms() + 11 * 60_000)
    assert swept() == {"renewed": 1}

    row = Tweet.get_by_id(tweet.id)
    assert row.job_id != tweet.job_id
    assert (job := queue.status(row.job_id))
    assert (job.state, row.state) == (("scheduled", "scheduled") if scheduled else ("pending", "queued"))
    assert swept() == {}
