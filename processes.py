"""Processes that run together: one screen, one stop. What they are is local.py's business."""

import ctypes
import http.client
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_prctl = getattr(ctypes.CDLL(None), "prctl", None)
_PR_SET_PDEATHSIG = 1


class Problem(Exception):
    """Why it does not run; the message is the one line that a person reads."""


class Stop(Exception):
    """Somebody asked to stop, by Ctrl-C or a signal."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process: its command, how to see that it serves, how long it may take to stop, whether it is shown."""

    name: str
    command: list[str]
    ready: Callable[[], bool]
    stops_within: float = 5.0
    quiet: bool = False


class Processes:
    """The parts that run now. One thread does it all: output, signals, the end of a child."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = dict(environ) | {"PYTHONUNBUFFERED": "1"}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.parts: list[Part] = []  # in the order they were started
        self.output: dict[str, bytes] = {}  # per part, what follows the last whole line
        self.last_line: dict[str, str] = {}
        self.asked = 0
        self.selector = selectors.DefaultSelector()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, number: int, frame: object) -> None:
        self.asked += 1

    def start(self, part: Part) -> None:
        """Start in a process group of its own: Ctrl-C reaches us alone, and we stop the parts in order."""
        child = subprocess.Popen(  # noqa: S603 - commands of our own
            part.command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=end_with_parent,
        )
        self.running[part.name] = child
        self.parts.append(part)
        self.selector.register(child.stdout or -1, selectors.EVENT_READ, part)

    def until(self, done: Callable[[], bool], within: float = float("inf"), what: str = "") -> None:
        """Pass output on until done. Raises Stop when asked to, Problem when a part ends by itself or time is up."""
        end = time.monotonic() + within
        while not done():
            self._pump(0.1)
            if self.asked:
                raise Stop
            for name, child in self.running.items():
                if child.poll() is not None:
                    self._pump(0)
                    said = self.last_line.get(name, "it said nothing")
                    raise Problem(f"{name} ended with exit code {child.returncode}: {said}")
            if time.monotonic() > end:
                raise Problem(f"{what} did not answer within {within:.0f} s")
        self._pump(0)  # what was said before it was done comes before what we say about it

    def stop(self) -> None:
        """End all, last started first; being asked once more than it took to get here means now."""
        asked = min(self.asked, 1)
        for part in reversed(self.parts):
            self._end(part, asked)
        self._pump(0)

    def _end(self, part: Part, asked: int) -> None:
        child, end = self.running[part.name], time.monotonic() + part.stops_within
        if child.poll() is None:
            child.terminate()
        while child.poll() is None:
            if self.asked > asked or time.monotonic() > end:
                os.killpg(child.pid, signal.SIGKILL)
            self._pump(0.05)

    def _pump(self, timeout: float) -> None:
        for key, _ in self.selector.select(timeout):
            chunk = os.read(key.fd, 65536)
            if not chunk:
                self.selector.unregister(key.fileobj)
            self._print(key.data, chunk or b"\n")

    def _print(self, part: Part, chunk: bytes) -> None:
        *lines, self.output[part.name] = (self.output.get(part.name, b"") + chunk).split(b"\n")
        for line in filter(None, lines):
            self.last_line[part.name] = line.decode(errors="replace").rstrip()
            if not part.quiet:
                say(f"{part.name:7} | {self.last_line[part.name]}")


def say(text: str) -> None:
    """Print, and go on when nobody reads any more: what matters then is to stop in order."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the end


def end_with_parent() -> None:
    """For preexec_fn: when we are killed with -9 the kernel ends the child (on Linux; elsewhere it stays)."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def is_free(port: int) -> bool:
    """Whether a server could listen here."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; else a port just left seems taken
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def free_port(wanted: int) -> int:
    """The wanted one, else any."""
    if is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serves(port: int, path: str) -> bool:
    """Whether this page answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def pings(port: int) -> bool:
    """Whether a Redis answers that has loaded its data."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
