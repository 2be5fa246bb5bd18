"""What a tweet's row may become, and that the row is there whatever the queue does."""

import logging
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from queue.jobs import connected
from typing import Any
from zoneinfo import ZoneInfo

import peewee
import pytest
from cryptography.fernet import Fernet

import alarm
import cards
import health
import holds
import models
import settings as configuration
import store
import tweet_status
from models import BadTweet, Tweet, User
from reasons import ACTIONS, TABLE, reason
from settings import Settings
from tables import App
from tests.servers import ROOT, die_with_parent
from times import FOR_EVER, now_ms

AWAY = "redis://127.0.0.1:1/0"  # nobody listens there


def settings_for(folder: Path, **environ: str) -> Settings:
    """Settings with the database in a folder of the test's own."""
    return configuration.load({"X_SITE_URL": "http://x.example", **environ}, data=folder / ".data")


@contextmanager
def database_in(folder: Path, **environ: str) -> Iterator[None]:
    """A connection to the database in this folder, with its tables."""
    models.connect(settings_for(folder, **environ))
    models.create_tables()
    with models.database.connection_context():
        yield


@pytest.fixture
def ada(tmp_path: Path, redis_url: str) -> Iterator[User]:
    """A person, in a fresh database beside an empty queue."""
    first = queue.connect(redis_url)
    with database_in(tmp_path):
        yield User.sign_in("1815121001", "ada", "token-of-ada", "secret-of-ada")
    for jobs in (first, connected()):
        jobs.redis.close()


def code_of(call: object, *args: object, **kwargs: object) -> str:
    """The code of the BadTweet that a call ends with."""
    assert callable(call)
    with pytest.raises(BadTweet) as refused:
        call(*args, **kwargs)
    return refused.value.code


def sending(user: User, text: str = "Hello") -> Tweet:
    """A tweet that is on its way to X."""
    tweet = user.tweet(text)
    assert tweet.start_sending()
    return tweet


# Accepted ------------------------------------------------------------------------------------------------------------


def test_a_tweet_is_stored_and_its_job_enqueued(ada: User) -> None:
    """`user.tweet(text)` leaves a queued row and a pending job that names it, under the id of the row."""
    tweet = ada.tweet("Hello, world!")
    job = queue.status(tweet.job_id)
    assert tweet.state == "queued"
    assert job is not None
    assert (job.state, job.task, job.args) == ("pending", "post_tweet", [tweet.id])


def test_a_scheduled_tweet_waits_for_its_time(ada: User) -> None:
    """With a time the row is scheduled and the job due then, to the millisecond."""
    when = datetime.now(UTC) + timedelta(hours=2)
    tweet = ada.tweet("Later", at=when)
    job = queue.status(tweet.job_id)
    assert (tweet.state, tweet.due_at) == ("scheduled", round(when.timestamp() * 1000))
    assert job is not None
    assert (job.state, job.due_at) == ("scheduled", tweet.due_at)


def test_redis_away_is_no_reason_to_refuse(ada: User, caplog: pytest.LogCaptureFixture) -> None:
    """The row is committed and the tweet accepted; that the queue was not told is logged."""
    queue.connect(AWAY)
    with caplog.at_level(logging.WARNING):
        tweet = ada.tweet("Redis is away")
    assert Tweet.get_by_id(tweet.id).state == "queued"
    assert "the queue was not told" in caplog.text


