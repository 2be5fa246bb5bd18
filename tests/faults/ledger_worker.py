"""The app's own worker at the pace of a storm: what takes it minutes takes seconds here. Nothing else is changed.

X's side of the bargain is scaled alike: the sandbox refuses a signature after TOLERANCE (`--tolerance`).
"""

import functools
import queue
import queue.backoff
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import clearing
import holds
import sweep
import worker
import x_api

TOLERANCE = 6  # seconds
ENVIRON = {"ABSENT_SECONDS": "4", "X_TOLERANCE_SECONDS": str(TOLERANCE + 1), "MISSED_AFTER_SECONDS": "25"}
ENVIRON |= {"SIGN_INS_PER_MINUTE": "10000", "POSTS_PER_MINUTE": "10000"}  # all are one address, and in a hurry


def hurry() -> None:
    """Set the times that are constants in the app."""
    queue.Worker = functools.partial(queue.Worker, lease=3, beat=1, grace=6)  # type: ignore[assignment, misc]  # replaced
    queue.backoff.BASE, queue.backoff.CAP = 0.5, 4.0
    sweep.PERIOD = 2.0
    clearing.SLACK, clearing.SOONEST, clearing.PAUSE = 1_500, 500, 2_000
    clearing.LOOKING = 120_000  # Redis is away for half of it: an outage takes as long here as elsewhere
    holds.TRIAL = 4_000
    holds.CREDIT_WAIT, holds.SHORTEST_WAIT, holds.LONGEST_WAIT, worker.SPREAD = 3.0, 2.0, 5.0, 0.5
    x_api.TIMEOUT = (1.0, 2.0)


if __name__ == "__main__":
    hurry()
    worker.main()
