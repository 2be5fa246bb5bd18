"""The promises that name seconds, with the settings as they come. All are watched at once: each is mostly waiting."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace as Seen

import pytest

from tests.faults.harness import Crew, Process
from tests.servers import RedisServer, best_real, binary


def _killed(crew: Crew, first: Process, second: Process) -> Seen:
    """Kill -9 the worker that runs a job; another is idle."""
    job_id = crew.events("start")[0].id
    assert crew.events("start")[0].pid == first.pid
    first.kill()
    at = time.time()
    again = crew.started(job_id, 2, 40)
    return Seen(after=again.at - at, again=again, second=second, job=crew.done(job_id), register=crew.register())


def _told_to_stop(crew: Crew, worker: Process) -> Seen:
    """SIGTERM, several times, while a job runs that takes longer than the grace."""
    job_id = crew.events("start")[0].id
    behind = crew.jobs.enqueue("quick")
    at = time.time()
    for _ in range(5):
        worker.signal(signal.SIGTERM)
        time.sleep(0.3)
    code = worker.ends(40)
    took = time.time() - at
    front = crew.redis.lrange(crew.key("pending:default"), 0, -1)
    return Seen(took=took, code=code, job=crew.job(job_id), behind=behind, pending=front, register=crew.register())


def _told_while_redis_hangs(worker: Process, server: RedisServer) -> Seen:
    """SIGTERM while a job runs that takes longer than the grace, and nothing answers."""
    server.pause()
    time.sleep(1)
    at = time.time()
    worker.signal(signal.SIGTERM)
    code = worker.ends(60)
    took = time.time() - at
    server.resume()
    return Seen(took=took, code=code)


def _blocked(crew: Crew) -> Seen:
    """Jobs block their worker for twice its lease; another worker would reclaim them."""
    ids = [event.id for event in crew.events("start")]
    return Seen(jobs=[crew.done(job_id, 40) for job_id in ids], starts=crew.events("start"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What was seen of all three, in one wait of half a minute."""
    found = binary(best_real())
    if found is None:
        pytest.skip("no redis-server here")
    folder: Path = tmp_path_factory.mktemp("seconds")
    server, hanging = RedisServer(found).start(), RedisServer(found).start()
    try:
        with (
            Crew(hanging.url, folder, "hung") as hung,
            Crew(server.url, folder, "killed") as killed,
            Crew(server.url, folder, "told") as told,
            Crew(server.url, folder, "blocked") as blocked,
            ThreadPoolExecutor(4) as pool,
        ):
            first, worker, other = killed.start(), told.start(threads=1), hung.start()
            blocked.start(lease=5, beat=1.5)
            wanted = [
                (killed, [killed.jobs.enqueue("sleepy", 4)]),
                (told, [told.jobs.enqueue("sleepy", 100)]),
                (hung, [hung.jobs.enqueue("sleepy", 100)]),
                (blocked, [blocked.jobs.enqueue("sleepy", 11), blocked.jobs.enqueue("greedy", 10, 0.2)]),
            ]
            for crew, ids in wanted:
                for job_id in ids:
                    crew.started(job_id)
            second = killed.start()
            kill = pool.submit(_killed, killed, first, second)
            term = pool.submit(_told_to_stop, told, worker)
            blocked.start(lease=5, beat=1.5)
            hang = pool.submit(_told_while_redis_hangs, other, hanging)
            block = pool.submit(_blocked, blocked)
            result = Seen(killed=kill.result(), told=term.result(), hung=hang.result(), blocked=block.result())
    finally:
        server.close()
        hanging.close()
    return result


def test_work_of_a_killed_worker_starts_again_elsewhere_within_20_seconds(seen: Seen) -> None:
    """Kill -9 in mid-job: nothing is lost, and the other worker starts it in time."""
    assert seen.killed.after <= 20
    assert seen.killed.again.pid == seen.killed.second.pid
    job = seen.killed.job
    assert (job.state, job.attempt, job.crashes, job.failures) == ("done", 2, 1, 0)
    assert [f"-{seen.killed.second.pid}-" in name for name in seen.killed.register] == [True]
    print(f"started again after {seen.killed.after:.2f} s")


def test_a_worker_told_to_stop_is_gone_within_25_seconds(seen: Seen) -> None:
    """Also with a job that does not end, and with SIGTERM sent several times; the grace is really given."""
    assert seen.told.code == 0
    assert 19 <= seen.told.took <= 25
    assert seen.told.register == []


def test_a_worker_told_to_stop_while_redis_hangs_is_gone_within_25_seconds(seen: Seen) -> None:
    """It cannot release its job; the end of the lease will."""
    print(f"gone after {seen.hung.took:.2f} s")
    assert seen.hung.took <= 25
    assert seen.hung.code == 0


def test_a_running_job_is_released_to_the_front_at_shutdown(seen: Seen) -> None:
    """It waits before those that came later, and neither a failure nor a crash is counted."""
    job = seen.told.job
    assert (job.state, job.attempt, job.failures, job.crashes) == ("pending", 1, 0, 0)
    assert seen.told.pending == [seen.told.behind, job.id]  # taken from the right


def test_a_task_that_blocks_for_two_leases_does_not_lose_them(seen: Seen) -> None:
    """Neither in a system call nor with the interpreter lock held most of the time."""
    assert [(job.attempt, job.crashes) for job in seen.blocked.jobs] == [(1, 0)] * 2
    assert len(seen.blocked.starts) == 2
