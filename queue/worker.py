"""The worker: one process, N threads, one of which leads at a time.

1. The leader asks Redis for jobs (`take`), carrying those just finished. When it has some it hands the lead to another
   thread and runs them itself, so no job crosses a thread. How many it asks for follows the measured time of the task.
   If there are more it asks for the next leader first, if one is free, and the next leader asks for the one after him
   before he reads: Redis works while the jobs run, and while answers are read.
2. Nothing to take: the leader sleeps on the bells of its lists, and the next take lies in Redis behind that sleep. Who
   ends a job meanwhile settles it alone.
3. Redis away: back off, never spin, never exit; outcomes are kept and settled when it is back.

The clock, leases and time limits are timekeeper.py's. Three connections, whatever N: leading, settling, beating.
"""

import logging
import os
import random
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic, perf_counter
from typing import Any

from . import backoff
from .errors import BadOption, GiveUp, QueueError, Retry, Snooze, Stopped, TimeLimit, UnknownTask, seconds
from .hands import CARRIED, Hands, drain, event, log, settlements
from .job import cut
from .jobs import JobQueue, Taken, connected
from .run import Run, headline, read_taken
from .tasks import Registry, checked_list, registry
from .timekeeper import BATCH_TIME, NEVER, Timekeeper, reclaim

VERSION = "0.1.0"
BATCH = 100  # jobs at most in one thread's hands
NAP = 1.0  # seconds; a net only: an idle Redis looks at the timeouts of BRPOP every 100 ms
FAREWELL = 1.2  # seconds that leaving may wait for each, longer than a nap: giving back would wake who sleeps
DAY = 24 * 3600.0
Asked = tuple[Callable[[], Taken], list[Run]]  # what reads the answer to a take, and what the take settles
UNKNOWN_DELAY, UNKNOWN_LIMIT, UNKNOWN_TRIES = 5.0, DAY, 20  # a deploy is on its way, or nobody will ever know this task


