"""kill -9: of a worker in the middle of a batch, of random workers under load, and by jobs themselves."""

import random
import time
from pathlib import Path

from tests.faults.harness import BRISK, Crew
from tests.servers import wait_until

DEADLY = BRISK | {"crash_delay": 0.3}


def test_a_kill_in_the_middle_of_a_batch_loses_nothing(crew: Crew, tmp_path: Path) -> None:
    """What the killed worker had finished and not yet settled runs once more: at most one batch, nothing else."""
    file = tmp_path / "fuse"
    victim = crew.start(**DEADLY, threads=1)
    crew.all_done(crew.jobs.enqueue_many([("fuse", str(file))] * 300))  # the worker learns how short they are
    file.touch()
    calls = [("fuse", "none")] * 100
    calls[50] = ("fuse", str(file))
    ids = crew.jobs.enqueue_many(calls)
    victim.ends()
    crew.start(**DEADLY)
    jobs = crew.all_done(ids)

    again = [job for job in jobs if job.attempt > 1]
    assert 1 <= len(again) <= 100
    assert {(job.attempt, job.crashes, job.failures) for job in again} == {(2, 1, 0)}


def test_a_storm_of_kills_loses_nothing(crew: Crew) -> None:
    """Every accepted job is done in the end, and each start is the one of a new attempt."""
    seed = int(time.time())
    print(f"seed {seed}")
    chance = random.Random(seed)
    options = DEADLY | {"threads": 4}
    workers = [crew.start(**options) for _ in range(3)]
    ids = crew.jobs.enqueue_many([("quick",) if chance.random() < 0.5 else ("sleepy", 0.03) for _ in range(1000)])
    while crew.redis.llen(crew.key("pending:default")):
        time.sleep(0.3)
        at = chance.randrange(3)
        workers[at].kill()
        workers[at] = crew.start(**options, ready=False)
    jobs = crew.all_done(ids, 90)

    assert len(jobs) == 1000
    assert any(job.crashes for job in jobs), "no kill hit a job: the storm was no storm"
    assert {job.failures for job in jobs} == {0}


def test_a_job_that_kills_its_worker_is_dead_after_three_crashes(crew: Crew) -> None:
    """And says so; the jobs around it are done, and the fourth worker is spared."""
    before = crew.jobs.enqueue_many([("quick",)] * 5)
    job_id = crew.jobs.enqueue("killer")
    after = crew.jobs.enqueue_many([("quick",)] * 5)
    workers = [crew.start(lease=2, beat=0.6, crash_delay=0.3, ready=False) for _ in range(4)]
    wait_until(lambda: crew.job(job_id).state == "dead", 60, "the killer to be dead")
    job = crew.job(job_id)

    assert (job.reason, job.crashes, job.failures, job.attempt) == ("crashed", 3, 0, 3)
    assert "3 times" in str(job.error)
    assert len({event.pid for event in crew.events("start", job_id)}) == 3
    assert all(crew.done(other).crashes <= 2 for other in before + after)
    assert sum(worker.alive for worker in workers) == 1
