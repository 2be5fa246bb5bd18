"""What may be concluded from what X answers: the sandbox, and servers that break the rules of HTTP."""

import gzip
import html
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests

import settings as configuration
import x_api
from sandbox.links import shortened
from settings import Settings
from tests.sandbox_server import CALLBACK, allow, running_sandbox
from tests.servers import free_port
from x_answers import conclude, plain_text, same_words

CREDENTIALS = ("1-token-that-is-secret", "secret-of-the-token")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    """A sandbox for all tests of this file."""
    with running_sandbox() as url:
        yield url


def settings_for(folder: Path, url: str, **environ: str) -> Settings:
    """Settings that point at an X somewhere on this machine."""
    environ = {"X_API_URL": url, "PUBLIC_URL": CALLBACK.removesuffix("/oauth/callback"), **environ}
    return configuration.load(environ, data=folder / ".data")


def sign_in(settings: Settings, handle: str = "ada") -> x_api.Account:
    """All three legs, with a person who allows it."""
    token, secret, _ = x_api.sign_in_start(settings)
    return x_api.sign_in_finish(settings, token, secret, allow(settings.x_api_url, token, handle)["oauth_verifier"])


def post(settings: Settings, text: str = "Hello", credentials: tuple[str, str] = CREDENTIALS) -> str:
    """Sign and send."""
    return x_api.send(x_api.prepare_tweet(settings, credentials, text))


# Signing in ----------------------------------------------------------------------------------------------------------


def test_a_sign_in_and_a_tweet(sandbox: str, tmp_path: Path) -> None:
    """Three legs end with an account whose credentials post, and X's id comes back."""
    settings = settings_for(tmp_path, sandbox)
    token, secret, address = x_api.sign_in_start(settings)
    assert address == f"{sandbox}/oauth/authenticate?oauth_token={token}"
    account = x_api.sign_in_finish(settings, token, secret, allow(sandbox, token, "grace")["oauth_verifier"])
    assert (account.x_id, account.handle) == ("1906120902", "grace")
    tweet_id = post(settings, "Grüße & <Küsse> 🐱", (account.token, account.secret))
    newest = requests.get(f"{sandbox}/_sandbox/timeline", timeout=5).json()[0]
    assert (newest["id"], newest["text"], newest["account"]) == (tweet_id, "Grüße & <Küsse> 🐱", "grace")


def test_an_account_prints_without_its_token(sandbox: str, tmp_path: Path) -> None:
    """What a sign-in brings can be logged by mistake without harm."""
    account = sign_in(settings_for(tmp_path, sandbox))
    assert account.token not in repr(account)
    assert account.secret not in repr(account)


def test_a_wrong_verifier_is_refused(sandbox: str, tmp_path: Path) -> None:
    """A verifier that X did not give makes no account."""
    settings = settings_for(tmp_path, sandbox)
    token, secret, _ = x_api.sign_in_start(settings)
    allow(sandbox, token)
    with pytest.raises(x_api.Refused) as refused:
        x_api.sign_in_finish(settings, token, secret, "no-such-verifier-at-all-0123456789")
    assert refused.value.reason.code == "sign_in_refused"


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"PUBLIC_URL": "http://127.0.0.1:8999"}, "callback_refused"),
        ({"X_CONSUMER_SECRET": "wrong"}, "app_unknown"),
    ],
)
def test_a_mistake_of_the_operator_is_told_from_one_of_the_person(
    sandbox: str, tmp_path: Path, environ: dict[str, str], code: str
) -> None:
    """A callback that X does not know and wrong keys are refused with what the operator has to mend."""
    with pytest.raises(x_api.Refused) as refused:
        x_api.sign_in_start(settings_for(tmp_path, sandbox, **environ))
    assert (refused.value.reason.code, refused.value.reason.action) == (code, "contact_operator")


def test_a_sign_in_without_x(tmp_path: Path) -> None:
    """When X cannot be reached that is said, and nothing is concluded."""
    with pytest.raises(x_api.NotSent):
        x_api.sign_in_start(settings_for(tmp_path, f"http://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (("200 OK", b"oauth_token=a&oauth_token_secret=b"), x_api.Refused, "made no sense"),
        (("200 OK", b"oauth_callback_confirmed=true"), x_api.Refused, "made no sense"),
        (("429 Too Many Requests", b""), x_api.NotSent, "unreachable"),
        (("503 Service Unavailable", b""), x_api.NotSent, "unreachable"),
    ],
)
def test_a_sign_in_that_x_does_not_begin_is_told(
    tmp_path: Path, answer: tuple[str, bytes], error: type[x_api.XError], words: str
) -> None:
    """Without a confirmed callback or a token it is no sign-in; too busy or broken it is tried again by the person."""
    with server(says(*answer)) as (url, _), pytest.raises(error, match=words):
        x_api.sign_in_start(settings_for(tmp_path, url))


