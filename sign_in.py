"""Who is at the browser, and what is theirs: signing in at X, out, the session in between. x_api.py walks the legs."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

import x_api
from models import Tweet, User
from pages import Trouble, with_database

FOREIGN = "This sign-in was not begun in this browser, or was used already. Nothing was changed: begin again."


def signed_in(request: Request) -> User | None:
    """The person whose browser this is."""
    return User.get_or_none(User.id == request.session.get("user"))


def own_tweet(request: Request) -> Tweet:
    """The tweet of the job in the path, for its owner. For anybody else there is none."""
    job_id, user = request.path_params["job_id"], signed_in(request)
    tweet = Tweet.for_job(job_id, user) if user else None
    if tweet is None:
        hint = "" if user else " Sign in first: only its owner can see it."
        raise Trouble(
            404, "unknown_job" if user else "signed_out", f"There is no tweet of yours with the job id {job_id}.{hint}"
        )
    return tweet


def login(request: Request) -> Response:
    """POST /login: to X, which asks the person. The request token is for this browser alone."""
    try:
        token, secret, authorize_url = x_api.sign_in_start(request.app.state.settings)
    except x_api.XError as error:
        raise Trouble(502, error.reason.code, f"Nobody was signed in: {error.reason.message}") from error
    request.session["asked"] = [token, secret]
    return RedirectResponse(authorize_url, 303)


def callback(request: Request) -> Response:
    """GET /oauth/callback: back from X. Only an answer to what this browser asked counts, and only once."""
    answer = request.query_params
    token, secret = request.session.get("asked", (None, None))
    if token is None or token != answer.get("oauth_token", answer.get("denied")):
        raise Trouble(400, "foreign_callback", FOREIGN)
    del request.session["asked"]
    if "denied" in answer:
        request.session["notice"] = "You said no at X, so nobody was signed in and nothing was changed."
        return RedirectResponse("/", 303)
    try:
        account = x_api.sign_in_finish(request.app.state.settings, token, secret, answer.get("oauth_verifier", ""))
    except x_api.XError as error:
        raise Trouble(502, error.reason.code, f"Nobody was signed in: {error.reason.message}") from error
    return welcome(request, account)


@with_database
def welcome(request: Request, account: x_api.Account) -> Response:
    """A person is here: a session of their own begins, with nothing in it from before but the text they had typed."""
    user = User.sign_in(account.x_id, account.handle, account.token, account.secret)
    draft = request.session.get("draft")
    request.session.clear()
    request.session["user"] = user.id
    if draft:
        request.session["draft"] = draft
    return RedirectResponse("/", 303)


def logout(request: Request) -> Response:
    """POST /logout."""
    request.session.clear()
    return RedirectResponse("/", 303)
