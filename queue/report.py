"""What lies in the queue, for people and dashboards. Reads only; the core does not need it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import keys
from .job import Job, text
from .jobs import JobQueue


@dataclass(frozen=True, slots=True)
class Overview:
    """The queue at a glance. Times are milliseconds by the clock of the Redis server."""

    now: int
    pending: dict[str, int]  # list -> jobs that wait
    oldest: dict[str, int]  # list -> when the next one to be taken was enqueued
    paused: list[str]
    scheduled: int
    next_due: int | None
    running: int
    dead: int
    workers: int
    last_hour: dict[str, int]  # taken, done, retried, dead, reclaimed; waited in ms


def overview(jobs: JobQueue) -> Overview:
    """Count everything. The names of lists are found by a SCAN: for people, not for a hot path."""
    view: Overview = jobs.wire.guarded(lambda: _overview(jobs))
    return view


def _overview(jobs: JobQueue) -> Overview:
    redis, ns = jobs.redis, jobs.ns
    now = clock(jobs)
    prefix = keys.pending(ns, "")
    names = sorted(text(key)[len(prefix) :] for key in redis.scan_iter(match=_literal(prefix) + "*", count=1000))
    next_due = redis.zrange(keys.scheduled(ns), 0, 0, withscores=True)
    fronts = {name: redis.lindex(keys.pending(ns, name), -1) for name in names}
    oldest = {name: jobs.status(text(front)) for name, front in fronts.items() if front is not None}
    known = workers(jobs)
    return Overview(
        now=now,
        pending={name: redis.llen(keys.pending(ns, name)) for name in names},
        oldest={name: job.enqueued_at for name, job in oldest.items() if job and job.enqueued_at},
        paused=sorted(text(name) for name in redis.smembers(keys.paused(ns))),
        scheduled=redis.zcard(keys.scheduled(ns)),
        next_due=_whole(next_due[0][1]) if next_due else None,
        running=sum(redis.llen(keys.running(ns, worker["name"])) for worker in known),
        dead=redis.llen(keys.dead(ns)),
        workers=sum(worker["lease_ms"] > 0 for worker in known),
        last_hour=_counts(jobs, now, 60),
    )


def workers(jobs: JobQueue) -> list[dict[str, Any]]:
    """Return the registered workers: name, ms until the lease ends (past: negative), and their own words."""
    now, found = clock(jobs), []
    entries: Any = jobs.redis.zrange(keys.workers(jobs.ns), 0, -1, withscores=True)
    for name, lease_end in entries:
        card: Any = jobs.redis.hgetall(keys.worker(jobs.ns, text(name)))
        says = {text(field): text(value) for field, value in card.items()}
        found.append({"name": text(name), "lease_ms": _whole(lease_end) - now} | says)
    return found


def dead(jobs: JobQueue, most: int = 50) -> Iterator[Job]:
    """Return the newest dead jobs. An id whose job is no longer dead is passed over."""
    for job_id in jobs.redis.lrange(keys.dead(jobs.ns), 0, most - 1):
        job = jobs.status(text(job_id))
        if job and job.state == "dead":
            yield job


def clock(jobs: JobQueue) -> int:
    """Return the time of the Redis server in ms."""
    second, micro = jobs.redis.time()
    return second * 1000 + micro // 1000


def _counts(jobs: JobQueue, now: int, minutes: int) -> dict[str, int]:
    total: dict[str, int] = {}
    with jobs.redis.pipeline(transaction=False) as pipe:
        for minute in range(now // 60_000 - minutes + 1, now // 60_000 + 1):
            pipe.hgetall(keys.stats(jobs.ns, minute))
        for counts in pipe.execute():
            for field, value in counts.items():
                total[text(field)] = total.get(text(field), 0) + _whole(value)
    return total


def _whole(value: Any) -> int:
    """Return a figure that somebody may have written by hand: what is none is 0, what is endless is long."""
    try:
        return int(max(min(float(value), 1e16), -1e16))
    except ValueError:
        return 0


def _literal(pattern: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in pattern)
