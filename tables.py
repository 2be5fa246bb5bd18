"""What is stored of a person and of a tweet: columns and what can be read from them. What changes them is in models.py.

Times are milliseconds since 1970.
"""

from queue.hands import event
from typing import Any

import peewee

from reasons import LONGEST_KEY, Reason
from store import Row, unlock

ZERO: list[peewee.Node] = [peewee.SQL("DEFAULT 0")]  # for columns that tables of an older version lack


class App(Row):
    """One row: whether X lets this app post at all."""

    id = peewee.AutoField()
    held_until = peewee.BigIntegerField(default=0, constraints=ZERO)


class Person(Row):
    """Somebody who signed in with X."""

    id = peewee.AutoField()
    x_id = peewee.CharField(32, unique=True)
    handle = peewee.CharField(64)
    token = peewee.TextField()  # encrypted, as is the secret
    secret = peewee.TextField()
    signed_in_at = peewee.BigIntegerField()
    held_until = peewee.BigIntegerField(default=0, constraints=ZERO)  # X takes nothing of theirs before
    held_for = peewee.CharField(32, null=True)  # code of the reason

    def credentials(self) -> tuple[str, str]:
        """Return the access token and its secret. Raises Unreadable when the key they were stored under is gone."""
        return unlock(self.token), unlock(self.secret)


class Session(Row):
    """A browser in which somebody is signed in. The cookie names it; without its row the cookie is worth nothing."""

    id = peewee.CharField(64, primary_key=True)
    x_id = peewee.CharField(32)
    created_at = peewee.BigIntegerField(index=True)


class Post(Row):
    """A tweet on its way."""

    x_site_url = ""  # set by models.connect: the address that links begin with

    id = peewee.AutoField()
    text = peewee.TextField()
    state = peewee.CharField(16)
    job_id = peewee.CharField(64, unique=True)  # nobody can guess it
    key = peewee.CharField(LONGEST_KEY, null=True)
    due_at = peewee.BigIntegerField(null=True)  # None: at once
    created_at = peewee.BigIntegerField()
    sent_at = peewee.BigIntegerField(null=True)
    attempts = peewee.IntegerField(default=0)  # how often it went to X; a worker's answer counts for its own only
    sending_at = peewee.BigIntegerField(null=True)  # when the last of them began
    unknowns = peewee.IntegerField(default=0, constraints=ZERO)  # how many of them nobody knows the end of
    unknown_at = peewee.BigIntegerField(null=True)  # when the first of those began
    absent_from = peewee.BigIntegerField(null=True)  # not on the timeline after this: X does not have it
    x_tweet_id = peewee.CharField(32, null=True, unique=True)  # two equal tweets are two on X, or one is not there
    next_attempt_at = peewee.BigIntegerField(null=True)  # not before; None: as soon as the queue says
    reason_code = peewee.CharField(32, null=True)
    reason_message = peewee.TextField(null=True)
    reason_action = peewee.CharField(32, null=True)

    @property
    def reason(self) -> Reason | None:
        """Why it is not out."""
        return Reason(self.reason_code, self.reason_message or "", self.reason_action) if self.reason_code else None

    def line(self, verb: str, **facts: Any) -> str:
        """Return a line for the log about this tweet. It has no words of the person, and no token."""
        return event(verb, tweet=self.id, job=self.job_id, attempt=self.attempts, **facts)

    @property
    def doubtful(self) -> bool:
        """Whether an earlier try may have reached X: it was uncertain, was sent again, and nobody looked since."""
        return bool(self.unknown_at and not self.unknowns)

    @property
    def since(self) -> int:
        """Since when it should be out: from when a person or X let it go, or when it was last tried."""
        return max(self.wakes_at or self.created_at, self.sending_at or 0)

    @property
    def wakes_at(self) -> int | None:
        """When its job has something to do: not before it is due, nor before X wants to hear from us again."""
        return max((ms for ms in (self.due_at, self.next_attempt_at) if ms), default=None)
