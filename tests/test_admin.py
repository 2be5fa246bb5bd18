"""What operators have: /admin/queue, /healthz, /metrics and the log. Real Redis, real SQLite, real signing in."""

import logging
import queue
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import JobQueue, keys, named, report
from queue.jobs import Token
from queue.tasks import Registry, Task
from typing import Any

import peewee
import pytest
import requests
from starlette.testclient import TestClient

import admin
import alarm
import chart
import holds
import models
import web
import worker
from tables import App
from tests.jobs_contract.helpers import NS, tokens, working
from tests.servers import free_port, wait_until
from tests.test_web import PAGE, SECRET, Site, configure, row, tweet, x
from times import now_ms

__all__ = ["x"]  # a fixture

ADA, GRACE = "1815121001", "1906120902"
TOKEN = "a-token-that-nobody-can-guess"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE")
QUEUE = "/admin/queue"


@pytest.fixture
def site(redis_url: str, x: str, tmp_path: Path) -> Site:
    """The app, whose operator is Ada."""
    return Site(web.create_app(configure(redis_url, x, tmp_path, ADMIN_IDS=ADA, METRICS_TOKEN=TOKEN)), x)


@pytest.fixture
def jobs(redis_url: str) -> Iterator[JobQueue]:
    """The app's queue, in the tests' own hands."""
    with_hands = JobQueue.from_url(redis_url)
    yield with_hands
    with_hands.close()


@contextmanager
def redis_away(site: Site) -> Iterator[None]:
    """Let the app look for Redis where nobody listens."""
    settings = site.app.state.settings
    queue.connect(f"redis://127.0.0.1:{free_port()}/0")
    yield
    alarm.connect(settings)


@contextmanager
def database_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every connection to the database fail."""

    def refused(*args: Any) -> None:
        raise peewee.OperationalError("connection refused")

    with monkeypatch.context() as away:
        away.setattr(models.database.obj, "_connect", refused)
        yield


def alive(jobs: JobQueue, *lists: str, busy: int = 0, name: str = "ann") -> None:
    """Register a worker as its first beat does."""
    card = {"host": "here", "pid": 7, "version": "1", "lists": ",".join(lists or ("default",)), "threads": 10}
    jobs.beat(name, 15, card | {"busy": busy})


def enqueue(jobs: JobQueue, *ids: str, queue: str = "default") -> None:
    """Enqueue jobs with these ids."""
    for job_id in ids:
        jobs.enqueue(named("post_tweet", id=job_id, queue=queue), 1)


def hold(jobs: JobQueue, count: int = 1, name: str = "ann") -> list[Token]:
    """Take jobs."""
    return tokens(jobs.take(name, count, full={"post_tweet": count}))


def bury(jobs: JobQueue, *ids: str, error: str = "Traceback:\n  in post_tweet\nValueError: no good") -> None:
    """Make jobs and let them die."""
    enqueue(jobs, *ids)
    for token in hold(jobs, len(ids)):
        assert jobs.bury("ann", token, "timed out", error)


def age(jobs: JobQueue, job_id: str, seconds: float) -> None:
    """Have it enqueued so long ago."""
    jobs.redis.hset(keys.job(jobs.ns, job_id), "enqueued_at", str(report.clock(jobs) - round(seconds * 1000)))


def look(operator: TestClient) -> str:
    """The page."""
    answer = operator.get(QUEUE, headers=PAGE)
    assert answer.status_code == 200, answer.text
    return answer.text


def do(operator: TestClient, verb: str, **fields: str) -> str:
    """Send a form of the page, and return what the page says then."""
    answer = operator.post(f"{QUEUE}/{verb}", data=fields, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, QUEUE)
    notice = re.search('<p id="notice"[^>]*>(.*?)</p>', look(operator))
    assert notice
    return notice[1]


# Who may ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [QUEUE, f"{QUEUE}/revive", f"{QUEUE}/pause", f"{QUEUE}/nonsense"])
def test_others_see_what_any_unknown_address_gives(site: Site, path: str) -> None:
    """Strangers and people who are no operators, by every method: the same status, headers and words."""
    for browser in (site.browser(), site.person("grace")):
        for method in METHODS:
            there = browser.request(method, path, headers=PAGE)
            nowhere = browser.request(method, "/admin/nowhere", headers=PAGE)
            assert there.status_code == nowhere.status_code == 404
            assert (there.text, there.headers) == (nowhere.text, nowhere.headers)


def test_a_session_that_ended_is_no_operator_s(site: Site) -> None:
    """After signing out, or when the person is no longer in the database."""
    ada = site.person()
    assert look(ada)
    with models.database.connection_context():
        models.User.delete().execute()
    assert ada.get(QUEUE).status_code == 404
    ada = site.person()
    ada.post("/logout")
    assert ada.get(QUEUE).status_code == 404


def test_another_site_can_do_nothing(site: Site, jobs: JobQueue) -> None:
    """A form elsewhere that an operator's browser sends is refused."""
    bury(jobs, "a")
    answer = site.person().post(f"{QUEUE}/discard", data={"id": "a"}, headers={"Origin": "http://evil.test"})
    assert answer.status_code == 403
    assert [job.id for job in report.dead(jobs)] == ["a"]


