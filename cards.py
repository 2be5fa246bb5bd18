"""What the page shows of a tweet: all that its card says and offers. The template and the script only lay it out."""

import queue
from collections.abc import Iterable, Sequence
from contextlib import suppress
from queue import Job, report
from queue.jobs import connected
from typing import Any

import models
from models import Tweet

LATER = "You may close this page meanwhile."
# Of a state, or of a reason to wait: its name, what leads to its time, and a hint where there is no reason.
WORDS = {
    "scheduled": ("Scheduled", "for", "It goes out by itself."),
    "queued": ("Queued", "", f"It goes out in a moment. {LATER}"),
    "sending": ("Sending", "", f"X is taking it. {LATER}"),
    "retrying": ("Retrying", "at", ""),
    "rate_limited": ("Waiting", "until", ""),
    "out_of_credit": ("Waiting", "until", ""),
    "waits_for_sign_in": ("Waiting", "until", ""),
    "sent": ("Sent", "", "It is on X for everybody to see."),
    "failed": ("Failed", "", ""),
    "uncertain": ("Uncertain", "", ""),
    "cancelled": ("Cancelled", "", ""),
    "missed": ("Missed", "", ""),
}
EDITABLE = ("scheduled", "retrying")  # queued as well, but only for a moment
AGAIN = ("failed", "missed", "uncertain")  # what a person may send again
REUSABLE = ("failed", "missed", "cancelled")  # whose text may go back into the composer
BLANK = {
    "job_id": "", "state": "queued", "time": None, "text": "", "reason": None, "tweet_url": None, "attempt": 0,
}  # fmt: skip


def facts(tweet: Tweet, job: Job | None = None) -> dict[str, Any]:
    """Everything the page shows of a tweet; also the body of /status. `time` is None while nobody knows it."""
    body = models.status(tweet, job)
    times = {"scheduled": tweet.due_at, "retrying": body["next_attempt_at"], "sent": tweet.sent_at}
    time = times.get(body["state"], tweet.created_at)
    return body | {"status_url": f"/status/{tweet.job_id}", "text": tweet.text, "time": time}


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
        return {job.id: job for job in report.progress(connected(), ids)} if ids else {}
    return {}
