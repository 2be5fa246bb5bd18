"""The queue's transitions, one method each. What they promise stands in the
headers of the scripts in lua/, which decide. Times given are seconds, times kept are milliseconds."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from redis import BlockingConnectionPool, ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry as RedisRetry

from . import keys
from .errors import LONGEST, BadOption, NotATask, QueueError, seconds
from .job import Job, arguments, checked_id, cut, encode, new_id, new_ids, read, text
from .tasks import Task, as_task, checked_list
from .wire import SHAS, Wire

DEADLY_CRASHES = 3
CRASH_DELAY = 10.0  # seconds before a job that crashed twice runs again; up to three times that
PRODUCER_TIMEOUT = 0.9  # seconds for a connection and again for an answer: a typed error within two
CONNECTIONS = 8  # of a process that enqueues, however many threads it has: who comes ninth waits
CHUNK_JOBS, CHUNK_BYTES = 500, 1 << 20  # of one call of enqueue
SEPARATOR = "\x1e"  # between the jobs of a take

Token = tuple[str, str, str]  # id, attempt, started_at: as they lie in Redis
Held = dict[Token, bool]  # what a worker holds -> whether it is asked to stop


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a take. Each of `lines` is a job's fields: `read_taken` in run.py reads them."""

    sent: float  # monotonic
    now: int  # ms
    due_in: float | None  # seconds until the next due job
    more: bool
    lost: list[str]
    lines: list[str]

    @property
    def ids(self) -> list[str]:
        """Return the ids of the jobs taken."""
        return [line.split("\n", 1)[0] for line in self.lines]


