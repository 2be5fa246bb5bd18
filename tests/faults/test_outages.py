"""Redis away: stopped, killed, frozen, absent at the start, full, emptied."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Unavailable

import pytest

from tests.conftest import Start
from tests.faults.harness import BRISK, Crew
from tests.servers import RedisServer, wait_until

OUTAGE = 3.5  # longer than the lease: when Redis is back, every lease is over


@pytest.mark.parametrize(("end", "fsync"), [(RedisServer.stop, "everysec"), (RedisServer.kill, "always")])
def test_workers_go_on_by_themselves_after_an_outage(
    redis_server: Start, tmp_path: Path, end: Callable[[RedisServer], None], fsync: str
) -> None:
    """Within 10 s and idle meanwhile. What ended during the outage is settled, what runs is not reclaimed."""
    server = redis_server(appendonly="yes", appendfsync=fsync)
    with Crew(server.url, tmp_path) as crew:
        workers = [crew.start(**BRISK) for _ in range(2)]
        before = crew.jobs.enqueue_many([("quick",)] * 50)
        crew.all_done(before)
        during = crew.jobs.enqueue_many([("sleepy", 1.5)] * 3)
        across = crew.jobs.enqueue_many([("sleepy", 6)] * 3)
        failing = crew.jobs.enqueue("fails_once", 1.5)
        for job_id in [*during, *across, failing]:
            crew.started(job_id)
        begun = attempts(crew, [*during, *across])
        end(server)
        used = sum(worker.cpu() for worker in workers)
        time.sleep(OUTAGE)
        used = sum(worker.cpu() for worker in workers) - used
        server.start()
        back = time.monotonic()
        after = crew.jobs.enqueue("quick")
        crew.done(after)
        resumed = time.monotonic() - back
        jobs = crew.all_done([*before, *during, *across, after])
        ended = attempts(crew, [*during, *across])
        retried = crew.done(failing)

    assert resumed <= 10
    assert used <= OUTAGE * 2 * 0.1
    assert ended == begun
    assert {(job.crashes, job.failures) for job in jobs} == {(0, 0)}
    assert (retried.crashes, retried.failures) == (0, 1)
    print(f"resumed after {resumed:.2f} s; both used {used / OUTAGE:.1%} of a processor")


def attempts(crew: Crew, job_ids: list[str]) -> dict[str, int]:
    """How often each was taken. On a machine that stands still for a second it may be more than once."""
    return {job_id: job.attempt for job_id in job_ids if (job := crew.jobs.status(job_id))}


def test_a_worker_that_leaves_after_an_outage_takes_nothing_from_the_living(
    redis_server: Start, tmp_path: Path
) -> None:
    """Every lease is over when Redis comes back; who leaves at that moment must not reclaim what the others run."""
    server = redis_server(appendonly="yes", appendfsync="always")
    with Crew(server.url, tmp_path) as crew:
        busy = crew.start(**BRISK)
        job_id = crew.jobs.enqueue("sleepy", 6)
        crew.started(job_id)
        begun = attempts(crew, [job_id])
        idle = [crew.start(**BRISK) for _ in range(3)]
        server.stop()
        time.sleep(3.5)
        server.start()
        for worker in idle:
            worker.signal(15)
            worker.ends()
        job = crew.done(job_id)

    assert (job.attempt, job.crashes, job.result) == (begun[job_id], 0, busy.pid)


def test_a_worker_started_without_redis_waits_for_it(redis_server: Start, tmp_path: Path) -> None:
    """It neither exits nor spins, and works once Redis is there; producers are told within 2 s."""
    server = redis_server()
    server.stop()
    with Crew(server.url, tmp_path) as crew:
        worker = crew.start(ready=False)
        wait_until(lambda: "wait for Redis" in worker.log, 20)
        used, since = worker.cpu(), time.monotonic()
        with pytest.raises(Unavailable):
            crew.jobs.enqueue("quick")
        assert time.monotonic() - since <= 2
        time.sleep(2)
        assert worker.alive
        assert worker.cpu() - used <= 0.2
        assert len(worker.log.splitlines()) < 10
        server.start()
        back = time.monotonic()
        crew.done(crew.jobs.enqueue("quick"))
        assert time.monotonic() - back <= 10


@contextmanager
def _again_and_again(action: Callable[[], object], pause: float) -> Iterator[None]:
    """Do it in a thread of its own until the block is over."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(pause):
            action()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _enqueue_surely(crew: Crew, name: str, *args: object) -> str:
    """Enqueue as a careful producer does: when in doubt, the same id again."""
    task = queue.named(name, id=queue.new_id())
    while True:
        try:
            return crew.jobs.enqueue(task, *args)
        except Unavailable:
            time.sleep(0.01)


def _load(crew: Crew, seconds: float) -> list[str]:
    """Enqueue short and not so short jobs for so long."""
    end = time.monotonic() + seconds
    ids: list[str] = []
    while time.monotonic() < end:
        ids += [_enqueue_surely(crew, "quick") for _ in range(5)] + [_enqueue_surely(crew, "sleepy", 0.02)]
        time.sleep(0.005)
    return ids


