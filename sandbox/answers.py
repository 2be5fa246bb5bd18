"""The bodies and headers X answers with, word for word where they are known. Decides nothing.

X has two shapes of error: problem objects on /2/, and `{"errors": [{code, message}]}` on the older paths.
"""

import json
import secrets
import time
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response

PROBLEMS = "https://api.twitter.com/2/problems/"
HOW_LONG = (
    "Your Tweet text is too long. For more information on how Twitter determines text length see "
    "https://github.com/twitter/twitter-text."
)
CALLBACK_REFUSED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<errors>\n  <error code="415">Callback URL not approved for this client '
    "application. Approved callback URLs can be adjusted in your application settings</error>\n</errors>\n"
)


@dataclass(eq=False)
class Refused(Exception):
    """X says no. Raised by whoever notices, made a response in one place."""

    status: int
    body: dict[str, object] | str
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The answer on the wire."""
        if isinstance(self.body, str):
            return Response(self.body, self.status, self.headers, "application/xml;charset=utf-8")
        kind = "application/problem+json" if "type" in self.body else "application/json"
        return Response(json.dumps(self.body), self.status, self.headers, f"{kind}; charset=utf-8")


def problem(status: int, title: str, detail: str, kind: str = "about:blank") -> Refused:
    """A problem object; a `kind` other than about:blank is one of X's problem types."""
    where = kind if kind == "about:blank" else PROBLEMS + kind
    return Refused(status, {"title": title, "detail": detail, "type": where, "status": status})


def coded(status: int, code: int, message: str) -> Refused:
    """An error of the older paths."""
    return Refused(status, {"errors": [{"code": code, "message": message}]})


def invalid(message: str) -> Refused:
    """400: the request itself is wrong."""
    body: dict[str, object] = {
        "errors": [{"message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": PROBLEMS + "invalid-request",
    }
    return Refused(400, body)


def unauthorized() -> Refused:
    """401 of /2/: signature, token, clock or nonce; X does not say which."""
    return problem(401, "Unauthorized", "Unauthorized")


def duplicate() -> Refused:
    """403: the same words again."""
    return problem(403, "Forbidden", "You are not allowed to create a Tweet with duplicate content.")


def forbidden() -> Refused:
    """403: X does not want this from this person, and does not say why."""
    return problem(403, "Forbidden", "You are not permitted to perform this action.")


def read_only() -> Refused:
    """403: the token is older than the application's right to write."""
    detail = "Your client app is not configured with the appropriate oauth1 app permissions for this endpoint."
    return problem(403, "Forbidden", detail, "oauth1-permissions")


def no_credit() -> Refused:
    """402: the application's operator has to pay first."""
    return problem(402, "Payment Required", "credits depleted", "credits-depleted")


def usage_cap() -> Refused:
    """429 that no waiting of minutes cures: the month's quota of the application is used up."""
    body: dict[str, object] = {
        "account_id": 1,
        "product_name": "standard-basic",
        "title": "UsageCapExceeded",
        "period": "Monthly",
        "scope": "Product",
        "detail": "Usage cap exceeded: Monthly product cap",
        "type": PROBLEMS + "usage-capped",
    }
    return Refused(429, body, rate_limit(100, 99, int(time.time()) + 900))


def too_many(limit: int, reset: int) -> Refused:
    """429 until `reset` (Unix seconds)."""
    refused = problem(429, "Too Many Requests", "Too Many Requests")
    refused.headers = rate_limit(limit, 0, reset)
    return refused


def rate_limit(limit: int, remaining: int, reset: int) -> dict[str, str]:
    """The three headers that say what is left for this person, and until when (Unix seconds)."""
    return {
        "x-rate-limit-limit": str(limit),
        "x-rate-limit-remaining": str(remaining),
        "x-rate-limit-reset": str(reset),
    }


def not_found(kind: str, name: str, value: str) -> dict[str, object]:
    """What X says of a user or tweet that is not there; the status is up to the route."""
    return {
        "value": value,
        "detail": f"Could not find {kind} with {name}: [{value}].",
        "title": "Not Found Error",
        "resource_type": kind,
        "parameter": name,
        "resource_id": value,
        "type": PROBLEMS + "resource-not-found",
    }


def ok(body: dict[str, object], status: int = 200) -> Response:
    """A JSON answer."""
    return JSONResponse(body, status)


def mark(response: Response, milliseconds: float) -> Response:
    """Add what X puts on every answer, for those who write to support."""
    response.headers.setdefault("x-transaction-id", secrets.token_hex(8))
    response.headers.setdefault("x-response-time", f"{milliseconds:.0f}")
    return response
