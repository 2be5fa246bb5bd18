"""The whole path in a real browser: web.py, worker.py, sandbox and redis-server as processes of their own.

The pictures for docs/ are made by `PICTURES=docs/pictures python -m pytest tests/test_browser.py`; without it they go
to a folder that is thrown away.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import cards
from reasons import reason
from tests.sandbox_server import running_sandbox
from tests.servers import ROOT, best_real, die_with_parent, free_port, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",  # Chromium refuses to run as root with it, and CI often is root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# Chromium says it on the console too, but not of a form that it will not send.
TELL = """addEventListener("securitypolicyviolation",
    (at) => console.error(`against the policy: ${at.effectiveDirective} ${at.blockedURI} on ${location}`))"""
WIDTHS = {390: 844, 768: 1024, 1280: 800}
SLOW = 20_000  # ms; an upper bound for what takes a second
expect.set_options(timeout=SLOW)


@dataclass
class Desk:
    """Everything runs; browsers are opened here, and what they complain about is kept."""

    url: str
    x: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, **options: Any) -> Page:
        """A fresh browser, at the first page."""
        options = {"viewport": {"width": 1280, "height": 800}, "timezone_id": "Europe/Berlin"} | options
        context = self.browser.new_context(**options)
        self.contexts.append(context)
        context.add_init_script(TELL)
        page = context.new_page()
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.check_host(request.url))
        page.goto(self.url)
        return page

    def check_host(self, url: str) -> None:
        """A request to anywhere but the two servers is a complaint."""
        if not url.startswith((self.url, self.x)):
            self.complaints.append(f"asked {url}")

    def sign_in(self, handle: str, **options: Any) -> Page:
        """A fresh browser in which somebody has signed in through the consent page."""
        page = self.open(**options)
        page.get_by_role("button", name="Sign in with X").click()
        page.get_by_label(f"@{handle}").check()
        page.get_by_role("button", name="Allow").click()
        expect(page.get_by_text(f"@{handle}", exact=True)).to_be_visible()
        page.wait_for_load_state("load")  # the scripts have begun
        return page

    def fault(self, **fault: Any) -> None:
        """Order a fault from the sandbox."""
        requests.post(f"{self.x}/_sandbox/faults", json=fault, timeout=20).raise_for_status()

    def published(self, text: str) -> list[dict[str, Any]]:
        """The tweets with this text on the sandbox's timeline."""
        timeline = requests.get(f"{self.x}/_sandbox/timeline", timeout=20).json()
        return [tweet for tweet in timeline if tweet["text"] == text]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium. Where there is none the tests are skipped; in CI they fail, so that CI proves them."""
    if CHROMIUM is None:
        reason = "no chromium on PATH: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def running(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """web.py and worker.py on a sandbox, a Redis and a database of their own: the two addresses, and the folder."""
    port, folder = free_port(), tmp_path_factory.mktemp("desk")
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        x = stack.enter_context(running_sandbox([f"{url}/oauth/callback"]))
        environ = {
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "PUBLIC_URL": url,
            "REDIS_URL": servers(best_real()).url,
            "QUEUE_NAMESPACE": "browser",
            "DATABASE_URL": f"sqlite:///{folder}/browser.db",
            "X_API_URL": x,
            "X_SITE_URL": x,
            "X_CONSUMER_KEY": "sandbox-consumer-key",
            "X_CONSUMER_SECRET": "sandbox-consumer-secret",
            "SESSION_SECRET": "a session secret for tests, long enough",
            "TOKEN_KEYS": "00" * 32,
            "SIGN_INS_PER_MINUTE": "10000",
        }
        for program in ("web.py", "worker.py"):
            stack.callback(stop, start(program, environ, folder))
        wait_until(lambda: serves(f"{url}/healthz"), 20, "web.py")
        yield url, x, folder


def start(program: str, environ: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a program of ours; what it says is in a file that a failed test can show."""
    with (folder / f"{program}.log").open("wb") as log:
        command = [sys.executable, str(ROOT / program)]
        return subprocess.Popen(command, env=environ, stdout=log, stderr=log, preexec_fn=die_with_parent)


def stop(process: subprocess.Popen[bytes]) -> None:
    """As a platform does."""
    process.send_signal(signal.SIGTERM)
    process.wait(28)


def serves(url: str) -> bool:
    """Whether this address answers well."""
    try:
        return requests.get(url, timeout=20).ok
    except requests.RequestException:
        return False


