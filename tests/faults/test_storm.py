"""A short storm in which nothing breaks; and each invariant broken by hand, to show that the checker would see it."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from queue import JobQueue, keys
from typing import Any

import pytest
import redis

from tests.faults.checker import Evidence, State, Verdict, check, gather
from tests.faults.harness import Event
from tests.faults.storm import LEAKED, WORKERS, Storm, Weather, faults, leaks, orders
from tests.jobs_contract.helpers import NS, Look
from tests.servers import best_real, binary

WEATHER = Weather(seconds=20, seed=20, pause=(0.3, 2.5))


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storm, Verdict]:
    """A storm that is over, and what the checker says of it."""
    if binary(best_real()) is None:
        pytest.skip("no redis-server here")
    storm = Storm(WEATHER, tmp_path_factory.mktemp("storm"))
    return storm, storm.run()


def test_a_storm_breaks_nothing(stormy: tuple[Storm, Verdict]) -> None:
    """Faults of every author at once: no job is lost, none is early, every start has its reason, all comes to rest."""
    storm, verdict = stormy
    print(f"seed {WEATHER.seed}: {verdict.ends}, started again after {verdict.again}, faults {verdict.faults}")

    assert verdict.broken == []
    assert verdict.lost == 0
    assert verdict.ends["done"] > 200
    assert verdict.faults.total() > 10
    assert verdict.samples > 200
    assert set(storm.evidence.slots.values()) == set(range(WORKERS))


def test_the_same_seed_plans_the_same_storm() -> None:
    """Jobs, their ids and times, faults, their victims and lengths; another seed plans another."""

    def plan(seed: int) -> list[object]:
        weather = Weather(seed=seed)
        found: list[object] = []
        for author in ("workers", "wires", "redis"):
            found += islice(faults(weather, author), 100)
        return found + list(islice(orders(weather, 0), 100)) + list(islice(orders(weather, 1), 100))

    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


# ---------------------------------------------------------------------------------------------- broken in the logs


def _done(evidence: Evidence) -> str:
    """A job that was done at its first attempt: pending, running, done."""
    return next(i for i, s in evidence.history.items() if [step.state for step in s] == ["pending", "running", "done"])


def _again(evidence: Evidence, back: dict[str, Any], **second: Any) -> None:
    """Give that job a second attempt, after something took the first away."""
    job_id = _done(evidence)
    waiting, running, done = evidence.history[job_id]
    away, taken = running._replace(**back), running._replace(attempt=2, started_at=running.started_at + 1)
    evidence.history[job_id] = [waiting, running, away, taken, done._replace(attempt=2, **second)]
    evidence.events.append(Event("end", job_id, 2, 0, running.pid))  # it has even ended by now


def _without_faults(evidence: Evidence, **back: Any) -> None:
    _again(evidence, back, result="[2, 0]")
    evidence.faults.clear()


def _change(evidence: Evidence, at: int, **fields: Any) -> None:
    """Change a step of that job."""
    steps = evidence.history[_done(evidence)]
    steps[at] = steps[at]._replace(**fields)


def _told_by_another(evidence: Evidence) -> None:
    failed = (steps for steps in evidence.history.values() if any(step.failures for step in steps))
    steps = next(failed)
    at = next(at for at, step in enumerate(steps) if step.failures)
    steps[at] = steps[at]._replace(error="ValueError: attempt 7")


def _start_early(evidence: Evidence) -> None:
    states = ((job_id, [step.state for step in steps[:2]]) for job_id, steps in evidence.history.items())
    job_id = next(job_id for job_id, path in states if path == ["scheduled", "running"])
    at = next(at for at, event in enumerate(evidence.events) if event[:3] == ("start", job_id, 1))
    due = evidence.history[job_id][1].due_at
    evidence.events[at] = evidence.events[at]._replace(at=due / 1000 - 0.002)


def _ask_another_time(evidence: Evidence) -> None:
    next(order for order in evidence.orders if order["what"] == "at" and order["answer"] == "ok")["due"] += 50


def _say(evidence: Evidence, answer: str) -> None:
    evidence.orders.append({"what": "cancel", "ids": [_done(evidence)], "answer": answer, "at": 0, "until": 0})


def _see(evidence: Evidence, *states: str) -> None:
    evidence.samples += [{"id": "x", "state": state, "attempt": 1} for state in states]


def _hit(evidence: Evidence, at: float, **more: Any) -> None:
    evidence.faults.append({"kind": "cut", "start": at, "end": at, "slots": [*range(WORKERS)]} | more)


def _unhurt(evidence: Evidence) -> None:
    """The only fault is over long before the first start."""
    evidence.faults.clear()
    _hit(evidence, evidence.events[0].at - 11)


BREAKS: list[tuple[str, str, Callable[[Evidence], object]]] = [
    ("I2", "lost", lambda e: (e.jobs.pop(_done(e)), e.history[_done(e)].pop())),
    ("I2", "never stored", lambda e: e.history.pop(_done(e))),
    ("I2", "not ended", lambda e: e.jobs.update({_done(e): "pending"})),
    ("I2", "never asked for", lambda e: e.jobs.update({"nobody": "done"})),
    ("I3", "started twice", lambda e: e.events.append(next(event for event in e.events if event.kind == "start"))),
    ("I3", "started untaken", lambda e: e.events.append(e.events[0]._replace(attempt=99))),
    ("I3", "reclaimed from the living", lambda e: _without_faults(e, state="pending", crashes=1)),
    ("I3", "given back while it runs", lambda e: _without_faults(e, state="pending")),
    ("I4", "done by an old attempt", lambda e: _again(e, {"state": "pending", "crashes": 1})),
    ("I4", "failed by an old attempt", _told_by_another),
    ("I4", "snoozed by nobody", lambda e: e.events.sort(key=lambda event: event.kind == "snooze") or e.events.pop()),
    ("I4", "attempts counted twice", lambda e: _change(e, 1, attempt=2)),
    ("I5", "taken early", lambda e: _change(e, 1, due_at=e.history[_done(e)][1].started_at + 5)),
    ("I5", "started early", _start_early),
    ("I5", "due at another time", _ask_another_time),
    ("I6", "risen again", lambda e: e.history[_done(e)].append(State("pending"))),
    ("I6", "never taken", lambda e: e.history[_done(e)].pop(1)),
    ("I6", "cancelled, they said", lambda e: _say(e, "cancelled")),
    ("I6", "no such word", lambda e: _say(e, "perhaps")),
    ("I7", "seen backwards", lambda e: _see(e, "pending", "running")),
    ("I7", "seen after its end", lambda e: _see(e, "done", "dead")),
    ("I9", "slow to resume", _unhurt),
    ("I9", "never resumed", lambda e: _hit(e, max(event.at for event in e.events) + 1)),
    ("I9", "left badly", lambda e: _hit(e, 1, codes=[0, 1])),
]


@pytest.mark.parametrize(
    ("invariant", "break_it"), [(name, each) for name, _, each in BREAKS], ids=[b[1] for b in BREAKS]
)
def test_the_checker_sees_what_is_broken(
    stormy: tuple[Storm, Verdict], invariant: str, break_it: Callable[[Evidence], object]
) -> None:
    """What was written down in the storm, with one thing changed: that invariant is named."""
    evidence = copy.deepcopy(stormy[0].evidence)
    break_it(evidence)

    assert [line for line in check(evidence).broken if line.startswith(invariant)] != []


@pytest.mark.parametrize(("moment", "explained"), [(-2, False), (-1, True)])
def test_a_take_that_ran_after_its_worker_was_killed_is_explained(
    stormy: tuple[Storm, Verdict], moment: float, explained: bool
) -> None:
    """It lay in a frozen Redis. A kill before that process was born was another's."""
    evidence = copy.deepcopy(stormy[0].evidence)
    _without_faults(evidence, state="pending", crashes=1)
    job_id = next(job_id for job_id, steps in evidence.history.items() if len(steps) > 4 and steps[2].crashes)
    taken = evidence.history[job_id][1]
    evidence.events = [event for event in evidence.events if event[:3] != ("start", job_id, 1)]
    evidence.born[taken.pid] = taken.started_at / 1000 - 1.5
    _hit(evidence, taken.started_at / 1000 + moment, kind="kill -9")

    assert any(line.startswith(f"I3 {job_id} was reclaimed") for line in check(evidence).broken) is not explained


