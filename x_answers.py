"""What X's answers mean: the errors that say what a caller may conclude, and how they are read out of an answer.

X answers in two shapes of JSON, and from its edge in HTML, XML or nothing at all.
"""

import html
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from reasons import Reason, reason

LIMITS = ("x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour")


class XError(Exception):
    """The root. `reason` says it in words for the person."""

    def __init__(self, why: Reason) -> None:
        super().__init__(f"{why.code}: {why.message}")
        self.reason = why


class NotSent(XError):
    """X certainly has not taken it. Trying again is safe."""


class RateLimited(NotSent):
    """X wants us to wait until `reset` (Unix seconds; None when it did not say)."""

    def __init__(self, why: Reason, reset: float | None) -> None:
        super().__init__(why)
        self.reset = reset


class OutOfCredit(NotSent):
    """The app may send nothing more, for anybody, until its operator has done something."""


class Refused(XError):
    """X read it and said no. The same again gets the same answer."""


class Unknown(XError):
    """X may have taken it or not. Sending again may publish it twice."""


class TooMany(Unknown):
    """There are too many posts to look through, and there will not be fewer."""


def conclude(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Say what an answer to a post means: return the id of the tweet, or raise NotSent, Refused or Unknown."""
    answer = decoded(body)
    if 200 <= status < 300:
        data = answer.get("data")
        tweet_id = data.get("id") if isinstance(data, dict) else None
        if status == 201 and _is_id(tweet_id):
            return str(tweet_id)
        raise Unknown(reason("no_answer", f"it answered {status} without naming a tweet"))
    raise _objection(status, headers, answer)


def posts(status: int, headers: Mapping[str, str], body: bytes) -> tuple[list[tuple[str, str]], str | None]:
    """Read an answer to a look at a timeline: id and text of each post, and the token of the next page.

    Raises as `conclude` does, and Unknown when one thing in it is not as X says: it may be what is looked for.
    """
    answer = decoded(body)
    if status != 200:
        raise _objection(status, headers, answer)
    try:
        found = [(post["id"], plain_text(post)) for post in answer.get("data") or ()]
        token = answer["meta"].get("next_token")
    except (AttributeError, KeyError, TypeError):
        raise Unknown(reason("no_answer", "its answer made no sense")) from None
    if not all(_is_id(x_tweet_id) for x_tweet_id, _ in found) or not isinstance(token, str | None):
        raise Unknown(reason("no_answer", "its answer made no sense"))
    return found, token


def plain_text(post: Mapping[str, Any]) -> str:
    """Return a post's text as it was written: with the three characters X escapes, and links at their full length."""
    text = html.unescape(post["text"])  # before the links are in it: "&times=" is no entity there
    for link in (post.get("entities") or {}).get("urls") or ():
        text = text.replace(link["url"], link["expanded_url"])
    return text


def same_words(one: str, other: str) -> bool:
    """Whether two texts are one to X, which adds to links their scheme and a slash, may escape an & in them, and trims
    white space."""
    added = re.compile(r"https?://|/(?=\s|$)|(?<=&)(?:amp;)+")
    one, other = (added.sub("", unicodedata.normalize("NFC", text)) for text in (one, other))
    return one.split() == other.split()


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def _objection(status: int, headers: Mapping[str, str], answer: dict[str, Any]) -> XError:
    """What an answer means that is none of success."""
    if not 400 <= status < 500:
        return Unknown(reason("no_answer", f"it answered {status}"))
    if status == 402 or _kind(answer) in ("usage-capped", "UsageCapExceeded", "credits", "credits-depleted"):
        return OutOfCredit(reason("out_of_credit"))
    if status == 429:
        return RateLimited(reason("rate_limited"), _reset(headers))
    return Refused(_refusal(status, answer))


def _refusal(status: int, answer: dict[str, Any]) -> Reason:
    """Put a refusal into words a person can act on."""
    detail = detail_of(answer) or f"status {status}"
    words = detail.lower()
    if status == 401:
        return reason("signed_out")
    if "duplicate" in words:
        return reason("duplicate")
    if "too long" in words:
        return reason("too_long")
    if _kind(answer) in ("oauth1-permissions", "client-forbidden", "unsupported-authentication"):
        return reason("app_refused", detail)
    return reason("not_permitted" if status == 403 else "refused", detail)


def decoded(body: bytes) -> dict[str, Any]:
    """Return X's JSON object; an empty one for what is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _kind(answer: dict[str, Any]) -> str:
    """X's problem type by its last part (the host before it has changed), or the title where there is none."""
    kind = str(answer.get("type") or "about:blank").rsplit("/", 1)[-1]
    return kind if kind != "about:blank" else str(answer.get("title"))


def detail_of(answer: dict[str, Any]) -> str:
    """Return X's own words, the most telling ones there are."""
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    told = first.get("message") if isinstance(first, dict) else None
    return str(told or answer.get("detail") or answer.get("title") or "")


def _reset(headers: Mapping[str, str]) -> float | None:
    """When we may post again: the latest of the limits that are used up, in Unix seconds. None if X does not say."""
    limits = [limit for limit in LIMITS if headers.get(f"{limit}-remaining") == "0"] or LIMITS[:1]
    resets = [headers.get(f"{limit}-reset", "") for limit in limits]
    return max((float(reset) for reset in resets if reset.isascii() and reset.isdigit()), default=None)