@pytest.fixture
def desk(chromium: Browser, running: tuple[str, str, Path]) -> Iterator[Desk]:
    """A desk without complaints: no error in the console, no violation of the policy, no request to anybody else."""
    desk = Desk(*running[:2], chromium)
    requests.delete(f"{desk.x}/_sandbox/faults", timeout=20)
    begin_anew(running[2])
    yield desk
    for context in desk.contexts:
        context.close()
    assert desk.complaints == []


def begin_anew(folder: Path) -> None:
    """Nobody has a tweet left from another test, and what X asked somebody to wait for is over."""
    with closing(sqlite3.connect(folder / "browser.db", isolation_level=None)) as rows:
        rows.execute("DELETE FROM tweet")
        rows.execute("UPDATE user SET held_until = 0")


def card(page: Page, text: str, state: str = "") -> Any:
    """The card of a tweet, in a state."""
    return page.locator(f".card[data-state='{state}']" if state else ".card").filter(has_text=text)


def write(page: Page, text: str) -> None:
    """Type a tweet and send it."""
    page.get_by_label("Your tweet").fill(text)
    page.locator("#composer button.main").click()


def propose(page: Page) -> None:
    """Open the choice of a time, and wait until the page has proposed one."""
    page.get_by_text("Send later").click()
    expect(page.locator("#composer").get_by_label("Date and time")).not_to_have_value("")


def test_a_tweet_from_sign_in_to_its_link(desk: Desk) -> None:
    """Sign in, consent, tweet: it is published, and the link leads to it. Nobody reloads anything."""
    page = desk.sign_in("ada")
    write(page, "From the browser to X")
    sent = card(page, "From the browser to X", "sent")
    expect(sent).to_be_visible()
    expect(page.get_by_label("Your tweet")).to_have_value("")
    expect(page.locator("#said")).to_have_text(re.compile("^Sent .*From the browser"))
    assert page.title() == "Sent · Tweet Now"
    assert len(desk.published("From the browser to X")) == 1
    sent.get_by_role("link", name="View on X").click()
    expect(page.get_by_text("From the browser to X")).to_be_visible()
    assert page.url.startswith(f"{desk.x}/ada/status/")


def test_a_tweet_goes_out_in_the_second_it_was_scheduled_for(desk: Desk) -> None:
    """The zone is the browser's; two seconds ahead it waits under Upcoming, then it is sent, and not early."""
    page = desk.sign_in("grace")
    page.get_by_text("Send later").click()
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    due = int(time.time()) + 3
    clock = "at => new Date(at * 1000).toLocaleString('sv-SE').replace(' ', 'T')"
    page.get_by_label("Date and time").fill(page.evaluate(clock, due))
    expect(page.locator("#composer button.main")).to_have_text("Schedule")
    write(page, "Two seconds later")
    expect(page.locator("#upcoming .card")).to_have_text(re.compile(r"Scheduled\s+for.*Two seconds later", re.DOTALL))
    expect(page.locator("#upcoming .card[data-state='sent']")).to_be_visible()  # nothing jumps by itself
    page.reload()
    expect(page.locator("#recent .card[data-state='sent']")).to_be_visible()
    (tweet,) = desk.published("Two seconds later")
    assert tweet["created_at"] >= due * 1000


def test_a_duplicate_is_explained(desk: Desk) -> None:
    """X says 403: the card says why and what to do, an alert says it aloud, and the text can be had back."""
    page = desk.sign_in("ada")
    desk.fault(fault="403-duplicate", text="Twice is once too often")
    write(page, "Twice is once too often")
    failed = card(page, "Twice is once too often", "failed")
    expect(failed).to_contain_text("X says you have already posted these words")
    expect(page.get_by_role("alert").filter(has_text="already posted these words")).to_have_count(1)
    expect(failed.get_by_role("link", name="Your profile")).to_have_attribute("href", f"{desk.x}/ada")
    failed.get_by_role("link", name="Edit as new").click()
    expect(page.get_by_label("Your tweet")).to_have_value("Twice is once too often")
    card(page, "Twice is once too often").get_by_role("button", name="Send again").click()
    expect(card(page, "Twice is once too often", "sent")).to_be_visible()
    assert len(desk.published("Twice is once too often")) == 1


