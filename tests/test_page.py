"""What one cannot see at a glance: axe, the keyboard, layout shifts, requests, and times that need a question."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Locator, Page, expect

from tests.servers import wait_until
from tests.test_browser import Desk, card, chromium, desk, forgive, in_states, propose, running, write
from tests.x_counts import CASES
from tweet_text import LIMIT

__all__ = ["chromium", "desk", "running"]  # fixtures


@pytest.fixture
def database(running: tuple[str, str, Path]) -> Iterator[sqlite3.Connection]:
    """The rows, for states that take hours to come about."""
    with closing(sqlite3.connect(running[2] / "browser.db", isolation_level=None)) as rows:
        yield rows


def check(page: Page, what: str) -> None:
    """Nothing that axe knows to be wrong."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    wrong = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found.response["violations"]]
    assert wrong == [], what


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(desk: Desk, database: sqlite3.Connection, scheme: Any) -> None:
    """On every page and in every state, with everything opened that can be."""
    stranger = desk.open(color_scheme=scheme)
    check(stranger, "welcome")
    stranger.goto(f"{desk.url}/nowhere")
    check(stranger, "nothing here")
    empty = desk.sign_in("linus", color_scheme=scheme)
    database.execute("DELETE FROM tweet")
    empty.reload()
    check(empty, "empty")
    in_states(desk, f" ({scheme})")
    database.execute("UPDATE user SET held_until = 0")
    page = desk.sign_in("ada", color_scheme=scheme)
    words = {"Queued": "queued", "On its way": "sending", "Called off": "cancelled", "Too late": "missed"}
    for text, state in {f"{text} ({scheme})": state for text, state in words.items()}.items():
        write(page, text)
        expect(card(page, text, "sent")).to_be_visible()
        reason = "missed" if state == "missed" else None
        changes = "state = ?, x_tweet_id = NULL, reason_code = ?, reason_message = ?, reason_action = ?"
        told = (state, reason, reason and "It was due while nothing worked.", reason and "send_again", text)
        database.execute(f"UPDATE tweet SET {changes} WHERE text = ?", told)
    page.reload()
    states = {card.get_attribute("data-state") for card in page.locator(".lists .card").all()}
    assert states >= {"scheduled", "retrying", "sent", "failed", "uncertain", "cancelled", "missed"}
    page.get_by_text("Send later").click()
    while page.locator(".edit:visible").count():
        page.locator(".edit:visible").first.click()
    page.locator("#composer").get_by_label("Date and time").fill("2020-01-01T10:00")
    write(page, "Past")
    expect(page.locator("#trouble")).to_contain_text("is past")
    check(page, "all states, and a refusal")
    forgive(desk, "404")
    forgive(desk, "422")


def test_a_past_time_is_told_once(desk: Desk) -> None:
    """By the refusal; what the composer guessed while typing is gone then."""
    page = desk.sign_in("ada")
    page.get_by_text("Send later").click()
    page.get_by_label("Date and time").fill("2020-01-01T10:00")
    expect(page.locator(".moment")).to_contain_text("That is past")
    write(page, "Yesterday")
    expect(page.locator("#trouble")).to_contain_text("is past")
    expect(page.locator(".moment")).to_be_empty()
    assert page.get_by_text("is past").count() == 1
    forgive(desk, "422")


def test_the_chosen_time_is_shown_on_every_clock(desk: Desk) -> None:
    """In the zone with its offset, in UTC, and on the reader's own."""
    page = desk.sign_in("ada", timezone_id="America/New_York", locale="en-US")
    page.get_by_text("Send later").click()
    page.get_by_label("Time zone").select_option("Asia/Kolkata")
    page.get_by_label("Date and time").fill(f"{datetime.now(UTC) + timedelta(days=40):%Y-%m-%d}T12:00")
    moment = page.locator(".moment")
    expect(moment).to_contain_text(
        re.compile(r"12:00 PM in Asia/Kolkata, UTC\+5:30.*6:30 AM UTC.*(1:30|2:30) AM on your clock")
    )


