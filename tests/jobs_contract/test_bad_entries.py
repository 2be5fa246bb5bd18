"""Junk and wrong types put by hand under every key: the queue goes on, good jobs run, the bad is kept for people."""

from collections.abc import Callable
from queue import JobQueue, QueueError, keys, named, report
from typing import Any

import pytest

from tests.servers import each_redis

from .helpers import DAY, NS, START, Clock, Look, add, buried, finish, held, rings, running, take, take_one

pytestmark = each_redis

MINUTE = START // 60_000
KEYS = {
    "pending": (keys.pending(NS, "default"), "list"),
    "scheduled": (keys.scheduled(NS), "zset"),
    "running": (keys.running(NS, "ann"), "list"),
    "dead": (keys.dead(NS), "list"),
    "workers": (keys.workers(NS), "zset"),
    "worker": (keys.worker(NS, "ann"), "hash"),
    "bell": (keys.bell(NS, "default"), "list"),
    "paused": (keys.paused(NS), "set"),
    "stats": (keys.stats(NS, MINUTE), "hash"),
}
PUT: dict[str, Callable[[Any, str], object]] = {
    "string": lambda raw, key: raw.set(key, "junk"),
    "list": lambda raw, key: raw.rpush(key, "junk"),
    "zset": lambda raw, key: raw.zadd(key, {"junk": 1}),
    "hash": lambda raw, key: raw.hset(key, "junk", "junk"),
    "set": lambda raw, key: raw.sadd(key, "junk"),
    "stream": lambda raw, key: raw.xadd(key, {"junk": "junk"}),
}
NUMBERS = ["attempt", "failures", "crashes", "max_attempts", "enqueued_at", "due_at"]
ODD = ["", " ", "a b", "a\nb", "\x00", "\udcff\udcfe\udc80", "ä", "🐦", "x" * 129, "{other}:job:1", "*"]


@pytest.mark.parametrize("kind", PUT)
def test_keys_of_the_wrong_type_are_moved_aside(jobs: JobQueue, look: Look, clock: Clock, kind: str) -> None:
    """All that a job can go through works in their presence; what lay there is kept under bad: for a month."""
    wrong = [key for key, right in KEYS.values() if kind != right]
    for key in wrong:
        PUT[kind](look.raw, key)
    add(jobs, "now", "fails", "dies")
    jobs.enqueue_in(5, named("greet", id="later"))
    jobs.beat("ann", 15, {"host": "here"})
    jobs.release("ann", [take_one(jobs)])
    assert finish(jobs, take_one(jobs))
    assert jobs.retry("ann", take_one(jobs), 1, "an error")
    assert jobs.bury("ann", take_one(jobs), "failed", "an error")
    clock.advance(16)
    assert jobs.reclaim() == []
    assert [token[0] for token in take(jobs, limit=5)] == ["fails", "later"]

    away = look.raw.keys(keys.bad(NS))
    assert sorted(away) == sorted(f"{NS}:bad:{START}:{key.removeprefix(f'{NS}:')}" for key in wrong)
    assert report.moved_aside(jobs) == sorted(away)
    assert {look.raw.type(key) for key in away} == {kind}
    assert all(29 * DAY < look.raw.ttl(key) <= 30 * DAY for key in away)


@pytest.mark.parametrize("kind", [kind for kind in PUT if kind != "hash"])
@pytest.mark.parametrize("where", ["pending", "scheduled", "running"])
def test_a_job_of_the_wrong_type_goes_to_the_dead(
    jobs: JobQueue, look: Look, clock: Clock, kind: str, where: str
) -> None:
    """Its id is named there with a reason, what lay under it is kept aside, and the next job runs."""
    PUT[kind](look.raw, keys.job(NS, "junk"))
    if where == "pending":
        look.raw.lpush(KEYS["pending"][0], "junk")
    elif where == "scheduled":
        look.raw.zadd(KEYS["scheduled"][0], {"junk": START})
    else:
        look.raw.lpush(keys.running(NS, "gone"), "junk")
        look.raw.zadd(KEYS["workers"][0], {"gone": START - 1})
    add(jobs, "good")
    jobs.reclaim()

    assert take_one(jobs)[0] == "good"
    assert look.dead() == ["junk"]
    assert look.job("junk")["reason"] == "bad entry"
    assert where in look.job("junk")["error"]
    (away,) = look.raw.keys("{queue}:bad:*")
    assert (look.raw.type(away), look.raw.ttl(away) > 0) == (kind, True)


