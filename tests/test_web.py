"""The routes, asked by a test client: real Redis, real SQLite, and the sandbox's own consent for signing in."""

import asyncio
import dataclasses
import itertools
import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
import redis
from starlette.requests import Request
from starlette.testclient import TestClient

import guard
import health
import limiter
import models
import pages
import server
import settings
import sign_in
import web
import x_api
from models import Tweet
from reasons import reason
from tests.sandbox_server import allow, running_sandbox
from tests.servers import ROOT, RedisServer, free_port

HOME = "http://tweets.test"
PAGE = {"Accept": "text/html,application/xhtml+xml"}
SECRET = "a session secret for tests, long enough"


@pytest.fixture(scope="module")
def x() -> Iterator[str]:
    """The sandbox's address."""
    with running_sandbox([f"{HOME}/oauth/callback"]) as url:
        yield url


@dataclass
class Site:
    """The app under test, and browsers to look at it."""

    app: Any
    x: str

    def browser(self, **options: Any) -> TestClient:
        """A browser without cookies."""
        return TestClient(self.app, base_url=HOME, follow_redirects=False, **options)

    def person(self, handle: str = "ada") -> TestClient:
        """A browser in which somebody has signed in."""
        browser = self.browser()
        assert browser.get("/oauth/callback", params=self.consent(browser, handle)).status_code == 303
        return browser

    def consent(self, browser: TestClient, handle: str = "ada", **fields: str) -> dict[str, str]:
        """Begin to sign in and allow it at X: what X would send to the callback."""
        asked = browser.post("/login", data=fields)
        token = parse_qs(urlsplit(asked.headers["location"]).query)["oauth_token"][0]
        return allow(self.x, token, handle)


def configure(redis_url: str, x: str, folder: Path, **more: str) -> settings.Settings:
    """Settings for a test, from nothing but these."""
    given = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": f"sqlite:///{folder / 'test.db'}",
        "PUBLIC_URL": HOME,
        "X_API_URL": x,
        "SESSION_SECRET": SECRET,
        "SIGN_INS_PER_MINUTE": "10000",  # all tests are one address,
        "POSTS_PER_MINUTE": "10000",  # and a few people
    }
    return settings.load(given | more, data=folder)


@pytest.fixture
def site(redis_url: str, x: str, tmp_path: Path) -> Site:
    """The app on an empty database and an empty Redis."""
    return Site(web.create_app(configure(redis_url, x, tmp_path)), x)


def row(job_id: str) -> Tweet:
    """What the database says of a tweet."""
    with models.database.connection_context():
        return Tweet.get(Tweet.job_id == job_id)


def rows() -> int:
    """How many tweets there are."""
    with models.database.connection_context():
        return int(Tweet.select().count())


def tweet(browser: TestClient, text: str = "Hello, world!", **fields: str) -> dict[str, Any]:
    """Post a tweet as the page's script does, and return the answer."""
    answer = browser.post("/tweets", data={"status": text, **fields})
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


def local(seconds: float) -> str:
    """A moment from now as the form writes it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + seconds))


# Signing in ----------------------------------------------------------------------------------------------------------


def test_a_stranger_is_invited_to_sign_in(site: Site) -> None:
    """The page for strangers is one button, and nothing of anybody's."""
    answer = site.browser().get("/")
    assert answer.status_code == 200
    assert 'action="/login"' in answer.text
    assert "composer" not in answer.text


def test_sign_in_and_out(site: Site) -> None:
    """After X's consent the page is the person's; after signing out it is a stranger's."""
    ada = site.person("ada")
    assert "@ada" in ada.get("/").text
    assert ada.post("/logout").headers["location"] == "/"
    assert "@ada" not in ada.get("/").text