def overlap() -> str:
    """A time in the next hour that Berlin has twice: within the year, on the last Sunday of October."""
    now = datetime.now(UTC)
    for year in (now.year, now.year + 1):
        last = max(day for day in range(25, 32) if datetime(year, 10, day, tzinfo=UTC).weekday() == 6)
        if datetime(year, 10, last, tzinfo=UTC) > now:
            return f"{year}-10-{last:02}T02:30"
    raise AssertionError(now)


@pytest.mark.parametrize("script", [True, False])
def test_a_time_that_comes_twice_is_asked_about(desk: Desk, script: bool) -> None:
    """The form asks which of the two is meant, and keeps all else; the second is an hour after the first."""
    page = desk.sign_in("grace", java_script_enabled=script)
    due = []
    for answer in ("The first time", "The second, an hour later"):
        page.get_by_text("Send later").click()
        page.get_by_label("Date and time").fill(overlap())
        page.get_by_label("Time zone").select_option("Europe/Berlin")
        write(page, f"{answer}, {script}")
        expect(page.locator("#trouble")).to_contain_text("comes twice")
        page.locator("#composer").get_by_role("radio", name=answer).check()
        page.locator("#composer button.main").click()
        waiting = card(page, f"{answer}, {script}", "scheduled")
        expect(waiting).to_be_visible()
        due.append(datetime.fromisoformat(str(waiting.locator("time").first.get_attribute("datetime"))))
        waiting.get_by_role("button", name="Cancel").click()
        expect(card(page, f"{answer}, {script}", "cancelled")).to_be_visible()
    assert due[1] - due[0] == timedelta(hours=1)
    forgive(desk, "422")


def test_the_same_again_is_warned_about(desk: Desk) -> None:
    """The same words, the same minute: a hint, once, and no refusal."""
    page = desk.sign_in("grace")
    propose(page)
    at = page.get_by_label("Date and time").input_value()
    write(page, "Said before")
    expect(card(page, "Said before", "scheduled")).to_be_visible()
    expect(page.locator(".warn")).to_be_empty()
    page.get_by_label("Your tweet").fill("Said before ")
    expect(page.locator(".warn")).to_have_text(re.compile("These words are on your list already"))
    page.get_by_label("Your tweet").fill("Something else")
    expect(page.locator(".warn")).to_be_empty()
    page.get_by_text("Send later").click()
    page.get_by_label("Date and time").fill(at)
    expect(page.locator(".warn")).to_have_text("Another tweet goes out in that minute.")
    card(page, "Said before").get_by_role("button", name="Cancel").click()
    expect(card(page, "Said before", "cancelled")).to_be_visible()


def test_a_wait_is_counted_down_in_silence(desk: Desk) -> None:
    """X asks to wait: the seconds run for the eye alone, and nothing moves."""
    page = desk.sign_in("linus")
    desk.fault(fault="429", seconds=590, text="Wait for it")
    write(page, "Wait for it")
    waiting = card(page, "Wait for it", "retrying")
    countdown = waiting.locator(".countdown")
    expect(countdown).to_have_text(re.compile(r"^in (9|10) min \d+ s$"))
    assert countdown.get_attribute("aria-hidden") == "true"
    before, box = countdown.text_content(), waiting.bounding_box()
    expect(countdown).not_to_have_text(str(before))
    assert waiting.bounding_box() == box
    waiting.get_by_role("button", name="Cancel").click()
    expect(card(page, "Wait for it", "cancelled")).to_be_visible()


SHIFTS = """
new PerformanceObserver(list => list.getEntries().forEach(entry => window.shifts.push(
  entry.sources.map(source => source.node && (source.node.className || source.node.nodeName)))
)).observe({ type: "layout-shift", buffered: false }); window.shifts = [];
"""