def test_how_far_jobs_are_can_be_asked_at_once(jobs: JobQueue) -> None:
    """In the order asked, without what is not there and what makes no sense."""
    for job_id in ("a", "b"):
        jobs.enqueue(named("greet", id=job_id), 1)
    jobs.redis.set(keys.job(jobs.ns, "junk"), "junk")
    jobs.cancel("b")
    found = report.progress(jobs, ["b", "nobody", "junk", "a"])
    assert [(job.id, job.state, job.attempt) for job in found] == [("b", "cancelled", 0), ("a", "pending", 0)]


def test_operators_are_told_what_an_address_does_not_do(site: Site) -> None:
    """An unknown deed is a 404, a method that does nothing a 405, a reload of a form's address the page."""
    ada = site.person()
    assert ada.post(f"{QUEUE}/nonsense").status_code == 404
    assert ada.put(QUEUE).status_code == 405
    assert ada.get(f"{QUEUE}/revive").headers["location"] == QUEUE


# What is seen -------------------------------------------------------------------------------------------------------


def test_the_page_shows_each_place(site: Site, jobs: JobQueue) -> None:
    """Pending with its age, running where and since when, scheduled with its time, dead with its reason, workers."""
    ada = site.person()
    bury(jobs, "bad")
    job_id = tweet(ada)["job_id"]
    assert [token[0] for token in hold(jobs)] == [job_id]
    alive(jobs, busy=1)
    enqueue(jobs, "waits")
    age(jobs, "waits", 40)
    jobs.enqueue_in(3 * 3600, named("post_tweet", id="later"), 1)
    page = look(ada)

    assert "1 waiting, the oldest for 40 s" in page
    assert re.search(r"tweet \d+, queued", page)
    assert re.search(rf"for \d+ m?s.*{job_id}</code> on ann", page, re.DOTALL)
    assert re.search(r"in 3 h · <time.*later</code>", page, re.DOTALL)
    assert re.search(r"timed out.*ValueError: no good.*<pre[^>]*>Traceback:\n  in", page, re.DOTALL)
    assert re.search(r"here</b>.*1 of 10 threads busy, last turn.*ago.*takes from default · process 7", page, re.DOTALL)


def test_nothing_there_is_said_too(site: Site) -> None:
    """An empty queue without workers: nothing is wrong with it."""
    page = look(site.person())
    assert "Work is taken in time." in page
    assert "none, none is needed" in page


def test_a_flood_is_bounded(site: Site, jobs: JobQueue) -> None:
    """However many there are, so many of each are read and shown, and the rest is counted."""
    bury(jobs, *(f"dead-{number}" for number in range(99)))
    enqueue(jobs, *(f"held-{number}" for number in range(99)))
    hold(jobs, 99)
    jobs.enqueue_many([("post_tweet", number) for number in range(2000)])
    for number in range(70):
        jobs.enqueue_in(number + 100, named("post_tweet", id=f"later-{number}"))
    page = look(site.person())

    counts = [len(re.findall(f'data-key="{kind}-', page)) for kind in ("dead", "running", "scheduled")]
    assert counts == [admin.SHOWN] * 3
    assert "and 49 older ones" in page
    assert "and 20 later ones" in page
    assert "2,000 waiting" in page
    assert len(page) < 200_000


