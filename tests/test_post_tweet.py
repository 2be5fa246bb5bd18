"""The life of a tweet, row by row of what X may answer: a real queue, a real sandbox over HTTP, and its faults."""

import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue.jobs import connected
from queue.tasks import Registry
from typing import Any

import peewee
import pytest
import redis
import requests

import clearing
import holds
import models
import settings as configuration
import sweep
import worker
import x_api
from models import Tweet, User
from reasons import Reason, reason
from tables import App
from tests.sandbox_server import CALLBACK, allow, running_sandbox
from tests.servers import ROOT, die_with_parent, wait_until
from times import FOR_EVER, now_ms


@dataclass
class Life:
    """Everything a tweet meets, with one person signed in."""

    sandbox: str
    environ: dict[str, str]
    user_id: int
    secrets: tuple[str, str]
    old: int  # tweets that were on the timeline before

    def tweet(self, text: str = "", **options: Any) -> Tweet:
        """Accept one, with words that nobody has posted before unless told."""
        with models.database.connection_context():
            return User.get_by_id(self.user_id).tweet(text or f"Hello {queue.new_id()}", **options)

    def sign_in(self) -> User:
        """Walk all legs at X as Ada."""
        settings = worker.settings
        token, secret, _ = x_api.sign_in_start(settings)
        account = x_api.sign_in_finish(settings, token, secret, allow(self.sandbox, token)["oauth_verifier"])
        with models.database.connection_context():
            return User.sign_in(account.x_id, account.handle, account.token, account.secret)

    def row(self, tweet: Tweet) -> Tweet:
        """Read it back."""
        with models.database.connection_context():
            return Tweet.get_by_id(tweet.id)

    def status(self, tweet: Tweet) -> dict[str, Any]:
        """What /status says of it."""
        with models.database.connection_context():
            found = Tweet.get_by_id(tweet.id)
            return models.status(found, queue.status(found.job_id))

    def fault(self, fault: str, **options: Any) -> None:
        """Have the next post meet this."""
        requests.post(f"{self.sandbox}/_sandbox/faults", json={"fault": fault, **options}, timeout=5).raise_for_status()

    def posts(self) -> list[dict[str, Any]]:
        """Every post that reached X."""
        ledger = requests.get(f"{self.sandbox}/_sandbox/ledger", timeout=5).json()
        return [line for line in ledger if (line["method"], line["path"]) == ("POST", "/2/tweets")]

    def published(self) -> list[str]:
        """The texts that are new on X's timeline."""
        timeline = requests.get(f"{self.sandbox}/_sandbox/timeline", timeout=5).json()
        return [tweet["text"] for tweet in timeline[: len(timeline) - self.old]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    """One X for all tests of this file."""
    with running_sandbox() as url:
        yield url


@pytest.fixture
def life(tmp_path: Path, redis_url: str, sandbox: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    """A person signed in at X, beside an empty queue and database."""
    monkeypatch.setattr(random, "random", lambda: 0.0)
    wait_until(lambda: listens(sandbox))  # it may be refusing connections for the test before
    for what in ("faults", "ledger"):
        requests.delete(f"{sandbox}/_sandbox/{what}", timeout=5)
    environ = {"REDIS_URL": redis_url, "X_API_URL": sandbox, "PUBLIC_URL": CALLBACK.removesuffix("/oauth/callback")}
    environ |= {"ABSENT_SECONDS": "1", "X_TOLERANCE_SECONDS": "1"}
    monkeypatch.setattr(clearing, "SLACK", 1_000)
    monkeypatch.setattr(clearing, "SOONEST", 200)
    environ["DATABASE_URL"] = f"sqlite:///{tmp_path}/tweets.db"
    settings = configuration.load(environ, data=tmp_path / ".data")
    environ |= {"SESSION_SECRET": str(settings.session_secret), "TOKEN_KEYS": str(settings.token_keys[0])}
    worker.start(settings)
    models.create_tables()
    token, secret, _ = x_api.sign_in_start(settings)
    account = x_api.sign_in_finish(settings, token, secret, allow(sandbox, token)["oauth_verifier"])
    with models.database.connection_context():
        user = User.sign_in(account.x_id, account.handle, account.token, account.secret)
    old = len(requests.get(f"{sandbox}/_sandbox/timeline", timeout=5).json())
    yield Life(sandbox, environ, user.id, (account.token, account.secret), old)
    connected().redis.close()


def listens(url: str) -> bool:
    """Whether a connection comes about."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


@contextmanager
def working(retries: int = 8, backoff: float = 0.05) -> Iterator[None]:
    """A real worker with the real task, that only waits less between attempts."""
    tasks = Registry()
    tasks.add(replace(worker.post_tweet, retries=retries, backoff=lambda *_: backoff))
    made: list[queue.JobQueue] = []  # the worker's own connections; at the end of a process nobody has to close them
    sibling = queue.JobQueue.sibling

    def kept(jobs: queue.JobQueue, timeout: float) -> queue.JobQueue:
        made.append(sibling(jobs, timeout))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue.JobQueue, "sibling", kept)
        runner = queue.Worker(threads=2, tasks=tasks)
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            yield
        finally:
            runner.stop()
            thread.join(30)
            for jobs in made:
                jobs.redis.close()


def reaches(life: Life, tweet: Tweet, state: str) -> dict[str, Any]:
    """Wait until /status says this state, and return all it says."""
    wait_until(lambda: life.status(tweet)["state"] == state, 20, f"{state}, not {life.status(tweet)}")
    return life.status(tweet)


# The ordinary course -------------------------------------------------------------------------------------------------


def test_201_is_sent_with_its_link(life: Life) -> None:
    """A tweet goes out once, and X's id and a link to it are kept."""
    tweet = life.tweet()
    with working():
        body = reaches(life, tweet, "sent")
    x_id = life.posts()[0]["tweet_id"]
    assert body["tweet_url"] == f"{life.sandbox}/ada/status/{x_id}"
    assert (body["attempt"], body["reason"], body["poll_after_ms"]) == (1, None, None)
    assert life.published() == [tweet.text]


def test_a_scheduled_tweet_is_sent_when_due_and_not_before(life: Life) -> None:
    """Nothing reaches X before the time in the row."""
    due = now_ms() + 1_000
    tweet = life.tweet(at=due / 1000)
    with working():
        assert life.status(tweet)["state"] == "scheduled"
        reaches(life, tweet, "sent")
    assert life.posts()[0]["time"] * 1000 >= due


def test_the_row_decides_when(life: Life) -> None:
    """A job that wakes before the time in its row goes back to sleep for the rest."""
    tweet = life.tweet(at=now_ms() / 1000 + 60)
    with pytest.raises(queue.Snooze) as snooze:
        worker.post_tweet(tweet.id)
    assert 55 < snooze.value.after <= 60
    assert not life.posts()


@pytest.mark.parametrize("state", ["sent", "failed", "uncertain", "cancelled", "missed"])
def test_a_tweet_at_its_end_is_left_alone(life: Life, state: str) -> None:
    """The job of a tweet that is at an end does nothing."""
    tweet = life.tweet()
    with models.database.connection_context():
        Tweet.update(state=state).where(Tweet.id == tweet.id).execute()
    assert worker.post_tweet(tweet.id) == state
    assert not life.posts()


def test_an_old_job_and_a_lost_row_do_nothing(life: Life) -> None:
    """Only the job that the row names may send it; a row that is gone needs no sending."""
    tweet = life.tweet()
    queue.cancel(tweet.job_id)
    queue.enqueue(queue.named("post_tweet", id="older-job"), tweet.id)
    queue.enqueue(queue.named("post_tweet", id="no-row"), 999_999)
    with working():
        wait_until(lambda: queue.is_complete("older-job") and queue.is_complete("no-row"))
    assert life.row(tweet).state == "queued"
    assert not life.posts()


def test_a_change_between_reading_and_sending_is_read_again(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is edited after it was signed goes out as it was edited."""
    tweet, prepare, better = life.tweet(), x_api.prepare_tweet, f"Before {queue.new_id()}"

    def edited_meanwhile(*args: Any) -> x_api.Signed:
        monkeypatch.setattr(x_api, "prepare_tweet", prepare)
        Tweet.get_by_id(tweet.id).edit(text=better)
        return prepare(*args)

    monkeypatch.setattr(x_api, "prepare_tweet", edited_meanwhile)
    with working():
        reaches(life, tweet, "sent")
    assert life.published() == [better]


# Not sent ------------------------------------------------------------------------------------------------------------


def test_no_connection_is_tried_again(life: Life) -> None:
    """While nobody listens the tweet is `retrying`, with the time of the next attempt; then it goes out once."""
    tweet = life.tweet()
    life.fault("refuse", seconds=1)
    with working(backoff=0.3):
        body = reaches(life, tweet, "retrying")
        assert (body["reason"]["code"], body["cancellable"]) == ("unreachable", True)
        assert reaches(life, tweet, "sent")["attempt"] > 1
    assert life.published() == [tweet.text]


def test_the_last_attempt_fails_with_what_to_do(life: Life) -> None:
    """When the queue gives up, so does the row, and says that sending again is safe."""
    tweet = life.tweet()
    life.fault("refuse", seconds=2)
    with working(retries=1):
        body = reaches(life, tweet, "failed")
        wait_until(lambda: life.status(tweet) and getattr(queue.status(tweet.job_id), "state", "") == "dead")
    assert (body["reason"]["code"], body["reason"]["action"]) == ("gave_up", "send_again")
    assert body["attempt"] == 2


def test_429_waits_until_the_reset_and_uses_no_attempt(life: Life) -> None:
    """X's own time decides when the tweet goes out; the queue counts no failure."""
    tweet = life.tweet()
    life.fault("429", seconds=2)
    with working(retries=0):
        body = reaches(life, tweet, "retrying")
        assert body["reason"]["code"] == "rate_limited"
        assert body["next_attempt_at"] > now_ms()
        reaches(life, tweet, "sent")
    first, second = life.posts()
    assert (first["answer"], second["answer"]) == (429, 201)
    assert second["time"] * 1000 >= body["next_attempt_at"]
    job = queue.status(tweet.job_id)
    assert job is not None
    assert job.failures == 0


@pytest.mark.parametrize(
    ("reset", "least", "most"),
    [
        (1_000.0, 1.0, 10.0),
        (1_300.0, 300.0, 335.0),
        (999.0, 1.0, 10.0),
        (None, 60.0, 71.0),
        (0.0, 60.0, 71.0),
        (40_000.0, 39_000.0, 42_905.0),
        (1e12, 900.0, 995.0),
    ],
)
def test_how_long_a_rate_limit_lasts(reset: float | None, least: float, most: float) -> None:
    """Until the reset and never before, with a growing chance of later; a minute to a quarter when X makes no sense."""
    assert holds.rate_limit_wait(reset, 1_000.0, 0.0) == pytest.approx(least)
    assert least < holds.rate_limit_wait(reset, 1_000.0, 1.0) <= most


@pytest.mark.parametrize("fault", ["402", "429-usage-cap"])
def test_out_of_credit_fails_nobody_s_tweet(life: Life, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """The tweet stays queued with the reason, the operator is told, and no attempt is used."""
    tweet = life.tweet()
    life.fault(fault)
    with pytest.raises(queue.Snooze) as snooze:
        worker.post_tweet(tweet.id)
    assert snooze.value.after == holds.CREDIT_WAIT
    body = life.status(tweet)
    assert (body["state"], body["reason"]["code"], body["reason"]["action"]) == (
        "retrying",
        "out_of_credit",
        "contact_operator",
    )
    assert body["next_attempt_at"] > now_ms()
    assert [line.levelname for line in caplog.records if "credit" in line.message] == ["ERROR"]
    with pytest.raises(queue.Snooze):
        worker.post_tweet(tweet.id)  # woken early: the row still says later
    assert len(life.posts()) == 1


# Refused -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "action"),
    [
        ("401", "signed_out", "sign_in"),
        ("403-duplicate", "duplicate", "open_profile"),
        ("403", "not_permitted", "open_profile"),
        ("403-read-only", "app_refused", "contact_operator"),
    ],
)
def test_a_refusal_fails_with_words_and_an_action(life: Life, fault: str, code: str, action: str) -> None:
    """X's no ends the tweet at once, with what the person can do about it."""
    tweet = life.tweet()
    life.fault(fault)
    assert worker.post_tweet(tweet.id) == "failed"
    found = life.status(tweet)["reason"]
    assert (found["code"], found["action"]) == (code, action)
    assert len(life.posts()) == 1


def test_the_same_words_again_are_a_duplicate(life: Life) -> None:
    """X's own rule, without a fault: the second of two equal tweets is refused and explained."""
    first = life.tweet()
    second = life.tweet(first.text)
    assert worker.post_tweet(first.id) == "sent"
    assert worker.post_tweet(second.id) == "failed"
    assert life.status(second)["reason"]["code"] == "duplicate"


def test_access_taken_away_asks_to_sign_in(life: Life) -> None:
    """A token that the person revoked at X fails the tweet with "sign in again"; after that it can be sent again."""
    requests.post(f"{life.sandbox}/_sandbox/revoke", json={"account": "ada"}, timeout=5).raise_for_status()
    tweet = life.tweet()
    assert worker.post_tweet(tweet.id) == "failed"
    assert life.status(tweet)["reason"]["action"] == "sign_in"


def test_a_token_whose_key_is_gone_asks_to_sign_in(life: Life) -> None:
    """What cannot be decrypted is never sent, and says what helps; the person's other tweets wait for it."""
    with models.database.connection_context():
        User.update(token="gAAAA-not-ours").execute()
    tweet = life.tweet()
    assert worker.post_tweet(tweet.id) == "failed"
    assert life.status(tweet)["reason"]["code"] == "keys_changed"
    other = life.tweet("Another")
    with pytest.raises(queue.Snooze):
        worker.post_tweet(other.id)
    assert life.status(other)["reason"]["code"] == "waits_for_sign_in"
    assert not life.posts()


# Unknown -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "options", "took"),
    [
        ("500", {}, False),
        ("503", {}, False),
        ("503", {"accept": True}, True),
        ("reset", {}, False),
        ("accept-reset", {}, True),
        ("hang", {"seconds": 0.2}, False),
        ("hang", {"seconds": 30, "accept": True}, True),
    ],
)
def test_an_unknown_outcome_is_looked_for(
    life: Life, fault: str, options: dict[str, Any], took: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the timeline: it was sent, and never again. Not there for long enough: it is sent once more."""
    monkeypatch.setattr(x_api, "TIMEOUT", (2.0, 1.0))
    tweet = life.tweet("Look: example.com & <https://example.com/a?b=c> " + queue.new_id())
    life.fault(fault, **options)
    with working():
        wait_until(lambda: (life.status(tweet)["reason"] or {}).get("code") == "checking")
        assert (life.status(tweet)["state"], life.status(tweet)["cancellable"]) == ("sending", False)
        body = reaches(life, tweet, "sent")
    assert len(life.posts()) == (1 if took else 2)
    assert life.published() == [tweet.text]
    assert body["tweet_url"].endswith(life.posts()[-1]["tweet_id"])
    assert (body["reason"], life.row(tweet).unknowns) == (None, 1)


@pytest.mark.parametrize("fault", ["401", "403"])
def test_not_allowed_to_look_is_uncertain(life: Life, fault: str) -> None:
    """Then the person decides, and it reached X once however long a worker works."""
    tweet = life.tweet()
    life.fault("accept-reset")
    life.fault(fault, path="/2/users")
    with working():
        body = reaches(life, tweet, "uncertain")
        wait_until(lambda: queue.is_complete(tweet.job_id))
    assert (body["reason"]["code"], body["reason"]["action"]) == ("no_look", "open_profile")
    assert len(life.posts()) == 1


def test_a_look_that_fails_is_made_again(life: Life) -> None:
    """X cannot be read for a while: nothing is concluded, and nothing is sent, until it can."""
    tweet = life.tweet()
    life.fault("accept-reset")
    life.fault("503", path="/2/users", count=2)
    with working():
        reaches(life, tweet, "sent")
    assert len(life.posts()) == 1
    assert life.published() == [tweet.text]


def test_looking_ends(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeline that cannot be read for an hour leaves the tweet uncertain."""
    monkeypatch.setattr(clearing, "LOOKING", 0)
    tweet = life.tweet()
    life.fault("accept-reset")
    life.fault("503", path="/2/users", count=100)
    with working():
        body = reaches(life, tweet, "uncertain")
    assert body["reason"]["code"] == "no_look"
    assert len(life.posts()) == 1


def test_unknown_a_second_time_is_uncertain(life: Life) -> None:
    """It is sent once more, and not twice more."""
    tweet = life.tweet()
    life.fault("503", count=2)
    with working():
        body = reaches(life, tweet, "uncertain")
        wait_until(lambda: queue.is_complete(tweet.job_id))
    assert (body["reason"]["code"], len(life.posts())) == ("no_answer", 2)
    assert not life.published()


def test_a_duplicate_after_an_unknown_attempt_is_looked_for(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """X shows it late: the second attempt is refused as a duplicate, which is no failure."""
    find, hidden = x_api.find, [True]
    monkeypatch.setattr(x_api, "find", lambda *args: [] if hidden else find(*args))
    tweet = life.tweet()
    life.fault("accept-reset")
    with working():
        wait_until(lambda: len(life.posts()) == 2)
        hidden.clear()
        reaches(life, tweet, "sent")
    assert [line["answer"] for line in life.posts()] == ["none", 403]
    assert life.published() == [tweet.text]


def test_the_same_words_of_another_tweet_are_not_its_own(life: Life) -> None:
    """A tweet on the timeline that belongs to another row proves nothing."""
    first = life.tweet()
    assert worker.post_tweet(first.id) == "sent"
    second = life.tweet(first.text)
    life.fault("503")
    with working():
        wait_until(
            lambda: len(life.posts()) == 3, 20
        )  # absent, so sent once more; X says duplicate, and it is looked for
        body = reaches(life, second, "uncertain")
    assert body["reason"]["code"] == "no_answer"
    assert life.published() == [first.text]


def test_a_person_may_send_an_uncertain_tweet_again(life: Life) -> None:
    """By hand it goes out under a new job id, and may be unknown once more."""
    tweet = life.tweet()
    with models.database.connection_context():
        lost = Tweet.get_by_id(tweet.id)
        lost.start_sending()
        lost.record_unknown(now_ms())
        lost.record_uncertain(reason("no_look"))
        again = lost.send_again()
    assert (again.unknowns, again.unknown_at) == (0, lost.sending_at)
    with working():
        reaches(life, again, "sent")
    assert life.published() == [tweet.text]


def taken_unseen(life: Life) -> Tweet:
    """A tweet that X will take, and neither say so nor let us look."""
    life.fault("accept-reset")
    life.fault("403", path="/2/users")
    return life.tweet()


def test_what_x_had_all_along_is_sent_when_it_is_sent_again(life: Life) -> None:
    """X had it and could not be looked at: it refuses it as a duplicate, and then it is found where it is since."""
    tweet = taken_unseen(life)
    with working():
        reaches(life, tweet, "uncertain")
        with models.database.connection_context():
            again = Tweet.get_by_id(tweet.id).send_again()
        reaches(life, again, "sent")
    assert life.published() == [tweet.text]
    assert life.row(again).x_tweet_id == life.posts()[0]["tweet_id"]


@pytest.mark.parametrize("end", ["missed", "failed"])
def test_what_x_may_have_had_all_along_is_not_said_to_be_nowhere(life: Life, end: str) -> None:
    """X had it and could not be looked at; sent again, it never got there, or was refused: that proves nothing."""
    tweet = taken_unseen(life)
    with working():
        reaches(life, tweet, "uncertain")
    with models.database.connection_context():
        again = Tweet.get_by_id(tweet.id).send_again()
        if end == "missed":
            Tweet.update(next_attempt_at=1, sending_at=1).where(Tweet.id == tweet.id).execute()
        else:
            life.fault("403", path="/2/tweets")
    with working():
        body = reaches(life, again, "uncertain")
    assert body["reason"]["code"] == "earlier_try"
    assert life.published() == [tweet.text]


def test_an_attempt_whose_worker_died_waits_until_its_request_is_too_old(life: Life) -> None:
    """A row found in `sending` may belong to a frozen worker with a signed request: only then it is sent once more."""
    tweet = life.tweet()
    with models.database.connection_context():
        frozen = Tweet.get_by_id(tweet.id)
        frozen.start_sending()
    with working():
        reaches(life, tweet, "sent")
    [post] = life.posts()
    assert post["time"] * 1000 >= (frozen.sending_at or 0) + 1_000 + clearing.SLACK - 50
    assert life.published() == [tweet.text]


def test_an_interrupted_call_is_looked_for(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time limit or a defect in the middle of the call leaves it open whether X took it."""

    def interrupted(_: x_api.Signed) -> str:
        raise SystemError("something nobody thought of")

    monkeypatch.setattr(x_api, "send", interrupted)
    tweet = life.tweet()
    with pytest.raises(SystemError):
        worker.post_tweet(tweet.id)
    row = life.row(tweet)
    assert (row.state, row.unknowns, row.reason_code) == ("sending", 1, "checking")
    monkeypatch.undo()


# Held ----------------------------------------------------------------------------------------------------------------


def asleep(tweet: Tweet) -> bool:
    """Whether its job waits for a time, and no failure is held against it."""
    job = queue.status(tweet.job_id)
    return bool(job and (job.state, job.failures) == ("scheduled", 0))


def test_a_sign_in_sends_what_waited_for_it(life: Life) -> None:
    """401 fails the one that met it; the account's others never reach X until the person is back, then they go."""
    requests.post(f"{life.sandbox}/_sandbox/revoke", json={"account": "ada"}, timeout=5).raise_for_status()
    first, *others = (life.tweet() for _ in range(4))
    assert worker.post_tweet(first.id) == "failed"
    assert life.status(first)["reason"]["action"] == "sign_in"
    with working():
        for tweet in others:
            body = reaches(life, tweet, "retrying")
            assert body["reason"]["code"] == "waits_for_sign_in"
            assert (body["next_attempt_at"], body["poll_after_ms"]) == (None, 7_200_000)
        wait_until(lambda: all(asleep(tweet) for tweet in others))
        assert len(life.posts()) == 1
        life.sign_in()
        for tweet in others:
            reaches(life, tweet, "sent")
    assert sorted(life.published()) == sorted(tweet.text for tweet in others)


def test_a_sign_in_while_a_worker_saw_none_is_enough(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker saw the hold, the person signed in, then the worker wrote that it waits: a sweep sees that."""
    with models.database.connection_context():
        holds.hold(User.get_by_id(life.user_id), "waits_for_sign_in", FOR_EVER)
    tweet, held, seen = life.tweet(), holds.held, threading.Event()

    def slow(user: User) -> tuple[Reason | None, int]:
        found = held(user)
        if not seen.is_set():
            life.sign_in()
            seen.set()
        return found

    monkeypatch.setattr(holds, "held", slow)
    with working():
        wait_until(lambda: asleep(tweet))
        assert sweep.sweep() == {"moved": 1}
        reaches(life, tweet, "sent")


@pytest.mark.parametrize("deed", ["now", "another time"])
def test_what_is_sent_while_x_takes_nothing_waits_as_well(life: Life, deed: str) -> None:
    """Asked for now or at another time while the account is held: it waits for the sign-in, and goes then."""
    with models.database.connection_context():
        holds.hold(User.get_by_id(life.user_id), "waits_for_sign_in", FOR_EVER)
    tweet = life.tweet(at=now_ms() / 1000 + 3600)
    with models.database.connection_context():
        row = Tweet.get_by_id(tweet.id)
        assert (row.send_now() if deed == "now" else row.edit(at=now_ms() / 1000 + 0.2)) == "changed"
    with working():
        wait_until(lambda: life.row(tweet).reason_code == "waits_for_sign_in")
        life.sign_in()
        wait_until(lambda: sweep.sweep() is not None and life.row(tweet).state == "sent")
    assert life.published() == [tweet.text]


def test_the_row_says_when_each_of_those_that_wait_comes_back(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread out by chance; a sweep leaves them so."""
    until = now_ms() + 60_000
    with models.database.connection_context():
        holds.hold(User.get_by_id(life.user_id), "rate_limited", until)
    chances = iter([0.1, 0.5, 0.9])
    tweets = [life.tweet() for _ in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(random, "random", lambda: next(chances))
        for tweet in tweets:
            with pytest.raises(queue.Snooze):
                worker.post_tweet(tweet.id)
    assert [(life.row(tweet).wakes_at or 0) - until for tweet in tweets] == [1_000, 5_000, 9_000]
    with working():
        wait_until(lambda: all(asleep(tweet) for tweet in tweets))
    assert sweep.sweep() == {}


def test_one_rate_limit_holds_all_of_the_account(life: Life) -> None:
    """What meets it waits until the reset, and so do all others without asking X."""
    tweets = [life.tweet() for _ in range(12)]
    life.fault("429", count=2, seconds=3)
    with working():
        for tweet in tweets:
            reaches(life, tweet, "retrying" if not life.posts()[2:] else life.status(tweet)["state"])
        for tweet in tweets:
            reaches(life, tweet, "sent")
    assert [line["answer"] for line in life.posts()].count(429) <= 2
    assert sorted(life.published()) == sorted(tweet.text for tweet in tweets)


def test_one_tweet_tries_whether_the_app_may_post_again(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of credit holds everybody; after that one goes ahead, and the others follow when X took it."""
    monkeypatch.setattr(holds, "CREDIT_WAIT", 1.0)
    monkeypatch.setattr(holds, "TRIAL", 1_000)
    tweets = [life.tweet() for _ in range(6)]
    life.fault("402", count=3)
    with working():
        for tweet in tweets:
            reaches(life, tweet, "sent")
    answers = [line["answer"] for line in life.posts()]
    assert answers.count(402) == 3
    assert answers[3:] == [201] * 6
    assert all(life.row(tweet).state == "sent" for tweet in tweets)


@pytest.mark.parametrize("fault", ["401", "403", None])
def test_an_answer_to_what_was_sent_before_ends_no_hold_of_the_app(
    life: Life, monkeypatch: pytest.MonkeyPatch, fault: str | None
) -> None:
    """Out of credit is what X said last: what it says of a tweet that was on its way then changes nothing."""
    until, send = now_ms() + 600_000, x_api.send

    def meanwhile(signed: x_api.Signed) -> str:
        holds.hold_app(until)
        return send(signed)

    monkeypatch.setattr(x_api, "send", meanwhile)
    if fault:
        life.fault(fault)
    assert worker.post_tweet(life.tweet().id) == ("failed" if fault else "sent")
    with models.database.connection_context():
        assert App.get().held_until == until


@pytest.mark.parametrize(("fault", "held"), [("401", True), ("403", True), ("reset", True), (None, False)])
def test_a_trial_proves_something_when_x_takes_it(life: Life, fault: str | None, held: bool) -> None:
    """Any other answer may come before X looks at the credit: the next one tries."""
    with models.database.connection_context():
        holds.hold_app(1)
    if fault:
        life.fault(fault)
    with suppress(queue.Snooze):
        worker.post_tweet(life.tweet().id)
    with models.database.connection_context():
        assert (App.get().held_until > now_ms()) is held


# Missed --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "state"), [(3_500, "sent"), (3_700, "missed")])
def test_what_was_due_too_long_ago_is_asked_about(life: Life, late: int, state: str) -> None:
    """An hour is sent unasked; after that the person decides, and may send it."""
    tweet = life.tweet(at=now_ms() / 1000 + 60)
    with models.database.connection_context():
        Tweet.update(due_at=now_ms() - late * 1000).where(Tweet.id == tweet.id).execute()
    assert worker.post_tweet(tweet.id) == state
    body = life.status(tweet)
    if state == "missed":
        assert (body["reason"]["code"], body["reason"]["action"]) == ("missed", "send_again")
        with models.database.connection_context():
            again = Tweet.get_by_id(tweet.id).send_again()
        assert worker.post_tweet(again.id) == "sent"


def later(life: Life, tweet: Tweet, ms: int) -> None:
    """Let so much time go by for everything that is known of it."""
    times = (
        Tweet.created_at,
        Tweet.due_at,
        Tweet.next_attempt_at,
        Tweet.sending_at,
        Tweet.unknown_at,
        Tweet.absent_from,
    )
    with models.database.connection_context():
        Tweet.update({field: field - ms for field in times}).where(Tweet.id == tweet.id).execute()
        User.update(held_until=User.held_until - ms).where(User.held_until.between(1, FOR_EVER - 1)).execute()
        App.update(held_until=App.held_until - ms).where(App.held_until > 0).execute()


@pytest.mark.parametrize("scheduled", [True, False])
@pytest.mark.parametrize("why", ["waits_for_sign_in", "rate_limited", "out_of_credit"])
def test_what_waited_for_x_is_not_missed(life: Life, why: str, scheduled: bool) -> None:
    """However long that took: the person was told that it goes out then."""
    until = FOR_EVER if why == "waits_for_sign_in" else now_ms() + 7_000_000
    with models.database.connection_context():
        user = User.get_by_id(life.user_id)
        holds.hold_app(until) if why == "out_of_credit" else holds.hold(user, why, until)
    tweet = life.tweet(at=now_ms() / 1000 if scheduled else None)
    with pytest.raises(queue.Snooze):
        worker.post_tweet(tweet.id)
    assert life.status(tweet)["reason"]["code"] == why
    later(life, tweet, 7_200_000)
    if why == "waits_for_sign_in":
        life.sign_in()
    assert worker.post_tweet(tweet.id) == "sent"


def test_what_is_sent_once_more_is_not_missed(life: Life) -> None:
    """It was due long ago, and looked for since: absent, it goes out."""
    tweet = life.tweet()
    life.fault("reset")
    with pytest.raises(queue.Snooze):
        worker.post_tweet(tweet.id)
    later(life, tweet, 7_200_000)
    assert worker.post_tweet(tweet.id) == "sent"


@pytest.mark.parametrize("scheduled", [True, False])
@pytest.mark.parametrize("tried", [True, False])
def test_what_nobody_tried_for_too_long_is_asked_about(life: Life, scheduled: bool, tried: bool) -> None:
    """All was down for two hours: before it was tried at all, or after a try that reached nobody."""
    tweet = life.tweet(at=now_ms() / 1000 if scheduled else None)
    if tried:
        life.fault("refuse", seconds=0.3)
        wait_until(lambda: not listens(life.sandbox))
        with pytest.raises(x_api.NotSent):
            worker.post_tweet(tweet.id)
        wait_until(lambda: listens(life.sandbox))
    later(life, tweet, 7_200_000)
    assert worker.post_tweet(tweet.id) == "missed"
    with models.database.connection_context():
        again = Tweet.get_by_id(tweet.id).send_again()
    assert worker.post_tweet(again.id) == "sent"


def test_what_was_asked_for_again_is_not_missed_after_a_try(life: Life) -> None:
    """Sent again by hand long after it was written, it reached nobody at first: it goes on being tried."""
    tweet = life.tweet()
    later(life, tweet, 7_200_000)
    assert worker.post_tweet(tweet.id) == "missed"
    with models.database.connection_context():
        Tweet.get_by_id(tweet.id).send_again()
    life.fault("refuse", seconds=0.3)
    wait_until(lambda: not listens(life.sandbox))
    with pytest.raises(x_api.NotSent):
        worker.post_tweet(tweet.id)
    wait_until(lambda: listens(life.sandbox))
    assert worker.post_tweet(tweet.id) == "sent"


# Facts ---------------------------------------------------------------------------------------------------------------


def test_a_201_is_recorded_whatever_the_row_says(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that comes back from a long sleep with X's id is believed, though the row was settled meanwhile."""
    tweet, send = life.tweet(), x_api.send

    def settled_meanwhile(signed: x_api.Signed) -> str:
        x_tweet_id = send(signed)
        Tweet.get_by_id(tweet.id).record_uncertain(reason("no_look"))
        return x_tweet_id

    monkeypatch.setattr(x_api, "send", settled_meanwhile)
    assert worker.post_tweet(tweet.id) == "sent"
    assert life.row(tweet).x_tweet_id == life.posts()[0]["tweet_id"]


class Moody:
    """A database that is away for the first writes of a success."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
        self.failures, self.calls, self.really = failures, 0, Tweet.record_sent
        monkeypatch.setattr(worker, "RECORD_PAUSE", 0.01)
        monkeypatch.setattr(Tweet, "record_sent", lambda tweet, x_tweet_id: self.record(tweet, x_tweet_id))

    def record(self, tweet: Tweet, x_tweet_id: str) -> None:
        """As `Tweet.record_sent`, when it works."""
        self.calls += 1
        if self.calls <= self.failures:
            models.database.connection().close()  # as one that broke: whoever uses it again fails again
            raise peewee.OperationalError("the server closed the connection")
        self.really(tweet, x_tweet_id)


def test_a_success_waits_for_the_database(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is away for a moment after the 201 makes nothing uncertain: it is told on a new connection."""
    moody, tweet = Moody(monkeypatch, 3), life.tweet()
    assert worker.post_tweet(tweet.id) == "sent"
    assert moody.calls == 4
    assert life.row(tweet).x_tweet_id == life.posts()[0]["tweet_id"]
    assert not [line for line in caplog.records if line.levelname == "ERROR"]
    assert models.database.is_closed()


def test_a_success_that_cannot_be_written_down_is_in_the_log(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After some seconds the worker gives up: the last line has X's id, and the row says no more than before."""
    moody, tweet = Moody(monkeypatch, 1_000_000), life.tweet()
    monkeypatch.setattr(worker, "RECORD_WITHIN", 0.2)
    with pytest.raises(peewee.OperationalError):
        worker.post_tweet(tweet.id)
    assert moody.calls > 2
    assert life.row(tweet).state == "sending"
    last = caplog.records[-1]
    assert last.levelname == "ERROR"
    told = f"event=unrecorded tweet={tweet.id} job={tweet.job_id} attempt=1 x_tweet={life.posts()[0]['tweet_id']} why="
    assert last.message.startswith(told)


# The process ---------------------------------------------------------------------------------------------------------


@contextmanager
def worker_process(life: Life, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python worker.py`, as the Procfile starts it."""
    environ = {"PATH": os.environ["PATH"], "LOG_LEVEL": "DEBUG", **life.environ}
    with (
        log.open("ab") as file,
        subprocess.Popen(
            [sys.executable, "worker.py"], cwd=ROOT, env=environ, stdout=file, stderr=file, preexec_fn=die_with_parent
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_the_worker_process(life: Life, tmp_path: Path) -> None:
    """`python worker.py` says what it uses, sends, ends well on SIGTERM, and writes no token anywhere."""
    tweet, log = life.tweet(), tmp_path / "log"
    with worker_process(life, log) as process:
        reaches(life, tweet, "sent")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    written = log.read_text()
    assert f"worker with 10 threads on default; development: Redis {life.environ['REDIS_URL']}" in written
    assert f"X {life.sandbox}" in written
    with redis.Redis.from_url(life.environ["REDIS_URL"]) as client:
        kept = b"".join(client.dump(key) or b"" for key in client.scan_iter()).decode("latin-1")
    for secret in (*life.secrets, life.environ["TOKEN_KEYS"], life.environ["SESSION_SECRET"]):
        assert secret not in written
        assert secret not in kept


def test_a_worker_killed_while_sending_sends_nothing_twice(life: Life, tmp_path: Path) -> None:
    """kill -9 in the middle of the call: another worker takes the job over and finds it on the timeline."""
    life.fault("hang", seconds=60, accept=True)
    tweet = life.tweet()
    with worker_process(life, tmp_path / "log") as process:
        wait_until(life.posts, 20)
        process.kill()
    with worker_process(life, tmp_path / "log"):
        wait_until(lambda: life.status(tweet)["state"] == "sent", 60)
        wait_until(lambda: queue.is_complete(tweet.job_id))
    assert len(life.posts()) == 1
    assert life.published() == [tweet.text]


def test_a_start_that_cannot_work_ends_with_one_line(life: Life, tmp_path: Path) -> None:
    """A wrong value stops the worker at once, with the line that says what to change."""
    life.environ["REDIS_URL"] = "http://127.0.0.1:6379"
    with worker_process(life, tmp_path / "log") as process:
        assert process.wait(20) == 1
    assert (tmp_path / "log").read_text().startswith("REDIS_URL is 'http://127.0.0.1:6379': it has to be ")
    assert (tmp_path / "log").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("REDIS_URL", "redis://127.0.0.1:6379/0?foo=1", "REDIS_URL is 'redis://127.0.0.1:6379/0?foo=1': it has to be "),
        ("DATABASE_URL", "postgres://me:hush@127.0.0.1:1/tweets", "the database does not answer ("),
    ],
)
def test_a_start_without_what_it_needs_ends_with_one_line(
    life: Life, tmp_path: Path, name: str, value: str, line: str
) -> None:
    """An option that redis-py does not know, a database that is away: exit code 1 and what to do, no traceback."""
    life.environ |= {name: value, "LOG_LEVEL": "INFO"}
    with worker_process(life, tmp_path / "log") as process:
        assert process.wait(20) == 1
    written = (tmp_path / "log").read_text()
    assert written.startswith(line)
    assert name in written
    assert "hush" not in written
    assert written.count("\n") == 1
