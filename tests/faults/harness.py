"""Worker processes, what they report, and the check that nothing was lost."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Job, JobQueue
from typing import Any, NamedTuple

import redis

from tests.faults.proxy import Proxy as Proxy
from tests.faults.proxy import Rule as Rule
from tests.faults.proxy import verb_sha as verb_sha
from tests.servers import ROOT, die_with_parent, wait_until

# In one step: a job that moves between two looks would be nowhere.
PLACES = """
local found = {}
for _, key in ipairs(redis.call("KEYS", ARGV[1] .. "*")) do
  local place, ids = string.sub(key, #ARGV[1] + 1), {}
  if place == "scheduled" then
    ids = redis.call("ZRANGE", key, 0, -1)
  elseif string.find(place, "^pending:") or string.find(place, "^running:") or place == "dead" then
    ids = redis.call("LRANGE", key, 0, -1)
  end
  if #ids > 0 then found[#found + 1] = { place, ids } end
end
return found
"""
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

    def __init__(self, command: list[str], events: Path, log: Path, sink: int | None = None) -> None:
        self.log_path = log
        with log.open("wb") as file:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"EVENTS": str(events)},
                stdout=file if sink is None else sink,
                stderr=file if sink is None else sink,
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
    program: tuple[str, ...] = ("-m", "tests.faults.program")
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
        starts = Counter(event.id for event in self.events("start"))
        ledger(
            row=self.folder.name,
            jobs=len(starts),
            starts=starts.total(),
            again=sum(times > 1 for times in starts.values()),
        )

    def start(self, url: str | None = None, *, ready: bool = True, sink: int | None = None, **options: Any) -> Process:
        """Start a worker process; `lease=3` becomes `--lease 3`. Waits until it is in the register of workers.

        It logs to a file, or to a descriptor of the caller's.
        """
        words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        command = [sys.executable, *self.program, url or self.url, self.namespace, *words]
        log = self.folder / f"{self.namespace}-{len(self.processes)}.log"
        process = Process(command, self.path, log, sink)
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
        found: Any = self.redis.eval(PLACES, 0, self.key(""))
        return dict(found)

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


def ledger(**figures: Any) -> None:
    """Add a line to the file named in LEDGER, if any: what this test saw, for the report of `make faults`."""
    if path := os.environ.get("LEDGER"):
        test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
        with Path(path).open("a") as file:
            file.write(json.dumps({"test": test} | figures, default=str) + "\n")
