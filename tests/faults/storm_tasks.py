"""The worker process of the storm: tasks that note what they are about to cause, before they cause it. Every note is on
disk when the task goes on (O_DSYNC): the checker can ask of each transition whether this very attempt asked for it."""

import os
import time

import tests.faults.program as program  # first: it makes `import queue` mean ours
from tests.faults.program import main, note

import queue  # isort: skip

program._events = os.open(os.environ["EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_DSYNC)


def _soon(failures: int, jitter: float) -> float:
    return 0.1 + jitter / 2


def _end() -> list[int]:
    """Note the end; the result names the attempt and the process whose it is."""
    note("end")
    job = queue.current_job()
    return [job.attempt if job else 0, os.getpid()]


def _fail() -> None:
    note("fail")
    job = queue.current_job()
    raise ValueError(f"attempt {job.attempt if job else 0}")


@queue.task
def work(seconds: float = 0) -> list[int]:
    """Take so long."""
    note("start")
    time.sleep(seconds)
    return _end()


@queue.task(backoff=_soon)
def stumble(seconds: float, failures: int) -> list[int]:
    """Fail so many times, then end well."""
    note("start")
    time.sleep(seconds)
    job = queue.current_job()
    if job is not None and job.failures < failures:
        _fail()
    return _end()


@queue.task(retries=2, backoff=_soon)
def fall(seconds: float) -> None:
    """Fail for ever."""
    note("start")
    time.sleep(seconds)
    _fail()


@queue.task
def snooze(times: int, seconds: float) -> list[int]:
    """Come back later, at so many attempts."""
    note("start")
    job = queue.current_job()
    if job is not None and job.attempt <= times:
        note("snooze")
        raise queue.Snooze(seconds)
    return _end()


@queue.task(result_ttl=1)
def brief() -> None:
    """Be done, and forgotten a second later."""
    note("start")


if __name__ == "__main__":
    main()
