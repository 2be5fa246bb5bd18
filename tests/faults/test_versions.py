"""A deploy under way: two versions of a worker side by side, and jobs as older and newer versions wrote them."""

import queue
from typing import Any

import pytest

from tests.faults.harness import BRISK, Crew, Process
from tests.servers import wait_until

DAY = 24 * 3600 * 1000  # ms
SOON: dict[str, Any] = BRISK | {"unknown_delay": 0.3}  # put back for 0.3 s, as others are for five


def old(crew: Crew) -> Process:
    """A worker that does not know the task `sleepy` yet."""
    return crew.start(**SOON, without="sleepy")


def test_a_task_of_the_new_version_waits_for_it(crew: Crew) -> None:
    """Met by the old one again and again it is put back, and that costs it nothing: it may not fail even once."""
    old(crew)
    ids = crew.jobs.enqueue_many([(queue.named("sleepy", retries=0), 0)] * 20)
    known = crew.jobs.enqueue_many([("quick",)] * 20)
    wait_until(lambda: all(crew.job(job_id).attempt >= 2 for job_id in ids), 20, "all to be met twice")
    for job_id in known:
        crew.done(job_id)
    assert {(crew.job(job_id).failures, crew.job(job_id).error) for job_id in ids} == {(0, None)}
    new = crew.start(**SOON)
    jobs = crew.all_done(ids, 20)

    assert {(job.result, job.failures, job.crashes) for job in jobs} == {(new.pid, 0, 0)}
    assert len(crew.events("start")) == len(ids) + len(known)


def test_both_versions_work_side_by_side(crew: Crew) -> None:
    """Under load each does only what it knows; nothing is lost, nothing is done twice."""
    pair = [old(crew), crew.start(**SOON)]
    ids = crew.jobs.enqueue_many([("quick",), ("sleepy", 0.01)] * 150)
    jobs = crew.all_done(ids)
    ran = {(job.task, event.pid) for job in jobs for event in crew.events("end", job.id)}

    assert {job.failures for job in jobs} == {0}
    assert len(crew.events("start")) == len(ids)
    assert ("sleepy", pair[0].pid) not in ran
    assert all(worker.alive for worker in pair)


def test_a_task_that_nobody_knows_is_dead_after_a_day(crew: Crew) -> None:
    """Not before, however often it was met; what had been put back at least twenty times must have been, too."""
    seconds, _ = crew.redis.time()
    now = seconds * 1000
    ages = {"new": 0, "almost": DAY - 600_000, "old": DAY + 600_000, "met": DAY + 600_000, "seldom": DAY + 600_000}
    met = {"almost": 500, "met": 30, "seldom": 5}
    for job_id, age in ages.items():
        crew.jobs.enqueue(queue.named("mystery", id=job_id, retries=0))
        crew.redis.hset(crew.key(f"job:{job_id}"), "enqueued_at", now - age)
    for job_id, times in met.items():
        crew.redis.hset(crew.key(f"job:{job_id}"), mapping={"attempt": times, "due_at": now - 1000})
    crew.start(**SOON | {"unknown_delay": 600})
    wait_until(lambda: not crew.places().get("pending:default"), 20, "all to be met")
    wait_until(lambda: not any("running" in place for place in crew.places()), 20, "all to be settled")

    assert {job_id for job_id in ages if crew.job(job_id).state == "dead"} == {"old", "met"}
    assert {job_id for job_id in ages if crew.job(job_id).state == "scheduled"} == {"new", "almost", "seldom"}
    assert {(crew.job(job_id).reason, crew.job(job_id).failures) for job_id in ("old", "met")} == {("unknown task", 0)}
    assert {(crew.job(job_id).reason, crew.job(job_id).failures) for job_id in ("new", "almost")} == {(None, 0)}


# Hashes as some version writes them. What 0.1.0 wrote stays here when a later one writes it otherwise.

