"""The routes, in the order a person meets them. `python web.py` serves; what a tweet may do is decided in models.py."""

import os
import queue
import sys

if not hasattr(queue, "__path__"):  # the standard library's came first: lend it our names
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    queue.__path__ = [os.path.join(sys.path[0], "queue")]
    import queue._names

import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import anyio
import peewee
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import admin
import alarm
import cards
import guard
import limiter
import looks
import metrics
import models
import pages
import server
import settings as configuration
import sign_in
import store
from models import BadTweet, Tweet, User
from pages import Trouble, read_fields, show_trouble, wants_page, with_database
from settings import Settings
from sign_in import own_tweet, signed_in, tweet_of

THREADS = 8  # each has a connection to the database; the smallest on Heroku gives 20, and a worker may want 10
SIGNED_OUT = "You are signed out, so nothing was sent. Sign in first."

log = logging.getLogger("tweetnow.web")


@with_database
def home(request: Request) -> Response:
    """GET /: composer, upcoming, recent. `?text_of=` a job of yours: its text in the composer; `?edit=`: its form."""
    user = signed_in(request)
    edited = tweet_of(user, request.query_params.get("edit", ""))
    if edited and edited.state in models.WAITING:
        return pages.show_home(request, user, cards.form(edited), edited=edited.job_id)
    old = tweet_of(user, request.query_params.get("text_of", ""))
    return pages.show_home(request, user, {"status": old.text} if old else None)


# Tweets --------------------------------------------------------------------------------------------------------------


async def post_tweet(request: Request) -> Response:
    """POST /tweets: accepted before X hears of it. The same key again is the same tweet."""
    if request.method != "POST":  # a refused form leaves this address in the browser's bar
        return RedirectResponse("/", 303)
    return await run_in_threadpool(publish, request, await read_fields(request))


@with_database
def publish(request: Request, fields: Mapping[str, str]) -> Response:
    """Store and enqueue. What is refused goes back into the form it came from."""
    user = signed_in(request)
    if user is None:
        return refuse(request, None, fields, Trouble(401, "signed_out", SIGNED_OUT))
    try:
        limiter.count("posts", user.x_id, request.app.state.settings.posts_per_minute)
    except Trouble as trouble:
        return refuse(request, user, fields, trouble)
    key = fields.get("key") or request.headers.get("idempotency-key") or None
    try:
        tweet = user.tweet(fields.get("status", ""), at=read_time(fields), key=key)
    except BadTweet as error:
        return refuse(request, user, fields, pages.bad(error))
    return accepted(request, tweet)


def refuse(request: Request, user: User | None, fields: Mapping[str, str], trouble: Trouble) -> Response:
    """The form again with all that was typed, for people; what is wrong, for programs."""
    return pages.show_home(request, user, fields, trouble) if wants_page(request) else show_trouble(request, trouble)


def accepted(request: Request, tweet: Tweet) -> Response:
    """202: where to look, and when."""
    if wants_page(request):
        return RedirectResponse("/", 303)
    return JSONResponse(cards.facts(tweet), 202, {"Location": f"/status/{tweet.job_id}", "Retry-After": "1"})


async def status(request: Request) -> Response:
    """GET /status/{job_id}: what is known now."""
    answer: Response = JSONResponse(await looks.look(request.session.get("id"), request.path_params["job_id"]))
    etag = f'"{hashlib.blake2b(bytes(answer.body), digest_size=12).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        answer = Response(status_code=304)
    answer.headers["ETag"] = etag
    return answer


@with_database
def cancel(request: Request) -> Response:
    """DELETE /tweets/{job_id}, or POST …/cancel from a plain form."""
    tweet = own_tweet(request)
    return changed(request, tweet, tweet.cancel())


@with_database
def send_now(request: Request) -> Response:
    """POST /tweets/{job_id}/now: a scheduled one does not wait for its time."""
    tweet = own_tweet(request)
    return changed(request, tweet, tweet.send_now())


@with_database
def confirm(request: Request) -> Response:
    """POST /tweets/{job_id}/there: the person found an uncertain one on X."""
    tweet = own_tweet(request)
    return changed(request, tweet, tweet.confirm())


async def edit(request: Request) -> Response:
    """PATCH /tweets/{job_id}, or POST …/edit from a plain form: another text or time while it waits."""
    if request.method not in ("POST", "PATCH"):  # a refused form leaves this address in the browser's bar
        return RedirectResponse("/", 303)
    return await run_in_threadpool(change, request, await read_fields(request))


