"""What one running sandbox knows, and one call to it. The handlers of all routes share it as `request.app.state.x`."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from sandbox.accounts import Account
from sandbox.faults import Faults
from sandbox.limits import Limits
from sandbox.oauth import Signed
from sandbox.store import Store

LEDGER_LENGTH = 100_000


@dataclass
class Sandbox:
    """One X. `close_port` is there when a real server runs it, see server.py."""

    store: Store
    callbacks: tuple[str, ...]
    repeats: Container[str] = ()  # whose words are published again when they come again
    faults: Faults = field(default_factory=Faults)
    limits: Limits = field(default_factory=Limits)
    ledger: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LEDGER_LENGTH))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    close_port: Callable[[float], None] | None = None

    async def pause(self, seconds: float) -> None:
        """Wait, but never hold up the end of the process."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)


@dataclass
class Call:
    """One request to the API: its body read, and its line in the ledger begun."""

    x: Sandbox
    request: Request
    body: bytes
    line: dict[str, Any]

    @classmethod
    async def of(cls, request: Request) -> "Call":
        """Read the request. The line is in the ledger before anything is answered."""
        x: Sandbox = request.app.state.x
        body = await request.body()
        account = claimed_account(x.store, request.headers.get("authorization", ""))
        line = {
            "time": round(time.time(), 3), "method": request.method, "path": request.url.path,
            "account": account.handle if account else None, "text": text_of(body),
            "answer": None, "tweet_id": None, "fault": None,
        }  # fmt: skip
        x.ledger.append(line)
        return cls(x, request, body, line)

    @property
    def signed(self) -> Signed:
        """What the client signed. The path must be the one on the wire, before decoding."""
        request = self.request
        path = request.scope["raw_path"].decode("ascii")
        query = f"?{request.url.query}" if request.url.query else ""
        url = f"{request.url.scheme}://{request.headers.get('host', '')}{path}{query}"
        return url, request.method, self.body.decode("utf-8", "replace"), request.headers


def claimed_account(store: Store, authorization: str) -> Account | None:
    """Whose token the header names. Nothing is verified: good for the ledger and for faults, no more."""
    _, found, rest = authorization.partition('oauth_token="')
    token = store.access_token(rest.partition('"')[0]) if found else None
    return token.account if token else None


def text_of(body: bytes) -> str | None:
    """The text of a tweet on its way, if that is what the body holds."""
    try:
        text = json.loads(body)["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return text if isinstance(text, str) else None
