"""The pages people see: the consent page of a sign-in, and the timeline. They work without JavaScript."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode, urljoin

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from sandbox import api, links
from sandbox.accounts import ACCOUNTS, BY_HANDLE
from sandbox.state import Sandbox

PAGE = 100  # tweets
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def clock(milliseconds: int) -> str:
    """A moment as a page shows it; the machine's own time zone is the reader's."""
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%-d %b, %H:%M:%S")


def machine_time(milliseconds: int) -> str:
    """The same for <time datetime>."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


templates = Jinja2Templates(directory=Path(__file__).resolve().parent / "templates")
templates.env.filters |= {"clock": clock, "machine_time": machine_time, "pieces": links.pieces}


def render(request: Request, name: str, status: int = 200, **context: object) -> Response:
    """A page, not to be cached: it shows what is so now."""
    callbacks = request.app.state.x.callbacks
    context |= {"accounts": ACCOUNTS, "home": urljoin(callbacks[0], "/") if callbacks else None}
    response = templates.TemplateResponse(request, name, context, status_code=status)
    response.headers.update(
        {"content-security-policy": POLICY, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    )
    return response


async def ask(request: Request) -> Response:
    """GET /oauth/authenticate and /oauth/authorize: who are you, and may this application tweet for you?"""
    x: Sandbox = request.app.state.x
    token = x.store.request_token(request.query_params.get("oauth_token", ""))
    chosen = request.query_params.get("screen_name", ACCOUNTS[0].handle)
    if token is None or token.verifier:
        return render(request, "used.html", 403)
    return render(request, "consent.html", token=token, chosen=chosen)


async def consent(request: Request) -> Response:
    """The person's answer. Either way back to the callback: with a verifier, or with `denied`."""
    x: Sandbox = request.app.state.x
    form = {
        name: value for name, value in (await request.form(max_files=0)).items() if not isinstance(value, UploadFile)
    }
    token = x.store.request_token(form.get("oauth_token", ""))
    account = BY_HANDLE.get(form.get("account", ""))
    if token is None or token.verifier:
        return render(request, "used.html", 403)
    if form.get("answer") == "cancel":
        x.store.drop_request_token(token.token)
        return back(token.callback, denied=token.token)
    if form.get("answer") != "allow" or account is None:
        return render(request, "consent.html", 400, token=token, chosen=ACCOUNTS[0].handle)
    verifier = x.store.approve(token.token, account)
    return back(token.callback, oauth_token=token.token, oauth_verifier=verifier)


def back(callback: str, **answer: str) -> Response:
    """To the application; its callback is on the list, so it may be trusted."""
    joint = "&" if "?" in callback else "?"
    return RedirectResponse(f"{callback}{joint}{urlencode(answer)}", 302)


async def everybody(request: Request) -> Response:
    """GET /: everything that was published, newest first."""
    x: Sandbox = request.app.state.x
    return render(request, "timeline.html", tweets=x.store.tweets(limit=PAGE), account=None)


async def person(request: Request) -> Response:
    """GET /{handle}: one person's tweets. X's handles ignore case."""
    x: Sandbox = request.app.state.x
    account = BY_HANDLE.get(request.path_params["handle"].lower())
    if account is None:
        return await missing(request, None)
    tweets = x.store.tweets(account_id=account.id, limit=PAGE)
    return render(request, "timeline.html", tweets=tweets, account=account)


async def one_tweet(request: Request) -> Response:
    """GET /{handle}/status/{id}: one tweet; under any handle, as at X."""
    x: Sandbox = request.app.state.x
    wanted = request.path_params["tweet_id"]
    tweet = x.store.tweet(int(wanted)) if api.is_id(wanted) else None
    if tweet is None:
        return await missing(request, None)
    return render(request, "tweet.html", tweet=tweet)


async def missing(request: Request, error: Exception | None) -> Response:
    """404: as a page for people, as JSON for programs."""
    if request.url.path.startswith(("/2/", "/1.1/", "/oauth/", "/_sandbox/")):
        return Response(
            '{"errors":[{"code":34,"message":"Sorry, that page does not exist."}]}', 404, media_type="application/json"
        )
    return render(request, "missing.html", 404)
