"""All errors that the queue raises, under one root, and what a task may raise to say how it ended."""

from datetime import timedelta

LONGEST = 100 * 365 * 86_400.0  # seconds that a job may wait


class QueueError(Exception):
    """The root: `except QueueError` catches every error of this package."""


class NotJSON(QueueError, TypeError):
    """Arguments or a result cannot be stored as JSON. Nothing was stored."""


class TooLarge(QueueError, ValueError):
    """Arguments are over the limit. Store them elsewhere and pass an id."""


class NotATask(QueueError, TypeError):
    """What was to be enqueued is neither a task nor the name of one."""


class BadOption(QueueError, ValueError):
    """An id, the name of a list or task, or a setting that cannot be used."""


class UnknownTask(QueueError, LookupError):
    """No task has this name here."""


class Unavailable(QueueError, ConnectionError):
    """Redis is away or refuses. Whether the call took effect is unknown; repeating it with the same id is safe."""


def seconds(value: float | timedelta) -> float:
    """Return a duration in seconds. Raises TypeError for what is none, BadOption if no job could wait so long."""
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise TypeError(f"{value!r} is no time to wait: give seconds or a timedelta")
    length = value.total_seconds() if isinstance(value, timedelta) else value
    if not 0 <= length <= LONGEST:
        raise BadOption(f"{str(value)[:50]} is no time to wait: 0 to {LONGEST:,.0f} seconds")
    return float(length)


class Verdict(Exception):
    """What a task raises to say how it ended, when neither success nor failure says it."""


class Retry(Verdict):
    """Failed: run again, after so many seconds instead of the task's own backoff. Counts as a failure."""

    def __init__(self, message: str = "asked to be retried", *, after: float | timedelta | None = None) -> None:
        super().__init__(message)
        self.after = None if after is None else seconds(after)


class Snooze(Verdict):
    """Not now: run again after so many seconds. Counts as nothing."""

    def __init__(self, after: float | timedelta) -> None:
        super().__init__(f"for {after}")
        self.after = seconds(after)


class GiveUp(Verdict):
    """Failed for good: to the dead at once, whatever retries are left."""

    reason = "gave up"


class BadArguments(GiveUp):
    """The task cannot be called with the arguments of this job."""

    reason = "bad arguments"


class BadEntry(GiveUp):
    """What lies in Redis under the id of this job cannot be run."""

    reason = "bad entry"


class Interrupt(BaseException):
    """Raised inside a running task from outside; no `except Exception` swallows it."""


class TimeLimit(Interrupt):
    """The task ran longer than its `timeout`."""


class Stopped(Interrupt):
    """Somebody cancelled the job while it ran."""
