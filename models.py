"""`User` and `Tweet`: what is true of them, kept in the database, and the one place that changes a tweet's state.

    scheduled --> queued --> sending --> sent            Every change names the states it may start from and is one
        |         |   ^        |`------> failed          UPDATE that does nothing when another one was first. Except
        |         |   `--------'`------> uncertain       a fact: what X took is written down whatever the row says.
        `---------'----> cancelled                       failed, uncertain and missed become queued again by hand.

The row decides; its job in the queue is an alarm clock (alarm.py). Times are milliseconds since 1970.
"""

import logging
import queue
from datetime import datetime
from time import monotonic
from typing import Any

import peewee

import alarm
import holds
from reasons import BadTweet, Reason, checked, checked_key, columns, reason
from settings import Settings
from store import Row, Unreadable, database, lock_up, make_tables, open_store
from tables import App, Person, Post, Session
from times import due_ms, is_at, now_ms, resolve_time
from tweet_status import status

__all__ = ["BadTweet", "Unreadable", "database", "resolve_time", "status"]  # from elsewhere, beside what is below

WAITING = ("scheduled", "queued")  # X has nothing of it yet: it can be changed and called off
OVER = ("failed", "uncertain", "missed")  # a person may send it again
TELLING = 2.0  # seconds that a sign-in tells the queue of tweets that go on; the sweep tells it of the rest

log = logging.getLogger("tweetnow.models")


def connect(settings: Settings) -> None:
    """Choose the database, before anything else here is used."""
    open_store(settings)
    Tweet.x_site_url = settings.x_site_url


def create_tables() -> None:
    """Make the tables that are missing."""
    make_tables(App, Session, User, Tweet, OldJob)


class User(Person):
    """A person who signed in with X."""

    @classmethod
    def sign_in(cls, x_id: str, handle: str, token: str, secret: str) -> "User":
        """Return the person with this X id, known or new, with what the sign-in brought."""
        fresh = {"handle": handle, "token": lock_up(token), "secret": lock_up(secret), "signed_in_at": now_ms()}
        with database.atomic():
            cls.insert(x_id=x_id, **fresh).on_conflict(conflict_target=[cls.x_id], update=fresh).execute()
            holds.signed_in(cls, x_id)
        user: User = cls.get(cls.x_id == x_id)
        waits = Tweet.select().where(Tweet.user == user, Tweet.reason_code == "waits_for_sign_in")
        end = monotonic() + TELLING
        for tweet in list(waits):  # read to the end: SQLite refuses a write inside a read when another one was first
            tweet.go_on(tell=monotonic() < end)
        return user

    def tweet(self, text: str, at: datetime | float | None = None, key: str | None = None) -> "Tweet":
        """Accept a tweet, to be sent now or at a time, and return it. The same key again returns the same tweet.

        Raises BadTweet when it cannot be sent as it is. When the queue is away it is accepted all the same.
        """
        if key is not None and (known := self._with_key(key, text, at)):
            return known
        now = now_ms()
        due_at = None if at is None else due_ms(at, now)
        fields = {"text": checked(text), "due_at": due_at, "key": key, "created_at": now, "job_id": queue.new_id()}
        try:
            with database.atomic():
                tweet = Tweet.create(user=self, state="queued" if due_at is None else "scheduled", **fields)
        except peewee.IntegrityError:
            if key is not None and (known := self._with_key(key, text, at)):  # the same form, sent twice at once
                return known
            raise
        alarm.wake(tweet.id, tweet.job_id, due_at)
        return tweet

    def _with_key(self, key: str, text: str, at: datetime | float | None) -> "Tweet | None":
        tweet = Tweet.get_or_none(Tweet.user == self, Tweet.key == checked_key(key))
        if tweet and not (tweet.text == text and is_at(tweet.due_at, at)):
            raise BadTweet("key_reused", f"The key {key!r} was used for another text or time: make one for each tweet.")
        if tweet and tweet.state in WAITING:  # the queue may have been away the first time
            alarm.wake(tweet.id, tweet.job_id, tweet.wakes_at)
        return tweet


