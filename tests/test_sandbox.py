"""The sandbox keeps X's promises and X's refusals. Everything here goes over real HTTP to a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from oauthlib.oauth1 import WebApplicationServer
from requests_oauthlib import OAuth1Session
from requests_oauthlib.oauth1_session import TokenRequestDenied

from sandbox import oauth
from sandbox.accounts import ACCOUNTS, CONSUMER_KEY, CONSUMER_SECRET
from sandbox.limits import Limits
from sandbox.links import shortened
from sandbox.store import Store
from tests.sandbox_server import CALLBACK, allow, running_sandbox, sign_in
from tests.servers import ROOT, die_with_parent

ADA, GRACE, LINUS = ACCOUNTS
UNAUTHORIZED = {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}
_numbers = count(1)


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    """One sandbox for the tests of this file."""
    with running_sandbox() as url:
        yield url


@pytest.fixture
def url(running: str) -> Iterator[str]:
    """Its address; faults, limits and ledger are as new."""
    requests.delete(f"{running}/_sandbox/ledger", timeout=5)
    yield running
    requests.delete(f"{running}/_sandbox/faults", timeout=5)
    set_limits(running, post=100, delete=50, me=75, timeline=900, window=900)


@pytest.fixture
def ada(url: str) -> OAuth1Session:
    """Signs as Ada."""
    return sign_in(url, "ada")


def fresh(words: str = "hello") -> str:
    """A text that nobody tweeted yet."""
    return f"{words} {next(_numbers)}"


def tweet(session: OAuth1Session, url: str, text: str | None = None, **more: Any) -> requests.Response:
    """POST /2/tweets; as the application does it, on a connection of its own."""
    session.headers["connection"] = "close"
    return session.post(f"{url}/2/tweets", json={"text": fresh() if text is None else text, **more}, timeout=5)


def first_leg(url: str, **options: Any) -> tuple[str, str]:
    """A request token and its secret."""
    session = OAuth1Session(CONSUMER_KEY, **{"client_secret": CONSUMER_SECRET, "callback_uri": CALLBACK} | options)
    asked = session.fetch_request_token(f"{url}/oauth/request_token", timeout=5)
    return asked["oauth_token"], asked["oauth_token_secret"]


def last_leg(url: str, token: str, secret: str, verifier: str) -> dict[str, str]:
    """An access token for them."""
    session = OAuth1Session(CONSUMER_KEY, CONSUMER_SECRET, token, secret, verifier=verifier)
    answer: dict[str, str] = session.fetch_access_token(f"{url}/oauth/access_token", timeout=5)
    return answer


def to_bytes(value: str | bytes) -> bytes:
    """As it goes on the wire."""
    return value.encode() if isinstance(value, str) else value


def fault(url: str, **wanted: Any) -> requests.Response:
    """Order a fault."""
    return requests.post(f"{url}/_sandbox/faults", json=wanted, timeout=5)


def set_limits(url: str, **wanted: int) -> None:
    """Change the rate limits."""
    requests.post(f"{url}/_sandbox/limits", json=wanted, timeout=5).raise_for_status()


def ledger(url: str) -> list[dict[str, Any]]:
    """Every call to the API since the test began."""
    lines: list[dict[str, Any]] = requests.get(f"{url}/_sandbox/ledger", timeout=5).json()
    return lines


def published(url: str) -> list[str]:
    """All texts, newest first."""
    return [line["text"] for line in requests.get(f"{url}/_sandbox/timeline", timeout=5).json()]


# Sign in


def test_the_three_legs_give_a_token_in_the_form_of_x(url: str) -> None:
    """The access token begins with the user's id, and says whose it is."""
    session = OAuth1Session(CONSUMER_KEY, client_secret=CONSUMER_SECRET, callback_uri=CALLBACK)
    asked = session.fetch_request_token(f"{url}/oauth/request_token", timeout=5)
    given = allow(url, asked["oauth_token"], "grace")
    access = last_leg(url, asked["oauth_token"], asked["oauth_token_secret"], given["oauth_verifier"])

    assert asked["oauth_callback_confirmed"] == "true"
    assert given["oauth_token"] == asked["oauth_token"]
    assert access["oauth_token"].startswith(f"{GRACE.id}-")
    assert access["user_id"] == GRACE.id
    assert access["screen_name"] == "grace"
    assert set(access) == {"oauth_token", "oauth_token_secret", "user_id", "screen_name"}


def test_a_wrong_consumer_secret_is_refused(url: str) -> None:
    """Signatures are verified at the first leg."""
    with pytest.raises(TokenRequestDenied) as refused:
        first_leg(url, client_secret="wrong")
    assert refused.value.response.status_code == 401
    assert refused.value.response.json() == {"errors": [{"code": 32, "message": "Could not authenticate you."}]}


