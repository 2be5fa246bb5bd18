"""What a worker process has in its hands: jobs taken and not yet settled, and how those ended that Redis does not know
of yet. Threads share it without a lock: each change of a deque or a dict is one call."""

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from .errors import QueueError, Unavailable
from .job import encode
from .jobs import JobQueue, Token
from .run import Run

CARRIED = 1_000  # finished jobs that one call settles
LEVELS = {"bury": logging.ERROR, "retry": logging.WARNING}

Change = Callable[[JobQueue], Any]  # a transition; False or a list of ids tells what this worker no longer held


class _Log(logging.LoggerAdapter[logging.Logger]):
    """The logger, which never raises: a job may have closed the stream that it writes to."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        with suppress(Exception):
            super().log(level, msg, *args, **kwargs)


log = _Log(logging.getLogger("queue"))
PLAIN = re.compile(r'[^\s"=]+')


def event(verb: str, **facts: Any) -> str:
    """Return a line for the log, the same for every transition: logfmt, what happened first. None is left out."""
    pairs = ({"event": verb} | facts).items()
    texts = ((name, str(value)) for name, value in pairs if value is not None)
    return " ".join(f"{name}={value if PLAIN.fullmatch(value) else encode(value)}" for name, value in texts)


class Hands:
    """The jobs of one worker. Outcomes are kept until Redis has them; telling it twice changes nothing."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.held: dict[Token, Run] = {}  # all that Redis says is ours, as far as we know
        self.busy: dict[int, tuple[Run, deque[Run]]] = {}  # thread -> what it runs and what waits behind it
        self.finished: deque[Run] = deque()  # ended well
        self.others: deque[tuple[list[Run], str, Change]] = deque()  # ended otherwise, with the verb for it

    def __bool__(self) -> bool:
        """Whether there is something to settle."""
        return bool(self.finished or self.others)

    def end(self, verb: str, runs: list[Run], change: Change) -> None:
        """Note how jobs ended, to be settled."""
        self.others.append((runs, verb, change))

    def give_back(self, runs: list[Run]) -> None:
        """Note that jobs shall go back to the front of their lists."""
        tokens = [run.token for run in runs]
        if tokens:
            self.end("release", runs, lambda jobs: jobs.release(self.worker, tokens))

    def put_back(self, done: list[Run]) -> None:
        """Keep finished jobs for a later call."""
        self.finished.extendleft(reversed(done))

    def let_go(self, runs: Iterable[Run]) -> None:
        """Know no more of jobs. If they are still ours, the beat finds that, and releases them."""
        for run in runs:
            self.held.pop(run.token, None)

    def forget(self, runs: list[Run], verb: str, lost: Sequence[str]) -> None:
        """Let go of jobs that are settled, or that are no longer ours."""
        self.let_go(runs)
        for run in runs:
            if verb != "finish" and run.id not in lost:
                told = event(verb, job=run.id, task=run.name, attempt=run.attempt)
                log.log(LEVELS.get(verb, logging.INFO), told)
        for job_id in lost:
            why = "came too late: another has it, or it is gone; nothing was changed"
            log.warning(event(verb, job=job_id, why=why))

    def settle(self, jobs: JobQueue, until: float = float("inf")) -> None:
        """Tell Redis how jobs ended, until then (monotonic). Raises Unavailable and keeps what it could not tell."""
        while self.others and monotonic() < until:
            try:
                ending = self.others.popleft()
            except IndexError:
                break
            self._settle_one(jobs, *ending)
        while monotonic() < until and (done := drain(self.finished, CARRIED)):
            try:
                self.forget(done, "finish", jobs.finish(self.worker, settlements(done)))
            except BaseException:
                self.put_back(done)
                raise

    def _settle_one(self, jobs: JobQueue, runs: list[Run], verb: str, change: Change) -> None:
        try:
            answer = change(jobs)
        except Unavailable:
            self.others.appendleft((runs, verb, change))
            raise
        except QueueError as error:
            self.let_go(runs)
            for run in runs:
                log.error(event(verb, job=run.id, task=run.name, attempt=run.attempt, why=f"fails: {error}"))
            return
        except BaseException:
            self.let_go(runs)
            raise
        self.forget(runs, verb, answer if isinstance(answer, list) else [] if answer else [run.id for run in runs])


def settlements(runs: list[Run]) -> list[tuple[Any, ...]]:
    """Return finished jobs as `JobQueue.take` and `finish` want them."""
    return [(*run.token, str(int(run.task.result_ttl * 1000)) if run.task else "0", run.result) for run in runs]


def drain(waiting: deque[Run], most: int) -> list[Run]:
    """Take what is there, up to so many; others may take at the same time."""
    taken: list[Run] = []
    try:
        while len(taken) < most:
            taken.append(waiting.popleft())
    except IndexError:
        pass
    return taken
