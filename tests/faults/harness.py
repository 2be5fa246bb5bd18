"""Worker processes, what they report, a TCP proxy that loses answers, and the check that nothing was lost."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Job, JobQueue
from queue.jobs import _SCRIPTS
from typing import Any, NamedTuple

import redis

from tests.servers import ROOT, die_with_parent, free_port, wait_until

BRISK: dict[str, Any] = {"lease": 3, "beat": 1}  # for what the promises name no seconds for


class Event(NamedTuple):
    """One line of the event file: a job started or ended."""

    kind: str
    id: str
    attempt: int
    at: float  # Unix seconds
    pid: int


class Process:
    """One worker process, and its log."""

    def __init__(self, command: list[str], events: Path, log: Path) -> None:
        self.log_path = log
        with log.open("wb") as sink:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"EVENTS": str(events)},
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=die_with_parent,
            )
        self.pid = self.popen.pid

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self.popen.kill()
        self.popen.wait()

    def ends(self, seconds: float = 30) -> int:
        """Wait for its end and return the exit code."""
        return self.popen.wait(seconds)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text(errors="replace")

    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Kill it if it still runs, frozen or not."""
        if self.alive:
            self.kill()


@dataclass
class Crew:
    """Workers of one namespace and a producer's queue for it. Close it, or use it as a context manager."""

    url: str
    folder: Path
    namespace: str = "queue"
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.jobs = JobQueue.from_url(self.url, self.namespace)
        self.redis: Any = redis.Redis.from_url(
            self.url, decode_responses=True, encoding_errors="replace", socket_timeout=10
        )
        self.path = self.folder / f"{self.namespace}.events"
        self.path.touch()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.close()
        self.jobs.redis.close()
        self.redis.close()

    def start(self, url: str | None = None, *, ready: bool = True, **options: Any) -> Process:
        """Start a worker process; `lease=3` becomes `--lease 3`. Waits until it is in the register of workers."""
        words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        command = [sys.executable, "-m", "tests.faults.program", url or self.url, self.namespace, *words]
        log = self.folder / f"{self.namespace}-{len(self.processes)}.log"
        process = Process(command, self.path, log)
        self.processes.append(process)
        if ready:
            wait_until(lambda: not process.alive or self.registered(process), 20, f"{log} to register")
            assert process.alive, process.log
        return process

    def registered(self, process: Process) -> bool:
        """Whether this process is in the register of workers."""
        return any(f"-{process.pid}-" in name for name in self.register())

    def register(self) -> list[str]:
        """Names of all registered workers."""
        return list(self.redis.zrange(self.key("workers"), 0, -1))

    def key(self, what: str) -> str:
        """A key of this namespace."""
        return f"{{{self.namespace}}}:{what}"

    def events(self, kind: str | None = None, job_id: str | None = None) -> list[Event]:
        """What the tasks noted so far, in the order it happened."""
        whole, _, _ = self.path.read_text().rpartition("\n")  # the last line may be in the writing
        lines = [line.split() for line in whole.splitlines()]
        events = [Event(kind, id_, int(attempt), float(at), int(pid)) for kind, id_, attempt, at, pid in lines]
        return [one for one in events if kind in (None, one.kind) and job_id in (None, one.id)]

    def started(self, job_id: str, times: int = 1, seconds: float = 30) -> Event:
        """Wait until the job has started so many times; return the last start."""
        wait_until(lambda: len(self.events("start", job_id)) >= times, seconds, f"start {times} of {job_id}")
        return self.events("start", job_id)[times - 1]

    def job(self, job_id: str) -> Job:
        """What Redis says of a job that must be known."""
        job = self.jobs.status(job_id)
        assert job is not None, f"{job_id} is unknown"
        return job

    def done(self, job_id: str, seconds: float = 30) -> Job:
        """Wait until the job is done and return it."""
        wait_until(lambda: self.job(job_id).state == "done", seconds, f"{job_id} done, not {self.job(job_id)}")
        return self.job(job_id)

    def all_done(self, ids: Iterable[str], seconds: float = 60) -> list[Job]:
        """Wait until all are done; then check the places (nothing is left anywhere) and the starts (all explained)."""
        left = dict.fromkeys(ids)
        jobs: list[Job] = []

        def look() -> bool:
            for job_id in list(left):
                if (job := self.job(job_id)).state == "done":
                    jobs.append(job)
                    del left[job_id]
                else:
                    return False
            return True

        wait_until(look, seconds, f"all jobs done, {len(left)} are not")
        wait_until(lambda: not self.places(), 5, f"all places empty, not {self.places()}")
        self.check_starts(jobs)
        return jobs

    def places(self) -> dict[str, list[str]]:
        """Every place that holds job ids now, and the ids."""
        found: dict[str, list[str]] = {}
        for key in self.redis.scan_iter(f"{self.key('')}*", 1000):
            place = key.removeprefix(self.key(""))
            if place.startswith(("pending:", "running:", "dead")):
                found[place] = list(self.redis.lrange(key, 0, -1))
            elif place == "scheduled":
                found[place] = list(self.redis.zrange(key, 0, -1))
        return {place: ids for place, ids in found.items() if ids}

    def check_starts(self, jobs: list[Job]) -> None:
        """No attempt started twice, none after the last that Redis counted, and the last one came to its end."""
        starts = Counter((event.id, event.attempt) for event in self.events("start"))
        ends = {(event.id, event.attempt) for event in self.events("end")}
        twice = [start for start, times in starts.items() if times > 1]
        assert not twice, f"started twice: {twice}"
        last = {job.id: job.attempt for job in jobs}
        late = [start for start in starts if start[0] in last and start[1] > last[start[0]]]
        assert not late, f"attempts that Redis does not know: {late}"
        unended = [job.id for job in jobs if (job.id, job.attempt) not in ends]
        assert not unended, f"done, but the attempt did not end: {unended}"