def test_the_checker_reads_it_from_the_logs(stormy: tuple[Storm, Verdict], tmp_path: Path) -> None:
    """In copies of the files themselves: a start too many, a sample that runs back, a change that no script makes."""
    shutil.copytree(stormy[0].folder, tmp_path, dirs_exist_ok=True)
    events = tmp_path / "queue.events"
    events.write_text(events.read_text() + events.read_text().splitlines()[0] + "\n")
    with (tmp_path / "samples.log").open("a") as file:
        file.writelines(json.dumps({"id": "x", "state": state, "attempt": 1}) + "\n" for state in ("done", "pending"))
    aof = tmp_path / "aof"
    for command in (["HSET", f"{NS}:job:x", "state", "done"], ["DEL", f"{NS}:job:x"]):
        words = "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
        with aof.open("a", newline="") as file:
            file.write(f"*{len(command)}\r\n{words}")
    broken = check(gather(tmp_path, [aof])).broken

    assert [line[:2] for line in broken if line[:2] in ("I3", "I6", "I7")].count("I7") == 1
    assert "I6 x went from nothing to done" in broken
    assert any(line.startswith("I3") and "2 times" in line for line in broken)


# ---------------------------------------------------------------------------------------------- broken in Redis


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """The shared server, with one pending job."""
    jobs = JobQueue.from_url(redis_url)
    jobs.enqueue("work")
    with redis.Redis.from_url(redis_url, decode_responses=True) as raw:
        yield raw
    jobs.redis.close()


