"""OAuth 1.0a as X plays it, on oauthlib's provider: signature, nonce, clock, callback and verifier are all checked.

Only HMAC-SHA1 is accepted. What X adds to RFC 5849 is here too: the form of its tokens and answers, and code 415 for a
callback that is not on the application's list.
"""

import string
import time
from collections.abc import Callable, Container
from typing import Any

from oauthlib.oauth1 import RequestValidator, WebApplicationServer
from starlette.datastructures import Headers
from starlette.responses import Response

from sandbox import answers
from sandbox.accounts import BY_ID, CONSUMER_KEY, CONSUMER_SECRET
from sandbox.store import AccessToken, Store

CLOCK_TOLERANCE = 300  # seconds, either way
SIGN_IN_WITHIN = 900  # seconds that a request token lives
NOBODY = "a-token-that-nobody-has"

Signed = tuple[str, str, str, Headers]  # URL as the client signed it, method, body, headers


class Validator(RequestValidator):
    """Answers oauthlib's questions about one request. Make a new one for each: it remembers what it found."""

    enforce_ssl = False  # we serve http on the loopback
    allowed_signature_methods = ("HMAC-SHA1",)
    safe_characters = set(string.ascii_letters + string.digits + "-")  # noqa: RUF012  the type that oauthlib declares
    client_key_length = request_token_length = access_token_length = verifier_length = (8, 100)
    timestamp_lifetime = CLOCK_TOLERANCE
    dummy_client = dummy_request_token = dummy_access_token = NOBODY

    def __init__(self, store: Store, callbacks: Container[str] = ()) -> None:
        super().__init__()
        self.store = store
        self.callbacks = callbacks
        self.found: AccessToken | None = None  # of the last valid request

    def check_nonce(self, nonce: str) -> bool:
        """X asks for ASCII and says no more."""
        return nonce.isascii() and 0 < len(nonce) <= 100

    def get_client_secret(self, client_key: str, request: Any) -> str:
        """There is one application; the dummy has to be checked against something too."""
        return CONSUMER_SECRET

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        """Know our one application."""
        return client_key == CONSUMER_KEY

    def validate_timestamp_and_nonce(
        self, client_key: str, timestamp: str, nonce: str, request: Any,
        request_token: str | None = None, access_token: str | None = None,
    ) -> bool:  # fmt: skip
        """A nonce is good once for its key, token and second. oauthlib looked at the clock before."""
        key = "\n".join((client_key, request_token or access_token or "", timestamp, nonce))
        return self.store.first_use(key, int(timestamp), keep=CLOCK_TOLERANCE + 60)

    # The first step: a request token.

    def get_default_realms(self, client_key: str, request: Any) -> list[str]:
        """X has no realms; nor below."""
        return []

    def validate_requested_realms(self, client_key: str, realms: list[str], request: Any) -> bool:
        """Whatever is asked."""
        return True

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Any) -> bool:
        """Looked at in save_request_token: only who signed well is told about the list."""
        return True

    def save_request_token(self, token: Any, request: Any) -> None:
        """Keep it, if its callback is on the list to the letter."""
        if request.redirect_uri not in self.callbacks:
            raise answers.Refused(403, answers.CALLBACK_REFUSED)
        level = "read" if ("x_auth_access_type", "read") in request.params else "read-write"
        secret = token["oauth_token_secret"]
        self.store.add_request_token(token["oauth_token"], secret, callback=request.redirect_uri, level=level)

    # The third step: an access token for it.

    def get_request_token_secret(self, client_key: str, token: str, request: Any) -> str:
        """The secret that signs the exchange."""
        found = self.store.request_token(token)
        return found.secret if found else NOBODY

    def validate_request_token(self, client_key: str, token: str, request: Any) -> bool:
        """Known, and not too old."""
        found = self.store.request_token(token)
        return found is not None and found.created_at > time.time() - SIGN_IN_WITHIN

    def validate_verifier(self, client_key: str, token: str, verifier: str, request: Any) -> bool:
        """Proof that the person said yes to this very sign-in."""
        found = self.store.request_token(token)
        return found is not None and found.verifier is not None and found.verifier == verifier

    def get_realms(self, token: str, request: Any) -> list[str]:
        """None."""
        return []

    def save_access_token(self, token: Any, request: Any) -> None:
        """Keep it, and make the answer what X's is: oauthlib sends what `token` holds after this."""
        asked = self.store.request_token(request.resource_owner_key)
        if asked is None or asked.account_id is None:
            raise LookupError("validate_verifier let through a sign-in that nobody allowed")
        made = self.store.add_access_token(asked.account_id, token["oauth_token_secret"], asked.level)
        account = BY_ID[asked.account_id]
        del token["oauth_authorized_realms"]
        token.update(oauth_token=made.token, user_id=account.id, screen_name=account.handle)

    def invalidate_request_token(self, client_key: str, request_token: str, request: Any) -> None:
        """A verifier is good once."""
        self.store.drop_request_token(request_token)

    # Every call after that.

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        """The secret that signs calls for this person."""
        found = self.store.access_token(token)
        return found.secret if found else NOBODY

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        """Known and not revoked."""
        self.found = self.store.access_token(token)
        return self.found is not None

    def validate_realms(
        self, client_key: str, token: str, request: Any, uri: str | None = None, realms: list[str] | None = None
    ) -> bool:
        """No realms, no refusal."""
        return True


def request_token(store: Store, callbacks: Container[str], signed: Signed) -> Response:
    """Step 1: a request token, or 401, or 403 for a callback that is not on the list."""
    return _token_answer(WebApplicationServer(Validator(store, callbacks)).create_request_token_response, signed)


def access_token(store: Store, signed: Signed) -> Response:
    """Step 3: an access token, or 401."""
    return _token_answer(WebApplicationServer(Validator(store)).create_access_token_response, signed)


def _token_answer(create: Callable[..., tuple[object, str | None, int]], signed: Signed) -> Response:
    try:
        _, answer, status = create(*signed)
    except ValueError:  # what is not even a query or a header
        answer, status = None, 400
    if status != 200:
        raise answers.coded(401, 32, "Could not authenticate you.")
    return Response(answer, media_type="text/html;charset=utf-8")  # X says html and sends a form


def authenticate(store: Store, signed: Signed) -> AccessToken | None:
    """Find whose request this is; None when anything about it is wrong."""
    validator = Validator(store)
    try:
        valid, _ = WebApplicationServer(validator).validate_protected_resource_request(*signed, [])
    except ValueError:
        return None
    return validator.found if valid else None