def _all_once(crew: Crew, ids: list[str]) -> None:
    """All are done, and each was started exactly once, without a crash or failure."""
    jobs = crew.all_done(ids)
    assert len(crew.events("start")) == len(ids)
    assert {(job.crashes, job.failures) for job in jobs} == {(0, 0)}


def test_scripts_may_be_flushed_at_any_moment(crew: Crew) -> None:
    """They are loaded again: no job is lost, none runs twice."""
    workers = [crew.start(**BRISK) for _ in range(2)]
    with _again_and_again(crew.redis.script_flush, 0.002):
        _all_once(crew, _load(crew, 1.5))
    assert not any("WARNING" in worker.log for worker in workers)


def test_connections_may_be_cut_at_any_moment(crew: Crew) -> None:
    """Answers get lost all the time: no job is lost, none runs twice."""
    workers = [crew.start(**BRISK) for _ in range(2)]

    def cut() -> None:
        crew.redis.client_kill_filter(_type="normal", skipme=True)

    with _again_and_again(cut, 0.02):
        ids = _load(crew, 1.5)
    _all_once(crew, ids)
    assert all(worker.alive and "Traceback" not in worker.log for worker in workers)


@pytest.mark.parametrize("how", ["CLIENT PAUSE", "SIGSTOP"])
def test_a_redis_that_hangs_past_the_lease_takes_no_job_from_the_living(
    redis_server: Start, tmp_path: Path, how: str
) -> None:
    """Nothing is reclaimed, nothing is lost, nothing runs twice."""
    server = redis_server()
    with Crew(server.url, tmp_path) as crew:
        for _ in range(2):
            crew.start(**BRISK)
        ids = crew.jobs.enqueue_many([("sleepy", 5)] * 2 + [("sleepy", 1)] * 2)
        for job_id in ids:
            crew.started(job_id)
        ids += _load(crew, 0.5)
        if how == "SIGSTOP":
            server.pause()
            time.sleep(3.3)
            server.resume()
        else:
            crew.redis.client_pause(3300)
        ids += _load(crew, 0.5)
        _all_once(crew, ids)


def test_a_full_redis_drains(redis_server: Start, tmp_path: Path) -> None:
    """New jobs are refused in so many words; those that wait run, retry and are reclaimed. With room, all goes on."""
    server = redis_server()
    with Crew(server.url, tmp_path) as crew:
        victim = crew.start(**BRISK, threads=1)
        orphan = crew.jobs.enqueue("sleepy", 1)
        crew.started(orphan)
        ids = crew.jobs.enqueue_many([("quick",)] * 300 + [("fails_once",)] * 5)
        ids.append(crew.jobs.enqueue_in(1, "quick"))
        crew.redis.config_set("maxmemory", "1mb")
        with pytest.raises(Unavailable, match="maxmemory"):
            crew.jobs.enqueue("quick")
        victim.kill()
        worker = crew.start(**BRISK, threads=3)
        jobs = {job.id: job for job in crew.all_done([orphan, *ids], 30)}
        assert (jobs[orphan].attempt, jobs[orphan].crashes) == (2, 1)
        assert sum(job.failures for job in jobs.values()) == 5
        with pytest.raises(Unavailable, match="maxmemory"):
            crew.jobs.enqueue("quick")

        crew.redis.config_set("maxmemory", "0")
        crew.done(crew.jobs.enqueue("quick"))
        assert worker.alive


def test_after_flushall_workers_are_quiet_and_take_new_jobs(crew: Crew) -> None:
    """What they ran is unknown now: its end changes nothing, and is not written back."""
    worker = crew.start(**BRISK)
    old = crew.jobs.enqueue_many([("sleepy", 1.5)] * 5 + [("quick",)] * 200)
    for job_id in old[:5]:
        crew.started(job_id)
    crew.redis.flushall()
    wait_until(lambda: len([one for one in crew.events("end") if one.id in old[:5]]) == 5, 10)
    used = worker.cpu()
    time.sleep(2)

    assert worker.cpu() - used <= 0.2
    assert not any(crew.jobs.status(job_id) for job_id in old)
    assert len(worker.log.splitlines()) < 5 + 200
    assert "Traceback" not in worker.log
    assert crew.registered(worker)
    crew.all_done(crew.jobs.enqueue_many([("quick",)] * 10))


def test_an_id_that_comes_again_after_flushall_is_another_job(crew: Crew) -> None:
    """The same worker runs both under the same attempt: the end of the first settles nothing of the second."""
    crew.start(**BRISK)
    again = queue.named("sleepy", id="again")
    crew.jobs.enqueue(again, 1.5)
    crew.started("again")
    crew.redis.flushall()
    crew.jobs.enqueue(again, 4.5)
    crew.started("again", 2)
    wait_until(lambda: crew.events("end"), 10, "the first to end")

    time.sleep(0.1)
    state = crew.job("again").state
    assert state == "running" or len(crew.events("end")) == 2  # a machine that stood still lets both end at once
    job = crew.done("again")
    assert (job.attempt, len(crew.events("start"))) == (1, 2)