@pytest.mark.parametrize("callback", [CALLBACK + "/", CALLBACK + "?a=1", "http://localhost:8000/oauth/callback", "oob"])
def test_a_callback_must_be_on_the_list_to_the_letter(url: str, callback: str) -> None:
    """Any other gets 403 with X's XML."""
    with pytest.raises(TokenRequestDenied) as refused:
        first_leg(url, callback_uri=callback)
    assert refused.value.response.status_code == 403
    assert '<error code="415">Callback URL not approved' in refused.value.response.text
    assert refused.value.response.headers["content-type"].startswith("application/xml")


def test_only_a_good_signature_learns_that_its_callback_is_wrong(url: str) -> None:
    """A stranger hears 401 whatever the callback."""
    with pytest.raises(TokenRequestDenied) as refused:
        first_leg(url, callback_uri="http://evil.example/", client_secret="wrong")
    assert refused.value.response.status_code == 401


def test_cancel_goes_back_with_denied(url: str) -> None:
    """The callback gets ?denied=<request token>, and the token is dead."""
    token, _ = first_leg(url)
    form = {"oauth_token": token, "answer": "cancel"}
    page = f"{url}/oauth/authenticate"
    answer = requests.post(page, data=form, allow_redirects=False, timeout=5)

    assert answer.status_code == 302
    assert answer.headers["location"] == f"{CALLBACK}?denied={token}"
    assert requests.get(page, params={"oauth_token": token}, timeout=5).status_code == 403


def test_the_consent_page_offers_every_account(url: str) -> None:
    """Allow and Cancel, and whom to be."""
    token, _ = first_leg(url)
    page = requests.get(f"{url}/oauth/authorize", params={"oauth_token": token}, timeout=5).text
    assert all(f'value="{account.handle}"' in page for account in ACCOUNTS)
    assert all(f'value="{answer}"' in page for answer in ("allow", "cancel"))
    assert "nothing leaves this machine" in page


def test_an_unknown_account_is_asked_again(url: str) -> None:
    """A form that names nobody approves nothing."""
    token, secret = first_leg(url)
    form = {"oauth_token": token, "answer": "allow", "account": "mallory"}
    assert requests.post(f"{url}/oauth/authorize", data=form, timeout=5).status_code == 400
    with pytest.raises(TokenRequestDenied):
        last_leg(url, token, secret, "no-verifier-yet")


def test_a_verifier_is_good_once(url: str) -> None:
    """Of simultaneous exchanges of one verifier exactly one gets a token."""
    token, secret = first_leg(url)
    verifier = allow(url, token)["oauth_verifier"]

    def exchange(_: int) -> bool:
        try:
            return bool(last_leg(url, token, secret, verifier))
        except TokenRequestDenied as refused:
            return refused.response.status_code != 401

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(exchange, range(6))) == 1


def test_a_wrong_verifier_is_refused_and_the_right_one_still_works(url: str) -> None:
    """A guess costs the person nothing."""
    token, secret = first_leg(url)
    verifier = allow(url, token)["oauth_verifier"]
    with pytest.raises(TokenRequestDenied):
        last_leg(url, token, secret, "x" * len(verifier))
    assert last_leg(url, token, secret, verifier)["user_id"] == ADA.id


def test_a_token_that_nobody_allowed_is_not_exchanged(url: str) -> None:
    """Without consent there is no verifier that fits."""
    token, secret = first_leg(url)
    with pytest.raises(TokenRequestDenied):
        last_leg(url, token, secret, "None")


# Signed calls


