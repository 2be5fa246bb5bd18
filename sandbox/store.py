"""What must survive a restart: tokens, nonces and tweets, in one SQLite file (or in memory). Knows nothing of HTTP.

Everything runs on one thread, the event loop's, so a method that reads and then writes needs no lock.
"""

import secrets
import sqlite3
import string
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.accounts import BY_ID, Account

EPOCH = 1288834974657  # X's: the ids of tweets count milliseconds from here
LETTERS = string.ascii_letters + string.digits

SCHEMA = """
create table if not exists request_tokens (
    token text primary key, secret text, callback text, level text, account_id text, verifier text, created_at integer);
create table if not exists access_tokens (token text primary key, secret text, account_id text, level text);
create table if not exists nonces (nonce text primary key, timestamp integer);
create table if not exists tweets (id integer primary key, account_id text, text text, created_at integer);
create index if not exists tweets_of on tweets (account_id, id);
"""


@dataclass(frozen=True, slots=True)
class RequestToken:
    """The first of the two tokens of a sign-in. It has an account and a verifier once somebody said yes."""

    token: str
    secret: str
    callback: str
    level: str
    account_id: str | None
    verifier: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What an application holds for a person. `level` is what it may do: read or read-write."""

    token: str
    secret: str
    account_id: str
    level: str

    @property
    def account(self) -> Account:
        """Whose token it is."""
        return BY_ID[self.account_id]


@dataclass(frozen=True, slots=True)
class Tweet:
    """A published tweet. `created_at` is in milliseconds."""

    id: int
    account_id: str
    text: str
    created_at: int

    @property
    def account(self) -> Account:
        """Who wrote it."""
        return BY_ID[self.account_id]


def random_text(length: int) -> str:
    """Letters and digits that nobody can guess."""
    return "".join(secrets.choice(LETTERS) for _ in range(length))


class Store:
    """The tables. Without a folder they live in memory and end with the process."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        path = str(folder / "sandbox.db") if folder else ":memory:"
        # Made by one thread (a test's) and used by another (its server's), never by two at once.
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.executescript("pragma journal_mode=wal; pragma synchronous=off;" + SCHEMA)

    def __del__(self) -> None:
        """Close the file with its owner, whoever that was."""
        with suppress(AttributeError):  # opening it may have failed
            self.db.close()

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement."""
        return self.db.execute(sql, values).fetchall()

    def first_use(self, nonce: str, timestamp: int, *, keep: int) -> bool:
        """Remember a nonce for `keep` seconds. False if it was here before."""
        self.rows("delete from nonces where timestamp < ?", int(time.time()) - keep)
        return bool(self.rows("insert or ignore into nonces values (?, ?) returning 1", nonce, timestamp))

    def add_request_token(self, token: str, secret: str, *, callback: str, level: str) -> None:
        """Keep the token of a sign-in that begins."""
        now = int(time.time())
        self.rows("insert into request_tokens values (?, ?, ?, ?, null, null, ?)", token, secret, callback, level, now)

    def request_token(self, token: str) -> RequestToken | None:
        """Find the token of a sign-in that is not over."""
        found = self.rows("select * from request_tokens where token = ?", token)
        return RequestToken(*found[0]) if found else None

    def approve(self, token: str, account: Account) -> str:
        """The person said yes: return the verifier that proves it."""
        verifier = random_text(32)
        self.rows("update request_tokens set account_id=?, verifier=? where token=?", account.id, verifier, token)
        return verifier

    def drop_request_token(self, token: str) -> None:
        """The sign-in is over: used or refused."""
        self.rows("delete from request_tokens where token = ?", token)

    def add_access_token(self, account_id: str, secret: str, level: str) -> AccessToken:
        """Give an application access to an account, in X's form: the user's id, a hyphen, chance."""
        token = AccessToken(f"{account_id}-{random_text(40)}", secret, account_id, level)
        self.rows("insert into access_tokens values (?, ?, ?, ?)", token.token, secret, account_id, level)
        return token

    def access_token(self, token: str) -> AccessToken | None:
        """Find a token that was not revoked."""
        found = self.rows("select * from access_tokens where token = ?", token)
        return AccessToken(*found[0]) if found else None

    def revoke(self, *, token: str | None = None, account_id: str | None = None) -> int:
        """End one token, or all of an account. Return how many ended."""
        sql = "delete from access_tokens where token = ? or account_id = ? returning 1"
        return len(self.rows(sql, token, account_id))

    def add_tweet(self, account: Account, text: str) -> Tweet:
        """Publish. Ids are X's snowflakes: they hold the time and only grow."""
        now = time.time_ns() // 1_000_000
        last = self.rows("select max(id) from tweets")[0][0] or 0
        tweet = Tweet(max((now - EPOCH) << 22, last + 1), account.id, text, now)
        self.rows("insert into tweets values (?, ?, ?, ?)", tweet.id, account.id, text, now)
        return tweet

    def tweet(self, tweet_id: int) -> Tweet | None:
        """Find a tweet by its id."""
        found = self.rows("select * from tweets where id = ?", tweet_id)
        return Tweet(*found[0]) if found else None

    def tweets(
        self, *, account_id: str | None = None, above: int = 0, below: int = 2**63 - 1, limit: int
    ) -> list[Tweet]:
        """Tweets with ids between the two, newest first, of one account or of all."""
        sql = "select * from tweets where id > ? and id < ? and account_id = ifnull(?, account_id)"
        rows = self.rows(sql + " order by id desc limit ?", above, below, account_id, limit)
        return [Tweet(*row) for row in rows]

    def said(self, account: Account, text: str, *, since: int) -> bool:
        """Tell whether the account published this very text since then (milliseconds)."""
        sql = "select 1 from tweets where account_id = ? and text = ? and created_at >= ? limit 1"
        return bool(self.rows(sql, account.id, text, since))

    def delete_tweet(self, tweet_id: int) -> None:
        """Take a tweet away."""
        self.rows("delete from tweets where id = ?", tweet_id)
