"""The only file that speaks HTTP to X. Its errors say what the caller may conclude: not sent, refused, or unknown.

It knows neither the database nor the queue, decides nothing about trying again, and never does so itself.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlencode

import requests
from requests_oauthlib import OAuth1, OAuth1Session
from requests_oauthlib.oauth1_session import TokenRequestDenied
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from reasons import reason
from settings import Settings
from x_answers import (
    NotSent,
    OutOfCredit,
    RateLimited,
    Refused,
    TooMany,
    Unknown,
    XError,
    conclude,
    decoded,
    detail_of,
    posts,
    same_words,
)

TIMEOUT = (4.0, 15.0)  # seconds to connect and to wait for a read: together less than a worker has for its last jobs
LONGEST_ANSWER = 64 * 1024
LONGEST_PAGE = 4 * 1024 * 1024  # of a timeline: 100 posts, and what their links lead to
PAGES = 5  # of a timeline
STALE_AFTER = 5.0  # seconds between signing and sending
APART = 240.0  # seconds between our clock and X's, which refuses 300

__all__ = [
    "Account",
    "NotSent",
    "OutOfCredit",
    "RateLimited",
    "Refused",
    "Signed",
    "TooMany",
    "Unknown",
    "XError",
    "find",
    "prepare_tweet",
    "send",
    "sign_in_finish",
    "sign_in_start",
]

log = logging.getLogger("tweetnow.worker")

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
    """A request, good for one sending soon."""

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
    return _sign(settings, credentials, "POST", "/2/tweets", json={"text": text})


def send(signed: Signed) -> str:
    """Send once, on a fresh connection, following nothing and repeating nothing. Returns X's id of the tweet.

    Raises NotSent, Refused or Unknown. What is not known to be one of the first two is Unknown.
    """
    return conclude(*_answer(signed, LONGEST_ANSWER, time.monotonic() + sum(TIMEOUT)))


def find(settings: Settings, credentials: tuple[str, str], x_id: str, text: str, since: int) -> list[str]:
    """Return X's ids of the person's tweets with these words, newest first, made since then (milliseconds).

    Raises Refused when we may not look, TooMany when that would not end, NotSent or Unknown when it cannot be told now.
    Costs what X takes for reading the posts of that time, at most PAGES of 100.
    """
    start = datetime.fromtimestamp(since / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    asked = {"max_results": "100", "start_time": start, "tweet.fields": "entities", "exclude": "retweets"}
    found: list[str] = []
    end = time.monotonic() + sum(TIMEOUT)  # for all pages: a worker has other work
    for _ in range(PAGES):
        signed = _sign(settings, credentials, "GET", f"/2/users/{x_id}/tweets", params=asked)
        page, token = posts(*_answer(signed, LONGEST_PAGE, end))
        found += [x_tweet_id for x_tweet_id, words in page if same_words(words, text)]
        if not token:
            return found
        asked["pagination_token"] = token
    if not found:
        raise TooMany(reason("no_answer", "there are too many posts to look through"))
    return found


def _sign(settings: Settings, credentials: tuple[str, str], method: str, path: str, **options: Any) -> Signed:
    auth = OAuth1(str(settings.x_consumer_key), str(settings.x_consumer_secret), *credentials)
    return Signed(requests.Request(method, settings.x_api_url + path, auth=auth, **options).prepare(), time.time())


def _answer(signed: Signed, longest: int, end: float) -> tuple[int, Mapping[str, str], bytes]:
    """Send a request; return status, headers and body of the answer, cut off when it is too long or drips too slowly.

    `end` is on the monotonic clock. Raises NotSent when X has nothing of it, Unknown when it may.
    """
    if abs(time.time() - signed.signed_at) > STALE_AFTER:
        raise NotSent(reason("unreachable"))  # we were frozen in between: X might meanwhile have got another one
    body = bytearray()
    try:
        with (
            requests.Session() as session,  # a new one has no connection to reuse, and makes no second attempt
            session.send(signed.request, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer,
        ):
            # What is there: iter_content would wait until a piece is full, however slowly it drips.
            while len(body) < longest and time.monotonic() < end and (piece := answer.raw.read1(65_536, True)):
                body += piece
    except (requests.RequestException, HTTPError) as error:
        if _never_connected(error):
            raise NotSent(reason("unreachable")) from error
        raise Unknown(reason("no_answer", type(error).__name__)) from error
    late = time.time() - signed.signed_at > STALE_AFTER
    if answer.status_code == 401 and (late or _apart(answer.headers)):
        raise NotSent(reason("unreachable"))  # X may mean the timestamp, not the person
    return answer.status_code, answer.headers, bytes(body)


def _apart(headers: Mapping[str, str]) -> bool:
    """Whether X's clock, by the date of its answer, is so far from ours that it takes nothing we sign."""
    try:
        apart = parsedate_to_datetime(headers["Date"]).timestamp() - time.time()
    except (KeyError, ValueError):
        return False
    if abs(apart) > APART:
        log.error("X takes nothing from here: its clock is %+.0f s from ours. Set the clock of this machine", apart)
    return abs(apart) > APART


def _never_connected(error: requests.RequestException | HTTPError) -> bool:
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
