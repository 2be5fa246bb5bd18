"""What X may have taken or not is looked for on the person's timeline, before anything is sent again.

Found: it is sent. Absent for long enough: X does not have it, and it goes out once more. Not allowed to look, looked in
vain for an hour, or unknown a second time: uncertain, and the person decides.
"""

import logging
import queue

import x_api
from models import Tweet, Unreadable
from reasons import reason
from settings import Settings
from times import now_ms

SLACK = 10_000  # ms that our clock and X's may be apart, and that signing may be before sending
SOONEST = 2_000  # ms between two looks; the second comes after as long again as the first, and so on
PAUSE = 60_000  # ms until a look that failed is made again
LOOKING = 3_600_000  # ms; after that we stop

log = logging.getLogger("tweetnow.worker")


def unknown(settings: Settings, tweet: Tweet) -> None:
    """Nobody knows what became of this attempt, and its request is in nobody's hand any more."""
    tweet.record_unknown(now_ms() + settings.absent_seconds * 1000)


def clear_up(settings: Settings, tweet: Tweet) -> None:
    """Look for it. Returns when it is sent, uncertain, or queued to be sent once more; else raises Snooze."""
    began = tweet.sending_at or tweet.created_at
    if (
        tweet.absent_from is None
    ):  # its worker died, or is frozen with a signed request that X takes until it is too old
        tweet.record_unknown((tweet.sending_at or now_ms()) + settings.x_tolerance_seconds * 1000 + SLACK)
    if tweet.next_attempt_at and tweet.next_attempt_at > now_ms():
        look_again(tweet, tweet.next_attempt_at)
    seen_at = now_ms()
    since = (tweet.unknown_at or began) - SLACK
    try:
        found = x_api.find(settings, tweet.user.credentials(), tweet.user.x_id, tweet.text, since)
    except (x_api.Refused, Unreadable) as error:
        log.warning(tweet.line("look", why=f"not allowed: {error}"))
        tweet.record_uncertain(reason("no_look"))
    except x_api.XError as error:
        log.info(tweet.line("look", why=error))
        if seen_at > (tweet.absent_from or 0) + LOOKING:
            tweet.record_uncertain(reason("no_look"))
        else:
            look_again(tweet, seen_at + min(PAUSE, settings.absent_seconds * 1000))
    else:
        conclude(tweet, found, seen_at)


def conclude(tweet: Tweet, found: list[str], seen_at: int) -> None:
    """Say what a look that worked means. The same words may have been sent before: that tweet is another row's."""
    absent_from = tweet.absent_from or 0
    if new := [x_tweet_id for x_tweet_id in found if not Tweet.get_or_none(Tweet.x_tweet_id == x_tweet_id)]:
        tweet.record_sent(new[-1])
    elif seen_at < absent_from:
        waited = seen_at - (tweet.sending_at or 0)
        look_again(tweet, min(absent_from, seen_at + max(SOONEST, waited)))
    elif tweet.unknowns > 1:
        tweet.record_uncertain(reason("no_answer", "twice"))
    else:
        tweet.record_absent()


def look_again(tweet: Tweet, at: int) -> None:
    """Put the job off until then."""
    tweet.record_look(at)
    raise queue.Snooze(max(at - now_ms(), 0) / 1000)