def test_a_retry_shows_its_time(desk: Desk) -> None:
    """X asks to wait: the card says until when, with the reason, and then it is sent by itself."""
    page = desk.sign_in("linus")
    desk.fault(fault="429", seconds=2, text="Patience")
    write(page, "Patience")
    waiting = card(page, "Patience", "retrying")
    expect(waiting).to_contain_text(re.compile(r"Waiting\s+until\s+\d{1,2}:\d\d"))
    expect(waiting).to_contain_text("X asks us to wait")
    expect(card(page, "Patience", "sent")).to_be_visible()


def test_a_scheduled_tweet_can_be_cancelled(desk: Desk) -> None:
    """Cancel while it waits: it says so, stays so after a reload, and the words are not lost."""
    page = desk.sign_in("ada")
    propose(page)
    write(page, "On second thoughts")
    waiting = card(page, "On second thoughts", "scheduled")
    waiting.get_by_role("button", name="Cancel").click()
    cancelled = card(page, "On second thoughts", "cancelled")
    expect(cancelled).to_be_visible()
    page.reload()
    expect(cancelled).to_be_visible()
    assert desk.published("On second thoughts") == []


def test_a_scheduled_tweet_is_edited_and_sent_now(desk: Desk) -> None:
    """In place, with the words it had in the form; then it does not wait, and X gets the new words, once."""
    page = desk.sign_in("ada")
    propose(page)
    write(page, "Frist words")
    waiting = page.locator("#upcoming .card").first
    before = waiting.get_attribute("data-job")
    waiting.locator(".edit").click()
    expect(waiting.get_by_label("Text")).to_have_value("Frist words")
    waiting.get_by_label("Text").fill(" ")
    waiting.get_by_role("button", name="Save").click()
    expect(waiting.locator(".note")).to_contain_text("nothing to tweet")
    waiting.get_by_label("Text").fill("First words")
    waiting.get_by_role("button", name="Save").click()
    expect(waiting.locator(".text")).to_have_text("First words")
    expect(waiting.locator(".note")).to_be_empty()
    waiting.get_by_role("button", name="Send now").click()
    expect(card(page, "First words", "sent")).to_be_visible()
    assert card(page, "First words", "sent").get_attribute("data-job") == before
    assert (len(desk.published("First words")), desk.published("Frist words")) == (1, [])
    forgive(desk, "422")


def test_what_was_typed_is_never_lost(desk: Desk) -> None:
    """A refusal leaves the text; a reload brings it back; sent, it is gone from the draft."""
    page, text = desk.sign_in("ada"), "Too long " * 40
    page.get_by_label("Your tweet").fill(text)
    expect(page.locator(".count .left")).to_have_text("-80")
    page.get_by_role("button", name="Tweet", exact=True).click()
    expect(page.locator("#trouble")).to_contain_text("360")
    expect(page.get_by_label("Your tweet")).to_have_value(text)
    page.reload()
    expect(page.get_by_label("Your tweet")).to_have_value(text)
    write(page, "Short enough")
    expect(card(page, "Short enough", "sent")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Your tweet")).to_have_value("")
    forgive(desk, "422")


def test_a_lost_connection_loses_and_doubles_nothing(desk: Desk) -> None:
    """The answer is lost after the server took it: the text stays, and pressing again, even reloaded, is one tweet."""
    page = desk.sign_in("grace")

    def swallow(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/tweets", swallow, times=1)
    write(page, "Only once, please")
    expect(page.locator("#trouble")).to_contain_text("The connection is lost")
    page.reload()
    expect(page.get_by_label("Your tweet")).to_have_value("Only once, please")
    page.get_by_role("button", name="Tweet", exact=True).click()
    expect(page.get_by_label("Your tweet")).to_have_value("")
    expect(card(page, "Only once, please", "sent")).to_have_count(1)
    assert len(desk.published("Only once, please")) == 1
    forgive(desk, "ERR_FAILED")


def test_a_double_click_is_one_tweet(desk: Desk) -> None:
    """However often the button is pressed."""
    page = desk.sign_in("linus")
    page.get_by_label("Your tweet").fill("Trembling hands")
    page.locator("#composer button.main").dblclick()
    expect(card(page, "Trembling hands", "sent")).to_have_count(1)
    assert len(desk.published("Trembling hands")) == 1


def test_connection_lost_is_said_and_taken_back(desk: Desk) -> None:
    """While the server cannot be reached the page says that it still tries, and stops saying so when it can."""
    page = desk.sign_in("grace")
    desk.fault(fault="latency", seconds=9, text="Through the tunnel")
    write(page, "Through the tunnel")
    expect(card(page, "Through the tunnel")).to_have_count(1)
    page.context.set_offline(True)
    expect(page.get_by_text("Connection lost, still trying")).to_be_visible()
    page.context.set_offline(False)
    expect(card(page, "Through the tunnel", "sent")).to_be_visible(timeout=2 * SLOW)
    expect(page.get_by_text("Connection lost, still trying")).to_be_hidden()
    forgive(desk, "ERR_INTERNET_DISCONNECTED")


def test_without_javascript_it_works_too(desk: Desk) -> None:
    """Sign in, tweet, look again, schedule, cancel, be refused: all by plain forms and links."""
    page = desk.sign_in("linus", java_script_enabled=False)
    write(page, "By hand")

    def look() -> bool:
        page.get_by_role("link", name="Check again").click()
        return bool(card(page, "By hand", "sent").count())

    wait_until(look, 20, "the tweet to be sent")
    page.get_by_text("Send later").click()
    page.get_by_label("Date and time").fill(time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 7200)))
    write(page, "Later by hand")
    later = card(page, "Later by hand", "scheduled")
    later.locator(".edit").click()
    later.get_by_label("Text").fill("Later by hand, corrected")
    later.get_by_role("button", name="Save").click()
    expect(later.locator(".text")).to_have_text("Later by hand, corrected")
    later.get_by_role("button", name="Cancel").click()
    expect(card(page, "Later by hand", "cancelled")).to_be_visible()
    write(page, "x" * 281)
    expect(page.locator("#trouble")).to_contain_text("281")
    expect(page.get_by_label("Your tweet")).to_have_value("x" * 281)
    forgive(desk, "422")