# Posting -------------------------------------------------------------------------------------------------------------


@contextmanager
def server(serve: Callable[[socket.socket], object]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request from each connection and does what it likes. Gives address and requests."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    seen.append(request_from(connection))
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def request_from(connection: socket.socket) -> bytes:
    """Read one request whole: head and body come in pieces. What is none, as for TLS, ends with its first."""
    request = connection.recv(65_536)
    has_body = request.startswith(b"POST ") and b"Content-Length: 0" not in request
    while has_body and not request.endswith(b"}") and (more := connection.recv(65_536)):
        request += more
    return request


def says(status: str, body: bytes = b"", *headers: str) -> Callable[[socket.socket], object]:
    """A server's answer, with its length."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return lambda connection: connection.sendall(head.encode() + body)


@pytest.mark.parametrize(
    "serve",
    [
        lambda _: None,
        says("200 OK", b'{"data":{"id":"1"}}'),
        says("201 Created", b'{"data":{}}'),
        says("201 Created", b'{"data":{"id":"../../evil"}}'),
        says("201 Created", b"\xff not json"),
        says("204 No Content"),
        says("302 Found", b"", "Location: /2/tweets"),
        says("500 Internal Server Error"),
        says("503 Service Unavailable", b"<html>", "Retry-After: 0"),
        says("999 What"),
        lambda connection: connection.sendall(b"this is not HTTP\r\n\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 90\r\n\r\n{"),
        lambda connection: connection.sendall(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        lambda connection: connection.sendall(
            b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"
        ),
    ],
)
def test_an_unclear_answer_is_unknown_and_asked_for_once(
    tmp_path: Path, serve: Callable[[socket.socket], object]
) -> None:
    """Whatever is neither a tweet's id nor a refusal leaves open whether X took it. Nothing is sent a second time."""
    with server(serve) as (url, seen), pytest.raises(x_api.Unknown):
        post(settings_for(tmp_path, url))
    assert len(seen) == 1


def look(folder: Path, url: str, text: str = "Hello") -> list[str]:
    """Look for a text."""
    return x_api.find(settings_for(folder, url), CREDENTIALS, "17", text, 0)


def post_at(folder: Path, url: str) -> object:
    """Post a text."""
    return post(settings_for(folder, url))


@pytest.mark.parametrize(("ask", "status"), [(post_at, b"201 Created"), (look, b"200 OK")])
def test_an_endless_answer_is_cut_off(tmp_path: Path, ask: Callable[[Path, str], object], status: bytes) -> None:
    """An answer without an end is read up to a bound, and makes nothing certain."""

    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 %b\r\n\r\n" % status)
        try:
            while True:
                connection.sendall(b"x" * 65_536)
        except OSError:
            return

    with server(pour) as (url, _), pytest.raises(x_api.Unknown):
        ask(tmp_path, url)


@pytest.mark.parametrize(("ask", "status"), [(post_at, b"201 Created"), (look, b"200 OK")])
def test_an_answer_that_drips_does_not_hold_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Path, str], object], status: bytes
) -> None:
    """A body that comes byte by byte ends at the time limit of the whole, though no single read takes long."""
    monkeypatch.setattr(x_api, "TIMEOUT", (0.2, 0.3))
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: 10000\r\n\r\n" % status)
            while not done.wait(0.05):
                connection.sendall(b" ")
        except OSError:
            return

    with server(drip) as (url, _):
        with pytest.raises(x_api.Unknown):
            ask(tmp_path, url)
        done.set()


