"""Every route of the sandbox, in the order a sign-in, a tweet and a look at the timeline meet them."""

from collections.abc import Container, Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sandbox import api, control, pages
from sandbox.state import Sandbox
from sandbox.store import Store

HERE = Path(__file__).resolve().parent
LARGEST_BODY = 1_000_000

ROUTES = [
    Route("/oauth/request_token", api.api(api.request_token), methods=["POST"]),
    Route("/oauth/authenticate", pages.ask, methods=["GET"]),
    Route("/oauth/authenticate", pages.consent, methods=["POST"]),
    Route("/oauth/authorize", pages.ask, methods=["GET"]),
    Route("/oauth/authorize", pages.consent, methods=["POST"]),
    Route("/oauth/access_token", api.api(api.access_token), methods=["POST"]),
    Route("/1.1/oauth/invalidate_token.json", api.api(api.invalidate_token), methods=["POST"]),
    Route("/2/users/me", api.api(api.for_person("me", api.me)), methods=["GET"]),
    Route("/2/tweets", api.api(api.for_person("post", api.post_tweet)), methods=["POST"]),
    Route("/2/users/{user_id}/tweets", api.api(api.for_person("timeline", api.timeline)), methods=["GET"]),
    Route("/2/tweets/{tweet_id}", api.api(api.for_person("delete", api.delete_tweet)), methods=["DELETE"]),
    Route("/_sandbox/faults", control.list_faults, methods=["GET"]),
    Route("/_sandbox/faults", control.takes_json(control.add_fault), methods=["POST"]),
    Route("/_sandbox/faults", control.drop_faults, methods=["DELETE"]),
    Route("/_sandbox/limits", control.takes_json(control.set_limits), methods=["POST"]),
    Route("/_sandbox/revoke", control.takes_json(control.revoke), methods=["POST"]),
    Route("/_sandbox/ledger", control.read_ledger, methods=["GET"]),
    Route("/_sandbox/ledger", control.drop_ledger, methods=["DELETE"]),
    Route("/_sandbox/timeline", control.read_timeline, methods=["GET"]),
    Mount("/_sandbox/static", StaticFiles(directory=HERE / "static")),
    Route("/", pages.everybody),
    Route("/{handle}", pages.person),
    Route("/{handle}/status/{tweet_id}", pages.one_tweet),
]


def create_app(callbacks: Iterable[str] = (), data: Path | None = None, *, repeats: Container[str] = ()) -> Starlette:
    """Make an X whose application has these callbacks, to the letter. `data` is a folder to remember in.

    Of the people in `repeats` it publishes the same words twice, so that nobody's second sending is hidden.
    """
    # Only by the names of this machine: a web page elsewhere cannot reach us by giving its own name our address.
    here = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "testserver"])
    missing = {404: pages.missing}
    app = Starlette(routes=ROUTES, middleware=[here], exception_handlers=missing, max_body_size=LARGEST_BODY)
    app.state.x = Sandbox(Store(data), tuple(callbacks), repeats)
    return app
