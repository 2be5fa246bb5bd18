"""GET /admin/queue, for operators: what waits, runs, is due and is dead, and what can be done about it by hand.

Whoever is no operator gets what any unknown address gives, whatever the method. Works by plain forms; static/admin.js
keeps it fresh. Each look is bounded: so many of each, and the count of the rest.
"""

import logging
import queue
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from queue import JobQueue, report
from queue.jobs import connected
from queue.report import Overview
from queue.run import headline
from typing import Any

import peewee
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

import chart
import guard
import health
import looks
import metrics
import models
import pages
from models import Tweet, User
from sign_in import JOB_ID, signed_in

PAGE = "/admin/queue"
SHOWN = 50  # of each kind
PATIENCE = 10.0  # seconds that reviving or discarding all may take; what is left is said
COUNT = re.compile("[1-9][0-9]{0,4}")  # the queue keeps 10,000 dead
LAST = 253_402_300_000_000  # ms: the year 9999
HOUR, DAY = (60, 1), (48, 30)  # bars and minutes of each
DONE = {"revive": "revived", "discard": "discarded"}  # the answer that says it was done

log = logging.getLogger("tweetnow.admin")


class Operators(HTTPEndpoint):
    """A view for the people of ADMIN_IDS. For anybody else there is nothing here."""

    user: User | None = None

    async def dispatch(self) -> None:
        """Look who asks before anything else."""
        request = Request(self.scope, self.receive)
        session = self.scope["session"]  # request.session would add Vary: Cookie to the answer, which tells
        if session.get("x_id") not in request.app.state.settings.admin_ids:
            raise HTTPException(404)
        with suppress(
            peewee.PeeweeException
        ):  # the session is signed, and operators are needed most when the database is away
            self.user = await run_in_threadpool(person, request)
            if self.user is None:
                raise HTTPException(404)
        await super().dispatch()


def person(request: Request) -> User | None:
    """Who asks."""
    with models.database.connection_context():
        return signed_in(request)


class Queue(Operators):
    """GET /admin/queue."""

    def get(self, request: Request) -> Response:
        """Everything at one look. What is away is said, with 503."""
        settings = request.app.state.settings
        found = health.look(settings)
        context: dict[str, Any] = {"problems": found.problems, "view": found.view, "shown": SHOWN}
        if found.view:
            try:
                context |= inside(connected(), found.view)
            except queue.QueueError as error:
                context |= {"view": None, "problems": [health.Problem("redis", str(error))]}
        status = 200 if context["view"] else 503
        notice = request.session.pop("notice", None)
        return pages.render(request, "admin.html", status, **context, user=self.user, notice=notice)


class Deed(Operators):
    """POST /admin/queue/{verb}: revive or discard (`id`, or `oldest` so many), pause or resume (`list`)."""

    def get(self, request: Request) -> Response:
        """A reload of what a refused form left in the browser's bar."""
        return RedirectResponse(PAGE, 303)

    async def post(self, request: Request) -> Response:
        """Do it, and say on the page what came of it."""
        verb, fields = request.path_params["verb"], await pages.read_fields(request)
        act = {"revive": settle, "discard": settle, "pause": switch, "resume": switch}.get(verb)
        if act is None:
            raise HTTPException(404)
        by = request.session["x_id"]
        request.session["notice"] = await run_in_threadpool(act, verb, fields, by)
        return RedirectResponse(PAGE, 303)


def inside(jobs: JobQueue, view: Overview) -> dict[str, Any]:
    """What the page shows of a queue that answers."""
    minute = view.now // 60_000
    hour = report.minutes(jobs, chart.minutes_of(*HOUR, minute))
    found = {look.__name__: look(jobs, SHOWN) for look in (report.running, report.scheduled, report.dead)}
    return found | {
        "waits": dict(health.waiting(view)),
        "crew": report.workers(jobs),
        "charts": [chart.draw(hour, minute, HOUR[1]), chart.draw([*earlier(jobs, minute), *hour], minute, DAY[1])],
        "tweets": tweets_of(job.id for jobs in found.values() for job in jobs),
        "unfinished": looks.UNFINISHED,
    }


@lru_cache(maxsize=1)  # they are over, and many
def earlier(jobs: JobQueue, minute: int) -> list[dict[str, int]]:
    """The minutes of the last day before those of the last hour."""
    return report.minutes(jobs, chart.minutes_of(*DAY, minute))[: -chart.minutes_of(*HOUR, minute)]


def tweets_of(job_ids: Iterable[str]) -> dict[str, Tweet]:
    """The tweets whose jobs these are, or were; none when the database is away."""
    with suppress(peewee.PeeweeException), models.database.connection_context():
        return looks.tweets_of(job_id for job_id in job_ids if JOB_ID.fullmatch(job_id))
    return {}


def switch(verb: str, fields: Mapping[str, str], by: str) -> str:
    """Pause or resume a list."""
    name = fields.get("list", "")
    try:
        getattr(queue, verb)(name)
    except queue.QueueError as error:
        return f"Nothing was changed: {error}"
    log.info("event=%s list=%s by=%s", verb, name, by)
    then = "is paused: what runs goes on, what comes waits" if verb == "pause" else "goes on"
    return f"The list {name} {then}."


def settle(verb: str, fields: Mapping[str, str], by: str) -> str:
    """Revive or discard one dead job, or so many of the oldest: those that the page showed, not what died since."""
    jobs, end, done = connected(), time.monotonic() + PATIENCE, 0
    ids = [fields["id"]] if fields.get("id") else []
    try:
        if COUNT.fullmatch(fields.get("oldest", "")):
            ids = report.oldest_dead(jobs, int(fields["oldest"]))
        for number, job_id in enumerate(ids):
            if time.monotonic() > end:
                return f"{done} {DONE[verb]}, and {len(ids) - number} are left: once more."
            done += settled(jobs, verb, job_id, by)
    except queue.QueueError as error:
        return f"{done} {DONE[verb]}, then it stopped: {error}"
    if len(ids) > 1:
        return f"{done} {DONE[verb]}." + (f" {len(ids) - done} cannot be." if done < len(ids) else "")
    return f"The job is {DONE[verb]}." if done else f"Nothing was {DONE[verb]}: it is not dead, or has no task to run."


def settled(jobs: JobQueue, verb: str, job_id: str, by: str) -> bool:
    """Do it to one job. A bad entry's id may be none that a job can have."""
    with suppress(queue.BadOption):
        if getattr(jobs, verb)(job_id) == DONE[verb]:
            log.info("event=%s job=%s by=%s", verb, job_id, by)
            return True
    return False


def span(ms: float) -> str:
    """How long, for people: 40 ms, 7 s, 12 min, 5 h, 3 days."""
    ms = max(ms, 0)
    for name, size, most in (("ms", 1, 1000), ("s", 1000, 100), ("min", 60_000, 100), ("h", 3_600_000, 48)):
        if ms < size * most:
            return f"{ms / size:.0f} {name}"
    return f"{ms / 86_400_000:.0f} days"


def clock(ms: int) -> str:
    """A moment of today, for people."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M UTC")


def sane(ms: int) -> int:
    """A moment that somebody may have written by hand, as one that has a date."""
    return max(0, min(ms, LAST))


pages.templates.env.filters |= {"span": span, "clock": clock, "sane": sane, "headline": headline}

ROUTES = [
    Route("/livez", health.livez),
    Route("/healthz", health.healthz),
    Route("/metrics", metrics.metrics),
    Route(PAGE, Queue, middleware=guard.COMPRESSED),
    Route(PAGE + "/{verb}", Deed),
]
