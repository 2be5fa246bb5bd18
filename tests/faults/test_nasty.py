"""Jobs that no one should write. The others go on; the culprit is dead, with its reason.

How tasks fail by raising, in one process: tests/jobs_contract/test_worker.py. Blocking for two leases:
test_promised_seconds.py.
"""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue.job import MAX_ERROR
from typing import Any

import pytest

from tests.faults.harness import BRISK, Crew, Process
from tests.servers import RedisServer, best_real, binary, wait_until

KILLERS = {  # task -> how the process that runs it ends
    "exits": 0,
    "segfaults": -signal.SIGSEGV,
    "aborts": -signal.SIGABRT,
    "deaf": 70,
    "stuck": 70,
}
SWIFT: dict[str, Any] = {"lease": 1.5, "beat": 0.5, "crash_delay": 0.3, "overdue": 0.3, "threads": 1}


@dataclass
class Siege:
    """A killer among good jobs, and the workers that it takes down, one after another."""

    crew: Crew
    killer: str
    good: list[str]

    def step(self) -> bool:
        """Start the next worker when the last is gone; return whether the fourth finds all jobs at their end."""
        workers = self.crew.processes
        if not workers or not workers[-1].alive:
            self.crew.start(ready=False, **SWIFT)
        states = {self.crew.job(job_id).state for job_id in self.good}
        return len(workers) > 3 and self.crew.job(self.killer).state == "dead" and states == {"done"}


@pytest.fixture(scope="module")
def sieges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Siege]]:
    """All killers at work side by side, each in a namespace of its own."""
    found = binary(best_real())
    if found is None:
        pytest.skip("no redis-server here")
    folder: Path = tmp_path_factory.mktemp("sieges")
    server = RedisServer(found).start()
    with ExitStack() as stack:
        stack.callback(server.close)
        sieges: dict[str, Siege] = {}
        for task in KILLERS:
            crew = stack.enter_context(Crew(server.url, folder, task))
            ids = crew.jobs.enqueue_many([("quick",)] * 3 + [(task,)] + [("quick",)] * 3)
            sieges[task] = Siege(crew, ids.pop(3), ids)
        left, end = list(sieges.values()), time.monotonic() + 60
        while left and time.monotonic() < end:
            left = [siege for siege in left if not siege.step()]
            time.sleep(0.05)
        yield sieges


@pytest.mark.parametrize("task", KILLERS)
def test_a_job_that_ends_its_worker_is_dead_after_three_crashes(sieges: dict[str, Siege], task: str) -> None:
    """However it does it: the job says so, the good ones around it are done, and the fourth worker is spared."""
    crew, killer, good = sieges[task].crew, sieges[task].killer, sieges[task].good
    job = crew.job(killer)

    assert (job.state, job.reason, job.crashes, job.failures, job.attempt) == ("dead", "crashed", 3, 0, 3)
    assert "3 times" in str(job.error)
    assert [worker.ends(1) for worker in crew.processes[:-1]] == [KILLERS[task]] * 3
    assert crew.processes[-1].alive
    assert {(crew.job(job_id).state, crew.job(job_id).failures) for job_id in good} == {("done", 0)}
    assert max(crew.job(job_id).crashes for job_id in good) <= 2


def goes_on(crew: Crew, worker: Process) -> None:
    """The worker runs what comes, in all its threads, keeps its lease, and leaves in peace when it is told to."""
    ids = crew.jobs.enqueue_many([("sleepy", 0.2)] * 4)
    assert {crew.done(job_id).result for job_id in ids} == {worker.pid}
    kinds = [event.kind for event in crew.events() if event.id in ids]
    assert kinds == ["start"] * 4 + ["end"] * 4, "a thread is missing"
    [name] = crew.register()
    before = crew.redis.zscore(crew.key("workers"), name)
    wait_until(lambda: crew.redis.zscore(crew.key("workers"), name) > before, 5, "the next beat")
    worker.signal(signal.SIGTERM)
    assert worker.ends(15) == 0