@pytest.mark.parametrize("where", ["twice", "nowhere", "no ttl", "two tokens"])
def test_the_checker_sees_what_lies_wrong_in_redis(raw: Any, where: str) -> None:
    """A job in two places or in none, one that is done for ever, a bell with two tokens."""
    [key] = raw.keys(f"{NS}:job:*")
    if where == "twice":
        raw.zadd(keys.scheduled(NS), {key.removeprefix(f"{NS}:job:"): 1})
    elif where == "nowhere":
        raw.delete(keys.pending(NS, "default"))
    elif where == "no ttl":
        raw.delete(keys.pending(NS, "default"))
        raw.hset(key, "state", "done")
    else:
        raw.rpush(keys.bell(NS, "default"), 1, 1)
    evidence = Evidence([], [], [], [], {}, {}).look(Look(raw))

    assert [line for line in check(evidence).broken if line.startswith("I1")] != []


@pytest.mark.parametrize("what", ["nothing", "key", "memory"])
def test_the_checker_sees_what_stays_for_ever(raw: Any, what: str) -> None:
    """What has no TTL when all is over, and memory that does not come back."""
    raw.flushdb()
    before = raw.info("memory")["used_memory"]
    raw.set(f"{NS}:job:x", "x", ex=100)
    if what == "key":
        raw.set(f"{NS}:lock", "x")
    elif what == "memory":
        raw.set(f"{NS}:bell:default", "x" * 2 * LEAKED)

    assert bool(leaks(raw, before, patience=1)) == (what != "nothing")


def test_a_state_is_read_from_a_hash() -> None:
    """Whatever else lies there; a field that is missing has its default."""
    state = State.of({"state": "done", "attempt": "3", "worker": "some-host-77-abc", "kwargs": "{}"})

    assert (state.state, state.attempt, state.pid, state.failures) == ("done", 3, 77, 0)
