"""Attacks from outside on a `python web.py` of its own, over real sockets, with the sandbox as X."""

import asyncio
import gc
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from itsdangerous import TimestampSigner
from playwright.sync_api import expect
from starlette.applications import Starlette

import guard
import server
import tweet_text
import web
import x_api
from sandbox.accounts import CONSUMER_SECRET
from tests.faults.ledger_worker import ENVIRON
from tests.sandbox_server import allow, running_sandbox
from tests.servers import ROOT, best_real, binary, die_with_parent, free_port, wait_until
from tests.test_browser import Desk, card, chromium, desk, forgive, running, write
from tests.test_web import configure

__all__ = ["chromium", "desk", "running"]  # fixtures

SECRET = "a session secret that nobody outside knows"
KEY, NEW_KEY = "11" * 32, "22" * 32
PAGE = {"Accept": "text/html"}
DEEDS = [  # every route that changes something of a tweet
    ("DELETE", "/tweets/{}"),
    ("PATCH", "/tweets/{}"),
    ("POST", "/tweets/{}/cancel"),
    ("POST", "/tweets/{}/edit"),
    ("POST", "/tweets/{}/now"),
    ("POST", "/tweets/{}/there"),
    ("POST", "/tweets/{}/retry"),
]
UNSAFE = [("POST", "/login"), ("POST", "/logout"), ("POST", "/tweets"), *DEEDS, ("POST", "/admin/queue/pause")]
numbers = itertools.count()


@dataclass
class Town:
    """Web, worker and X in processes of their own, and what they log."""

    url: str
    x: str
    folder: Path
    environ: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str, **environ: str) -> None:
        """One of ours."""
        with (self.folder / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, *command], cwd=ROOT, env=self.environ | environ, stdout=log, stderr=log,
                    process_group=0, preexec_fn=die_with_parent,
                )
            )  # fmt: skip

    def web(self, **environ: str) -> None:
        """Start it, and wait until it serves."""
        self.start("web.py", **environ)
        wait_until(self.serves, 20, "web.py")

    def serves(self) -> bool:
        """Whether it answers."""
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/livez", timeout=2).ok
        return False

    def stop(self) -> None:
        """End all of ours."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(40)
        self.processes.clear()

    def consent(self, browser: requests.Session, handle: str = "ada") -> dict[str, str]:
        """Begin to sign in, and allow it at X: what X would send to the callback."""
        asked = browser.post(f"{self.url}/login", allow_redirects=False, timeout=20)
        return allow(self.x, parse_qs(urlsplit(asked.headers["location"]).query)["oauth_token"][0], handle)

    def back(self, browser: requests.Session, **answer: str) -> requests.Response:
        """Call back as X has the browser do."""
        return browser.get(f"{self.url}/oauth/callback", params=answer, allow_redirects=False, timeout=20)

    def person(self, handle: str = "ada") -> requests.Session:
        """A browser in which somebody has signed in."""
        browser = requests.Session()
        assert self.back(browser, **self.consent(browser, handle)).status_code == 303
        return browser

    def tweet(self, browser: requests.Session, text: str = "", **fields: str) -> requests.Response:
        """Hand in a tweet."""
        fields = {"status": text or f"Hello {next(numbers)}"} | fields
        return browser.post(f"{self.url}/tweets", data=fields, allow_redirects=False, timeout=20)

    def far(self, browser: requests.Session, **fields: str) -> str:
        """A tweet for tomorrow; its job id."""
        answer = self.tweet(
            browser, at=time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 86400)), tz="UTC", **fields
        )
        return str(answer.json()["job_id"])

    def state(self, browser: requests.Session, job_id: str) -> dict[str, Any]:
        """What /status says."""
        body: dict[str, Any] = browser.get(f"{self.url}/status/{job_id}", timeout=20).json()
        return body

    def wire(self, *pieces: bytes, timeout: float = 5) -> bytes:
        """Send bytes as they are, and read to the end of the connection, or of patience."""
        said = b""
        with socket.create_connection(("127.0.0.1", urlsplit(self.url).port or 0), timeout) as wire:
            for piece in pieces:
                wire.sendall(piece)
            with suppress(TimeoutError, ConnectionResetError):
                while piece := wire.recv(65536):
                    said += piece
        return said


@contextmanager
def founded(folder: Path, redis_url: str, **more: str) -> Iterator[Town]:
    """A town with a web process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        x = stack.enter_context(running_sandbox([f"{url}/oauth/callback"]))
        environ = {"PATH": os.environ["PATH"], "PORT": str(port), "PUBLIC_URL": url, "REDIS_URL": redis_url}
        environ |= {
            "DATABASE_URL": f"sqlite:///{folder}/town.db",
            "X_API_URL": x,
            "X_SITE_URL": x,
            "LOG_LEVEL": "DEBUG",
        }
        environ |= {"SESSION_SECRET": SECRET, "TOKEN_KEYS": KEY, "QUEUE_NAMESPACE": "town", "ADMIN_IDS": "1906120902"}
        town = Town(url, x, folder, ENVIRON | environ | more)
        stack.callback(town.stop)
        town.web()
        yield town