def test_no_answer_in_time_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that times out leaves it open whether X took it."""
    monkeypatch.setattr(x_api, "TIMEOUT", (1.0, 0.1))
    done = threading.Event()
    with server(lambda _: done.wait(10)) as (url, _):
        with pytest.raises(x_api.Unknown):
            post(settings_for(tmp_path, url))
        done.set()


def test_a_refused_tls_handshake_is_unknown(tmp_path: Path) -> None:
    """Trouble with TLS is no proof that nothing was sent."""
    with server(says("400 Bad Request")) as (url, _), pytest.raises(x_api.Unknown):
        post(settings_for(tmp_path, url.replace("http:", "https:")))


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_no_connection_is_not_sent(tmp_path: Path, host: str) -> None:
    """A refused connection and an unknown name are proof that X has nothing."""
    with pytest.raises(x_api.NotSent):
        post(settings_for(tmp_path, f"http://{host}:{free_port()}"))


def test_no_answer_to_connect_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that does not come about in time is proof that X has nothing."""
    monkeypatch.setattr(x_api, "TIMEOUT", (0.2, 5.0))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        full = [socket.socket() for _ in range(4)]  # nobody accepts: the queue of the listener is full, the rest waits
        for waiting in full:
            waiting.setblocking(False)
            waiting.connect_ex(address)
        with pytest.raises(x_api.NotSent):
            post(settings_for(tmp_path, f"http://127.0.0.1:{address[1]}"))
        for waiting in full:
            waiting.close()


def test_what_was_signed_too_long_ago_is_not_sent(tmp_path: Path) -> None:
    """A process that was frozen between signing and sending sends nothing."""
    with server(says("201 Created", b'{"data":{"id":"1"}}')) as (url, seen):
        signed = x_api.prepare_tweet(settings_for(tmp_path, url), CREDENTIALS, "Hello")
        late = x_api.Signed(signed.request, time.time() - x_api.STALE_AFTER - 1)
        with pytest.raises(x_api.NotSent):
            x_api.send(late)
        assert not seen
        assert x_api.send(signed) == "1"


def test_a_401_to_an_old_signature_is_not_about_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X refuses what is too old with the words it has for a token that is gone: on the way too long, it is not sent."""
    monkeypatch.setattr(x_api, "STALE_AFTER", 2.0)
    with running_sandbox((CALLBACK,), None, 0, "--tolerance", "1") as url:
        settings = settings_for(tmp_path, url)
        account = sign_in(settings)
        requests.post(f"{url}/_sandbox/faults", json={"fault": "latency", "seconds": 2.6}, timeout=5)
        with pytest.raises(x_api.NotSent):
            post(settings, "Late", (account.token, account.secret))
        requests.post(f"{url}/_sandbox/revoke", json={"account": "ada"}, timeout=5)
        with pytest.raises(x_api.Refused, match="signed_out"):
            post(settings, "Gone", (account.token, account.secret))


@pytest.mark.parametrize(("seconds", "error"), [(600, x_api.NotSent), (-600, x_api.NotSent), (100, x_api.Refused)])
def test_a_401_to_a_clock_that_is_wrong_is_not_about_the_person(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seconds: int, error: type[Exception]
) -> None:
    """X dates its answers: where its clock is too far from ours no token is taken, and the operator hears of it."""
    date = formatdate(time.time() + seconds, usegmt=True)
    with (
        server(says("401 Unauthorized", b'{"title":"Unauthorized"}', f"Date: {date}")) as (url, _),
        pytest.raises(error),
    ):
        post(settings_for(tmp_path, url))
    assert ("Set the clock" in caplog.text) == (error is x_api.NotSent)


def test_the_body_is_the_text_and_nothing_else(tmp_path: Path) -> None:
    """X refuses unknown fields, and a repeated one in the header."""
    with server(says("201 Created", b'{"data":{"id":"12","text":"Hi"}}')) as (url, seen):
        assert post(settings_for(tmp_path, url), "Hi") == "12"
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert json.loads(body) == {"text": "Hi"}
    assert head.startswith(b"POST /2/tweets HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in head


def test_no_token_reaches_a_log(sandbox: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG a sign-in and a tweet leave no token, secret or verifier behind."""
    caplog.set_level(logging.DEBUG)
    settings = settings_for(tmp_path, sandbox)
    token, secret, _ = x_api.sign_in_start(settings)
    verifier = allow(sandbox, token)["oauth_verifier"]
    account = x_api.sign_in_finish(settings, token, secret, verifier)
    post(settings, "not in a log", (account.token, account.secret))
    assert "/2/tweets" in caplog.text  # urllib3 does log
    for hidden in (secret, verifier, account.token, account.secret, str(settings.x_consumer_secret)):
        assert hidden not in caplog.text


# What a refusal means ------------------------------------------------------------------------------------------------

API = "https://api.x.com/2/problems/"


