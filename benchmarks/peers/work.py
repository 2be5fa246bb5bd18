"""The work that is measured: the same four lines for every queue of Python. Needs nothing but the standard library.

What happened goes to the file named in BENCH_EVENTS, one line each: kind, number, monotonic ns, Unix ns, pid.
"""

import itertools
import os
import time

URL = os.environ["BENCH_REDIS"]
WIDTH = int(os.environ.get("BENCH_WIDTH", "10"))  # jobs at a time, of this worker
_events = os.open(os.environ["BENCH_EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_last = int(os.environ.get("BENCH_JOBS", "0"))
_ended = itertools.count(1)


def note(kind: str, number: int) -> None:
    """Write down that this happens now."""
    now = time.monotonic_ns()  # one clock for all processes of a machine
    os.write(_events, f"{kind} {number} {now} {time.time_ns()} {os.getpid()}\n".encode())


def empty(number: int) -> None:
    """Do nothing; but note when the first and the last of BENCH_JOBS ended."""
    ended = next(_ended)
    if ended == 1 or ended == _last:
        note("last" if ended == _last else "first", ended)


def stamp(number: int) -> None:
    """Note the time of the first line of this job."""
    note("stamp", number)


def sleep(ms: int) -> None:
    """Take so long, as a call over the network would."""
    note("start", ms)
    time.sleep(ms / 1000)
    note("end", ms)