def test_the_golden_vector_of_rfc_5849(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's check accepts the photos example of section 1.2, and refuses it with one letter changed."""
    monkeypatch.setattr(oauth, "CONSUMER_SECRET", "kd94hf93k423kf44")
    store = Store()
    store.rows("insert into access_tokens values ('nnch734d00sl2jdk', 'pfkkdhi9sl3r4s00', '1', 'read')")
    authorization = """OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_token="nnch734d00sl2jdk",
        oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131202", oauth_nonce="chapoH",
        oauth_signature="MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D" """
    server: Any = WebApplicationServer(oauth.Validator(store))

    def good(name: str) -> bool:
        # One step of the provider, since the example's timestamp of 1974 would not pass the steps before.
        url = f"http://photos.example.net/photos?file={name}&size=original"
        request = server._create_request(url, "GET", "", {"Authorization": authorization})
        return bool(server._check_signature(request))

    assert good("vacation.jpg")
    assert not good("vacation.jpe")


def test_a_replayed_request_is_refused(ada: OAuth1Session, url: str) -> None:
    """The same nonce again is 401, and nothing is published twice."""
    text = fresh()
    signed = ada.prepare_request(requests.Request("POST", f"{url}/2/tweets", json={"text": text}))
    assert requests.Session().send(signed, timeout=5).status_code == 201
    again = requests.Session().send(signed, timeout=5)
    assert again.status_code == 401
    assert again.json() == UNAUTHORIZED
    assert published(url).count(text) == 1


@pytest.mark.parametrize(("age", "status"), [(290, 200), (310, 401), (-290, 200), (-310, 401)])
def test_the_clock_may_be_wrong_by_five_minutes(ada: OAuth1Session, url: str, age: int, status: int) -> None:
    """An older or younger timestamp is refused, though its signature is good."""
    ada.auth.client.timestamp = str(int(time.time()) - age)
    assert ada.get(f"{url}/2/users/me", timeout=5).status_code == status


def test_a_foreign_secret_is_refused(ada: OAuth1Session, url: str) -> None:
    """Ada's token with Grace's secret is nobody's."""
    ada.auth.client.resource_owner_secret = sign_in(url, "grace").auth.client.resource_owner_secret
    assert tweet(ada, url).json() == UNAUTHORIZED


@pytest.mark.parametrize(
    "header",
    ["", "OAuth", "OAuth nonsense", 'OAuth oauth_token="', "Bearer abc", "Basic YTpi", "OAuth a=%zz,b", 'OAuth a="ä"'],
)
@pytest.mark.parametrize("path", ["/2/tweets", "/oauth/request_token?a=%zz", "/oauth/access_token"])
def test_nonsense_is_unauthorized(url: str, path: str, header: str) -> None:
    """A header or query that is no OAuth at all is 401, never a crash."""
    headers = {"authorization": header.encode("latin-1")}
    assert requests.post(url + path, headers=headers, json={"text": fresh()}, timeout=5).status_code == 401


def test_a_read_token_may_not_write(url: str) -> None:
    """x_auth_access_type=read gives x-access-level read and a 403 for posts."""
    session = OAuth1Session(CONSUMER_KEY, client_secret=CONSUMER_SECRET, callback_uri=CALLBACK)
    asked = session.fetch_request_token(f"{url}/oauth/request_token?x_auth_access_type=read", timeout=5)
    verifier = allow(url, asked["oauth_token"])["oauth_verifier"]
    access = last_leg(url, asked["oauth_token"], asked["oauth_token_secret"], verifier)
    reader = OAuth1Session(CONSUMER_KEY, CONSUMER_SECRET, access["oauth_token"], access["oauth_token_secret"])

    assert reader.get(f"{url}/2/users/me", timeout=5).headers["x-access-level"] == "read"
    refused = tweet(reader, url)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith("/oauth1-permissions")


def test_the_person_can_revoke(ada: OAuth1Session, url: str) -> None:
    """All tokens of the account are dead at once; nobody else's."""
    grace = sign_in(url, "grace")
    requests.post(f"{url}/_sandbox/revoke", json={"account": "ada"}, timeout=5).raise_for_status()
    assert tweet(ada, url).json() == UNAUTHORIZED
    assert tweet(grace, url).status_code == 201


def test_the_application_can_give_its_access_back(ada: OAuth1Session, url: str) -> None:
    """invalidate_token answers the token, then code 89."""
    path = f"{url}/1.1/oauth/invalidate_token.json"
    assert ada.post(path, timeout=5).json() == {"access_token": ada.auth.client.resource_owner_key}
    again = ada.post(path, timeout=5)
    assert again.status_code == 401
    assert again.json() == {"errors": [{"code": 89, "message": "Invalid or expired token."}]}
    assert tweet(ada, url).status_code == 401


# Tweets


def test_a_tweet_is_answered_as_x_does(ada: OAuth1Session, url: str) -> None:
    """201, an id that holds the time, and X's headers."""
    text = fresh("Fish & <chips>")
    answer = tweet(ada, url, text)

    assert answer.status_code == 201
    data = answer.json()["data"]
    assert data["text"] == text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert data["edit_history_tweet_ids"] == [data["id"]]
    assert abs((int(data["id"]) >> 22) + 1288834974657 - time.time() * 1000) < 60_000
    assert answer.headers["x-rate-limit-limit"] == "100"
    assert int(answer.headers["x-rate-limit-reset"]) > time.time()
    assert answer.headers["x-access-level"] == "read-write"
    assert answer.headers["x-transaction-id"]


def test_the_same_words_again_are_a_duplicate(ada: OAuth1Session, url: str) -> None:
    """For this account; another may say the same, and so may this one after deleting it."""
    text = fresh()
    first = tweet(ada, url, text)
    again = tweet(ada, url, text)

    assert again.status_code == 403
    assert again.json()["detail"] == "You are not allowed to create a Tweet with duplicate content."
    assert tweet(sign_in(url, "grace"), url, text).status_code == 201
    ada.delete(f"{url}/2/tweets/{first.json()['data']['id']}", timeout=5).raise_for_status()
    assert tweet(ada, url, text).status_code == 201


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("a" * 280, 201),
        ("b" * 281, 400),
        ("漢" * 140, 201),
        ("字" * 141, 400),
        ("https://example.com/" + "c" * 300, 201),
        ("." * 10_000, 400),
        ("a." * 5_000, 400),
        ("", 400),
        (" \n\t", 400),
        ("nul \0", 400),
        ("half a pair \ud83d", 400),
    ],
)
def test_length_is_weighed_as_x_does(ada: OAuth1Session, url: str, text: str, status: int) -> None:
    """280 of weight are the limit; empty and impossible texts are invalid."""
    answer = tweet(ada, url, text)
    assert answer.status_code == status
    assert status == 201 or answer.json()["title"] == "Invalid Request"
    assert (text in published(url)) == (status == 201)
    assert ledger(url)[-1]["text"] == text


