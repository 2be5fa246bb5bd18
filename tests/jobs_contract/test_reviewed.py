"""What a careful reader found: junk in counters, full hands, leaving at a bad moment, limits of results and options."""

import threading
import time
from queue import BadOption, JobQueue, Unavailable, Worker, named, task
from queue.errors import Stopped, TimeLimit
from queue.job import MAX_ARGUMENTS
from queue.jobs import Taken
from queue.tasks import Registry
from typing import Any

import pytest

from tests.servers import each_redis, wait_until

from .helpers import (
    Clock,
    Gate,
    Look,
    a_patient_worker,
    a_worker,
    add,
    define,
    running,
    take,
    take_one,
    wait_for,
    working,
)


@each_redis
@pytest.mark.parametrize("junk", ["nan", "inf", "-inf", "1e300", "-3", "many"])
def test_junk_in_the_count_of_crashes_loses_nothing(jobs: JobQueue, look: Look, clock: Clock, junk: str) -> None:
    """It counts as none."""
    running(jobs)
    look.raw.hset("{queue}:job:a", "crashes", junk)
    clock.advance(16)

    assert jobs.reclaim() == [("a", "pending")]
    assert look.job("a")["crashes"] == "1"


@each_redis
@pytest.mark.parametrize("verb", ["release", "retry", "reclaim"])
def test_a_running_job_without_a_list_is_dead_with_its_reason(
    jobs: JobQueue, look: Look, clock: Clock, verb: str, untidy: None
) -> None:
    """It could go back to nowhere."""
    token = running(jobs)
    look.raw.hdel("{queue}:job:a", "queue")
    if verb == "release":
        jobs.release("ann", [token])
    elif verb == "retry":
        jobs.retry("ann", token, 1, "an error")
    else:
        clock.advance(16)
        jobs.reclaim()

    assert (look.dead(), look.running(), look.job("a")["reason"]) == (["a"], [], "bad entry")
    assert not look.raw.exists("{queue}:pending", "{queue}:bell")


def test_full_hands_of_a_dead_worker_come_back_at_once(live: JobQueue, look: Look, tasks: Registry) -> None:
    """A thousand jobs are more than one call takes back; the next call does not wait for the next beat."""
    define(tasks, lambda: None)
    live.enqueue_many([("greet",)] * 1_000)
    for _ in range(10):
        take(live, "dead", 100)
    live.beat("dead", 0)
    with working(a_worker(live, tasks, threads=1)) as worker:
        calls: list[float] = []
        reclaim = worker.beating.reclaim

        def counted(*given: Any, **options: Any) -> list[tuple[str, str]]:
            calls.append(time.monotonic())
            return reclaim(*given, **options)

        worker.beating.reclaim = counted  # type: ignore[method-assign]  # replaced
        wait_until(lambda: look.raw.llen("{queue}:running:dead") == 0, 30, "all to come back")
        wait_until(lambda: len(calls) >= 5, 5, "the last call")

    assert calls[4] - calls[0] < worker.time.beat * 3  # five calls with a beat between each would take four


def test_the_timekeeper_never_spins(live: JobQueue, tasks: Registry) -> None:
    """Also when a beat fails in a way that nobody thought of."""
    tries: list[float] = []

    def fail(*_: Any) -> None:
        tries.append(time.monotonic())
        raise ValueError("not thought of")

    worker = a_worker(live, tasks, threads=1)
    worker.beating.beat = fail  # type: ignore[method-assign, assignment]  # replaced
    with working(worker):
        wait_until(lambda: len(tries) >= 3, 10, "three tries")

    assert tries[2] - tries[0] > 0.5


def test_what_ended_does_not_wait_for_a_slow_job(live: JobQueue, tasks: Registry) -> None:
    """Two short jobs and one that blocks, in one batch while the leader sleeps: the ended one reads done meanwhile."""
    gate = Gate()
    define(tasks, lambda blocks: gate() if blocks else time.sleep(0.005))
    worker = a_worker(live, tasks, threads=2, lease=15, beat=3)
    worker.pace["greet"] = 0.0001
    with working(worker):
        wait_until(lambda: worker.dozing, 10, "the leader to sleep")
        quick, slow = live.enqueue_many([("greet", False), ("greet", True)])
        assert gate.reached.wait(10)
        job = wait_for(live, quick, "done")
        assert job.finished_at - job.started_at < 800  # the net that would catch it too is a second wide
        assert live.status(slow).state == "running"  # type: ignore[union-attr]  # it is there
        gate.opened.set()
        wait_for(live, slow, "done")


