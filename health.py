"""How this installation is: /livez for balancers, /healthz for alarms and scalers.

What is wrong is judged here and nowhere else; the operators' page and /metrics show the same. Redis tells of jobs, and
the database of tweets: an empty queue proves nothing, since it may have been flushed.
"""

import queue
from collections.abc import Iterator
from dataclasses import dataclass
from queue import report
from queue.jobs import connected
from queue.report import Overview
from typing import Any

import peewee
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

import models
from models import Tweet
from settings import Settings
from tables import App
from times import now_ms

TOO_OLD = 60_000  # ms that a job may wait, or a tweet be late, before somebody ought to know


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, as a code for programs and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What the database says: tweets that should be out, those late and those due soon, and until when X wants none."""

    late: int
    due: int
    held_until: int


@dataclass(frozen=True, slots=True)
class Health:
    """What was found; `view` is None when the queue could not be asked, `rows` when the database could not."""

    problems: list[Problem]
    view: Overview | None
    rows: Rows | None


async def livez(request: Request) -> Response:
    """GET /livez: this process serves. For balancers: what is away elsewhere is no reason to end it.

    Asynchronous, so that it answers when every thread is taken.
    """
    return PlainTextResponse("ok")


def healthz(request: Request) -> Response:
    """GET /healthz: 503 and the reasons when somebody ought to come; and what a scaler goes by."""
    health = look(request.app.state.settings)
    problems = [{"code": problem.code, "message": problem.message} for problem in health.problems]
    ok = not problems
    return JSONResponse({"ok": ok, "problems": problems} | figures(health), 200 if ok else 503)


def look(settings: Settings) -> Health:
    """Ask Redis and the database, and judge."""
    problems: list[Problem] = []
    view, rows = None, look_at_database()
    try:
        view = report.overview(connected(), {"default", *settings.worker_queues})
        problems += judge(view, rows)
    except queue.Unavailable:
        problems.append(Problem("redis", "Redis is away: tweets are accepted and wait in the database."))
    except queue.QueueError as error:
        problems.append(Problem("redis", str(error)))
    return Health([*problems, *judge_rows(rows)], view, rows)


def figures(health: Health) -> dict[str, Any]:
    """What a scaler goes by; what could not be asked for is not known, rather than zero."""
    view, rows = health.view, health.rows
    tweets = {"tweets_due": rows and rows.due, "tweets_late": rows and rows.late}
    names = ("oldest_pending_s", "ready", "due_within_60_s", "busy", "workers", "paused")
    if view is None:
        return dict.fromkeys(names) | tweets
    waits = max((wait for name, wait in waiting(view) if name not in view.paused), default=0) / 1000
    paused = {name: view.pending.get(name, 0) for name in view.paused}
    ready = sum(view.pending.values()) - sum(paused.values())
    return dict(zip(names, (waits, ready, view.due_soon, view.busy, view.workers, paused), strict=True)) | tweets


def waiting(view: Overview) -> Iterator[tuple[str, int]]:
    """For how many ms the oldest of each list waits; under no name, how late the schedule is."""
    for name, since in view.oldest.items():
        yield name, max(view.now - since, 0)
    if view.next_due is not None:
        yield "", max(view.now - view.next_due, 0)


def judge(view: Overview, rows: Rows | None) -> Iterator[Problem]:
    """What is wrong with a queue that answers.

    With nothing to do no worker has to be alive: it may be scaled to zero. A tweet that falls due within a minute is
    something to do, too, whether Redis knows of it or not.
    """
    open_lists = {name: count for name, count in view.pending.items() if count and name not in view.paused}
    tweets = rows and rows.due and "default" not in view.paused  # where alarm.py puts them
    if not view.workers and (open_lists or view.due_soon or view.running or tweets):
        yield Problem(
            "no_worker", "No worker is alive, and there is work: jobs or tweets wait, run, or fall due within a minute."
        )
    for name in sorted(open_lists.keys() - view.served if view.served else ()):
        yield Problem("unserved", f"Jobs wait in the list {name}, and no worker takes from it: see WORKER_QUEUES.")
    for name, wait in waiting(view):
        if wait > TOO_OLD and name:
            why = ", which is paused" if name in view.paused else ""
            yield Problem("too_old", f"The oldest job of the list {name}{why} waits for over {wait // 60_000} min.")
        elif wait > TOO_OLD:
            yield Problem("late", f"A scheduled job is late by over {wait // 60_000} min.")


def look_at_database() -> Rows | None:
    """What it says of tweets, and of X and this app; None when it is away."""
    now = now_ms()
    try:
        with models.database.connection_context():
            held_until = App.select(App.held_until).scalar() or 0
            return Rows(unfinished(now - TOO_OLD), unfinished(now + report.SOON), held_until)
    except peewee.PeeweeException:
        return None


def unfinished(before: int) -> int:
    """How many tweets are not at an end, though they were let go, due, last tried and due again before this moment."""
    waits = (Tweet.state == "scheduled") & (Tweet.due_at < before) | Tweet.state.in_(("queued", "sending"))
    moments = (Tweet.created_at, Tweet.due_at, Tweet.sending_at, Tweet.next_attempt_at)
    found: int = Tweet.select().where(waits, *(at.is_null() | (at < before) for at in moments)).count()
    return found


def judge_rows(rows: Rows | None) -> Iterator[Problem]:
    """What is wrong with a database, or by what it says."""
    if rows is None:
        yield Problem("database", "The database is away: nothing can be accepted or sent.")
        return
    if rows.late:
        said = "1 tweet is" if rows.late == 1 else f"{rows.late:,} tweets are"
        yield Problem(
            "tweets_late", f"{said} late by over {TOO_OLD // 60_000} min: see whether workers run, and reach X."
        )
    if rows.held_until > now_ms():
        yield Problem("no_credit", "X refuses this app as out of credit: all tweets wait. See console.x.com.")