def test_fields_that_x_does_not_know_are_refused(ada: OAuth1Session, url: str) -> None:
    """So there is no idempotency key to be had."""
    answer = tweet(ada, url, idempotency_key="1")
    assert answer.status_code == 400
    assert "$.idempotency_key: is not defined in the schema" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b"{}", b'{"text": 1}', b'{"text": null}', b"[" * 100_000]
)
def test_a_body_that_is_no_tweet_is_refused(ada: OAuth1Session, url: str, body: bytes) -> None:
    """400, whatever it is instead."""
    headers = {"content-type": "application/json"}
    assert ada.post(f"{url}/2/tweets", data=body, headers=headers, timeout=5).status_code == 400


def test_a_form_is_no_json(ada: OAuth1Session, url: str) -> None:
    """X names the content type it wants."""
    answer = ada.post(f"{url}/2/tweets", data={"text": fresh()}, timeout=5)
    assert answer.status_code == 400
    assert "content-type of application/json" in answer.text


def test_a_huge_body_is_not_read(ada: OAuth1Session, url: str) -> None:
    """413 beyond a megabyte."""
    assert tweet(ada, url, "x" * 1_100_000).status_code == 413


def test_only_the_author_deletes(ada: OAuth1Session, url: str) -> None:
    """Another gets 403, the author 200, and then it is gone."""
    path = f"{url}/2/tweets/{tweet(ada, url).json()['data']['id']}"
    refused = sign_in(url, "grace").delete(path, timeout=5)
    assert refused.status_code == 403
    assert refused.json()["detail"] == "You are not authorized to delete this Tweet."
    assert ada.delete(path, timeout=5).json() == {"data": {"deleted": True}}
    assert ada.delete(path, timeout=5).status_code == 404


def test_me_is_who_signed_in(url: str) -> None:
    """Id, name and handle."""
    answer = sign_in(url, "linus").get(f"{url}/2/users/me", timeout=5)
    assert answer.json() == {"data": {"id": LINUS.id, "name": "Linus", "username": "linus"}}


def test_a_timeline_comes_in_pages() -> None:
    """Newest first, with X's meta; since_id and start_time cut it; without tweets there is no data."""
    with running_sandbox() as url:
        ada = sign_in(url)
        path = f"{url}/2/users/{ADA.id}/tweets"
        assert ada.get(path, timeout=5).json() == {"meta": {"result_count": 0}}
        ids = [tweet(ada, url).json()["data"]["id"] for _ in range(7)]
        newest = ids[::-1]

        page = ada.get(path, params={"max_results": "5", "tweet.fields": "created_at"}, timeout=5).json()
        rest = ada.get(
            path, params={"max_results": 5, "pagination_token": page["meta"]["next_token"]}, timeout=5
        ).json()
        since = ada.get(path, params={"since_id": ids[3]}, timeout=5).json()
        start = ada.get(path, params={"start_time": page["data"][4]["created_at"]}, timeout=5).json()
        later = ada.get(path, params={"start_time": "2100-01-01T00:00:00Z"}, timeout=5).json()

    assert [one["id"] for one in page["data"]] == newest[:5]
    assert page["meta"] == {"result_count": 5, "newest_id": newest[0], "oldest_id": newest[4], "next_token": newest[4]}
    assert [one["id"] for one in rest["data"]] == newest[5:]
    assert rest["meta"] == {"result_count": 2, "newest_id": newest[5], "oldest_id": newest[6]}
    assert [one["id"] for one in since["data"]] == newest[:3]
    assert newest[4] in [one["id"] for one in start["data"]]
    assert later == {"meta": {"result_count": 0}}