def test_leaving_counts_no_crash_for_what_was_taken_unknowingly(live: JobQueue, look: Look, tasks: Registry) -> None:
    """The answer of a take was lost, then the worker was told to leave."""
    define(tasks, lambda: None)
    worker = a_patient_worker(live, tasks, threads=1)
    add(live, "a")
    take_one(live, worker.name)
    worker._leave()

    assert (look.job("a")["state"], look.job("a").get("crashes"), look.workers()) == ("pending", None, {})


def test_leaving_gives_back_what_it_asked_for_and_never_heard_of(live: JobQueue, look: Look, tasks: Registry) -> None:
    """The connection on which the answer to a take would come is cut as the worker leaves."""
    define(tasks, lambda: None)
    worker = a_patient_worker(live, tasks, threads=1)
    worker._take()  # loads the script
    add(live, "a")
    worker.asked.append(worker._ask())
    wait_for(live, "a", "running")

    def cut() -> Taken:
        raise Unavailable("cut")

    worker.asked[0] = cut, []
    worker._leave()

    assert (look.job("a")["state"], look.job("a").get("crashes"), look.workers()) == ("pending", None, {})


def test_leaving_waits_for_what_is_being_settled(live: JobQueue, tasks: Registry) -> None:
    """A finished job whose settlement is on its way is not released."""
    settling = threading.Event()
    define(tasks, lambda: None)
    worker = a_worker(live, tasks, threads=1, grace=0.1)
    finish = worker.settling.finish

    def slowly(*given: Any) -> list[str]:
        settling.set()
        time.sleep(0.4)
        return finish(*given)

    worker.settling.finish = slowly  # type: ignore[method-assign, assignment]  # replaced
    worker.stopping.set()
    add(live, "a")
    run = worker._take()
    thread = threading.Thread(target=worker._run_batch, args=(run,))
    worker.stopping.clear()
    worker.dozing = True
    thread.start()
    assert settling.wait(10)
    worker._leave()
    thread.join()

    assert live.status("a").state == "done"  # type: ignore[union-attr]  # it is there


def test_an_unknown_task_that_was_scheduled_long_ago_waits_for_its_deploy(live: JobQueue, tasks: Registry) -> None:
    """Two days on the schedule are no two days of waiting for somebody who knows it."""
    second, _ = live.redis.time()
    JobQueue(live.redis, clock=lambda: (second - 2 * 86_400) * 1000).enqueue_at(second - 1, named("mystery", id="a"))
    with working(a_worker(live, tasks)):
        wait_until(lambda: live.redis.hmget("{queue}:job:a", "state", "attempt") == [b"scheduled", b"1"], 10)


@pytest.mark.parametrize("size", [MAX_ARGUMENTS - 2, MAX_ARGUMENTS - 1])
def test_results_are_bounded(live: JobQueue, tasks: Registry, size: int) -> None:
    """Over the limit the work is done all the same, so the job is dead at once, with the reason."""
    define(tasks, lambda: "x" * size)
    job_id = live.enqueue("greet")
    with working(a_worker(live, tasks)):
        job = wait_for(live, job_id, "done", "dead")

    assert job.state == ("done" if size == MAX_ARGUMENTS - 2 else "dead")
    if job.state == "dead":
        assert "at most 65,536" in job.error


def test_a_task_that_ignores_a_stop_still_has_its_limit(live: JobQueue, tasks: Registry) -> None:
    """Cancelled, it goes on; then its time is up."""
    heard: list[str] = []

    def stubborn() -> None:
        while True:
            try:
                while True:
                    time.sleep(0.001)
            except Stopped:
                heard.append("stop")
            except TimeLimit:
                heard.append("limit")
                raise

    define(tasks, stubborn, timeout=3, retries=0)
    job_id = live.enqueue("greet")
    with working(a_worker(live, tasks)):
        wait_for(live, job_id, "running")
        assert live.cancel(job_id) == "stopping"
        wait_for(live, job_id, "dead", "cancelled")

    assert heard == ["stop", "limit"]


@pytest.mark.parametrize("option", [{"id": "x"}, {"max_attempts": 1}, {"colour": "red"}])
def test_a_task_has_no_other_options(option: dict[str, Any]) -> None:
    """An id for all of a task's jobs would make them one."""
    with pytest.raises(TypeError):
        task(**option)


def test_a_url_with_an_unknown_option_is_refused() -> None:
    """Before the first job, not with it."""
    with pytest.raises(BadOption):
        JobQueue.from_url("redis://127.0.0.1/0?colour=red")


def test_a_worker_needs_a_list_of_lists(live: JobQueue) -> None:
    """One word is a sequence too, of its letters."""
    with pytest.raises(ValueError, match="default"):
        Worker("default", jobs=live)