@pytest.mark.parametrize(
    ("status", "body", "code", "action"),
    [
        (401, {"title": "Unauthorized", "detail": "Unauthorized"}, "signed_out", "sign_in"),
        (401, {"errors": [{"code": 89, "message": "Invalid or expired token."}]}, "signed_out", "sign_in"),
        (403, {"detail": "You are not allowed to create a Tweet with duplicate content."}, "duplicate", "open_profile"),
        (403, {"detail": "You are not permitted to perform this action."}, "not_permitted", "open_profile"),
        (403, {"detail": "not configured", "type": f"{API}oauth1-permissions"}, "app_refused", "contact_operator"),
        (403, {"detail": "attach it", "type": f"{API}client-forbidden"}, "app_refused", "contact_operator"),
        (
            400,
            {"errors": [{"message": "Your Tweet text is too long. For more"}], "detail": "One or"},
            "too_long",
            "edit",
        ),
        (400, {"errors": [{"message": "Only one cashtag"}], "detail": "One or more"}, "refused", "edit"),
        (404, "<html>", "refused", "edit"),
        (422, [], "refused", "edit"),
        (400, {"errors": ["odd"], "detail": None, "type": None}, "refused", "edit"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, body: Any, code: str, action: str) -> None:
    """Each refusal becomes a reason with the one thing that helps."""
    with pytest.raises(x_api.Refused) as refused:
        conclude(status, {}, json.dumps(body).encode())
    assert (refused.value.reason.code, refused.value.reason.action) == (code, action)


def test_a_refusal_keeps_x_s_words() -> None:
    """What X says of a text is shown to the person, the telling part of it."""
    body = {"errors": [{"message": "Only one cashtag is allowed"}], "detail": "One or more parameters was invalid."}
    with pytest.raises(x_api.Refused, match="Only one cashtag is allowed"):
        conclude(400, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"title": "CreditsDepleted", "type": "https://api.twitter.com/2/problems/credits"}),
        (402, {"title": "Payment Required", "type": f"{API}credits-depleted"}),
        (402, None),
        (429, {"title": "UsageCapExceeded", "type": f"{API}usage-capped"}),
        (429, {"title": "UsageCapExceeded"}),
    ],
)
def test_the_app_s_credit_is_nobody_s_fault(status: int, body: Any) -> None:
    """Credit and monthly caps concern the app: nothing was sent, and no tweet fails."""
    with pytest.raises(x_api.OutOfCredit):
        conclude(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("headers", "reset"),
    [
        ({"x-rate-limit-reset": "1700000900", "x-rate-limit-remaining": "0"}, 1700000900.0),
        ({"x-rate-limit-reset": "1700000900"}, 1700000900.0),
        (
            {
                "x-rate-limit-reset": "1700000900",
                "x-rate-limit-remaining": "37",
                "x-user-limit-24hour-reset": "1700080000",
                "x-user-limit-24hour-remaining": "0",
            },
            1700080000.0,
        ),
        ({"x-rate-limit-reset": "soon"}, None),
        ({}, None),
    ],
)
def test_a_rate_limit_says_until_when(headers: dict[str, str], reset: float | None) -> None:
    """The reset of the limit that is used up, or none when X does not say."""
    with pytest.raises(x_api.RateLimited) as limited:
        conclude(429, headers, b'{"title":"Too Many Requests","detail":"Too Many Requests","type":"about:blank"}')
    assert limited.value.reset == reset


# Looking for what may be there ---------------------------------------------------------------------------------------


def timeline(*pages: dict[str, Any]) -> Callable[[socket.socket], object]:
    """A timeline in pages, the last one again and again."""
    left = [json.dumps(page).encode() for page in pages]

    def serve(connection: socket.socket) -> None:
        body = left.pop(0) if len(left) > 1 else left[0]
        says("200 OK", body, "Connection: close")(connection)

    return serve


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "Look https://example.com/?a=1&timestamp=2 and example.org/?x=1&copy=2&region=3 & <this> &copy; &amp;",
        "https://example.com/?a=1&amp;b=2",
        "AT&T; R&D, 1 &lt; 2",
    ],
)
def test_words_are_known_again_as_x_gives_them(text: str, escaped: bool) -> None:
    """With links as t.co and some characters escaped; what looks like an entity inside a link is none."""
    given, urls = shortened(text, 1)
    for url in urls:
        url["expanded_url"] = html.escape(str(url["expanded_url"])) if escaped else url["expanded_url"]
    assert same_words(plain_text({"text": given, "entities": {"urls": urls}}), text)


def test_a_look_reads_page_after_page(tmp_path: Path) -> None:
    """With the token of the next one, until there is none."""
    first = {"data": [{"id": "3", "text": "Other"}], "meta": {"next_token": "more"}}
    with server(timeline(first, {"data": [{"id": "2", "text": "Hello"}], "meta": {}})) as (url, seen):
        assert look(tmp_path, url) == ["2"]
    assert [b"pagination_token=more" in request for request in seen] == [False, True]


