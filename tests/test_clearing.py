"""Looks at the timeline: how many for one tweet, what their answers mean, and what no answer of X can do to them."""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import peewee
import pytest
import requests

import clearing
import holds
import models
import sweep
import worker
import x_api
from models import Tweet, User
from reasons import reason
from tables import App
from tests.servers import wait_until
from tests.test_post_tweet import Life, life, sandbox, working
from times import FOR_EVER, now_ms

__all__ = ["life", "sandbox"]  # fixtures

MINUTE = 60_000


@pytest.fixture(autouse=True)
def closed(life: Life) -> Iterator[None]:
    """What a test opened by using it."""
    yield
    models.database.close()


def lost(life: Life, text: str = "") -> Tweet:
    """A tweet that X may have."""
    tweet = life.tweet(text)
    tweet.start_sending()
    clearing.unknown(worker.settings, tweet)
    return tweet


def looks(life: Life) -> int:
    """How often X was asked for a timeline."""
    ledger = requests.get(f"{life.sandbox}/_sandbox/ledger", timeout=5).json()
    return sum(line["path"].startswith("/2/users/") for line in ledger)


class Clock:
    """Moves on when a worker sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = now_ms()
        for module in (clearing, models):
            monkeypatch.setattr(module, "now_ms", lambda: self.now)

    def run(self, tweet: Tweet) -> list[int]:
        """Work on it to its end, whatever happens: the seconds, since it was sent, at which its job ran."""
        ran = []
        while tweet.state == "sending":
            ran.append((self.now - (tweet.sending_at or 0)) // 1000)
            try:
                clearing.clear_up(worker.settings, tweet)
            except queue.Snooze as snooze:
                self.now += round(snooze.after * 1000)
            except SystemError:
                self.now += 5_000  # when the queue tries it again
            tweet = Tweet.get_by_id(tweet.id)
        return ran


@pytest.fixture
def clock(life: Life, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time of our own, and the waits of an installation."""
    monkeypatch.setattr(clearing, "SOONEST", 2_000)
    monkeypatch.setattr(worker, "settings", replace(worker.settings, absent_seconds=60))
    return Clock(monkeypatch)


# How many ------------------------------------------------------------------------------------------------------------


