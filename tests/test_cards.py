"""The cards: nothing moves, the right button is first, looks stop or slow down, and an edit can be left."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

import cards
from tests.servers import wait_until
from tests.test_browser import SLOW, Desk, card, chromium, desk, forgive, running, write
from tests.test_drafts import schedule
from tweet_text import LIMIT

__all__ = ["chromium", "desk", "running"]  # fixtures

LONG = (
    'X did not allow this tweet: "Your account is temporarily locked. Please log in to https://x.com to unlock your '
    'account, and read there what this is about and how long it takes". Look on X whether your account is locked.'
)
REFUSED = {"code": "not_permitted", "message": LONG, "action": "open_profile"}
WAITS = {"code": "out_of_credit", "message": "This app has used up what it may send to X.", "action": None}
NOW = "() => dispatchEvent(new Event('online'))"  # look at once, and leave the lists as they are


def change(page: Page, text: str, **changes: Any) -> None:
    """Let the next looks find that something came of a tweet."""
    job = card(page, text).get_attribute("data-job")
    body = page.request.get(f"{page.url}status/{job}").json() | {"poll_after_ms": 3_600_000} | changes
    body["deeds"] = cards.deeds(body["state"], body["reason"])
    page.unroute("**/status/*")
    page.route(f"**/status/{job}", lambda route: route.fulfill(json=body))
    page.evaluate(NOW)
    expect(card(page, text, body["state"])).to_be_visible()


@pytest.mark.parametrize("width", [360, 390, 1280])
@pytest.mark.parametrize("begins", ["scheduled", "queued"])
def test_no_card_grows_when_its_state_changes(desk: Desk, width: int, begins: str) -> None:
    """Scheduled or queued, waiting, failed in X's own words, sent: its height and what is below stay as they are."""
    page = desk.sign_in("ada", viewport={"width": width, "height": 800})
    text = f"Changing, {begins} at {width}"
    schedule(page, f"Beneath {begins} {width}").get_by_role("button", name="Cancel").click()
    below = card(page, f"Beneath {begins} {width}", "cancelled")
    expect(below).to_be_visible()
    if begins == "scheduled":
        schedule(page, text)
        page.reload()
    else:
        desk.fault(fault="latency", seconds=5, text=text)
        write(page, text)
    changing = page.locator(".card").filter(has=page.get_by_text(text, exact=True))
    expect(changing).to_be_visible()
    page.wait_for_function("() => !document.getAnimations().some(one => one.animationName === 'arrive')")
    boxes = changing.bounding_box(), below.bounding_box()
    soon = (datetime.now(UTC) + timedelta(minutes=9)).timestamp() * 1000
    for more in (
        {"state": "sending"},
        {"state": "retrying", "reason": WAITS, "time": soon, "attempt": 3},
        {"state": "retrying", "reason": REFUSED | {"action": "sign_in"}, "time": soon, "attempt": 4},
        {"state": "failed", "reason": REFUSED | {"action": "sign_in"}},
        {"state": "failed", "reason": REFUSED},
        {"state": "uncertain", "reason": REFUSED},
    ):
        change(page, text, **more)
        assert (changing.bounding_box(), below.bounding_box()) == boxes, more["state"]
        buttons = changing.locator(".deeds :is(a, button):visible")
        assert buttons.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth + 1)"), more
    changing.get_by_role("button", name="More").click()
    expect(changing.get_by_role("button", name="More")).to_be_hidden()
    assert changing.locator(".reason").evaluate("text => text.scrollHeight <= text.clientHeight + 1")


def test_what_is_lost_and_found_by_a_press_is_found(desk: Desk) -> None:
    """Looks fail, a button works: the page no longer says that the connection is lost."""
    page = desk.sign_in("grace")
    waiting = schedule(page, "Found again")
    page.clock.install()
    page.reload()
    page.route("**/status/*", lambda route: route.abort())
    page.evaluate(NOW)
    lose(page, "Connection lost, still trying")
    waiting.get_by_role("button", name="Cancel").click()
    expect(card(page, "Found again", "cancelled")).to_be_visible()
    expect(page.locator("#lost")).to_be_empty()
    forgive(desk, "ERR_FAILED")


def lose(page: Page, words: str) -> None:
    """Let time pass until the page says so."""
    pass_time(page, 2_000, lambda: page.locator("#lost").text_content() == words)


def pass_time(page: Page, step: int, until: Callable[[], bool]) -> None:
    """Set the page's clock forward, step by step of so many ms, until this is so."""

    def passed() -> bool:
        page.clock.fast_forward(step)
        return until()

    wait_until(passed, SLOW / 1000)


