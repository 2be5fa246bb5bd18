"""SIGTERM, SIGINT, SIGSTOP, and a task that hears none of them."""

import signal
import time

from tests.faults.harness import BRISK, Crew
from tests.servers import wait_until


def test_an_idle_worker_leaves_at_once_and_signs_off(crew: Crew) -> None:
    """SIGTERM with nothing to do: exit code 0 within seconds, no entry in the register, no line of error."""
    worker = crew.start()
    worker.signal(signal.SIGTERM)

    assert worker.ends(10) == 0
    assert crew.register() == []
    assert "WARNING" not in worker.log
    assert "Traceback" not in worker.log


def test_jobs_that_end_within_the_grace_are_done_and_the_rest_goes_to_the_front(crew: Crew) -> None:
    """Oldest first, nothing counted, whatever the number of SIGTERMs."""
    worker = crew.start(**BRISK, grace=2, threads=3)
    short, *long = crew.jobs.enqueue_many([("sleepy", 1), ("sleepy", 60), ("sleepy", 60)])
    for job_id in (short, *long):
        crew.started(job_id)
    waiting = crew.jobs.enqueue("quick")
    for _ in range(3):
        worker.signal(signal.SIGTERM)
        time.sleep(0.1)

    assert worker.ends(15) == 0
    assert crew.job(short).state == "done"
    assert crew.redis.lrange(crew.key("pending:default"), 0, -1) == [waiting, *reversed(long)]
    assert {(crew.job(i).state, crew.job(i).failures, crew.job(i).crashes) for i in long} == {("pending", 0, 0)}
    assert not crew.events("start", waiting)
    assert crew.register() == []


def test_thousands_of_signals_do_not_hang_a_worker(crew: Crew) -> None:
    """A platform sends several SIGTERMs; one that arrives while another is handled must not block it."""
    worker = crew.start(**BRISK, grace=2)
    crew.started(crew.jobs.enqueue("sleepy", 60))
    end = time.monotonic() + 1
    while time.monotonic() < end:
        for _ in range(100):
            worker.signal(signal.SIGTERM)

    assert worker.ends(10) == 0


def test_the_second_interrupt_means_now(crew: Crew) -> None:
    """Ctrl-C twice: the job is released and the worker gone, long before the grace is over."""
    worker = crew.start(**BRISK, grace=60)
    job_id = crew.jobs.enqueue("sleepy", 60)
    crew.started(job_id)
    worker.signal(signal.SIGINT)
    time.sleep(0.5)
    assert worker.alive
    worker.signal(signal.SIGINT)

    assert worker.ends(10) == 0
    assert (crew.job(job_id).state, crew.job(job_id).failures) == ("pending", 0)


def test_the_result_of_a_worker_frozen_past_its_lease_is_refused(crew: Crew) -> None:
    """Another did the job meanwhile: its result stays. The frozen one, thawed, says so and goes on working."""
    frozen = crew.start(**BRISK)
    job_id = crew.jobs.enqueue("sleepy", 0.7)
    crew.started(job_id)
    frozen.signal(signal.SIGSTOP)
    other = crew.start(**BRISK)
    assert crew.done(job_id).result == other.pid
    frozen.signal(signal.SIGCONT)
    wait_until(lambda: len(crew.events("end", job_id)) == 2, 10, "the frozen worker to end its run")
    late = f'job={job_id} why="came too late'
    wait_until(lambda: late in frozen.log, 10, "the log to say that the result was refused")

    job = crew.job(job_id)
    assert (job.state, job.result, job.attempt, job.crashes) == ("done", other.pid, 2, 1)
    other.kill()
    assert crew.done(crew.jobs.enqueue("sleepy", 0)).result == frozen.pid


def test_a_worker_that_was_frozen_itself_lets_the_others_renew(crew: Crew) -> None:
    """A machine that was suspended: all leases are over, but the others live; they come to it a moment later."""
    pair = [crew.start(**BRISK, threads=2) for _ in range(2)]
    ids = crew.jobs.enqueue_many([("sleepy", 4.5)] * 4)
    for job_id in ids:
        crew.started(job_id)
    for worker in pair:
        worker.signal(signal.SIGSTOP)
    time.sleep(3.2)
    for worker in pair:
        worker.signal(signal.SIGCONT)
        time.sleep(0.5)

    assert {(job.attempt, job.crashes) for job in crew.all_done(ids)} == {(1, 0)}


def test_a_task_stuck_in_c_code_ends_its_worker_as_its_own_crash(crew: Crew) -> None:
    """The worker releases the other jobs and exits with code 70; only the stuck job has a crash."""
    worker = crew.start(**BRISK, overdue=0.5)
    stuck, other = crew.jobs.enqueue_many([("stuck",), ("sleepy", 60)])
    crew.started(stuck)
    crew.started(other)

    assert worker.ends(20) == 70
    jobs = crew.job(stuck), crew.job(other)
    assert [(job.state, job.crashes, job.failures) for job in jobs] == [("pending", 1, 0), ("pending", 0, 0)]
    assert crew.register() == []