@pytest.mark.parametrize(
    "query",
    ["max_results=4", "max_results=101", "max_results=x", "since_id=-1", "since_id=" + "9" * 19, "start_time=yesterday",
     "start_time=2026-01-01T00:00:00", "pagination_token=abc"],
)  # fmt: skip
def test_a_wrong_query_names_its_value(ada: OAuth1Session, url: str, query: str) -> None:
    """400 with the parameter."""
    answer = ada.get(f"{url}/2/users/{ADA.id}/tweets?{query}", timeout=5)
    assert answer.status_code == 400
    assert query.split("=")[0] in answer.text
    assert query.split("=")[1] in answer.text


def test_links_come_back_shortened(ada: OAuth1Session, url: str) -> None:
    """The text has t.co; the entities say where it was and what it stands for."""
    text = fresh("<3 https://example.com/a?b=1&c=2 and example.org now")
    data = tweet(ada, url, text).json()["data"]
    path = f"{url}/2/users/{ADA.id}/tweets"
    found = ada.get(path, params={"tweet.fields": "entities", "max_results": "5"}, timeout=5).json()["data"][0]
    urls = found["entities"]["urls"]

    assert found["id"] == data["id"]
    assert found["text"] == data["text"]
    assert data["text"].startswith("&lt;3 https://t.co/")
    assert [one["expanded_url"] for one in urls] == ["https://example.com/a?b=1&c=2", "http://example.org"]
    assert all(found["text"][one["start"] : one["end"]] == one["url"] for one in urls)


def test_a_tweet_without_links_has_no_entities() -> None:
    """Plain text is only escaped."""
    assert shortened("1 < 2 & 'three'", 7) == ("1 &lt; 2 &amp; 'three'", [])


def test_a_person_may_post_so_often(ada: OAuth1Session, url: str) -> None:
    """Then 429 until the reset; others are not held up, and reading is counted apart."""
    set_limits(url, post=2, window=60)
    assert [tweet(ada, url).status_code for _ in range(3)] == [201, 201, 429]
    refused = tweet(ada, url)

    assert refused.json()["title"] == "Too Many Requests"
    assert refused.headers["x-rate-limit-limit"] == "2"
    assert refused.headers["x-rate-limit-remaining"] == "0"
    assert 0 < int(refused.headers["x-rate-limit-reset"]) - time.time() <= 61
    assert tweet(sign_in(url, "grace"), url).status_code == 201
    assert ada.get(f"{url}/2/users/me", timeout=5).headers["x-rate-limit-remaining"] == "74"


def test_a_window_begins_with_the_first_call_and_ends() -> None:
    """After it there is room again."""
    limits = Limits(window=60)
    limits.set({"post": 1})
    assert [limits.count("post", "1", now)[0] for now in (1000.0, 1059.0, 1060.0)] == [True, False, True]


# Faults


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("401", 401, '"Unauthorized"'),
        ("402", 402, "credits depleted"),
        ("403", 403, "You are not permitted to perform this action."),
        ("403-duplicate", 403, "duplicate content"),
        ("403-read-only", 403, "oauth1-permissions"),
        ("429-usage-cap", 429, "UsageCapExceeded"),
        ("500", 500, "Internal Server Error"),
        ("503", 503, "Service Unavailable"),
    ],
)
def test_a_fault_answers_for_x(ada: OAuth1Session, url: str, name: str, status: int, said: str) -> None:
    """Once, nothing is published, and the ledger says why."""
    text = fresh()
    fault(url, fault=name)
    answer = tweet(ada, url, text)

    assert answer.status_code == status
    assert said in answer.text
    assert text not in published(url)
    assert ledger(url)[-1]["fault"] == name
    assert ledger(url)[-1]["answer"] == status
    assert tweet(ada, url, text).status_code == 201


def test_x_can_be_given_words(ada: OAuth1Session, url: str) -> None:
    """A 403 says what it is told to; the others have words of their own."""
    fault(url, fault="403", says="Not <here>")
    assert tweet(ada, url).json()["detail"] == "Not <here>"
    assert fault(url, fault="503", says="Not here").status_code == 400


