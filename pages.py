"""What a request says and how its answer looks: form and page for people, JSON for programs. No route, no decision."""

import json
import logging
import re
import secrets
import zoneinfo
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import peewee
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

import cards
import models
import times
import tweet_text
from models import BadTweet, User

log = logging.getLogger("tweetnow.web")
RECENT, UPCOMING = 20, 100  # cards on the page at most
LARGEST_KEPT = 2500  # bytes of the session's cookie for what was typed: browsers drop a cookie over 4,096
REGIONS = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
ZONES = ("UTC", *sorted(zone for zone in zoneinfo.available_timezones() if zone.split("/")[0] in REGIONS))


class Trouble(Exception):
    """Why a request was refused: `message` names the value and the remedy, `field` what to correct."""

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.headers = {"Retry-After": str(retry_after)} if retry_after else {}


IN_WORDS = {  # what Starlette says in two
    404: "There is nothing at this address. See how it is spelt, or begin at the first page.",
    405: "{method} does nothing at this address. Begin at the first page and use what is there.",
}
SEND_OBJECT = 'send an object like {"status": "Hi"}.'
REUSED = (
    "This form has sent a tweet already, with other words or another time, and it was accepted. To send this as well "
    "press the button once more."
)
HINTS = {  # for programs alone
    "comes_twice": "Add fold: 0 is the first time, 1 the second.",
    "key_reused": "Use a new key for each tweet.",
}
# Which field a code of BadTweet is about; the others are about the text.
FIELDS = dict.fromkeys(("past", "too_far", "bad_time", "no_such_time", "comes_twice"), "at") | {
    "bad_zone": "tz",
    "bad_key": "key",
}
HALF = re.compile("[\ud800-\udfff]")  # no database and no page can hold one
View = Callable[..., Response]


def with_database(view: View) -> View:
    """Give a view a connection for its time only: it runs in one of a few threads, a database has few of those."""

    @wraps(view)
    def connected(*args: Any) -> Response:
        with models.database.connection_context():
            return view(*args)

    return connected


AWAY = (peewee.OperationalError, peewee.InterfaceError)
ERRORS = (Trouble, HTTPException, ClientDisconnect, *AWAY)

# What comes in -------------------------------------------------------------------------------------------------------


def wants_page(request: Request) -> bool:
    """Whether a browser asks to show the answer; fetch and other programs get JSON."""
    return "text/html" in request.headers.get("accept", "")


