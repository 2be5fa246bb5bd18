"""The sweep: every half minute one worker looks for tweets that should be on their way and that nothing would wake.

The queue was away when they were accepted, or has forgotten their jobs (flushed, restored from an older copy), or their
jobs are over and they are not, or sleep for longer than the row says, or lie nowhere.
"""

import logging
import queue
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from queue import report
from queue.backoff import delay
from queue.hands import event
from queue.jobs import connected
from typing import Any

import peewee

import alarm
import models
import tweet_status
from models import Tweet, User
from times import FOR_EVER, now_ms

PERIOD = 30.0  # seconds
AHEAD = 120_000  # ms; what is due later is looked at later
PAGE = 200
TOO_LATE = 1_000  # ms that a job may be due after its row
STRANDED = 600_000  # ms; a tweet that should have been out for so long may have a job that nobody will take

log = logging.getLogger("tweetnow.worker")


@queue.task(retries=0, timeout=600)
def sweep() -> dict[str, int]:
    """Mend what should be on its way; return how many of each kind. What is away now is met by the next sweep."""
    mended: Counter[str] = Counter()
    try:
        with closing(models.database):
            for tweet in unfinished(now_ms() + AHEAD):
                mended[mend(tweet)] += 1
    except (peewee.PeeweeException, queue.QueueError) as error:
        log.warning(event("sweep", why=f"ends early: {error}"))
    found = {what: count for what, count in mended.items() if what != "well"}
    if found:
        log.warning(event("sweep", **found))
    return found


def unfinished(horizon: int) -> Iterator[Tweet]:
    """Read in pages what is not at an end, nor waits for a time after the horizon."""
    due, again = (field.is_null() | (field <= horizon) for field in (Tweet.due_at, Tweet.next_attempt_at))
    mine = Tweet.state.in_((*models.WAITING, "sending")) & due & (again | signed_in())
    rows, last = Tweet.select(Tweet, User).join(User).where(mine).order_by(Tweet.id), 0
    while page := list(rows.where(Tweet.id > last).limit(PAGE)):
        yield from page
        last = page[-1].id


def signed_in() -> Any:
    """What waits for a sign-in that was there already when this was written down."""
    waits = Tweet.reason_code == "waits_for_sign_in"
    return waits & (User.held_for.is_null() | (User.held_for != "waits_for_sign_in"))


def mend(tweet: Tweet) -> str:
    """Wake it, end it or move it, if its job will not; return what was done, or "well"."""
    if tweet.next_attempt_at == FOR_EVER:  # see `signed_in`
        tweet.go_on()
        return "moved"
    job = known(tweet.job_id)
    if job is None:
        alarm.wake(tweet.id, tweet.job_id, tweet.wakes_at)
        return "woken"
    if job.state in tweet_status.JOB_ENDS:
        return "ended" if tweet_status.end(tweet, job) else "well"
    if tweet.since < now_ms() - STRANDED and not lies_where_it_waits(job):
        return "renewed" if tweet.renew_job() else "well"
    wakes_at = max(tweet.wakes_at or 0, now_ms())
    if job.state == "scheduled" and (job.due_at or 0) > wakes_at + TOO_LATE + put_off(job):
        alarm.move(tweet.id, tweet.job_id, wakes_at)  # the row was changed while the queue was away, or its job ran
        return "moved"
    return "well"


def known(job_id: str) -> queue.Job | None:
    """What the queue knows of a job. What was put under its key by hand is none: enqueue moves it aside."""
    try:
        return queue.status(job_id)
    except queue.Unavailable:
        raise
    except queue.QueueError:
        return None


def lies_where_it_waits(job: queue.Job) -> bool:
    """Whether a job that says that it waits does. Somebody may have removed its list, or its place on the schedule."""
    return job.state not in ("pending", "scheduled") or report.lies_there(connected(), job)


def put_off(job: queue.Job) -> float:
    """For how many ms at most the queue itself puts off a job that failed or crashed so often."""
    tries = job.failures + job.crashes
    return delay(tries, 1.0) * 1000 if tries else 0
