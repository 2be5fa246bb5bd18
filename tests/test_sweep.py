"""The sweep: whatever Redis forgot or never heard of, the tweet goes out; and none is touched that is well."""

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue.jobs import connected

import peewee
import pytest

import sweep
from models import Tweet, User
from reasons import Reason
from tests.test_models import AWAY, database_in, end_job, sending
from times import now_ms

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


def test_a_time_that_redis_did_not_hear_of_is_told(ada: User, redis_url: str) -> None:
    """Moved nearer while Redis was away: the job is moved too."""
    tweet = ada.tweet("Sooner", at=datetime.now(UTC) + HOUR)
    queue.connect(AWAY)
    tweet.edit(at=soon())
    queue.connect(redis_url)

    assert (swept(), swept()) == ({"moved": 1}, {})
    job = queue.status(tweet.job_id)
    assert job is not None
    assert job.due_at == tweet.due_at


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
