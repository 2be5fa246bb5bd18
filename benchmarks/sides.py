"""The two sides of a queue as processes of their own, what they report, and the Redis between them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks.entrants import ADAPTERS, Entrant
from tests.servers import RedisServer, die_with_parent, wait_until

PATIENCE = 300.0  # seconds for anything: the slowest needs a minute
LEAVING = 3.0  # for a process that has nothing to do any more


class Event(NamedTuple):
    """One line of the file of events."""

    kind: str
    number: int
    at: int  # monotonic ns
    wall: int  # Unix ns
    pid: int


class Producer:
    """A process that enqueues, and answers how that went."""

    def __init__(self, entrant: Entrant, url: str) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self.process = _start(entrant, url, ["produce"], self.log, Path(os.devnull))

    def ask(self, *command: str | int) -> Any:
        """Give it a command and return the answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(" ".join(map(str, command)).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the producer ended: {_tail(self.log)}")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        _end(self.process)
        self.log.close()


class Worker:
    """A worker process, and what its jobs noted."""

    def __init__(self, entrant: Entrant, url: str, kind: str, width: int, jobs: int = 0) -> None:
        with tempfile.NamedTemporaryFile(delete=False) as events:
            self.path = Path(events.name)
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.process = _start(entrant, url, ["worker", kind], self.log, self.path, width, jobs)

    def events(self, *kinds: str) -> list[Event]:
        """Return what was noted until now, in order."""
        whole, _, _ = self.path.read_text().rpartition("\n")
        lines = (line.split() for line in whole.splitlines())
        return [Event(kind, *map(int, numbers)) for kind, *numbers in lines if kind in kinds]

    def wait(self, kind: str, count: int = 1, seconds: float = PATIENCE) -> list[Event]:
        """Wait until so many were noted and return them."""
        with suppress(TimeoutError):
            wait_until(lambda: len(self.events(kind)) >= count or self.process.poll() is not None, seconds)
        found = self.events(kind)
        if len(found) < count:
            ended = f"ended with {self.process.poll()}, " if self.process.poll() is not None else ""
            raise RuntimeError(f"the worker {ended}noted {len(found)} of {count} {kind}: {_tail(self.log)}")
        return found

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        _end(self.process)
        self.log.close()
        self.path.unlink()


def _start(
    entrant: Entrant, url: str, side: list[str], log: Any, events: Path, width: int = 10, jobs: int = 0
) -> subprocess.Popen[bytes]:
    told = {"BENCH_REDIS": url, "BENCH_EVENTS": str(events), "BENCH_WIDTH": str(width), "BENCH_JOBS": str(jobs)}
    return subprocess.Popen(
        [*entrant.command, *side],
        cwd=ADAPTERS,
        env=entrant.environment | told,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if side == ["produce"] else log,
        stderr=log,
        process_group=0,
        preexec_fn=die_with_parent,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(LEAVING)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(BrokenPipeError):  # what it never read
                pipe.close()


def _tail(log: Any) -> str:
    log.seek(0)
    text: str = log.read().decode(errors="replace")
    return " / ".join(text.strip().splitlines()[-3:])[-500:] or "it said nothing"


@contextmanager
def server() -> Iterator[RedisServer]:
    """A Redis for the length of the block, that writes nothing to disk."""
    binary = shutil.which("redis-server")
    if binary is None:
        sys.exit("benchmarks need redis-server on the PATH")
    own = RedisServer(binary)
    try:
        yield own.start()
    finally:
        own.close()


def info(client: redis.Redis, section: str, name: str) -> float:
    """Return one number of INFO."""
    values: dict[str, Any] = client.info(section)
    return float(values[name])


def resident(pid: int) -> float:
    """Return the MB of memory that a process has now (RSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