@pytest.fixture(scope="module")
def town(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One for all tests of this file."""
    if binary(best_real()) is None:
        pytest.skip("no redis-server here")
    with founded(tmp_path_factory.mktemp("town"), servers(best_real()).url) as town:
        yield town


# Other sites and other people ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), UNSAFE)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # a neighbour under the same domain
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Origin": "https://evil.test"},
        {"Origin": "http://127.0.0.1:1"},  # another program on this machine
        {"Origin": "null"},
    ],
)
def test_another_site_can_do_nothing(town: Town, headers: dict[str, str], method: str, path: str) -> None:
    """With the person's own cookie, by any unsafe route: 403, and nothing is changed."""
    ada = town.person("grace")  # an operator, so that all routes are there
    job_id = town.far(ada)
    before = town.state(ada, job_id)
    fields = {"status": "Forged", "list": "default"}
    answer = ada.request(
        method, town.url + path.format(job_id), data=fields, headers=headers, allow_redirects=False, timeout=20
    )
    assert answer.status_code == 403
    assert town.state(ada, job_id) == before
    assert "Forged" not in ada.get(town.url, timeout=20).text


@pytest.mark.parametrize(("method", "path"), [("GET", "/status/{}"), *DEEDS])
def test_somebody_elses_tweet_is_as_good_as_none(town: Town, method: str, path: str) -> None:
    """The same 404 as for an id that never was, to other people and to nobody; the text does not get out by any way."""
    ada, linus = town.person(), town.person("linus")
    job_id = town.far(ada, status="Between Ada and her drawer")
    for browser in (linus, requests.Session()):
        answers = [
            browser.request(method, town.url + path.format(some), data={"status": "Mine"}, timeout=20).text.replace(
                some, ""
            )
            for some in (job_id, "0" * len(job_id))
        ]
        assert answers[0] == answers[1]
        assert '"error"' in answers[0]
        assert "drawer" not in browser.get(town.url, params={"text_of": job_id}, timeout=20).text
    assert town.state(ada, job_id)["state"] == "scheduled"
    assert "drawer" in ada.get(town.url, timeout=20).text


# Cookies and sign-ins ------------------------------------------------------------------------------------------------


def signed(session: dict[str, Any], secret: str = SECRET, age: float = 0) -> str:
    """A session cookie as somebody would make it who knows this secret."""
    signer = TimestampSigner(secret)
    signer.get_timestamp = lambda: int(time.time() - age)  # type: ignore[method-assign]  # replaced
    return signer.sign(b64encode(json.dumps(session).encode())).decode()


def is_known(town: Town, cookie: str) -> bool:
    """Whether somebody is signed in with this cookie."""
    return "@ada" in requests.get(town.url, headers={"Cookie": f"session={cookie}"}, timeout=20).text


def test_a_cookie_is_good_as_it_is_until_the_end(town: Town) -> None:
    """Not forged, not altered, not older than its age, and not without the sign-in that it names."""
    ada = town.person()
    good = ada.cookies["session"]
    held = json.loads(b64decode(good.split(".")[0]))
    assert is_known(town, good)
    assert is_known(town, signed(held))
    for bad in (
        signed(held, "another secret, just as long as ours is"),
        signed(held, age=guard.SESSION_DAYS * 86400 + 60),
        signed(held | {"id": "guessed"}),
        signed({"x_id": held["x_id"]}),
        good[:-4] + "AAAA",
    ):
        assert not is_known(town, bad)


def test_a_sign_in_ends_after_its_days_however_often_it_is_used(town: Town) -> None:
    """Each answer renews the cookie, but not the sign-in that it names: so a stolen one ends, too."""
    ada, days = town.person(), guard.SESSION_DAYS * 86_400_000
    session = json.loads(b64decode(ada.cookies["session"].split(".")[0]))["id"]
    for age, known in ((days - 600_000, True), (days + 1, False)):
        with closing(sqlite3.connect(town.folder / "town.db")) as rows, rows:
            aged = (int(time.time() * 1000) - age, session)
            assert rows.execute("UPDATE session SET created_at = ? WHERE id = ?", aged).rowcount == 1
        assert ("@ada" in ada.get(town.url, timeout=20).text) == known
        assert (town.tweet(ada).status_code == 202) == known


def test_a_stolen_cookie_ends_with_the_sign_out(town: Town) -> None:
    """And with nobody else's: the same person's other browser stays signed in."""
    ada, elsewhere = town.person(), town.person()
    stolen = ada.cookies["session"]
    assert is_known(town, stolen)
    ada.post(f"{town.url}/logout", timeout=20)
    assert not is_known(town, stolen)
    assert is_known(town, elsewhere.cookies["session"])
    assert town.tweet(elsewhere).status_code == 202


def test_a_planted_session_becomes_nobodys(town: Town) -> None:
    """Fixation: who signs in has another session than the one that was planted, and the old one is dead."""
    planted = town.person("linus")
    victim = requests.Session()
    victim.cookies.update(planted.cookies)
    assert town.back(victim, **town.consent(victim, "ada")).status_code == 303
    assert victim.cookies["session"] != planted.cookies["session"]
    page = requests.get(town.url, headers={"Cookie": f"session={planted.cookies['session']}"}, timeout=20).text
    assert "@ada" not in page
    assert "@linus" not in page


def test_a_callback_that_was_tampered_with_signs_nobody_in(town: Town) -> None:
    """Another token, another's verifier, none, both twice: refused, and the browser is nobody's."""
    ada, linus = requests.Session(), requests.Session()
    hers, his = town.consent(ada, "ada"), town.consent(linus, "linus")
    assert town.back(ada, **his).status_code == 400
    assert town.back(requests.Session(), **hers).status_code == 400
    assert town.back(ada, oauth_token=hers["oauth_token"]).status_code == 400
    assert town.back(ada, **hers | {"oauth_verifier": his["oauth_verifier"]}).status_code == 502
    assert town.back(ada, **hers).status_code == 400  # its request token was used up by that
    assert town.back(linus, **his).status_code == 303
    assert town.back(linus, **his).status_code == 400
    assert "Sign in with X" in ada.get(town.url, timeout=20).text


def test_ten_thousand_sign_ins_that_are_not_ended_leave_nothing(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From as many addresses. What is begun lies in the cookie: neither the database nor the process grows."""
    # Straight into the app, without sockets and without X: with them it takes minutes, and they keep nothing of ours.
    app = web.create_app(configure(redis_url, "http://127.0.0.1:1", tmp_path))
    monkeypatch.setattr(x_api, "sign_in_start", lambda _: ("t" * 27, "s" * 32, "http://127.0.0.1:1/authenticate"))

    async def begin_all() -> int:
        for number in range(10_000):
            if number == 1_000:  # what the first ones load and make is there
                before = memory()
            assert await begin(app, number) == 303
        return memory() - before

    assert asyncio.run(begin_all()) < 9_000 * 1024  # what limits sign-ins keeps 0.4 KB of each, for a minute
    assert set(counts(tmp_path / "test.db").values()) == {0}


async def begin(app: Starlette, number: int) -> int:
    """POST /login from an address of its own; the status."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/login", "raw_path": b"/login", "root_path": "", "query_string": b"", "headers": [(b"host", b"x")],
        "client": (f"10.0.{number // 256}.{number % 256}", 1), "server": ("x", 80),
    }  # fmt: skip
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    return int(said[0]["status"])


def memory() -> int:
    """How many bytes of this process lie in memory, without what nobody holds (Linux; elsewhere none)."""
    gc.collect()
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0


def counts(database: Path) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(database)) as rows:
        tables = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {name: rows.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}


