"""What the contract tests share: a clock, a look at where every job lies, tokens, and workers in threads."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import JobQueue, Worker, keys, named
from queue.jobs import Taken, Token
from queue.tasks import Registry, Task
from typing import Any

import redis
from redis._parsers import Encoder
from redis.connection import PythonRespSerializer

from tests.servers import wait_until

NS = "{queue}"
START = 1_800_000_000_000  # ms; where the tests' clock stands at first
JOB = f"{NS}:job:"
DAY = 24 * 3600
PLACES = {
    "list": ["pending:.+", "running:.+", "dead", "bell:.+"],
    "zset": ["scheduled", "workers"],
    "hash": ["job:(?s:.*)", "worker:.+", r"stats:\d+", "cron"],
    "set": ["paused"],
}


def exact_client(url: str) -> redis.Redis:
    """Return a client to which bytes that are no UTF-8 are text too; hiredis' packer would refuse them."""
    encoder: Any = Encoder  # it has no types
    packer = PythonRespSerializer(6000, encoder("utf-8", "surrogateescape", True).encode)
    return redis.Redis.from_url(url, decode_responses=True, encoding_errors="surrogateescape", command_packer=packer)


class Clock:
    """The time that scripts are given, in ms. Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        """Return what the scripts take for now."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1000)


def tokens(taken: Taken) -> list[Token]:
    """Return what settles the jobs taken."""
    lines = (line.split("\n") for line in taken.lines)
    return [(fields[0], fields[1], str(taken.now)) for fields in lines]


def take(jobs: JobQueue, worker: str = "ann", limit: int = 1, **options: Any) -> list[Token]:
    """Take up to so many jobs, in one batch if they are called greet, and return their tokens."""
    return tokens(jobs.take(worker, limit, **{"full": {"greet": limit}} | options))


def rings(jobs: JobQueue, bells: Sequence[str], timeout: float = 5) -> str | None:
    """Sleep on the bells as a worker does, and return the name of the list that rang."""
    rung: Any = jobs.redis.brpop(list(bells), timeout)
    return str(rung[0].decode()).rsplit(":", 1)[-1] if rung else None


def take_one(jobs: JobQueue, worker: str = "ann", **options: Any) -> Token:
    """Take one job and return its token."""
    (token,) = take(jobs, worker, **options)
    return token


def finish(jobs: JobQueue, token: Token, worker: str = "ann", result: str = "", ttl: int = 60_000) -> bool:
    """Finish one job; False if the token is no longer its."""
    return jobs.finish(worker, [(*token, ttl, result)]) == []


def held(jobs: JobQueue, worker: str = "ann") -> dict[Token, bool]:
    """Beat; return the tokens that the worker holds, and whether they were asked to stop."""
    return jobs.beat(worker, 15)[-1]


def add(jobs: JobQueue, *ids: str, queue: str = "default", task: str = "greet") -> list[str]:
    """Enqueue jobs with these ids."""
    return [jobs.enqueue(named(task, id=job_id, queue=queue)) for job_id in ids]


def running(jobs: JobQueue, job_id: str = "a", worker: str = "ann") -> Token:
    """Enqueue a job and take it. Returns its token."""
    add(jobs, job_id)
    return take_one(jobs, worker)


def buried(jobs: JobQueue, job_id: str = "a") -> Token:
    """Enqueue a job, take it and bury it. Returns its token."""
    token = running(jobs, job_id)
    assert jobs.bury("ann", token, "failed", "an error")
    return token


