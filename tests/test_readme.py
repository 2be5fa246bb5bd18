"""The README does what it says: its code runs, its commands work."""

import queue
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """Return the code under the marker of that name."""
    found = re.search(rf"<!-- run: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no block {name}"
    return found[1]


@pytest.fixture
def tour(tmp_path: Path, redis_url: str) -> Path:
    """A folder as the README describes it: tour.py beside queue/."""
    shutil.copytree(ROOT / "queue", tmp_path / "queue")
    (tmp_path / "tour.py").write_text(block("tour.py").replace("redis://127.0.0.1:6379", redis_url))
    return tmp_path


def run(folder: Path, *command: str) -> str:
    """Return what a command prints. It must succeed."""
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tour_runs(tour: Path) -> None:
    """The library's twenty lines work as printed."""
    assert run(tour, "tour.py").strip() == "pending"


def test_the_worker_of_the_tour_runs_its_jobs(tour: Path, redis_url: str) -> None:
    """`python -m queue work tour` does the jobs of the tour."""
    run(tour, "tour.py")
    command = [sys.executable, "-m", "queue", "--redis", redis_url, "work", "tour"]
    worker = subprocess.Popen(command, cwd=tour, stderr=subprocess.DEVNULL)
    try:
        jobs = queue.JobQueue.from_url(redis_url)
        while not jobs.is_complete("welcome-17"):
            time.sleep(0.02)
    finally:
        worker.terminate()
        assert worker.wait(30) == 0

    assert "result       Hello, Ada!" in run(tour, "-m", "queue", "--redis", redis_url, "show", "welcome-17")


def test_redis_cli_shows_what_the_readme_says(tour: Path, redis_url: str) -> None:
    """Each redis-cli command works on the documented keys."""
    if not shutil.which("redis-cli"):
        pytest.skip("there is no redis-cli on the PATH")
    run(tour, "tour.py")
    answers = []
    for line in block("redis-cli").splitlines():
        command = shlex.split(line, comments=True)
        done = subprocess.run(["redis-cli", "-u", redis_url, *command[1:]], capture_output=True, text=True, timeout=10)
        assert done.returncode == 0
        assert not done.stdout.startswith(("ERR", "WRONGTYPE"))
        answers.append(done.stdout.split("\n")[:-1])

    pending, scheduled, job = answers[:3]
    assert (len(pending), pending[0], len(scheduled)) == (4, "welcome-17", 2)
    assert dict(zip(job[::2], job[1::2], strict=True))["args"] == '["Ada"]'


def test_the_terminal_does_what_the_readme_says(tour: Path, redis_url: str) -> None:
    """Each `python -m queue` command works."""
    run(tour, "tour.py")
    shown = {}
    for line in block("terminal").splitlines():
        command = shlex.split(line, comments=True)[3:]
        shown[command[0]] = run(tour, "-m", "queue", "--redis", redis_url, *command)

    assert shown["stats"].startswith("pending:default  4")
    assert "state        pending" in shown["show"]
    assert shown["cancel"] == "cancelled\n"


def test_sinkiq_counts_what_it_did(redis_url: str, tmp_path: Path) -> None:
    """The example's page takes a message, and its worker does the job."""
    script = """
import sys; sys.argv = ["sinkiq", sys.argv[1]]; sys.path.insert(0, "examples")
import queue, threading, time, sinkiq
from starlette.testclient import TestClient
worker = queue.Worker(threads=2); thread = threading.Thread(target=worker.run); thread.start()
page = TestClient(sinkiq.app)
for message in ("hello <b>", "fail"):
    assert page.post("/", data={"message": message}).status_code == 200
while not ("<b>1</b> processed <b>1</b> failed <b>0</b> pending" in page.get("/").text): time.sleep(0.05)
assert "hello &lt;b&gt;" in page.get("/").text
worker.stop(); thread.join()
"""
    run(ROOT, "-c", script, redis_url)
    assert len((ROOT / "examples" / "sinkiq.py").read_text().splitlines()) < 80
