"""The worker process of the fault tests: a few tasks, and `Worker.run()`. Started by `Crew.start` in harness.py.

Tasks append one line an event to the file named in EVENTS. A line is one write to an O_APPEND file: it is whole, and
outlives a kill -9 of this process. `--die` kills the process at chosen calls of the queue: the methods of JobQueue are
wrapped here, nothing in queue/ knows of it.
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
import gc
import logging
import queue.jobs
import queue.tasks
import queue.timekeeper
import queue.worker
import random
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

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


# What leads to each call at which a worker may die (test_each_line.py). Only the first attempt is anything special.


def first() -> bool:
    """Note the start, and tell whether this is the first attempt. A later one is a plain job, which ends at once."""
    note("start")
    job = queue.current_job()
    if job is not None and job.attempt == 1:
        return True
    note("end")
    return False


@queue.task
def snoozes() -> None:
    """Ask for a little more time."""
    if first():
        raise queue.Snooze(0.1)


@queue.task
def gives_up() -> None:
    """Fail for good."""
    note("start")
    raise queue.GiveUp("for good")


@queue.task
def quits() -> None:
    """Cancel itself while it runs, and wait until it hears of it."""
    job = queue.current_job()
    if first() and job is not None:
        queue.cancel(job.id)
        while True:
            time.sleep(0.001)


@queue.task
def leaves(seconds: float) -> None:
    """Tell the worker to stop, as a platform does, and take so much longer."""
    if first():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
        note("end")


@queue.task
def hangs() -> None:
    """Do not end."""
    if first():
        time.sleep(600)


@queue.task
def forgets(name: str) -> None:
    """Take a job of that list in this worker's name, as a take does whose answer is lost."""
    job = queue.current_job()
    if first() and job is not None:
        job.jobs.take(job.worker, queues=[name])
        note("end")


# What no job should do (test_nasty.py).


@queue.task
def exits() -> None:
    """Leave without a word."""
    note("start")
    os._exit(0)


@queue.task
def segfaults() -> None:
    """Read where nothing is."""
    note("start")
    ctypes.string_at(0)


@queue.task
def aborts() -> None:
    """Do as a C library does that finds itself broken."""
    note("start")
    os.abort()


@queue.task(timeout=0.3)
def deaf() -> None:
    """Ignore the time limit, and whatever else is raised here."""
    note("start")
    while True:
        with contextlib.suppress(BaseException):
            while True:
                time.sleep(0.001)


@queue.task(retries=0)
def eats_at_once() -> None:
    """Ask for more memory than there is."""
    note("start")
    bytearray(1 << 40)


@queue.task(retries=0)
def eats_bit_by_bit() -> None:
    """Take all memory that there is, to the last bit; the error holds it until it is dealt with."""
    note("start")
    chain: Any = None
    for size in (1_000_000, 10_000, 100):
        with contextlib.suppress(MemoryError):
            while True:
                chain = (chain, bytearray(size))
    while True:
        chain = (chain, object())


@queue.task(retries=0)
def raises_deeply() -> None:
    """Raise an error that was raised while another was handled, and so on, thousands of them."""
    note("start")
    error: Exception = ValueError("the first")
    for number in range(5_000):
        following = ValueError(f"number {number}")
        following.__context__ = error
        error = following
    raise error


class LongText(Exception):
    """An error with much to say."""

    def __str__(self) -> str:
        return "much to say\n" * 1_000_000


@queue.task(retries=0)
def raises_much() -> None:
    """Raise an error whose text has 12 MB."""
    note("start")
    raise LongText


@queue.task
def returns(what: str) -> Any:
    """Return a value of that kind."""
    note("start")
    deep: list[Any] = []
    for _ in range(int(what) if what.isdigit() else 0):
        deep = [deep]
    note("end")
    return {"text": "a\x00b \ud800 \U0001f426 \r\n\u2028", "bytes": b"junk"}.get(what, deep)


def _takes_signals() -> None:
    """Ask for the signals of the process: only its main thread may."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


def _leaks_files() -> None:
    """Open files until there are too many, and keep them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    with contextlib.suppress(OSError):
        while True:
            leaked.append(open(os.devnull))  # noqa: SIM115 - a leak is what is wanted


def _prints() -> None:
    """Print what no terminal shows to a stream that is closed."""
    sys.stdout.close()
    with contextlib.suppress(ValueError):
        print("\x00 garbage \ud800")