# What goes into headers, pages and logs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["//evil.test", "/\\evil.test", "https://evil.test/", "/%2f%2fevil.test", "/..//evil.test"]
)
def test_nobody_is_led_elsewhere(town: Town, target: str) -> None:
    """No answer redirects to where a request wants it, nor to the host that it names."""
    browser, headers = town.person(), {"Host": "evil.test", "X-Forwarded-Host": "evil.test"} | PAGE
    for path in (target, f"/login?next={target}", f"/oauth/callback?denied=x&next={target}", f"/tweets?next={target}"):
        for method in ("GET", "POST"):
            answer = browser.request(
                method, f"{town.url}/" if path == target else town.url + path, params={"next": target},
                headers=headers, allow_redirects=False, timeout=20,
            )  # fmt: skip
            place = answer.headers.get("location", "/")
            assert place.startswith((f"{town.x}/oauth/authenticate?", "/")), place
            assert not place.startswith(("//", "/\\"))


def test_nothing_typed_becomes_a_header(town: Town) -> None:
    """Line ends in every field that an answer repeats."""
    ada, evil = town.person(), "x\r\nSet-Cookie: owned=1\r\n\r\n<script>"
    for answer in (
        town.tweet(ada, evil),
        town.tweet(ada, key=evil),
        town.tweet(ada, at=evil, tz=evil),
        ada.get(f"{town.url}/status/{evil}", timeout=20),
        ada.get(town.url, params={"text_of": evil}, timeout=20),
        ada.get(f"{town.url}/oauth/callback", params={"denied": evil}, timeout=20),
    ):
        assert "owned" not in answer.cookies
        assert "owned" not in "".join(name for name in answer.headers if name.lower() != "location")