def test_a_server_that_cannot_answer_is_asked_ever_more_seldom(desk: Desk) -> None:
    """A 503 is told in words, and after a minute of it half a minute lies between two tries."""
    page = desk.sign_in("grace")
    waiting = schedule(page, "Database away")
    page.clock.install()
    page.reload()
    asked: list[str] = []

    def away(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, json={"error": {"code": "no_database", "message": "Away.", "field": None}})

    page.route("**/status/*", away)
    page.evaluate(NOW)
    lose(page, "The server cannot answer, still trying")
    pass_time(page, 32_000, lambda: len(asked) > 8)
    before = len(asked)
    for _ in range(20):
        page.clock.fast_forward(1_000)
    assert len(asked) <= before + 2
    page.unroute("**/status/*")
    pass_time(page, 32_000, lambda: page.locator("#lost").text_content() == "")
    waiting.get_by_role("button", name="Cancel").click()
    expect(card(page, "Database away", "cancelled")).to_be_visible()
    forgive(desk, "503")


def test_a_machine_that_slept_looks_at_once(desk: Desk) -> None:
    """The next look may be an hour away: after a sleep it does not wait for that."""
    page = desk.sign_in("grace")
    schedule(page, "Over night")
    page.clock.install()
    page.reload()
    with page.expect_response("**/status/*"):
        page.clock.fast_forward("03:00")
    card(page, "Over night").get_by_role("button", name="Cancel").click()
    expect(card(page, "Over night", "cancelled")).to_be_visible()


def test_the_focus_stays_where_the_person_went(desk: Desk) -> None:
    """Cancel on a slow line, and on with the next tweet: the answer takes nothing away."""
    page, held = desk.sign_in("ada"), list[Route]()
    waiting = schedule(page, "Slowly cancelled")
    page.route("**/tweets/*", lambda route: held.append(route), times=1)
    with page.expect_request("**/tweets/*"):
        waiting.get_by_role("button", name="Cancel").click()
    box = page.get_by_label("Your tweet")
    box.press_sequentially("On with")
    held[0].continue_()
    expect(card(page, "Slowly cancelled", "cancelled")).to_be_visible()
    page.keyboard.type(" the next")
    expect(box).to_have_value("On with the next")


def test_an_old_answer_changes_nothing(desk: Desk) -> None:
    """A look was on its way when the person called the tweet off: what it says is not so any more."""
    page, held = desk.sign_in("ada"), list[Route]()
    waiting = schedule(page, "Overtaken")
    its = f"{desk.url}/status/{waiting.get_attribute('data-job')}"
    old = page.request.get(its).json()
    page.route(its, lambda route: held.append(route), times=1)
    page.evaluate(NOW)
    wait_until(lambda: page.evaluate("1") and bool(held), SLOW / 1000, "the look")
    waiting.get_by_role("button", name="Cancel").click()
    expect(card(page, "Overtaken", "cancelled")).to_be_visible()
    with page.expect_response(its):
        held[0].fulfill(json=old)
    page.wait_for_timeout(200)
    expect(card(page, "Overtaken", "cancelled")).to_be_visible()
    expect(card(page, "Overtaken").get_by_role("button", name="Cancel")).to_be_hidden()


def test_what_is_done_elsewhere_is_told(desk: Desk) -> None:
    """In another tab it was found on X: "Send again" is too late here, and the card, at an end, says what is so."""
    page, text = desk.sign_in("ada"), "In two tabs"
    desk.fault(fault="accept-reset", text=text)
    desk.fault(fault="403", path="/2/users")
    write(page, text)
    here = card(page, text, "uncertain")
    expect(here).to_be_visible()
    assert page.request.post(f"{desk.url}/tweets/{here.get_attribute('data-job')}/there").ok
    here.get_by_role("button", name="Send again").click()
    expect(card(page, text, "sent")).to_be_visible()
    assert len(desk.published(text)) == 1
    forgive(desk, "409")


def test_a_server_that_says_nothing_is_given_up(desk: Desk) -> None:
    """No answer, no end of the connection: the page says so, and the same press goes out once when it is made again."""
    page = desk.sign_in("linus")
    page.evaluate("AbortSignal.timeout = (real => ms => real.call(AbortSignal, ms / 40))(AbortSignal.timeout)")
    page.route("**/tweets", lambda _: None, times=1)
    write(page, "Into the silence")
    expect(page.locator("#trouble")).to_contain_text("The connection is lost")
    page.locator("#composer button.main").click()
    expect(card(page, "Into the silence", "sent")).to_be_visible()
    assert len(desk.published("Into the silence")) == 1


def test_pressed_twice_is_done_once(desk: Desk) -> None:
    """While the first press is on its way the second does nothing, so it meets no refusal."""
    page, asked, held = desk.sign_in("ada"), list[str](), list[Route]()
    waiting = schedule(page, "Now, now")
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/now") else None)
    page.route("**/now", lambda route: held.append(route), times=1)
    waiting.get_by_role("button", name="Send now").dblclick()
    held[0].continue_()
    expect(card(page, "Now, now", "sent")).to_be_visible()
    expect(card(page, "Now, now").locator(".note")).to_be_empty()
    assert len(asked) == 1