leaked: list[object] = []
VANDALS: dict[str, Callable[[], object]] = {
    "cwd": lambda: os.chdir("/"),
    "environment": os.environ.clear,
    "logging": logging.shutdown,
    "stdout": _prints,
    "stderr": sys.stderr.close,
    "signals": _takes_signals,
    "timeouts": lambda: socket.setdefaulttimeout(0.000_1),
    "collector": gc.disable,
    "switches": lambda: sys.setswitchinterval(1),
    "files": _leaks_files,
    "chance": lambda: random.seed(0),
    "daemon": lambda: threading.Thread(target=time.sleep, args=(600,), daemon=True).start(),
    "thread": lambda: threading.Thread(target=time.sleep, args=(600,)).start(),
    "child": lambda: subprocess.Popen(["sleep", "5"]),
}


@queue.task(retries=0)
def spoils(what: str) -> None:
    """Change something that belongs to the whole process."""
    note("start")
    VANDALS[what]()
    note("end")


# How the process dies.


def redis_of(url: str) -> int | None:
    """Return the pid of that server, None if it is away."""
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=1) as client:
        return int(client.info("server")["process_id"])
    return None


def die_at(point: str, victim: Callable[[], int | None]) -> None:
    """Kill -9 once, this process or Redis, at a call of the queue. A point is `verb moment mark`.

    Moments: `before` and `after` a call that was given the mark, somewhere; at an `answer` that has the mark in it;
    and where a call returns what reads the answer, when the request is `sent`. A mark `#2` means the second time.
    """
    verb, moment, mark = point.split(" ", 2)
    call, over = getattr(queue.JobQueue, verb), threading.Event()
    left = threading.Semaphore(int(mark[1:]) - 1 if mark.startswith("#") else 0)

    def strike(now: str, said: str) -> None:
        if now != moment or over.is_set() or not (mark.startswith("#") or mark in said) or left.acquire(blocking=False):
            return
        if pid := victim():
            over.set()
            os.write(2, f"dies at {point}\n".encode())
            os.kill(pid, signal.SIGKILL)

    def deadly(jobs: queue.JobQueue, *args: Any, **kwargs: Any) -> Any:
        given = repr((args, kwargs))

        def answered(answer: Any) -> Any:
            strike("after", given)
            strike("answer", repr(answer))
            return answer

        strike("before", given)
        answer = call(jobs, *args, **kwargs)
        if not callable(answer):
            return answered(answer)
        strike("sent", given)
        return lambda: answered(answer())

    setattr(queue.JobQueue, verb, deadly)


def arguments() -> argparse.Namespace:
    """Read the command line: settings of the worker, of the queue's constants, and what shall befall the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("namespace")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--queues", type=lambda names: names.split(","))
    for name in ("lease", "beat", "grace", "overdue", "crash-delay", "unknown-delay"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--die", type=lambda points: points.split(";"), default=[])
    parser.add_argument("--victim", help="the URL of a Redis that dies instead of this process")
    parser.add_argument("--without", default="", help="tasks that this version does not know")
    parser.add_argument("--batches", default="", help="tasks known to be short, so that they are taken many at a time")
    parser.add_argument("--memory", type=int, default=0, help="megabytes of address space, from now on")
    return parser.parse_args()


def main() -> None:
    """Work as the arguments say."""
    given = {name: value for name, value in vars(arguments()).items() if value is not None}
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    queue.timekeeper.OVERDUE = given.pop("overdue", queue.timekeeper.OVERDUE)
    queue.jobs.CRASH_DELAY = given.pop("crash_delay", queue.jobs.CRASH_DELAY)
    queue.worker.UNKNOWN_DELAY = given.pop("unknown_delay", queue.worker.UNKNOWN_DELAY)
    victim = given.pop("victim", None)
    for point in given.pop("die"):
        die_at(point, (lambda: redis_of(victim)) if victim else os.getpid)
    for name in given.pop("without").split():
        del queue.tasks.registry.tasks[name]
    if megabytes := given.pop("memory"):
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    queue.connect(given.pop("url"), given.pop("namespace"))
    paces = dict.fromkeys(given.pop("batches").split(), 0.0001)
    worker = queue.Worker(**given)
    worker.pace.update(paces)
    worker.run()


if __name__ == "__main__":
    main()
