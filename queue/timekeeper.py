"""The timekeeper: an OS thread of its own that renews the lease, rings when a job falls due, raises time limits, takes
back what waits behind a slow job, and reclaims what dead workers held. A task that blocks stalls none of this."""

import logging
import random
import threading
from collections.abc import Callable
from time import monotonic

from . import backoff
from .errors import QueueError, Stopped, TimeLimit
from .hands import Hands, drain, event, log
from .jobs import Held, JobQueue, Token
from .run import Run

BATCH_TIME = 0.010  # seconds of work in one thread's hands
OVERDUE = 30.0  # seconds past its limit at which a task is taken for one that never returns
LATE = 5  # a beat that fails is tried again as after so many failures: soon, but not at once
NEVER = float("inf")


class Timekeeper:
    """Watches over what is in the hands of one worker. Times are in seconds, moments on the monotonic clock."""

    def __init__(
        self,
        hands: Hands,
        jobs: JobQueue,
        card: dict[str, str | int],
        *,
        lease: float,
        beat: float,
        limit: float,
        patience: float,
        abandon: Callable[[Run], None],
    ) -> None:
        self.hands, self.jobs, self.card, self.abandon = hands, jobs, card, abandon
        self.lease, self.beat, self.limit = lease, beat, limit
        self.patience = patience  # seconds after which no answer to a take can come
        self.wake, self.stopped, self.mutex = threading.Event(), threading.Event(), threading.Lock()
        self.due, self.next_look, self.last_turn = NEVER, NEVER, monotonic()
        self.in_touch: float | None = None  # since when every beat succeeded
        self.strangers: dict[Token, float] = {}  # held without our knowing it -> since when
        self.thread = threading.Thread(target=self._keep_time, name="queue-time", daemon=True)

    def stop(self) -> None:
        """End the thread. A call to Redis that hangs is not waited for: the worker is about to leave."""
        self.stopped.set()
        self.wake.set()
        self.thread.join(1)

    def look_at(self, moment: float) -> None:
        """Have a look no later than at this moment."""
        if moment < self.next_look and not self.wake.is_set():
            self.wake.set()

    def note_due(self, moment: float) -> None:
        """Note that a turn was made, and when by its answer the next job falls due."""
        with self.mutex:
            self.due, self.last_turn = moment, monotonic()
        self.look_at(moment)

    def _keep_time(self) -> None:
        next_beat = 0.0
        while not self.stopped.is_set():
            self.wake.clear()
            self.next_look = NEVER  # who wants an earlier look from here on wakes us
            try:
                if monotonic() >= next_beat:
                    next_beat = monotonic() + self._beat()
                self.next_look = min(next_beat, self._ring_if_due(), self._watch())
            except Exception as error:  # whatever it is, the lease must go on
                log.log(logging.DEBUG if isinstance(error, QueueError) else logging.ERROR, "timekeeper: %r", error)
                next_beat = max(next_beat, monotonic() + 0.5)  # never spin
                self.next_look = monotonic() + 0.5
            self.wake.wait(max(self.next_look - monotonic(), 0))

    def _beat(self) -> float:
        """Renew the lease, look after what Redis says we hold, reclaim. Returns seconds until the next beat."""
        try:
            card, idle = self.card | {"busy": len(self.hands.busy)}, monotonic() - self.last_turn
            first_end, kept, held = self.jobs.beat(self.hands.worker, self.lease, card, idle)
            self._look_after(held)
            self.hands.settle(self.jobs, monotonic() + self.limit)  # whoever should may be stuck, in a log that blocks
            if not kept or self.in_touch is None:  # we were away, perhaps all of us
                self.in_touch = monotonic()
            trust = self.in_touch + self.limit + backoff.RECONNECT  # by then the living have renewed theirs
            if monotonic() >= trust:
                end = monotonic() + self.limit  # the lease is fresh: this may take as long as a call
                while reclaim(self.jobs, within=self.limit) and monotonic() < end:
                    pass
        except QueueError as error:
            self.in_touch = None
            log.debug("no beat: %s", error)
            return backoff.reconnect(LATE, random.random())
        given_up = min(self.strangers.values(), default=NEVER) + self.patience
        waits = self.beat, first_end, trust - monotonic(), given_up - monotonic()
        return min(wait + 0.005 for wait in waits if wait > 0)

    def _look_after(self, held: Held) -> None:
        now, strangers = monotonic(), held.keys() - self.hands.held.keys()
        self.strangers = {token: self.strangers.get(token, now) for token in strangers}
        lost = [token for token, since in self.strangers.items() if now - since > self.patience]
        if lost:
            self.jobs.release(self.hands.worker, lost)
            for job_id, attempt, _ in lost:
                log.warning(event("release", job=job_id, attempt=attempt, why="taken, but the answer was lost"))
        for token, asked_to_stop in held.items():
            if asked_to_stop and (run := self.hands.held.get(token)):
                run.asked_to_stop = True
                run.interrupt(Stopped)

    def _ring_if_due(self) -> float:
        """Ring when the next job is due; what is due, the clock of Redis decides. Returns when to look again."""
        with self.mutex:
            if monotonic() < self.due:
                return self.due
            self.due = NEVER
        self.jobs.ring(str(self.card["lists"]).split(",")[0])  # if it fails, the leader's nap is the net
        return NEVER

    def _watch(self) -> float:
        """Raise time limits and give back what waits behind a slow job. Returns when to look again."""
        now, again = monotonic(), NEVER
        for run, waiting in list(self.hands.busy.values()):
            if now >= run.deadline + OVERDUE:
                why = f"does not end {OVERDUE:g} s past its limit: leaving, as its crash"
                log.critical(event("abandon", job=run.id, task=run.name, attempt=run.attempt, why=why))
                self.abandon(run)
            if now >= run.deadline:
                run.interrupt(TimeLimit)
            if now < run.began + BATCH_TIME:
                again = min(again, run.began + BATCH_TIME)
            elif waiting or self.hands:  # what ended before a slow job shall not wait for its end
                self.hands.give_back(drain(waiting, len(waiting)))
                self.hands.settle(self.jobs, now + self.limit)  # the beat must go on
            again = min(again, run.deadline if now < run.deadline else run.deadline + OVERDUE)
        return again


def reclaim(jobs: JobQueue, worker: str | None = None, *, within: float | None = None) -> bool:
    """Take back what dead workers, or this one, held. Returns whether there was something, so there may be more."""
    back = jobs.reclaim(worker, within=within)
    for job_id, fate in back:
        log.warning(event("reclaim", job=job_id, now=fate, why="its worker is gone"))
    return bool(back)
