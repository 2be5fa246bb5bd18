"""The library's face: the functions that work on the queue chosen by `connect`, and every public name in one place."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from .errors import BadOption, GiveUp, NotATask, NotJSON, QueueError, Retry, Snooze, TooLarge, Unavailable, UnknownTask
from .job import Job, new_id
from .jobs import JobQueue, connect, connected
from .periodic import every
from .run import current_job
from .tasks import Task, named, task
from .worker import Worker

__all__ = [
    "BadOption",
    "GiveUp",
    "Job",
    "JobQueue",
    "NotATask",
    "NotJSON",
    "QueueError",
    "Retry",
    "Snooze",
    "Task",
    "TooLarge",
    "Unavailable",
    "UnknownTask",
    "Worker",
    "cancel",
    "connect",
    "current_job",
    "discard",
    "enqueue",
    "enqueue_at",
    "enqueue_in",
    "enqueue_many",
    "every",
    "is_complete",
    "named",
    "new_id",
    "pause",
    "reschedule",
    "resume",
    "revive",
    "status",
    "task",
]


def enqueue(target: Task | str, /, *args: Any, **kwargs: Any) -> str:
    return connected().enqueue(target, *args, **kwargs)


def enqueue_in(delay: float | timedelta, target: Task | str, /, *args: Any, **kwargs: Any) -> str:
    return connected().enqueue_in(delay, target, *args, **kwargs)


def enqueue_at(when: datetime | float, target: Task | str, /, *args: Any, **kwargs: Any) -> str:
    return connected().enqueue_at(when, target, *args, **kwargs)


def enqueue_many(calls: Iterable[Sequence[Any]]) -> list[str]:
    return connected().enqueue_many(calls)


def status(job_id: str) -> Job | None:
    return connected().status(job_id)


def is_complete(job_id: str) -> bool:
    return connected().is_complete(job_id)


def cancel(job_id: str) -> str:
    return connected().cancel(job_id)


def reschedule(job_id: str, when: datetime | float) -> str:
    return connected().reschedule(job_id, when)


def revive(job_id: str) -> str:
    return connected().revive(job_id)


def discard(job_id: str) -> str:
    return connected().discard(job_id)


def pause(name: str) -> None:
    connected().pause(name)


def resume(name: str) -> None:
    connected().resume(name)


for _function in (
    enqueue,
    enqueue_in,
    enqueue_at,
    enqueue_many,
    status,
    is_complete,
    cancel,
    reschedule,
    revive,
    discard,
    pause,
    resume,
):
    _function.__doc__ = getattr(JobQueue, _function.__name__).__doc__
