"""What X may have taken or not is looked for on the person's timeline, before anything is sent again.

Found: it is sent. Absent for long enough: X does not have it, and it goes out once more. Not allowed to look, looked in
vain for an hour, or unknown a second time: uncertain, and the person decides.
"""

import logging
import queue
import random
import time
from contextlib import suppress

import peewee

import holds
import x_api
from models import Tweet, Unreadable
from reasons import reason
from settings import Settings
from times import FOR_EVER, now_ms

SLACK = 10_000  # ms that our clock and X's may be apart, and that signing may be before sending
SOONEST = 2_000  # ms between two looks; the second comes after as long again as the first, and so on
PAUSE = 60_000  # ms, the least, until a look that failed is made again
LOOKING = 3_600_000  # ms; after that we stop

log = logging.getLogger("tweetnow.worker")


def unknown(settings: Settings, tweet: Tweet) -> None:
    """Nobody knows what became of this attempt, and its request is in nobody's hand any more."""
    tweet.record_unknown(now_ms() + settings.absent_seconds * 1000)


def clear_up(settings: Settings, tweet: Tweet) -> None:
    """Look for it. Returns when it is sent, uncertain, queued to be sent once more, or another's; else raises Snooze.

    The next look is written down before this one is made, so that however this one ends (a defect, a time limit, the
    worker's death) looks have their pauses and come to an end: each may cost money.
    """
    too_old = (tweet.sending_at or now_ms()) + settings.x_tolerance_seconds * 1000 + SLACK
    # Its worker died, or is frozen with a signed request that X takes until it is too old.
    if tweet.absent_from is None and not tweet.record_unknown(too_old):
        return  # somebody else's now
    seen_at, planned = now_ms(), tweet.next_attempt_at or 0
    if planned > seen_at or is_over(tweet, planned):
        look_again(tweet, planned)
        return
    pause = pause_of(settings, tweet)
    if not tweet.record_look(seen_at + pause):
        return
    since = (tweet.unknown_at or tweet.sending_at or tweet.created_at) - SLACK
    try:
        found = x_api.find(settings, tweet.user.credentials(), tweet.user.x_id, tweet.text, since)
    except x_api.TooMany as error:
        tweet.record_uncertain(error.reason)
    except (x_api.Refused, Unreadable) as error:
        not_allowed(tweet, error)
    except x_api.XError as error:
        log.warning(tweet.line("look", why=error))
        look_again(tweet, now_ms() + (wait_of(error) or pause))
    else:
        conclude(tweet, found, seen_at)


def not_allowed(tweet: Tweet, error: x_api.Refused | Unreadable) -> None:
    """End it: another look would be told the same. A sign-in that is gone holds the person's other tweets, too."""
    log.warning(tweet.line("look", why=f"not allowed: {error}"))
    if isinstance(error, x_api.Refused) and error.reason.code == "signed_out":
        holds.hold(tweet.user, "waits_for_sign_in", FOR_EVER)
    tweet.record_uncertain(reason("no_look"))


def wait_of(error: x_api.XError) -> int | None:
    """Return for how many ms X or its bill has us wait, as after a post; None when that is up to us."""
    if isinstance(error, x_api.RateLimited):
        return int(holds.rate_limit_wait(error.reset, time.time(), random.random()) * 1000)
    return int(holds.CREDIT_WAIT * 1000) if isinstance(error, x_api.OutOfCredit) else None


def pause_of(settings: Settings, tweet: Tweet) -> int:
    """Return for how many ms we wait after a look that fails: longer and longer, so that some sixteen fill the hour."""
    waited = now_ms() - (tweet.sending_at or tweet.created_at)
    return max(min(PAUSE, settings.absent_seconds * 1000), waited // 4)


def conclude(tweet: Tweet, found: list[str], seen_at: int) -> None:
    """Say what a look that worked means. The same words may have been sent before: that tweet is another row's."""
    absent_from = tweet.absent_from or 0
    for x_tweet_id in reversed(found):
        with suppress(peewee.IntegrityError):
            tweet.record_sent(x_tweet_id, seen=True)
            return
    if seen_at < absent_from:
        waited = seen_at - (tweet.sending_at or 0)
        look_again(tweet, min(absent_from, seen_at + max(SOONEST, waited)))
    elif tweet.unknowns > 1:
        tweet.record_uncertain(reason("no_answer", "twice"))
    else:
        tweet.record_absent()


def look_again(tweet: Tweet, at: int) -> None:
    """Put the job off until then; when that is too long after the first look that could have told, stop."""
    if is_over(tweet, at):
        tweet.record_uncertain(reason("no_look"))
        return
    tweet.record_look(at)
    raise queue.Snooze(max(at - now_ms(), 0) / 1000)


def is_over(tweet: Tweet, at: int) -> bool:
    """Whether a look planned for then is one too many. One that is late, since nobody worked, is not."""
    return bool(tweet.absent_from and at > tweet.absent_from + LOOKING)
