"""What lies in the queue, for people and dashboards. Reads only; the core does not need it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from . import keys
from .job import Job, read, text
from .jobs import JobQueue

SOON = 60_000  # ms
FRONT = 20  # jobs at the front of a list of which one tells since when it waits
FIELDS = (  # of a job, without what may be long and belongs to its task
    *("state", "task", "queue", "attempt", "failures", "crashes", "worker", "error", "reason"),
    *("enqueued_at", "due_at", "started_at", "finished_at"),
)
PROGRESS = ("state", "attempt", "failures", "due_at", "reason")
Look = TypeVar("Look", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Overview:
    """The queue at a glance. Times are milliseconds by the clock of the Redis server."""

    now: int
    pending: dict[str, int]  # list -> jobs that wait
    oldest: dict[str, int]  # list -> since when the next one to be taken waits
    paused: list[str]
    scheduled: int
    due_soon: int  # within a minute, or late
    next_due: int | None
    running: int
    dead: int
    workers: int
    threads: int  # of living workers
    busy: int  # of those, at a job
    served: set[str]  # lists that a living worker takes from
    last_hour: dict[str, int]  # taken, done, retried, dead, reclaimed; waited in ms


def _typed(look: Look) -> Look:
    """Raise what redis-py raises as our errors."""

    @wraps(look)
    def typed(jobs: JobQueue, *args: Any, **kwargs: Any) -> Any:
        return jobs.wire.guarded(lambda: look(jobs, *args, **kwargs))

    return typed  # type: ignore[return-value]  # the same signature


@_typed
def overview(jobs: JobQueue, lists: Iterable[str] | None = None) -> Overview:
    """Count everything: these lists, those that workers take from, those paused. Without names a SCAN of the whole
    database finds them: for people, not for a look every few seconds."""
    redis, ns, now = jobs.redis, jobs.ns, clock(jobs)
    known, paused = workers(jobs), {text(name) for name in redis.smembers(keys.paused(ns))}
    alive = [worker for worker in known if worker["lease_ms"] > 0]
    served = {name for worker in alive for name in worker.get("lists", "").split(",") if name}
    names = sorted(_scan(jobs) if lists is None else {*lists, *served, *paused})
    next_due: Any = redis.zrange(keys.scheduled(ns), 0, 0, withscores=True)
    return Overview(
        now=now,
        pending={name: redis.llen(keys.pending(ns, name)) for name in names},
        oldest={name: since for name in names if (since := _waits_since(jobs, name))},
        paused=sorted(paused),
        scheduled=redis.zcard(keys.scheduled(ns)),
        due_soon=redis.zcount(keys.scheduled(ns), "-inf", now + SOON),
        next_due=_whole(next_due[0][1]) if next_due else None,
        running=sum(redis.llen(keys.running(ns, worker["name"])) for worker in known),
        dead=redis.llen(keys.dead(ns)),
        workers=len(alive),
        threads=sum(_whole(worker.get("threads", 0)) for worker in alive),
        busy=sum(_whole(worker.get("busy", 0)) for worker in alive),
        served=served,
        last_hour=total(minutes(jobs)),
    )


def _scan(jobs: JobQueue) -> set[str]:
    prefix = keys.pending(jobs.ns, "")
    return {text(key)[len(prefix) :] for key in jobs.redis.scan_iter(match=_literal(prefix) + "*", count=1000)}


@_typed
def moved_aside(jobs: JobQueue) -> list[str]:
    """Return the keys of what was put by hand where something else belongs. For people: a SCAN of the database."""
    pattern = _literal(keys.bad(jobs.ns)[:-1]) + "*"
    return sorted(text(key) for key in jobs.redis.scan_iter(match=pattern, count=1000))


def _waits_since(jobs: JobQueue, name: str) -> int | None:
    """Return the moment since which the front of a list waits. One that was given back or revived does not tell."""
    front: Any = jobs.redis.lrange(keys.pending(jobs.ns, name), -FRONT, -1)
    told = (job for job in _read(jobs, front[::-1]) if job.state == "pending" and (job.due_at or not job.attempt))
    return next((max(job.enqueued_at or 0, job.due_at or 0) for job in told), None) or None


@_typed
def workers(jobs: JobQueue) -> list[dict[str, Any]]:
    """Return the registered workers: name, ms until the lease ends (past: negative), and their own words."""
    now, found = clock(jobs), []
    entries: Any = jobs.redis.zrange(keys.workers(jobs.ns), 0, -1, withscores=True)
    for name, lease_end in entries:
        card: Any = jobs.redis.hgetall(keys.worker(jobs.ns, text(name)))
        says = {text(field): text(value) for field, value in card.items()}
        found.append({"name": text(name), "lease_ms": _whole(lease_end) - now} | says)
    return found


@_typed
def dead(jobs: JobQueue, most: int = 50) -> list[Job]:
    """Return the newest dead jobs. An id whose job is no longer dead is passed over."""
    ids: Any = jobs.redis.lrange(keys.dead(jobs.ns), 0, most - 1)
    return [job for job in _read(jobs, ids) if job.state == "dead"]


@_typed
def oldest_dead(jobs: JobQueue, most: int) -> list[str]:
    """Return the ids of the dead, the oldest first, whether or not their jobs are still dead."""
    ids: Any = jobs.redis.lrange(keys.dead(jobs.ns), -most, -1)
    return [text(job_id) for job_id in reversed(ids)]


@_typed
def scheduled(jobs: JobQueue, most: int = 50) -> list[Job]:
    """Return the jobs that are due next, the first one first."""
    ids: Any = jobs.redis.zrange(keys.scheduled(jobs.ns), 0, most - 1)
    return [job for job in _read(jobs, ids) if job.state == "scheduled"]


@_typed
def running(jobs: JobQueue, most: int = 50) -> list[Job]:
    """Return jobs that workers hold, of each worker those it took last, the longest running first."""
    with jobs.redis.pipeline(transaction=False) as pipe:
        names: Any = jobs.redis.zrange(keys.workers(jobs.ns), 0, most - 1)
        for worker in names:
            pipe.lrange(keys.running(jobs.ns, text(worker)), 0, most - 1)
        ids = [job_id for held in pipe.execute() for job_id in held][:most]
    found = (job for job in _read(jobs, ids) if job.state == "running")
    return sorted(found, key=lambda job: job.started_at or 0)


@_typed
def minutes(jobs: JobQueue, count: int = 60) -> list[dict[str, int]]:
    """Return what was counted in each of the last minutes, the present one last."""
    now = clock(jobs) // 60_000
    with jobs.redis.pipeline(transaction=False) as pipe:
        for minute in range(now - count + 1, now + 1):
            pipe.hgetall(keys.stats(jobs.ns, minute))
        return [{text(name): _whole(value) for name, value in counts.items()} for counts in pipe.execute()]


def total(counted: Iterable[dict[str, int]]) -> dict[str, int]:
    """Return the sums of some minutes."""
    sums: dict[str, int] = {}
    for counts in counted:
        for name, value in counts.items():
            sums[name] = sums.get(name, 0) + value
    return sums


def clock(jobs: JobQueue) -> int:
    """Return the time of the Redis server in ms."""
    second, micro = jobs.redis.time()
    return second * 1000 + micro // 1000


@_typed
def lies_there(jobs: JobQueue, job: Job) -> bool:
    """Return whether this pending or scheduled job may be where it waits. One that somebody removed from there will not
    run. Of a list this tells no more than that it is empty: a look through it costs its length."""
    if job.state == "scheduled":
        return jobs.redis.zscore(keys.scheduled(jobs.ns), job.id) is not None
    return jobs.redis.llen(keys.pending(jobs.ns, job.queue)) > 0


@_typed
def progress(jobs: JobQueue, ids: Sequence[str]) -> list[Job]:
    """Return those of these jobs that are there, with nothing but how far they are. One round trip."""
    return _read(jobs, ids, PROGRESS)


def _read(jobs: JobQueue, ids: Sequence[Any], names: Sequence[str] = FIELDS) -> list[Job]:
    """Return the jobs that are there, without their arguments and results. What makes no sense is passed over."""
    with jobs.redis.pipeline(transaction=False) as pipe:
        for job_id in ids:
            pipe.hmget(keys.job(jobs.ns, text(job_id)), names)
        rows = pipe.execute(raise_on_error=False)
    found = (
        read(text(job_id), {name: value for name, value in zip(names, row, strict=True) if value is not None})
        for job_id, row in zip(ids, rows, strict=True)
        if isinstance(row, list)
    )
    return [job for job in found if job]


def _whole(value: Any) -> int:
    """Return a figure that somebody may have written by hand: what is none is 0, what is endless is long."""
    try:
        return int(max(min(float(value), 1e16), -1e16))
    except ValueError:
        return 0


def _literal(pattern: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in pattern)