class JobQueue:
    """A queue in one namespace of one Redis. Threads may share it, but for `send_take`."""

    def __init__(self, redis: Redis, namespace: str = "queue", *, clock: Callable[[], int | str] | None = None) -> None:
        checked_list(namespace)
        self.redis, self.namespace, self.ns = redis, namespace, keys.namespace(namespace)
        self.clock = clock or (lambda: "")  # tests set the time, in ms; "" is the server's clock
        self.wire = Wire(redis)
        self.beaten = 0  # ms, when our last beat reached Redis

    @classmethod
    def from_url(cls, url: str, namespace: str = "queue", **options: Any) -> "JobQueue":
        """Return a queue for producers: without Redis it raises Unavailable within 2 s. Opens no connection yet. Raises
        BadOption for an address or options that redis-py cannot use."""
        limits: dict[str, Any] = {"max_connections": CONNECTIONS, "timeout": PRODUCER_TIMEOUT}
        limits |= {"socket_timeout": PRODUCER_TIMEOUT, "socket_connect_timeout": PRODUCER_TIMEOUT}
        try:
            options |= {"decode_responses": False}  # what lies there may be no text: one such job would stop all
            pool = BlockingConnectionPool.from_url(url, **limits | {"retry": RedisRetry(NoBackoff(), 0)} | options)
            pool.connection_class(**pool.connection_kwargs)  # not connected; finds options that it does not know
        except (ValueError, TypeError, AttributeError):  # what they say may hold a piece of the password
            raise BadOption(f"not a Redis URL: {str(url).split('@')[-1]!r}; like redis://host:6379/0") from None
        return cls(Redis.from_pool(pool), namespace)

    def sibling(self, timeout: float) -> "JobQueue":
        """Return the same queue on one connection of its own, without retries, for one thread at a time."""
        pool = self.redis.connection_pool
        limits: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        limits |= {"retry": RedisRetry(NoBackoff(), 0), "decode_responses": False}
        own = ConnectionPool(pool.connection_class, max_connections=1, **pool.connection_kwargs | limits)
        return JobQueue(Redis.from_pool(own), self.namespace, clock=self.clock)

    # ------------------------------------------------------------------------------------------ for producers

    def enqueue(self, target: Task | str, /, *args: Any, **kwargs: Any) -> str:
        """Store a job and return its id. Raises NotATask, NotJSON, TooLarge or BadOption; Unavailable without Redis."""
        return self._enqueue_one(target, args, kwargs, "")

    def enqueue_in(self, delay: float | timedelta, target: Task | str, /, *args: Any, **kwargs: Any) -> str:
        """Store a job that is due in so many seconds, or a timedelta, by the clock of the Redis server, and return its
        id. Raises as `enqueue` does, TypeError for what is no time, BadOption for one out of bounds."""
        return self._enqueue_one(target, args, kwargs, f"+{_ms(seconds(delay))}")

    def enqueue_at(self, when: datetime | float, target: Task | str, /, *args: Any, **kwargs: Any) -> str:
        """Store a job that is due at an aware datetime or a Unix time in seconds, and return its id. Raises as
        `enqueue_in` does."""
        return self._enqueue_one(target, args, kwargs, str(_instant(when)))

    def enqueue_many(self, calls: Iterable[Sequence[Any]]) -> list[str]:
        """Store jobs given as `(task, *args)` and return their ids. All are looked at before the first is stored."""
        parts = list(calls)
        for call in parts:
            if not (isinstance(call, tuple | list) and call):
                raise NotATask(f"{call!r} is no call: give (task, *args)")
        ids = new_ids(len(parts))
        jobs = [_packed(as_task(part[0]), part[1:], {}, "", new) for part, new in zip(parts, ids, strict=True)]
        for chunk in _chunks(jobs):
            self._call("enqueue", encode(chunk))
        return [job[0] for job in jobs]

    def _enqueue_one(self, target: Task | str, args: tuple[Any, ...], kwargs: dict[str, Any], due: str) -> str:
        job = _packed(as_task(target), args, kwargs, due, new_id())
        self._call("enqueue", encode([job]))
        return job[0]

    def status(self, job_id: str) -> Job | None:
        """Return the job, or None: never enqueued, or finished and forgotten. One HGETALL."""
        try:
            found = self.wire.call("HGETALL", keys.job(self.ns, job_id))
            fields = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))  # RESP 3, 2
            return read(job_id, fields)
        except UnicodeEncodeError:  # no id of ours
            return None

    def is_complete(self, job_id: str) -> bool:
        """Return whether the job ended well. Dead, cancelled and unknown are not complete."""
        job = self.status(job_id)
        return job is not None and job.state == "done"

    def cancel(self, job_id: str, token: tuple[str, Token] | None = None) -> str:
        """Return "cancelled", "stopping" (it runs and is asked to stop), "too late" or "unknown".

        Like all that follow it raises BadOption for what is no id or list, and Unavailable without Redis.
        """
        by_worker = (token[0], *token[1][1:]) if token else ()
        return self._text("cancel", job_id, *by_worker)

    def reschedule(self, job_id: str, when: datetime | float) -> str:
        """Give a scheduled job another time, as `enqueue_at` has it. Returns "rescheduled", "too late" or "unknown"."""
        return self._text("reschedule", job_id, _instant(when))

    def revive(self, job_id: str) -> str:
        """Make a dead job pending again. Returns "revived", "too late" or "unknown"."""
        return self._text("revive", job_id)

    def discard(self, job_id: str) -> str:
        """Forget a dead job within the hour, of any id. Returns "discarded", "too late" or "unknown"."""
        try:
            return text(self._call("discard", job_id))
        except UnicodeEncodeError:  # no id of ours
            return "unknown"

    def pause(self, name: str) -> None:
        """Stop taking from a list, in all workers. What runs goes on, what comes waits."""
        self.wire.call("SADD", keys.paused(self.ns), checked_list(name))

    def resume(self, name: str) -> None:
        """Take from a paused list again."""
        self.wire.call("SREM", keys.paused(self.ns), checked_list(name))
        self.ring(name)

    def ring(self, name: str) -> None:
        """Wake one idle worker of this list, now or as soon as there is one."""
        self._call("ring", name)

    # ------------------------------------------------------------------------------------------ for workers

    def take(self, worker: str, limit: int = 1, **options: Any) -> Taken:
        """Take the most urgent jobs, and settle finished ones. The options are those of `send_take`."""
        return self.send_take(worker, limit, **options, alone=True)()

    def send_take(
        self,
        worker: str,
        limit: int = 1,
        *,
        queues: Sequence[str] = ("default",),
        lease: float = 15,
        full: Mapping[str, int] | None = None,
        finished: Sequence[tuple[Any, ...]] = (),
        nap: float = 0,
        alone: bool = False,
    ) -> Callable[[], Taken]:
        """Send a take, and return what reads its answer, so that Redis works while the caller does.

        It takes at most `limit` jobs, for a lease in seconds; `full` says how many of a task make a batch. It also
        settles finished jobs: (id, attempt, started_at, ttl in ms, result as JSON or "") each. With a nap it lies in
        Redis until a bell of its lists rings, or so many seconds: from the bell to the job is no round trip. Answers
        are read in the order of sending, by one thread at a time, unless sent `alone`. Both may raise Unavailable.
        """
        doze = ("BRPOP", *(keys.bell(self.ns, name) for name in queues), nap)
        command = "EVALSHA", SHAS["take"], 1, self.ns, self.clock(), worker, _ms(lease), limit
        batches, sent = (encode(full or {}), encode(queues), encode(finished)), monotonic()
        answer = self.wire.send(*command, *batches, first=doze if nap else None, alone=alone)
        return lambda: _taken(sent, answer() if nap else (None, answer()), queues)

    def finish(self, worker: str, finished: Sequence[tuple[Any, ...]]) -> list[str]:
        """Settle finished jobs, as in `take`. Returns the ids that this worker no longer holds."""
        return _texts(self._call("finish", worker, encode(finished)))

    def retry(self, worker: str, token: Token, delay: float, error: str) -> bool:
        """Put a failed job on the schedule. False if the token is no longer the job's: nothing is changed."""
        return bool(self._call("retry", worker, *token, _ms(delay), 1, cut(error)))

    def snooze(self, worker: str, token: Token, delay: float) -> bool:
        """Put a job back on the schedule without counting a failure. False as in `retry`."""
        return bool(self._call("retry", worker, *token, _ms(delay), 0, ""))

    def bury(self, worker: str, token: Token, reason: str, error: str, *, failed: bool = True) -> bool:
        """Put a job among the dead, with its error. False as in `retry`."""
        return bool(self._call("bury", worker, *token, reason, cut(error), int(failed)))

    def release(self, worker: str, tokens: Sequence[Token]) -> list[str]:
        """Give jobs back to the front of their lists, oldest first. Returns the ids no longer held."""
        flat = [value for token in tokens for value in token]
        return _texts(self._call("release", worker, *flat))

    def reclaim(self, worker: str | None = None, *, within: float | None = None) -> list[tuple[str, str]]:
        """Take back what workers, or this one, held whose lease is over. Returns ids and what became of them.

        Does nothing if it reaches Redis later than `within` seconds after our last beat did.
        """
        seed, only = random.getrandbits(31), (worker,) if worker else ()
        until = "" if within is None else self.beaten + _ms(within)
        flat = _texts(self._call("reclaim", DEADLY_CRASHES, _ms(CRASH_DELAY), seed, until, *only))
        return list(zip(flat[::2], flat[1::2], strict=True))

    def beat(
        self, worker: str, lease: float, card: Mapping[str, Any] | None = None, idle: float = 0
    ) -> tuple[float, bool, Held]:
        """Renew the lease, or end it with 0; the last turn was `idle` seconds ago.

        Returns seconds to the earliest lease end of all, whether ours had held until now, and what we hold.
        """
        told = (value for pair in (card or {}).items() for value in pair)
        first, kept, held, self.beaten = self._call("beat", worker, _ms(lease), _ms(idle), *told)
        rows = zip(held[::4], held[1::4], held[2::4], held[3::4], strict=True)
        return first / 1000, bool(kept), {(_exact(i), _exact(a), _exact(s)): bool(stop) for i, a, s, stop in rows}

    # ------------------------------------------------------------------------------------------ Redis

    def close(self) -> None:
        """Close the connections. What is called later opens new ones."""
        self.wire.close()

    def _call(self, verb: str, *args: Any) -> Any:
        return self.wire.call("EVALSHA", SHAS[verb], 1, self.ns, self.clock(), *args)

    def _text(self, verb: str, job_id: str, *args: Any) -> str:
        return text(self._call(verb, checked_id(job_id), *args))