def verb_sha(verb: str) -> bytes:
    """What a request of this verb carries, once its script is loaded."""
    return _SCRIPTS[verb].sha.encode()


@dataclass
class Rule:
    """Which answer to lose: the one to a request with all of these in it, itself with this in it."""

    request: tuple[bytes, ...]
    reply: bytes = b""
    delay: float | None = None  # seconds to hold it back instead
    times: int = 1


class Proxy:
    """Stands between worker and Redis, passes everything on, and loses or delays the answers that `rules` name."""

    def __init__(self, port: int) -> None:
        self.target, self.port, self.rules = port, free_port(), list[Rule]()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.lost: list[bytes] = []  # answers lost or delayed, for the test to see that the fault happened
        self.closing = threading.Event()
        self.threads: list[threading.Thread] = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.listener.settimeout(0.1)
        self._run(self._listen)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for thread in self.threads:
            thread.join(10)
        self.listener.close()

    def lose(self, *request: bytes, reply: bytes = b"", delay: float | None = None) -> None:
        """Lose the next answer that fits (it reached Redis, and the connection breaks), or hold it back."""
        self.rules.append(Rule(request, reply, delay))

    def _run(self, target: Any, *args: Any) -> None:
        self.threads.append(threading.Thread(target=target, args=args, daemon=True))
        self.threads[-1].start()

    def _listen(self) -> None:
        while not self.closing.is_set():
            with contextlib.suppress(TimeoutError):
                self._run(self._serve, self.listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            request = b""
            while not self.closing.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.1)
                if client in ready:
                    data = client.recv(1 << 20)
                    request += data
                    server.sendall(data)
                if server in ready:
                    data = server.recv(1 << 20)
                    if self._loses(request, data):
                        return
                    request = b""
                    client.sendall(data)
                if ready and not data:
                    return

    def _loses(self, request: bytes, reply: bytes) -> bool:
        for rule in self.rules:
            if rule.times and all(mark in request for mark in rule.request) and rule.reply in reply:
                rule.times -= 1
                self.lost.append(reply)
                if rule.delay is None:
                    return True
                time.sleep(rule.delay)
        return False
