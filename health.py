"""How this installation is: /livez for balancers, /healthz for alarms and scalers.

What is wrong is judged here and nowhere else; the operators' page and /metrics show the same. A worker that was scaled
to zero is missed only when there is something to do: a job that waits, runs, or falls due within a minute.
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
from settings import Settings
from tables import App
from times import now_ms

TOO_OLD = 60_000  # ms that a job may wait, or be late, before somebody ought to know


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, as a code for programs and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """What was found; `view` is None when the queue could not be asked."""

    problems: list[Problem]
    view: Overview | None


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
    return JSONResponse({"ok": ok, "problems": problems} | figures(health.view), 200 if ok else 503)


def look(settings: Settings) -> Health:
    """Ask Redis and the database, and judge."""
    problems: list[Problem] = []
    view = None
    try:
        view = report.overview(connected(), {"default", *settings.worker_queues})
        problems += judge(view)
    except queue.Unavailable:
        problems.append(Problem("redis", "Redis is away: tweets are accepted and wait in the database."))
    except queue.QueueError as error:
        problems.append(Problem("redis", str(error)))
    return Health([*problems, *look_at_database()], view)


def figures(view: Overview | None) -> dict[str, Any]:
    """What a scaler goes by; nothing of it is known when the queue could not be asked."""
    names = ("oldest_pending_s", "ready", "due_within_60_s", "busy", "workers", "paused")
    if view is None:
        return dict.fromkeys(names)
    waits = max((wait for name, wait in waiting(view) if name not in view.paused), default=0) / 1000
    paused = {name: view.pending.get(name, 0) for name in view.paused}
    ready = sum(view.pending.values()) - sum(paused.values())
    return dict(zip(names, (waits, ready, view.due_soon, view.busy, view.workers, paused), strict=True))


def waiting(view: Overview) -> Iterator[tuple[str, int]]:
    """For how many ms the oldest of each list waits; under no name, how late the schedule is."""
    for name, since in view.oldest.items():
        yield name, max(view.now - since, 0)
    if view.next_due is not None:
        yield "", max(view.now - view.next_due, 0)


def judge(view: Overview) -> Iterator[Problem]:
    """What is wrong with a queue that answers."""
    open_lists = {name: count for name, count in view.pending.items() if count and name not in view.paused}
    if not view.workers and (open_lists or view.due_soon or view.running):
        yield Problem(
            "no_worker", "No worker is alive, and there is work: jobs wait, run, or fall due within a minute."
        )
    for name in sorted(open_lists.keys() - view.served if view.served else ()):
        yield Problem("unserved", f"Jobs wait in the list {name}, and no worker takes from it: see WORKER_QUEUES.")
    for name, wait in waiting(view):
        if wait > TOO_OLD and name:
            why = ", which is paused" if name in view.paused else ""
            yield Problem("too_old", f"The oldest job of the list {name}{why} waits for over {wait // 60_000} min.")
        elif wait > TOO_OLD:
            yield Problem("late", f"A scheduled job is late by over {wait // 60_000} min.")


def look_at_database() -> Iterator[Problem]:
    """Whether it answers, and whether it says that X takes nothing from this app."""
    try:
        with models.database.connection_context():
            held_until = App.select(App.held_until).scalar() or 0
    except peewee.PeeweeException:
        yield Problem("database", "The database is away: nothing can be accepted or sent.")
    else:
        if held_until > now_ms():
            yield Problem("no_credit", "X refuses this app as out of credit: all tweets wait. See console.x.com.")
