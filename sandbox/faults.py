"""Trouble on demand: which faults are waiting, which call gets one, and what then happens on the wire.

    POST /_sandbox/faults {"fault": "503", "count": 2, "account": "ada", "text": "hello", "path": "/2/tweets"}

The next `count` calls that fit get it: path is a prefix (of the posts and deletions unless told; "/" is any call of the
API), account a handle, text a part of the tweet. What each does, with the default of `seconds` in brackets:

    latency [2]        answers as ever, after so long
    429 [5]            with a reset in so many seconds; 429-usage-cap is the month's quota
    401 402 403 403-duplicate 403-read-only 500 503
    reset              a TCP reset instead of an answer; nothing was published
    accept-reset       published, then a TCP reset instead of an answer
    hang [60]          no answer; the connection ends after so long
    drip [10]          published, and the answer comes byte by byte over so long: no read of it times out
    twice              published, and the answer comes two times
    refuse [1]         nobody listens on the port for so long: a connection refused. It cannot know who calls,
                       so it takes nothing but seconds, and connections that are open already go on

`"accept": true` makes 500, 503, reset and hang publish before they fail, as X may. `"says"` gives a 403 other words.
"""

import asyncio
import math
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from sandbox import answers
from sandbox.accounts import BY_HANDLE

if TYPE_CHECKING:
    from sandbox.state import Call

ANSWERS: dict[str, Callable[[float], answers.Refused]] = {
    "401": lambda _: answers.unauthorized(),
    "402": lambda _: answers.no_credit(),
    "403": lambda _: answers.forbidden(),
    "403-duplicate": lambda _: answers.duplicate(),
    "403-read-only": lambda _: answers.read_only(),
    "429": lambda seconds: answers.too_many(100, math.ceil(time.time() + seconds)),
    "429-usage-cap": lambda _: answers.usage_cap(),
    "500": lambda _: answers.problem(500, "Internal Server Error", "Internal Server Error"),
    "503": lambda _: answers.problem(503, "Service Unavailable", "Service Unavailable"),
}
SECONDS = {"latency": 2.0, "429": 5.0, "hang": 60.0, "drip": 10.0, "refuse": 1.0}
NAMES = (*ANSWERS, "latency", "reset", "accept-reset", "hang", "drip", "twice", "refuse")
MAY_ACCEPT = ("500", "503", "reset", "hang")
LONGEST = 600.0


@dataclass(slots=True)
class Fault:
    """A fault that waits for `count` more calls."""

    fault: str
    count: int = 1
    account: str | None = None
    text: str | None = None
    seconds: float = 0.0
    path: str = "/2/tweets"
    accept: bool = False
    says: str | None = None

    def fits(self, line: dict[str, Any]) -> bool:
        """Tell whether it is meant for this call."""
        return (
            line["path"].startswith(self.path)
            and self.account in (None, line["account"])
            and (self.text is None or self.text in (line["text"] or ""))
        )


def read(wanted: object) -> Fault:
    """Make a fault of what the control was sent. ValueError names what is wrong."""
    if not isinstance(wanted, dict) or wanted.get("fault") not in NAMES:
        raise ValueError(f"send an object with a fault out of {', '.join(NAMES)}")
    fault = Fault(wanted["fault"], seconds=SECONDS.get(wanted["fault"], 0.0))
    for name, value in wanted.items():
        _check(fault, name, value)
        setattr(fault, name, value)
    if fault.fault == "refuse" and wanted.keys() & {"account", "text", "path"}:
        raise ValueError("refuse takes only seconds: a closed port cannot know who calls")
    fault.accept |= fault.fault == "accept-reset"
    return fault