def test_429_has_a_reset(ada: OAuth1Session, url: str) -> None:
    """As far ahead as asked."""
    fault(url, fault="429", seconds=7)
    answer = tweet(ada, url)
    assert answer.status_code == 429
    assert answer.headers["x-rate-limit-remaining"] == "0"
    assert 0 < int(answer.headers["x-rate-limit-reset"]) - time.time() <= 8


def test_an_answer_can_come_twice(ada: OAuth1Session, url: str) -> None:
    """Published once; after the answer comes the same again."""
    fault(url, fault="twice")
    headers = {"Host": urlsplit(url).netloc, "Connection": "close"}
    post = requests.Request("POST", f"{url}/2/tweets", json={"text": fresh()}, auth=ada.auth, headers=headers).prepare()
    head = [
        b"POST /2/tweets HTTP/1.1",
        *(to_bytes(f"{name}: ") + to_bytes(value) for name, value in post.headers.items()),
    ]
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 5) as wire:
        wire.sendall(b"\r\n".join([*head, b"", to_bytes(post.body or "")]))
        said = b"".join(iter(lambda: wire.recv(65536), b""))
    (line,) = (line for line in ledger(url) if line["path"] == "/2/tweets")
    assert said.count(b"HTTP/1.1 201") == said.count(b'"id":"%b"' % line["tweet_id"].encode()) == 2


def test_it_can_be_another_x(tmp_path: Path) -> None:
    """With more people, less patience with clocks, and no rule against the same words."""
    with running_sandbox((CALLBACK,), tmp_path, 0, "--accounts", "5", "--tolerance", "1", "--repeats") as other:
        guest = sign_in(other, "guest5")
        assert [tweet(guest, other, "Again").status_code for _ in range(2)] == [201, 201]
        old = requests.Request("POST", f"{other}/2/tweets", json={"text": "Old"}, auth=guest.auth).prepare()
        time.sleep(2.5)
        assert requests.Session().send(old, timeout=5).status_code == 401


def test_only_some_may_repeat_themselves(tmp_path: Path) -> None:
    """The rule against the same words can be off for those that are named."""
    with running_sandbox((CALLBACK,), tmp_path, 0, "--repeats", "grace") as other:
        twice = {
            name: [tweet(person, other, "Again").status_code for _ in range(2)]
            for name in ("ada", "grace")
            if (person := sign_in(other, name))
        }
    assert twice == {"ada": [201, 403], "grace": [201, 201]}


def test_a_fault_finds_its_calls(ada: OAuth1Session, url: str) -> None:
    """By account, text and path, so many times, oldest first; others pass."""
    grace = sign_in(url, "grace")
    fault(url, fault="503", account="ada", text="unlucky", count=2)
    assert tweet(grace, url, fresh("unlucky")).status_code == 201
    assert tweet(ada, url, fresh("lucky")).status_code == 201
    assert ada.get(f"{url}/2/users/me", timeout=5).status_code == 200
    assert [tweet(ada, url, fresh("so unlucky")).status_code for _ in range(3)] == [503, 503, 201]

    fault(url, fault="500", path="/2/users/me")
    assert tweet(ada, url).status_code == 201
    assert ada.get(f"{url}/2/users/me", timeout=5).status_code == 500


def test_a_sign_in_can_fail_too(url: str) -> None:
    """Faults reach the OAuth paths when the path says so."""
    fault(url, fault="503", path="/oauth/request_token")
    with pytest.raises(TokenRequestDenied) as refused:
        first_leg(url)
    assert refused.value.response.status_code == 503


def test_faults_can_be_listed_and_dropped(url: str) -> None:
    """With what is left of the count."""
    listed = fault(url, fault="latency", count=3, seconds=0.5).json()
    assert listed == requests.get(f"{url}/_sandbox/faults", timeout=5).json()
    assert listed[0]["count"] == 3
    assert listed[0]["seconds"] == 0.5
    assert requests.delete(f"{url}/_sandbox/faults", timeout=5).json() == []


def test_latency_only_delays(ada: OAuth1Session, url: str) -> None:
    """The ledger shows the call waiting; it is published when the time is over."""
    fault(url, fault="latency", seconds=0.3)
    started = time.monotonic()
    assert tweet(ada, url).status_code == 201
    assert time.monotonic() - started >= 0.3


def test_an_error_may_hide_a_published_tweet(ada: OAuth1Session, url: str) -> None:
    """accept makes a 503 of what was done."""
    text = fresh()
    fault(url, fault="503", accept=True)
    assert tweet(ada, url, text).status_code == 503
    assert text in published(url)
    assert ledger(url)[-1]["tweet_id"]


