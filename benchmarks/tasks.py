"""The work that is measured. Each worker is a process of its own: `python -m queue work benchmarks.tasks`."""

import queue
import time


@queue.task(result_ttl=60)
def nothing(number: int) -> None:
    """Do nothing."""


@queue.task(result_ttl=60)
def moment(sent: float) -> float:
    """Return ms since it was enqueued; one machine, one monotonic clock."""
    return (time.monotonic() - sent) * 1000


@queue.task(result_ttl=60)
def lateness(due: float) -> float:
    """Return ms since it was due, by the wall clock that this machine's Redis uses too."""
    return (time.time() - due) * 1000