def _check(fault: Fault, name: str, value: object) -> None:
    known = {field.name for field in fields(Fault)}
    if name not in known:
        raise ValueError(f"no setting {name!r}; a fault has {', '.join(sorted(known))}")
    if name == "count" and (type(value) is not int or value < 1):
        raise ValueError(f"count must be a whole number from 1, not {value!r}")
    if name == "seconds" and (type(value) not in (int, float) or not 0 <= float(str(value)) <= LONGEST):
        raise ValueError(f"seconds must be a number from 0 to {LONGEST:.0f}, not {value!r}")
    if name == "account" and value not in BY_HANDLE:
        raise ValueError(f"no account {value!r}; there are {', '.join(BY_HANDLE)}")
    if name in ("text", "path", "says") and not isinstance(value, str):
        raise ValueError(f"{name} must be a string, not {value!r}")
    if name == "says" and fault.fault != "403":
        raise ValueError("says is for a 403: the others have words of their own")
    if name == "accept" and not (value is False or (value is True and fault.fault in MAY_ACCEPT)):
        raise ValueError(f"accept is true or false, and true only with {', '.join(MAY_ACCEPT)}")


class Faults:
    """The faults that wait, oldest first."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def as_json(self) -> list[dict[str, Any]]:
        """What waits, with what is left of each count."""
        return [asdict(fault) for fault in self.waiting]

    def take(self, line: dict[str, Any]) -> Fault | None:
        """Use up one turn of the first fault that fits this call."""
        for fault in self.waiting:
            if fault.fits(line):
                fault.count -= 1
                self.waiting = [fault for fault in self.waiting if fault.count]
                line["fault"] = fault.fault
                return fault
        return None


async def play(fault: Fault, call: "Call", answer: Callable[[], Response]) -> Response:
    """Let a call meet its fault. `answer` does what the call asks; a refusal of X's own is stronger than an accept."""
    if fault.fault == "latency":
        await call.x.pause(fault.seconds)
    if fault.accept or fault.fault in ("latency", "drip", "twice"):
        response = answer()
        if fault.fault == "twice":
            return twice(call, response)
        if response.status_code >= 400 or fault.fault == "latency":
            return response
        if fault.fault == "drip":
            return drip(call, response, fault.seconds)
    if fault.fault == "hang":
        await hang(call, fault.seconds)
        return await cut(call, reset=False)
    if fault.fault in ("reset", "accept-reset"):
        return await cut(call, reset=True)
    if fault.says is not None:
        return answers.problem(403, "Forbidden", fault.says).response()
    return ANSWERS[fault.fault](fault.seconds).response()


async def hang(call: "Call", seconds: float) -> None:
    """Say nothing until the client goes away, or so long."""
    gone = asyncio.ensure_future(call.request.receive())
    stop = asyncio.ensure_future(call.x.pause(seconds))
    await asyncio.wait((gone, stop), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    stop.cancel()


class Cut(Response):
    """Stands for no answer at all; the connection is gone before it could be sent."""


async def cut(call: "Call", *, reset: bool) -> Response:
    """End the connection without an answer: by a FIN, or by the RST that unsent data with no linger makes."""
    transport = getattr(call.request.state, "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox's fault, without a server whose connection could be cut")
    if reset:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
    await asyncio.sleep(0)  # the server learns of it on the next turn of the loop, and then takes no answer
    return Cut()


def twice(call: "Call", response: Response) -> Response:
    """Write the answer onto the wire, and return it to be written once more."""
    headers = b"".join(b"%b: %b\r\n" % pair for pair in response.raw_headers)
    call.request.state.transport.write(
        b"HTTP/1.1 %d \r\n%b\r\n%b" % (response.status_code, headers, bytes(response.body))
    )
    return response


def drip(call: "Call", response: Response, seconds: float) -> Response:
    """Send the body of an answer one byte at a time."""
    body = bytes(response.body)

    async def slowly() -> AsyncIterator[bytes]:
        for byte in body:
            await call.x.pause(seconds / len(body))
            yield bytes([byte])

    return StreamingResponse(slowly(), response.status_code, dict(response.headers))