@pytest.mark.parametrize("kind", [kind for kind in PUT if kind != "hash"])
def test_calls_about_a_job_of_the_wrong_type(jobs: JobQueue, look: Look, kind: str, untidy: None) -> None:
    """They answer, or say what is wrong; none of them harms what lies there."""
    PUT[kind](look.raw, keys.job(NS, "junk"))
    before = look.dump()
    token = ("junk", "1", str(START))
    with pytest.raises(QueueError, match="WRONGTYPE"):
        jobs.status("junk")

    assert (jobs.cancel("junk"), jobs.reschedule("junk", 1), jobs.revive("junk")) == ("unknown",) * 3
    assert not jobs.retry("ann", token, 1, "an error")
    assert not jobs.bury("ann", token, "failed", "an error")
    assert not finish(jobs, token)
    assert jobs.release("ann", [token]) == ["junk"]
    assert look.dump() == before


@pytest.mark.parametrize("kind", [kind for kind in PUT if kind != "hash"])
def test_an_id_whose_key_has_the_wrong_type_can_be_enqueued(jobs: JobQueue, look: Look, kind: str) -> None:
    """An accepted job is stored, not lost behind something that lay there."""
    PUT[kind](look.raw, keys.job(NS, "a"))
    add(jobs, "a")

    assert take_one(jobs)[0] == "a"


@pytest.mark.parametrize("job_id", [*ODD, "nobody"], ids=ascii)
@pytest.mark.parametrize("where", ["pending", "scheduled"])
def test_an_id_without_a_job_goes_to_the_dead(jobs: JobQueue, look: Look, where: str, job_id: str) -> None:
    """Random bytes, nothing at all, too long, or simply unknown: named among the dead, and the good ones run."""
    add(jobs, "before")
    if where == "pending":
        look.raw.lpush(KEYS["pending"][0], job_id)
    else:
        look.raw.zadd(KEYS["scheduled"][0], {job_id: START - 1})
    add(jobs, "after")
    taken = [token[0] for token in take(jobs, limit=10)]

    assert sorted(taken) == ["after", "before"]
    (dead,) = look.dead()
    assert dead == (job_id if len(job_id.encode("utf-8", "surrogateescape")) <= 128 else f"bad:{job_id[:128]}")
    assert (look.job(dead)["state"], look.job(dead)["reason"]) == ("dead", "bad entry")
    assert look.ttl(dead) > 0


@pytest.mark.parametrize("job_id", [job_id for job_id in ODD if job_id], ids=ascii)
def test_an_odd_id_is_bad_even_with_a_job(jobs: JobQueue, look: Look, job_id: str) -> None:
    """No id that we would give out: nobody could ask for it."""
    fields = {"state": "pending", "task": "greet", "args": "[]", "queue": "default"}
    look.raw.hset(keys.job(NS, job_id), mapping=fields)
    look.raw.lpush(KEYS["pending"][0], job_id)
    add(jobs, "good")

    assert [token[0] for token in take(jobs, limit=10)] == ["good"]
    assert len(look.dead()) == 1
    if len(job_id) > 128:
        look.raw.delete(keys.job(NS, job_id))


def test_ten_megabytes_of_id(jobs: JobQueue, look: Look) -> None:
    """Cut to its beginning among the dead; it does not stay in memory."""
    look.raw.lpush(KEYS["pending"][0], "x" * 10_000_000)
    look.raw.zadd(KEYS["scheduled"][0], {"y" * 10_000_000: 1})
    add(jobs, "good")

    assert take_one(jobs)[0] == "good"
    assert sorted(look.dead()) == ["bad:" + "x" * 128, "bad:" + "y" * 128]
    assert look.scheduled() == {}


