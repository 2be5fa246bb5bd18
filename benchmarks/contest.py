"""All queues on the same work, one after another, round after round: `measure` returns the figures of the table."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from statistics import median

import redis

from benchmarks.entrants import FLOOR, Entrant
from benchmarks.sides import Producer, Worker, info, resident
from tests.servers import RedisServer

Figures = dict[str, float]
WARM = 20_000  # jobs after which the memory of a worker is read
SINGLES, PASSES = 3_000, 3  # enqueued one at a time, and how often in a round
STAMPS, STAMP_GAP = 150, 25  # jobs given to an idle worker, and ms between them
DUE, DUE_GAP = 60, 50  # scheduled jobs, and ms between them
SLEEPS, SLEEP_MS, AT_A_TIME = 500, 100, 10
SETTLING = 0.5  # seconds in which a worker tells Redis how the last jobs ended


@dataclass
class Contest:
    """One queue on an empty Redis."""

    entrant: Entrant
    url: str
    client: redis.Redis
    producer: Producer

    def enqueue(self) -> Figures:
        """Enqueue one at a time, without a worker."""
        self.producer.ask("one", SINGLES // 10)  # whatever a new connection needs
        return {"enqueue": SINGLES / float(self.producer.ask("one", SINGLES))}

    def bulk(self) -> Figures:
        """Enqueue many, and look at the memory that they take."""
        jobs = self.entrant.jobs
        self.producer.ask("bulk", 1)  # whatever an empty queue needs, once
        before = info(self.client, "memory", "used_memory")
        seconds = float(self.producer.ask("bulk", jobs))
        return {"bulk": jobs / seconds, "bytes": (info(self.client, "memory", "used_memory") - before) / jobs}

    def empty(self) -> Figures:
        """Work through jobs that do nothing: from the first end to the last, with the time that Redis was busy."""
        spent, first, last = self._empty(self.entrant.jobs)[:3]
        jobs = self.entrant.jobs
        return {"throughput": (jobs - 1) / ((last - first) / 1e9), "redis": spent * 1e6 / jobs}

    def memory(self) -> Figures:
        """Work through a fixed number of such jobs and look at the process that ran them."""
        return {"memory": self._empty(WARM)[3]}

    def _empty(self, jobs: int) -> tuple[float, int, int, float]:
        self.producer.ask("bulk", jobs)
        before = self._busy()
        with self._worker("busy", self.entrant.busy, jobs) as worker:
            last = worker.wait("last")[0]
            time.sleep(SETTLING)
            return self._busy() - before, worker.wait("first")[0].at, last.at, resident(last.pid)

    def idle(self) -> Figures:
        """Give jobs to a worker that waits: now, and at a time."""
        with self._worker("idle", AT_A_TIME) as worker:
            self.producer.ask("stamps", 20, STAMP_GAP)
            worker.wait("stamp", 20)
            calls = self.producer.ask("stamps", STAMPS, STAMP_GAP)
            found = worker.wait("stamp", 20 + STAMPS)[20:]
            waits = [(event.at - calls[event.number]) / 1e6 for event in found]
            figures = {"pickup50": percentile(waits, 50), "pickup99": percentile(waits, 99)}
            if self.entrant is not FLOOR:
                times = self.producer.ask("later", DUE, DUE_GAP)
                found = worker.wait("stamp", 20 + STAMPS + DUE)[20 + STAMPS :]
                late = [(event.wall - times[event.number]) / 1e6 for event in found]
                figures |= {"late50": percentile(late, 50), "late99": percentile(late, 99), "early": max(0, -min(late))}
            return figures

    def wide(self) -> Figures:
        """Run jobs that wait themselves, ten at a time: from the first start to the last end."""
        self.producer.ask("sleeps", SLEEPS, SLEEP_MS)
        with self._worker("wide", AT_A_TIME) as worker:
            last = max(event.at for event in worker.wait("end", SLEEPS))
            return {"wide": (last - min(event.at for event in worker.events("start"))) / 1e9}

    def _worker(self, kind: str, width: int, jobs: int = 0) -> Worker:
        return Worker(self.entrant, self.url, kind, width, jobs)

    def _busy(self) -> float:
        return info(self.client, "cpu", "used_cpu_user") + info(self.client, "cpu", "used_cpu_sys")


def singles(entrants: list[Entrant], server: RedisServer, say: Callable[[str], None]) -> dict[str, Figures]:
    """Return how many jobs a second each enqueues one at a time.

    All within a minute, and again: what a call costs differs less from queue to queue than from minute to minute.
    """
    rates: dict[str, list[float]] = {entrant.key: [] for entrant in entrants}
    for entrant in entrants * PASSES:
        with server.client() as client, closing(Producer(entrant, server.url)) as producer:
            client.flushall()
            try:
                rates[entrant.key].append(Contest(entrant, server.url, client, producer).enqueue()["enqueue"])
            except (RuntimeError, OSError) as error:
                say(f"{entrant.name}: enqueue failed: {error}")
    return {key: {"enqueue": median(found)} if found else {} for key, found in rates.items()}


def measure(entrant: Entrant, server: RedisServer, first: bool, say: Callable[[str], None]) -> Figures:
    """Return all figures of one round; what fails is said, and missing. Memory is read in the first round only."""
    figures: Figures = {}
    with server.client() as client:
        producer = Producer(entrant, server.url)
        contest = Contest(entrant, server.url, client, producer)
        steps = [contest.bulk, contest.empty, contest.memory, contest.idle, contest.wide]
        if entrant is FLOOR:
            steps = [contest.idle]
        elif not first:
            steps.remove(contest.memory)
        try:
            for step in steps:
                client.flushall()
                try:
                    figures |= step()
                except (RuntimeError, OSError, KeyError) as error:
                    say(f"{entrant.name}: {step.__name__} failed: {error}")
        finally:
            producer.close()
    return figures


def percentile(values: list[float], percent: float) -> float:
    """Return the value that so many of a hundred do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