def test_html_stays_text(town: Town) -> None:
    """In a tweet, in what is typed, and in what X answers."""
    evil = "</textarea><script>alert(1)</script><img src=x onerror=alert(2)>"
    ada = town.person()
    town.far(ada, status=evil)
    fields = {"status": evil * 9, "at": evil, "tz": evil}
    refused = ada.post(f"{town.url}/tweets", data=fields, headers=PAGE, timeout=20)
    for page in (
        ada.get(town.url, timeout=20).text,
        refused.text,
        ada.get(f"{town.url}/<script>", headers=PAGE, timeout=20).text,
    ):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in refused.text


EVIL = """</textarea></script><script>window.owned = 1</script><img src=x onerror="window.owned = 1">"""


def test_no_script_of_others_runs_in_a_browser(desk: Desk) -> None:
    """From a person, from X about a tweet or a sign-in: at once and after a reload it is shown as it was typed."""
    desk.fault(fault="403", says=EVIL, path="/oauth/access_token")
    stranger = desk.open()
    stranger.get_by_role("button", name="Sign in with X").click()
    stranger.get_by_role("button", name="Allow").click()
    expect(stranger.get_by_text(EVIL)).to_be_visible()
    page = desk.sign_in("grace")
    desk.fault(fault="403", says=EVIL, text="refused")
    write(page, f"refused {EVIL}")
    failed = card(page, "refused", "failed")
    for _ in range(2):
        expect(failed.locator(".text")).to_have_text(f"refused {EVIL}")
        expect(failed.locator(".reason")).to_contain_text(EVIL)
        page.reload()
    page.goto(f"{desk.url}/?text_of={failed.get_attribute('data-job')}")
    expect(page.get_by_label("Your tweet")).to_have_value(f"refused {EVIL}")
    page.get_by_label("Your tweet").fill(EVIL * 4)
    page.locator("#composer button.main").click()
    expect(page.locator("#trouble")).to_contain_text("characters as X counts them")
    assert [one.evaluate("window.owned") for one in (page, stranger)] == [None, None]
    forgive(desk, "422")
    forgive(desk, "502")


def test_a_script_that_got_in_would_not_run(desk: Desk) -> None:
    """The policy is a second wall, and the browser tells who runs into it: that it is silent else means something."""
    page = desk.open()
    page.evaluate(
        """markup => { document.body.insertAdjacentHTML("beforeend", markup);
        const script = Object.assign(document.createElement("script"), {textContent: "window.owned = 1"});
        const form = Object.assign(document.createElement("form"), {action: "http://evil.test/", method: "post"});
        document.body.append(script, form); form.submit() }""",
        EVIL,
    )
    rules = ("script-src-elem inline", "script-src-attr inline", "form-action http://evil.test/")
    broken = [*(f"against the policy: {rule}" for rule in rules), "404"]  # the last: its picture, which may come late

    def is_told() -> bool:
        assert page.evaluate("window.owned") is None  # asking lets what the browser said come in
        return all(words in str(desk.complaints) for words in broken)

    wait_until(is_told, 10, f"{broken} in what the browser says")
    assert page.url == f"{desk.url}/"
    desk.complaints.clear()