@with_database
def change(request: Request, fields: Mapping[str, str]) -> Response:
    """Change what is named and leave the rest."""
    tweet = own_tweet(request)
    try:
        return changed(request, tweet, tweet.edit(text=fields.get("status"), at=read_time(fields)))
    except BadTweet as error:
        if wants_page(request):
            return pages.show_home(request, tweet.user, fields, pages.bad(error), edited=tweet.job_id)
        raise pages.bad(error) from error


@with_database
def send_again(request: Request) -> Response:
    """POST /tweets/{job_id}/retry: a failed, missed or uncertain one goes out under a new job id."""
    tweet = own_tweet(request)
    if request.path_params["job_id"] != tweet.job_id:  # done already, and the answer was lost
        return accepted(request, tweet)
    limiter.count("posts", tweet.user.x_id, request.app.state.settings.posts_per_minute)
    try:
        return accepted(request, tweet.send_again())
    except BadTweet as error:
        return too_late(request, tweet, error.message)


def changed(request: Request, tweet: Tweet, outcome: str) -> Response:
    """200 with what is so now, or 409 with the state that came first."""
    if outcome == "too late":
        return too_late(request, tweet, f"Too late: this tweet is {tweet.state}, so nothing was changed.")
    return RedirectResponse("/", 303) if wants_page(request) else JSONResponse(cards.facts(tweet))


def too_late(request: Request, tweet: Tweet, message: str) -> Response:
    """409 for programs; people are told on the page, which shows the state."""
    if not wants_page(request):
        return show_trouble(request, Trouble(409, "too_late", message), state=tweet.state)
    request.session["notice"] = message
    return RedirectResponse("/", 303)


def read_time(fields: Mapping[str, str]) -> datetime | None:
    """The moment of `at` on the clocks of `tz`; None when none was given."""
    at, zone = fields.get("at", ""), fields.get("tz", "")
    if at and not zone:
        raise BadTweet("bad_zone", f"No time zone was given with {at[:40]!r}: add tz, like Europe/Berlin or UTC.")
    return models.resolve_time(at, zone, fields.get("fold", "")) if at else None


# The whole -----------------------------------------------------------------------------------------------------------


def create_app(settings: Settings) -> Starlette:
    """The application. Redis and X may be away: it starts, and says so where it matters."""
    models.connect(settings)
    models.create_tables()
    alarm.connect(settings)
    app = Starlette(
        lifespan=begin,
        routes=ROUTES,
        middleware=guard.around(settings, pages.show_error),
        exception_handlers=dict.fromkeys(pages.ERRORS, pages.show_error),
    )
    app.router.redirect_slashes = False  # such redirects are built from the Host header
    app.state.settings = settings
    return app


@asynccontextmanager
async def begin(app: Starlette) -> AsyncIterator[None]:
    """Hold the number of threads down: by itself it is 40. Sign-ins, which wait for X, have their own."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


ROUTES = [
    Route("/", home, middleware=guard.COMPRESSED),
    Route("/login", sign_in.login, methods=["POST"]),
    Route("/oauth/callback", sign_in.callback),
    Route("/logout", sign_in.logout, methods=["POST"]),
    Route("/tweets", metrics.timed(post_tweet), methods=["GET", "POST"]),
    Route("/status/{job_id}", status),
    Route("/tweets/{job_id}", cancel, methods=["DELETE"]),
    Route("/tweets/{job_id}/cancel", cancel, methods=["POST"]),
    Route("/tweets/{job_id}", edit, methods=["PATCH"]),
    Route("/tweets/{job_id}/edit", edit, methods=["GET", "POST"]),
    Route("/tweets/{job_id}/now", send_now, methods=["POST"]),
    Route("/tweets/{job_id}/there", confirm, methods=["POST"]),
    Route("/tweets/{job_id}/retry", send_again, methods=["POST"]),
    *admin.ROUTES,
    Mount("/static", StaticFiles(directory=Path(__file__).resolve().parent / "static"), middleware=guard.COMPRESSED),
]


def __getattr__(name: str) -> Starlette:
    """`uvicorn web:app` makes the app; importing this file alone reads no settings and opens nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("app", create_app(configuration.load()))  # type: ignore[no-any-return]  # globals


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    settings = configuration.load()
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s")
    listener = server.listen(settings.host, settings.port)
    log.info("web on %s; %s", settings.public_url, settings)
    try:
        app = create_app(settings)
    except peewee.OperationalError as error:
        sys.exit(store.away(error))
    server.serve(app, listener)


if __name__ == "__main__":
    main()
