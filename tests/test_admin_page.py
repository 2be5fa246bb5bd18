"""The operators' page in a real browser: web.py on a Redis that can be frozen, no worker, and every disaster at once.

The pictures for docs/ are made by `PICTURES=docs/pictures python -m pytest tests/test_admin_page.py`.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import JobQueue, keys, named, report
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.jobs_contract.helpers import tokens
from tests.sandbox_server import running_sandbox
from tests.servers import RedisServer, best_real, binary, free_port, wait_until
from tests.test_admin import ADA, alive
from tests.test_browser import Desk, chromium, forgive, keep, serves, start, stop
from tests.test_page import check
from tests.test_web import SECRET

__all__ = ["chromium"]  # a fixture

PICTURES = ("queue-1280.png", "queue-390-dark.png", "dead-390.png")  # those in docs/
SIZES = {390: 844, 768: 1024, 1280: 800}
TRACE = """Traceback (most recent call last):
  File "worker.py", line 84, in publish
    signed = x_api.prepare_tweet(settings, tweet.user.credentials(), tweet.text)
peewee.OperationalError: connection to server at "db.example", port 5432 failed: Connection refused"""


@dataclass
class Office:
    """Where the operator sits: web.py, its Redis, and hands in the queue."""

    desk: Desk
    server: RedisServer
    jobs: JobQueue

    def operator(self, **options: Any) -> Page:
        """A browser in which Ada, who is an operator, looks at the queue."""
        page = self.desk.sign_in("ada", **options)
        page.goto(f"{self.desk.url}/admin/queue")
        return page

    def bury(self, *ids: str, reason: str = "failed") -> None:
        """Let jobs die."""
        for job_id in ids:
            self.jobs.enqueue(named("post_tweet", id=job_id, queue="night"), 1)
        taken = self.jobs.take("gone", len(ids), queues=["night"], full={"post_tweet": len(ids)})
        for token in tokens(taken):
            self.jobs.bury("gone", token, reason, TRACE)
        self.jobs.beat("gone", 0)
        self.jobs.reclaim()


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, RedisServer]]:
    """web.py on a sandbox, a Redis and a database of their own."""
    port, folder = free_port(), tmp_path_factory.mktemp("office")
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        server = RedisServer(binary(best_real()) or "fake").start()
        stack.callback(server.close)
        x = stack.enter_context(running_sandbox([f"{url}/oauth/callback"]))
        environ = {"PATH": os.environ["PATH"], "PORT": str(port), "PUBLIC_URL": url, "REDIS_URL": server.url}
        environ |= {"DATABASE_URL": f"sqlite:///{folder}/office.db", "X_API_URL": x, "X_SITE_URL": x}
        environ |= {"SIGN_INS_PER_MINUTE": "10000", "SESSION_SECRET": SECRET, "TOKEN_KEYS": "00" * 32, "ADMIN_IDS": ADA}
        stack.callback(stop, start("web.py", environ, folder))
        wait_until(lambda: serves(f"{url}/livez"), 20, "web.py")
        yield url, x, server


@pytest.fixture
def office(chromium: Browser, rooms: tuple[str, str, RedisServer]) -> Iterator[Office]:
    """An office with an empty queue. Afterwards nothing may have been complained about."""
    url, x, server = rooms
    with server.client() as client:
        client.flushall()
    desk = Desk(url, x, chromium)
    jobs = JobQueue.from_url(server.url)
    yield Office(desk, server, jobs)
    jobs.close()
    for context in desk.contexts:
        context.close()
    assert desk.complaints == []


def refresh(page: Page) -> None:
    """Look again now, as when the reader comes back to the tab."""
    with page.expect_response("**/admin/queue"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def row(page: Page, job_id: str) -> Locator:
    """A dead job."""
    return page.locator(f"[data-key='dead-{job_id}']")


def top(element: Locator) -> float:
    """Where it is on the screen."""
    return float(element.evaluate("element => element.getBoundingClientRect().top"))


def test_the_page_fits_every_screen(office: Office, tmp_path: Path) -> None:
    """At three in the morning, by day and by night, on a phone too: nothing is wider than the screen."""
    wanted = Path(os.environ.get("PICTURES") or tmp_path)
    wanted.mkdir(parents=True, exist_ok=True)

    def place(name: str) -> Path:
        return (wanted if name in PICTURES else tmp_path) / name

    three_in_the_morning(office)
    for width, height in SIZES.items():
        for scheme, night in (("light", ""), ("dark", "-dark")):
            page = office.operator(viewport={"width": width, "height": height}, color_scheme=scheme)
            check(page, f"the operators' page, {width}, {scheme}")
            keep(page, place(f"queue-{width}{night}.png"))
            row(page, "job-29").locator("summary").first.click()
            row(page, "job-29").get_by_text("Discard…").click()
            page.locator("#dead").evaluate("element => element.scrollIntoView()")
            keep(page, place(f"dead-{width}{night}.png"))


def three_in_the_morning(office: Office) -> None:
    """A flood of dead jobs, a paused list, nobody who works, retries, a day of figures."""
    jobs, now = office.jobs, report.clock(office.jobs) // 60_000
    for ago in range(1440):
        done, wrong = 60 + 40 * (ago // 240 % 2) + ago * 7919 % 23, int(ago * 31 % 97 == 0)
        if ago < 9:  # since then the database is away
            done, wrong = 4, (9 - ago) * 4
        waits = (20 + ago * 31 % 40 + max(9 - ago, 0) * 900) * done
        counts: Any = {"taken": done, "done": done, "retried": wrong // 2, "dead": wrong, "waited": waits}
        jobs.redis.hset(keys.stats(jobs.ns, now - ago), mapping=counts)
    office.bury(*(f"job-{number}" for number in range(30)))
    for number in range(40):
        jobs.enqueue(named("post_tweet", id=f"waits-{number}"), number)
    alive(jobs, name="worker-1")
    for job_id, attempt, started in tokens(jobs.take("worker-1", 5, full={"post_tweet": 10})):
        if job_id != "waits-0":
            jobs.retry("worker-1", (job_id, attempt, started), 60 + int(job_id[6:]) * 90, TRACE)
    jobs.redis.zadd(keys.workers(jobs.ns), {"worker-1": report.clock(jobs) - 100_000})
    jobs.redis.hset(keys.job(jobs.ns, "waits-5"), "enqueued_at", str(report.clock(jobs) - 130_000))
    jobs.pause("low")


@pytest.mark.parametrize("width", [390, 1280])
def test_it_refreshes_without_jumping(office: Office, width: int) -> None:
    """By itself, while jobs die above: what is open stays open, the focus stays, and nothing moves under the finger."""
    office.bury(*(f"old-{number}" for number in range(6)))
    page = office.operator(viewport={"width": width, "height": 700})
    mine = row(page, "old-2")
    mine.locator("summary").first.click()
    mine.get_by_text("Discard…").click()
    button = mine.get_by_role("button", name="Discard it")
    button.focus()
    page.evaluate("scrollBy(0, 37)")
    before = top(button)
    mine.locator("pre").evaluate("element => getSelection().selectAllChildren(element)")
    button.focus()
    office.bury("new-1", "new-2", "new-3")
    expect(row(page, "new-3")).to_have_count(1)

    assert abs(top(button) - before) <= 1
    expect(button).to_be_focused()
    expect(button).to_be_visible()
    assert page.evaluate("getSelection().toString()").startswith("Traceback")
    expect(page.locator("#dead")).to_have_text("Dead 9")


def test_a_row_that_goes_takes_no_focus_along(office: Office) -> None:
    """Somebody else revived the job: the keyboard goes on at the heading of the list, and the rest stays."""
    office.bury("a", "b")
    page = office.operator()
    for job_id in "ab":
        row(page, job_id).locator("summary").first.click()
    row(page, "a").get_by_text("Revive…").focus()
    office.jobs.discard("a")
    refresh(page)
    expect(row(page, "a")).to_have_count(0)
    expect(page.locator("#dead")).to_be_focused()
    expect(row(page, "b").get_by_text("Revive…")).to_be_visible()


def test_it_asks_only_while_it_is_seen(office: Office) -> None:
    """Every five seconds; not at all in a hidden tab or when paused by hand; once at once on return."""
    page, asked = office.operator(), list[str]()
    page.context.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.reload()
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    asked.clear()

    def silent() -> bool:
        before = len(asked)
        page.clock.run_for(60_000)
        page.wait_for_load_state("networkidle")
        return len(asked) == before

    for _ in range(2):
        with page.expect_response("**/admin/queue"):
            page.clock.run_for(5_000)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.clock.run_for(5_000)  # a look may have been on its way
    assert silent()
    page.evaluate("Object.defineProperty(document, 'hidden', { value: false, configurable: true })")
    refresh(page)
    page.get_by_role("button", name="Live").click()
    assert silent()
    with page.expect_response("**/admin/queue"):
        page.get_by_role("button", name="Live", pressed=False).click()


def test_deeds_are_done_where_one_is(office: Office) -> None:
    """Revive and discard after asking, pause, resume: said at the top, and the page stays as it was read."""
    office.bury("a", "b", "c")
    page = office.operator()
    page.evaluate("window.same = true")
    row(page, "a").locator("summary").first.click()
    expect(row(page, "a").get_by_role("button", name="Revive it")).to_be_hidden()
    row(page, "a").get_by_text("Revive…").click()
    row(page, "a").get_by_role("button", name="Revive it").click()
    expect(page.get_by_role("status").filter(has_text="The job is revived.")).to_be_visible()
    expect(row(page, "a")).to_have_count(0)
    row(page, "b").locator("summary").first.click()
    expect(row(page, "b").get_by_role("button", name="Discard it")).to_be_hidden()
    row(page, "b").get_by_text("Discard…").click()
    row(page, "b").get_by_role("button", name="Discard it").click()
    expect(page.get_by_text("The job is discarded.")).to_be_visible()
    page.get_by_text("Revive all…").click()
    expect(page.get_by_text("All 1 run again")).to_be_visible()
    page.get_by_role("button", name="Revive 1").click()
    expect(page.locator("#dead")).to_have_text("Dead 0")
    page.locator("[data-key='list-default']").get_by_role("button", name="Pause").click()
    page.locator("[data-key='list-default']").get_by_role("button", name="Resume").click()
    expect(page.get_by_text("The list default goes on.")).to_be_visible()
    refresh(page)
    expect(page.get_by_text("The list default goes on.")).to_be_visible()
    assert page.evaluate("window.same")


def test_a_flood_is_discarded_without_javascript(office: Office) -> None:
    """Open, ask, press: by plain forms. What died meanwhile is still there."""
    office.bury(*(f"job-{number}" for number in range(120)))
    page = office.operator(java_script_enabled=False)
    expect(page.get_by_role("link", name="Refresh")).to_be_visible()
    expect(page.locator(".job")).to_have_count(50)
    expect(page.locator(".job:visible")).to_have_count(8)
    page.get_by_text("Show 50").click()
    expect(page.locator(".job:visible")).to_have_count(50)
    page.get_by_text("Discard all…").click()
    office.bury("late")
    page.get_by_role("button", name="Discard 120").click()
    expect(page.locator("#notice")).to_have_text("120 discarded.")
    expect(row(page, "late")).to_have_count(1)
    row(page, "late").locator("summary").first.click()
    row(page, "late").get_by_text("Revive…").click()
    row(page, "late").get_by_role("button", name="Revive it").click()
    expect(page.locator("#notice")).to_have_text("The job is revived.")


def test_redis_away_is_said_and_taken_back(office: Office) -> None:
    """While the page is open: said on it, and aloud; when Redis is back so is everything else."""
    page = office.operator()
    expect(page.get_by_text("Work is taken in time.")).to_be_visible()
    office.server.pause()  # frozen: the worst way to be away
    refresh(page)
    expect(page.locator(".problems")).to_contain_text("Redis is away")
    expect(page.locator("#said")).to_contain_text("Redis is away")
    office.server.resume()
    refresh(page)
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    expect(page.locator("#said")).to_contain_text("Work is taken in time.")
    forgive(office.desk, "503")


def test_a_lost_connection_is_said_and_taken_back(office: Office) -> None:
    """What is shown then is old, and the page says so; a deed then is not claimed to be done."""
    page = office.operator()
    page.context.set_offline(True)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#notice")).to_contain_text("it is not known whether that was done")
    expect(page.get_by_text("Connection lost, still trying")).to_be_visible()
    page.context.set_offline(False)
    refresh(page)
    expect(page.get_by_text("Connection lost, still trying")).to_be_hidden()
    forgive(office.desk, "ERR_INTERNET_DISCONNECTED")


def test_others_see_nothing(office: Office) -> None:
    """A person who is no operator gets the page that any wrong address gives."""
    page = office.desk.sign_in("grace")
    page.goto(f"{office.desk.url}/admin/queue")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    forgive(office.desk, "404")
