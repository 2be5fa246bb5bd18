"""Half a minute of the ledger's storm; and what it looks for, each broken by hand to show that it would be seen."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.faults.ledger import AUTHORS, Storm, Weather, begun, faults, handles
from tests.faults.ledger_checker import Draft, Told, X, allowed, check
from tests.faults.ledger_people import orders
from tests.servers import best_real, binary

WEATHER = Weather(seconds=30, seed=4, tweets=140)


@pytest.mark.timeout(300)
def test_half_a_minute_of_storm_loses_nothing(tmp_path: Path) -> None:
    """Every accepted tweet comes to an end, each is on the timeline at most once, and nobody was told an untruth."""
    if binary(best_real()) is None:
        pytest.skip("no redis-server here")
    storm = Storm(WEATHER, tmp_path)
    verdict = storm.run()
    totals = storm.totals(verdict)
    print(totals)
    assert verdict.broken == []
    assert totals["accepted"] == sum(verdict.ends.values()) == WEATHER.tweets
    assert totals["sent"] > WEATHER.tweets / 2
    assert totals["tweets with an unknown outcome"] > 0
    assert storm.done.total() > 10


def test_the_same_seed_plans_the_same_storm() -> None:
    """Tweets, deeds, faults and their victims; another seed plans another."""

    def plan(seed: int) -> list[object]:
        weather = replace(WEATHER, seed=seed)
        found = [list(islice(faults(weather, author), 50)) for author in AUTHORS]
        return [*found, *(list(orders(weather, account)) for account in handles(20))]

    assert plan(4) == plan(4)
    assert plan(4) != plan(5)


ROW = {"id": 1, "key": "k", "state": "sent", "x_tweet_id": "1", "reason_code": None, "due_at": None}
POST = {"id": "1", "text": "k v0 hello", "time": 100.0}
LIKE = ROW | {"id": 2, "key": "l"}  # of another tweet with the same words


def draft(*told: Told) -> Draft:
    """One that was accepted, and edited as often as was told."""
    texts = ["k v0 hello", *(f"k v{n} hello" for n, _ in enumerate([t for t in told if t.what == "edit"], 1))]
    return Draft("k", texts, "job", True, list(told))


def said(*states: str) -> list[Told]:
    """What /status told, in order."""
    return [Told("status", state) for state in states]


def test_a_true_ledger_is_left_alone() -> None:
    """Sent once, with its id; and whatever may happen on the way."""
    for told in (
        [],
        said("queued", "sending", "sent"),
        said("uncertain", "sent"),
        [*said("failed"), Told("again", "done")],
    ):
        assert check([draft(*told)], [ROW], X([POST])).broken == []


def like() -> Draft:
    """Another tweet with the same words."""
    return replace(draft(), key="l")


def test_equal_words_are_told_apart_by_their_ids() -> None:
    """Two that say the same are there twice, or once when X refused the second."""
    both, twice = [draft(), like()], [POST, POST | {"id": "2"}]
    assert check(both, [ROW, LIKE | {"x_tweet_id": "2"}], X(twice)).broken == []
    assert check(both, [ROW, LIKE | {"state": "failed"}], X([POST])).broken == []
    assert check(both, [LIKE | {"state": "uncertain", "reason_code": "no_look"}], X()).broken != []


def test_a_person_may_have_caused_it() -> None:
    """Who sends an uncertain one again without a look may have it twice; who says that it is there knows no id."""
    again = replace(draft(*said("uncertain"), Told("again", "done")), blind=1)
    assert check([again], [ROW | {"x_tweet_id": "2"}], X([POST, POST | {"id": "2"}])).broken == []
    there = draft(*said("uncertain"), Told("there", "done"))
    assert check([there], [ROW | {"x_tweet_id": None}], X([POST])).broken == []


UNSURE = ROW | {"state": "uncertain", "reason_code": "no_answer", "x_tweet_id": None}
NO_LOOK = UNSURE | {"reason_code": "no_look"}
ASKED = {"time": 100.0, "text": "k v0 hello"}


def doubts() -> Iterator[Any]:
    """What X knows of an uncertain tweet that was asked for at 50: name, row, X, whether it could be known."""
    yield pytest.param(UNSURE, X([], [ASKED, ASKED]), False, id="asked twice")
    yield pytest.param(UNSURE, X([], [ASKED], [], begun([BEGAN, BEGAN_AGAIN])), False, id="once, and killed before")
    yield pytest.param(UNSURE, X([], [ASKED], [], begun([BEGAN])), True, id="asked once")
    yield pytest.param(
        UNSURE, X([], [ASKED], [], begun([BEGAN, BEGAN_AGAIN, NEVER_LEFT])), True, id="once, and refused"
    )
    yield pytest.param(UNSURE, X([], [ASKED | {"time": 49.0}, ASKED]), True, id="asked again by hand since")
    yield pytest.param(UNSURE, X([], [ASKED, ASKED | {"text": "l v0 hello"}]), True, id="another tweet")
    yield pytest.param(UNSURE, X([], [ASKED], [{"time": 100.0, "account": "ada"}]), True, id="not for want of a look")
    yield pytest.param(NO_LOOK, X([], [ASKED], [{"time": 100.0, "account": "ada"}]), False, id="not let look")
    yield pytest.param(NO_LOOK, X([], [ASKED, ASKED]), True, id="let look")
    yield pytest.param(NO_LOOK, X([], [ASKED], [{"time": 49.0, "account": "ada"}]), True, id="not let look before")
    yield pytest.param(NO_LOOK, X([], [ASKED], [{"time": 100.0, "account": "linus"}]), True, id="another not let look")


BEGAN = "INFO tweetnow.models: event=sending tweet=1 job=abc attempt=1"
BEGAN_AGAIN = "INFO tweetnow.models: event=sending tweet=1 job=abc attempt=2\n" * 2
NEVER_LEFT = "INFO tweetnow.models: event=queued tweet=1 job=abc attempt=2 why=unreachable"


@pytest.mark.parametrize(("row", "x", "known"), list(doubts()))
def test_uncertain_is_what_could_not_be_known(row: dict[str, Any], x: X, known: bool) -> None:
    """By X's own ledger of requests, whatever the row counts."""
    mine = replace(draft(), key="7-ada-1", since=50.0)
    [*wrong] = check([mine], [row | {"key": "7-ada-1"}], x).broken
    assert ["could have been known" in line for line in wrong] == ([True] if known else [])


