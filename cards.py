"""What the page shows of a tweet: all that its card says and offers. The template and the script only lay it out."""

import queue
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from queue import Job, report
from queue.jobs import connected
from typing import Any

import alarm
import models
from models import Tweet, User

LATER = "You may close this page meanwhile."
# Of a state, or of a reason to wait: its name, what leads to its time, and a hint where there is no reason. While a
# tweet is not at an end there is a hint: it keeps the room for what may go wrong.
WORDS = {
    "scheduled": ("Scheduled", "for", "It goes out by itself."),
    "queued": ("Queued", "since", f"It goes out in a moment. {LATER}"),
    "sending": ("Sending", "since", f"X is taking it. {LATER}"),
    "retrying": ("Retrying", "at", "It is tried again by itself."),
    "rate_limited": ("Waiting", "until", ""),
    "out_of_credit": ("Waiting", "next look at", ""),
    "waits_for_sign_in": ("Waiting", "until", ""),
    "sent": ("Sent", "at", "It is on X for everybody to see."),
    "failed": ("Failed", "tried at", ""),
    "uncertain": ("Uncertain", "tried at", ""),
    "cancelled": ("Cancelled", "written", ""),
    "missed": ("Missed", "was due", ""),
}
# What a person can do to a tweet in a state, as the classes of the buttons, and what each action of a reason is here.
DEEDS: dict[str, tuple[str, ...]] = {
    "scheduled": ("edit", "now", "cancel"),
    "queued": ("cancel",),
    "sending": (),
    "retrying": ("edit", "cancel"),  # queued can be edited as well, but only for a moment
    "sent": ("there",),
    "failed": ("again", "reuse"),
    "uncertain": ("profile", "found", "again"),
    "cancelled": ("reuse",),
    "missed": ("again", "reuse"),
}
ALL_DEEDS = ("sign_in", "edit", "now", "profile", "found", "again", "reuse", "there", "cancel")
REMEDY = {"sign_in": "sign_in", "open_profile": "profile", "edit": "reuse", "send_again": "again"}
REUSABLE = tuple(state for state, names in DEEDS.items() if "reuse" in names)  # whose words may be sent anew
BLANK = {
    "job_id": "", "state": "queued", "time": None, "text": "", "reason": None, "tweet_url": None, "attempt": 0,
    "deeds": (), "due_at": None,
}  # fmt: skip


def upcoming(user: User, limit: int) -> list[Tweet]:
    """Return the person's scheduled tweets, the next one first."""
    mine = Tweet.select(Tweet, User).join(User).where(Tweet.user == user, Tweet.state == "scheduled")
    return list(mine.order_by(Tweet.due_at, Tweet.id).limit(limit))


def recent(user: User, limit: int) -> list[Tweet]:
    """Return all the others, the newest first."""
    mine = Tweet.select(Tweet, User).join(User).where(Tweet.user == user, Tweet.state != "scheduled")
    return list(mine.order_by(Tweet.id.desc()).limit(limit))


def facts(tweet: Tweet, job: Job | None = None) -> dict[str, Any]:
    """Everything the page shows of a tweet; also the body of /status. `time` is None while nobody knows it."""
    body = models.status(tweet, job)
    state = body["state"]
    time = {
        "scheduled": tweet.due_at,
        "queued": max(tweet.created_at, tweet.due_at or 0),
        "retrying": body["next_attempt_at"],
        "sent": tweet.sent_at,
        "cancelled": tweet.created_at,
        "missed": tweet.due_at,
    }.get(state, tweet.sending_at)
    more = {"text": tweet.text, "time": time, "deeds": deeds(state, body["reason"])}
    return body | {"status_url": f"/status/{tweet.job_id}", **more}


def deeds(state: str, why: dict[str, Any] | None) -> tuple[str, ...]:
    """What the person can do, what helps most first. The same words again are not offered where X refused them."""
    code, action = (why["code"], why["action"]) if why else (None, None)
    first = "sign_in" if code == "app_refused" else REMEDY.get(action or "")
    others = [name for name in DEEDS[state] if name != first and not (name == "again" and action == "edit")]
    return (first, *others) if first else tuple(others)


def form(tweet: Tweet) -> dict[str, str]:
    """What stands in the form that edits a tweet: its words, and when it is due."""
    due = tweet.due_at if tweet.state == "scheduled" else None
    clock = f"{datetime.fromtimestamp(due / 1000, UTC):%Y-%m-%dT%H:%M:%S}".removesuffix(":00") if due else ""
    return {"status": tweet.text, "at": clock, "tz": "UTC"}


def told(tweets: Sequence[Tweet]) -> list[dict[str, Any]]:
    """What the page shows of them. The queue is asked only for the time of a retry."""
    jobs = jobs_of(
        tweet for tweet in tweets if tweet.state == "queued" and tweet.reason_code and not tweet.next_attempt_at
    )
    return [facts(tweet, jobs.get(tweet.job_id)) for tweet in tweets]


def jobs_of(tweets: Iterable[Tweet]) -> dict[str, Job]:
    """What the queue knows of these; nothing when it is away or holds junk, for the row is the truth."""
    ids = [tweet.job_id for tweet in tweets]
    with suppress(queue.QueueError):
        return {job.id: job for job in alarm.ask(lambda: report.progress(connected(), ids))} if ids else {}
    return {}
