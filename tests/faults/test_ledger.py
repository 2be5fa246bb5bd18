"""Half a minute of the ledger's storm; and what it looks for, each broken by hand to show that it would be seen."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.faults.ledger import AUTHORS, Storm, Weather, faults, handles
from tests.faults.ledger_checker import Draft, Told, allowed, check
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


ROW = {"key": "k", "state": "sent", "x_tweet_id": "1", "unknowns": 0, "reason_code": None}
POST = {"id": "1", "text": "k v0 hello"}


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
        assert check([draft(*told)], [ROW], [POST]).broken == []


def broken() -> Iterator[Any]:
    """What would be wrong: name, what the person knows, the row, the timeline, what is said of it."""
    mine, at_end = draft(), ROW | {"state": "cancelled"}
    yield pytest.param(mine, [], [], "lost", id="no row")
    yield pytest.param(mine, [ROW | {"state": "queued"}], [], "lost", id="never at an end")
    yield pytest.param(mine, [ROW], [POST, POST | {"id": "2"}], "twice", id="twice")
    yield pytest.param(mine, [ROW], [], "sent, but X has 0", id="not there")
    yield pytest.param(mine, [ROW | {"state": "failed"}], [POST], "failed, but X has 1", id="there all the same")
    yield pytest.param(mine, [ROW | {"x_tweet_id": "9"}], [POST], "id of another", id="another id")
    yield pytest.param(mine, [ROW | {"state": "uncertain"}], [], "could have been known", id="uncertain too early")
    yield pytest.param(mine, [ROW], [POST, {"id": "2", "text": "z v0"}], "nobody's", id="from nowhere")
    yield pytest.param(draft(Told("edit", "done")), [ROW], [POST], "another text", id="the old text")
    yield pytest.param(draft(Told("cancel", "done")), [ROW], [POST], "cancelled, they said", id="cancel not kept")
    yield pytest.param(draft(*said("failed")), [ROW], [POST], "told failed, then sent", id="an end that changed")
    yield pytest.param(draft(*said("sent", "queued")), [ROW], [POST], "told sent, then queued", id="back again")
    yield pytest.param(draft(*said("sent")), [at_end], [], "told sent, then cancelled", id="another end")


@pytest.mark.parametrize(("mine", "rows", "timeline", "told"), list(broken()))
def test_what_is_wrong_is_seen(mine: Draft, rows: list[Any], timeline: list[Any], told: str) -> None:
    """Each way in which a tweet can be lost, sent twice or wrongly told."""
    assert told in "\n".join(check([mine], rows, timeline).broken)


def test_the_last_accepted_text_is_the_one_that_goes_out() -> None:
    """One that was refused does not; one whose answer was lost may or may not."""
    first, second, third = "k v0 hello", "k v1 hello", "k v2 hello"
    assert allowed(draft(Told("edit", "done"), Told("edit", "too late"))) == [second]
    assert allowed(draft(Told("edit", "unknown"))) == [first, second]
    assert allowed(draft(Told("edit", "unknown"), Told("edit", "done"))) == [third]