class Tweet(Post):
    """A tweet on its way. Nothing outside this class writes its state."""

    user = peewee.ForeignKeyField(User, backref="tweets", on_delete="CASCADE")

    class Meta:
        """One tweet a key and person; the lists of a person, and what is unfinished, without reading all rows."""

        indexes = ((("user", "key"), True), (("user", "state"), False), (("state", "due_at"), False))

    @classmethod
    def for_job(cls, job_id: str, user: User) -> "Tweet | None":
        """Return the person's tweet with this job id, the present one or one from before it was sent again."""
        old = OldJob.select(OldJob.tweet).where(OldJob.job_id == job_id)
        its = cls.select(cls, User).join(User).where((cls.job_id == job_id) | cls.id.in_(old))
        return its.where(cls.user == user).first()  # type: ignore[no-any-return]  # peewee has no types

    def url(self) -> str | None:
        """Where people see it on X; None until X took it."""
        return f"{self.x_site_url}/{self.user.handle}/status/{self.x_tweet_id}" if self.x_tweet_id else None

    # What a person does.

    def cancel(self) -> str:
        """Call it off: "cancelled", "changed" if an earlier try may have reached X, or "too late" if X may have it."""
        end = {"state": "uncertain", **columns(reason("earlier_try"))} if self.doubtful else {"state": "cancelled"}
        if self._change(WAITING, Tweet.unknowns == self.unknowns, **columns(None) | {"next_attempt_at": None} | end):
            alarm.stop(self.job_id)
            return "changed" if self.state == "uncertain" else "cancelled"
        if self.state in WAITING:  # an attempt began and ended since it was read
            return self.cancel()
        return "cancelled" if self.state == "cancelled" else "too late"

    def edit(self, text: str | None = None, at: datetime | float | None = None) -> str:
        """Change text or time while it waits: "changed", or "too late". Raises BadTweet as `User.tweet` does."""
        changes: dict[str, Any] = {} if text is None else {"text": checked(text)}
        if at is not None:
            changes |= {"due_at": due_ms(at, now_ms()), "state": "scheduled", "next_attempt_at": None, **columns(None)}
        if not self._change(WAITING, **changes or {"text": Tweet.text}):
            return "too late"
        if at is not None:
            alarm.move(self.id, self.job_id, self.wakes_at or now_ms())
        return "changed"

    def send_now(self) -> str:
        """Send one that waits for its time at once: "changed", or "too late"."""
        if not self._change(("scheduled",), state="queued", due_at=None, next_attempt_at=now_ms()):
            return "too late"
        alarm.move(self.id, self.job_id, now_ms())
        return "changed"

    def confirm(self) -> str:
        """A person found an uncertain one on X: "changed", or "too late"."""
        there = {"state": "sent", "sent_at": self.sending_at, "next_attempt_at": None, **columns(None)}
        return "changed" if self._change(("uncertain",), **there) else "too late"

    def send_again(self) -> "Tweet":
        """Send one that is over once more, under a new job id. One that is on its way already is left alone."""
        fresh = {"due_at": None, "next_attempt_at": now_ms(), "unknowns": 0, **columns(None)}
        if self._change_job(OVER, state="queued", **fresh):
            alarm.wake(self.id, self.job_id, None)
        elif self.state in ("sent", "cancelled"):
            raise BadTweet("too_late", f"This tweet is {self.state}: write a new one instead.")
        return self

    # What a worker does.

    def start_sending(self) -> bool:
        """Write down that X is about to get this text, now. False if the row is no longer what was signed."""
        as_read = (Tweet.text == self.text, Tweet.job_id == self.job_id, Tweet.attempts == self.attempts)
        due = Tweet.due_at.is_null() | (Tweet.due_at <= now_ms())
        began = {"attempts": self.attempts + 1, "sending_at": now_ms(), "absent_from": None, "next_attempt_at": None}
        return self._change(WAITING, *as_read, due, state="sending", **began)

    def record_sent(self, x_tweet_id: str, *, seen: bool = False) -> None:
        """X has it: a fact, so nothing is compared. Told by X it beats what was `seen`: that may be another row's."""
        for twin in [] if seen else list(Tweet.select().where(Tweet.x_tweet_id == x_tweet_id, Tweet.id != self.id)):
            twin._change((), state="uncertain", x_tweet_id=None, **columns(reason("no_answer", "it took one like it")))
        self._change((), state="sent", x_tweet_id=x_tweet_id, sent_at=now_ms(), next_attempt_at=None, **columns(None))

    def record_waiting(self, why: Reason, next_attempt_at: int | None = None) -> bool:
        """X has nothing of it, and it will be tried again. Whoever took this attempt over may have counted it."""
        counted = (Tweet.state == "sending") & Tweet.absent_from.is_null(False)
        less = {
            "unknowns": Tweet.unknowns - peewee.Case(None, [(counted, 1)], 0),
            "unknown_at": peewee.fn.NULLIF(Tweet.unknown_at, peewee.Case(None, [(counted, Tweet.sending_at)])),
        }
        return self._settle("queued", why, next_attempt_at=next_attempt_at, **less)

    def record_unknown(self, absent_from: int) -> bool:
        """X may have it or not, which is looked for; what is not on the timeline from then on X does not have.

        An attempt counts once, whoever says so: who took it over, and who comes back from it and knows an earlier end.
        """
        unknowns = Tweet.unknowns + peewee.Case(None, [(Tweet.absent_from.is_null(), 1)], 0)
        earlier = peewee.Case(None, [(Tweet.absent_from < absent_from, Tweet.absent_from)], absent_from)
        began = {"unknown_at": peewee.fn.COALESCE(Tweet.unknown_at, Tweet.sending_at), **columns(reason("checking"))}
        return self._change(("sending",), self._ours(), unknowns=unknowns, absent_from=earlier, **began)

    def record_look(self, next_look_at: int) -> bool:
        """It was looked for, and will be again."""
        return self._change(("sending",), self._ours(), next_attempt_at=next_look_at)

    def record_absent(self) -> bool:
        """X does not have it: it may be sent once more."""
        return self._settle("queued", reason("sent_once_more"), next_attempt_at=now_ms())

    def record_missed(self) -> bool:
        """Its time was too long ago when its turn came."""
        return self.record_failed(reason("missed"), "missed")

    def go_on(self, *, tell: bool = True) -> None:
        """The sign-in that it waited for is there."""
        waits = Tweet.reason_code == "waits_for_sign_in"
        if self._change(WAITING, waits, next_attempt_at=now_ms(), **columns(None)) and tell:
            alarm.move(self.id, self.job_id, self.wakes_at or now_ms())

    def renew_job(self) -> bool:
        """Its job will not run again, and it is not at an end: give it another one."""
        if renewed := self._change_job((self.state,), state=self.state):
            alarm.wake(self.id, self.job_id, self.wakes_at)
        return renewed

    def record_failed(self, why: Reason, state: str = "failed") -> bool:
        """X has nothing of it, and will not. Uncertain before it was sent again, it still is: nobody looked since."""
        if self.doubtful:
            return self.record_uncertain(reason("earlier_try"))
        return self._settle(state, why)

    def record_uncertain(self, why: Reason) -> bool:
        """X may have it or not; it is not sent again unless a person says so."""
        return self._settle("uncertain", why)

    def _settle(self, state: str, why: Reason, **changes: Any) -> bool:
        """End this attempt. A later one, a new job's first, a row at an end, and another time are none of ours."""
        same_time = (Tweet.due_at == self.due_at) & (Tweet.next_attempt_at == self.next_attempt_at)
        changes = {"next_attempt_at": None} | changes | columns(why)
        ours = self._ours() & ((Tweet.state == "sending") | same_time)
        return self._change(("sending", *WAITING), ours, state=state, **changes)

    def _ours(self) -> Any:
        return (Tweet.attempts == self.attempts) & (Tweet.job_id == self.job_id)

    def _change_job(self, states: tuple[str, ...], **changes: Any) -> bool:
        """Change the row and its job; the old id goes on to answer."""
        old = self.job_id
        with database.atomic():
            if changed := self._change(states, Tweet.job_id == old, job_id=queue.new_id(), **changes):
                OldJob.create(job_id=old, tweet=self)
        return changed

    def _change(self, states: tuple[str, ...], *conditions: Any, **changes: Any) -> bool:
        """Change the row if in one of these states (none: any). Read it again anyhow, but for which attempt is ours."""
        conditions += (Tweet.state.in_(states),) if states else ()
        changed = Tweet.update(**changes).where(Tweet.id == self.id, *conditions).execute()
        ours = {name: (changed and changes.get(name)) or getattr(self, name) for name in ("attempts", "job_id")}
        self.__data__.update(Tweet.get_by_id(self.id).__data__ | ours)
        if changed:
            log.info(self.line(self.state, why=self.reason_code, x_tweet=self.x_tweet_id))
        return bool(changed)


class OldJob(Row):
    """A job id from before its tweet was sent again: it still answers."""

    job_id = peewee.CharField(64, primary_key=True)
    tweet = peewee.ForeignKeyField(Tweet, on_delete="CASCADE")
