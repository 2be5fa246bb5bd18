"""The only file that speaks HTTP to X. Its errors say what the caller may conclude: not sent, refused, or unknown.

It knows neither the database nor the queue, decides nothing about trying again, and never does so itself.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import urlencode

import requests
from requests_oauthlib import OAuth1, OAuth1Session
from requests_oauthlib.oauth1_session import TokenRequestDenied
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from reasons import reason
from settings import Settings
from x_answers import (
    NotSent,
    OutOfCredit,
    RateLimited,
    Refused,
    Unknown,
    XError,
    conclude,
    decoded,
    detail_of,
    plain_text,
    posts,
    same_words,
)

TIMEOUT = (4.0, 15.0)  # seconds to connect and to wait for a read: together less than a worker has for its last jobs
LONGEST_ANSWER = 64 * 1024
PAGES = 5  # of a timeline
STALE_AFTER = 5.0  # seconds between signing and sending

__all__ = [
    "Account",
    "NotSent",
    "OutOfCredit",
    "RateLimited",
    "Refused",
    "Signed",
    "Unknown",
    "XError",
    "find",
    "prepare_tweet",
    "send",
    "sign_in_finish",
    "sign_in_start",
]

for _name in ("oauthlib", "requests_oauthlib"):  # at DEBUG these write tokens, whatever level the program asks for
    logging.getLogger(_name).setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Account:
    """Who signed in, and what we may sign with."""

    x_id: str
    handle: str
    token: str
    secret: str

    def __repr__(self) -> str:
        return f"Account({self.x_id}, {self.handle})"


@dataclass(frozen=True, slots=True)
class Signed:
    """A request to post one tweet, good for one sending soon."""

    request: requests.PreparedRequest
    signed_at: float  # Unix seconds: X compares the timestamp inside with its clock


def sign_in_start(settings: Settings) -> tuple[str, str, str]:
    """Ask X for a request token. Returns it, its secret and the address to send the person to."""
    callback = f"{settings.public_url}/oauth/callback"
    with _session(settings, callback_uri=callback) as session, _sign_in_errors(callback):
        answer = session.fetch_request_token(
            f"{settings.x_api_url}/oauth/request_token", timeout=TIMEOUT, allow_redirects=False
        )
        if answer.get("oauth_callback_confirmed") != "true":
            raise ValueError("the callback was not confirmed")
        token, secret = answer["oauth_token"], answer["oauth_token_secret"]
    return token, secret, f"{settings.x_api_url}/oauth/authenticate?{urlencode({'oauth_token': token})}"


def sign_in_finish(settings: Settings, token: str, secret: str, verifier: str) -> Account:
    """Change a request token that the person allowed into an access token, which does not expire."""
    session = _session(settings, resource_owner_key=token, resource_owner_secret=secret, verifier=verifier)
    with session, _sign_in_errors():
        answer = session.fetch_access_token(
            f"{settings.x_api_url}/oauth/access_token", timeout=TIMEOUT, allow_redirects=False
        )
        return Account(answer["user_id"], answer["screen_name"], answer["oauth_token"], answer["oauth_token_secret"])


def prepare_tweet(settings: Settings, credentials: tuple[str, str], text: str) -> Signed:
    """Sign a tweet. Nothing is sent yet, so that the caller can write down first that it is about to be."""
    consumer = str(settings.x_consumer_key), str(settings.x_consumer_secret)
    request = requests.Request(
        "POST", f"{settings.x_api_url}/2/tweets", json={"text": text}, auth=OAuth1(*consumer, *credentials)
    )
    return Signed(request.prepare(), time.time())


def send(signed: Signed) -> str:
    """Send once, on a fresh connection, following nothing and repeating nothing. Returns X's id of the tweet.

    Raises NotSent, Refused or Unknown. What is not known to be one of the first two is Unknown.
    """
    if abs(time.time() - signed.signed_at) > STALE_AFTER:
        raise NotSent(reason("unreachable"))  # we were frozen in between: X might meanwhile have got another one
    end = time.monotonic() + sum(TIMEOUT)
    try:
        with (
            requests.Session() as session,  # a new one has no connection to reuse, and makes no second attempt
            session.send(signed.request, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer,
        ):
            body = bytearray()
            for byte in answer.iter_content(1):  # a larger piece would wait for all of it, however slowly it drips
                body += byte
                if len(body) >= LONGEST_ANSWER or time.monotonic() > end:
                    break
    except requests.RequestException as error:
        if _never_connected(error):
            raise NotSent(reason("unreachable")) from error
        raise Unknown(reason("no_answer", type(error).__name__)) from error
    if answer.status_code == 401 and time.time() - signed.signed_at > STALE_AFTER:
        raise NotSent(reason("unreachable"))  # on the way too long: X may mean the timestamp, not the person
    return conclude(answer.status_code, answer.headers, bytes(body))


def find(settings: Settings, credentials: tuple[str, str], x_id: str, text: str, since: int) -> list[str]:
    """Return X's ids of the person's tweets with these words, newest first, made since then (milliseconds).

    Raises Refused when we may not look, NotSent or Unknown when that cannot be told now. Costs what X takes for reading
    the posts of that time, at most PAGES of 100.
    """
    start = datetime.fromtimestamp(since / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    asked = {"max_results": "100", "start_time": start, "tweet.fields": "entities", "exclude": "retweets"}
    auth = OAuth1(str(settings.x_consumer_key), str(settings.x_consumer_secret), *credentials)
    found: list[str] = []
    with requests.Session() as session:
        for _ in range(PAGES):
            answer = _get(session, f"{settings.x_api_url}/2/users/{x_id}/tweets", params=asked, auth=auth)
            page, token = posts(answer.status_code, answer.headers, answer.content)
            found += [str(post["id"]) for post in page if same_words(plain_text(post), text)]
            if not token:
                return found
            asked["pagination_token"] = token
    if not found:
        raise Unknown(reason("no_answer", "there are too many posts to look through"))
    return found


def _get(session: requests.Session, url: str, **options: Any) -> requests.Response:
    try:
        return session.get(url, timeout=TIMEOUT, allow_redirects=False, **options)
    except requests.RequestException as error:
        raise NotSent(reason("unreachable")) from error


def _never_connected(error: requests.RequestException) -> bool:
    """Whether no connection to X came about (refused, no such name, no answer to connect). All else may have sent."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(cause, NewConnectionError | ConnectTimeoutError)


def _session(settings: Settings, **options: Any) -> OAuth1Session:
    return OAuth1Session(str(settings.x_consumer_key), client_secret=str(settings.x_consumer_secret), **options)


@contextmanager
def _sign_in_errors(callback: str = "") -> Iterator[None]:
    """Turn what can go wrong in a sign-in into our errors. Of X's body only its words for people are kept."""
    try:
        yield
    except TokenRequestDenied as error:
        _denied(error.status_code, error.response.text, callback)
    except requests.RequestException as error:
        raise NotSent(reason("unreachable")) from error
    except (ValueError, KeyError) as error:  # no form, or one with something missing
        raise Refused(reason("sign_in_refused", "its answer made no sense")) from error


def _denied(status: int, body: str, callback: str) -> NoReturn:
    if status == 429 or status >= 500:
        raise NotSent(reason("unreachable")) from None
    if callback and "callback" in body.lower():
        raise Refused(reason("callback_refused", callback)) from None
    if callback and status == 401:  # no person is involved yet
        raise Refused(reason("app_unknown")) from None
    raise Refused(reason("sign_in_refused", detail_of(decoded(body.encode())) or f"status {status}")) from None