def test_sign_in_goes_to_x_and_names_the_public_address(site: Site) -> None:
    """The callback is built from PUBLIC_URL: a forged Host header cannot change it (X would refuse another one)."""
    answer = site.browser().post("/login", headers={"Host": "evil.test"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{site.x}/oauth/authenticate?oauth_token=")


def test_saying_no_at_x_signs_nobody_in(site: Site) -> None:
    """`denied` leads home with a sentence that is shown once."""
    browser = site.browser()
    token = parse_qs(urlsplit(browser.post("/login").headers["location"]).query)["oauth_token"][0]
    assert browser.get("/oauth/callback", params={"denied": token}).headers["location"] == "/"
    assert "You said no at X" in browser.get("/").text
    assert "You said no at X" not in browser.get("/").text


def test_a_callback_is_good_only_once(site: Site) -> None:
    """The same callback again is refused and leaves the person signed in."""
    browser = site.browser()
    answer = site.consent(browser)
    assert browser.get("/oauth/callback", params=answer).status_code == 303
    again = browser.get("/oauth/callback", params=answer, headers=PAGE)
    assert again.status_code == 400
    assert "begin again" in again.text
    assert "@ada" in browser.get("/").text


def test_a_foreign_callback_changes_nothing(site: Site) -> None:
    """A callback that another browser earned neither signs in here nor spoils the sign-in that is under way."""
    mine, theirs = site.browser(), site.browser()
    own, foreign = site.consent(mine, "ada"), site.consent(theirs, "grace")
    refused = mine.get("/oauth/callback", params=foreign)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "foreign_callback"
    assert mine.get("/oauth/callback").status_code == 400
    assert mine.get("/oauth/callback", params=own).status_code == 303
    assert "@ada" in mine.get("/").text


def test_a_request_token_is_tried_only_once(site: Site) -> None:
    """X refused a wrong verifier: the right one comes too late, the token of this browser is gone."""
    browser = site.browser()
    answer = site.consent(browser)
    wrong = browser.get("/oauth/callback", params=answer | {"oauth_verifier": "wrong"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (502, "sign_in_refused")
    assert browser.get("/oauth/callback", params=answer).status_code == 400
    assert "@ada" not in browser.get("/").text


def test_a_session_begins_anew_at_sign_in(site: Site) -> None:
    """Who signs in gets nothing of the session that was there before, whoever's it was."""
    browser = site.person("grace")
    token = parse_qs(urlsplit(browser.post("/login").headers["location"]).query)["oauth_token"][0]
    browser.get("/oauth/callback", params={"denied": token})  # leaves a notice behind
    browser.get("/oauth/callback", params=site.consent(browser, "ada"))
    assert list(json.loads(b64decode(browser.cookies["session"].split(".")[0] + "=="))) == ["id", "x_id"]
    assert "@ada" in browser.get("/").text


def test_the_session_names_the_person_not_the_row(site: Site) -> None:
    """In a database that was made anew a row number is somebody else's; X's id is not."""
    ada = site.person("ada")
    with models.database.connection_context():
        models.User.delete().execute()
    site.person("grace")
    with models.database.connection_context():
        assert models.User.get().id == 1
    assert "@grace" not in ada.get("/").text


def test_a_callback_without_an_answer_is_told(site: Site) -> None:
    """No verifier: 400 in words, and the sign-in that is under way is not spoilt."""
    browser = site.browser()
    answer = site.consent(browser)
    refused = browser.get("/oauth/callback", params={"oauth_token": answer["oauth_token"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_verifier")
    assert browser.get("/oauth/callback", params=answer).status_code == 303


def test_slow_sign_ins_hold_up_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """With forty on their way to a silent X the site answers, and those who would have to wait are told."""
    x_answers = threading.Event()

    def silent(*_: Any) -> Any:
        assert x_answers.wait(60)
        return "token", "secret", site.x

    monkeypatch.setattr(x_api, "sign_in_start", silent)
    monkeypatch.setattr(sign_in, "PATIENCE", 0.2)
    with site.browser() as browser, ThreadPoolExecutor(42) as people:
        asked = [people.submit(browser.post, "/login", headers=PAGE) for _ in range(40)]
        try:
            told = [done.result() for done in itertools.islice(as_completed(asked, 30), 32)]
            others = [people.submit(browser.get, path) for path in ("/", "/livez")]
            assert [other.result(30).status_code for other in others] == [200, 200]
        finally:
            x_answers.set()
        assert {answer.status_code for answer in told} == {503}
        assert "X is slow" in told[0].text
        assert sorted(one.result().status_code for one in asked) == [303] * 8 + [503] * 32


def test_livez_needs_no_thread(site: Site) -> None:
    """It answers on the event loop itself, so also when every thread is taken."""
    assert asyncio.iscoroutinefunction(health.livez)


def test_x_away_at_sign_in_is_explained(redis_url: str, tmp_path: Path) -> None:
    """Nobody listens where X should be: a page that says so, and no session."""
    app = web.create_app(configure(redis_url, f"http://127.0.0.1:{free_port()}", tmp_path))
    answer = Site(app, "").browser().post("/login", headers=PAGE)
    assert answer.status_code == 502
    assert "X cannot be reached" in answer.text


# Tweets --------------------------------------------------------------------------------------------------------------


def test_a_tweet_is_accepted_with_the_place_to_look(site: Site) -> None:
    """202 names the job and where to ask; the job waits in Redis under the same id."""
    answer = site.person().post("/tweets", data={"status": "Hello, world!"})
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == body["status_url"] == f"/status/{body['job_id']}"
    assert answer.headers["retry-after"] == "1"
    assert body["state"] == "queued"
    job = queue.status(body["job_id"])
    assert job is not None
    assert (job.task, job.state) == ("post_tweet", "pending")
    assert job.args == [row(body["job_id"]).id]


def test_a_plain_form_leads_home_to_the_tweet(site: Site) -> None:
    """Without JavaScript: 303, then a page that shows it. Reloading that page posts nothing."""
    ada = site.person()
    answer = ada.post("/tweets", data={"status": "Plain & <simple>"}, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Plain &amp; &lt;simple&gt;" in ada.get("/").text
    assert rows() == 1


def test_json_is_as_good_as_a_form(site: Site) -> None:
    """The same fields in a JSON object."""
    answer = site.person().post("/tweets", json={"status": "Hi", "at": None})
    assert answer.status_code == 202
    assert row(answer.json()["job_id"]).text == "Hi"


def test_line_ends_of_a_plain_form_count_once(site: Site) -> None:
    """Browsers send CR LF from a textarea; the tweet has one character."""
    assert row(tweet(site.person(), "a\r\nb")["job_id"]).text == "a\nb"


def test_one_key_is_one_tweet(site: Site) -> None:
    """Double click, back, reload: the same key gets the same job, in a form field or as a header."""
    ada = site.person()
    first = tweet(ada, key="k1")
    assert tweet(ada, key="k1")["job_id"] == first["job_id"]
    by_header = ada.post("/tweets", data={"status": "Hello, world!"}, headers={"Idempotency-Key": "k1"})
    assert by_header.json()["job_id"] == first["job_id"]
    assert rows() == 1


def test_a_key_used_for_another_text_is_refused(site: Site) -> None:
    """A form that came back with the Back button and other words in it is not taken for the first tweet."""
    ada = site.person()
    tweet(ada, "One", key="k1")
    answer = ada.post("/tweets", data={"status": "Two", "key": "k1"}, headers=PAGE)
    assert answer.status_code == 422
    assert "Two</textarea>" in answer.text
    assert "press the button once more" in answer.text
    assert 'value="k1"' not in answer.text


def test_every_form_has_a_key_of_its_own(site: Site) -> None:
    """Two renderings, two keys."""
    ada = site.person()
    keys = {re.findall(r'name="key" value="(\w{32})"', ada.get("/").text)[0] for _ in range(2)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("fields", "code", "field", "says"),
    [
        ({"status": ""}, "empty", "status", "write something"),
        ({}, "empty", "status", "write something"),
        ({"status": " \n\t "}, "empty", "status", "write something"),
        ({"status": "x" * 281}, "too_long", "status", "281"),
        ({"status": "." * 10_000}, "too_long", "status", "10000"),
        ({"status": "a.b." * 4000}, "too_long", "status", "16000"),
        ({"status": "nul \0"}, "bad_characters", "status", "U+0000"),
        ({"status": "Hi", "at": "2020-01-01T00:00", "tz": "UTC"}, "past", "at", "2020-01-01"),
        ({"status": "Hi", "at": "2999-01-01T00:00", "tz": "UTC"}, "too_far", "at", "2999-01-01"),
        ({"status": "Hi", "at": "soon", "tz": "UTC"}, "bad_time", "at", "soon"),
        ({"status": "Hi", "at": "2027-02-30T09:00", "tz": "UTC"}, "bad_time", "at", "2027-02-30"),
        ({"status": "Hi", "at": "2027-03-28T02:30", "tz": "Europe/Berlin"}, "no_such_time", "at", "02:30"),
        ({"status": "Hi", "at": "2027-03-28T02:30"}, "bad_zone", "tz", "No time zone was given"),
        ({"status": "Hi", "at": "2027-03-28T02:30", "tz": "Mars/Olympus"}, "bad_zone", "tz", "Mars/Olympus"),
        ({"status": "Hi", "key": "k" * 300}, "bad_key", "key", "kkk"),
    ],
    ids=str,
)
def test_what_cannot_be_tweeted_is_explained_and_kept(
    site: Site, fields: dict[str, str], code: str, field: str, says: str
) -> None:
    """422 names the field, the value and the remedy; the page shows the form again with the text; nothing is stored."""
    ada = site.person()
    error = ada.post("/tweets", data=fields).json()["error"]
    assert (error["code"], error["field"]) == (code, field)
    assert says in error["message"]
    page = ada.post("/tweets", data=fields, headers=PAGE)
    assert page.status_code == 422
    assert fields.get("status", "") in page.text
    assert 'aria-invalid="true"' in page.text or field == "key"
    assert rows() == 0


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"status": "Hi", "at": "2027-10-31T02:30", "tz": "Europe/Berlin"}, "fold"), ({"key": "k"}, "key")],
)
def test_what_is_for_programs_is_told_to_programs(site: Site, fields: dict[str, str], word: str) -> None:
    """A field of the JSON of its own; the message, which people read, has nothing of it."""
    ada = site.person()
    tweet(ada, "Before", key="k")
    error = ada.post("/tweets", data={"status": "Hi", **fields}).json()["error"]
    assert word in error["hint"]
    assert "program" not in error["message"]
    assert error["hint"] not in ada.post("/tweets", data={"status": "Hi", **fields}, headers=PAGE).text


def test_a_time_that_was_refused_stays_in_the_form(site: Site) -> None:
    """Date, time and zone are still chosen when the text comes back."""
    fields = {"status": "Hi", "at": "2027-03-28T02:30", "tz": "Europe/Berlin"}
    page = site.person().post("/tweets", data=fields, headers=PAGE).text
    assert 'value="2027-03-28T02:30"' in page
    assert "<option selected>Europe/Berlin" in page
    assert '<details id="later" class="later" open>' in page


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_a_lone_surrogate_is_refused(site: Site, text: str) -> None:
    """JSON can carry half a character; no database can."""
    ada = site.person()
    body = json.dumps({"status": text})
    answer = ada.post("/tweets", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_characters"
    page = ada.post("/tweets", content=body, headers={"Content-Type": "application/json"} | PAGE)
    assert page.status_code == 422


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "bad_json"),
        (b"", "bad_json"),
        (b"[1]", "bad_json"),
        (b"\xff", "bad_json"),
        (b"[" * 60_000, "bad_json"),
        (b'{"status": 5}', "not_text"),
        (b'{"status": {"a": 1}}', "not_text"),
        (b'{"\\ud800": 1}', "not_text"),
    ],
    ids=str,
)
def test_malformed_json_is_named(site: Site, body: bytes, code: str) -> None:
    """400 with what is wrong, never a 500."""
    answer = site.person().post("/tweets", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


def test_other_types_of_body_are_refused(site: Site) -> None:
    """A type we do not read is said, with what we do read."""
    answer = site.person().post("/tweets", content=b"<a/>", headers={"Content-Type": "text/xml"})
    assert answer.status_code == 415
    assert "text/xml" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x; charset=unicode_escape",
        "application/x-www-form-urlencoded; charset=nonsense",
        "application/json; charset=nonsense",
        ";;;",
    ],
)
def test_a_mangled_form_is_no_defect(site: Site, kind: str) -> None:
    """Whatever the type claims, the answer is a refusal with words and nothing is stored."""
    body = b'--x\r\nContent-Disposition: form-data; name="status"\r\n\r\n\\ud800\r\n--x--\r\n'
    answer = site.person().post("/tweets", content=body, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]
    assert rows() == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_a_megabyte_is_refused(site: Site, chunked: bool) -> None:
    """413 in words, whether its length was declared or not; nothing is stored."""
    ada, body = site.person(), b"status=" + b"x" * 1_000_000
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    content = iter([body]) if chunked else body
    answer = ada.post("/tweets", content=content, headers=form)
    assert answer.status_code == 413
    assert "64 KB" in answer.json()["error"]["message"]
    page = ada.post("/tweets", content=body, headers=form | PAGE)
    assert "go back in your browser" in page.text
    assert rows() == 0


def test_a_signed_out_tweet_is_kept_through_the_sign_in(site: Site) -> None:
    """401 stores nothing; without JavaScript text and time go with the sign-in and wait in the composer after it."""
    browser = site.browser()
    assert browser.post("/tweets", data={"status": "Hi"}).status_code == 401
    fields = {"status": "\u2603 Precious words " * 16, "at": "2030-01-01T09:30", "tz": "Asia/Tokyo"}
    page = browser.post("/tweets", data=fields, headers=PAGE)
    assert page.status_code == 401
    assert "You are signed out" in page.text
    assert form_of(page.text) == fields
    browser.get("/oauth/callback", params=site.consent(browser, **form_of(page.text)))
    home = browser.get("/").text
    assert f"{fields['status']}</textarea>" in home
    assert 'value="2030-01-01T09:30"' in home
    assert "<option selected>Asia/Tokyo" in home
    assert rows() == 0


def form_of(page: str) -> dict[str, str]:
    """What the sign-in form of a page would post."""
    texts = re.findall(r'<textarea [^>]*name="(\w+)"[^>]*>\n([^<]*)<', page)
    return dict(texts + re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


@pytest.mark.parametrize("text", ["word " * 500, "\U0001f469\u200d\U0001f467" * 140], ids=["letters", "families"])
def test_a_text_too_long_for_the_sign_in_is_to_be_copied(site: Site, text: str) -> None:
    """No browser keeps a cookie of that size: the page says so and shows the whole text, also when it is edited."""
    browser = site.browser()
    page = browser.post("/tweets", data={"status": text}, headers=PAGE)
    assert "copy it from here" in page.text
    assert f"{text}</textarea>" in page.text
    assert form_of(page.text) == {}
    edited = browser.post("/login", data={"status": text}, headers=PAGE)
    assert edited.status_code == 413
    assert f"{text}</textarea>" in edited.text
    assert len(str(browser.cookies.get("session"))) < 4000


def test_a_text_is_still_there_after_saying_no(site: Site) -> None:
    """The sign-in that came to nothing leaves it on the page."""
    browser = site.browser()
    asked = browser.post("/login", data={"status": "Still here"}).headers["location"]
    browser.get("/oauth/callback", params={"denied": parse_qs(urlsplit(asked).query)["oauth_token"][0]})
    assert form_of(browser.get("/").text) == {"status": "Still here"}


def test_the_address_of_a_refused_form_leads_home(site: Site) -> None:
    """Who presses Enter in the address bar is not met with an error."""
    answer = site.browser().get("/tweets")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_tweet_is_accepted_while_redis_is_away(x: str, tmp_path: Path) -> None:
    """The row is the truth: 202, and /status answers from it."""
    site = Site(web.create_app(configure(f"redis://127.0.0.1:{free_port()}/0", x, tmp_path)), x)
    ada = site.person()
    body = tweet(ada)
    answer = ada.get(body["status_url"])
    assert answer.status_code == 200
    assert answer.json()["state"] == "queued"


# Status --------------------------------------------------------------------------------------------------------------


def test_status_tells_the_whole_story(site: Site) -> None:
    """Every field of the contract, from queued to sent with its link."""
    ada = site.person()
    url = tweet(ada)["status_url"]
    before = ada.get(url).json()
    assert (before["state"], before["cancellable"], before["tweet_url"]) == ("queued", True, None)
    assert before["poll_after_ms"] >= 100
    with models.database.connection_context():
        mine = row(before["job_id"])
        assert mine.start_sending()
        mine.record_sent("77")
    after = ada.get(url).json()
    assert (after["state"], after["cancellable"], after["poll_after_ms"]) == ("sent", False, None)
    assert after["tweet_url"] == f"{site.x}/ada/status/77"
    fields = {"job_id", "state", "attempt", "next_attempt_at", "due_at", "tweet_url", "reason", "cancellable"}
    assert fields | {"poll_after_ms"} <= after.keys()


def test_a_failure_is_told_with_its_reason_and_remedy(site: Site) -> None:
    """The reason's code, words and action; on the page the words, and the button beside them."""
    ada = site.person()
    url = tweet(ada)["status_url"]
    fail(url.split("/")[-1], "signed_out")
    told = ada.get(url).json()
    assert told["state"] == "failed"
    assert told["reason"]["code"] == "signed_out"
    assert told["reason"]["action"] == "sign_in"
    page = ada.get("/").text
    assert told["reason"]["message"].replace("'", "&#39;") in page
    assert re.search(r'<div class="deeds">\s*<form class="sign_in" [^>]*" >', page)


def test_x_s_words_end_where_our_sentence_does() -> None:
    """One full stop, not two around a quotation mark."""
    assert (
        '"You are not permitted to do this". Look'
        in reason("not_permitted", "You are not permitted to do this.").message
    )


def test_html_in_x_s_words_stays_text(site: Site) -> None:
    """A reason may hold what X said, and X may say anything."""
    ada = site.person()
    job_id = tweet(ada)["job_id"]
    with models.database.connection_context():
        row(job_id).record_failed(reason("not_permitted", "<script>alert(1)</script>"))
    page = ada.get("/").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_an_unchanged_status_is_not_sent_again(site: Site) -> None:
    """The ETag of the last answer gets 304 until something changes."""
    ada = site.person()
    url = tweet(ada, at=local(86_400), tz="UTC")["status_url"]
    etag = ada.get(url).headers["etag"]
    again = ada.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert again.headers["cache-control"] == "private, no-cache"
    ada.delete(url.replace("status", "tweets"))
    assert ada.get(url, headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("who", ["grace", None])
def test_somebody_elses_job_does_not_exist(site: Site, who: str | None) -> None:
    """404 for everything about it, and nothing changes; the same as for an id that nobody has."""
    job_id = tweet(site.person("ada"))["job_id"]
    other = site.person(who) if who else site.browser()
    for known in (job_id, "nosuchjob"):
        answers = [
            other.get(f"/status/{known}"),
            other.delete(f"/tweets/{known}"),
            other.post(f"/tweets/{known}/cancel"),
            other.patch(f"/tweets/{known}", json={"status": "Mine now"}),
            other.post(f"/tweets/{known}/retry"),
        ]
        assert [answer.status_code for answer in answers] == [404] * 5
        assert known in answers[0].json()["error"]["message"]
    assert (row(job_id).state, row(job_id).text) == ("queued", "Hello, world!")
    assert "Hello, world!" not in other.get("/", params={"text_of": job_id}).text


@pytest.mark.parametrize("job_id", ["%00", "a%00b", "x" * 65, "caf%C3%A9", "a.b"])
def test_what_cannot_be_a_job_id_never_reaches_the_database(
    site: Site, monkeypatch: pytest.MonkeyPatch, job_id: str
) -> None:
    """Postgres answers a NUL with an error: 404 from every route, and the plain page."""
    ada = site.person()
    monkeypatch.setattr(models.OldJob, "select", lambda *_: pytest.fail("the database was asked"))
    assert ada.get(f"/status/{job_id}").status_code == 404
    assert ada.delete(f"/tweets/{job_id}").status_code == 404
    assert ada.get(f"/?text_of={job_id}").status_code == 200


def test_junk_under_the_jobs_key_is_no_error(site: Site, redis_url: str) -> None:
    """The row is the truth."""
    ada = site.person()
    body = tweet(ada)
    lay_junk(redis_url, body["job_id"])
    assert ada.get(body["status_url"]).json()["state"] == "queued"


def lay_junk(redis_url: str, job_id: str) -> None:
    """Put what no job is under a job's key."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{{queue}}:job:{job_id}", "junk")


def test_the_first_page_knows_when_a_retry_comes(site: Site, redis_url: str) -> None:
    """The time is the queue's; where it is not known none is shown, least of all the one when it was written."""
    ada = site.person()
    job_id = tweet(ada)["job_id"]
    with models.database.connection_context():
        assert row(job_id).record_waiting(reason("unreachable"))
    key = f"{{queue}}:job:{job_id}"
    with redis.Redis.from_url(redis_url) as client:
        client.hset(key, mapping={"state": "scheduled", "attempt": 1, "failures": 1, "due_at": 4_000_000_000_000})
        assert re.search(
            r'Retrying</span></span>[^/]*<time data-join="at" datetime="2096-10-02', ada.get("/").text, re.S
        )
        client.delete(key)
    assert ada.get(f"/status/{job_id}").json()["time"] is None
    lay_junk(redis_url, job_id)
    assert re.search(r'Retrying</span></span>[^/]*<time data-join="at" hidden></time>', ada.get("/").text)


# Later, otherwise, not at all, once more -----------------------------------------------------------------------------


def test_a_scheduled_tweet_waits_for_its_second(site: Site) -> None:
    """`at` has seconds and a zone; the row and the job have the same moment."""
    ada = site.person()
    at = local(3600)
    body = tweet(ada, at=at, tz="UTC")
    assert body["state"] == "scheduled"
    job = queue.status(body["job_id"])
    assert job is not None
    assert job.due_at == body["due_at"]
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(body["due_at"] / 1000)) == at
    page = ada.get("/").text
    assert page.index('id="upcoming"') < page.index("Hello, world!") < page.index('id="recent"')


@pytest.mark.parametrize("plain", [False, True])
def test_a_waiting_tweet_can_be_cancelled(site: Site, plain: bool) -> None:
    """By DELETE or by a plain form; row and job agree. Once more is harmless."""
    ada = site.person()
    job_id = tweet(ada, at=local(3600), tz="UTC")["job_id"]
    for _ in range(2):
        if plain:
            answer = ada.post(f"/tweets/{job_id}/cancel", headers=PAGE)
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
        else:
            answer = ada.delete(f"/tweets/{job_id}")
            assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    job = queue.status(job_id)
    assert job is not None
    assert (row(job_id).state, job.state) == ("cancelled", "cancelled")


def test_it_can_be_too_late_to_change(site: Site) -> None:
    """409 with the state that came first, from every way to change it; a plain form is told on the page."""
    ada = site.person()
    job_id = tweet(ada)["job_id"]
    with models.database.connection_context():
        row(job_id).start_sending()
    for answer in (ada.delete(f"/tweets/{job_id}"), ada.patch(f"/tweets/{job_id}", json={"status": "Other"})):
        assert answer.status_code == 409
        assert answer.json()["state"] == "sending"
        assert answer.json()["error"]["code"] == "too_late"
    ada.post(f"/tweets/{job_id}/cancel", headers=PAGE)
    assert "Too late: this tweet is sending" in ada.get("/").text
    assert row(job_id).text == "Hello, world!"


def test_text_and_time_can_be_changed_while_it_waits(site: Site) -> None:
    """PATCH changes what it names: the text alone, then the time alone, and the job moves with it."""
    ada = site.person()
    job_id = tweet(ada, at=local(3600), tz="UTC")["job_id"]
    worded = ada.patch(f"/tweets/{job_id}", json={"status": "Better words"})
    assert (worded.status_code, worded.json()["text"]) == (200, "Better words")
    moved = ada.patch(f"/tweets/{job_id}", json={"at": local(7200), "tz": "UTC"}).json()
    job = queue.status(job_id)
    assert job is not None
    assert moved["due_at"] == row(job_id).due_at == job.due_at
    assert moved["text"] == "Better words"
    bad = ada.patch(f"/tweets/{job_id}", json={"status": " "})
    assert (bad.status_code, bad.json()["error"]["code"]) == (422, "empty")


@pytest.mark.parametrize("plain", [False, True])
def test_send_now_and_it_is_there(site: Site, plain: bool) -> None:
    """By fetch or by plain forms: a scheduled one goes at once under its id, an uncertain one is sent; again is 409."""
    ada, headers = site.person(), PAGE if plain else {}
    job_id = tweet(ada, at=local(3600), tz="UTC")["job_id"]
    for path, state in (("now", "queued"), ("there", "sent")):
        if path == "there":
            with models.database.connection_context():
                row(job_id).start_sending()
                row(job_id).record_uncertain(reason("no_look"))
        codes = [ada.post(f"/tweets/{job_id}/{path}", headers=headers).status_code for _ in range(2)]
        assert (codes, row(job_id).state) == ([303, 303] if plain else [200, 409], state)


def test_a_plain_form_edits_and_says_what_is_wrong(site: Site) -> None:
    """POST …/edit does what PATCH does; a text that X would refuse changes nothing and is explained on the page."""
    ada = site.person()
    job_id = tweet(ada, at=local(3600), tz="UTC")["job_id"]
    due_at = row(job_id).due_at
    fields = {"status": "Better words", "at": "", "tz": "UTC"}
    answer = ada.post(f"/tweets/{job_id}/edit", data=fields, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    answer = ada.post(f"/tweets/{job_id}/edit", data=fields | {"status": "x" * 281}, headers=PAGE)
    assert answer.status_code == 422
    assert re.search(
        rf'data-job="{job_id}".*281 characters.*<form class="change" action="/tweets/{job_id}/edit".*x{{281}}',
        answer.text,
        re.S,
    )
    assert (row(job_id).text, row(job_id).due_at) == ("Better words", due_at)
    assert ada.get(f"/tweets/{job_id}/edit", headers=PAGE).headers["location"] == "/"  # asked anew, it asks nothing


def test_a_failed_tweet_can_be_sent_again(site: Site) -> None:
    """A new job id; the old one still answers, with the tweet as it is now. What was sent is not sent again."""
    ada = site.person()
    old = tweet(ada)["job_id"]
    fail(old, "duplicate")
    again = ada.post(f"/tweets/{old}/retry")
    new = again.json()["job_id"]
    assert again.status_code == 202
    assert new != old
    assert ada.get(f"/status/{old}").json()["job_id"] == new
    with models.database.connection_context():
        row(new).start_sending()
        row(new).record_sent("5")
    late = ada.post(f"/tweets/{new}/retry")
    assert (late.status_code, late.json()["state"]) == (409, "sent")


def test_send_again_is_one_decision(site: Site) -> None:
    """The answer was lost, or another tab is behind: the same press comes again when that try has ended, too."""
    ada = site.person()
    old = tweet(ada)["job_id"]
    fail(old, "gave_up")
    new = ada.post(f"/tweets/{old}/retry").json()["job_id"]
    fail(new, "gave_up")
    again = ada.post(f"/tweets/{old}/retry")
    assert (again.status_code, again.json()["job_id"], again.json()["state"]) == (202, new, "failed")
    assert ada.post(f"/tweets/{new}/retry").json()["state"] == "queued"


def test_the_text_of_an_old_tweet_goes_back_into_the_composer(site: Site) -> None:
    """`Edit as new` is a link that works without JavaScript."""
    ada = site.person()
    job_id = tweet(ada, "Old words")["job_id"]
    assert "Old words</textarea>" in ada.get("/", params={"text_of": job_id}).text


def test_an_edit_is_a_page_of_its_own(site: Site) -> None:
    """`?edit=` opens the form of one tweet, with its words and its time in UTC; nobody else's."""
    ada = site.person()
    at = local(3600)[:-2] + "07"
    job_id = tweet(ada, "In the form", at=at, tz="UTC")["job_id"]
    opened = f'<form class="change" action="/tweets/{job_id}/edit"'
    page = ada.get("/", params={"edit": job_id}).text
    assert opened in page
    assert f'step="1" value="{at}"' in page
    assert opened not in ada.get("/").text
    assert opened not in site.person("grace").get("/", params={"edit": job_id}).text
    assert ada.get("/", params={"edit": "unknown"}).status_code == 200
    ada.delete(f"/tweets/{job_id}")
    assert opened not in ada.get("/", params={"edit": job_id}).text  # too late


def fail(job_id: str, code: str) -> None:
    """Let a tweet fail as the worker would."""
    with models.database.connection_context():
        mine = row(job_id)
        assert mine.start_sending()
        assert mine.record_failed(reason(code))


# What keeps others out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": f"{HOME}.evil.test"},
        {"Sec-Fetch-Site": "cross-site", "Origin": HOME},
    ],
    ids=str,
)
def test_other_sites_cannot_act_for_a_person(site: Site, headers: dict[str, str]) -> None:
    """Every unsafe method is refused with 403 before anything is read, in JSON or as a page."""
    ada = site.person()
    job_id = tweet(ada)["job_id"]
    for method, path in [
        ("POST", "/tweets"),
        ("POST", "/login"),
        ("POST", "/logout"),
        ("DELETE", f"/tweets/{job_id}"),
        ("PATCH", f"/tweets/{job_id}"),
        ("POST", f"/tweets/{job_id}/cancel"),
    ]:
        answer = ada.request(method, path, data={"status": "Forged"}, headers=headers)
        assert answer.status_code == 403, (method, path)
        assert "another site" in answer.json()["error"]["message"]
    assert "Not from here" in ada.post("/tweets", headers=headers | PAGE).text
    assert (rows(), row(job_id).state) == (1, "queued")
    assert "@ada" in ada.get("/", headers=headers).text


def test_a_request_that_names_two_lengths_is_refused(site: Site) -> None:
    """Before anything of it is read, and whoever sends it is told to hang up."""
    lengths = {"Content-Length": "2", "Transfer-Encoding": "chunked"}
    answer = site.browser().post("/login", content=b"{}", headers=lengths)
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")
    assert "names its length in two ways" in answer.text


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": HOME}], ids=str)
def test_our_own_page_and_programs_may_act(site: Site, headers: dict[str, str]) -> None:
    """The same request from our page, or from no browser at all, is taken."""
    assert site.person().post("/tweets", data={"status": "Hi"}, headers=headers).status_code == 202


@pytest.mark.parametrize("path", ["/", "/nowhere", "/livez", "/static/page.css"])
def test_every_answer_has_the_security_headers(site: Site, path: str) -> None:
    """No inline script, no frames, no sniffing; forms may end at X, or Chromium would swallow the sign-in."""
    headers = site.browser().get(path).headers
    policy = headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"form-action 'self' {site.x};" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "private, no-cache"
    assert "strict-transport-security" not in headers


def test_production_is_stricter(site: Site, redis_url: str, tmp_path: Path) -> None:
    """Secure cookie with a prefix that no other host can set, and HSTS."""
    strict = dataclasses.replace(configure(redis_url, site.x, tmp_path), env="production")
    browser = TestClient(web.create_app(strict), base_url="https://tweets.test", follow_redirects=False)
    cookie = browser.post("/login").headers["set-cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"httponly", "samesite=lax", "secure", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    headers = browser.get("/").headers
    assert "max-age" in headers["strict-transport-security"]


@pytest.mark.parametrize(("production", "whose"), [(True, "10.0.0.3"), (False, "192.0.2.1")])
def test_an_address_is_what_the_router_saw(production: bool, whose: str) -> None:
    """The last entry, which the router wrote; those before it, and all of it where no router is, anybody can write."""
    state = SimpleNamespace(settings=SimpleNamespace(production=production))
    passed = [(b"x-forwarded-for", b"10.0.0.1"), (b"x-forwarded-for", b"10.0.0.2, 10.0.0.3")]
    scope = {"type": "http", "headers": passed, "client": ("192.0.2.1", 5), "app": SimpleNamespace(state=state)}
    assert limiter.address(Request(scope)) == whose
    assert limiter.address(Request(scope | {"headers": []})) == "192.0.2.1"


def test_a_sign_in_at_x_itself_may_end_at_all_its_addresses(redis_url: str, tmp_path: Path) -> None:
    """Also in development with keys of X: Chromium holds form-action against each redirect."""
    browser = Site(web.create_app(configure(redis_url, "https://api.x.com", tmp_path)), "").browser()
    allowed = "https://api.twitter.com https://api.x.com https://twitter.com https://x.com"
    assert f"form-action 'self' {allowed};" in browser.get("/").headers["content-security-policy"]


@pytest.mark.parametrize("accept", [PAGE, {}], ids=["page", "json"])
def test_a_defect_is_told_with_all_the_headers(
    site: Site, monkeypatch: pytest.MonkeyPatch, accept: dict[str, str]
) -> None:
    """500 says no more than that, and is as well guarded as any other answer."""
    monkeypatch.setattr(pages, "show_home", lambda *_: [].pop())
    answer = site.browser(raise_server_exceptions=False).get("/", headers=accept)
    assert answer.status_code == 500
    assert "defect of ours" in answer.text
    assert "IndexError" not in answer.text
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["/tweets/", "/livez/", "/static", "/oauth/callback/"])
def test_a_forged_host_leads_nobody_away(site: Site, path: str) -> None:
    """An address with a slash too many or too few is unknown: a redirect would be built from the Host header."""
    answer = site.browser().get(path, headers={"Host": "evil.test"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_a_forged_session_is_nobodys(site: Site) -> None:
    """A cookie signed with another secret, or not at all, is as good as none."""
    ada = site.person()
    good = ada.cookies["session"]
    for cookie in (good[:-3] + "AAA", "e30=", "null", good.split(".")[0], "\x7f"):
        answer = site.browser().get("/", headers={"Cookie": f"session={cookie}"})
        assert (answer.status_code, "@ada" in answer.text) == (200, False)


def test_unknown_addresses_and_methods_are_told(site: Site) -> None:
    """404 and 405, as a page or as JSON, in words that say what to do."""
    browser = site.browser()
    assert "Nothing here" in browser.get("/nowhere", headers=PAGE).text
    assert browser.get("/nowhere").json()["error"]["code"] == "http_404"
    assert "begin at the first page" in browser.get("/nowhere").json()["error"]["message"]
    wrong = browser.put("/tweets")
    assert wrong.status_code == 405
    assert "PUT does nothing at this address" in wrong.json()["error"]["message"]
    for path, allowed in (("/tweets", "GET, HEAD, POST"), ("/tweets/x", "DELETE, PATCH"), ("/login", "POST")):
        assert browser.put(path).headers["allow"] == allowed


# Health and size -----------------------------------------------------------------------------------------------------


def test_health_names_what_is_away(x: str, tmp_path: Path) -> None:
    """503 with the names; the process itself is alive."""
    app = web.create_app(configure(f"redis://127.0.0.1:{free_port()}/0", x, tmp_path))
    (tmp_path / "test.db").write_bytes(b"this is no database" * 100)
    browser = Site(app, x).browser()
    answer = browser.get("/healthz")
    assert answer.status_code == 503
    assert [problem["code"] for problem in answer.json()["problems"]] == ["redis", "database"]
    assert browser.get("/livez").status_code == 200


def test_a_broken_database_is_told_without_a_trace(site: Site, tmp_path: Path) -> None:
    """503 or 500 with a sentence, never a stack trace."""
    ada = site.person()
    (tmp_path / "test.db").unlink()
    (tmp_path / "test.db").mkdir()
    answer = ada.post("/tweets", data={"status": "Hi"})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_database"


def test_the_page_is_small_and_asks_nobody_else(site: Site) -> None:
    """A full page, its style and its script are under 50 KB on the wire, with no address of another host but X's."""
    browser = site.person()
    for number in range(20):
        fail(tweet(browser, f"Number {number} " + "lorem ipsum dolor " * 12)["job_id"], "duplicate")
    answer = browser.get("/")
    files = [browser.get(path) for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text)]
    assert len(files) == 11
    assert sum(int(part.headers["content-length"]) for part in (answer, *files)) < 50_000
    elsewhere = {urlsplit(url).netloc for url in re.findall(r'(?:href|src|action)="(https?://[^"]+)"', answer.text)}
    assert elsewhere == {urlsplit(site.x).netloc}


@pytest.mark.parametrize(("most", "later"), [("RECENT", False), ("UPCOMING", True)])
def test_a_list_that_is_cut_says_so(site: Site, monkeypatch: pytest.MonkeyPatch, most: str, later: bool) -> None:
    """As many as are shown are all; one more is said to be missing."""
    monkeypatch.setattr(pages, most, 2)
    monkeypatch.setitem(pages.templates.env.globals, f"most_{most.lower()}", 2)
    ada, when = site.person(), {"at": local(3600), "tz": "UTC"} if later else {}
    for number, said in ((1, False), (2, False), (3, True)):
        tweet(ada, f"Number {number}", **when)
        page = ada.get("/").text
        assert ('<p class="rest">' in page) is said
    assert page.count("data-job=") == 2 + 1  # and the one that new cards are made of


def test_an_answer_is_not_held_back_by_the_network_stack() -> None:
    """Nagle's delay is off only for sockets that say they are TCP; with it every answer takes 40 ms more."""
    with server.listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


# Starting ------------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_one_clear_line(redis_server: Any, tmp_path: Path) -> None:
    """`python web.py` on a taken port: the port, the remedy, exit code 1, no trace."""
    taken: RedisServer = redis_server()
    environ = {"PORT": str(taken.port), "DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "SESSION_SECRET": SECRET}
    command = [sys.executable, str(ROOT / "web.py")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"port {taken.port} is in use" in done.stderr
    assert "PORT=" in done.stderr


def test_main_serves_the_app_on_its_port(
    redis_url: str, x: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the settings name is what listens, and the app behind it is whole."""
    served: list[tuple[Any, socket.socket]] = []
    found = configure(redis_url, x, tmp_path, PORT=str(free_port()))
    monkeypatch.setattr(settings, "load", lambda: found)
    monkeypatch.setattr(server, "serve", lambda app, listener: served.append((app, listener)))
    web.main()
    [(app, listener)] = served
    with listener:
        assert listener.getsockname() == ("127.0.0.1", app.state.settings.port)
    assert Site(app, x).browser().get("/livez").text == "ok"


def test_main_without_its_database_ends_with_one_line(x: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer, and where to look; nothing is served."""
    given = {"DATABASE_URL": "postgres://me:hush@127.0.0.1:1/tweets", "PORT": str(free_port())}
    found = configure("redis://127.0.0.1:1/0", x, tmp_path, **given)
    monkeypatch.setattr(settings, "load", lambda: found)
    monkeypatch.setattr(server, "listen", lambda host, port: None)
    monkeypatch.setattr(server, "serve", lambda app, listener: pytest.fail("it serves"))
    with pytest.raises(SystemExit, match=r"the database does not answer .* DATABASE_URL"):
        web.main()


def test_the_app_is_made_when_it_is_asked_for(
    redis_url: str, x: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`uvicorn web:app`: once, and no other name is made up."""
    found = configure(redis_url, x, tmp_path)
    monkeypatch.setattr(settings, "load", lambda: found)
    monkeypatch.setitem(vars(web), "app", None)  # what is made is gone with the test
    del web.app
    app = web.app
    assert web.app is app
    assert Site(app, x).browser().get("/livez").text == "ok"
    with pytest.raises(AttributeError, match="no attribute 'application'"):
        _ = web.application


def test_too_many_tweets_are_refused_with_what_was_typed(redis_url: str, x: str, tmp_path: Path) -> None:
    """429 and when to try again, for people in the form, for programs as a code; nothing is stored."""
    ada = Site(web.create_app(configure(redis_url, x, tmp_path, POSTS_PER_MINUTE="1")), x).person()
    tweet(ada, "The first")
    page, program = (ada.post("/tweets", headers=headers, data={"status": "The second"}) for headers in (PAGE, {}))
    assert (page.status_code, program.status_code) == (429, 429)
    assert "The second</textarea>" in page.text
    assert program.json()["error"]["code"] == "too_many_posts"
    assert 1 <= int(program.headers["retry-after"]) <= 60
    assert rows() == 1


def test_the_last_port_has_no_higher_neighbour() -> None:
    """The remedy for a port in use is a port that exists."""
    with socket.socket() as holder:
        with suppress(OSError):  # then somebody else holds it
            holder.bind(("127.0.0.1", 65535))
            holder.listen()
        with pytest.raises(SystemExit, match="PORT=65525"):
            server.listen("127.0.0.1", 65535)


def test_bounded_reads_no_more_than_it_must(site: Site) -> None:
    """An endless body is given up; what was read is not kept."""
    sent = 0

    async def endless() -> dict[str, Any]:
        nonlocal sent
        sent += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    async def reader(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    within: Any = guard.bounded(reader, limit=65_536)
    with pytest.raises(Exception, match="64 KB"):
        asyncio.run(within({"type": "http"}, endless, endless))
    assert sent <= guard.DRAIN + 2 * 65_536


def test_threads_do_not_use_up_the_connections(site: Site) -> None:
    """Web and worker together have room in a database with 20 connections, with one left to look at it."""
    with site.browser() as browser:
        portal = browser.portal
        assert portal is not None
        threads = portal.call(lambda: anyio.to_thread.current_default_thread_limiter().total_tokens)
    looks = 1
    assert threads + looks + site.app.state.settings.worker_threads < 20