def test_a_bad_id_that_lies_in_a_list_twice_is_dead_once(jobs: JobQueue, look: Look) -> None:
    """In one take, and in a later one."""
    look.raw.lpush(KEYS["pending"][0], "junk", "junk")
    take(jobs, limit=10)
    look.raw.lpush(KEYS["pending"][0], "junk")
    take(jobs, limit=10)

    assert look.dead() == ["junk"]


@pytest.mark.parametrize("score", [float("inf"), 9e15, 1e300])
def test_a_time_that_never_comes_harms_nobody(
    jobs: JobQueue, look: Look, clock: Clock, score: float, untidy: None
) -> None:
    """An infinite time put there by hand waits for ever, and the others do not wait for it."""
    look.raw.zadd(KEYS["scheduled"][0], {"junk": score})
    jobs.enqueue_in(5, named("greet", id="good"))
    assert jobs.take("ann").due_in == 5
    clock.advance(5)

    assert take_one(jobs)[0] == "good"
    assert jobs.take("ann").due_in == DAY


@pytest.mark.parametrize("score", [float("-inf"), -1e300, -1, 0, 0.5])
def test_a_time_before_all_time_is_due(jobs: JobQueue, look: Look, score: float) -> None:
    """A real job with an odd score put there by hand runs; the answer still says when the next is due."""
    jobs.enqueue_in(60, named("greet", id="a"))
    jobs.enqueue_in(90, named("greet", id="b"))
    look.raw.zadd(KEYS["scheduled"][0], {"a": score})
    taken = jobs.take("ann")

    assert (taken.ids, taken.due_in) == (["a"], 90)


def test_a_scheduled_id_that_is_pending_already_is_a_stale_copy(jobs: JobQueue, look: Look) -> None:
    """It runs once, from its list."""
    add(jobs, "a")
    look.raw.zadd(KEYS["scheduled"][0], {"a": START})

    assert [token[0] for token in take(jobs, limit=10)] == ["a"]
    assert look.scheduled() == {}


@pytest.mark.parametrize("field", ["state", "task", "args", "queue"])
@pytest.mark.parametrize("where", ["pending", "scheduled"])
def test_a_hash_with_a_field_missing_goes_to_the_dead(
    jobs: JobQueue, look: Look, clock: Clock, field: str, where: str
) -> None:
    """Without state, task, arguments or list it cannot run: it is not dropped in silence."""
    jobs.enqueue_in(1, named("greet", id="a")) if where == "scheduled" else add(jobs, "a")
    look.raw.hdel(keys.job(NS, "a"), field)
    clock.advance(1)
    add(jobs, "good")

    assert [token[0] for token in take(jobs, limit=10)] == ["good"]
    assert look.dead() == ["a"]
    assert look.job("a")["reason"] == "bad entry"


@pytest.mark.parametrize("value", ["", "abc", "-1", "1.5", "1e300", "inf", "nan", "\udcff", "9" * 30], ids=ascii)
def test_numbers_that_are_none_do_not_stop_the_queue(jobs: JobQueue, look: Look, value: str) -> None:
    """Before the take or while it runs: such a job can be taken, fail, and be buried; nothing is stuck."""
    add(jobs, *NUMBERS, "good")
    for field in NUMBERS:
        look.raw.hset(keys.job(NS, field), field, value)
    taken = [token for _ in range(len(NUMBERS) + 1) for token in take(jobs, limit=10)]
    assert [token[0] for token in taken] == [*NUMBERS, "good"]

    for field in NUMBERS[1:]:
        look.raw.hset(keys.job(NS, field), field, value)
    assert held(jobs).keys() == set(taken)
    for token in taken:
        assert jobs.retry("ann", token, 0, "an error")
    for token in [token for _ in range(len(NUMBERS) + 1) for token in take(jobs, limit=10)]:
        assert jobs.bury("ann", token, "failed", "an error")
    assert sorted(look.dead()) == sorted([*NUMBERS, "good"])
    assert all(jobs.status(job_id) for job_id in NUMBERS)


