"""The paths of api.x.com that Tweet Now calls, in the order it calls them. OAuth itself is in oauth.py."""

import json
import time
from collections.abc import Awaitable, Callable, Container
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

import tweet_text
from sandbox import answers, faults, links, oauth
from sandbox.accounts import BY_ID
from sandbox.state import Call
from sandbox.store import EPOCH, AccessToken, Tweet

Handler = Callable[[Call], Response]
SAME_WORDS_AGAIN = 12 * 3600 * 1000  # milliseconds; X does not publish it, third parties saw about this
NEWEST = 2**63 - 1  # no id is higher


def api(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint: write the call into the ledger, let a waiting fault have it, else answer."""

    async def endpoint(request: Request) -> Response:
        call, started = await Call.of(request), time.monotonic()
        fault = call.x.faults.take(call.line)
        if fault:
            response = await faults.play(fault, call, lambda: answer(handler, call))
        else:
            response = answer(handler, call)
        call.line["answer"] = "none" if isinstance(response, faults.Cut) else response.status_code
        return answers.mark(response, (time.monotonic() - started) * 1000)

    return endpoint


def answer(handler: Handler, call: Call) -> Response:
    """What the handler says; its refusals are answers too."""
    try:
        return handler(call)
    except answers.Refused as refused:
        return refused.response()


def for_person(kind: str, handler: Callable[[Call, AccessToken], Response]) -> Handler:
    """Let in only who signs with a person's token and is within that person's limit."""

    def checked(call: Call) -> Response:
        token = oauth.authenticate(call.x.store, call.signed)
        if token is None:
            raise answers.unauthorized()
        allowed, room = call.x.limits.count(kind, token.account_id, time.time())
        if not allowed:
            raise answers.too_many(room.limit, room.reset)
        response = answer(lambda call: handler(call, token), call)
        left = answers.rate_limit(room.limit, room.limit - room.used, room.reset)
        response.headers.update(left | {"x-access-level": token.level})
        return response

    return checked


def request_token(call: Call) -> Response:
    """POST /oauth/request_token."""
    return oauth.request_token(call.x.store, call.x.callbacks, call.signed)


def access_token(call: Call) -> Response:
    """POST /oauth/access_token."""
    response = oauth.access_token(call.x.store, call.signed)
    call.line["account"] = parse_qs(bytes(response.body).decode())["screen_name"][0]
    return response


def invalidate_token(call: Call) -> Response:
    """POST /1.1/oauth/invalidate_token.json: the application gives its access back."""
    token = oauth.authenticate(call.x.store, call.signed)
    if token is None:
        raise answers.coded(401, 89, "Invalid or expired token.")
    call.x.store.revoke(token=token.token)
    return answers.ok({"access_token": token.token})


def me(call: Call, token: AccessToken) -> Response:
    """GET /2/users/me."""
    account = token.account
    return answers.ok({"data": {"id": account.id, "name": account.name, "username": account.handle}})


def post_tweet(call: Call, token: AccessToken) -> Response:
    """POST /2/tweets."""
    if token.level != "read-write":
        raise answers.read_only()
    text = _text_to_post(call)
    store, account = call.x.store, token.account
    if account.handle not in call.x.repeats and store.said(
        account, text, since=int(time.time() * 1000) - SAME_WORDS_AGAIN
    ):
        raise answers.duplicate()
    tweet = store.add_tweet(account, text)
    call.line["tweet_id"] = str(tweet.id)
    return answers.ok({"data": _as_json(tweet)}, 201)


def _text_to_post(call: Call) -> str:
    """The text of a body that X would take. Only text is played here; X's other fields count as unknown."""
    if not call.request.headers.get("content-type", "").startswith("application/json"):
        raise answers.invalid("Requests with bodies must have content-type of application/json.")
    try:
        body = json.loads(call.body)
    except (ValueError, RecursionError):
        raise answers.invalid("Invalid JSON in the request body.") from None
    if not isinstance(body, dict):
        raise answers.invalid("[$: must be an object]")
    for name in body.keys() - {"text"}:
        message = f"[$.{name}: is not defined in the schema and the schema does not allow additional properties]"
        raise answers.invalid(message)
    text = body.get("text")
    if not isinstance(text, str) or not text.strip():
        raise answers.invalid("The text of a Tweet must not be empty.")
    if tweet_text.INVALID.search(text):
        raise answers.invalid("The text of a Tweet must not contain invalid characters.")
    if len(text) > tweet_text.LONGEST_TEXT or tweet_text.weight(text) > tweet_text.LIMIT:
        raise answers.invalid(answers.HOW_LONG)
    return text


def delete_tweet(call: Call, token: AccessToken) -> Response:
    """DELETE /2/tweets/{id}: only one's own."""
    wanted = call.request.path_params["tweet_id"]
    tweet = call.x.store.tweet(int(wanted)) if is_id(wanted) else None
    if tweet is None:
        raise answers.Refused(404, {"errors": [answers.not_found("tweet", "id", wanted)]})
    if tweet.account_id != token.account_id:
        raise answers.problem(403, "Forbidden", "You are not authorized to delete this Tweet.")
    call.x.store.delete_tweet(tweet.id)
    call.line["tweet_id"] = wanted
    return answers.ok({"data": {"deleted": True}})


def timeline(call: Call, token: AccessToken) -> Response:
    """GET /2/users/{id}/tweets, newest first. The pagination token is the id to go on below."""
    wanted = call.request.path_params["user_id"]
    account = BY_ID.get(wanted)
    if account is None:
        return answers.ok({"errors": [answers.not_found("user", "id", wanted)]})
    limit, above, below = _page(call)
    found = call.x.store.tweets(account_id=account.id, above=above, below=below, limit=limit + 1)
    extras = call.request.query_params.get("tweet.fields", "").split(",")
    meta: dict[str, object] = {"result_count": len(found[:limit])}
    if not found:
        return answers.ok({"meta": meta})
    meta |= {"newest_id": str(found[0].id), "oldest_id": str(found[:limit][-1].id)}
    if len(found) > limit:
        meta["next_token"] = str(found[limit - 1].id)
    return answers.ok({"data": [_as_json(tweet, extras) for tweet in found[:limit]], "meta": meta})


def _page(call: Call) -> tuple[int, int, int]:
    """How many tweets are wanted, and between which ids (both exclusive)."""
    asked = call.request.query_params
    limit = asked.get("max_results", "10")
    if not (is_id(limit) and 5 <= int(limit) <= 100):
        raise answers.invalid(f"The `max_results` query parameter value [{limit}] is not between 5 and 100")
    above, below = [0], [NEWEST]
    for name, value in asked.items():
        if name in ("since_id", "until_id", "pagination_token"):
            (above if name == "since_id" else below).append(_id(name, value))
        elif name in ("start_time", "end_time"):
            (above if name == "start_time" else below).append(_first_id(name, value) - (name == "start_time"))
    return int(limit), max(above), min(below)


def is_id(value: str) -> bool:
    """Tell whether X could have given such an id."""
    return value.isascii() and value.isdigit() and len(value) <= 19 and int(value) <= NEWEST


def _id(name: str, value: str) -> int:
    if not is_id(value):
        raise answers.invalid(f"The `{name}` query parameter value [{value}] is not valid")
    return int(value)


def _first_id(name: str, value: str) -> int:
    """The lowest id that a tweet of that moment can have."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise answers.invalid(f"The `{name}` query parameter value [{value}] is not a valid RFC 3339 date-time")
    return min(max(int(moment.timestamp() * 1000) - EPOCH, 0) << 22, NEWEST)


def _as_json(tweet: Tweet, extras: Container[str] = ()) -> dict[str, object]:
    """A tweet as X shows it: links shortened, three characters escaped, more fields when asked for."""
    text, urls = links.shortened(tweet.text, tweet.id)
    data: dict[str, object] = {"id": str(tweet.id), "text": text, "edit_history_tweet_ids": [str(tweet.id)]}
    if "created_at" in extras:
        moment = datetime.fromtimestamp(tweet.created_at / 1000, UTC)
        data["created_at"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if "entities" in extras and urls:
        data["entities"] = {"urls": urls}
    return data
