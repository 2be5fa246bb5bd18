"""Who is at the browser, and what is theirs: signing in at X, out, the session in between. x_api.py walks the legs."""

import re
import secrets
from collections.abc import Callable, Set
from typing import Any, TypeVar

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

import limiter
import pages
import x_api
from guard import SESSION_DAYS
from models import Tweet, User
from pages import Trouble, read_fields, with_database
from tables import Session
from times import now_ms

FOREIGN = "This sign-in was not begun in this browser, or was used already. Nothing was changed: begin again."
NO_ANSWER = "X sent you back without an answer, so nobody was signed in. Begin again, and choose yes or no at X."
BUSY = "X is slow and many people are signing in, so nobody was signed in here. Try again in a minute."
TOO_LONG = "This text is too long to be kept while you are at X. Copy it from here, then sign in."
# X may take 19 s for an answer. Threads of their own wait for it: with all of those taken the site still answers.
SEATS = anyio.CapacityLimiter(8)
PATIENCE = 2.0  # seconds that a sign-in waits for one of them
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
Answer = TypeVar("Answer")


def signed_in(request: Request) -> User | None:
    """The person whose browser this is, while the sign-in lasts and nobody has signed out of it."""
    session = request.session.get("id")
    return people({session}).get(session) if session else None


def people(sessions: Set[str]) -> dict[str, User]:
    """Who is signed in by these sessions."""
    lasts = Session.id.in_(sessions), Session.created_at > oldest()
    found = User.select(User, Session.id.alias("session")).join(Session, on=(Session.x_id == User.x_id)).where(*lasts)
    return {user.session: user for user in found.objects()}  # type: ignore[attr-defined]  # an alias


def oldest() -> int:
    """A sign-in from before this moment is over."""
    return now_ms() - SESSION_DAYS * 86_400_000


def tweet_of(user: User | None, job_id: str) -> Tweet | None:
    """The person's tweet with this job id. What cannot be an id never reaches the database: Postgres refuses NUL."""
    return Tweet.for_job(job_id, user) if user and JOB_ID.fullmatch(job_id) else None


def own_tweet(request: Request) -> Tweet:
    """The tweet of the job in the path, for its owner. For anybody else there is none."""
    job_id, user = request.path_params["job_id"], signed_in(request)
    tweet = tweet_of(user, job_id)
    if tweet is None:
        raise nothing_of_yours(user, job_id)
    return tweet


def nothing_of_yours(user: User | None, job_id: str) -> Trouble:
    """The same for an id that is somebody else's and for one that nobody has."""
    words = f"There is no tweet of yours with the job id {job_id}."
    if user:
        return Trouble(404, "unknown_job", words)
    return Trouble(404, "signed_out", f"{words} Sign in first: only its owner can see it.")


async def login(request: Request) -> Response:
    """POST /login: to X, which asks the person. What they had typed is kept; the request token is this browser's."""
    settings = request.app.state.settings
    limiter.count("sign_ins", limiter.address(request), settings.sign_ins_per_minute)
    fields = await read_fields(request)
    if "status" in fields:
        request.session.pop("kept", None)
        if not pages.fits(fields):
            trouble = Trouble(413, "too_long_to_keep", TOO_LONG)
            return await run_in_threadpool(pages.show_home, request, None, fields, trouble)
        request.session["kept"] = pages.typed(fields)
    token, secret, authorize_url = await ask_x(x_api.sign_in_start, settings)
    request.session["asked"] = [token, secret]
    return RedirectResponse(authorize_url, 303)


async def callback(request: Request) -> Response:
    """GET /oauth/callback: back from X. Only an answer to what this browser asked counts, and only once."""
    answer = request.query_params
    token, secret = request.session.get("asked", (None, None))
    if token is None or token != answer.get("oauth_token", answer.get("denied")):
        raise Trouble(400, "foreign_callback", FOREIGN)
    if "denied" not in answer and not answer.get("oauth_verifier"):
        raise Trouble(400, "no_verifier", NO_ANSWER)
    del request.session["asked"]
    if "denied" in answer:
        request.session["notice"] = "You said no at X, so nobody was signed in and nothing was changed."
        return RedirectResponse("/", 303)
    settings = request.app.state.settings
    account = await ask_x(x_api.sign_in_finish, settings, token, secret, answer["oauth_verifier"])
    return await run_in_threadpool(welcome, request, account)


async def ask_x(leg: Callable[..., Answer], *arguments: Any) -> Answer:
    """Walk one leg of a sign-in on a thread of its own, or refuse when too many are on their way."""
    seat = object()
    with anyio.move_on_after(PATIENCE) as patience:
        await SEATS.acquire_on_behalf_of(seat)
    if patience.cancelled_caught:
        raise Trouble(503, "busy", BUSY)
    try:
        return await anyio.to_thread.run_sync(leg, *arguments, limiter=anyio.CapacityLimiter(1))
    except x_api.XError as error:
        raise Trouble(502, error.reason.code, f"Nobody was signed in: {error.reason.message}") from error
    finally:
        SEATS.release_on_behalf_of(seat)


@with_database
def welcome(request: Request, account: x_api.Account) -> Response:
    """A person is here: a session of their own begins, with nothing in it from before but what they had typed."""
    user = User.sign_in(account.x_id, account.handle, account.token, account.secret)
    kept, before = request.session.get("kept"), request.session.get("id")
    request.session.clear()
    request.session.update(
        id=secrets.token_urlsafe(24), x_id=user.x_id
    )  # operators are known while the database is away
    Session.delete().where((Session.id == before) | (Session.created_at <= oldest())).execute()
    Session.create(id=request.session["id"], x_id=user.x_id, created_at=now_ms())
    if kept:
        request.session["kept"] = kept
    return RedirectResponse("/", 303)


@with_database
def logout(request: Request) -> Response:
    """POST /logout: a copy of the cookie is worth nothing from now on."""
    Session.delete().where(Session.id == request.session.get("id")).execute()
    request.session.clear()
    return RedirectResponse("/", 303)