def test_signed_out_without_javascript_the_text_comes_along(desk: Desk) -> None:
    """By plain forms: the text is on the page that asks to sign in, and in the composer afterwards."""
    page, text = desk.sign_in("linus", java_script_enabled=False), "Words worth keeping, by hand. " * 40
    page.context.clear_cookies()
    write(page, text)
    expect(page.get_by_label("Your text, kept while you sign in")).to_have_value(text)
    come_back(page, "linus")
    expect(page.get_by_label("Your tweet")).to_have_value(text)
    forgive(desk, "401")


def test_signed_out_elsewhere_there_is_a_button(desk: Desk) -> None:
    """The cookie is gone while the page is open: card and composer say so, with a way to sign in; nothing is lost."""
    page = desk.sign_in("grace")
    propose(page)
    write(page, "Tomorrow")
    waiting = card(page, "Tomorrow", "scheduled")
    expect(waiting).to_be_visible()
    page.context.clear_cookies()
    waiting.get_by_role("button", name="Cancel").click()
    expect(waiting.get_by_role("button", name="Sign in again")).to_be_visible()
    write(page, "Who am I?")
    expect(page.locator("#trouble")).to_contain_text("You are signed out")
    come_back(page, "grace")
    expect(page.get_by_label("Your tweet")).to_have_value("Who am I?")
    card(page, "Tomorrow").get_by_role("button", name="Cancel").click()
    expect(card(page, "Tomorrow", "cancelled")).to_be_visible()
    forgive(desk, "401")
    forgive(desk, "404")


def come_back(page: Page, handle: str) -> None:
    """Sign in from where the page says that one is signed out."""
    page.get_by_role("button", name="Sign in with X").click()
    page.get_by_label(f"@{handle}").check()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_text(f"@{handle}", exact=True)).to_be_visible()


def test_too_late_stays_on_the_card(desk: Desk) -> None:
    """Looking at the tweet again does not wipe why it could not be cancelled."""
    page = desk.sign_in("grace")
    propose(page)
    write(page, "Nearly gone")
    waiting = card(page, "Nearly gone", "scheduled")
    words = "Too late: this tweet is sending, so nothing was changed."
    late = {"error": {"code": "too_late", "message": words, "field": None}, "state": "sending"}
    page.route("**/tweets/*", lambda route: route.fulfill(status=409, json=late), times=1)
    with page.expect_response("**/status/*"):
        waiting.get_by_role("button", name="Cancel").click()
    expect(waiting.locator(".word")).to_have_text("Scheduled")
    expect(waiting.locator(".note")).to_have_text(words)
    waiting.get_by_role("button", name="Cancel").click()
    expect(card(page, "Nearly gone", "cancelled").locator(".note")).to_have_text("")
    forgive(desk, "409")