@pytest.mark.parametrize(("name", "done"), [("reset", False), ("accept-reset", True)])
def test_a_reset_is_a_reset(ada: OAuth1Session, url: str, name: str, done: bool) -> None:
    """The client sees a TCP reset and no byte of an answer, published or not."""
    text = fresh()
    fault(url, fault=name)
    with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
        tweet(ada, url, text)
    assert (text in published(url)) is done
    assert ledger(url)[-1]["answer"] == "none"
    assert tweet(ada, url, text).status_code == (403 if done else 201)


def test_what_x_refuses_is_not_accepted(ada: OAuth1Session, url: str) -> None:
    """accept-reset of a duplicate is answered as a duplicate."""
    text = fresh()
    tweet(ada, url, text)
    fault(url, fault="accept-reset")
    assert tweet(ada, url, text).status_code == 403


def test_hang_never_answers(ada: OAuth1Session, url: str) -> None:
    """The client runs into its own timeout."""
    text = fresh()
    fault(url, fault="hang")
    with pytest.raises(requests.ReadTimeout):
        ada.post(f"{url}/2/tweets", json={"text": text}, timeout=(5, 0.3))
    assert text not in published(url)


def test_hang_ends_without_an_answer(ada: OAuth1Session, url: str) -> None:
    """After its time the connection is closed."""
    fault(url, fault="hang", seconds=0.05)
    with pytest.raises(requests.ConnectionError, match="Remote end closed connection without response"):
        tweet(ada, url)


def test_a_hanging_call_does_not_hold_up_the_end() -> None:
    """SIGTERM ends the sandbox while clients wait for answers; running_sandbox fails if it does not."""
    with ThreadPoolExecutor(2) as pool, running_sandbox() as url:
        fault(url, fault="hang", seconds=600)
        fault(url, fault="latency", seconds=600)
        for session in [sign_in(url), sign_in(url)]:
            pool.submit(session.post, f"{url}/2/tweets", json={"text": fresh()}, timeout=60)
        deadline = time.monotonic() + 20
        while sum(line["fault"] is not None for line in ledger(url)) < 2:
            assert time.monotonic() < deadline


def test_drip_sends_its_answer_byte_by_byte(ada: OAuth1Session, url: str) -> None:
    """Published at once; the body comes in many pieces and is whole in the end."""
    text = fresh()
    fault(url, fault="drip", seconds=1)
    answer = ada.post(f"{url}/2/tweets", json={"text": text}, timeout=5, stream=True)
    first = answer.raw.read1()
    assert text in published(url)
    rest = answer.raw.read()

    assert answer.status_code == 201
    assert len(first) < len(rest)
    assert text.encode() in first + rest


