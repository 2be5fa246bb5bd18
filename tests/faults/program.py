"""The worker process of the fault tests: a few tasks, and `Worker.run()`. Started by `Crew.start` in harness.py.

Tasks append one line an event to the file named in EVENTS. A line is one write to an O_APPEND file: it is whole, and
outlives a kill -9 of this process.
"""

import os
import queue
import sys

if not hasattr(queue, "__path__"):  # the standard library's came first: lend it our names
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    queue.__path__ = [os.path.join(sys.path[0], "queue")]
    import queue._names

import argparse
import contextlib
import ctypes
import logging
import queue.jobs
import queue.timekeeper
import signal
import time

_events = os.open(os.environ["EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(kind: str) -> None:
    """Append `kind id attempt time pid` for the job that runs here."""
    job = queue.current_job()
    assert job is not None
    os.write(_events, f"{kind} {job.id} {job.attempt} {time.time()} {os.getpid()}\n".encode())


@queue.task
def quick() -> None:
    """Do nothing."""
    note("start")
    note("end")


@queue.task
def sleepy(seconds: float) -> int:
    """Block for so long; the result tells who did it."""
    note("start")
    time.sleep(seconds)
    note("end")
    return os.getpid()


@queue.task
def greedy(seconds: float, slice_of: float) -> None:
    """Hold the interpreter lock, in calls of so many seconds: no other thread of the process runs meanwhile."""
    note("start")
    sleep = ctypes.PyDLL(None).usleep
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sleep(int(slice_of * 1e6))
    note("end")


@queue.task(timeout=0.5)
def stuck() -> None:
    """Stay in C code, where nothing that is raised in this thread arrives."""
    note("start")
    ctypes.CDLL(None).sleep(600)


@queue.task
def killer() -> None:
    """Take the whole worker down."""
    note("start")
    os.kill(os.getpid(), signal.SIGKILL)


@queue.task
def fuse(path: str) -> None:
    """Do nothing; but if there is such a file, remove it and take the whole worker down, this once."""
    note("start")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        os.kill(os.getpid(), signal.SIGKILL)
    note("end")


@queue.task(backoff=lambda failures, jitter: 0.1)
def fails_once(seconds: float = 0) -> None:
    """Fail at the first attempt, after so long."""
    note("start")
    time.sleep(seconds)
    job = queue.current_job()
    if job is not None and job.failures == 0:
        raise ValueError("the first time")
    note("end")


def main() -> None:
    """Work as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("namespace")
    parser.add_argument("--threads", type=int)
    for name in ("lease", "beat", "grace", "overdue", "crash-delay"):
        parser.add_argument(f"--{name}", type=float)
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    queue.timekeeper.OVERDUE = given.pop("overdue", queue.timekeeper.OVERDUE)
    queue.jobs.CRASH_DELAY = given.pop("crash_delay", queue.jobs.CRASH_DELAY)
    queue.connect(given.pop("url"), given.pop("namespace"))
    queue.Worker(**given).run()


if __name__ == "__main__":
    main()