def test_a_silent_queue_makes_one_wait(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen, not gone, each call would take a second: for a while nobody asks, then one; when it answers, all do."""
    clock, calls = [1000.0], list[str]()
    monkeypatch.setattr(alarm, "monotonic", lambda: clock[0])
    stored = connected().enqueue

    def counted(*call: Any) -> str:
        calls.append(call[0].id)
        if not frozen:
            return stored(*call)
        clock[0] += 1.8
        raise queue.Unavailable("no answer")

    monkeypatch.setattr(connected(), "enqueue", counted)
    frozen = True
    tweets = [ada.tweet("The first to wait"), ada.tweet("One that need not"), ada.tweet("Nor this one")]
    assert calls == [tweets[0].job_id]
    clock[0] += alarm.PAUSE
    tweets += [ada.tweet("The next to wait"), ada.tweet("Again one that need not")]
    assert calls == [tweets[0].job_id, tweets[3].job_id]
    frozen = False
    clock[0] += alarm.PAUSE
    tweets += [ada.tweet("It is back"), ada.tweet("Nobody waits")]
    assert calls[2:] == [tweets[5].job_id, tweets[6].job_id]
    assert {tweet.state for tweet in Tweet.select()} == {"queued"}
    assert [bool(queue.status(tweet.job_id)) for tweet in tweets[5:]] == [True, True]


def test_while_one_asks_a_silent_queue_the_others_do_not_wait(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look is on its way, and takes as long as the first one did."""
    clock = [1000.0]
    monkeypatch.setattr(alarm, "monotonic", lambda: clock[0])

    def silent() -> None:
        clock[0] += 1.8
        raise queue.Unavailable("silent")

    def meanwhile() -> None:
        with pytest.raises(queue.Unavailable, match="asked again"):
            alarm.ask(lambda: "asked")

    with pytest.raises(queue.Unavailable, match="silent"):
        alarm.ask(silent)
    clock[0] += alarm.PAUSE
    alarm.ask(meanwhile)
    assert alarm.ask(lambda: "asked") == "asked"


def test_a_queue_that_is_gone_is_asked_each_time(ada: User) -> None:
    """It says so at once, and may be back at any moment."""

    def gone() -> None:
        raise queue.Unavailable("refused")

    for _ in range(3):
        with pytest.raises(queue.Unavailable, match="refused"):
            alarm.ask(gone)


def test_the_row_is_committed_before_the_job_exists(ada: User) -> None:
    """Inside a transaction the job waits for the commit, and a rollback leaves no job behind."""
    with models.database.atomic() as transaction:
        kept = ada.tweet("kept")
        assert queue.status(kept.job_id) is None
    assert queue.status(kept.job_id) is not None
    with models.database.atomic() as transaction:
        dropped = ada.tweet("dropped")
        transaction.rollback()
    assert queue.status(dropped.job_id) is None


@pytest.mark.parametrize(
    ("text", "code"), [("", "empty"), ("  \n", "empty"), ("x" * 281, "too_long"), ("\0", "bad_characters")]
)
def test_a_text_that_x_would_refuse_changes_nothing(ada: User, text: str, code: str) -> None:
    """A bad text is refused with its code and leaves no row."""
    assert code_of(ada.tweet, text) == code
    assert Tweet.select().count() == 0


def test_times_that_cannot_be_are_refused(ada: User) -> None:
    """The past and the far future are refused by name; a naive time is a mistake in the program."""
    past = datetime(2020, 1, 2, 3, 4, tzinfo=UTC)
    with pytest.raises(BadTweet, match=r"2020-01-02 03:04 UTC is past: it is 20\d\d-.* UTC now") as refused:
        ada.tweet("too late", at=past)
    assert refused.value.code == "past"
    with pytest.raises(BadTweet, match=r"02:30:05 in America/New York is past: it is 20.* in America/New York now"):
        ada.tweet("too late", at=datetime(2020, 10, 31, 2, 30, 5, tzinfo=ZoneInfo("America/New_York")))
    assert code_of(ada.tweet, "far", at=datetime.now(UTC) + timedelta(days=400)) == "too_far"
    assert code_of(ada.tweet, "never", at=float("nan")) == "past"
    assert code_of(ada.tweet, "never", at=float("inf")) == "too_far"
    for wrong in (datetime.now(), "tomorrow", True):
        with pytest.raises(TypeError):
            ada.tweet("naive", at=wrong)  # type: ignore[arg-type]  # wrong, or wider, on purpose
    assert Tweet.select().count() == 0


def test_just_past_is_now(ada: User) -> None:
    """A time that passed on its way here is taken."""
    assert ada.tweet("now", at=datetime.now(timezone(timedelta(hours=5))) - timedelta(seconds=2)).state == "scheduled"


def test_the_same_key_is_the_same_tweet(ada: User) -> None:
    """A key is good for one tweet of one person; with another text it is refused."""
    first = ada.tweet("Once", key="form-1")
    assert ada.tweet("Once", key="form-1").job_id == first.job_id
    assert code_of(ada.tweet, "Twice", key="form-1") == "key_reused"
    assert code_of(ada.tweet, "Once", key="") == "bad_key"
    grace = User.sign_in("1906120902", "grace", "t", "s")
    assert grace.tweet("Once", key="form-1").job_id != first.job_id


def test_the_same_key_for_another_time_is_refused(ada: User) -> None:
    """The time belongs to the tweet as its words do; the same time again is the same tweet, also once it is past."""
    when = datetime.now(UTC) + timedelta(hours=2)
    later = ada.tweet("Once", at=when, key="form-1")
    assert ada.tweet("Once", at=when.timestamp(), key="form-1").job_id == later.job_id
    assert code_of(ada.tweet, "Once", at=when + timedelta(minutes=1), key="form-1") == "key_reused"
    assert code_of(ada.tweet, "Once", at=float("nan"), key="form-1") == "key_reused"
    assert code_of(ada.tweet, "Once", key="form-1") == "key_reused"
    past = now_ms() - 60_000
    Tweet.update(due_at=past).execute()
    assert ada.tweet("Once", at=past / 1000, key="form-1").job_id == later.job_id
    ada.tweet("Now", key="form-2")
    assert code_of(ada.tweet, "Now", at=when, key="form-2") == "key_reused"


@pytest.mark.parametrize("hours", [0, 2])
def test_the_same_key_makes_up_for_a_job_that_was_never_enqueued(ada: User, redis_url: str, hours: int) -> None:
    """Whoever tries again after Redis was away gets the same tweet, with its job in the queue now, and only one."""
    at = datetime.now(UTC) + timedelta(hours=hours) if hours else None
    queue.connect(AWAY)
    tweet = ada.tweet("Once", at=at, key="form-1")
    queue.connect(redis_url)
    for _ in range(2):
        assert ada.tweet("Once", at=at, key="form-1").job_id == tweet.job_id
    job = queue.status(tweet.job_id)
    assert job is not None
    assert (job.state, job.args) == ("scheduled" if hours else "pending", [tweet.id])
    assert job.due_at == tweet.due_at
    pending = connected().redis.llen("{queue}:pending:default")
    assert pending == (0 if hours else 1)


def test_the_same_key_wakes_nothing_that_is_over(ada: User) -> None:
    """What was called off stays so: its job is not made anew."""
    tweet = ada.tweet("Once", key="form-1")
    tweet.cancel()
    connected().redis.flushall()
    assert ada.tweet("Once", key="form-1").state == "cancelled"
    assert queue.status(tweet.job_id) is None


def test_a_double_click_makes_one_tweet(ada: User) -> None:
    """The same key from eight threads at once makes one row."""

    def click(_: int) -> str:
        with models.database.connection_context():
            return User.get_by_id(ada.id).tweet("Click", key="form-2").job_id

    with ThreadPoolExecutor(8) as crowd:
        assert len(set(crowd.map(click, range(8)))) == 1
    assert Tweet.select().count() == 1


def test_job_ids_cannot_be_guessed(ada: User) -> None:
    """A job id is as long as a random UUID, and none looks like another."""
    ids = {ada.tweet(f"tweet {n}").job_id for n in range(20)}
    assert len(ids) == 20
    assert all(len(job_id) >= 22 for job_id in ids)


# Changed -------------------------------------------------------------------------------------------------------------


def test_a_waiting_tweet_can_be_called_off(ada: User) -> None:
    """Cancel ends row and job; again it says the same; once X may have it, it is too late."""
    tweet = ada.tweet("Oh no", at=datetime.now(UTC) + timedelta(hours=1))
    assert (tweet.cancel(), tweet.cancel()) == ("cancelled", "cancelled")
    job = queue.status(tweet.job_id)
    assert job is not None
    assert job.state == "cancelled"
    assert sending(ada).cancel() == "too late"


def test_cancel_works_while_redis_is_away(ada: User) -> None:
    """The row decides, so calling off needs no Redis."""
    tweet = ada.tweet("Oh no")
    queue.connect(AWAY)
    assert tweet.cancel() == "cancelled"
    assert not tweet.start_sending()


def test_a_waiting_tweet_can_be_edited(ada: User) -> None:
    """Another text and another time are taken, and the job wakes at the new time under its old id."""
    tweet = ada.tweet("Befroe", at=datetime.now(UTC) + timedelta(hours=1))
    later = datetime.now(UTC) + timedelta(hours=3)
    assert tweet.edit(text="Before", at=later) == "changed"
    job = queue.status(tweet.job_id)
    assert job is not None
    assert (tweet.text, tweet.due_at) == ("Before", job.due_at)
    assert job.due_at == round(later.timestamp() * 1000)
    assert code_of(tweet.edit, text="x" * 281) == "too_long"
    assert tweet.edit() == "changed"
    assert sending(ada).edit(text="Too late") == "too late"


def test_another_time_ends_every_wait(ada: User) -> None:
    """What waits for a sign-in or for X and gets a new time goes by that; whether X takes it is seen then."""
    tweet = ada.tweet("Hello", at=datetime.now(UTC) + timedelta(hours=1))
    holds.hold(ada, "waits_for_sign_in", FOR_EVER)
    tweet.record_waiting(reason("waits_for_sign_in"), FOR_EVER)
    assert tweet.edit(at=datetime.now(UTC) + timedelta(hours=2)) == "changed"
    assert (tweet.state, tweet.reason, tweet.wakes_at) == ("scheduled", None, tweet.due_at)
    User.sign_in(ada.x_id, "ada", "new", "new")
    row, job = Tweet.get_by_id(tweet.id), queue.status(tweet.job_id)
    assert job is not None
    assert row.state == "scheduled"
    assert row.wakes_at == row.due_at == job.due_at


def test_a_sign_in_wakes_what_an_older_version_left_scheduled(ada: User) -> None:
    """A row that is scheduled and waits for a sign-in goes on when that is there."""
    tweet = ada.tweet("Hello", at=datetime.now(UTC) + timedelta(hours=1))
    tweet.record_waiting(reason("waits_for_sign_in"), FOR_EVER)
    Tweet.update(state="scheduled").execute()
    User.sign_in(ada.x_id, "ada", "new", "new")
    row = Tweet.get_by_id(tweet.id)
    assert (row.reason, row.wakes_at) == (None, row.due_at)


def test_an_edit_of_nothing_changes_nothing(ada: User) -> None:
    """Not even back to what it was when the row was read."""
    tweet = ada.tweet("Old words")
    stale = Tweet.get_by_id(tweet.id)
    tweet.edit("New words")
    assert (stale.edit(), stale.text) == ("changed", "New words")


def test_a_sign_in_does_not_wait_for_a_silent_queue(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time the queue is told takes a while then. The rows go on, and the sweep tells it."""
    waits = [ada.tweet(f"Tweet {n}") for n in range(3)]
    for tweet in waits:
        tweet.record_waiting(reason("waits_for_sign_in"), FOR_EVER)
    told: list[int] = []
    monkeypatch.setattr(alarm, "move", lambda tweet_id, *_: told.append(tweet_id))
    monkeypatch.setattr(models, "TELLING", 0.0)
    User.sign_in(ada.x_id, "ada", "new token", "new secret")
    assert [Tweet.get_by_id(tweet.id).reason for tweet in waits] == [None] * 3
    assert told == []


def test_an_edit_makes_up_for_a_job_that_was_never_enqueued(ada: User, redis_url: str) -> None:
    """When Redis was away as the tweet came, a new time enqueues it under the same id."""
    queue.connect(AWAY)
    tweet = ada.tweet("Later", at=datetime.now(UTC) + timedelta(hours=1))
    queue.connect(redis_url)
    assert tweet.edit(at=datetime.now(UTC) + timedelta(hours=2)) == "changed"
    job = queue.status(tweet.job_id)
    assert job is not None
    assert job.due_at == tweet.due_at


@pytest.mark.parametrize("change", ["cancel", "text", "time"])
def test_what_was_signed_is_what_is_sent(ada: User, change: str) -> None:
    """A tweet that changed after a worker read it does not go out as it was."""
    tweet = ada.tweet("Hello")
    signed = Tweet.get_by_id(tweet.id)
    if change == "cancel":
        tweet.cancel()
    elif change == "text":
        tweet.edit(text="Goodbye")
    else:
        tweet.edit(at=datetime.now(UTC) + timedelta(hours=1))
    assert not signed.start_sending()
    assert Tweet.get_by_id(tweet.id).state != "sending"


def test_only_one_of_two_workers_sends(ada: User) -> None:
    """Of two that read the same row, one may send."""
    tweet = ada.tweet("Hello")
    one, two = Tweet.get_by_id(tweet.id), Tweet.get_by_id(tweet.id)
    assert [one.start_sending(), two.start_sending()] == [True, False]


def test_a_fact_is_not_fenced(ada: User) -> None:
    """That X took it is written down whatever the row says meanwhile."""
    tweet = sending(ada)
    Tweet.get_by_id(tweet.id).record_uncertain(reason("no_look"))
    tweet.record_sent("1445880548472328192")
    assert (tweet.state, tweet.x_tweet_id, tweet.reason) == ("sent", "1445880548472328192", None)
    assert tweet.url() == "http://x.example/ada/status/1445880548472328192"


def test_a_late_worker_cannot_fail_a_newer_attempt(ada: User) -> None:
    """What an earlier attempt learned, other than a success, does not touch a later one, nor an end."""
    late = sending(ada)
    tweet = Tweet.get_by_id(late.id)
    tweet.record_uncertain(reason("no_look"))
    assert not Tweet.get_by_id(tweet.id).record_failed(reason("duplicate"))
    tweet.send_again().start_sending()
    stale = Tweet(**late.__data__)
    assert not stale.record_failed(reason("duplicate"))
    assert Tweet.get_by_id(tweet.id).state == "sending"


def test_a_late_worker_cannot_touch_a_tweet_that_was_sent_again(ada: User) -> None:
    """Until its new job begins, the attempts of a tweet that is sent again are those of the old one: the job counts."""
    late = sending(ada)
    tweet = Tweet.get_by_id(late.id)
    tweet.record_uncertain(reason("no_look"))
    again = tweet.send_again().job_id
    for answer in (Tweet.record_failed, Tweet.record_uncertain, Tweet.record_waiting):
        stale = Tweet(**late.__data__)
        assert not answer(stale, reason("duplicate"))
    found = Tweet.get_by_id(tweet.id)
    assert (found.state, found.reason, found.job_id) == ("queued", None, again)
    late.record_sent("12")
    assert Tweet.get_by_id(tweet.id).state == "sent"


@pytest.mark.parametrize("first", [5_000, 9_000])
def test_an_attempt_is_unknown_once(ada: User, first: int) -> None:
    """Who took it over and who comes back from it both say so: it counts once, with the earlier end of the two."""
    tweet = sending(ada)
    one, other = Tweet.get_by_id(tweet.id), Tweet.get_by_id(tweet.id)
    one.record_unknown(first)
    other.record_unknown(14_000 - first)
    assert (other.unknowns, other.absent_from, other.unknown_at) == (1, 5_000, tweet.sending_at)
    other.record_absent()
    assert other.start_sending()
    assert not one.record_unknown(1_000)
    assert other.record_unknown(20_000)
    assert (other.unknowns, other.absent_from, other.unknown_at) == (2, 20_000, tweet.sending_at)


def test_an_attempt_that_never_left_is_not_unknown(ada: User) -> None:
    """A worker that froze before it sent says so when it wakes, though another one has counted its attempt."""
    frozen = sending(ada)
    Tweet.get_by_id(frozen.id).record_unknown(5_000)
    assert frozen.record_waiting(reason("unreachable"))
    assert (frozen.state, frozen.unknowns, frozen.unknown_at) == ("queued", 0, None)
    frozen.start_sending()
    frozen.record_unknown(5_000)
    frozen.record_absent()
    frozen.record_waiting(reason("rate_limited"), now_ms())  # before it goes out once more
    assert (frozen.unknowns, frozen.unknown_at) == (1, frozen.sending_at)


def test_what_another_began_is_never_ours(ada: User) -> None:
    """Who is told that it is not theirs any more, and goes on all the same, changes nothing either."""
    late = sending(ada)
    now = Tweet.get_by_id(late.id)
    assert now.record_unknown(5_000)
    assert now.record_absent()
    assert now.start_sending()
    for _ in range(2):
        assert not late.record_unknown(6_000)
        assert not late.record_look(6_000)
        assert not late.record_absent()
        assert not late.record_waiting(reason("unreachable"))
    assert (late.state, late.attempts, Tweet.get_by_id(late.id).attempts) == ("sending", 1, 2)
    assert now.record_absent()


@pytest.mark.parametrize("deed", ["time", "now"])
def test_a_worker_that_read_it_before_does_not_undo_what_a_person_did(ada: User, deed: str) -> None:
    """It was late or held when the worker read it; since then it has another time, and the person was told so."""
    tweet = ada.tweet("Hello", at=datetime.now(UTC) + timedelta(hours=1))
    late = Tweet.get_by_id(tweet.id)
    if deed == "now":
        assert tweet.send_now() == "changed"
    else:
        assert tweet.edit(at=datetime.now(UTC) + timedelta(days=1)) == "changed"
    assert not late.record_missed()
    late = Tweet.get_by_id(tweet.id)
    late.due_at = late.next_attempt_at = None
    assert not late.record_waiting(reason("rate_limited"), now_ms() + 60_000)
    assert Tweet.get_by_id(tweet.id).state == tweet.state == ("queued" if deed == "now" else "scheduled")


def test_what_x_may_have_is_not_said_to_be_cancelled(ada: User) -> None:
    """One that was uncertain is sent again, and called off before it went out: nobody knows of the first try."""
    tweet = sending(ada)
    tweet.record_unknown(5_000)
    tweet.record_uncertain(reason("no_look"))
    job_id = tweet.send_again().job_id
    stale = Tweet.get_by_id(tweet.id)
    assert tweet.cancel() == "changed"
    assert (tweet.state, tweet.reason_code) == ("uncertain", "earlier_try")
    assert (job := queue.status(job_id))
    assert job.state == "cancelled"
    assert (stale.cancel(), stale.state) == ("too late", "uncertain")


def test_what_x_does_not_have_can_be_cancelled(ada: User) -> None:
    """It was looked for: so nobody need be told that X may have it. Also by who read it before that."""
    tweet = sending(ada)
    stale = Tweet.get_by_id(tweet.id)
    tweet.record_unknown(5_000)
    tweet.record_absent()
    assert (stale.cancel(), stale.state, stale.reason) == ("cancelled", "cancelled", None)


def test_send_again_makes_a_new_job_and_the_old_id_still_answers(ada: User) -> None:
    """A failed tweet is queued under a new id; both ids find it; a second click changes nothing."""
    tweet = sending(ada)
    tweet.record_failed(reason("signed_out"))
    old = tweet.job_id
    new = tweet.send_again().job_id
    assert new != old
    assert (tweet.state, tweet.reason) == ("queued", None)
    assert queue.status(new) is not None
    assert tweet.send_again().job_id == new
    for job_id in (old, new):
        found = Tweet.for_job(job_id, ada)
        assert found is not None
        assert found.id == tweet.id
    tweet.cancel()
    assert code_of(tweet.send_again) == "too_late"


def test_a_tweet_is_found_by_its_owner_only(ada: User) -> None:
    """Somebody else's job id is as unknown as one that never was."""
    tweet = ada.tweet("Mine")
    grace = User.sign_in("1906120902", "grace", "t", "s")
    assert Tweet.for_job(tweet.job_id, ada) == tweet
    assert Tweet.for_job(tweet.job_id, grace) is None
    assert Tweet.for_job("no-such-job", ada) is None


def test_the_lists_of_a_person(ada: User) -> None:
    """Upcoming comes in the order of time, recent with the newest first, and neither shows another's."""
    User.sign_in("1906120902", "grace", "t", "s").tweet("Not hers")
    hours = {n: ada.tweet(f"in {n}", at=datetime.now(UTC) + timedelta(hours=n)) for n in (3, 1, 2)}
    first, second = ada.tweet("first"), ada.tweet("second")
    assert cards.upcoming(ada, 2) == [hours[1], hours[2]]
    assert cards.recent(ada, 10) == [second, first]


def test_a_list_is_one_query(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cards, links included; so is what /status looks up."""
    for number in range(5):
        sending(ada).record_sent(str(number))
        ada.tweet("Later", at=datetime.now(UTC) + timedelta(hours=1))
    asked: list[Any] = []
    execute = models.database.execute_sql

    def counted(*args: Any, **kwargs: Any) -> Any:
        asked.append(args[0])
        return execute(*args, **kwargs)

    monkeypatch.setattr(models.database.obj, "execute_sql", counted)
    recent = cards.recent(ada, 10)
    assert [tweet.url() for tweet in recent] == [f"http://x.example/ada/status/{n}" for n in (4, 3, 2, 1, 0)]
    assert [tweet.user.handle for tweet in cards.upcoming(ada, 10)] == ["ada"] * 5
    assert len(asked) == 2
    found = Tweet.for_job(recent[0].job_id, ada)
    assert found is not None
    assert models.status(found)["tweet_url"] == "http://x.example/ada/status/4"
    assert len(asked) == 3


# What /status says ---------------------------------------------------------------------------------------------------


def test_status_of_a_tweet_on_its_way(ada: User) -> None:
    """Each state of a row, in the words and fields of /status; the pace is the server's, and none at an end."""
    tweet = ada.tweet("Hello")
    body = models.status(tweet, queue.status(tweet.job_id))
    assert (body["job_id"], body["state"], body["attempt"], body["cancellable"]) == (tweet.job_id, "queued", 0, True)
    assert body["poll_after_ms"] == 500
    assert models.status(tweet, None) == body | {"poll_after_ms": 500}
    tweet.start_sending()
    body = models.status(tweet)
    assert (body["state"], body["attempt"], body["cancellable"]) == ("sending", 1, False)
    tweet.record_sent("12")
    body = models.status(tweet)
    assert (body["state"], body["tweet_url"]) == ("sent", "http://x.example/ada/status/12")
    assert body["poll_after_ms"] is None


def test_status_of_a_scheduled_tweet(ada: User) -> None:
    """It says when, and asks to be looked at then; once due it is queued, whatever the row says."""
    tweet = ada.tweet("Later", at=now_ms() / 1000 + 30)
    body = models.status(tweet)
    assert (body["state"], body["due_at"]) == ("scheduled", tweet.due_at)
    assert 25_000 < body["poll_after_ms"] <= 30_500
    assert models.status(ada.tweet("Tomorrow", at=now_ms() / 1000 + 86_400))["poll_after_ms"] == 7_200_000
    assert models.status(ada.tweet("Now", at=now_ms() / 1000 - 2))["state"] == "queued"


def test_status_of_a_tweet_that_waits_for_x(ada: User) -> None:
    """A tweet that is tried again is `retrying`, with the reason and the time of the next attempt."""
    tweet = sending(ada)
    until = now_ms() + 20_000
    tweet.record_waiting(reason("rate_limited"), until)
    body = models.status(tweet)
    assert (body["state"], body["next_attempt_at"], body["cancellable"]) == ("retrying", until, True)
    assert body["reason"] == {"code": "rate_limited", "message": TABLE["rate_limited"][0], "action": None}


def end_job(tweet: Tweet, how: str) -> None:
    """Bring its job to an end of its own, as a worker or an operator does."""
    connected().redis.hset(f"{{queue}}:job:{tweet.job_id}", mapping={"state": how, "reason": "crashed"})


@pytest.mark.parametrize("how", ["dead", "done", "cancelled"])
@pytest.mark.parametrize("hours", [0, 2])
def test_a_tweet_whose_job_is_over_has_failed(ada: User, how: str, hours: int) -> None:
    """Nobody would touch it again: who looks is told so, with what helps, and that helps."""
    tweet = ada.tweet("Hello", at=datetime.now(UTC) + timedelta(hours=hours) if hours else None)
    end_job(tweet, how)
    body = models.status(tweet, queue.status(tweet.job_id))
    assert (body["state"], body["cancellable"], body["poll_after_ms"]) == ("failed", False, None)
    assert (body["reason"]["code"], body["reason"]["action"]) == ("stopped", "send_again")
    assert Tweet.get_by_id(tweet.id).state == "failed"
    again = tweet.send_again()
    job = queue.status(again.job_id)
    assert job is not None
    assert (job.state, models.status(again, job)["state"]) == ("pending", "queued")


def test_a_tweet_whose_job_died_while_sending_gets_another_job(ada: User) -> None:
    """X may have it, so nobody says that it failed: a new job looks for it, and the old id goes on to answer."""
    tweet = sending(ada)
    old = tweet.job_id
    end_job(tweet, "dead")
    body = models.status(tweet, queue.status(old))
    assert (body["state"], body["job_id"] != old, body["cancellable"]) == ("sending", True, False)
    assert getattr(queue.status(body["job_id"]), "state", None) == "pending"
    assert Tweet.for_job(old, ada) == tweet


def test_send_now_and_it_is_there_are_one_change(ada: User) -> None:
    """A scheduled tweet is queued at once, an uncertain one that a person found is sent; nothing else is."""
    later = ada.tweet("Later", at=datetime.now(UTC) + timedelta(hours=1))
    assert (later.send_now(), later.send_now(), later.state, later.due_at) == ("changed", "too late", "queued", None)
    job = queue.status(later.job_id)
    assert job is not None
    assert (job.due_at or now_ms()) <= now_ms()
    lost = sending(ada, "Lost")
    assert lost.confirm() == "too late"
    lost.record_uncertain(reason("no_look"))
    assert (lost.confirm(), lost.state, lost.reason, lost.sent_at) == ("changed", "sent", None, lost.sending_at)


def test_a_database_of_an_older_version_gets_its_columns(ada: User) -> None:
    """Its rows stay, and what is new is empty or has its default."""
    kept = ada.tweet("Kept")
    for column in ("sending_at", "unknowns", "unknown_at", "absent_from"):
        models.database.execute_sql(f"ALTER TABLE tweet DROP COLUMN {column}")
    models.database.execute_sql("ALTER TABLE user DROP COLUMN held_until")
    with ThreadPoolExecutor(1) as thread:  # with a connection of its own
        for _ in range(2):
            thread.submit(models.create_tables).result()
    assert (Tweet.get_by_id(kept.id).unknowns, Tweet.get_by_id(kept.id).text) == (0, "Kept")
    assert User.get_by_id(ada.id).held_until == 0


def test_in_a_database_of_an_older_version_one_row_keeps_what_two_claim(ada: User) -> None:
    """What X has once is the first one's; the index is made, and start after start changes nothing more."""
    models.database.execute_sql("DROP INDEX tweet_x_tweet_id")
    first, second, other = (ada.tweet("Twin") for _ in range(3))
    for tweet, x_tweet_id in ((first, "17"), (second, "17"), (other, "18")):
        Tweet.update(state="sent", x_tweet_id=x_tweet_id).where(Tweet.id == tweet.id).execute()
    with ThreadPoolExecutor(1) as thread:
        for _ in range(2):
            thread.submit(models.create_tables).result()
    found = [Tweet.get_by_id(tweet.id).x_tweet_id for tweet in (first, second, other)]
    assert found == ["17", None, "18"]
    with pytest.raises(peewee.IntegrityError):
        Tweet.update(x_tweet_id="17").where(Tweet.id == second.id).execute()


def test_a_row_that_went_on_since_it_was_read_is_believed(
    ada: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row first, job second: between the two a worker may have finished. Then /status says what is so now."""
    tweet = sending(ada)
    read = Tweet.get_by_id(tweet.id)
    tweet.record_sent("12")
    end_job(tweet, "done")
    assert models.status(read, queue.status(tweet.job_id))["state"] == "sent"
    assert "not at an end" not in caplog.text
    monkeypatch.setattr(Tweet, "_change", None)
    assert models.status(tweet, queue.status(tweet.job_id))["state"] == "sent"  # at an end nothing is written


def test_polling_slows_down(ada: User) -> None:
    """The longer a tweet is on its way, the less often the page needs to ask."""
    tweet = ada.tweet("Hello")
    paces = []
    for age in (0, 4_000, 12_000, 60_000, 600_000, 7_200_000):
        tweet.created_at = now_ms() - age
        paces.append(models.status(tweet)["poll_after_ms"])
    assert paces == sorted(paces)
    assert (paces[0], paces[3:]) == (500, [5_000, 30_000, 300_000])


def test_what_is_looked_for_slows_down_and_what_is_sent_again_is_fast(ada: User) -> None:
    """A look that is still to come makes nothing new; a person who sends an old one again wants to see it go."""
    tweet = sending(ada)
    tweet.record_look(now_ms() + 60_000)
    tweet.created_at = tweet.sending_at = now_ms() - 600_000
    assert models.status(tweet)["poll_after_ms"] == 30_000
    tweet.record_uncertain(reason("no_look"))
    Tweet.update(created_at=now_ms() - 7_200_000).execute()
    again = tweet.send_again()
    assert models.status(again)["poll_after_ms"] < 1_000
    again.start_sending()
    assert models.status(again)["poll_after_ms"] < 1_000


@pytest.mark.parametrize("hours", [None, 1, 23.9])
def test_a_day_is_some_hundred_looks(ada: User, hours: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page left open with a tweet that no worker takes, or that waits: each look when the last one said."""
    began = now = now_ms()
    monkeypatch.setattr(tweet_status, "now_ms", lambda: now)
    tweet, looks = ada.tweet("Hello", at=hours and began / 1000 + hours * 3600), 0
    while now < began + 86_400_000:
        now += models.status(tweet)["poll_after_ms"]
        looks += 1
    assert looks < 600


def test_fifty_that_wait_over_the_day_are_under_two_thousand_looks(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at its time or in two hours, then a few until it is out, which is told within a second."""
    began = now = now_ms()
    monkeypatch.setattr(tweet_status, "now_ms", lambda: now)
    looks = 0
    for number in range(50):
        now = began
        due = began + (number + 1) * 1_700_000
        tweet = ada.tweet("Later", at=due / 1000)
        while now < due + 5_000:
            now += (pause := models.status(tweet)["poll_after_ms"])
            looks += 1
            assert now - pause >= due or now <= due + 1_000
    assert looks < 1_200


def test_a_form_sent_twice_at_once_is_one_tweet(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds the key taken only when storing gets the tweet that took it."""
    first, look = ada.tweet("Hello", key="same"), User._with_key
    answers = iter([lambda *_: None, look])
    monkeypatch.setattr(User, "_with_key", lambda *given: next(answers)(*given))
    assert ada.tweet("Hello", key="same").id == first.id


def test_a_job_id_that_is_taken_is_no_second_form(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a key that is there already makes it the same tweet."""
    tweet = ada.tweet("First")
    monkeypatch.setattr(queue, "new_id", lambda: tweet.job_id)
    for key in (None, "a-new-key"):
        with pytest.raises(peewee.IntegrityError):
            ada.tweet("Second", key=key)
    assert Tweet.select().count() == 1


def test_what_was_called_off_meanwhile_does_not_go_on(ada: User) -> None:
    """A sign-in wakes what waits for it, and nothing else."""
    tweet = ada.tweet("Hello")
    read_before = Tweet.get_by_id(tweet.id)
    tweet.cancel()
    read_before.go_on()
    job = queue.status(tweet.job_id)
    assert (read_before.state, job and job.state) == ("cancelled", "cancelled")


# Holds ---------------------------------------------------------------------------------------------------------------


def test_a_hold_is_not_shortened_by_another(ada: User) -> None:
    """Answers come in any order: a rate limit met before a 401 ends neither that nor a longer limit."""

    def holding() -> tuple[str | None, int]:
        person = User.get_by_id(ada.id)
        return person.held_for, person.held_until

    later = now_ms() + 900_000
    holds.hold(ada, "rate_limited", later)
    holds.hold(ada, "rate_limited", later - 600_000)
    assert holding() == ("rate_limited", later)
    holds.hold(ada, "waits_for_sign_in", FOR_EVER)
    holds.hold(ada, "rate_limited", later)
    assert holding() == ("waits_for_sign_in", FOR_EVER)
    holds.hold_app(later)
    holds.hold_app(later - 600_000)
    assert App.get().held_until == later


def test_a_sign_in_ends_no_rate_limit(ada: User) -> None:
    """It ends the wait for itself, and nothing else."""
    holds.hold(ada, "rate_limited", now_ms() + 900_000)
    again = User.sign_in(ada.x_id, "ada", "new", "new")
    assert holds.held(again)[0] == reason("rate_limited")
    holds.hold(again, "waits_for_sign_in", FOR_EVER)
    assert holds.held(User.sign_in(ada.x_id, "ada", "newer", "newer")) == (None, 0)


def test_only_the_trial_ends_a_hold_of_the_app(ada: User) -> None:
    """One goes ahead when it is over; that X took another one, sent before, says nothing."""
    holds.hold_app(1)
    why, trial = holds.held(ada)
    assert (why, trial > now_ms()) == (None, True)
    assert holds.held(ada)[0] == reason("out_of_credit")
    holds.took(0)
    holds.took(trial - 1)
    assert holds.held(ada)[0] == reason("out_of_credit")
    holds.took(trial)
    assert holds.held(ada) == (None, 0)


def test_a_trial_that_came_too_late_ends_nothing(ada: User) -> None:
    """X refused another one as out of credit meanwhile: that hold stays."""
    holds.hold_app(1)
    _, trial = holds.held(ada)
    holds.hold_app(trial + 60_000)
    holds.took(trial)
    assert App.get().held_until == trial + 60_000


def test_every_reason_says_what_to_do() -> None:
    """Each reason is a sentence with an action that the page knows, and a long detail is cut."""
    for code, (_, action) in TABLE.items():
        made = reason(code, "word " * 200)
        assert len(made.message) < 400
        assert made.message.endswith((".", "?"))
        assert "{" not in made.message
        assert action is None or action in ACTIONS


# Kept ----------------------------------------------------------------------------------------------------------------


def test_tokens_are_encrypted_at_rest(ada: User, tmp_path: Path) -> None:
    """Neither token nor secret is in the database file; `credentials()` has both."""
    assert ada.credentials() == ("token-of-ada", "secret-of-ada")
    models.database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = b"".join(path.read_bytes() for path in (tmp_path / ".data").glob("tweetnow.db*"))
    assert b"ada" in kept
    assert b"token-of-ada" not in kept
    assert b"secret-of-ada" not in kept


def test_keys_can_be_changed(tmp_path: Path) -> None:
    """With a new key before the old one old tokens are read; without the old one that is said by name."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    with database_in(tmp_path, TOKEN_KEYS=old):
        User.sign_in("1", "ada", "token-of-ada", "secret")
    with database_in(tmp_path, TOKEN_KEYS=f"{new},{old}"):
        assert User.get(handle="ada").credentials() == ("token-of-ada", "secret")
        User.sign_in("2", "grace", "token-of-grace", "secret")
    with database_in(tmp_path, TOKEN_KEYS=new):
        assert User.get(handle="grace").credentials() == ("token-of-grace", "secret")
        with pytest.raises(models.Unreadable):
            User.get(handle="ada").credentials()


def test_signing_in_again_renews(ada: User) -> None:
    """The same X id is the same person, with the new handle and token."""
    again = User.sign_in(ada.x_id, "ada_l", "new-token", "new-secret")
    assert (again.id, again.handle, again.credentials()) == (ada.id, "ada_l", ("new-token", "new-secret"))


def test_sqlite_is_set_up_for_two_processes(ada: User) -> None:
    """Write-ahead log, a wait for locks, and foreign keys are on for each connection."""
    pragmas = ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
    found = [models.database.execute_sql(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert found == ["wal", 5000, 1, 1]


def test_a_database_that_says_nothing_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Postgres that is frozen or behind a cut takes a connection and never answers."""
    monkeypatch.setitem(store.SILENCE, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://me@127.0.0.1:{silent.getsockname()[1]}/tweets"
        began = time.monotonic()
        models.connect(settings_for(tmp_path, DATABASE_URL=url))
        assert health.look_at_database() is None
    assert time.monotonic() - began < 60


def test_tables_can_be_made_by_all_at_once(tmp_path: Path) -> None:
    """Six processes that start at the same moment in an empty folder all find their tables."""
    script = (
        "import sys, pathlib, models, settings\n"
        "models.connect(settings.load({}, data=pathlib.Path(sys.argv[1])))\n"
        "sys.stdin.read()\n"  # until all are there
        "models.create_tables()\n"
        "print(models.User.select().count())\n"
    )
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / ".data")], cwd=ROOT, text=True, preexec_fn=die_with_parent,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(6)
    ]  # fmt: skip
    for process in crowd:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    assert [process.communicate(timeout=60) for process in crowd] == [("0\n", "")] * 6


# Local times ---------------------------------------------------------------------------------------------------------


def test_a_local_time_is_resolved_in_its_zone() -> None:
    """Clocks in a zone show the time at one moment, in winter and in summer; seconds are allowed."""
    berlin = models.resolve_time("2026-12-01T09:30", "Europe/Berlin")
    assert berlin.astimezone(UTC) == datetime(2026, 12, 1, 8, 30, tzinfo=UTC)
    assert models.resolve_time("2026-07-01T09:30:15", "Europe/Berlin").astimezone(UTC).hour == 7
    assert models.resolve_time("2026-07-01T09:30", "UTC").tzinfo == ZoneInfo("UTC")


def test_a_time_in_the_gap_is_refused_by_name() -> None:
    """Where clocks go forward the hour between is refused, with the gap; its ends exist."""
    with pytest.raises(
        BadTweet, match=r"02:30 does not come on 2026-03-29 in Europe/Berlin: clocks go from 02:00 to 03:00"
    ):
        models.resolve_time("2026-03-29T02:30", "Europe/Berlin")
    assert models.resolve_time("2026-03-29T03:00", "Europe/Berlin").astimezone(UTC).hour == 1
    assert models.resolve_time("2026-03-29T01:59", "Europe/Berlin").astimezone(UTC).minute == 59
    assert code_of(models.resolve_time, "2011-12-30T12:00", "Pacific/Apia") == "no_such_time"  # a whole day


def test_a_time_that_comes_twice_is_asked_about() -> None:
    """Where clocks go back it is refused with both offsets, until the first or the second is chosen."""
    with pytest.raises(
        BadTweet,
        match=r"02:30 comes twice on 2026-10-25 .* at UTC\+02:00 and again at UTC\+01:00: say which is meant\.$",
    ) as twice:
        models.resolve_time("2026-10-25T02:30", "Europe/Berlin")
    assert twice.value.code == "comes_twice"
    first, second = (models.resolve_time("2026-10-25T02:30", "Europe/Berlin", fold) for fold in ("0", "1"))
    assert (first.timestamp(), second.timestamp()) == (1792888200, 1792888200 + 3600)
    once = [models.resolve_time("2026-10-25T04:30", "Europe/Berlin", fold) for fold in ("", "0", "1", "2")]
    assert len({moment.timestamp() for moment in once}) == 1


@pytest.mark.parametrize(
    "local",
    [
        "",
        "tomorrow",
        "2026-02-30T09:00",
        "2026-12-01",
        "2026-12-01T25:00",
        "9999-12-31T23:59",
        "0001-01-01T00:00",
        "\uff12026-12-01T09:30",
    ],
)
def test_what_is_no_time_is_refused(local: str) -> None:
    """A time that cannot be read or is not in the calendar is named."""
    assert (
        code_of(models.resolve_time, local, "Pacific/Apia" if local.startswith("0001") else "America/New_York")
        == "bad_time"
    )


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "Europe", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000, "ZZZ"]
)
def test_an_unknown_zone_is_refused_by_name(zone: str) -> None:
    """A zone that does not exist is named, whatever it looks like."""
    with pytest.raises(BadTweet, match="There is no time zone") as refused:
        models.resolve_time("2026-12-01T09:30", zone)
    assert refused.value.code == "bad_zone"
