"""Junk put into every key by hand while a worker runs: good jobs go on, the worker lives, its log stays short."""

import time

import pytest

from tests.faults.harness import BRISK, Crew, Process
from tests.servers import wait_until

THREADS = 4
VALUES = {  # a key of each type
    "string": ("SET", "junk"),
    "list": ("RPUSH", "junk", "", b"\xff\x00\n"),
    "set": ("SADD", "junk", "", b"\xff\x00\n"),
    "hash": ("HSET", "junk", b"\xff\x00\n"),
    "zset": ("ZADD", "inf", "junk", "-inf", "", "1", b"\xff\x00\n"),
    "stream": ("XADD", "*", "junk", b"\xff\x00\n"),
}


def _put(crew: Crew, key: str, kind: str) -> None:
    command, *words = VALUES[kind]
    crew.redis.delete(key)
    crew.redis.execute_command(command, key, *words)


def _works_on(crew: Crew, worker: Process, lines: int = 100) -> None:
    """All threads take jobs, the lease is renewed, the log has at most so many lines and no traceback."""
    ids = crew.jobs.enqueue_many([("sleepy", 0.2)] * THREADS)
    jobs = [crew.done(job_id, 20) for job_id in ids]
    assert {job.failures for job in jobs} == {0}
    kinds = [event.kind for event in crew.events() if event.id in ids]
    assert kinds == ["start"] * THREADS + ["end"] * THREADS, "a thread is missing"
    assert worker.alive

    def lease_left() -> float:
        seconds, micros = crew.redis.time()
        scores = [crew.redis.zscore(crew.key("workers"), name) for name in crew.register() if f"-{worker.pid}-" in name]
        return float(scores[0] or 0) / 1000 - (seconds + micros / 1e6) if scores else 0.0

    wait_until(lambda: lease_left() > 1, 5, "the lease to be renewed")
    assert "Traceback" not in worker.log
    assert len(worker.log.splitlines()) <= lines


def test_keys_of_a_wrong_type_are_put_aside(crew: Crew) -> None:
    """Whatever type a key has been given by hand, the next jobs run as if nothing were."""
    worker = crew.start(**BRISK, threads=THREADS)
    name = crew.register()[0]
    places = ["pending:default", "scheduled", f"running:{name}", "dead", "workers", f"worker:{name}", "bell:default"]
    places += ["paused", "cron", "stats:{}"]
    for place in places:
        for kind in VALUES:
            minute = int(time.time()) // 60
            _put(crew, crew.key(place.format(minute)), kind)
            crew.done(crew.jobs.enqueue("quick"), 20)
        crew.redis.delete(crew.key("paused"))
    _works_on(crew, worker)


def test_an_idle_worker_stays_quiet_beside_keys_of_a_wrong_type(crew: Crew) -> None:
    """It neither spins nor fills its log, although nobody enqueues anything."""
    worker = crew.start(**BRISK, threads=THREADS)
    name = crew.register()[0]
    for place in ("pending:default", "scheduled", f"running:{name}", "workers", f"worker:{name}", "bell:default"):
        _put(crew, crew.key(place), "hash" if not place.startswith("worker:") else "zset")
    used, lines = worker.cpu(), len(worker.log.splitlines())
    time.sleep(2)
    assert worker.cpu() - used <= 0.2
    assert len(worker.log.splitlines()) - lines <= 10, worker.log
    _works_on(crew, worker)


JUNK_IDS = ["", "junk", "\n", "a b", b"\xff\xfe\x00", "x" * 1_000_000, "{queue}:job:1", "*", "ünïcode", "-1", "1\n2"]


def test_junk_members_are_dropped_or_buried(crew: Crew) -> None:
    """Ids that are none, unknown, doubled or of ended jobs, in every list and set: nothing good is lost or repeated."""
    worker = crew.start(**BRISK, threads=THREADS)
    name = crew.register()[0]
    ended = crew.jobs.enqueue("quick")
    crew.done(ended)
    running = crew.jobs.enqueue("sleepy", 4)
    crew.started(running)
    later = crew.jobs.enqueue_in(3, "quick")
    for junk in [*JUNK_IDS, ended, running, later]:
        for place in ("pending:default", f"running:{name}", "running:nobody", "dead", "bell:default"):
            crew.redis.rpush(crew.key(place), junk)
        for place, score in (("scheduled", "-inf"), ("workers", "1"), ("workers", "inf")):
            if junk not in (later, running) or place != "scheduled":
                crew.redis.zadd(crew.key(place), {junk: score})
        crew.redis.sadd(crew.key("paused"), junk)
    doubled = crew.jobs.enqueue("sleepy", 0.5)
    for _ in range(3):
        crew.redis.lpush(crew.key("pending:default"), doubled)
        crew.redis.zadd(crew.key("scheduled"), {doubled: 1})
    crew.redis.zadd(crew.key("workers"), {"nobody": 1})

    for job_id in (doubled, later, running):
        job = crew.done(job_id, 20)
        assert (job.attempt, job.crashes, len(crew.events("start", job_id))) == (1, 0, 1)
    assert len(crew.events("start", ended)) == 1
    _works_on(crew, worker)
    assert "junk" in crew.redis.lrange(crew.key("dead"), 0, -1)
    assert crew.job("junk").reason == "bad entry"


