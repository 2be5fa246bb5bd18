"""The body of /status: what the row says, with what the queue knows of the next attempt.

It changes nothing, but for a tweet whose job is over: nobody would touch that again, so who looks at it sees to it.
"""

import logging
from typing import TYPE_CHECKING, Any

from reasons import reason
from times import FOR_EVER, now_ms

if TYPE_CHECKING:
    from queue import Job

    from models import Tweet

SOONEST, LATEST = 500, 5_000  # ms between two looks at a tweet that is on its way
STUCK = ((3_600_000, 300_000), (300_000, 30_000))  # on its way for longer than this: every so many ms
LONGEST_WAIT = 7_200_000  # ms between two looks at a tweet whose time is known
WAITING = ("scheduled", "queued", "retrying")
JOB_ENDS = ("done", "dead", "cancelled")

log = logging.getLogger("tweetnow.models")


def status(tweet: "Tweet", job: "Job | None" = None) -> dict[str, Any]:
    """Return what /status says. Without the job (Redis away) it is what the row knows; that is no error."""
    if job and job.state in JOB_ENDS and tweet.state in ("scheduled", "queued", "sending"):
        end(tweet, job)
    now = now_ms()
    retry_at = tweet.next_attempt_at or (job.due_at if job and job.state == "scheduled" and job.attempt else None)
    state = _state(tweet, job, now)
    waits_until = {"scheduled": tweet.due_at, "retrying": retry_at}.get(state)
    known = state == "retrying" and retry_at != FOR_EVER  # else it waits for the person
    why = tweet.reason
    return {
        "job_id": tweet.job_id,
        "state": state,
        "attempt": tweet.attempts,
        "next_attempt_at": retry_at if known else None,
        "due_at": tweet.due_at,
        "tweet_url": tweet.url(),
        "reason": {"code": why.code, "message": why.message, "action": why.action} if why else None,
        "cancellable": state in WAITING,
        "poll_after_ms": _pace(tweet, state, waits_until, now),
    }


def end(tweet: "Tweet", job: "Job") -> bool:
    """End a tweet that its job left behind, or give it another job. If it went on since it was read, that stays."""
    # What X may have is looked for, under a new job id.
    ended = tweet.renew_job() if tweet.state == "sending" else tweet.record_failed(reason("stopped"))
    if ended:
        why = f"the job was {job.state} ({job.reason}), but its tweet not at an end"
        log.warning(tweet.line("end", why=why))
    return ended


def _state(tweet: "Tweet", job: "Job | None", now: int) -> str:
    if tweet.state == "scheduled":
        return "scheduled" if (tweet.due_at or 0) > now else "queued"
    failed_before = tweet.reason_code or (job and job.state == "scheduled" and job.failures)
    return "retrying" if tweet.state == "queued" and failed_before else tweet.state


def _pace(tweet: "Tweet", state: str, waits_until: int | None, now: int) -> int | None:
    """When to look again: soon after something is due, then slower and slower; None at an end.

    A page that is left open for a day asks some hundred times for a tweet, whatever becomes of it, and some ten times
    for one that waits for its time: many may.
    """
    if state not in (*WAITING, "sending"):
        return None
    if waits_until and waits_until > now:
        return min(waits_until - now + SOONEST, LONGEST_WAIT)
    age = now - ((tweet.sending_at if state == "sending" else None) or tweet.since)
    # In steps, so that an answer stays the same, and is not sent again, while nothing happens.
    slow = next((pause for longer, pause in STUCK if age > longer), None)
    return slow or max(SOONEST, min(age // 4, LATEST))
