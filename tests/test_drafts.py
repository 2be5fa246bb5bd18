"""What is typed and not yet sent: over reloads, beside other tabs, and the time it is to go out at."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.servers import wait_until
from tests.test_browser import Desk, card, chromium, desk, forgive, propose, running, write
from tests.test_page import overlap

__all__ = ["chromium", "desk", "running"]  # fixtures


def schedule(page: Page, text: str) -> Any:
    """A tweet at the time that is proposed, and its card."""
    propose(page)
    write(page, text)
    waiting = card(page, text, "scheduled")
    expect(waiting).to_be_visible()
    return waiting


def test_another_text_does_not_cost_the_draft(desk: Desk) -> None:
    """`Edit as new` puts it aside; it is offered, given in exchange, and offered again after sending."""
    page = desk.sign_in("ada")
    box, back = page.get_by_label("Your tweet"), page.get_by_role("button", name="Bring it back")
    schedule(page, "Called off, at first").get_by_role("button", name="Cancel").click()
    expect(card(page, "Called off, at first", "cancelled")).to_be_visible()
    box.fill("My precious draft")
    expect(back).to_be_hidden()
    card(page, "Called off, at first", "cancelled").get_by_role("link", name="Edit as new").click()
    expect(box).to_have_value("Called off, at first")
    expect(box).to_be_focused()
    page.keyboard.type("!")
    page.goto(desk.url)
    expect(box).to_have_value("Called off, at first!")
    back.click()
    expect(box).to_have_value("My precious draft")
    back.click()
    expect(box).to_have_value("Called off, at first!")
    page.locator("#composer button.main").click()
    expect(box).to_have_value("")
    back.click()
    expect(box).to_have_value("My precious draft")
    expect(back).to_be_hidden()
    page.reload()
    expect(box).to_have_value("My precious draft")


def test_the_words_of_old_tweets_are_no_drafts(desk: Desk) -> None:
    """Looked at one after the other in the composer they are not kept: each is on its card."""
    page = desk.sign_in("ada")
    for text in ("Old words", "Older words"):
        schedule(page, text).get_by_role("button", name="Cancel").click()
        expect(card(page, text, "cancelled")).to_be_visible()
    for text in ("Old words", "Older words"):
        card(page, text).get_by_role("link", name="Edit as new").click()
        expect(page.get_by_label("Your tweet")).to_have_value(text)
    expect(page.get_by_role("button", name="Bring it back")).to_be_hidden()


def test_sending_in_one_tab_leaves_the_other_its_text(desk: Desk) -> None:
    """Both began with the same draft; what was typed in the other goes out as well, at the first press, and once."""
    page = desk.sign_in("grace")
    page.get_by_label("Your tweet").fill("From the first tab")
    other = page.context.new_page()
    other.goto(desk.url)
    expect(other.get_by_label("Your tweet")).to_have_value("From the first tab")
    other.get_by_label("Your tweet").fill("From the other tab")
    page.locator("#composer button.main").click()
    expect(card(page, "From the first tab", "sent")).to_be_visible()
    expect(other.get_by_label("Your tweet")).to_have_value("From the other tab")
    other.reload()
    expect(other.get_by_label("Your tweet")).to_have_value("From the other tab")
    other.locator("#composer button.main").click()
    expect(card(other, "From the other tab", "sent")).to_be_visible()
    assert [len(desk.published(f"From the {which} tab")) for which in ("first", "other")] == [1, 1]


@pytest.mark.parametrize("gap", [40, 250])
def test_a_second_press_does_not_send_another_draft(desk: Desk, gap: int) -> None:
    """An unfinished one was put aside, and the one in the box is gone at the first press: the second sends nothing."""
    page = desk.sign_in("ada")
    old = f"Called off before {gap}"
    schedule(page, old).get_by_role("button", name="Cancel").click()
    page.get_by_label("Your tweet").fill(f"Not finished {gap}")
    card(page, old, "cancelled").get_by_role("link", name="Edit as new").click()
    page.get_by_label("Your tweet").fill(f"Pressed twice {gap}")
    for _ in range(3):
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(gap)
    expect(card(page, f"Pressed twice {gap}", "sent")).to_be_visible()
    expect(page.get_by_role("button", name="Bring it back")).to_be_visible()
    expect(page.locator("#trouble")).to_be_empty()
    assert desk.published(f"Not finished {gap}") == []
    expect(card(page, f"Not finished {gap}")).to_have_count(0)


def test_two_tabs_that_began_empty_keep_both_texts(desk: Desk) -> None:
    """They keep one draft between them: the other one's makes room, and is offered."""
    page = desk.sign_in("grace")
    other = page.context.new_page()
    other.goto(desk.url)
    page.get_by_label("Your tweet").fill("First tab's words")
    other.get_by_label("Your tweet").fill("Second tab's words")
    page.reload()
    page.get_by_role("button", name="Bring it back").click()
    expect(page.get_by_label("Your tweet")).to_have_value("First tab's words")
    page.get_by_role("button", name="Bring it back").click()
    expect(page.get_by_label("Your tweet")).to_have_value("Second tab's words")


