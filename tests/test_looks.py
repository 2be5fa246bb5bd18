"""Looks at many tweets that are taken together: everybody gets their own answer, and nobody another's trouble."""

import asyncio
import json
import threading
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peewee
import pytest
from starlette.testclient import TestClient

import cards
import looks
import models
import web
from pages import Trouble
from tests.servers import RedisServer
from tests.test_web import Site, configure, fail, site, tweet, x

__all__ = ["site", "x"]  # fixtures


def session(browser: TestClient) -> str:
    """The id of a browser's session."""
    return str(json.loads(b64decode(browser.cookies["session"].split(".")[0] + "=="))["id"])


def take(*asked: tuple[str | None, str]) -> list[Any]:
    """All of these looks at the same moment."""

    async def together() -> list[Any]:
        answers: list[Any] = await asyncio.gather(*(looks.look(*one) for one in asked), return_exceptions=True)
        return answers

    return asyncio.run(together())


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many looks were taken together, each time."""
    sizes: list[int] = []
    real = looks.look_at

    def counted(asked: Sequence[looks.Asked]) -> list[Any]:
        sizes.append(len(asked))
        return real(asked)

    monkeypatch.setattr(looks, "look_at", counted)
    return sizes


def test_everybody_gets_their_own_answer(site: Site, batches: list[int]) -> None:
    """A hundred looks of two people and of nobody, at own tweets, others' and none: two batches, and no mix-up."""
    people = {}
    for handle in ("ada", "grace"):
        browser = site.person(handle)
        people[session(browser)] = [tweet(browser, f"{handle} {number}") for number in range(4)]
    (ada, hers), (grace, others) = people.items()
    fail(hers[0]["job_id"], "duplicate")
    asked = [(who, one["job_id"]) for who in (ada, grace, None, "guessed") for one in (*hers, *others)]
    asked += [(who, job_id) for who in (ada, grace, None) for job_id in ("nosuchjob", "x" * 65, "a\0b")]
    for (who, job_id), answer in zip(asked * 3, take(*asked * 3), strict=True):
        if job_id in [one["job_id"] for one in people.get(str(who), [])]:
            assert answer["job_id"] == job_id
            assert answer["text"].startswith("ada" if who == ada else "grace")
            assert answer["state"] == ("failed" if job_id == hers[0]["job_id"] else "queued")
        else:
            assert isinstance(answer, Trouble)
            assert (answer.status, answer.code) == (404, "unknown_job" if who in people else "signed_out")
    assert sum(batches) == 3 * len(asked)
    assert len(batches) <= 2
    assert max(batches) <= looks.MOST


def test_more_than_fit_are_taken_in_turn(site: Site, batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has its size, and the rest comes next."""
    monkeypatch.setattr(looks, "MOST", 3)
    ada = site.person()
    job_id, who = tweet(ada)["job_id"], session(ada)
    assert {answer["job_id"] for answer in take(*[(who, job_id)] * 8)} == {job_id}
    assert sorted(batches) == [2, 3, 3]


def test_one_in_trouble_is_alone_with_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tweet that cannot be told is no reason to tell nobody anything."""
    ada = site.person()
    jobs, who = [tweet(ada, text)["job_id"] for text in ("one", "broken", "three")], session(ada)
    real = cards.facts

    def facts(tweet: models.Tweet, job: Any = None) -> dict[str, Any]:
        if tweet.text == "broken":
            raise ArithmeticError
        return real(tweet, job)

    monkeypatch.setattr(cards, "facts", facts)
    one, broken, three = take(*((who, job_id) for job_id in jobs))
    assert (one["text"], type(broken), three["text"]) == ("one", ArithmeticError, "three")


def test_a_database_that_comes_back_is_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is away all who ask are told, once; later looks are answered."""
    ada = site.person()
    job_id = tweet(ada)["job_id"]

    def away(sessions: Any) -> Any:
        raise peewee.OperationalError("away")

    with monkeypatch.context() as outage:
        outage.setattr("looks.people", away)
        answers = [ada.get(f"/status/{job_id}") for _ in range(2)]
    assert [answer.json()["error"]["code"] for answer in answers] == ["no_database"] * 2
    assert ada.get(f"/status/{job_id}").json()["state"] == "queued"


def test_a_silent_database_holds_up_nobody_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing more: who asks is told so after a while, and the next ones get another one."""
    ada = site.person()
    job_id, who = tweet(ada)["job_id"], session(ada)
    real, silent, heard = looks.look_at, threading.Event(), list[bool]()

    def look_at(asked: Sequence[looks.Asked]) -> list[Any]:
        heard.append(True)
        if len(heard) == 1:
            silent.wait(30)
        return real(asked)

    monkeypatch.setattr(looks, "look_at", look_at)
    monkeypatch.setattr(looks, "PATIENCE", 1.0)

    async def one_after_the_other() -> list[Any]:
        first = await asyncio.gather(looks.look(who, job_id), looks.look(who, job_id), return_exceptions=True)
        monkeypatch.setattr(looks, "PATIENCE", 20.0)
        last = await looks.look(who, job_id)
        silent.set()
        return [*map(type, first), last["state"]]

    assert asyncio.run(one_after_the_other()) == [peewee.OperationalError, peewee.OperationalError, "queued"]


def test_who_goes_away_leaves_the_others(site: Site) -> None:
    """A look that nobody waits for any more does not disturb those beside it."""
    ada = site.person()
    job_id, who = tweet(ada)["job_id"], session(ada)

    async def together() -> Any:
        gone, here = (asyncio.create_task(looks.look(who, job_id)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await here

    assert asyncio.run(together())["job_id"] == job_id


def test_a_finished_tweet_is_told_without_the_queue(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue knows nothing of it that the row does not."""
    ada = site.person()
    done, waits = tweet(ada)["job_id"], tweet(ada, "Another")["job_id"]
    fail(done, "duplicate")
    asked: list[str] = []

    def progress(jobs: Any, ids: list[str]) -> list[Any]:
        asked.extend(ids)
        return []

    monkeypatch.setattr("cards.report.progress", progress)
    who = session(ada)
    assert [answer["state"] for answer in take((who, done), (who, waits))] == ["failed", "queued"]
    assert asked == [waits]


def test_a_frozen_queue_holds_a_batch_up_once(redis_server: Any, x: str, tmp_path: Path) -> None:
    """Fifty looks wait for it together, not one after the other."""
    frozen: RedisServer = redis_server()
    site = Site(web.create_app(configure(frozen.url, x, tmp_path)), x)
    ada = site.person()
    jobs, who = [tweet(ada, f"Number {number}")["job_id"] for number in range(50)], session(ada)
    frozen.pause()
    answers = take(*((who, job_id) for job_id in jobs))
    frozen.resume()
    assert [answer["state"] for answer in answers] == ["queued"] * 50


def test_looks_in_a_row_share_a_connection(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks just after the last one was answered needs no new thread, nor a new connection to the database."""
    ada = site.person()
    job_id, who = tweet(ada)["job_id"], session(ada)
    monkeypatch.setattr(looks, "LINGER", 1.0)
    opened: list[bool] = []
    connect = models.database.obj.connect

    def counted(*given: Any, **named: Any) -> Any:
        opened.append(True)
        return connect(*given, **named)

    monkeypatch.setattr(models.database.obj, "connect", counted)

    async def in_a_row() -> list[Any]:
        return [await looks.look(who, job_id) for _ in range(20)]

    assert [answer["job_id"] for answer in asyncio.run(in_a_row())] == [job_id] * 20
    assert len(opened) == 1