async def read_fields(request: Request) -> dict[str, str]:
    """Read a form or a JSON object of strings. Line ends become single characters, as people count them."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        fields = _read_json(await request.body())
    elif kind in ("", "application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.form(max_files=0, max_fields=20)
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    else:
        raise Trouble(415, "bad_type", f"A body of type {kind} cannot be read here: send a form or application/json.")
    for name, value in fields.items():
        if half := HALF.search(name + value):
            message = f"{name!a} holds U+{ord(half[0]):04X}, which is half a character: remove it and try again."
            raise Trouble(422, "bad_characters", message, name if name.isascii() else None)
    return {name: value.replace("\r\n", "\n") for name, value in fields.items()}


def _read_json(body: bytes) -> dict[str, str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Trouble(400, "bad_json", f"The body is not JSON ({error}): {SEND_OBJECT}") from None
    if not isinstance(value, dict):
        raise Trouble(400, "bad_json", f"The body is a JSON {type(value).__name__}: {SEND_OBJECT}")
    fields = {name: text for name, text in value.items() if text is not None}
    for name, text in fields.items():
        if not isinstance(text, str):
            raise Trouble(
                400,
                "not_text",
                f"{name!a} is {json.dumps(text)[:40]}: send a string.",
                name if name.isascii() else None,
            )
    return fields


# What goes out -------------------------------------------------------------------------------------------------------


def typed(fields: Mapping[str, str]) -> dict[str, str]:
    """What a person typed into the composer, without what was left empty."""
    return {name: fields[name] for name in ("status", "at", "tz") if fields.get(name)}


def fits(fields: Mapping[str, str]) -> bool:
    """Whether the session can keep it while the person is at X."""
    return len(b64encode(json.dumps(typed(fields)).encode())) <= LARGEST_KEPT


def show_home(
    request: Request,
    user: User | None,
    fields: Mapping[str, str] | None = None,
    trouble: Trouble | None = None,
    *,
    edited: str | None = None,
) -> Response:
    """The one page: sign-in for strangers; composer, upcoming and recent for a person. Both show what was typed.

    What was typed, and the trouble with it, are the composer's, or those of the tweet with the job id `edited`.
    """
    status, headers = (trouble.status, trouble.headers) if trouble else (200, {})
    form = {"at": "", "tz": "UTC", **(fields or {})}
    editing: dict[str, Any] | None = {**form, "job_id": edited, "trouble": trouble} if edited else None
    fields, trouble = (None, None) if edited else (fields, trouble)
    context = {"error": trouble, "editing": editing, "notice": request.session.pop("notice", None)}
    if user is None:
        draft = typed(fields or request.session.get("kept", {}))
        return render(request, "welcome.html", status, headers, **context, draft=draft, fits=fits(draft))
    draft = {"status": "", "at": "", "tz": "UTC"} | request.session.pop("kept", {}) | dict(fields or {})
    upcoming, recent = (
        cards.told(found) for found in (cards.upcoming(user, UPCOMING + 1), cards.recent(user, RECENT + 1))
    )
    return render(
        request, "home.html", status, headers, **context, user=user, fields=draft, key=secrets.token_hex(16),
        upcoming=upcoming, recent=recent,
    )  # fmt: skip


def show_trouble(request: Request, trouble: Trouble, **more: Any) -> Response:
    """A refusal: JSON for programs, a page of its own for people."""
    if wants_page(request):
        return render(request, "error.html", trouble.status, trouble.headers, error=trouble)
    error = {"code": trouble.code, "message": trouble.message, "field": trouble.field}
    error |= {"hint": HINTS[trouble.code]} if trouble.code in HINTS else {}
    return JSONResponse({"error": error} | more, trouble.status, trouble.headers)


def bad(error: BadTweet) -> Trouble:
    """What models refused, with the field to correct."""
    message = REUSED if error.code == "key_reused" else error.message
    return Trouble(422, error.code, message, FIELDS.get(error.code, "status"))


def show_error(request: Request, error: Exception) -> Response:
    """What a route or the guard raised, in words."""
    if isinstance(error, HTTPException):
        words = IN_WORDS.get(error.status_code, "").format(method=request.method) or error.detail
        headers = allowed(request) if error.status_code == 405 else error.headers or {}
        error = Trouble(error.status_code, f"http_{error.status_code}", words)
        error.headers |= headers
    elif isinstance(error, ClientDisconnect):  # nobody reads this; as a defect it would fill the log
        error = Trouble(400, "cut_off", "The request ended before it was whole, so nothing was done. Send it again.")
    elif isinstance(error, AWAY):
        log.error("%s %s: %s", request.method, request.url.path, error)
        error = Trouble(503, "no_database", "The database is away, so nothing was done. Try again in a minute.")
    elif not isinstance(error, Trouble):
        error = Trouble(500, "defect", "This is a defect of ours. It is noted; try again in a minute.")
    return show_trouble(request, error)


def allowed(request: Request) -> dict[str, str]:
    """What can be done at this address, by all of its routes; each knows only its own."""
    routes = [one for one in request.app.routes if isinstance(one, Route) and one.path_regex.match(request.url.path)]
    return {"Allow": ", ".join(sorted({method for route in routes for method in route.methods or ()}))}


def render(
    request: Request, name: str, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> Response:
    """A template with what all of them need."""
    settings = request.app.state.settings
    sandbox = None if settings.x_site_url == "https://x.com" else settings.x_site_url
    return templates.TemplateResponse(
        request, name, context | {"sandbox": sandbox, "x_site": settings.x_site_url}, status, headers
    )


def iso(ms: int) -> str:
    """A moment for <time datetime>."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


def readable(ms: int) -> str:
    """A moment for people; where there is JavaScript it shows their own clock's time instead."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%-d %b %Y, %H:%M UTC")


templates = Jinja2Templates(directory=Path(__file__).resolve().parent / "templates")
templates.env.filters |= {"iso": iso, "readable": readable}
templates.env.globals |= {
    "words": cards.WORDS,
    "all_deeds": cards.ALL_DEEDS,
    "reusable": cards.REUSABLE,
    "blank": cards.BLANK,
    "most_upcoming": UPCOMING,
    "most_recent": RECENT,
    "zones": ZONES,
    "twice": times.twice,
    "limit": tweet_text.LIMIT,
}