def test_a_card_on_its_way_says_what_happens(desk: Desk) -> None:
    """Queued and sending have a hint that can be seen, and a word before their time."""
    page = desk.sign_in("linus")
    desk.fault(fault="latency", seconds=2, text="On its way")
    write(page, "On its way")
    sending = card(page, "On its way", "sending")
    expect(sending.locator(".hint")).to_be_visible()
    expect(sending.locator(".hint")).to_contain_text("X is taking it")
    expect(sending.locator("time").first).to_have_text(re.compile(r"^since \d"))
    expect(card(page, "On its way", "sent").locator("time").first).to_have_text(re.compile(r"^at \d"))


def test_what_was_scheduled_shows_both_times(desk: Desk) -> None:
    """When it was to go out and when it did."""
    page = desk.sign_in("linus")
    schedule(page, "Before its time")
    page.get_by_text("Send later").click()
    due = datetime.now() + timedelta(seconds=3)
    page.get_by_label("Date and time").fill(
        page.evaluate("new Date(Date.now() + 3000).toLocaleString('sv-SE')").replace(" ", "T")
    )
    write(page, f"Both times {due.second}")
    sent = card(page, "Both times", "sent")
    expect(sent.locator(".planned")).to_have_text(re.compile(r"^planned for \d"))
    page.reload()
    expect(sent.locator(".planned")).to_be_visible()
    card(page, "Before its time").get_by_role("button", name="Cancel").click()
    expect(card(page, "Before its time", "cancelled")).to_be_visible()


@pytest.mark.parametrize(
    ("state", "code", "action", "first", "absent"),
    [
        ("failed", "too_long", "edit", "reuse", "again"),
        ("failed", "refused", "edit", "reuse", "again"),
        ("failed", "duplicate", "open_profile", "profile", "sign_in"),
        ("failed", "not_permitted", "open_profile", "profile", "sign_in"),
        ("failed", "gave_up", "send_again", "again", "sign_in"),
        ("failed", "app_refused", "contact_operator", "sign_in", "profile"),
        ("failed", "signed_out", "sign_in", "sign_in", "profile"),
        ("retrying", "waits_for_sign_in", "sign_in", "sign_in", "again"),
        ("sending", "checking", "open_profile", "profile", "cancel"),
        ("missed", "missed", "send_again", "again", "edit"),
    ],
)
def test_what_helps_most_is_offered_first(state: str, code: str, action: str, first: str, absent: str) -> None:
    """The buttons follow the reason, and what would fail again is not offered."""
    offered = cards.deeds(state, {"code": code, "action": action})
    assert offered[0] == first
    assert absent not in offered
    assert len(set(offered)) == len(offered)


def test_buttons_are_arranged_alike_by_server_and_script(desk: Desk) -> None:
    """First what helps; each says to a screen reader which tweet it is about."""
    page = desk.sign_in("ada")
    desk.fault(fault="403", text="Not allowed")
    write(page, "Not allowed")
    failed = card(page, "Not allowed", "failed")
    expect(failed).to_be_visible()
    visible = failed.locator(".deeds > :not([hidden])")
    live = visible.all_text_contents()
    page.reload()
    assert [text.strip() for text in visible.all_text_contents()] == [text.strip() for text in live]
    assert live[0] == "Your profile"
    expect(failed.get_by_role("button", name="Send again")).to_have_accessible_description("Not allowed")
    assert page.get_by_role("alert").count() == 1


def test_an_edit_begins_with_what_is_so_and_can_be_left(desk: Desk) -> None:
    """Text and time are those of the tweet; a past time is told; Esc and a button leave it; nothing else is near."""
    page = desk.sign_in("ada")
    waiting = schedule(page, "To be edited")
    at = waiting.locator("time").first.evaluate("time => new Date(time.dateTime).toLocaleString('sv-SE').slice(0, 16)")
    edit = waiting.get_by_role("link", name="Edit")
    edit.click()
    form = waiting.locator(".change")
    expect(form.get_by_label("Text")).to_be_focused()
    expect(form.get_by_label("Date and time")).to_have_value(at.replace(" ", "T"))
    expect(form.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    expect(form.locator(".moment")).to_contain_text(re.compile("Goes out in .*UTC"))
    expect(form.locator(".left")).to_have_text("268")
    expect(waiting.get_by_role("button", name="Cancel tweet")).to_be_hidden()
    form.get_by_label("Date and time").fill("2020-01-01T10:00")
    expect(form.locator(".moment")).to_contain_text("That is past.")
    page.evaluate(NOW)
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)
    expect(waiting.locator(".hint")).to_be_visible()
    expect(edit).to_be_focused()
    page.keyboard.press("Enter")
    form.get_by_label("Text").fill("Edited by keys")
    page.keyboard.press("Control+Enter")
    expect(card(page, "Edited by keys", "scheduled").locator("time").first).to_be_visible()
    expect(page.locator(".lists .change")).to_have_count(0)
    edited = card(page, "Edited by keys", "scheduled")
    edited.get_by_role("link", name="Edit").click()
    edited.get_by_label("Text").fill("Not kept")
    edited.get_by_role("link", name="Keep as it was").click()
    expect(edited.locator(".text")).to_have_text("Edited by keys")
    edited.get_by_role("button", name="Cancel tweet").click()
    expect(card(page, "Edited by keys", "cancelled")).to_be_visible()