PLAIN = {"task": "sleepy", "args": "[0]", "queue": "default", "enqueued_at": "1700000000000"}
RETRIED = {"attempt": "1", "worker": "gone", "started_at": "1700000001000", "failures": "1", "error": "an error"}
HELD = {"state": "running", "attempt": "1", "worker": "gone", "started_at": "1700000001000"}
HASHES: dict[str, dict[str, str]] = {
    "0.1.0 pending": PLAIN | {"state": "pending"},
    "0.1.0 with all options": PLAIN
    | {"state": "pending", "args": "[]", "kwargs": '{"seconds":0}', "max_attempts": "1"},
    "0.1.0 scheduled": PLAIN | {"state": "scheduled", "due_at": "1700000002000"},
    "0.1.0 retried": PLAIN | RETRIED | {"state": "scheduled", "due_at": "1700000002000"},
    "0.1.0 retried and due": PLAIN | RETRIED | {"state": "pending", "due_at": "1700000002000"},
    "0.1.0 reclaimed": PLAIN | HELD | {"state": "pending", "crashes": "1"},
    "0.1.0 revived": PLAIN | HELD | {"state": "pending"},
    "0.1.0 running": PLAIN | HELD,
    "the least there can be": {"state": "pending", "task": "sleepy", "args": "[0]", "queue": "default"},
    "the least, scheduled": {"state": "scheduled", "task": "sleepy", "args": "[0]", "queue": "default"},
    "the least, running": {"state": "running", "task": "sleepy", "args": "[0]", "queue": "default", "worker": "gone"},
    "newer": PLAIN
    | {"state": "pending", "priority": "9", "unique": "", "tags": '["a"]', "trace": "\x00\n\x01", "progress": "[]"},
    "newer, running": PLAIN | HELD | {"lease": "7", "priority": "9", "reason": "a new word"},
}


def put(crew: Crew, job_id: str, fields: dict[str, str]) -> None:
    """Put a job into Redis as another version would, into the place that its state says."""
    crew.redis.hset(crew.key(f"job:{job_id}"), mapping=fields)
    if fields["state"] == "scheduled":
        crew.redis.zadd(crew.key("scheduled"), {job_id: 1_700_000_002_000})
    elif fields["state"] == "running":
        crew.redis.lpush(crew.key("running:gone"), job_id)
        crew.redis.zadd(crew.key("workers"), {"gone": 1})
        crew.redis.hset(crew.key("worker:gone"), mapping={"version": "9.9", "shoe size": "44"})
    else:
        crew.redis.lpush(crew.key("pending:default"), job_id)


def test_jobs_of_other_versions_run(crew: Crew) -> None:
    """Also without the fields that an older one did not write, and with fields that a newer one did; those are kept."""
    ids = {f"job-{number}": kind for number, kind in enumerate(HASHES)}
    for job_id, kind in ids.items():
        put(crew, job_id, HASHES[kind])
    worker = crew.start(**BRISK)
    jobs = crew.all_done(ids, 20)

    for job in jobs:
        fields, kind = HASHES[ids[job.id]], ids[job.id]
        crashes = int(fields.get("crashes", 0)) + (fields["state"] == "running")
        expected = (worker.pid, int(fields.get("attempt", 0)) + 1, int(fields.get("failures", 0)), crashes)
        assert (job.result, job.attempt, job.failures, job.crashes) == expected, kind
    kept = crew.redis.hgetall(crew.key(f"job:job-{list(HASHES).index('newer')}"))
    assert (kept["priority"], kept["trace"]) == ("9", "\x00\n\x01")
    assert crew.registered(worker)
    assert len(crew.register()) == 1


@pytest.mark.parametrize("state", ["resting", "", "RUNNING"])
def test_a_state_of_a_newer_version_is_left_to_it(crew: Crew, state: str) -> None:
    """Its id is dropped from the list, where it should not be; its hash is not touched, and the next job runs."""
    put(crew, "newer", PLAIN | {"state": "pending"})
    crew.redis.hset(crew.key("job:newer"), "state", state)
    before = crew.redis.hgetall(crew.key("job:newer"))
    crew.start(**BRISK)
    crew.done(crew.jobs.enqueue("quick"))

    assert crew.redis.hgetall(crew.key("job:newer")) == before
    assert crew.places() == {}