def test_a_time_is_part_of_the_draft(desk: Desk) -> None:
    """The answer is lost; after a reload the time is chosen still, and pressing again is the same tweet."""
    page = desk.sign_in("grace")
    at = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}T12:00"

    def swallow(route: Any) -> None:
        route.fetch()
        route.abort()

    page.get_by_text("Send later").click()
    page.get_by_label("Date and time").fill(at)
    page.get_by_label("Time zone").select_option("Asia/Kolkata")
    page.route("**/tweets", swallow, times=1)
    write(page, "In a month")
    expect(page.locator("#trouble")).to_contain_text("The connection is lost")
    page.reload()
    expect(page.get_by_label("Date and time")).to_have_value(at)
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Kolkata")
    page.get_by_role("button", name="Schedule", exact=True).click()
    waiting = card(page, "In a month", "scheduled")
    expect(waiting).to_have_count(1)
    expect(page.get_by_label("Your tweet")).to_have_value("")
    page.reload()
    expect(waiting).to_have_count(1)
    waiting.get_by_role("button", name="Cancel").click()
    expect(card(page, "In a month", "cancelled")).to_be_visible()
    forgive(desk, "ERR_FAILED")


def test_the_proposed_time_is_one_of_the_chosen_zone(desk: Desk) -> None:
    """Another zone, the same moment; closed and opened again it is proposed anew; a time that was typed stays."""
    page = desk.sign_in("ada")
    at, tz, moment = page.get_by_label("Date and time"), page.get_by_label("Time zone"), page.locator(".moment")
    propose(page)
    berlin = datetime.fromisoformat(at.input_value())
    tz.select_option("UTC")
    assert berlin - datetime.fromisoformat(at.input_value()) in (timedelta(hours=1), timedelta(hours=2))
    tz.select_option("Asia/Kolkata")
    page.get_by_text("Send later").click()
    expect(at).to_have_value("")
    propose(page)
    expect(moment).to_contain_text(re.compile(r"Goes out in \d+ minutes.*in Asia/Kolkata"))
    at.fill("2030-01-01T10:00")
    expect(moment).to_contain_text("That is more than a year away.")
    tz.select_option("UTC")
    expect(at).to_have_value("2030-01-01T10:00")
    expect(moment).to_contain_text("10:00 AM UTC")
    assert "UTC+0" not in str(moment.text_content())


def test_nothing_is_claimed_of_a_time_that_comes_twice(desk: Desk) -> None:
    """Until one of the two is chosen the composer does not say when it goes out."""
    page = desk.sign_in("ada")
    page.get_by_text("Send later").click()
    page.get_by_label("Date and time").fill(overlap())
    moment = page.locator(".moment")
    expect(moment).to_have_text("Choose which of the two.")
    page.get_by_role("radio", name="The second").check()
    expect(moment).to_contain_text("UTC+1")


def test_a_time_shows_seconds_only_where_it_has_some(desk: Desk) -> None:
    """A field for hours and minutes; seconds that come from elsewhere are not refused."""
    page = desk.sign_in("ada")
    at = page.get_by_label("Date and time")
    page.get_by_text("Send later").click()
    expect(at).to_have_attribute("step", "60")
    at.fill("2027-01-01T10:00:05")
    assert at.evaluate("field => field.checkValidity()")


def test_in_five_minutes_is_said_for_a_minute(desk: Desk) -> None:
    """What is said about a time goes on with the clock, until it is past."""
    page = desk.sign_in("ada")
    page.clock.install()
    page.reload()
    page.get_by_text("Send later").click()
    moment = page.locator(".moment")
    expect(moment).to_contain_text("Goes out in")
    before = str(moment.text_content())
    page.clock.fast_forward("04:00")
    expect(moment).not_to_have_text(before)
    page.clock.fast_forward("10:00")
    expect(moment).to_contain_text("That is past.")


def test_a_slow_answer_is_waited_for_in_words(desk: Desk) -> None:
    """The button says that it is busy, and what it does once more afterwards."""
    page, held = desk.sign_in("ada"), list[Any]()
    page.route("**/tweets", lambda route: held.append(route), times=1)
    write(page, "A slow line")
    button = page.locator("#composer button.main")
    expect(button).to_have_text("One moment…")
    held[0].continue_()
    expect(button).to_have_text("Tweet")
    expect(card(page, "A slow line", "sent")).to_be_visible()


def test_the_same_refusal_is_said_again(desk: Desk) -> None:
    """Pressed twice, refused twice: a screen reader hears it twice, from the one place for alarms."""
    page = desk.sign_in("ada")
    page.evaluate(
        """new MutationObserver(() => alarm.textContent && heard.push(alarm.textContent))
        .observe(alarm, { childList: true }); heard = []"""
    )
    for times in (1, 2):
        write(page, "x" * 281)
        page.wait_for_function("times => heard.length === times", arg=times)
    assert len(set(page.evaluate("heard"))) == 1
    assert page.get_by_role("alert").count() == 1
    forgive(desk, "422")


def test_the_button_can_be_reached_on_a_low_screen(desk: Desk) -> None:
    """A composer that is taller than the window scrolls by itself, wherever the lists are."""
    page = desk.sign_in("ada", viewport={"width": 1280, "height": 420})
    page.get_by_label("Your tweet").fill("tall\n" * 60)
    propose(page)
    page.get_by_role("button", name="Schedule", exact=True).click()
    expect(page.locator("#trouble")).to_contain_text("300")
    page.evaluate("scrollTo(0, 0)")
    page.get_by_label("Time zone").hover()
    page.mouse.wheel(0, 2000)
    wait_until(lambda: page.evaluate("document.querySelector('.write').scrollTop > 0"))
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_role("button", name="Schedule", exact=True)).to_be_in_viewport(ratio=1)
    forgive(desk, "422")
