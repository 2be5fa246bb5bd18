"""GET /status for many pages at once: those who ask while others are answered are answered together.

A page asks every few seconds, and many are open. A look of its own costs a thread, a connection to the database and
three reads; a hundred looks that are taken together cost little more than one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from queue import Job
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import peewee

import cards
import models
from models import OldJob, Tweet, User
from sign_in import JOB_ID, nothing_of_yours, people

MOST = 200  # looks taken together
PATIENCE = 10.0  # seconds that one waits
RENEWED = 60.0  # seconds that a connection is used
LINGER = 0.05  # seconds that the thread and its connection wait for the next one: opening them costs more than a look
Asked = tuple[str | None, str]  # the session's id, and a job's
Told = dict[str, Any]
Batch = list[tuple[Asked, "asyncio.Future[Told]"]]
UNFINISHED = (*models.WAITING, "sending")  # what the queue may know more of

_takers: WeakKeyDictionary[asyncio.AbstractEventLoop, "Taker"] = WeakKeyDictionary()


async def look(session: str | None, job_id: str) -> Told:
    """Return what is known now. Raises Trouble 404 unless it is a tweet of the person whose session this is, and
    peewee.OperationalError when the database is away or silent."""
    loop = asyncio.get_running_loop()
    taker = _takers.setdefault(loop, Taker())
    try:
        return await asyncio.wait_for(taker.ask((session, job_id), loop), PATIENCE)
    except TimeoutError:
        if _takers.get(loop) is taker:  # its connection is silent: the next ones get another
            _takers[loop] = Taker()
        raise peewee.OperationalError(f"no answer within {PATIENCE:g} s") from None


class Taker:
    """Takes looks on one thread, one batch after the other; what is asked meanwhile is the next one."""

    def __init__(self) -> None:
        self.asked: deque[tuple[Asked, asyncio.Future[Told]]] = deque()
        self.some = threading.Event()
        self.busy = False

    async def ask(self, asked: Asked, loop: asyncio.AbstractEventLoop) -> Told:
        """Return the answer when it is there."""
        answer: asyncio.Future[Told] = loop.create_future()
        self.asked.append((asked, answer))
        if len(self.asked) == 1:  # soon, not now: who asks at the same moment is in the first batch too
            loop.call_soon(self.some.set)
        if not self.busy:
            self.busy = True
            loop.call_soon(self.begin, loop)
        return await answer

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a thread answer, if somebody asks."""
        self.busy = bool(self.asked)
        if self.busy:
            loop.run_in_executor(None, self.take, loop)

    def take(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer all who ask, over one connection to the database, until nobody does. Not on the loop's thread."""
        batch: Batch = []
        try:
            with models.database.connection_context():
                end = monotonic() + RENEWED
                while monotonic() < end and self.some.wait(LINGER):
                    if batch := self.next_batch():
                        loop.call_soon_threadsafe(tell, batch, look_at([asked for asked, _ in batch]))
        except Exception as error:
            batch = batch or self.next_batch()
            loop.call_soon_threadsafe(tell, batch, [error] * len(batch))
        finally:
            loop.call_soon_threadsafe(self.begin, loop)  # for who asked after the last look

    def next_batch(self) -> Batch:
        """Those who have waited longest."""
        self.some.clear()
        batch = [self.asked.popleft() for _ in range(min(len(self.asked), MOST))]
        if self.asked:
            self.some.set()
        return batch


def tell(batch: Batch, found: Sequence[Told | Exception]) -> None:
    """Give each what was found for it."""
    for (_, waiting), one in zip(batch, found, strict=True):
        if waiting.done():  # who asked is gone
            continue
        if isinstance(one, Exception):
            waiting.set_exception(one)
        else:
            waiting.set_result(one)


def look_at(asked: Sequence[Asked]) -> list[Told | Exception]:
    """What is known now of each, or why it is not told. One that makes trouble is none for the others."""
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