def test_an_edit_by_plain_links_and_forms(desk: Desk) -> None:
    """Without JavaScript: the form has text and time in UTC and every zone, and a way back."""
    page = desk.sign_in("linus", java_script_enabled=False)
    due = datetime.now(UTC) + timedelta(hours=5)
    page.get_by_text("Send later").click()
    page.get_by_label("Date and time").fill(f"{due:%Y-%m-%dT%H:%M}")
    write(page, "Edited by hand")
    expect(page.get_by_role("link", name="Check again")).to_be_visible()
    waiting = card(page, "Edited by hand", "scheduled")
    page.set_viewport_size({"width": 390, "height": 500})
    waiting.get_by_role("link", name="Edit").click()
    expect(waiting.get_by_label("Text")).to_be_in_viewport()
    expect(waiting.get_by_label("Date and time")).to_have_value(f"{due:%Y-%m-%dT%H:%M}")
    expect(waiting.get_by_role("button", name="Cancel tweet")).to_be_hidden()
    waiting.get_by_role("link", name="Keep as it was").click()
    waiting.get_by_role("link", name="Edit").click()
    waiting.get_by_label("Date and time").fill(f"{due + timedelta(hours=9):%Y-%m-%dT%H:%M}")
    waiting.get_by_label("Time zone").select_option("Asia/Tokyo")
    waiting.get_by_role("button", name="Save").click()
    expect(waiting.locator("time").first).to_contain_text(f"{due:%H:%M} UTC")
    waiting.get_by_role("button", name="Cancel tweet").click()
    expect(card(page, "Edited by hand", "cancelled")).to_be_visible()


def test_out_of_credit_names_the_next_look(desk: Desk) -> None:
    """Nobody knows when the app may send again, so the time is that of the next look."""
    page = desk.sign_in("grace")
    waiting = schedule(page, "No credit left")
    change(page, "No credit left", state="retrying", reason=WAITS, time=datetime.now().timestamp() * 1000 + 500_000)
    expect(card(page, "No credit left", "retrying").locator(".state")).to_contain_text(
        re.compile(r"Waiting\s+next look at \d")
    )
    page.unroute_all()
    page.reload()
    waiting.get_by_role("button", name="Cancel tweet").click()
    expect(card(page, "No credit left", "cancelled")).to_be_visible()


def test_an_edit_survives_a_reload(desk: Desk) -> None:
    """Words and time as they were typed; saved or left it is over, and so it is when the tweet cannot be changed."""
    page = desk.sign_in("ada")
    waiting = schedule(page, "Half changed")
    waiting.get_by_role("link", name="Edit").click()
    waiting.get_by_label("Text").fill("Half changed, and more")
    waiting.get_by_label("Time zone").select_option("Asia/Kolkata")
    waiting.get_by_label("Date and time").fill("2030-01-01T10:00")
    page.reload()
    form = waiting.locator(".change")
    expect(form.get_by_label("Text")).to_have_value("Half changed, and more")
    expect(form.get_by_label("Time zone")).to_have_value("Asia/Kolkata")
    expect(form.get_by_label("Date and time")).to_have_value("2030-01-01T10:00")
    expect(form.locator(".moment")).to_contain_text("That is more than a year away.")
    expect(form.locator(".left")).to_have_text(str(LIMIT - len("Half changed, and more")))
    expect(form.get_by_label("Text")).not_to_be_focused()
    form.get_by_role("link", name="Keep as it was").click()
    page.reload()
    expect(waiting.get_by_role("link", name="Edit")).to_be_visible()
    expect(form).to_have_count(0)
    waiting.get_by_role("link", name="Edit").click()
    form.get_by_label("Text").fill("Half changed, again")
    page.request.delete(f"{desk.url}/tweets/{waiting.get_attribute('data-job')}")
    page.reload()
    expect(card(page, "Half changed", "cancelled")).to_be_visible()
    expect(form).to_have_count(0)
    assert page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('edit:'))") == []