def broken() -> Iterator[Any]:
    """What would be wrong: name, what the person knows, the row, the timeline, what is said of it."""
    mine, at_end = draft(), ROW | {"state": "cancelled"}
    yield pytest.param(mine, [], [], "lost", id="no row")
    yield pytest.param(mine, [ROW | {"state": "queued"}], [], "lost", id="never at an end")
    yield pytest.param(mine, [ROW], [POST, POST | {"id": "2"}], "twice", id="twice")
    yield pytest.param(mine, [ROW], [], "sent, but X has 0", id="not there")
    yield pytest.param(mine, [ROW | {"state": "failed"}], [POST], "failed, but X has 1", id="there all the same")
    yield pytest.param(mine, [ROW | {"x_tweet_id": "9"}], [POST], "id of another", id="another id")
    yield pytest.param(mine, [UNSURE], [], "could have been known", id="uncertain too early")
    yield pytest.param(mine, [ROW], [POST, {"id": "2", "text": "z v0"}], "nobody's", id="from nowhere")
    yield pytest.param(mine, [ROW | {"due_at": 101_000}], [POST], "before its time", id="too early")
    yield pytest.param(draft(Told("again", "done")), [ROW], [POST, POST | {"id": "2"}], "twice", id="again, and twice")
    yield pytest.param(draft(Told("there", "done")), [UNSURE], [], "it is there, they said", id="there not kept")
    yield pytest.param(draft(Told("edit", "done")), [ROW], [POST], "another text", id="the old text")
    yield pytest.param(draft(Told("cancel", "done")), [ROW], [POST], "cancelled, they said", id="cancel not kept")
    yield pytest.param(draft(*said("failed")), [ROW], [POST], "told failed, then sent", id="an end that changed")
    yield pytest.param(draft(*said("sent", "queued")), [ROW], [POST], "told sent, then queued", id="back again")
    yield pytest.param(draft(*said("sent")), [at_end], [], "told sent, then cancelled", id="another end")


@pytest.mark.parametrize(("mine", "rows", "timeline", "told"), list(broken()))
def test_what_is_wrong_is_seen(mine: Draft, rows: list[Any], timeline: list[Any], told: str) -> None:
    """Each way in which a tweet can be lost, sent twice or wrongly told."""
    assert told in "\n".join(check([mine], rows, X(timeline)).broken)


@pytest.mark.parametrize(
    ("other", "timeline", "told"),
    [
        (LIKE, [POST], "sent, but X has 1"),
        (LIKE, [POST, POST | {"id": "2"}], "the id of its like"),
        (LIKE | {"state": "failed"}, [POST, POST | {"id": "2"}], "twice"),
        (LIKE | {"state": "queued"}, [POST], "lost"),
        (LIKE | {"x_tweet_id": "9"}, [POST, POST | {"id": "2"}], "id of another"),
    ],
)
def test_what_is_wrong_with_equal_words_is_seen(other: dict[str, Any], timeline: list[Any], told: str) -> None:
    """One of two that say the same is lost, sent twice, or taken for the other."""
    assert told in "\n".join(check([draft(), like()], [ROW, other], X(timeline)).broken)


def test_the_last_accepted_text_is_the_one_that_goes_out() -> None:
    """One that was refused does not; one whose answer was lost may or may not."""
    first, second, third = "k v0 hello", "k v1 hello", "k v2 hello"
    assert allowed(draft(Told("edit", "done"), Told("edit", "too late"))) == [second]
    assert allowed(draft(Told("edit", "unknown"))) == [first, second]
    assert allowed(draft(Told("edit", "unknown"), Told("edit", "done"))) == [third]