class Worker:
    """Runs the jobs of some lists, the most urgent list first, so many at a time. Times are in seconds.

    If it dies, others take its jobs when its `lease` is over; it renews that at each `beat`, a third of it at most.
    Told to stop it waits `grace` for what runs. Raises BadOption for settings that cannot be, QueueError if no queue
    is chosen.
    """

    def __init__(
        self,
        queues: Sequence[str] = ("default",),
        threads: int = 10,
        *,
        jobs: JobQueue | None = None,
        tasks: Registry = registry,
        lease: float = 15,
        beat: float = 3,
        grace: float = 20,
    ) -> None:
        whole = type(threads) is int and threads > 0 and isinstance(queues, list | tuple) and len(queues) > 0
        if not (whole and 0 < seconds(beat) * 3 <= seconds(lease) <= DAY and seconds(grace) <= DAY):
            given = f"{queues=} {threads=} {beat=} {lease=} {grace=}"
            raise BadOption(f"needs lists, threads and beat * 3 <= lease, all under a day, not {given}")
        self.queues, self.threads, self.tasks = [checked_list(name) for name in queues], threads, tasks
        self.nap, self.limit, self.grace = min(NAP, beat / 3), beat * 5 / 6, grace  # limit: for an answer of Redis
        self.name = f"{socket.gethostname()}-{os.getpid()}-{random.getrandbits(32):08x}"
        self.jobs = jobs or connected()
        self.leading, self.settling, self.beating = (self.jobs.sibling(self.limit) for _ in range(3))
        self.hands = Hands(self.name)
        self.fresh = self.nap + self.limit  # an answer that comes later than this is none
        limits = {"lease": lease, "beat": beat, "limit": self.limit, "patience": self.fresh + self.nap}
        self.time = Timekeeper(self.hands, self.beating, self._card(), **limits, abandon=self._abandon)
        self.pace, self.at_work = dict[str, float](), set[int]()  # task -> smoothed seconds; threads not free to lead
        self.lead, self.settle_lock, self.stopping = threading.Lock(), threading.Lock(), threading.Event()
        self.dozing, self.more, self.interrupts = False, True, 0
        self.asked: deque[Asked] = deque()  # takes whose answers the next leaders read
        self.bidden = threading.Lock()
        self.bidden.acquire()

    def _card(self) -> dict[str, str | int]:
        """Return what other people may know of this worker."""
        who: dict[str, str | int] = {"host": socket.gethostname(), "pid": os.getpid(), "version": VERSION}
        return who | {"lists": ",".join(self.queues), "threads": self.threads}

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then give back what does not end in time. Returns within `grace` and 5 s."""
        crew = [threading.Thread(target=self._work, name=f"queue-{n}", daemon=True) for n in range(self.threads)]
        with self._signals():
            log.info(event("work", worker=self.name, lists=",".join(self.queues), threads=self.threads))
            helping = self.jobs, self.stopping
            helpers = [threading.Thread(target=helper, args=helping, daemon=True) for helper in self.tasks.helpers]
            for thread in [self.time.thread, *helpers, *crew]:
                thread.start()
            while not (self.stopping.is_set() or self.bidden.acquire(timeout=1)):
                pass
            self.stopping.set()
            end = monotonic() + self.grace
            while any(thread.is_alive() for thread in crew) and monotonic() < end and self.interrupts < 2:
                self.time.stopped.wait(0.02)
            self.time.stop()
            self._leave()

    def stop(self) -> None:
        """Stop taking jobs and let those that run end. Again changes nothing."""
        with suppress(RuntimeError):  # a signal handler may not set an Event: its lock is not reentrant
            self.bidden.release()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.interrupts += number == signal.SIGINT  # the second means now; of SIGTERM a platform sends several
        self.stop()

    def _leave(self, but: Run | None = None) -> None:
        """Settle what ended, release the rest to the front and sign off: the last thing before leaving."""
        own = self.jobs.sibling(FAREWELL)  # the others may hang
        users = {self.lead: self.leading, self.settle_lock: self.settling}
        locks = [lock for lock in users if lock.acquire(timeout=FAREWELL)]  # nothing in flight
        try:
            while self.asked and len(locks) == 2:
                with suppress(QueueError):  # what it brings, heard or not, goes back with the rest
                    self._take()
            self.hands.settle(own, monotonic() + FAREWELL)
            _, _, held = own.beat(self.name, self.time.lease)
            rest = [token for token in reversed(held) if but is None or token != but.token]
            own.release(self.name, rest)
            for job_id, attempt, _ in rest:
                log.info(event("release", job=job_id, attempt=attempt))
            own.beat(self.name, 0)
            reclaim(own, self.name)
        except QueueError as error:
            why = f"without a word, the end of the lease will tell: {error}"
            log.warning(event("leave", worker=self.name, why=why))
        finally:
            for jobs in (own, *(users[lock] for lock in locks)):  # not what a thread still waits on: it would stumble
                jobs.close()
            for lock in locks:
                lock.release()
            if not self.time.thread.is_alive():
                self.beating.close()

    def _abandon(self, run: Run) -> None:
        self.stopping.set()
        self._leave(but=run)
        os._exit(70)

    # ------------------------------------------------------------------------------------------ a thread's turn

    def _work(self) -> None:
        me = threading.get_ident()
        while self.asked or not self.stopping.is_set():  # what was asked for is given back
            try:
                with self.lead:
                    taken = self._next_jobs()
                if taken:
                    self._run_batch(taken)
            except BaseException:  # a fault of ours; what it leaves behind is found by the beat
                log.exception("a thread stumbles")
                self.stopping.wait(NAP)
            finally:
                self.at_work.discard(me)

    def _next_jobs(self) -> Taken | None:
        misses = 0
        while self.asked or not self.stopping.is_set():
            try:
                taken, dozed = self._take_or_doze()
                if misses and (dozed or taken.lines):  # an empty take alone does not show that Redis allows writes
                    log.info("Redis is back")
                    misses = 0
                if taken.lines:
                    self._ask_ahead()
                    return taken
                if dozed and self.stopping.is_set():  # a bell may have rung that was meant for somebody who stays
                    for name in self.queues:
                        self.leading.ring(name)
            except QueueError as error:
                self.more = not self.asked  # what else was sent is read first: it tells whether Redis is away
                if self.more:
                    misses += 1
                    log.log(logging.WARNING if misses == 1 else logging.DEBUG, "wait for Redis: %s", error)
                    self.stopping.wait(backoff.reconnect(misses, random.random()))
        return None

    def _take_or_doze(self) -> tuple[Taken, bool]:
        """Take; with nothing to do, when a bell rings. What ends meanwhile is settled by who ended it."""
        self.dozing = not (self.asked or self.more)  # before the look at what has ended
        idle = self.dozing and not self.hands.finished
        try:
            return self._take(self.nap if idle else 0), idle
        finally:
            self.dozing = False

    def _take(self, nap: float = 0) -> Taken:
        ahead = bool(self.asked)
        answer, done = self.asked.popleft() if ahead else self._ask(nap)
        try:
            if ahead:
                self._ask_ahead()  # before reading: Redis never waits for us
            taken = answer()
        except BaseException:
            self.hands.put_back(done)
            raise
        self.hands.forget(done, "finish", taken.lost)
        self.more = taken.more
        self.time.note_due(NEVER if taken.due_in is None else monotonic() + taken.due_in)
        return taken

    def _ask_ahead(self) -> None:
        self.at_work.add(threading.get_ident())
        wanted = self.more and not self.asked and not self.stopping.is_set()
        if wanted and len(self.at_work) < self.threads:  # else nobody would be there to run what comes
            with suppress(QueueError):  # the next leader will meet it too
                self.asked.append(self._ask())

    def _ask(self, nap: float = 0) -> Asked:
        options: dict[str, Any] = {"queues": self.queues, "lease": self.time.lease}
        if nap:  # for one job only: who freezes in his sleep shall not have a batch
            return self.leading.send_take(self.name, **options, nap=nap), []
        paces = self.pace.copy().items()
        full = {name: min(int(BATCH_TIME / pace), BATCH) for name, pace in paces if pace * 2 <= BATCH_TIME}
        most, done = max(full.values(), default=1), drain(self.hands.finished, CARRIED)
        try:
            told = settlements(done)
            return self.leading.send_take(self.name, most, **options, full=full, finished=told), done
        except BaseException:
            self.hands.put_back(done)
            raise

    def _run_batch(self, taken: Taken) -> None:
        me, batch = threading.get_ident(), deque(read_taken(taken, self.jobs, self.tasks, self.name))
        self.hands.held.update({run.token: run for run in batch})
        if monotonic() - taken.sent > self.fresh:  # after they are known: else our beat may give back what we begin
            self.hands.let_go(batch)
            log.warning("an answer came too late: what it brought is given back")
            return
        first: list[Run] = []
        try:
            while not self.stopping.is_set() and (first := drain(batch, 1)):  # the timekeeper may take the rest
                run = first[0]
                run.start()
                self.hands.busy[me] = run, batch
                self.time.look_at(min(run.deadline, run.began + BATCH_TIME) if batch or self.hands else run.deadline)
                self._run(run)
        except BaseException:  # a fault of ours, or no memory
            self.hands.let_go([*first, *batch])
            raise
        finally:
            self.hands.busy.pop(me, None)
        self.hands.give_back(list(batch))
        if self.dozing or self.hands.others or self.stopping.is_set():
            self._settle()

    def _run(self, run: Run) -> None:
        started = perf_counter()
        try:
            run.call()
            self.hands.finished.append(run)
        except BaseException as error:  # the one place: whatever a task raises, the others go on
            self._judge(run, error)
        took = max(perf_counter() - started, 1e-6)
        if run.task:
            pace = self.pace.get(run.name, took)
            self.pace[run.name] = pace + (took - pace) * 0.1

    def _settle(self) -> None:
        with self.settle_lock:
            try:
                self.hands.settle(self.settling)
            except QueueError as error:
                log.debug("keep what ended until Redis is back: %s", error)

    def _judge(self, run: Run, error: BaseException) -> None:
        """Choose the transition that this end of a task asks for."""
        me, token, text, known = self.name, run.token, run.describe(error), run.task is not None
        if isinstance(error, Snooze):
            wait = _wait(run, error)
            self.hands.end("snooze", [run], lambda jobs: jobs.snooze(me, token, wait))
        elif isinstance(error, Stopped):
            self.hands.end("cancel", [run], lambda jobs: jobs.cancel(run.id, (me, token)) == "cancelled")
        elif not known and not _hopeless(run):
            self.hands.end("snooze", [run], lambda jobs: jobs.snooze(me, token, UNKNOWN_DELAY))
        elif reason := _final(run, error):
            self.hands.end("bury", [run], lambda jobs: jobs.bury(me, token, reason, text, failed=known))
        else:
            wait = _wait(run, error)
            self.hands.end("retry", [run], lambda jobs: jobs.retry(me, token, wait, text))
        told = event("raise", job=run.id, task=run.name, attempt=run.attempt, error=headline(text))
        log.info(told)  # last: a log may block, and the end is noted


def _hopeless(run: Run) -> bool:
    """Whether nobody will ever know this task. One that comes from the schedule is old when it is first met."""
    return run.age > UNKNOWN_LIMIT and (run.attempt > UNKNOWN_TRIES or not run.had_a_time)


def _final(run: Run, error: BaseException) -> str | None:
    """Return why a job is dead after this error, or None if it may be tried again."""
    if isinstance(error, GiveUp):
        return cut(str(error.reason)) or GiveUp.reason
    if run.task is None and isinstance(error, UnknownTask):
        return "unknown task"
    if run.last_attempt:
        return "timed out" if isinstance(error, TimeLimit) else "failed"
    return None


def _wait(run: Run, error: BaseException) -> float:
    chosen = run.task.backoff if run.task else backoff.delay
    try:
        asked = error.after if isinstance(error, Retry | Snooze) else None
        return seconds(chosen(run.failures + 1, random.random()) if asked is None else asked)
    except BaseException:  # somebody's own function, or own kind of error
        log.exception("the backoff of %s fails, using the default", run.name)
        return backoff.delay(run.failures + 1, random.random())