_default: JobQueue | None = None


def connect(url: str, namespace: str = "queue", **options: Any) -> JobQueue:
    """Choose the queue that the functions of this package use; options go to redis-py. Opens no connection yet."""
    global _default
    _default = JobQueue.from_url(url, namespace, **options)
    return _default


def connected() -> JobQueue:
    """Return the queue chosen by `connect`. Raises QueueError if there is none."""
    if _default is None:
        raise QueueError(f"no queue is chosen: call {__package__}.connect(url) first")
    return _default


def _taken(sent: float, answers: tuple[Exception | None, Any], queues: Sequence[str]) -> Taken:
    refusal, (now, wait, more, lost, jobs) = answers
    if refusal and not jobs:
        raise QueueError(f"nobody can sleep on the bells of {list(queues)}: {refusal}")
    lines = text(jobs).split(SEPARATOR) if jobs else []
    return Taken(sent, now, None if wait < 0 else wait / 1e6, bool(more), _texts(lost), lines)


def _packed(task: Task, args: Sequence[Any], kwargs: dict[str, Any], due: str, new: str) -> tuple[str, ...]:
    given, named = arguments(args, kwargs)
    attempts = "" if task.max_attempts is None else str(task.max_attempts)
    return task.id or new, task.queue, task.name, given, named, due, attempts


def _chunks(jobs: list[tuple[str, ...]]) -> Iterable[list[tuple[str, ...]]]:
    start = size = 0
    for end, job in enumerate(jobs, 1):
        size += len(job[3])
        if end - start == CHUNK_JOBS or size > CHUNK_BYTES or end == len(jobs):
            yield jobs[start:end]
            start, size = end, 0


def _instant(when: datetime | float) -> int:
    if isinstance(when, datetime):
        if when.utcoffset() is None:
            raise TypeError(f"{when!r} has no time zone: give an aware datetime or Unix seconds")
        when = when.timestamp()
    if isinstance(when, bool) or not isinstance(when, int | float):
        raise TypeError(f"{when!r} is no time: give an aware datetime or Unix seconds")
    return _ms(when)


def _ms(value: float) -> int:
    if not -LONGEST < value < 2 * LONGEST:
        raise BadOption(f"{str(value)[:50]} seconds is no time that a job could wait for")
    return round(value * 1000)


def _exact(value: Any) -> Any:
    """Return text, but what is not UTF-8 as it is: it must match when it is sent back."""
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        return value


def _texts(values: Sequence[bytes | str]) -> list[str]:
    return [text(value) for value in values]