@pytest.mark.parametrize("field", ["attempt", "started_at"])
@pytest.mark.parametrize("value", ["abc", "1.5", "1e300", "\udcff", ""])
def test_a_running_job_whose_token_was_overwritten_is_not_lost(
    jobs: JobQueue, look: Look, clock: Clock, field: str, value: str
) -> None:
    """Its worker can no longer end it, but what beat says it holds can be released."""
    token = running(jobs)
    look.raw.hset(keys.job(NS, "a"), field, value)

    assert not finish(jobs, token)
    assert jobs.release("ann", list(held(jobs))) == []
    assert look.pending() == ["a"]


@pytest.mark.parametrize("counter", ["taken", "done", "waited", "dead", "retried", "reclaimed"])
def test_a_count_that_is_none_does_not_stop_the_queue(jobs: JobQueue, look: Look, clock: Clock, counter: str) -> None:
    """A figure is no reason to lose a job."""
    look.raw.hset(KEYS["stats"][0], counter, "junk")
    finish(jobs, running(jobs, "a"))
    jobs.retry("ann", running(jobs, "b"), 60, "an error")
    buried(jobs, "c")
    running(jobs, "d")
    clock.advance(16)
    assert jobs.reclaim() == [("d", "pending")]
    look.raw.delete(KEYS["stats"][0])


def test_junk_in_a_bell_is_a_token(jobs: JobQueue, look: Look) -> None:
    """Somebody wakes up for nothing, no more."""
    look.raw.lpush(KEYS["bell"][0], "x" * 1000)
    add(jobs, "a")

    assert rings(jobs, [KEYS["bell"][0]]) == "default"
    assert take_one(jobs)[0] == "a"


def test_junk_among_the_paused(jobs: JobQueue, look: Look) -> None:
    """Names of lists that do not exist stop nothing."""
    look.raw.sadd(KEYS["paused"][0], "", "nobody", "\udcff", "x" * 1000)
    add(jobs, "a")

    assert take_one(jobs)[0] == "a"


def test_junk_among_the_dead(jobs: JobQueue, look: Look) -> None:
    """Ids without a job at the old end go with the next burial."""
    look.raw.lpush(KEYS["dead"][0], "", "nobody", "\udcff", "x" * 1_000_000)
    buried(jobs)

    assert look.dead() == ["a"]


def test_arguments_that_are_no_json_are_handed_out(jobs: JobQueue, look: Look) -> None:
    """The script does not read them; the worker does, and buries the job (test_worker.py)."""
    add(jobs, "a", "b")
    look.raw.hset(keys.job(NS, "a"), "args", "{not json\n\n")

    assert [token[0] for token in take(jobs, limit=10)] == ["a", "b"]
    job = jobs.status("a")
    assert job is not None
    assert job.args == "{not json\n\n"


@pytest.mark.parametrize("kind", ["future", "extra"])
def test_fields_of_a_future_version_are_kept(jobs: JobQueue, look: Look, kind: str) -> None:
    """A hash with fields that we do not know is read, run and settled, and keeps them."""
    add(jobs, "a")
    look.raw.hset(keys.job(NS, "a"), "colour", "red")
    finish(jobs, take_one(jobs))

    assert look.job("a")["colour"] == "red"
    assert jobs.is_complete("a")


def test_a_state_that_nobody_knows(jobs: JobQueue, look: Look, untidy: None) -> None:
    """An id whose hash says a word of its own is a stale copy: it does not run, and does not jam the list."""
    add(jobs, "a", "good")
    look.raw.hset(keys.job(NS, "a"), "state", "dreaming")

    assert [token[0] for token in take(jobs, limit=10)] == ["good"]
    assert (jobs.cancel("a"), jobs.reschedule("a", 1), jobs.revive("a")) == ("too late",) * 3


def test_bad_entries_in_great_number(jobs: JobQueue, look: Look) -> None:
    """A list full of junk is worked off in bounded calls, and the good job behind it runs."""
    for start in range(0, 1500, 500):
        look.raw.lpush(KEYS["pending"][0], *(f"junk{number}" for number in range(start, start + 500)))
    add(jobs, "good")
    taken: list[str] = []
    for _ in range(5):
        taken += [token[0] for token in take(jobs, limit=100)]

    assert taken == ["good"]
    assert len(look.dead()) == 1500
    look.raw.flushall()