def test_looks_for_what_is_not_there_become_rare(life: Life, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comes after as long again as it all took, the last when X would show it; then it goes out once more."""
    monkeypatch.setattr(x_api, "find", lambda *_: [])
    tweet = lost(life)
    assert clock.run(tweet) == [0, 2, 4, 8, 16, 32, 60]
    assert life.row(tweet).state == "queued"


@pytest.mark.parametrize("error", [x_api.Unknown(reason("no_answer")), SystemError("nobody thought of that")])
def test_looks_that_fail_become_rare_and_end(
    life: Life, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An X that cannot be read, and a defect of ours, cost some looks in an hour, and then the person decides."""
    made: list[int] = []

    def find(*_: object) -> list[str]:
        made.append(clock.now)
        raise error

    monkeypatch.setattr(x_api, "find", find)
    tweet = lost(life)
    clock.run(tweet)
    pauses = [later - sooner for sooner, later in pairwise(made)]
    assert 14 <= len(made) <= 20
    assert pauses == sorted(pauses)
    assert MINUTE <= pauses[0] < pauses[-1] <= 15 * MINUTE
    assert 45 * MINUTE < made[-1] - made[0] <= 61 * MINUTE
    assert (life.row(tweet).state, life.row(tweet).reason_code) == ("uncertain", "no_look")


def test_a_look_that_nobody_was_there_for_is_still_made(
    life: Life, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All workers were down for a day: one look, and its answer counts."""
    tweet = lost(life)
    monkeypatch.setattr(x_api, "find", lambda *_: ["17"])
    with pytest.raises(queue.Snooze):
        clearing.look_again(tweet, clock.now + 2_000)
    clock.now += 86_400_000
    clearing.clear_up(worker.settings, tweet)
    assert (life.row(tweet).state, life.row(tweet).x_tweet_id) == ("sent", "17")


def test_who_is_woken_too_soon_does_not_look(life: Life, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that runs before the next look, as after a crash or a renewal, sleeps on until then."""
    monkeypatch.setattr(x_api, "find", lambda *_: pytest.fail("X was asked"))
    tweet = lost(life)
    tweet.record_look(clock.now + 30_000)
    with pytest.raises(queue.Snooze) as snooze:
        clearing.clear_up(worker.settings, tweet)
    assert snooze.value.after == 30


def test_a_tweet_that_another_took_over_is_not_looked_for(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is old: whoever has it now looks."""
    monkeypatch.setattr(x_api, "find", lambda *_: pytest.fail("X was asked"))
    tweet = lost(life)
    Tweet.get_by_id(tweet.id).record_uncertain(reason("no_look"))
    clearing.clear_up(worker.settings, tweet)
    assert tweet.state == "uncertain"


def test_an_attempt_that_another_began_is_not_looked_for(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that froze before it took over an attempt wakes during the next one, which is none of its business."""
    monkeypatch.setattr(x_api, "find", lambda *_: pytest.fail("X was asked"))
    tweet = life.tweet()
    tweet.start_sending()
    now = Tweet.get_by_id(tweet.id)
    now.record_unknown(now_ms())
    now.record_absent()
    now.start_sending()
    clearing.clear_up(worker.settings, tweet)
    row = Tweet.get_by_id(tweet.id)
    assert (row.state, row.attempts, row.absent_from) == ("sending", 2, None)


# What X answers ------------------------------------------------------------------------------------------------------


def test_a_look_waits_as_long_as_x_says(life: Life) -> None:
    """429 with a time: nobody asks before."""
    tweet = lost(life)
    began = now_ms()
    life.fault("429", path="/2/users", seconds=600, count=20)
    with pytest.raises(queue.Snooze):
        clearing.clear_up(worker.settings, tweet)
    assert (life.row(tweet).next_attempt_at or 0) >= began + 600_000 - 1
    with pytest.raises(queue.Snooze):
        clearing.clear_up(worker.settings, life.row(tweet))
    assert looks(life) == 1


def test_a_look_that_x_wants_too_late_is_not_waited_for(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of the day: the person decides now, not tomorrow."""

    def find(*_: object) -> list[str]:
        raise x_api.RateLimited(reason("rate_limited"), now_ms() / 1000 + 20_000)

    monkeypatch.setattr(x_api, "find", find)
    tweet = lost(life)
    clearing.clear_up(worker.settings, tweet)
    assert (life.row(tweet).state, life.row(tweet).reason_code) == ("uncertain", "no_look")


def test_a_look_out_of_credit_waits_as_a_post_does(life: Life) -> None:
    """402: ten minutes, and posts find out by themselves, since X may count reads apart."""
    tweet = lost(life)
    life.fault("402", path="/2/users", count=20)
    with pytest.raises(queue.Snooze) as snooze:
        clearing.clear_up(worker.settings, tweet)
    assert snooze.value.after == pytest.approx(holds.CREDIT_WAIT, abs=1)
    assert not App.select().where(App.held_until > 0).count()
    assert life.row(tweet).state == "sending"


def test_a_look_with_a_sign_in_that_is_gone_holds_the_account(life: Life) -> None:
    """401: it is as after a post, and the person's other tweets wait for the next sign-in."""
    tweet = lost(life)
    life.fault("401", path="/2/users")
    clearing.clear_up(worker.settings, tweet)
    person = User.get_by_id(life.user_id)
    assert (life.row(tweet).state, person.held_for, person.held_until) == ("uncertain", "waits_for_sign_in", FOR_EVER)


def test_too_many_posts_to_look_through_are_read_once(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """There will not be fewer in a minute: the person decides, and is told why."""
    monkeypatch.setattr(x_api, "PAGES", 0)
    tweet = lost(life)
    clearing.clear_up(worker.settings, tweet)
    row = life.row(tweet)
    assert (row.state, row.reason_code) == ("uncertain", "no_answer")
    assert "too many posts" in str(row.reason_message)


def test_an_answer_that_surprises_ends(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real worker, and sweeps: no more than a few looks, and the job does not die."""
    asked: list[int] = []

    def answer(*_: object) -> tuple[int, dict[str, str], bytes]:
        asked.append(now_ms())
        return 200, {}, b'{"data": [{"text": "no id"}], "meta": {}}'

    monkeypatch.setattr(x_api, "_answer", answer)
    monkeypatch.setattr(clearing, "LOOKING", 3_000)
    tweet = lost(life)
    with working(retries=0):
        wait_until(lambda: sweep.sweep() is not None and life.row(tweet).state == "uncertain", 20)
        wait_until(lambda: queue.is_complete(tweet.job_id))
    assert 2 <= len(asked) <= 5
    assert life.row(tweet).job_id == tweet.job_id


# Two with the same words ---------------------------------------------------------------------------------------------


def test_what_is_there_once_is_one_row_s(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two equal tweets find the same one at the same moment: one has it, the other goes on looking."""
    first, second = lost(life, "The same words"), lost(life, "The same words")
    both = threading.Barrier(2)

    def find(*_: object) -> list[str]:
        both.wait(10)
        return ["17"]

    monkeypatch.setattr(x_api, "find", find)

    def look(tweet: Tweet) -> None:
        with models.database.connection_context(), suppress(queue.Snooze):
            clearing.clear_up(worker.settings, Tweet.get_by_id(tweet.id))

    threads = [threading.Thread(target=look, args=(tweet,)) for tweet in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    rows = sorted((life.row(tweet).state, life.row(tweet).x_tweet_id) for tweet in (first, second))
    assert rows == [("sending", None), ("sent", "17")]


def test_x_s_word_beats_a_look(life: Life) -> None:
    """The other row's answer arrives late: that was the one on the timeline, and of this nobody knows."""
    early, late = lost(life, "The same words"), lost(life, "The same words")
    early.record_sent("17", seen=True)
    late.record_sent("17")
    assert (life.row(late).state, life.row(late).x_tweet_id) == ("sent", "17")
    row = life.row(early)
    assert (row.state, row.x_tweet_id, row.reason_code) == ("uncertain", None, "no_answer")
    assert "it took one like it" in str(row.reason_message)
    with pytest.raises(peewee.IntegrityError):
        early.record_sent("17", seen=True)
