"""`python worker.py` works: it runs the one task of this app, which brings a tweet to X once, or says why not.

Nothing is sent twice: where nobody knows whether X took a tweet it is looked for first (clearing.py).
"""

import os
import queue
import sys

if not hasattr(queue, "__path__"):  # the standard library's came first: lend it our names
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    queue.__path__ = [os.path.join(sys.path[0], "queue")]
    import queue._names

import logging
import random
import time
from contextlib import closing, suppress

import peewee

import alarm
import clearing
import holds
import models
import settings as configuration
import store
import sweep
import x_api
from reasons import reason
from settings import Settings
from times import FOR_EVER, now_ms

SPREAD = 10.0  # seconds over which those come back that waited for the same thing
RECORD_WITHIN, RECORD_PAUSE = 5.0, 0.5  # seconds for a database that is away when a tweet was sent

log = logging.getLogger("tweetnow.worker")
settings: Settings


@queue.task(retries=8, timeout=60)
def post_tweet(tweet_id: int) -> str:
    """Do what the row says: nothing at an end or for an old job, later when it is due later, else send it."""
    with closing(models.database):  # it connects when it is used, and anew in `record_sent`
        tweet = models.Tweet.get_or_none(models.Tweet.id == tweet_id)
        job = queue.current_job()
        if tweet is None or (job and job.id != tweet.job_id):
            return "not its job"
        if tweet.state == "sending":  # nobody knows what became of it
            clearing.clear_up(settings, tweet)
        if tweet.state in models.WAITING:
            wait = (tweet.wakes_at or 0) / 1000 - time.time()
            if wait > 0:
                raise queue.Snooze(wait)
            if not too_late(tweet):
                publish(tweet, wait_for_hold(tweet))
        if tweet.state == "sending":
            clearing.look_again(tweet, now_ms() + clearing.SOONEST)
        return tweet.state


def too_late(tweet: models.Tweet) -> bool:
    """Whether nobody has tried for too long to send what should be out. Then the person decides."""
    return tweet.since < now_ms() - settings.missed_after_seconds * 1000 and tweet.record_missed()


def wait_for_hold(tweet: models.Tweet) -> int:
    """Put a tweet off while X takes nothing of this person or app; not all come back at once. Returns as `held`."""
    why, until = holds.held(tweet.user)
    if why:
        until = min(until + int(random.random() * SPREAD * 1000), FOR_EVER)
        unchanged = tweet.record_waiting(why, until)  # else it is read again
        raise queue.Snooze(max(until / 1000 - time.time(), 0) if unchanged else 0)
    return until


def publish(tweet: models.Tweet, trial: int) -> None:
    """Sign, write down that X is about to get it, send at once, and write down what came back."""
    try:
        signed = x_api.prepare_tweet(settings, tweet.user.credentials(), tweet.text)
    except models.Unreadable:
        holds.hold(tweet.user, "waits_for_sign_in", FOR_EVER)
        tweet.record_failed(reason("keys_changed"))
        return
    if not tweet.start_sending():
        raise queue.Snooze(0)  # changed since it was read: read it again
    try:
        x_tweet_id = x_api.send(signed)
    except x_api.NotSent as error:
        not_sent(tweet, error)
    except x_api.Refused as error:
        refused(tweet, error)
    except x_api.Unknown as error:
        log.warning(tweet.line("unknown", why=error))
        clearing.unknown(settings, tweet)
    except BaseException:  # a time limit or a defect: X may have it
        clearing.unknown(settings, tweet)
        raise
    else:
        record_sent(tweet, x_tweet_id)
        holds.took(trial)


def refused(tweet: models.Tweet, error: x_api.Refused) -> None:
    """X said no, for good. After an attempt that nobody knows the end of a duplicate may be that one: look."""
    if error.reason.code == "signed_out":
        holds.hold(tweet.user, "waits_for_sign_in", FOR_EVER)
    if error.reason.code == "duplicate" and tweet.unknown_at:
        clearing.unknown(settings, tweet)
    else:
        tweet.record_failed(error.reason)


def record_sent(tweet: models.Tweet, x_tweet_id: str) -> None:
    """Write down that X has it, trying for some seconds: what is known shall not end as uncertain."""
    log.info(tweet.line("took", x_tweet=x_tweet_id))
    end = time.monotonic() + RECORD_WITHIN
    try:
        while True:
            try:
                return tweet.record_sent(x_tweet_id)
            except peewee.PeeweeException:
                if time.monotonic() + RECORD_PAUSE > end:
                    raise
            time.sleep(RECORD_PAUSE)
            with suppress(peewee.PeeweeException):
                models.database.close()  # once broken it stays so; the next use opens another one
    except BaseException as error:
        why = f"X took it, but that could not be written down: {error}"
        log.error(tweet.line("unrecorded", x_tweet=x_tweet_id, why=why))
        raise


def not_sent(tweet: models.Tweet, error: x_api.NotSent) -> None:
    """X has nothing of it: try again when X says so, after the operator has acted, or as the queue does on failure."""
    if isinstance(error, x_api.RateLimited):
        wait = holds.rate_limit_wait(error.reset, time.time(), random.random())
        holds.hold(tweet.user, "rate_limited", int((time.time() + wait) * 1000))
        wait_for_x(tweet, error, wait)
    if isinstance(error, x_api.OutOfCredit):
        log.error(
            "X refuses this app as out of credit or over its cap. Nothing is posted until that is mended: console.x.com"
        )
        holds.hold_app(int((time.time() + holds.CREDIT_WAIT) * 1000))
        wait_for_x(tweet, error, holds.CREDIT_WAIT)
    job = queue.current_job()
    if job and job.last_attempt:
        tweet.record_failed(reason("gave_up"))
    else:
        tweet.record_waiting(error.reason)
    raise error


def wait_for_x(tweet: models.Tweet, error: x_api.NotSent, seconds: float) -> None:
    """Keep the tweet queued for so long. Uses no attempt."""
    tweet.record_waiting(error.reason, int((time.time() + seconds) * 1000))
    raise queue.Snooze(seconds)


def start(environment: Settings) -> None:
    """Connect to what the settings name. Opens nothing yet: database and Redis may be away."""
    global settings
    settings = environment
    models.connect(settings)
    alarm.connect(settings)


def main() -> None:
    """Work until SIGTERM or Ctrl-C."""
    start(configuration.load())
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s")
    try:
        models.create_tables()
    except peewee.OperationalError as error:
        sys.exit(store.away(error))
    queue.every(sweep.PERIOD, sweep.sweep)
    log.info("worker with %s threads on %s; %s", settings.worker_threads, ", ".join(settings.worker_queues), settings)
    queue.Worker(queues=settings.worker_queues, threads=settings.worker_threads).run()


if __name__ == "__main__":
    main()