def test_no_secret_is_in_a_log_or_readable_in_the_database(servers: Any, tmp_path: Path) -> None:
    """At DEBUG, over a sign-in, tweets that go out and fail, and an operator's look; then with the keys changed."""
    with founded(tmp_path, servers(best_real()).url, QUEUE_NAMESPACE="secrets", METRICS_TOKEN="m" * 20) as town:
        town.start("-m", "tests.faults.ledger_worker")
        ada = requests.Session()
        given = town.consent(ada)
        assert town.back(ada, **given).status_code == 303
        requests.post(f"{town.x}/_sandbox/faults", json={"fault": "403", "text": "unwanted"}, timeout=20)
        jobs = [town.tweet(ada, text).json()["job_id"] for text in ("Wanted words", "unwanted words")]
        wait_until(lambda: [town.state(ada, job)["state"] for job in jobs] == ["sent", "failed"], 20, "both to end")
        tokens = secrets_at(town)
        assert len(tokens) == 2
        hidden = [*tokens, *given.values(), SECRET, KEY, CONSUMER_SECRET, "m" * 20, ada.cookies["session"]]
        log = (tmp_path / "log").read_text()
        assert "event=sent" in log
        assert "event=failed" in log
        assert [
            secret for secret in (*hidden, "anted words", "gAAAA") if secret in log
        ] == []  # the last: a locked token
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("town.db*"))
        assert b"Wanted words" in stored
        assert [secret for secret in tokens if secret.encode() in stored] == []

        town.stop()  # both keys: what is stored can be read. The new one alone: the person has to sign in again
        town.web(TOKEN_KEYS=f"{NEW_KEY},{KEY}")
        town.start("-m", "tests.faults.ledger_worker", TOKEN_KEYS=f"{NEW_KEY},{KEY}")
        job = town.tweet(ada, "With both keys").json()["job_id"]
        wait_until(lambda: town.state(ada, job)["state"] == "sent", 20, "it to be sent")
        town.stop()
        town.web(TOKEN_KEYS=NEW_KEY)
        town.start("-m", "tests.faults.ledger_worker", TOKEN_KEYS=NEW_KEY)
        job = town.tweet(ada, "With the new key alone").json()["job_id"]
        wait_until(lambda: town.state(ada, job)["state"] == "failed", 20, "it to fail")
        assert town.state(ada, job)["reason"]["action"] == "sign_in"


def secrets_at(town: Town) -> list[str]:
    """Token and secret of the one account that signed in, as the app would read them."""
    code = (
        "import queue, settings, models; models.connect(settings.load())\n"
        "with models.database.connection_context(): print(*models.User.get().credentials())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=town.environ, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


# Size and time -------------------------------------------------------------------------------------------------------

HEAD = b"POST /tweets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /livez?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW_BODY = HEAD + b"Content-Length: 50\r\n\r\n{"


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 2\r\nContent-Length: 30\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length : 2\r\n",
        b"Content-Length: 2\r\n Transfer-Encoding: chunked\r\n",
    ],
)
def test_a_length_that_can_be_read_two_ways_is_refused(town: Town, lengths: bytes) -> None:
    """So no second request hides behind the first for a proxy in front of us."""
    said = town.wire(HEAD + lengths + b"\r\n{}" + SMUGGLED, timeout=2)
    assert said.count(b"HTTP/1.1 200") == 0, said
    assert re.match(rb"HTTP/1.1 (4\d\d|501)", said), said


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("chunked_first", [False, True])
def test_two_kinds_of_length_are_refused_and_hung_up_on(town: Town, method: bytes, chunked_first: bool) -> None:
    """A proxy that goes by one of them takes for a request what we, by the other, take for a body, or the reverse."""
    lengths = [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
    head = method + b" /livez HTTP/1.1\r\nHost: x\r\n" + b"".join(sorted(lengths, reverse=chunked_first))
    said = town.wire(head + b"\r\n0\r\n\r\n" + SMUGGLED, timeout=4)
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"400"], said
    assert b"names its length in two ways" in said