ERRORS = {
    "eats_at_once": "MemoryError",
    "eats_bit_by_bit": "MemoryError",
    "raises_deeply": "number 4999",
    "raises_much": "much to say",
}


@pytest.mark.parametrize("task", ERRORS)
def test_a_job_that_is_too_much_for_its_worker_fails_alone(crew: Crew, task: str) -> None:
    """Memory is over, or the error is endless: the job is dead with a bounded error, its neighbours are done."""
    worker = crew.start(**SWIFT | {"threads": 4, "memory": 700})
    before = crew.jobs.enqueue_many([("sleepy", 1)] * 2)
    culprit = crew.jobs.enqueue(task)
    wait_until(lambda: crew.job(culprit).state == "dead", 60, f"the culprit to be dead, not {crew.job(culprit)}")
    job = crew.job(culprit)

    assert (job.reason, job.failures, job.crashes) == ("failed", 1, 0)
    assert ERRORS[task] in str(job.error)
    assert len(str(job.error)) <= MAX_ERROR
    assert {(job.attempt, job.crashes) for job in map(crew.done, before)} == {(1, 0)}
    goes_on(crew, worker)


VANDALS = ["cwd", "environment", "logging", "stdout", "stderr", "signals", "timeouts", "collector", "switches", "files"]
VANDALS += ["chance", "daemon", "child"]


@pytest.mark.parametrize("what", VANDALS)
def test_a_job_that_spoils_the_process_spoils_no_other_job(crew: Crew, what: str) -> None:
    """Folder, environment, log, streams, threads, signals, files: the worker goes on, and leaves when told to."""
    worker = crew.start(**SWIFT | {"threads": 4})
    crew.done(crew.jobs.enqueue("spoils", what))
    failing = crew.jobs.enqueue_many([("gives_up",), ("no-such-task",), ("fails_once",)])
    wait_until(lambda: crew.job(failing[0]).state == "dead", 10, "what fails to be dead")
    wait_until(lambda: crew.job(failing[1]).state == "scheduled", 10, "what is unknown to wait")
    crew.done(failing[2])
    goes_on(crew, worker)
    assert crew.register() == [] or what == "files"  # nothing left to sign off through: the end of the lease tells


def test_a_thread_that_a_job_left_behind_holds_back_no_job(crew: Crew) -> None:
    """It keeps its process alive, as Python has it, but the worker signs off, and what ran goes to the front."""
    worker = crew.start(**BRISK, grace=0.5)
    crew.done(crew.jobs.enqueue("spoils", "thread"))
    held = crew.jobs.enqueue("sleepy", 600)
    crew.started(held)
    worker.signal(signal.SIGTERM)

    wait_until(lambda: crew.job(held).state == "pending" and not crew.register(), 10, "the worker to sign off")
    assert crew.job(held).crashes == 0


RESULTS = {
    "text": "a\x00b \ud800 \U0001f426 \r\n\u2028",
    "100": None,  # lists in lists, so deep
    "100000": "JSON",
    "bytes": "JSON",
}


@pytest.mark.parametrize("what", RESULTS)
def test_what_a_job_returns_is_kept_or_refused(crew: Crew, what: str) -> None:
    """Any text and depth that JSON takes; else the job is dead, since doing it again would not help."""
    worker = crew.start(**SWIFT | {"threads": 4})
    job_id = crew.jobs.enqueue("returns", what)
    wait_until(lambda: crew.job(job_id).state in ("done", "dead"), 20, "an end")
    job = crew.job(job_id)

    if RESULTS[what] == "JSON":
        assert (job.state, job.reason, job.attempt) == ("dead", "gave up", 1)
        assert "JSON" in str(job.error)
    else:
        assert (job.state, json.dumps(job.result).count("[")) == ("done", int(what) + 1 if what.isdigit() else 0)
        assert what != "text" or job.result == RESULTS[what]
    goes_on(crew, worker)
