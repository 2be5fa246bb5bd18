"""Tasks by name: what a worker may run. A job names its task; it is looked up here and never imported by name, so
that write access to Redis is not code execution."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, overload

from . import backoff as pauses
from .errors import LONGEST, BadOption, NotATask, UnknownTask, seconds
from .job import checked_id

MOST_RETRIES = 1_000_000
Backoff = Callable[[int, float], float]
_TASK = re.compile(r"[^\s<>]{1,200}")  # no <lambda>: a worker must find it under this name
_LIST = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Task:
    """A function that workers run, and how. Calling it runs it here and now."""

    name: str
    function: Callable[..., Any] | None = None
    queue: str = "default"
    retries: int = 5  # failures that are forgiven
    backoff: Backoff = pauses.delay  # (failures from 1, jitter 0 to 1) -> seconds
    timeout: float = 300.0  # seconds; raised inside the task
    result_ttl: float = 3600.0  # seconds that a finished job is remembered
    id: str | None = None  # these two are chosen for a single enqueue
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        checked_list(self.queue)
        if not isinstance(self.name, str) or not _TASK.fullmatch(self.name) or not self.name.isprintable():
            raise BadOption(f"a task's name has 1 to 200 characters, no blanks, no < >, not {str(self.name)[:300]!r}")
        if self.id is not None:
            checked_id(self.id)
        if type(self.retries) is not int or not 0 <= self.retries <= MOST_RETRIES:
            raise BadOption(f"retries of {self.name} is a whole number to {MOST_RETRIES:,}, not {self.retries!r}")
        if not (0 < self.timeout <= LONGEST and 1 <= self.result_ttl <= LONGEST):
            raise BadOption(f"{self.name} needs a timeout over 0 s and a result_ttl of at least 1 s, both finite")

    def options(self, *, id: str | None = None, queue: str | None = None, retries: int | None = None) -> "Task":  # noqa: A002 - the field's word
        """Return a copy to enqueue with another id, queue or number of retries. The rest is the worker's to choose."""
        chosen = replace(self, id=id, queue=queue or self.queue, retries=self.retries if retries is None else retries)
        return chosen if retries is None else replace(chosen, max_attempts=retries + 1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now. Raises UnknownTask if it lives elsewhere."""
        if self.function is None:
            raise UnknownTask(f"{self.name!r} is only a name here; a worker that has the task can run it")
        return self.function(*args, **kwargs)


@dataclass(slots=True)
class Registry:
    """The tasks that one program has."""

    tasks: dict[str, Task] = field(default_factory=dict)
    helpers: list[Callable[..., None]] = field(
        default_factory=list
    )  # a worker runs each, as (jobs, told to stop), beside

    def add(self, task: Task) -> Task:
        """Keep a task under its name. Raises BadOption if another function has it."""
        known = self.tasks.get(task.name)
        if known and _place(known.function) != _place(task.function):
            raise BadOption(f"two tasks are named {task.name!r}: {_place(known.function)} and {_place(task.function)}")
        self.tasks[task.name] = task
        return task

    def get(self, name: str) -> Task | None:
        """Return the task of that name, or None."""
        return self.tasks.get(name)


def _place(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"


registry = Registry()


@overload
def task(function: Callable[..., Any], /) -> Task: ...
@overload
def task(
    *,
    name: str | None = None,
    queue: str = "default",
    retries: int = 5,
    backoff: Backoff = pauses.delay,
    timeout: float | timedelta = 300,
    result_ttl: float | timedelta = 3600,
) -> Callable[[Callable[..., Any]], Task]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    retries: int = 5,
    backoff: Backoff = pauses.delay,
    timeout: float | timedelta = 300,
    result_ttl: float | timedelta = 3600,
) -> Any:
    """Make a function a task: `@task` or `@task(retries=5, timeout=30)`. It is named as the function, unless told."""

    def register(function: Callable[..., Any]) -> Task:
        called = name or getattr(function, "__name__", None)
        if not callable(function) or called is None:
            raise NotATask(f"{function!r} is no function with a name: use @task, @task(retries=5) or @task(name=...)")
        if iscoroutinefunction(function):
            raise NotATask(f"{called} is async: a task is a plain function, run it with asyncio.run inside")
        return registry.add(Task(called, function, queue, retries, backoff, seconds(timeout), seconds(result_ttl)))

    return register if function is None else register(function)


def named(name: str, *, id: str | None = None, queue: str = "default", retries: int | None = None) -> Task:  # noqa: A002 - the field's word
    """Return a task that lives elsewhere, to enqueue it by name."""
    return Task(name).options(id=id, queue=queue, retries=retries)


def as_task(target: "Task | str") -> Task:
    """Return what `enqueue` was given as a task. Raises NotATask if it is none."""
    if isinstance(target, Task):
        return target
    if isinstance(target, str):
        return Task(target)
    raise NotATask(f"{target!r} is no task: decorate it with @{__package__}.task, or give the name of one")


def checked_list(name: str) -> str:
    """Return the name of a list. Raises BadOption if it could not be one."""
    if not isinstance(name, str) or not _LIST.fullmatch(name):
        raise BadOption(
            f"a list's name, or a namespace's, has 1 to 64 letters, digits or any of _ . -, not {str(name)[:200]!r}"
        )
    return name
