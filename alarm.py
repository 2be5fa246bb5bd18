"""A tweet's job in the queue: the alarm clock that wakes a worker. What is done then, the row decides.

The queue is told once the row is committed, and never before: a worker must find what it is woken for. The queue may be
away. That is logged and no error, since the row is what counts.
"""

import logging
import queue
from collections.abc import Callable
from queue.hands import event
from queue.jobs import connected
from time import monotonic
from typing import TypeVar
from weakref import WeakKeyDictionary

import settings as configuration
from settings import Settings
from store import database

SILENT = 0.5  # seconds after which a queue that does not answer is no longer taken for slow
PAUSE = 2.0  # seconds for which nobody waits for such a queue again

Answer = TypeVar("Answer")
_asked_again: WeakKeyDictionary[queue.JobQueue, float] = WeakKeyDictionary()  # the silent one -> when (monotonic)

log = logging.getLogger("tweetnow.models")


def connect(settings: Settings) -> None:
    """Choose the queue, for a program at its start. Exits with one line when redis-py cannot use REDIS_URL."""
    try:
        queue.connect(settings.redis_url, namespace=settings.queue_namespace, **settings.redis_options)
    except queue.BadOption:
        configuration.refuse("REDIS_URL", settings.redis_url)


def ask(call: Callable[[], Answer]) -> Answer:
    """Ask the queue. A silent one makes one caller wait in two seconds; the others get Unavailable at once.

    Raises QueueError as the call does.
    """
    jobs, began = connected(), monotonic()
    again = _asked_again.get(jobs)
    if again and began < again:
        raise queue.Unavailable(f"Redis was silent, and is asked again within {PAUSE:g} s")
    if again:
        _asked_again[jobs] = began + PAUSE
    try:
        answer = call()
    except queue.Unavailable:
        if monotonic() - began > SILENT:
            _asked_again[jobs] = monotonic() + PAUSE
        raise
    _asked_again.pop(jobs, None)
    return answer


def wake(tweet_id: int, job_id: str, at_ms: int | None) -> None:
    """Have the job run at this time, None is now. The same id again changes nothing, so this can be repeated."""
    job = queue.named("post_tweet", id=job_id)
    log.info(event("wake", tweet=tweet_id, job=job_id, at=at_ms))
    if at_ms is None:
        _tell(job_id, lambda: queue.enqueue(job, tweet_id))
    else:
        _tell(job_id, lambda: queue.enqueue_at(at_ms / 1000, job, tweet_id))


def move(tweet_id: int, job_id: str, at_ms: int) -> None:
    """Have the job run at another time. One that no longer waits for its time looks at the row, and goes by that."""

    def reschedule() -> None:
        if queue.reschedule(job_id, at_ms / 1000) == "unknown":
            wake(tweet_id, job_id, at_ms)

    _tell(job_id, reschedule)


def stop(job_id: str) -> None:
    """Call the job off. If it runs all the same, the row says that there is nothing to do."""
    _tell(job_id, lambda: queue.cancel(job_id))


def _tell(job_id: str, call: Callable[[], object]) -> None:
    def after_commit() -> None:  # what it raises would look like a failed commit
        try:
            ask(call)
        except queue.QueueError as error:
            log.warning(event("untold", job=job_id, why=f"the tweet is stored, but the queue was not told: {error}"))

    database.after_commit(after_commit)
