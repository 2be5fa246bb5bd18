"""Redis servers for tests: real processes on free ports, to start, freeze, kill, restart. Fixtures: conftest.py."""

import ctypes
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ROOT = Path(__file__).resolve().parent.parent
REDIS_62 = ROOT / ".venv" / "redis62" / "redis-server"  # put there by get_redis62.py
KINDS = ("redis7", "redis62", "fake")
READY_WITHIN = 20.0

each_redis = pytest.mark.parametrize("redis_url", KINDS, indirect=True)  # a contract test: runs on every kind

_prctl = getattr(ctypes.CDLL(None), "prctl", None)
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """For preexec_fn: when the thread that started us is gone, by kill -9 too, the kernel kills us (Linux only)."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def binary(kind: str) -> str | None:
    """Path of the server of this kind, "fake" for fakeredis's, None when this machine has none."""
    if kind == "fake":
        return "fake"
    if kind == "redis62":
        return str(REDIS_62) if REDIS_62.exists() else None
    return shutil.which("redis-server")


def best_real() -> str:
    """The kind of real server to use when a test does not care."""
    return "redis7" if binary("redis7") else "redis62"


def _ports() -> Iterator[int]:
    """Ports for this process alone, one after the other: each may be that of a server which is to be started again.

    They lie below the range for outgoing connections: in that range a client that reconnects to a stopped server can be
    given that very port, and connects to itself.
    """
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    first, count = (20_000 + int(number) % 4 * 3_000, 3_000) if number else (20_000, 12_000)
    ports = range(first, first + count)
    return itertools.cycle(random.sample(ports, len(ports)))


_own_ports = _ports()


def free_port() -> int:
    """A port nobody listens on."""
    for port in itertools.islice(_own_ports, 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise OSError("no free port between 20000 and 32000")


class RedisServer:
    """One server that keeps its folder and port over restarts. Config: `appendonly="yes", maxmemory="5mb"`."""

    def __init__(self, binary: str, **config: str | int) -> None:
        self.binary = binary
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = Path(tempfile.mkdtemp(prefix="redis-test-"))
        self.config = {"save": "", "appendonly": "no"} | {key.replace("_", "-"): str(v) for key, v in config.items()}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        return self._running().pid

    def start(self) -> Self:
        """Start, or start again on the same port and folder; returns when it answers PING with its data loaded."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for pytest: it stops us in its own order
                preexec_fn=die_with_parent,
            )
        wait_until(self._answers, READY_WITHIN, f"redis-server on port {self.port}")
        return self

    def stop(self) -> None:
        """Stop as an operator would (what was written is saved if it has an appendonly file)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill -9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze: connections stay, nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after pause."""
        self._running().send_signal(signal.SIGCONT)

    def client(self, **options: Any) -> redis.Redis:
        """A client that answers with str and never sends a command twice."""
        options = {"decode_responses": True, "socket_timeout": 10, "retry": Retry(NoBackoff(), 0)} | options
        return redis.Redis.from_url(self.url, **options)

    def close(self) -> None:
        """Kill and remove the folder."""
        if self.process is not None:
            self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self) -> list[str]:
        if self.binary == "fake":
            return [sys.executable, str(ROOT / "local.py"), "fake-redis", str(self.port)]
        own = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder)}
        return [self.binary, *(word for key, value in (self.config | own).items() for word in (f"--{key}", value))]

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError("this server was not started")
        return self.process

    def _answers(self) -> bool:
        if self._running().poll() is not None:
            raise RuntimeError(f"redis-server did not start: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            with self.client(socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:  # not listening yet, or loading its file
            return False

    def _end(self, number: int) -> None:
        process = self._running()
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)  # a frozen process acts on nothing but SIGKILL
            process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(check: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
    """Look every few milliseconds until the check is true; for facts in other processes that cannot be waited for."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what or getattr(check, '__name__', check)}")
        time.sleep(0.005)


def children() -> dict[int, str]:
    """Pid and command line of each child of this process (Linux; elsewhere none)."""
    found: dict[int, str] = {}
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that ended meanwhile; what it started is now another one's child
            for pid in map(int, task.read_text().split()):
                with suppress(OSError):
                    found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def end_child(pid: int) -> None:
    """Kill a child that a test forgot, and collect it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
