"""/_sandbox/: what a person or a test turns and reads. JSON in and out; a mistake is a 400 that names it.

Bodies must be application/json: a web page elsewhere cannot send that here without asking first, and is not answered.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox import faults
from sandbox.accounts import BY_HANDLE
from sandbox.state import Sandbox

Change = Callable[[Sandbox, Any], object]


def reply(body: object, status: int = 200) -> Response:
    """JSON in ASCII: a ledger may hold what UTF-8 cannot."""
    return Response(json.dumps(body, indent=1), status, media_type="application/json")


def takes_json(change: Change) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of a function of the sandbox and the decoded body; its ValueError is a 400."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return reply({"error": "send application/json"}, 415)
        try:
            return reply(change(request.app.state.x, json.loads(await request.body())))
        except (ValueError, RecursionError) as error:
            return reply({"error": str(error)}, 400)

    return endpoint


def add_fault(x: Sandbox, wanted: object) -> object:
    """POST /_sandbox/faults, see faults.py. `refuse` acts at once, the others wait for their calls."""
    fault = faults.read(wanted)
    if fault.fault != "refuse":
        x.faults.waiting.append(fault)
    elif x.close_port:
        x.close_port(fault.seconds)
    else:
        raise ValueError("refuse needs a server of its own: python -m sandbox")
    return x.faults.as_json()


def set_limits(x: Sandbox, wanted: object) -> object:
    """POST /_sandbox/limits {"post": 3, "window": 60}: the others stay; all windows start anew."""
    if not isinstance(wanted, dict):
        raise ValueError("send an object of limits")
    x.limits.set(wanted)
    return x.limits.calls | {"window": x.limits.window}


def revoke(x: Sandbox, wanted: object) -> object:
    """POST /_sandbox/revoke {"account": "ada"}: the person takes every application's access away."""
    handle = wanted.get("account") if isinstance(wanted, dict) else None
    if handle not in BY_HANDLE:
        raise ValueError(f"no account {handle!r}; there are {', '.join(BY_HANDLE)}")
    return {"revoked": x.store.revoke(account_id=BY_HANDLE[handle].id)}


async def list_faults(request: Request) -> Response:
    """GET /_sandbox/faults."""
    return reply(request.app.state.x.faults.as_json())


async def drop_faults(request: Request) -> Response:
    """DELETE /_sandbox/faults."""
    request.app.state.x.faults.waiting.clear()
    return reply([])


async def read_ledger(request: Request) -> Response:
    """GET /_sandbox/ledger: every call to the API, oldest first. `answer` is null while there is none yet."""
    return reply(list(request.app.state.x.ledger))


async def drop_ledger(request: Request) -> Response:
    """DELETE /_sandbox/ledger."""
    request.app.state.x.ledger.clear()
    return reply([])


async def read_timeline(request: Request) -> Response:
    """GET /_sandbox/timeline: what was published, newest first, as it was written."""
    tweets = request.app.state.x.store.tweets(limit=1000)
    return reply([
        {"id": str(t.id), "account": t.account.handle, "text": t.text, "created_at": t.created_at} for t in tweets
    ])  # fmt: skip