class Look:
    """What lies in Redis, for reading and for putting things there by hand."""

    def __init__(self, raw: redis.Redis) -> None:
        self.raw: Any = raw

    def pending(self, name: str = "default") -> list[str]:
        """Return the ids of a list, the next one first."""
        return list(reversed(self.raw.lrange(keys.pending(NS, name), 0, -1)))

    def running(self, worker: str = "ann") -> list[str]:
        """Return the ids that a worker holds, the oldest first."""
        return list(reversed(self.raw.lrange(keys.running(NS, worker), 0, -1)))

    def scheduled(self) -> dict[str, float]:
        """Return the scheduled ids and their times."""
        return dict(self.raw.zrange(keys.scheduled(NS), 0, -1, withscores=True))

    def dead(self) -> list[str]:
        """Return the dead, newest first."""
        return list(self.raw.lrange(keys.dead(NS), 0, -1))

    def workers(self) -> dict[str, float]:
        """Return the register of workers: name and end of lease."""
        return dict(self.raw.zrange(keys.workers(NS), 0, -1, withscores=True))

    def bell(self, name: str = "default") -> int:
        """Return how many tokens lie in a bell."""
        return int(self.raw.llen(keys.bell(NS, name)))

    def silence(self) -> None:
        """Empty all bells."""
        for key in self.raw.keys(keys.bell(NS, "*")):
            self.raw.delete(key)

    def job(self, job_id: str) -> dict[str, str]:
        """Return the hash of a job."""
        return dict(self.raw.hgetall(keys.job(NS, job_id)))

    def ttl(self, job_id: str) -> int:
        """Return the ms that a job's hash still has, -1 for ever."""
        return int(self.raw.pttl(keys.job(NS, job_id)))

    def dump(self) -> dict[str, Any]:
        """Return everything in the database but the counts, so that two moments can be compared."""
        counts = f"{NS}:stats:"
        return {key: self._value(key) for key in sorted(self.raw.keys("*")) if not key.startswith(counts)}

    def counts(self) -> dict[str, int]:
        """Return the counts of all minutes."""
        total: dict[str, int] = defaultdict(int)
        for key in self.raw.keys("*:stats:*"):
            for field, value in self.raw.hgetall(key).items():
                total[field] += int(value)
        return dict(total)

    def _value(self, key: str) -> Any:
        kind = self.raw.type(key)
        read = {"list": lambda: self.raw.lrange(key, 0, -1), "hash": lambda: self.raw.hgetall(key)}
        read |= {"set": lambda: self.raw.smembers(key), "zset": lambda: self.raw.zrange(key, 0, -1, withscores=True)}
        read |= {"stream": lambda: self.raw.xrange(key), "string": lambda: self.raw.get(key)}
        return read[kind]()

    def problems(self) -> list[str]:
        """Return what contradicts "each accepted id is in exactly one place, the one that its state says"."""
        kinds = self._each("type", self.raw.keys("*"))
        ttls = self._each("pttl", list(kinds))
        found = [f"{key} is a {kind}" for key, kind in kinds.items() if not _expected(key, kind)]
        found += [f"{key} has no TTL" for key in kinds if _temporary(key) and ttls[key] < 0]
        found += [
            f"{key} holds more than one token"
            for key in kinds
            if key.startswith(f"{NS}:bell:") and self.raw.llen(key) > 1
        ]
        places, jobs = self._places(kinds), self._each("hgetall", [key for key in kinds if key.startswith(JOB)])
        found += [f"{job_id!r} in {places[job_id]} has no hash" for job_id in places if JOB + job_id not in jobs]
        for key, fields in jobs.items():
            found += _misplaced(key.removeprefix(JOB), fields, places.get(key.removeprefix(JOB), []), ttls[key])
        held = {key.removeprefix(f"{NS}:running:") for key in kinds if key.startswith(f"{NS}:running:")}
        return found + [f"{worker} holds jobs and is not registered" for worker in held - self.workers().keys()]

    def _each(self, command: str, names: Sequence[str]) -> dict[str, Any]:
        pipe = self.raw.pipeline(transaction=False)
        for name in names:
            pipe.execute_command(command, name)
        return dict(zip(names, pipe.execute(), strict=True))

    def _places(self, kinds: dict[str, str]) -> dict[str, list[str]]:
        places: dict[str, list[str]] = defaultdict(list)
        for key in kinds:
            what = key.removeprefix(f"{NS}:")
            if what.startswith(("pending:", "running:")) or what == "dead":
                for job_id in self.raw.lrange(key, 0, -1):
                    places[job_id].append(what)
        for job_id in self.scheduled():
            places[job_id].append("scheduled")
        return places


def _expected(key: str, kind: str) -> bool:
    patterns = [*PLACES.get(kind, []), r"bad:\d+:(?s:.+)"]
    return any(re.fullmatch(re.escape(NS) + ":" + pattern, key) for pattern in patterns)


def _temporary(key: str) -> bool:
    return key.startswith((f"{NS}:bad:", f"{NS}:stats:", f"{NS}:worker:"))


def _misplaced(job_id: str, fields: dict[str, str], places: Sequence[str], ttl: int) -> list[str]:
    state, waiting = fields.get("state"), f"pending:{fields.get('queue')}"
    one = {"pending": waiting, "scheduled": "scheduled", "running": f"running:{fields.get('worker')}", "dead": "dead"}
    expected = [one[state]] if state in one else []
    if state == "cancelled" and list(places) == [waiting]:  # it is dropped, and its TTL starts, when its turn comes
        expected = [waiting]
    found = [] if list(places) == expected else [f"{job_id!r} is {state} and lies in {list(places)}"]
    lasting = state in ("pending", "scheduled", "running") or (state == "cancelled" and expected != [])
    return found if (ttl < 0) == lasting else [*found, f"{job_id!r} is {state} in {list(places)} with a TTL of {ttl}"]


def define(tasks: Registry, function: Callable[..., object], name: str = "greet", **options: Any) -> Task:
    """Register a task of one test. It is retried at once unless told otherwise."""
    return tasks.add(Task(name, function, **{"backoff": lambda failures, jitter: 0.0} | options))


class Gate:
    """A task that says when it has been reached, and goes on when the test opens it. Call it with False to pass."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, stop: bool = True) -> str:
        """Wait at the gate."""
        if stop:
            self.reached.set()
            self.opened.wait(60)
        return "passed"


@contextmanager
def working(worker: Worker) -> Iterator[Worker]:
    """Run a worker in threads of this process while the block lasts; then stop it and wait for its end."""
    thread = threading.Thread(target=worker.run, name="the worker")
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(30)
    assert not thread.is_alive(), "the worker did not stop"


def a_worker(jobs: JobQueue, tasks: Registry, threads: int = 2, **options: Any) -> Worker:
    """Return a worker whose lease and beat are short, so that nothing is waited for long."""
    return Worker(jobs=jobs, tasks=tasks, threads=threads, **{"lease": 3, "beat": 0.9, "grace": 5} | options)


def a_patient_worker(jobs: JobQueue, tasks: Registry, threads: int) -> Worker:
    """Return a worker whose turns a test takes one by one: no machine stands still for so long that it repeats one."""
    return a_worker(jobs, tasks, threads, lease=90, beat=30)


def wait_for(jobs: JobQueue, job_id: str, *states: str, seconds: float = 20.0) -> Any:
    """Return the job as soon as it has one of these states."""

    def there() -> bool:
        job = jobs.status(job_id)
        return job is not None and job.state in states

    wait_until(there, seconds, f"{job_id} to be {' or '.join(states)}; it is {jobs.status(job_id)}")
    return jobs.status(job_id)
