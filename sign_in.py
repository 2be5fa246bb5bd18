"""Who is at the browser: signing in at X, out, and the session in between. The three legs are in x_api.py."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

import x_api
from models import User
from pages import Trouble, with_database

FOREIGN = "This sign-in was not begun in this browser, or was used already. Nothing was changed: begin again."


def signed_in(request: Request) -> User | None:
    """The person whose browser this is."""
    return User.get_or_none(User.id == request.session.get("user"))


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
