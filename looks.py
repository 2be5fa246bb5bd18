"""GET /status for many pages at once: those who ask while others are answered are answered together.

A page asks every few seconds, and many are open. A look of its own costs a thread, a connection to the database and
three reads; a hundred looks that are taken together cost little more than one.
"""

import asyncio
from collections.abc import Iterable, Sequence
from queue import Job
from typing import Any
from weakref import WeakKeyDictionary

from starlette.concurrency import run_in_threadpool

import cards
import models
from models import OldJob, Tweet, User
from sign_in import JOB_ID, nothing_of_yours, people

MOST = 200  # looks taken together
Asked = tuple[str | None, str]  # the session's id, and a job's
Told = dict[str, Any]
UNFINISHED = (*models.WAITING, "sending")  # what the queue may know more of

_takers: WeakKeyDictionary[asyncio.AbstractEventLoop, "Taker"] = WeakKeyDictionary()


async def look(session: str | None, job_id: str) -> Told:
    """Return what is known now. Raises Trouble 404 unless it is a tweet of the person whose session this is."""
    loop = asyncio.get_running_loop()
    return await _takers.setdefault(loop, Taker()).ask((session, job_id))


class Taker:
    """Takes looks, one batch after the other; what is asked meanwhile is the next one."""

    def __init__(self) -> None:
        self.asked: list[tuple[Asked, asyncio.Future[Told]]] = []
        self.task: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Told:
        """Return the answer when it is there."""
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self.asked.append((asked, answer))
        if self.task is None:
            self.task = asyncio.create_task(self.take())
        return await answer

    async def take(self) -> None:
        """Answer all who ask, until nobody does."""
        try:
            while self.asked:
                batch, self.asked = self.asked[:MOST], self.asked[MOST:]
                self.answer(batch, await self.found([asked for asked, _ in batch]))
        finally:
            self.task = None

    async def found(self, asked: Sequence[Asked]) -> Sequence[Told | Exception]:
        """What one thread finds out for all of them, or the same trouble for each."""
        try:
            return await run_in_threadpool(look_at, asked)
        except Exception as error:
            return [error] * len(asked)

    def answer(self, batch: Sequence[tuple[Asked, asyncio.Future[Told]]], found: Sequence[Told | Exception]) -> None:
        """Give each what was found for it."""
        for (_, answer), one in zip(batch, found, strict=True):
            if answer.done():  # who asked is gone
                continue
            if isinstance(one, Exception):
                answer.set_exception(one)
            else:
                answer.set_result(one)


def look_at(asked: Sequence[Asked]) -> list[Told | Exception]:
    """What is known now of each, or why it is not told. One that makes trouble is none for the others."""
    with models.database.connection_context():
        known = people({session for session, _ in asked if session})
        tweets = tweets_of({job_id for _, job_id in asked if JOB_ID.fullmatch(job_id)} if known else ())
        jobs = cards.jobs_of(tweet for tweet in tweets.values() if tweet.state in UNFINISHED)
        return [_told(known.get(session or ""), tweets.get(job_id), job_id, jobs) for session, job_id in asked]


def _told(user: User | None, tweet: Tweet | None, job_id: str, jobs: dict[str, Job]) -> Told | Exception:
    if not (user and tweet and tweet.__data__["user"] == user.id):
        return nothing_of_yours(user, job_id)
    tweet.user = user
    try:
        return cards.facts(tweet, jobs.get(tweet.job_id))
    except Exception as error:
        return error


def tweets_of(job_ids: Iterable[str]) -> dict[str, Tweet]:
    """Everybody's tweets with these job ids, the present ones and those from before they were sent again."""
    ids = set(job_ids)
    found = {tweet.job_id: tweet for tweet in Tweet.select().where(Tweet.job_id.in_(ids))} if ids else {}
    if ids := ids - found.keys():
        found |= {
            old.job_id: old.tweet for old in OldJob.select(OldJob, Tweet).join(Tweet).where(OldJob.job_id.in_(ids))
        }
    return found