def test_what_is_too_large_is_refused(town: Town) -> None:
    """Heads and bodies, announced or in chunks; the next one is served."""
    assert town.wire(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 200_000 + b"\r\n\r\n")[:12] == b"HTTP/1.1 400"
    assert town.wire(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")[:12] == b"HTTP/1.1 400"
    chunks = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"8000\r\n%b\r\n" % (b"a" * 0x8000) * 4
    assert town.wire(chunks + b"0\r\n\r\n")[:12] == b"HTTP/1.1 413"
    assert town.serves()


def test_slow_clients_hold_up_nobody(town: Town) -> None:
    """Four hundred requests that never end, in the head or in the body: others are answered meanwhile."""
    port = urlsplit(town.url).port or 0
    with ExitStack() as stack:
        for number in range(400):
            wire = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            wire.sendall(b"GET / HT" if number % 2 else SLOW_BODY)
        assert town.serves()
        assert town.tweet(town.person()).status_code == 202


def test_a_request_that_does_not_arrive_is_hung_up_on(servers: Any, tmp_path: Path) -> None:
    """After so long, in the head or in the body; one that was whole may take its time to be answered."""
    late = "import server, sys, runpy; server.ARRIVES_WITHIN = 0.7; runpy.run_path('web.py', run_name='__main__')"
    with founded(tmp_path, servers(best_real()).url, QUEUE_NAMESPACE="slow") as town:
        town.stop()
        town.start("-c", late)
        wait_until(town.serves, 20, "web.py")
        for start in (b"", b"GET / HT", SLOW_BODY, SMUGGLED + b"GET / HT", SMUGGLED + SLOW_BODY):
            began = time.monotonic()
            said = town.wire(start, timeout=10)
            assert said.count(b"HTTP/1.1 ") == start.count(b"smuggled")
            assert time.monotonic() - began < 9, start
        browser = requests.Session()
        assert browser.get(f"{town.url}/livez", timeout=20).ok
        time.sleep(1.2)
        assert browser.get(f"{town.url}/livez", timeout=20).ok  # an idle connection is no slow request
        requests.post(
            f"{town.x}/_sandbox/faults", json={"fault": "latency", "seconds": 1.5, "path": "/oauth"}, timeout=20
        )
        assert browser.post(f"{town.url}/login", allow_redirects=False, timeout=20).status_code == 303
        assert "Traceback" not in (tmp_path / "log").read_text()  # sixty lines for each: who is slow could fill a disk


def test_nobody_waits_longer_than_the_router() -> None:
    """In production the bound is that of the router in front."""
    assert server.ARRIVES_WITHIN <= 30


@pytest.mark.parametrize(
    "unit", ["a.", "http://", "a@", "-.", "x.com/(", "\u0301", "👩‍", "#\ufe0f", "🏴\U000e0067", "1.", "www.", "é.co"]
)
def test_no_text_is_slow_to_count(unit: str) -> None:
    """Twice as long takes about twice as long, never four times and more, as far as a text may reach."""

    def cost(length: int) -> float:
        text = (unit * length)[:length]
        times = []
        for _ in range(3):
            began = time.process_time()
            tweet_text.weight(text)
            times.append(time.process_time() - began)
        return min(times)

    longest = tweet_text.LONGEST_TEXT
    assert cost(longest) < 40 * max(cost(longest // 8), 1e-3)


# How often -----------------------------------------------------------------------------------------------------------


def test_posting_and_signing_in_have_limits(servers: Any, tmp_path: Path) -> None:
    """Per person and per address; told with the seconds to wait, and what was typed stays."""
    limits = {"POSTS_PER_MINUTE": "3", "SIGN_INS_PER_MINUTE": "4", "QUEUE_NAMESPACE": "limits"}
    with founded(tmp_path, servers(best_real()).url, **limits) as town:
        ada, linus = town.person(), town.person("linus")
        assert [town.tweet(ada).status_code for _ in range(4)] == [202, 202, 202, 429]
        assert town.tweet(linus).status_code == 202
        refused = ada.post(f"{town.url}/tweets", data={"status": "The fifth"}, headers=PAGE, timeout=20)
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert "more than 3 tweets within a minute" in refused.text
        assert "The fifth</textarea>" in refused.text
        began = [
            requests.post(
                f"{town.url}/login", allow_redirects=False, headers={"X-Forwarded-For": f"10.0.0.{n}"}, timeout=20
            )
            for n in range(4)
        ]
        assert [answer.status_code for answer in began] == [303, 303, 429, 429]
        assert began[-1].json()["error"]["code"] == "too_many_sign_ins"