def test_nothing_moves_while_a_tweet_goes_out(desk: Desk) -> None:
    """Queued, sending, sent: the card has the same height, and what is below stays where it is."""
    page = desk.sign_in("ada")
    write(page, "An older one")
    expect(card(page, "An older one", "sent")).to_be_visible()
    desk.fault(fault="latency", seconds=2, text="Steady")
    write(page, "Steady")
    steady, below = card(page, "Steady"), card(page, "An older one")
    expect(steady).to_be_visible()
    wait_until(lambda: not steady.evaluate("card => card.getAnimations().length"), 5)
    boxes = steady.bounding_box(), below.bounding_box()
    page.evaluate(SHIFTS)
    for state in ("sending", "sent"):
        expect(card(page, "Steady", state)).to_be_visible()
        assert (steady.bounding_box(), below.bounding_box()) == boxes
    assert page.evaluate("shifts") == []


def test_the_page_asks_seldom_and_is_told_nothing_twice(desk: Desk) -> None:
    """Hidden it asks nothing, on return once for each card at once; the same answer again is a 304 without a body."""
    page, asked = desk.sign_in("grace"), list[str]()
    page.get_by_text("Send later").click()
    page.get_by_label("Time zone").select_option("UTC")
    page.get_by_label("Date and time").fill(f"{datetime.now(UTC) + timedelta(hours=3):%Y-%m-%dT%H:%M}")
    write(page, "In a while")
    expect(card(page, "In a while", "scheduled")).to_be_visible()
    page.on("request", lambda request: asked.append(request.url))
    answers = list[int]()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.responseReceivedExtraInfo", lambda event: answers.append(event["statusCode"]))

    def hide(hidden: str) -> None:
        page.evaluate(f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    hide("true")
    page.wait_for_timeout(700)
    assert asked == []
    for times in (1, 2, 3):
        with page.expect_response("**/status/*"):
            hide("false")
        assert len(asked) == times
    assert answers[1:] == [304, 304]
    card(page, "In a while").get_by_role("button", name="Cancel").click()


def test_the_composer_counts_as_x_does(desk: Desk) -> None:
    """The counter beside the button, for each case that X publishes; said aloud at thresholds only."""
    page = desk.sign_in("grace")
    box, left = page.get_by_label("Your tweet"), page.locator(".count .left")
    for what, text, expected in CASES:
        box.fill(text)
        assert left.text_content() == str(LIMIT - expected), what
    box.fill("x" * 250)
    page.evaluate(
        "new MutationObserver(() => heard.push(said.textContent)).observe(said, { childList: true }); heard = []"
    )
    box.press_sequentially("y" * 33)
    assert page.evaluate("heard") == ["20 characters left", "1 character too many"]


OUTLINES = (
    "element => [element, element.closest('.composer') ?? element].map(one => getComputedStyle(one).outlineStyle)"
)


def tab_to(page: Page, target: Locator, most: int = 60) -> None:
    """Press Tab until it has the focus, which has to be seen."""
    for _ in range(most):
        if target.evaluate("element => element === document.activeElement"):
            assert {"solid", "auto"} & set(target.evaluate(OUTLINES))
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {target}")


def test_the_keyboard_alone_is_enough(desk: Desk) -> None:
    """Tweet with Ctrl-Enter, schedule, edit, cancel, sign out: with Tab, Enter and typing."""
    page = desk.sign_in("linus")
    tab_to(page, page.get_by_label("Your tweet"))
    page.keyboard.type("With ten fingers")
    page.keyboard.press("Control+Enter")
    expect(card(page, "With ten fingers", "sent")).to_be_visible()
    expect(page.get_by_label("Your tweet")).to_be_focused()
    page.keyboard.type("And later too")
    tab_to(page, page.locator("#later summary"))
    page.keyboard.press("Enter")
    tab_to(page, page.locator("#composer button.main"))
    page.keyboard.press("Enter")
    waiting = card(page, "And later too", "scheduled")
    expect(waiting).to_be_visible()
    tab_to(page, waiting.locator(".edit"))
    page.keyboard.press("Enter")
    tab_to(page, waiting.get_by_label("Text"))
    page.keyboard.press("Control+A")
    page.keyboard.type("And later too, corrected")
    tab_to(page, waiting.get_by_role("button", name="Save"))
    page.keyboard.press("Enter")
    expect(waiting.locator(".text")).to_have_text("And later too, corrected")
    page.keyboard.press("Shift+Tab")
    tab_to(page, waiting.get_by_role("button", name="Cancel"))
    page.keyboard.press("Enter")
    expect(card(page, "And later too, corrected", "cancelled")).to_be_visible()
    page.goto(desk.url)
    tab_to(page, page.get_by_role("button", name="Sign out"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign in with X")).to_be_visible()


def test_typing_goes_on_while_a_tweet_changes(desk: Desk) -> None:
    """Focus, caret and words stay with the person, whatever the lists do."""
    page = desk.sign_in("ada")
    desk.fault(fault="403", text="Refused meanwhile")
    write(page, "Refused meanwhile")
    box = page.get_by_label("Your tweet")
    box.press_sequentially("I go on typing", delay=40)
    expect(card(page, "Refused meanwhile", "failed")).to_be_visible()
    box.press_sequentially(" and typing")
    expect(box).to_be_focused()
    expect(box).to_have_value("I go on typing and typing")


def test_what_is_typed_while_it_is_sent_is_the_next_one(desk: Desk) -> None:
    """The answer takes its time; the person goes on, and nothing of it is lost or sent."""
    page = desk.sign_in("ada")
    held: list[Any] = []
    page.route("**/tweets", lambda route: held.append(route), times=1)
    with page.expect_request("**/tweets"):
        write(page, "First thought.")
    page.get_by_label("Your tweet").press_sequentially(" Second thought.")
    held[0].continue_()
    expect(page.get_by_label("Your tweet")).to_have_value(" Second thought.")
    expect(card(page, "First thought.", "sent")).to_be_visible()
    assert len(desk.published("First thought.")) == 1
    page.reload()
    expect(page.get_by_label("Your tweet")).to_have_value(" Second thought.")


@pytest.mark.parametrize("again", ["back", "reload", "another tab", "closed"])
def test_a_draft_is_still_there_and_goes_out_once(desk: Desk, again: str) -> None:
    """After back, a reload, in a second tab, in one that was closed: the text, one tweet of it, and no tab has it."""
    page, text = desk.sign_in("grace"), f"Kept over {again}"
    page.get_by_label("Your tweet").fill(text)
    ways: dict[str, Callable[[], Page]] = {
        "back": lambda: (page.goto(f"{desk.url}/nowhere"), page.go_back(), page)[2],
        "reload": lambda: (page.reload(), page)[1],
        "another tab": page.context.new_page,
        "closed": page.context.new_page,
    }
    other = ways[again]()
    if again == "closed":
        page.close()
    if other is not page:
        other.goto(desk.url)
    expect(other.get_by_label("Your tweet")).to_have_value(text)
    other.locator("#composer button.main").click()
    for tab in {page, other} if again == "another tab" else {other}:
        expect(tab.get_by_label("Your tweet")).to_have_value("")
    expect(card(other, text, "sent")).to_have_count(1)
    assert len(desk.published(text)) == 1
    forgive(desk, "404")


def test_all_of_it_is_under_fifty_kilobytes(desk: Desk) -> None:
    """Page, style, script and icon as they come over the wire, with a list of tweets."""
    page = desk.sign_in("ada")
    sizes: list[int] = []
    page.context.clear_cookies(name="none")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.reload(wait_until="networkidle")
    assert len(sizes) >= 3
    assert 5_000 < sum(sizes) < 50_000


def test_the_way_to_the_sandbox_is_on_a_phone_too(desk: Desk) -> None:
    """Signed in, at 360 pixels: the link is there, and nothing is pushed over the edge."""
    page = desk.sign_in("grace", viewport={"width": 360, "height": 640})
    expect(page.get_by_role("link", name="Sandbox")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_picture_of_a_moment_ago_is_brought_up_to_date(desk: Desk, tmp_path: Path) -> None:
    """A reload in the middle: every card goes on where it was, to its end."""
    page = desk.sign_in("linus")
    desk.fault(fault="latency", seconds=2, text="Half way")
    write(page, "Half way")
    expect(card(page, "Half way")).to_be_visible()
    page.reload()
    expect(card(page, "Half way", "sent")).to_be_visible()