FIELDS = {
    "state": ["", "junk", "done", b"\xff"],
    "task": ["", "no-such-task", "a\nb", b"\xff\x00", "x" * 100_000],
    "args": ["", "junk", "{}", "[", '"text"', "[" * 100_000, "[1,\n2]", b"\xff", "[NaN]", "9" * 5000],
    "kwargs": ["junk", "[]", "[" * 100_000, '{"a":\n1}', '{"self": 1}', b"\xff"],
    "queue": ["", "elsewhere", "a b", b"\xff", "x" * 100_000],
    "attempt": ["", "junk", "1.5", "-7", "1e30", "1e400", "inf", "nan", "0x10", "9" * 400, b"\xff"],
    "failures": ["", "junk", "1.5", "-7", "1e30", "inf", "nan", "9" * 5000, b"\xff"],
    "crashes": ["", "junk", "1.5", "-7", "1e30", "inf", "nan", "9" * 5000, b"\xff"],
    "max_attempts": ["", "junk", "1.5", "-7", "0", "inf", "9" * 5000, b"\xff"],
    "enqueued_at": ["", "junk", "1.5", "-1e300", "inf", "nan", "9" * 5000, b"\xff"],
    "due_at": ["", "junk", "1.5", "-1e300", "inf", "nan", "9" * 5000, b"\xff"],
    "started_at": ["", "junk", "1.5", "inf", b"\xff"],
    "worker": ["", "junk", b"\xff"],
    "reason": ["stop requested", b"\xff"],
    "result": ["junk", b"\xff"],
    "unheard of": ["", b"\xff"],
}


@pytest.mark.parametrize("task", ["quick", "fails_once"])
def test_junk_in_the_fields_of_waiting_jobs_harms_nobody_else(crew: Crew, task: str) -> None:
    """Each such job runs or is buried with a reason or waits where its state says; good jobs beside it run."""
    ids = []
    for name, values in FIELDS.items():
        for value in values:
            job_id = crew.jobs.enqueue(task)
            crew.redis.hset(crew.jobs.ns + ":job:" + job_id, name, value)
            ids.append(job_id)
        job_id = crew.jobs.enqueue(task)
        crew.redis.hdel(crew.jobs.ns + ":job:" + job_id, name)
        ids.append(job_id)
    good = crew.jobs.enqueue_many([("quick",)] * 20)
    worker = crew.start(**BRISK, threads=THREADS)
    for job_id in good:
        crew.done(job_id, 20)
    wait_until(lambda: not crew.places().get("pending:default"), 10, "the list to be empty")
    wait_until(lambda: not any(place.startswith("running:") for place in crew.places()), 10, "nothing to run")
    _works_on(crew, worker, len(ids) * 3)

    places = {job_id: place for place, held in crew.places().items() for job_id in held}
    for job_id in ids:
        job = crew.jobs.status(job_id)
        if job and job.queue == "default" and job.state in ("pending", "scheduled", "running", "dead"):
            assert job_id in places, f"lost: {job}"


def test_junk_in_the_fields_of_running_jobs_harms_nobody_else(crew: Crew) -> None:
    """The worker goes on beating; whoever's token was overwritten is refused, the others are done."""
    worker = crew.start(**BRISK, threads=30)
    good = crew.jobs.enqueue("sleepy", 4)
    pairs = [(name, value) for name in ("attempt", "started_at", "worker", "reason") for value in FIELDS[name]]
    spoilt = [crew.jobs.enqueue("sleepy", 0.8) for _ in range(len(pairs) + len(VALUES))]
    for job_id in [good, *spoilt[:20]]:
        crew.started(job_id)
    for job_id, (name, value) in zip(spoilt, pairs, strict=False):
        crew.redis.hset(crew.jobs.ns + ":job:" + job_id, name, value)
    for job_id, kind in zip(spoilt[len(pairs) :], VALUES, strict=True):
        if kind != "hash":
            _put(crew, crew.jobs.ns + ":job:" + job_id, kind)
    job = crew.done(good)
    assert (job.attempt, job.crashes, len(crew.events("start", good))) == (1, 0, 1)
    for job_id, (name, _) in zip(spoilt, pairs, strict=False):
        if name != "worker":  # what names another worker is his to end, or his death's
            crew.done(job_id)
    _works_on(crew, worker, 100)
