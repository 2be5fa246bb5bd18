"""How this installation is: /livez for balancers, /healthz for alarms."""

import queue

import peewee
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

import models


async def livez(request: Request) -> Response:
    """GET /livez: this process serves. For balancers: what is away elsewhere is no reason to end it.

    Asynchronous, so that it answers when every thread is taken.
    """
    return PlainTextResponse("ok")


def healthz(request: Request) -> Response:
    """GET /healthz: 503 and the names of what is away. For alarms."""
    away = [name for name, look in (("redis", look_at_redis), ("database", look_at_database)) if not look()]
    return JSONResponse({"ok": not away, "away": away}, 503 if away else 200)


def look_at_redis() -> bool:
    """Whether the queue answers, and with sense."""
    try:
        queue.status("healthz")
    except queue.QueueError:
        return False
    return True


def look_at_database() -> bool:
    """Whether the database answers."""
    try:
        with models.database.connection_context():
            models.database.execute_sql("SELECT 1")
    except peewee.PeeweeException:
        return False
    return True
