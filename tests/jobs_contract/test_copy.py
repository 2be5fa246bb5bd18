"""`cp -r queue elsewhere/jobs`: the folder is a library under any name, in a project that has nothing else of ours."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from queue import JobQueue
from typing import Any

import pytest

from tests.servers import ROOT, die_with_parent

from .helpers import Look, wait_for

TASKS = """
import jobs

@jobs.task(retries=0)
def greet(name):
    assert jobs.current_job().still_mine()
    return f"hello {name}"
"""
PROGRAM = """
import sys, threading, time
import jobs
import mytasks
import queue  # the standard library's, as if we were not there

assert not hasattr(queue, "enqueue") and "jobs" not in queue.__file__
jobs.connect(sys.argv[1])
job_id = jobs.enqueue(mytasks.greet, "Ada")
worker = jobs.Worker(threads=2)
thread = threading.Thread(target=worker.run)
thread.start()
end = time.monotonic() + 30
while not jobs.is_complete(job_id) and time.monotonic() < end:
    time.sleep(0.01)
worker.stop()
thread.join()
print(jobs.status(job_id).result)
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another project with a copy of our folder."""
    shutil.copytree(ROOT / "queue", tmp_path / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mytasks.py").write_text(TASKS)
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def environ() -> dict[str, str]:
    """Return an environment in which nothing of this project is found."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REDIS", "QUEUE"))}


def test_a_copy_under_another_name_runs_a_job(elsewhere: Path, redis_url: str) -> None:
    """Enqueued and run by `import jobs`, beside the standard library's own queue."""
    command = [sys.executable, "-W", "error", "program.py", redis_url]
    done = subprocess.run(command, cwd=elsewhere, env=environ(), capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.returncode) == ("hello Ada\n", 0), done.stderr


def test_a_copy_works_from_the_terminal(elsewhere: Path, live: JobQueue, look: Look, redis_url: str) -> None:
    """`python -m jobs work MODULE` runs the tasks of a module, and leaves in peace at SIGTERM."""
    command = [sys.executable, "-m", "jobs", "--redis", redis_url, "work", "mytasks", "--threads", "2"]
    job_id = live.enqueue("greet", "Bob")
    options: dict[str, Any] = {
        "cwd": elsewhere,
        "env": environ(),
        "preexec_fn": die_with_parent,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen(command, **options) as process:
        try:
            assert wait_for(live, job_id, "done").result == "hello Bob"
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 0, said
    assert look.workers() == {}


def test_the_copy_is_ours_line_by_line(elsewhere: Path) -> None:
    """Nothing in the folder names it: only dotted imports."""
    for path in (elsewhere / "jobs").rglob("*.py"):
        lines = [line.strip() for line in path.read_text().splitlines()]
        assert not [line for line in lines if line.startswith(("from queue", "import queue"))], path
