"""A job in the hands of a worker's thread: read it, call its task, interrupt it. What becomes of it is worker.py's."""

import ctypes
import json
import threading
import traceback
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .errors import BadArguments, BadEntry, GiveUp, Interrupt, NotJSON, Stopped, TimeLimit, TooLarge, UnknownTask
from .job import MAX_ARGUMENTS, cut, to_json
from .jobs import JobQueue, Taken, Token
from .tasks import Registry, Task

_here = threading.local()
_NOTHING: Any = object()


@dataclass(slots=True, eq=False)
class Run:
    """What `current_job()` returns inside a task: `id`, `attempt`, `failures`, `last_attempt`, `still_mine()`."""

    id: str
    attempt: int
    queue: str
    name: str
    args: str
    kwargs: str
    failures: int
    crashes: int
    max_attempts: int
    age: float  # seconds since it was enqueued
    had_a_time: bool  # was scheduled, retried or snoozed
    token: Token
    task: Task | None
    jobs: JobQueue
    worker: str
    result: str = ""
    began: float = 0.0  # monotonic
    deadline: float = float("inf")  # monotonic
    thread: int = 0
    live: bool = False
    asked_to_stop: bool = False
    interrupted: type[Interrupt] | None = None
    lock: Any = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the clock."""
        self.began = monotonic()
        if self.task:
            self.deadline = self.began + self.task.timeout

    @property
    def last_attempt(self) -> bool:
        """Whether a failure now is the last one that is forgiven."""
        return self.failures + 1 >= self.max_attempts

    def still_mine(self) -> bool:
        """Ask Redis whether this worker still holds this attempt: before a step that must not be done twice."""
        job = self.jobs.status(self.id)
        held = job and (job.state, job.worker, job.id, str(job.attempt), str(job.started_at))
        return held == ("running", self.worker, *self.token)

    def call(self) -> None:
        """Run the task and keep its result as JSON. Raises what the task raises, and Interrupt from outside."""
        if self.task is None or self.task.function is None:
            raise UnknownTask(f"no task {self.name!r}")
        args, kwargs = self._arguments()
        if self.asked_to_stop:
            raise Stopped
        self.thread, _here.run, result = threading.get_ident(), self, _NOTHING
        try:
            try:
                self.live = True
                result = self.task.function(*args, **kwargs)
            except TypeError as error:
                if error.__traceback__ and error.__traceback__.tb_next is None:  # not from inside: it was never entered
                    raise BadArguments(str(error)) from None
                raise
            finally:
                self._over()
        except Interrupt:  # it may land just after the task returned; then the task was in time
            self._over()
            if result is _NOTHING:
                raise
        if result is not None:
            self._keep(result)

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        try:
            args, kwargs = json.loads(self.args), json.loads(self.kwargs) if self.kwargs else {}
        except (ValueError, RecursionError) as error:
            raise BadEntry(f"args or kwargs are no JSON: {error}") from None
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise BadEntry("args must be a JSON list and kwargs a JSON object")
        return args, kwargs

    def _keep(self, result: Any) -> None:
        try:
            self.result = to_json(result, "the result")
            if len(self.result) > MAX_ARGUMENTS:
                raise TooLarge(f"a result of {len(self.result):,} bytes, at most {MAX_ARGUMENTS:,}: store it elsewhere")
        except (NotJSON, TooLarge) as error:  # the work is done: doing it again would not help
            raise GiveUp(str(error)) from None

    def _over(self) -> None:
        with self.lock:
            self.live, _here.run = False, None
            if self.interrupted:  # what has not been raised yet must not be raised in what comes next
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), None)

    def interrupt(self, error: type[Interrupt]) -> None:
        """Raise an error inside the task, once each, and only while its frame is live."""
        with self.lock:
            if self.live and self.interrupted not in (error, TimeLimit):
                self.interrupted = error
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), ctypes.py_object(error))

    def describe(self, error: BaseException) -> str:
        """Return the traceback of an error, bounded, whatever the error does."""
        try:
            return cut(self._describe(error))
        except BaseException:  # its own __str__ fails
            return type(error).__name__

    def _describe(self, error: BaseException) -> str:
        if isinstance(error, TimeLimit) and self.task:
            where = "".join(traceback.format_tb(error.__traceback__))
            return f"{where}TimeLimit: ran longer than {self.task.timeout:g} s"
        if isinstance(error, GiveUp | UnknownTask):
            return f"{type(error).__name__}: {error}"
        return "".join(traceback.format_exception(error))


def headline(trace: str) -> str:
    """Return the line of a traceback that names the error; its message may have several."""
    lines = trace.strip().splitlines() or [""]
    last_frame = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=-1)
    return lines[min(last_frame + 1, len(lines) - 1)]


def current_job() -> Run | None:
    """Return the job that this thread runs, or None outside a task."""
    return getattr(_here, "run", None)


def read_taken(taken: Taken, jobs: JobQueue, tasks: Registry, worker: str) -> list[Run]:
    """Return the jobs of a take, in their order. One that makes no sense comes without a task, to be buried."""
    return [_read(line.split("\n"), taken.now, jobs, tasks, worker) for line in taken.lines]


def _read(fields: list[str], now: int, jobs: JobQueue, tasks: Registry, worker: str) -> Run:
    job_id, attempt = fields[0], int(fields[1])
    token = job_id, fields[1], str(now)
    try:
        _, _, queue, name, args, kwargs, failures, crashes, limit, since, due = fields
        task = tasks.get(name)
        most = int(limit or (task.retries + 1 if task else 1))
        numbers = int(failures), int(crashes), most, (now - int(since)) / 1000
        return Run(job_id, attempt, queue, name, args, kwargs, *numbers, due != "", token, task, jobs, worker)
    except (ValueError, OverflowError):
        task = Task("bad-entry", lambda: None)
        return Run(
            job_id, attempt, fields[2], "bad-entry", "not readable", "", 0, 0, 1, 0.0, False, token, task, jobs, worker
        )