def test_what_lies_there_is_text(site: Site, jobs: JobQueue) -> None:
    """Markup in errors, names and ids is shown, not obeyed."""
    bury(jobs, "a", error="<script>alert(1)</script>")
    evil = '"><img src=x>'
    jobs.redis.hset(keys.job(NS, "a"), mapping={"reason": evil, "worker": evil, "task": evil, "queue": evil})
    jobs.redis.lpush(keys.pending(NS, "default"), evil)
    hold(jobs, 5)
    jobs.redis.sadd(keys.paused(NS), evil)
    alive(jobs, evil, name=evil)
    page = look(site.person())
    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("&lt;img") > 5


@pytest.mark.parametrize("junk", ["1e300", "-5", "nan", "soon", ""])
def test_figures_written_by_hand_break_nothing(site: Site, jobs: JobQueue, junk: str) -> None:
    """Times and counters that make no sense."""
    bury(jobs, "a")
    enqueue(jobs, "b", "c")
    hold(jobs)
    jobs.enqueue_in(60, named("post_tweet", id="d"))
    fields = ("enqueued_at", "due_at", "started_at", "finished_at", "attempt", "failures", "crashes")
    for job_id in "abcd":
        jobs.redis.hset(keys.job(NS, job_id), mapping=dict.fromkeys(fields, junk))
    alive(jobs)
    jobs.redis.hset(keys.worker(NS, "ann"), mapping={"last_turn": junk, "busy": junk, "threads": junk})
    jobs.redis.hset(keys.stats(NS, report.clock(jobs) // 60_000), mapping={"done": junk, "waited": junk, "dead": junk})
    ada = site.person()
    assert look(ada)
    assert ada.get("/healthz").status_code in (200, 503)
    assert ada.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_redis_away_is_said(site: Site) -> None:
    """Not a 500: the page says so, and so does what was tried meanwhile."""
    ada = site.person()
    with redis_away(site):
        answer = ada.get(QUEUE, headers=PAGE)
        assert answer.status_code == 503
        assert "Redis is away" in answer.text
        for verb, fields in (("revive", {"id": "a"}), ("discard", {"oldest": "9"}), ("pause", {"list": "default"})):
            assert ada.post(f"{QUEUE}/{verb}", data=fields).status_code == 303
            assert re.search("(0 .*then it stopped|Nothing was changed): Redis is away", ada.get(QUEUE).text)
    assert "Redis is away" not in look(ada)


def test_the_database_away_is_said(site: Site, jobs: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators get in by their signed session, and see the queue; others still do not."""
    ada, grace = site.person(), site.person("grace")
    bury(jobs, "a")
    with database_away(monkeypatch):
        page = look(ada)
        assert "The database is away" in page
        assert 'data-key="dead-a"' in page
        assert grace.get(QUEUE).status_code == 404


@pytest.mark.parametrize("place", ["pending:default", "scheduled", "dead", "workers", "paused"])
def test_junk_in_a_place_is_said(site: Site, jobs: JobQueue, place: str) -> None:
    """Another type where a list should be: what Redis says stands on the page."""
    jobs.redis.set(f"{NS}:{place}", "junk")
    answer = site.person().get(QUEUE, headers=PAGE)
    assert answer.status_code == 503
    assert "WRONGTYPE" in answer.text


# What is done -------------------------------------------------------------------------------------------------------


def test_one_dead_job_is_revived_or_discarded(site: Site, jobs: JobQueue) -> None:
    """By its id; a second click is told that there is nothing to do."""
    bury(jobs, "a", "b")
    ada = site.person()
    assert do(ada, "revive", id="a") == "The job is revived."
    assert do(ada, "discard", id="b") == "The job is discarded."
    assert do(ada, "revive", id="a").startswith("Nothing was revived")
    assert do(ada, "discard", id="nobody").startswith("Nothing was discarded")
    assert do(ada, "revive", id="a b").startswith("Nothing was revived")
    assert do(ada, "revive").startswith("Nothing was revived")
    assert ([job.id for job in report.dead(jobs)], hold(jobs)[0][0]) == ([], "a")


@pytest.mark.parametrize(
    ("state", "words"),
    [("queued", ""), ("sending", ""), ("failed", "Its tweet is failed: to revive"), ("sent", "Its tweet is sent: to")],
)
def test_a_job_whose_tweet_is_at_an_end_is_not_offered_to_run(
    site: Site, jobs: JobQueue, state: str, words: str
) -> None:
    """It would do nothing, by design, and the page says so; one whose tweet is not may help."""
    ada = site.person()
    job_id = tweet(ada)["job_id"]
    with models.database.connection_context():
        models.Tweet.update(state=state).execute()
    jobs.bury("ann", hold(jobs)[0], "timed out", "TimeLimit")
    page = look(ada)
    assert f"tweet {row(job_id).id}, {state}" in page
    assert words in page
    assert [sentence in page for sentence in ("would do nothing", "This job runs again.")] == [bool(words), not words]
    assert "Discard it" in page


def test_a_job_whose_tweet_has_another_one_is_not_offered_to_run(site: Site, jobs: JobQueue) -> None:
    """The row goes by its present job: the old one has nothing to do."""
    ada = site.person()
    job_id = tweet(ada)["job_id"]
    with models.database.connection_context():
        models.Tweet.update(state="sending").execute()
        models.Tweet.get().renew_job()
    jobs.bury("ann", next(token for token in hold(jobs, 2) if token[0] == job_id), "timed out", "TimeLimit")
    page = look(ada)
    assert "Its tweet has another job: to revive this one would do nothing." in page
    assert "This job runs again." not in page


def test_all_are_those_that_were_shown(site: Site, jobs: JobQueue) -> None:
    """What died after the page was made is not among them; those revived run in the order in which they died."""
    bury(jobs, "a", "b", "c")
    ada = site.person()
    assert look(ada).count('name="oldest" value="3"') == 2
    bury(jobs, "late")
    assert do(ada, "revive", oldest="3") == "3 revived."
    assert [job.id for job in report.dead(jobs)] == ["late"]
    assert [token[0] for token in hold(jobs, 3)] == ["a", "b", "c"]


def test_bad_entries_do_not_stop_the_rest(site: Site, jobs: JobQueue) -> None:
    """They cannot be revived, whatever they are called, but they can be discarded."""
    jobs.redis.lpush(keys.pending(NS, "default"), "a b", "junk")
    hold(jobs)
    bury(jobs, "good")
    ada = site.person()
    assert do(ada, "revive", oldest="3") == "1 revived. 2 cannot be."
    assert do(ada, "discard", oldest="2") == "2 discarded."
    assert jobs.redis.llen(keys.dead(NS)) == 0


def test_a_flood_is_done_in_bounded_time(site: Site, jobs: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not reached is said, and reached by the next press."""
    bury(jobs, *(f"job-{number}" for number in range(50)))
    ada = site.person()
    with monkeypatch.context() as hurry:
        hurry.setattr(admin, "PATIENCE", 0.0)
        assert re.fullmatch(r"(\d+) discarded, and (\d+) are left: once more.", do(ada, "discard", oldest="50"))
    left = jobs.redis.llen(keys.dead(NS))
    assert left > 40
    assert do(ada, "discard", oldest="50").startswith(f"{left} discarded.")


@pytest.mark.parametrize("oldest", ["", "0", "-1", "x", "1e3", "999999", "٣"])
def test_a_count_that_makes_no_sense_does_nothing(site: Site, jobs: JobQueue, oldest: str) -> None:
    """It is never taken for all."""
    bury(jobs, "a", "b")
    assert do(site.person(), "discard", oldest=oldest).startswith("Nothing was discarded")
    assert len(report.dead(jobs)) == 2


def test_a_list_is_paused_and_resumed(site: Site, jobs: JobQueue) -> None:
    """It says so, the page shows it, and nothing is taken meanwhile."""
    enqueue(jobs, "a")
    ada = site.person()
    assert "The list default is paused" in do(ada, "pause", list="default")
    assert hold(jobs) == []
    assert 'action="/admin/queue/resume"' in look(ada)
    assert do(ada, "resume", list="default") == "The list default goes on."
    assert len(hold(jobs)) == 1
    assert do(ada, "pause", list="a b").startswith("Nothing was changed")


def test_what_operators_do_is_logged(site: Site, jobs: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    """Each deed with its job or list, and who did it."""
    caplog.set_level(logging.INFO)
    bury(jobs, "a", "b")
    ada = site.person()
    do(ada, "revive", id="a")
    do(ada, "discard", oldest="1")
    do(ada, "pause", list="low")
    told = [line.message for line in caplog.records if line.name == "tweetnow.admin"]
    assert told == [f"event=revive job=a by={ADA}", f"event=discard job=b by={ADA}", f"event=pause list=low by={ADA}"]


# The chart ----------------------------------------------------------------------------------------------------------


def test_the_chart_adds_up(jobs: JobQueue, site: Site) -> None:
    """What is drawn, and what is said to those who do not see it, are the counts of Redis."""
    now = report.clock(jobs) // 60_000
    for ago, done in ((0, 5), (59, 7), (60, 100), (1400, 1000)):
        counts: dict[Any, Any] = {"done": done, "taken": done, "waited": done * 500, "dead": 1}
        jobs.redis.hset(keys.stats(NS, now - ago), mapping=counts)
    page = look(site.person())
    assert re.search(r'aria-label="Last hour: (12|7) done', page)  # the minute may have turned
    assert re.search(r'aria-label="Last day: 1112 done, 0 retried, 4 dead\.', page)
    assert "<b>500 ms</b> average wait" in page


@pytest.mark.parametrize(("bars", "step"), [(60, 1), (48, 30)])
@pytest.mark.parametrize("minute", [0, 1, 29, 30, 59, 28_000_013])
def test_bars_begin_at_round_times(bars: int, step: int, minute: int) -> None:
    """The last bar holds the present minute, and is not over."""
    drawn = chart.draw([{"done": 1}] * chart.minutes_of(bars, step, minute), minute, step)
    assert len(drawn.bars) == bars
    assert {bar.at // 60_000 % step for bar in drawn.bars} == {0}
    last = drawn.bars[-1]
    assert last.at // 60_000 <= minute < last.at // 60_000 + step
    assert {bar.counts["done"] for bar in drawn.bars[:-1]} <= {step}


@pytest.mark.parametrize("counts", [{"done": 9999, "dead": 1}, {"dead": 1}, {"retried": 3, "dead": 10_000}, {}])
def test_few_are_seen_among_many(counts: dict[str, int]) -> None:
    """Every kind that there was has a box one can see, and all of them fit."""
    stacked = chart.boxes(counts, max(sum(counts.values()), 1))
    assert [kind for kind, _, _ in stacked] == [kind for kind in chart.KINDS if counts.get(kind)]
    assert all(height >= chart.LEAST for _, _, height in stacked)
    assert all(y >= -0.01 for _, y, _ in stacked)


# Health -------------------------------------------------------------------------------------------------------------


def healthy(site: Site) -> tuple[int, list[str], dict[str, Any]]:
    """Status, codes and all of /healthz."""
    answer = site.browser().get("/healthz")
    body = answer.json()
    assert body["ok"] == (answer.status_code == 200) == (body["problems"] == [])
    return answer.status_code, [problem["code"] for problem in body["problems"]], body


def test_nobody_is_needed_when_there_is_nothing_to_do(site: Site, jobs: JobQueue) -> None:
    """A worker scaled to zero is healthy until work waits, or falls due within a minute."""
    assert healthy(site)[:2] == (200, [])
    jobs.enqueue_in(90, "post_tweet", 1)
    assert healthy(site)[:2] == (200, [])
    jobs.enqueue_in(30, "post_tweet", 1)
    assert healthy(site)[:2] == (503, ["no_worker"])
    alive(jobs)
    assert healthy(site)[:2] == (200, [])


def test_a_dead_worker_is_no_worker(site: Site, jobs: JobQueue) -> None:
    """Its lease is over, and what it held waits for somebody to take it back."""
    enqueue(jobs, "a")
    hold(jobs)
    assert healthy(site)[:2] == (200, [])
    jobs.redis.zadd(keys.workers(NS), {"ann": 1})
    assert healthy(site)[:2] == (503, ["no_worker"])


@pytest.mark.parametrize(("seconds", "codes"), [(50, []), (70, ["too_old"])])
def test_an_old_job_is_a_reason(site: Site, jobs: JobQueue, seconds: int, codes: list[str]) -> None:
    """Workers that live and take nothing are found out by it."""
    alive(jobs)
    enqueue(jobs, "a")
    age(jobs, "a", seconds)
    status, found, body = healthy(site)
    assert (status, found) == (503 if codes else 200, codes)
    assert seconds <= body["oldest_pending_s"] < seconds + 10


def test_a_late_schedule_is_a_reason(site: Site, jobs: JobQueue) -> None:
    """Nobody promotes what is due."""
    alive(jobs)
    jobs.enqueue_in(30, named("post_tweet", id="a"), 1)
    jobs.reschedule("a", report.clock(jobs) / 1000 - 70)
    assert healthy(site)[:2] == (503, ["late"])


def test_a_list_that_nobody_takes_from_is_a_reason(site: Site, jobs: JobQueue) -> None:
    """At once, not when its jobs have become old."""
    alive(jobs, "high")
    enqueue(jobs, "a")
    assert healthy(site)[:2] == (503, ["unserved"])


def test_a_paused_list_is_no_reason_until_its_jobs_are_old(site: Site, jobs: JobQueue) -> None:
    """And a scaler is not asked to start workers for it."""
    jobs.pause("default")
    enqueue(jobs, "a")
    status, codes, body = healthy(site)
    assert (status, codes, body["ready"], body["paused"]) == (200, [], 0, {"default": 1})
    age(jobs, "a", 70)
    status, codes, body = healthy(site)
    assert (status, codes, body["oldest_pending_s"]) == (503, ["too_old"], 0)
    assert "which is paused" in body["problems"][0]["message"]


def test_a_scaler_finds_its_figures(site: Site, jobs: JobQueue) -> None:
    """Age of the oldest, ready, due within a minute, busy, alive."""
    alive(jobs, busy=3)
    enqueue(jobs, "a", "b")
    jobs.enqueue_in(30, "post_tweet", 1)
    jobs.enqueue_in(90, "post_tweet", 1)
    tweet(site.person())
    body = healthy(site)[2]
    assert 0 <= body.pop("oldest_pending_s") < 5
    figures = {"ready": 3, "due_within_60_s": 1, "busy": 3, "workers": 1, "paused": {}}
    figures |= {"tweets_due": 1, "tweets_late": 0}
    assert body == {"ok": True, "problems": []} | figures


def since(job_id: str, seconds: float, **columns: Any) -> None:
    """Have a tweet accepted, or due, so long ago."""
    with models.database.connection_context():
        fields = {"created_at": now_ms() - seconds * 1000} | columns
        models.Tweet.update(**fields).where(models.Tweet.job_id == job_id).execute()


@pytest.mark.parametrize(("seconds", "codes"), [(50, []), (70, ["tweets_late"])])
def test_a_late_tweet_is_a_reason_whatever_redis_knows(
    site: Site, jobs: JobQueue, seconds: int, codes: list[str]
) -> None:
    """Redis was flushed: its queue is empty and well, and a tweet lies in the database."""
    ada = site.person()
    since(tweet(ada)["job_id"], seconds)
    jobs.redis.flushall()
    assert healthy(site)[:2] == (503, ["no_worker", *codes])
    alive(jobs)
    status, found, body = healthy(site)
    assert (status, found, body["tweets_late"]) == (503 if codes else 200, codes, len(codes))
    assert ("1 tweet is late" in look(ada)) == bool(codes)
    assert scrape(site)["tweetnow_tweets_late"] == len(codes)
    with redis_away(site):
        assert healthy(site)[1] == ["redis", *codes]


def test_a_tweet_that_has_to_wait_is_not_late(site: Site, jobs: JobQueue) -> None:
    """For its time, for X, just being sent, or at an end. Nobody is needed for those."""
    ada, now = site.person(), now_ms()
    waiting: list[dict[str, Any]] = [
        {"state": "scheduled", "due_at": now + 300_000},
        {"state": "queued", "next_attempt_at": now + 300_000},
        {"state": "sending", "next_attempt_at": now + 300_000, "sending_at": now - 300_000},
        *({"state": state} for state in ("sent", "failed", "uncertain", "cancelled", "missed")),
    ]
    for columns in waiting:
        since(tweet(ada)["job_id"], 3600, **columns)
    jobs.redis.flushall()
    assert healthy(site)[:2] == (200, [])
    moments = ("due_at", "next_attempt_at", "sending_at")
    for moment in moments:  # a moment ago
        since(tweet(ada)["job_id"], 3600, **{"state": "queued", moment: now})
    alive(jobs)
    assert healthy(site)[:2] == (200, [])
    for moment in moments:
        since(tweet(ada)["job_id"], 3600, **{"state": "sending", moment: now - 70_000})
    assert healthy(site)[1] == ["tweets_late"]
    assert healthy(site)[2]["tweets_late"] == 3


def test_tweets_in_a_paused_list_need_no_worker(site: Site, jobs: JobQueue) -> None:
    """Until they are late."""
    jobs.pause("default")
    job_id = tweet(site.person())["job_id"]
    assert healthy(site)[:2] == (200, [])
    since(job_id, 70)
    assert healthy(site)[:2] == (503, ["tweets_late"])


def test_an_app_without_credit_is_a_reason(site: Site) -> None:
    """All posting waits until the operator has acted, or one tweet has found out that it goes again."""
    with models.database.connection_context():
        holds.hold_app(now_ms() + 60_000)
    assert healthy(site)[:2] == (503, ["no_credit"])
    assert "out of credit" in look(site.person())
    with models.database.connection_context():
        App.update(held_until=now_ms() - 1).execute()
    assert healthy(site)[:2] == (200, [])


def test_away_is_a_reason(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis and the database, each by name; the figures are not known then, rather than zero."""
    with redis_away(site):
        status, codes, body = healthy(site)
        assert (status, codes, body["ready"], body["workers"]) == (503, ["redis"], None, None)
        with database_away(monkeypatch):
            assert healthy(site)[:2] == (503, ["redis", "database"])
    with database_away(monkeypatch):
        assert healthy(site)[:2] == (503, ["database"])
        assert site.browser().get("/livez").text == "ok"


# Metrics ------------------------------------------------------------------------------------------------------------


def scrape(site: Site) -> dict[str, float]:
    """What Prometheus reads."""
    answer = site.browser().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    lines = (line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_metrics_without_a_setting_are_nowhere(redis_url: str, x: str, tmp_path: Path) -> None:
    """The same as any unknown address."""
    browser = Site(web.create_app(configure(redis_url, x, tmp_path)), x).browser()
    answer = browser.get("/metrics", headers={"Authorization": "Bearer "})
    assert (answer.status_code, answer.text) == (404, browser.get("/nowhere").text)


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ä"]
)
def test_metrics_need_the_token(site: Site, given: str | None) -> None:
    """Anything else is refused, and nothing is told."""
    headers = {} if given is None else {"Authorization": given.encode()}
    answer = site.browser().get("/metrics", headers=headers)  # type: ignore[arg-type]  # wrong, or wider, on purpose
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in answer.text


def test_metrics_tell_the_figures(site: Site, jobs: JobQueue) -> None:
    """By list, ages, workers, busy, and what was done in the last full minute."""
    bury(jobs, "bad")
    alive(jobs, busy=2)
    enqueue(jobs, "a", "b")
    enqueue(jobs, "c", queue="low")
    age(jobs, "a", 30)
    jobs.pause("low")
    jobs.enqueue_in(30, "post_tweet", 1)
    for minute in (0, 1):  # it may turn meanwhile
        counts: dict[Any, Any] = {"done": 8, "retried": 2, "taken": 10, "waited": 5000}
        jobs.redis.hset(keys.stats(NS, report.clock(jobs) // 60_000 - minute), mapping=counts)
    read = scrape(site)
    told = {name.removeprefix("tweetnow_queue_"): value for name, value in read.items() if "tweetnow_queue" in name}
    assert 30 <= told.pop('oldest_seconds{list="default"}') < 35
    wanted: dict[str, float] = {
        "up": 1,
        'pending{list="default"}': 2,
        'pending{list="low"}': 1,
        'paused{list="low"}': 1,
        "busy": 2,
    }
    wanted |= {"workers": 1, "dead": 1, "scheduled": 1, "due_soon": 1, "running": 0, "waited_seconds": 0.5}
    wanted |= {'last_minute{outcome="done"}': 8, 'last_minute{outcome="retried"}': 2}
    assert {name: told[name] for name in wanted} == wanted
    assert (read["tweetnow_healthy"], read["tweetnow_database_up"]) == (1, 1)


def test_metrics_say_what_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape succeeds, and has no figure that is not known."""
    with redis_away(site), database_away(monkeypatch):
        read = scrape(site)
    assert [read[f"tweetnow_{name}"] for name in ("healthy", "database_up", "queue_up")] == [0, 0, 0]
    assert not [name for name in read if name.startswith("tweetnow_queue_") and name != "tweetnow_queue_up"]


def test_metrics_time_the_posts(site: Site) -> None:
    """Each POST /tweets by its status, and nothing else."""
    name = 'tweetnow_post_tweets_seconds_count{status="%s"}'
    before = scrape(site)
    ada = site.person()
    tweet(ada)
    ada.post("/tweets", data={"status": ""})
    ada.get("/tweets")
    after = scrape(site)
    assert [after[name % status] - before.get(name % status, 0) for status in ("202", "422")] == [1, 1]
    assert after.get(name % "303") == before.get(name % "303")


# The log -------------------------------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """The facts of each line that is about a transition."""
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("event=")]
    assert all("\n" not in line for line in told)
    pairs = (re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^\s"=]+)(?: |$)', line) for line in told)
    found = [dict(pair) for pair in pairs]
    for line, facts in zip(told, found, strict=True):
        assert " ".join(f"{name}={value}" for name, value in facts.items()) == line
    return found


def test_each_transition_is_a_line_and_no_line_has_a_secret(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """From signing in to the tweet at X, by way of a failure, at DEBUG: job, tweet and attempt, and no token."""
    caplog.set_level(logging.DEBUG)
    ada = site.person()
    requests.post(f"{site.x}/_sandbox/faults", json={"fault": "403-duplicate", "text": "Twice"}, timeout=5)
    sent, failed = tweet(ada, "Once")["job_id"], tweet(ada, "Twice")["job_id"]
    worker.start(site.app.state.settings)
    with working(queue.Worker(threads=1)):
        wait_until(lambda: (row(sent).state, row(failed).state) == ("sent", "failed"), 10, "both to be at an end")
    found = lines(caplog)
    for job_id, end in ((sent, "sent"), (failed, "failed")):
        mine = [facts for facts in found if facts.get("job") == job_id]
        assert [facts["event"] for facts in mine if facts["event"] != "took"] == ["wake", "sending", end]
        assert {facts["tweet"] for facts in mine} == {str(row(job_id).id)}
        assert [facts["attempt"] for facts in mine[1:]] == ["1"] * (len(mine) - 1)
    assert [facts["why"] for facts in found if facts["event"] == "failed"] == ["duplicate"]
    with models.database.connection_context():
        secrets = [*row(sent).user.credentials(), *ada.cookies.values(), TOKEN, SECRET, "sandbox-consumer-secret"]
    settings = site.app.state.settings
    assert [secret for secret in (*secrets, *map(str, settings.token_keys)) if secret in caplog.text] == []
    assert [
        private for private in ("Once", "Twice", "gAAAA") if private in caplog.text
    ] == []  # the last: a token, locked


def test_what_the_queue_does_is_told_alike(site: Site, jobs: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    """Retried, dead, taken back: the verb, the job and the attempt, with the error on the same line."""
    caplog.set_level(logging.INFO)
    tasks = Registry()

    def fail() -> None:
        raise ValueError('no "good" = bad\nand more')

    tasks.add(Task("fail", fail, retries=1, backoff=lambda failures, chance: 0.0))
    jobs.enqueue(named("fail", id="a"))
    with working(queue.Worker(threads=1, jobs=jobs, tasks=tasks)):
        wait_until(lambda: report.dead(jobs), 10, "it to be dead")
    about = [(facts["event"], facts["attempt"]) for facts in lines(caplog) if facts.get("job") == "a"]
    assert about == [("raise", "1"), ("retry", "1"), ("raise", "2"), ("bury", "2")]
    assert r'error="ValueError: no \"good\" = bad"' in caplog.text