def test_refuse_closes_the_port(running: str) -> None:
    """A fresh connection is refused until the time is over; the control's open one orders the end."""
    with requests.Session() as control:
        order = f"{running}/_sandbox/faults"
        control.post(order, json={"fault": "refuse", "seconds": 600}, timeout=5).raise_for_status()
        address = ("127.0.0.1", int(running.rsplit(":", 1)[1]))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)
        with pytest.raises(requests.ConnectionError, match="Connection refused"):
            requests.get(running, timeout=5)
        control.post(order, json={"fault": "refuse", "seconds": 0}, timeout=5).raise_for_status()
        control.get(running, timeout=5)  # a turn of the server's loop later it listens again
        assert requests.get(running, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([], "send an object"),
        ({}, "a fault out of"),
        ({"fault": "earthquake"}, "latency"),
        ({"fault": "500", "count": 0}, "count"),
        ({"fault": "500", "count": True}, "count"),
        ({"fault": "500", "account": "mallory"}, "mallory"),
        ({"fault": "latency", "seconds": 1e9}, "seconds"),
        ({"fault": "latency", "seconds": "2"}, "seconds"),
        ({"fault": "401", "accept": True}, "accept"),
        ({"fault": "500", "text": 5}, "text"),
        ({"fault": "500", "colour": "red"}, "colour"),
        ({"fault": "refuse", "account": "ada"}, "refuse"),
    ],
)
def test_a_wrong_fault_is_named(url: str, wanted: Any, said: str) -> None:
    """400, and nothing waits."""
    answer = requests.post(f"{url}/_sandbox/faults", json=wanted, timeout=5)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert requests.get(f"{url}/_sandbox/faults", timeout=5).json() == []


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("limits", {"post": 0}),
        ("limits", {"posts": 1}),
        ("limits", []),
        ("revoke", {"account": "mallory"}),
        ("revoke", 5),
    ],
)
def test_a_wrong_order_is_named(url: str, path: str, wanted: Any) -> None:
    """400 with the value or what there is."""
    answer = requests.post(f"{url}/_sandbox/{path}", json=wanted, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_control_is_closed_to_other_sites(url: str) -> None:
    """A form from elsewhere is not JSON; a foreign name for this address is refused."""
    faults = f"{url}/_sandbox/faults"
    assert requests.post(faults, data='{"fault": "500"}', timeout=5).status_code == 415
    assert requests.get(faults, headers={"host": "evil.example"}, timeout=5).status_code == 400


# What is remembered, and what people see


def test_the_ledger_has_every_call(url: str) -> None:
    """In order, with who, what and the answer; the control and the pages are not calls."""
    ada = sign_in(url)
    text = fresh()
    made = tweet(ada, url, text)
    requests.get(url, timeout=5)

    lines = ledger(url)
    assert [line["path"] for line in lines] == ["/oauth/request_token", "/oauth/access_token", "/2/tweets"]
    line = lines[-1]
    assert abs(line.pop("time") - time.time()) < 60
    assert line == {
        "method": "POST", "path": "/2/tweets", "account": "ada", "text": text, "answer": 201,
        "tweet_id": made.json()["data"]["id"], "fault": None,
    }  # fmt: skip
    assert lines[1]["account"] == "ada"


def test_a_restart_forgets_nothing_that_matters(tmp_path: Path) -> None:
    """Tokens, tweets and nonces outlive the process when there is a folder for them."""
    text = fresh()
    with running_sandbox(data=tmp_path / "new") as url:
        ada = sign_in(url)
        signed = ada.prepare_request(requests.Request("POST", f"{url}/2/tweets", json={"text": text}))
        assert requests.Session().send(signed, timeout=5).status_code == 201
        port = int(url.rsplit(":", 1)[1])
    with running_sandbox(data=tmp_path / "new", port=port) as url:
        assert published(url) == [text]
        assert requests.Session().send(signed, timeout=5).status_code == 401
        assert tweet(ada, url, text).status_code == 403
        assert tweet(ada, url, fresh()).status_code == 201


def test_pages_escape_what_people_write(ada: OAuth1Session, url: str) -> None:
    """Nothing in a tweet becomes markup, on any page; only http links become links."""
    text = fresh("<script>alert(1)</script> javascript:alert(2) https://example.com/?a=1&b=2")
    made = tweet(ada, url, text).json()["data"]["id"]
    for path in ("/", "/ada", f"/ada/status/{made}"):
        page = requests.get(url + path, timeout=5)
        assert "&lt;script&gt;alert(1)&lt;/script&gt; javascript:alert(2)" in page.text
        assert "<script>" not in page.text
        assert 'href="https://example.com/?a=1&amp;b=2"' in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "a local stand-in for X, nothing leaves this machine" in page.text


def test_pages_show_whose_tweets_they_are(ada: OAuth1Session, url: str) -> None:
    """Everybody's on /, one person's under the handle in any case, one under its id; the rest is 404."""
    text = fresh()
    made = tweet(ada, url, text).json()["data"]["id"]
    assert text in requests.get(url, timeout=5).text
    assert text in requests.get(f"{url}/Ada", timeout=5).text
    assert text not in requests.get(f"{url}/linus", timeout=5).text
    assert text in requests.get(f"{url}/ada/status/{made}", timeout=5).text
    for path in ("/mallory", "/ada/status/1", "/ada/status/x", "/ada/status/" + "9" * 30):
        missing = requests.get(url + path, timeout=5)
        assert missing.status_code == 404
        assert "Nothing here" in missing.text


def test_an_old_consent_page_says_so(url: str) -> None:
    """An unknown or used request token gets a page with the way out."""
    token, _ = first_leg(url)
    allow(url, token)
    for used in (token, "never-was", ""):
        page = requests.get(f"{url}/oauth/authenticate", params={"oauth_token": used}, timeout=5)
        assert page.status_code == 403
        assert "sign in again" in page.text


def run_sandbox(*options: str) -> subprocess.CompletedProcess[str]:
    """A start that is to fail."""
    command = [sys.executable, "-m", "sandbox", "--callback", CALLBACK, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, preexec_fn=die_with_parent)


def test_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    """Exit code 1 and a sentence with the path and the remedy."""
    (tmp_path / "file").touch()
    ended = run_sandbox("--port", "0", "--data", str(tmp_path / "file"))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(tmp_path / "file") in ended.stderr
    assert "--data" in ended.stderr


def test_a_port_in_use_is_one_line() -> None:
    """Exit code 1 and a sentence with the port and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_sandbox("--port", port)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert port in ended.stderr
    assert "--port" in ended.stderr