def test_a_look_has_a_price_that_is_bounded(tmp_path: Path) -> None:
    """After five pages what was found counts; nothing found says nothing."""
    endless = {"data": [{"id": "3", "text": "Other"}], "meta": {"next_token": "more"}}
    with server(timeline(endless)) as (url, seen), pytest.raises(x_api.TooMany, match="too many posts"):
        look(tmp_path, url)
    assert len(seen) == x_api.PAGES
    with server(timeline(endless)) as (url, seen):
        assert look(tmp_path, url, "Other") == ["3"] * x_api.PAGES


def test_a_look_that_gets_no_answer_says_nothing(tmp_path: Path) -> None:
    """Nobody there, or a connection that ends."""
    with pytest.raises(x_api.NotSent):
        look(tmp_path, f"http://127.0.0.1:{free_port()}")
    with server(lambda _: None) as (url, _), pytest.raises(x_api.Unknown):
        look(tmp_path, url)


def test_a_look_reads_a_page_of_any_size_x_has(tmp_path: Path) -> None:
    """A hundred posts with all that X knows of their links, packed as X packs them."""
    post = {"id": "3", "text": "Other", "entities": {"urls": [{"url": "a", "expanded_url": "b", "title": "é" * 2000}]}}
    page = json.dumps({"data": [post] * 99 + [{"id": "2", "text": "Hello"}], "meta": {}}).encode()
    assert x_api.LONGEST_ANSWER < len(page) < x_api.LONGEST_PAGE
    with server(says("200 OK", gzip.compress(page), "Content-Encoding: gzip")) as (url, _):
        assert look(tmp_path, url) == ["2"]


@pytest.mark.parametrize("data", ['"meta": {}', '"data": null, "meta": {}', '"data": [], "meta": {"next_token": null}'])
def test_a_timeline_with_nothing_in_it_is_read(tmp_path: Path, data: str) -> None:
    """X leaves out what is empty, or does not."""
    with server(says("200 OK", f"{{{data}}}".encode())) as (url, _):
        assert look(tmp_path, url) == []


@pytest.mark.parametrize(
    "page",
    [
        [],
        {"data": []},
        {"data": [], "meta": None},
        {"data": "posts", "meta": {}},
        {"data": 7, "meta": {}},
        {"data": [None], "meta": {}},
        {"data": [{"text": "Hello"}], "meta": {}},
        {"data": [{"id": 7, "text": "Hello"}], "meta": {}},
        {"data": [{"id": "../7", "text": "Hello"}], "meta": {}},
        {"data": [{"id": "7"}], "meta": {}},
        {"data": [{"id": "7", "text": None}], "meta": {}},
        {"data": [{"id": "7", "text": "Hello", "entities": "some"}], "meta": {}},
        {"data": [{"id": "7", "text": "Hello", "entities": {"urls": [{"url": "Hello"}]}}], "meta": {}},
        {
            "data": [{"id": "7", "text": "Hello", "entities": {"urls": [{"url": "H", "expanded_url": None}]}}],
            "meta": {},
        },
        {"data": [{"id": "7", "text": "Hello", "entities": {"urls": [None]}}], "meta": {}},
        {"data": [{"id": "7", "text": "Hello", "entities": {"urls": 7}}], "meta": {}},
        {"data": [], "meta": {"next_token": {"more": 1}}},
    ],
)
def test_a_timeline_that_surprises_tells_nothing(tmp_path: Path, page: Any) -> None:
    """What cannot be read may be what is looked for: neither found nor absent."""
    with server(says("200 OK", json.dumps(page).encode())) as (url, _), pytest.raises(x_api.Unknown, match="no sense"):
        look(tmp_path, url)


def test_a_look_tells_a_limit_from_a_bill(tmp_path: Path) -> None:
    """As a post does: 429 with its time, 402 and a month's cap, 401."""
    with server(says("429 Slow", b"{}", "x-rate-limit-reset: 1700000900")) as (url, _):
        with pytest.raises(x_api.RateLimited) as limited:
            look(tmp_path, url)
        assert limited.value.reset == 1700000900
    for status, body in (("402 Pay", b""), ("429 Slow", b'{"title":"UsageCapExceeded"}')):
        with server(says(status, body)) as (url, _), pytest.raises(x_api.OutOfCredit):
            look(tmp_path, url)
    with server(says("401 Who")) as (url, _), pytest.raises(x_api.Refused, match="signed_out"):
        look(tmp_path, url)