def test_saying_no_at_x_leads_back(desk: Desk) -> None:
    """Cancel on the consent page: home again, with a word about it."""
    page = desk.open()
    page.get_by_role("button", name="Sign in with X").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status").filter(has_text="You said no at X")).to_be_visible()
    expect(page.get_by_role("button", name="Sign in with X")).to_be_visible()


def test_the_pages_fit_every_screen(desk: Desk, tmp_path: Path) -> None:
    """Nothing is wider than a phone, in any state, by day or by night; the pictures are kept."""
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    in_states(desk)
    for width, height in WIDTHS.items():
        for scheme, night in (("light", ""), ("dark", "-dark")):
            options: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
            stranger = desk.open(**options)
            keep(stranger, folder / f"welcome-{width}{night}.png")
            keep(desk.sign_in("linus", **options), folder / f"empty-{width}{night}.png")
            page = desk.sign_in("ada", **options)
            box = page.get_by_label("Your tweet", exact=True)
            box.fill("A tweet in the making, with a link: https://example.com/a/long/way")
            keep(page, folder / f"sent-{width}{night}.png")
            propose(page)
            keep(page, folder / f"later-{width}{night}.png")
            page.get_by_text("Send later").click()
            for text, state, code in (
                ("Due while nobody worked.", "missed", "missed"),
                ("Off it goes.", "sending", ""),
                ("Any moment now.", "queued", ""),
            ):
                pretend(page, text, state, code)
            write(page, "Too many words. " * 18)
            expect(page.locator("#trouble")).to_contain_text("288 characters")
            card(page, "Good morning!").get_by_role("link", name="Edit").click()
            keep(page, folder / f"states-{width}{night}.png", full_page=True)
            page.goto(desk.url)
            page.context.set_offline(True)
            write(page, "Written in a tunnel")
            expect(page.locator("#trouble")).to_contain_text("The connection is lost")
            page.evaluate("dispatchEvent(new Event('online'))")  # look now
            expect(page.get_by_text("Connection lost, still trying")).to_be_visible()
            keep(page, folder / f"lost-{width}{night}.png")
            page.context.close()  # it would go on to look, and to complain
    forgive(desk, "422")
    forgive(desk, "ERR_INTERNET_DISCONNECTED")


def pretend(page: Page, text: str, state: str, code: str) -> None:
    """Show a tweet in a state that does not last, or that takes an hour to come about."""
    why = reason(code) if code else None
    body = {"code": why.code, "message": why.message, "action": why.action} if why else None
    tweet: dict[str, Any] = {
        "job_id": state,
        "state": state,
        "text": text,
        "reason": body,
        "time": time.time() * 1000,
        "attempt": 1,
    }
    tweet |= {"deeds": cards.deeds(state, body), "due_at": None, "tweet_url": None, "poll_after_ms": 3_600_000}
    page.route("**/tweets", lambda route: route.fulfill(status=202, json=tweet), times=1)
    write(page, text)
    expect(card(page, text, state)).to_be_visible()


def in_states(desk: Desk, more: str = "") -> None:
    """Give Ada a tweet in each state that can be had quickly. X takes the same words once: `more` makes others."""
    page = desk.sign_in("ada")
    propose(page)
    write(page, "Good morning! The notes of the new version are out.")
    expect(page.locator("#upcoming .card")).to_have_count(1)
    propose(page)
    write(page, f"The one that was called off.{more}")
    card(page, f"The one that was called off.{more}").get_by_role("button", name="Cancel").click()
    for text, fault, state in [
        ("Was that one taken?", {"fault": "reset"}, "uncertain"),
        ("Hello again, world!", {"fault": "403-duplicate"}, "failed"),
        ("Hello, world!", None, "sent"),
        ("One thing after the other.", {"fault": "429", "seconds": 500}, "retrying"),
    ]:
        text += more
        if fault:
            desk.fault(text=text, **fault)
        if state == "uncertain":
            desk.fault(fault="403", path="/2/users")
        write(page, text)
        expect(card(page, text, state)).to_have_count(1)


def keep(page: Page, path: Path, **options: Any) -> None:
    """Take a picture of what a screen shows; nothing may be wider than it."""
    page.screenshot(path=path, animations="disabled", **options)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path.name} scrolls sideways"


def forgive(desk: Desk, what: str) -> None:
    """The browser itself reports failed requests in the console; those that a test is about are no complaint."""
    desk.complaints[:] = [said for said in desk.complaints if not ("Failed to load resource" in said and what in said)]
