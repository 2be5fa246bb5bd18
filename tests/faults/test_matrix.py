"""The rows of the fault matrix that no other file has; report.py names the tests of each row.

Most of a row is waiting, so they all happen at once, each on a Redis of its own; the tests look at what was seen.
FAULTS=full makes them as long as the matrix asks for.
"""

import fcntl
import os
import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import JobQueue, Unavailable
from queue.tasks import Registry
from typing import Any

import pytest

from tests.faults.harness import BRISK, Crew, Process, ledger, verb_sha
from tests.faults.proxy import Proxy
from tests.faults.storm import quantiles
from tests.jobs_contract.helpers import a_worker, define, wait_for, working
from tests.servers import RedisServer, best_real, binary, wait_until

FULL = os.environ.get("FAULTS") == "full"
OUTAGE = 3.5  # longer than the lease

pytestmark = pytest.mark.timeout(900 if FULL else 180)


class Ground:
    """A Redis, a crew and a proxy of one row's own."""

    def __init__(self, stack: ExitStack, folder: Path, **config: str | int) -> None:
        folder.mkdir(exist_ok=True)
        found = binary(best_real())
        assert found is not None
        self.server = RedisServer(found, **config)
        stack.callback(self.server.close)
        self.server.start()
        self.proxy = stack.enter_context(Proxy(self.server.port))
        self.crew = stack.enter_context(Crew(self.server.url, folder))
        self.events, self.jobs, self.over = self.crew.events, self.crew.jobs, threading.Event()
        stack.callback(self.over.set)

    def once(self, ids: list[str], seconds: float = 60) -> None:
        """All are done, each was started exactly once, nothing was counted."""
        jobs = self.crew.all_done(ids, seconds)
        starts = Counter(event.id for event in self.events("start"))
        assert {(job.crashes, job.failures, starts[job.id]) for job in jobs} == {(0, 0, 1)}

    def resumes(self, since: float) -> float:
        """Wait for a new job to be done. Returns seconds since then."""
        while True:
            try:
                self.crew.done(self.jobs.enqueue("quick"))
                return time.monotonic() - since
            except Unavailable:
                time.sleep(0.01)

    def refuses(self) -> float:
        """A producer is told so. Returns seconds that it took."""
        at = time.monotonic()
        with pytest.raises(Unavailable):
            self.jobs.enqueue("quick")
        return time.monotonic() - at


Row = Callable[[ExitStack, Path], dict[str, Any]]
ROWS: dict[str, Row] = {}


def row(function: Row) -> Row:
    """Let it happen with the others."""
    ROWS[function.__name__] = function
    return function


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What was seen of a row; its error, if it has one."""
    if binary(best_real()) is None:
        pytest.skip("no redis-server here")
    folder = tmp_path_factory.mktemp("matrix")

    def happen(name: str) -> dict[str, Any]:
        with ExitStack() as stack:
            return ROWS[name](stack, folder / name)

    with ThreadPoolExecutor(8) as pool:
        futures: dict[str, Future[dict[str, Any]]] = {name: pool.submit(happen, name) for name in ROWS}

    def look(name: str) -> dict[str, Any]:
        figures = futures[name].result()
        ledger(row=name, **figures)
        return figures

    return look


Seen = Callable[[str], dict[str, Any]]

# ---------------------------------------------------------------------------------------------- F4, F5: signals


@row
def nearly_frozen(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F4: SIGSTOP for 0.9 of the lease, from a beat on, again and again."""
    ground, lease = Ground(stack, folder), 5.0
    worker = ground.crew.start(lease=lease, beat=1, threads=2)
    ids = ground.jobs.enqueue_many([("sleepy", lease)] * 2)
    for job_id in ids:
        ground.crew.started(job_id)
    ground.crew.start(lease=lease, beat=1, threads=2)
    [name] = [name for name in ground.crew.register() if f"-{worker.pid}-" in name]

    def lease_end() -> float:
        return float(ground.crew.redis.zscore(ground.crew.key("workers"), name))

    for _ in range(2 + 8 * FULL):
        before = lease_end()
        wait_until(lambda before=before: lease_end() > before, 10, "a beat")  # type: ignore[misc]  # bound on purpose
        worker.signal(signal.SIGSTOP)
        time.sleep(lease * 0.9)
        worker.signal(signal.SIGCONT)
    ground.once(ids)
    return {"times": 2 + 8 * FULL}


def test_a_worker_frozen_for_less_than_its_lease_keeps_its_jobs(seen: Seen) -> None:
    """Nothing is reclaimed, nothing runs twice."""
    seen("nearly_frozen")


@row
def told_while_taking(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F5: SIGTERM while the answer to a take is on its way."""
    ground = Ground(stack, folder)
    worker = ground.crew.start(ground.proxy.url, lease=6, beat=2, grace=3, threads=1)
    ground.crew.all_done([ground.jobs.enqueue("quick")])  # loads the script
    ground.proxy.lose(verb_sha("take"), reply=b"on-its-way", delay=1)
    ground.jobs.enqueue(queue.named("sleepy", id="on-its-way"), 60)
    wait_until(lambda: ground.proxy.lost, 10, "the answer to be on its way")
    worker.signal(signal.SIGTERM)
    at = time.monotonic()
    code = worker.ends(20)
    return {
        "code": code,
        "took": time.monotonic() - at,
        "job": ground.crew.job("on-its-way"),
        "places": ground.crew.places(),
    }


def test_a_worker_told_to_stop_while_it_takes_gives_the_job_back(seen: Seen) -> None:
    """It leaves in time, and the job waits in front, with no failure and no crash."""
    got = seen("told_while_taking")
    assert got["code"] == 0
    assert got["places"] == {"pending:default": ["on-its-way"]}
    assert (got["job"].state, got["job"].failures, got["job"].crashes) == ("pending", 0, 0)


# ---------------------------------------------------------------------------------------------- F7, F8: Redis gone


def _killed(stack: ExitStack, folder: Path, **config: str) -> tuple[Ground, dict[str, float], float]:
    """Accept jobs until the very moment at which Redis is killed; start it again. Returns when each was accepted."""
    ground = Ground(stack, folder, **config)
    workers = [ground.crew.start(**BRISK, threads=2) for _ in range(2)]
    accepted: dict[str, float] = {}

    def produce() -> None:
        with suppress(Unavailable):
            while True:
                accepted[ground.jobs.enqueue("quick")] = time.monotonic()
                time.sleep(0.001)

    producer = threading.Thread(target=produce)
    producer.start()
    time.sleep(3)
    ground.server.kill()
    producer.join()
    ground.server.start()
    resumed = ground.resumes(time.monotonic())
    assert all(worker.alive and "Traceback" not in worker.log for worker in workers)
    return ground, accepted, resumed


@row
def killed_with_everysec(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F7: appendfsync everysec."""
    ground, accepted, resumed = _killed(stack, folder, appendonly="yes", appendfsync="everysec")
    wait_until(lambda: not ground.crew.places(), 20, "all to be done")
    lost = [max(accepted.values()) - at for job_id, at in accepted.items() if ground.jobs.status(job_id) is None]
    return {"accepted": len(accepted), "unwritten": lost, "resumed": [resumed]}


def test_a_kill_of_redis_with_everysec_loses_what_was_not_written(seen: Seen) -> None:
    """Only what was accepted in the last two seconds, as its manual says; everything older is done."""
    assert max(seen("killed_with_everysec")["unwritten"], default=0) <= 2


@row
def killed_without_a_file(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F7: no persistence."""
    ground, accepted, resumed = _killed(stack, folder)
    known = [job_id for job_id in accepted if ground.jobs.status(job_id)]
    return {"known": known, "resumed": [resumed], "places": ground.crew.places()}


def test_a_kill_of_redis_without_persistence_leaves_a_queue_that_works(seen: Seen) -> None:
    """What was there is unknown now, not pending; new work runs."""
    got = seen("killed_without_a_file")
    assert got["known"] == []
    assert got["places"] == {}


@row
def long_away(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F8: Redis away for minutes, from the start for one worker, in the middle of a job for another."""
    ground, seconds = Ground(stack, folder, appendonly="yes", appendfsync="always"), 300 if FULL else 6
    ids = ground.jobs.enqueue_many([("sleepy", 2)] * 3)
    workers = [ground.crew.start(threads=3)]
    for job_id in ids:
        ground.crew.started(job_id)
    ground.server.stop()
    workers.append(ground.crew.start(ready=False))
    wait_until(lambda: "wait for Redis" in workers[1].log, 20)
    used, refused = sum(worker.cpu() for worker in workers), ground.refuses()
    time.sleep(seconds)
    used = sum(worker.cpu() for worker in workers) - used
    ground.server.start()
    resumed = ground.resumes(time.monotonic())
    ground.once(ids)
    return {
        "cpu": used / seconds / 2,
        "refused": refused,
        "resumed": [resumed],
        "lines": len(workers[1].log.splitlines()),
    }


def test_workers_wait_for_a_redis_that_is_long_away(seen: Seen) -> None:
    """They neither spin nor exit nor fill their logs; producers are told in time; what ended is settled once."""
    got = seen("long_away")
    assert got["cpu"] < 0.05
    assert got["refused"] <= 2
    assert got["resumed"][0] <= 10
    assert got["lines"] < 30


# ---------------------------------------------------------------------------------------------- F9, F11: the wire


@row
def half_open(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F9: a black hole without a reset, with the settings as they come. What it swallowed stays mute for ever."""
    ground, resumed = Ground(stack, folder), []
    worker = ground.crew.start(ground.proxy.url)
    for _ in range(1 + 4 * FULL):
        job_id = ground.jobs.enqueue("sleepy", 2)
        ground.crew.started(job_id)
        ground.proxy.black_hole()
        time.sleep(5)
        ground.proxy.heal()
        resumed.append(ground.resumes(time.monotonic()))
        ground.crew.all_done([job_id])
    assert worker.alive
    return {
        "times": len(resumed),
        "resumed": resumed,
        "swallowed": ground.proxy.swallowed,
        "job": ground.crew.job(job_id),
    }


def test_a_worker_leaves_a_half_open_connection(seen: Seen) -> None:
    """Within 15 s of the end of the black hole it works again; the job that ended meanwhile is not repeated."""
    got = seen("half_open")
    assert got["swallowed"] > 0
    assert max(got["resumed"]) <= 15
    assert (got["job"].attempt, got["job"].crashes) == (1, 0)


def _slow(ground: Ground, begin: Callable[[], object]) -> dict[str, Any]:
    """Two workers, one of them idle, jobs that last longer than the lease."""
    for _ in range(2):
        ground.crew.start(ground.proxy.url, **BRISK)
    ids = ground.jobs.enqueue_many([("sleepy", 5)] * 3)
    for job_id in ids:
        ground.crew.started(job_id)
    begin()
    ids += [ground.jobs.enqueue("sleepy", 0.1) for _ in range(20)]
    ground.once(ids)
    return {"jobs": len(ids)}


@row
def far_away(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F11: 200 ms more each way."""
    ground = Ground(stack, folder)
    return _slow(ground, lambda: ground.proxy.slow(0.2))


@row
def asleep(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F11: DEBUG SLEEP for longer than the lease."""
    seven = best_real() == "redis7"
    ground = Ground(stack, folder, **{"enable_debug_command": "yes"} if seven else {})
    return _slow(ground, lambda: ground.crew.redis.execute_command("DEBUG", "SLEEP", OUTAGE))


@row
def late_reclaim(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F11: Redis freezes just as a worker asks to reclaim; the request is carried out when all leases are over."""
    ground = Ground(stack, folder)
    ground.crew.start(**BRISK)
    ids = ground.jobs.enqueue_many([("sleepy", 9)] * 2)
    for job_id in ids:
        ground.crew.started(job_id)
    ground.crew.start(ground.proxy.url, **BRISK)
    ground.jobs.reclaim()  # loads the script
    ground.proxy.hold(verb_sha("reclaim"), seconds=0.1)
    wait_until(lambda: ground.proxy.lost, 20, "a worker to ask")
    ground.server.pause()
    time.sleep(OUTAGE)
    ground.server.resume()
    ground.once(ids)
    return {"times": 1}


def test_a_reclaim_that_comes_late_changes_nothing(seen: Seen) -> None:
    """It asked while leases were good, and is carried out when they are not; nobody waits for it any more."""
    seen("late_reclaim")


@pytest.mark.parametrize("name", ["far_away", "asleep"])
def test_a_slow_redis_takes_no_job_from_the_living(seen: Seen, name: str) -> None:
    """200 ms each way all the time, or nothing for longer than the lease: every job runs once."""
    assert seen(name)["jobs"] == 23


# ---------------------------------------------------------------------------------------------- F12: it refuses


@dataclass(frozen=True)
class Refusal:
    """How Redis is made to refuse, and to stop refusing."""

    begin: Callable[[Ground], object]
    end: Callable[[Ground], object]


def _no_room_for_a_dump(ground: Ground) -> None:
    (ground.server.folder / "dump.rdb").mkdir()
    ground.crew.redis.config_set("save", "3600 1000000")
    ground.crew.redis.bgsave()
    wait_until(lambda: ground.crew.redis.info("persistence")["rdb_last_bgsave_status"] == "err")


def _room_for_a_dump(ground: Ground) -> None:
    (ground.server.folder / "dump.rdb").rmdir()
    ground.crew.redis.bgsave()
    wait_until(lambda: ground.crew.redis.info("persistence")["rdb_last_bgsave_status"] == "ok")


def _a_slow_load(ground: Ground) -> None:
    for at in range(3000):
        ground.crew.redis.set(f"filler:{at}", at)
    ground.server.stop()
    ground.server.config["key-load-delay"] = "1500"  # microseconds a command: longer than the lease in all

    def start() -> None:
        ground.server.start()
        ground.over.wait()  # the server dies with the thread that started it

    threading.Thread(target=start).start()
    wait_until(lambda: ground.server._running().poll() is None, 60, "a new process")


def _others_only(*setting: Any) -> Callable[[Ground], object]:
    """Change a setting, and cut everybody off so that it is felt."""

    def begin(ground: Ground) -> None:
        ground.crew.redis.config_set(*setting)
        ground.crew.redis.client_kill_filter(_type="normal", skipme=True)

    return begin


REFUSALS = {
    "MISCONF": Refusal(_no_room_for_a_dump, _room_for_a_dump),
    "LOADING": Refusal(_a_slow_load, lambda ground: wait_until(ground.server._answers, 20)),
    "READONLY": Refusal(
        lambda ground: ground.crew.redis.replicaof("127.0.0.1", 1),
        lambda ground: ground.crew.redis.replicaof("NO", "ONE"),
    ),
    "NOAUTH": Refusal(_others_only("requirepass", "x"), lambda ground: ground.crew.redis.config_set("requirepass", "")),
    "maxclients": Refusal(
        _others_only("maxclients", 1), lambda ground: ground.crew.redis.config_set("maxclients", 100)
    ),
}


def _refused(refusal: Refusal, stack: ExitStack, folder: Path) -> dict[str, Any]:
    """Jobs end while Redis refuses for longer than the lease."""
    ground = Ground(stack, folder, appendonly="yes", appendfsync="always")
    workers = [ground.crew.start(**BRISK) for _ in range(2)]
    ids = ground.jobs.enqueue_many([("sleepy", 1)] * 2 + [("sleepy", 5)] * 2)
    for job_id in ids:
        ground.crew.started(job_id)
    began = time.monotonic()
    refusal.begin(ground)
    refused = ground.refuses()
    time.sleep(max(0, began + OUTAGE - time.monotonic()))
    refusal.end(ground)
    resumed = ground.resumes(time.monotonic())
    ground.once(ids)
    lines = max(len(worker.log.splitlines()) for worker in workers)
    assert not any("Traceback" in worker.log for worker in workers), workers[0].log
    return {"refused": refused, "resumed": [resumed], "lines": lines}


for _name, _refusal in REFUSALS.items():
    ROWS[_name] = lambda stack, folder, refusal=_refusal: _refused(refusal, stack, folder)  # type: ignore[misc]  # bound


@pytest.mark.parametrize("name", REFUSALS)
def test_a_redis_that_refuses_is_waited_for(seen: Seen, name: str) -> None:
    """Producers are told within 2 s by the queue's own error; workers stay calm; every job runs once."""
    got = seen(name)
    assert got["refused"] <= 2
    assert got["resumed"][0] <= 10
    assert got["lines"] < 40


# ---------------------------------------------------------------------------------------------- F17: clocks

WRONG = """
import time
real, since = time.time, time.monotonic()
time.time = lambda: real() + {shift}
from tests.faults.program import main
main()
"""
SHIFTS = {"ahead": "3600", "behind": "-3600", "jumping": "3600 * (-1) ** int(time.monotonic() - since)"}


@row
def wrong_clocks(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F17: three workers whose clocks are an hour ahead, an hour behind, and jumping between both each second."""
    ground = Ground(stack, folder)
    for shift in SHIFTS.values():
        ground.crew.program = ("-c", WRONG.format(shift=shift))
        ground.crew.start(**BRISK)
    ids = ground.jobs.enqueue_many([("sleepy", 4)] * 9)
    ids += [ground.jobs.enqueue_in(at / 10, "quick") for at in range(30)]
    ids += [ground.jobs.enqueue_at(time.time() + at / 10, "quick") for at in range(30)]
    jobs = ground.crew.all_done(ids)
    late = [(job.started_at or 0) - job.due_at for job in jobs if job.due_at]  # both by the clock of Redis
    return {"states": {(job.attempt, job.crashes, job.failures) for job in jobs}, "late": late, "jobs": len(ids)}


def test_the_clocks_of_workers_decide_nothing(seen: Seen) -> None:
    """Jobs run when the clock of Redis says so, and no lease is lost."""
    got = seen("wrong_clocks")
    assert got["states"] == {(1, 0, 0)}
    assert min(got["late"]) >= 0


def test_a_jump_of_the_clock_of_redis_takes_no_job_from_the_living(redis_url: str) -> None:
    """5 s ahead, 10 s back: leases of 3 s seem over and are not; each job runs once."""
    jump, runs = [0.0], Counter[str]()

    def clock() -> int:
        return round((time.time() + jump[0]) * 1000)

    jobs, tasks = JobQueue.from_url(redis_url), Registry()
    jobs.clock = clock

    def count(seconds: float) -> None:
        job = queue.current_job()
        runs[job.id if job else ""] += 1
        time.sleep(seconds)

    task = define(tasks, count)
    with (
        working(a_worker(jobs, tasks, threads=4, lease=3, beat=1)),
        working(a_worker(jobs, tasks, threads=4, lease=3, beat=1)),
    ):
        ids = jobs.enqueue_many([(task, 4)] * 3)
        ids += [jobs.enqueue_in(seconds, task, 0) for seconds in (0.5, 1, 2, 4)]
        for shift in (5.0, -5.0, 0.0):
            time.sleep(1)
            jump[0] = shift
        states = {(job.attempt, job.crashes) for job in (wait_for(jobs, job_id, "done") for job_id in ids)}
    assert states == {(1, 0)}
    assert set(runs.values()) == {1}
    jobs.redis.close()


# ---------------------------------------------------------------------------------------------- F18: the herd


def test_a_herd_of_due_jobs_and_retries_runs_once_each(crew: Crew) -> None:
    """Thousands due in one second, hundreds of retries at once, all workers started together."""
    herd, retries, workers = (10_000, 500, 20) if FULL else (2_000, 100, 3)
    due = time.time() + 3 + 5 * FULL
    ids = [crew.jobs.enqueue_at(due + at / herd, "quick") for at in range(herd)]
    for _ in range(workers):
        crew.start(ready=False)
    wait_until(lambda: len(crew.register()) == workers, 60, "all workers to be there")
    failing = crew.jobs.enqueue_many([("fails_once",)] * retries)
    jobs = crew.all_done(ids + failing, 120)
    starts, again = Counter(event.id for event in crew.events("start")), set(failing)
    expected = {job.id: (2, 1, 0) if job.id in again else (1, 0, 0) for job in jobs}
    assert {job.id: (starts[job.id], job.failures, job.crashes) for job in jobs} == expected
    at = {job.id: (job.due_at or 0) / 1000 for job in jobs}
    late = [event.at - at[event.id] for event in crew.events("start") if event.id in set(ids)]
    assert min(late) >= 0
    ledger(late=quantiles(late))
    print(f"{herd} due in one second: {quantiles(late)}")


# ---------------------------------------------------------------------------------------------- F21: races


def test_cancel_and_reschedule_raced_by_eight_threads(crew: Crew) -> None:
    """Each call answers one of the words that there are; who was told "cancelled" is not run."""
    for _ in range(2):
        crew.start(**BRISK, threads=2)
    said: list[tuple[str, str]] = []
    rounds = 60 if FULL else 15

    def race(number: int) -> None:
        mine = JobQueue.from_url(crew.url)
        for _ in range(rounds):
            job_id = f"raced-{_}"
            mine.enqueue_in(0.01 * (_ % 5), queue.named("quick", id=job_id))
            for at in range(6):
                what = (number + at) % 3
                answer = mine.cancel(job_id) if what == 0 and at > 1 else mine.reschedule(job_id, time.time() + 0.02)
                said.append((job_id, answer))
        mine.redis.close()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer for _, answer in said} <= {"cancelled", "stopping", "too late", "unknown", "rescheduled"}
    _judge_races(crew, said)


def _judge_races(crew: Crew, said: list[tuple[str, str]]) -> None:
    ids, cancelled = {job_id for job_id, _ in said}, {job_id for job_id, answer in said if answer == "cancelled"}
    wait_until(lambda: all(crew.job(job_id).state in ("done", "cancelled") for job_id in ids), 20, "all to end")
    wait_until(lambda: not crew.places(), 10, "all lists to be empty")
    started = Counter(event.id for event in crew.events("start"))
    for job_id in ids:
        expected = "cancelled" if job_id in cancelled else "done"
        assert (crew.job(job_id).state, started[job_id]) == (expected, 0 if job_id in cancelled else 1)
    assert cancelled
    assert ids - cancelled
    ledger(times=len(said))


# ---------------------------------------------------------------------------------------------- F23: the soak


@row
def soak(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F23, shortened: a low rate, jobs that are soon forgotten, a worker restarted again and again."""
    ground, seconds = Ground(stack, folder), 300 if FULL else 12
    ground.crew.program = ("-m", "tests.faults.storm_tasks")
    old, young = ground.crew.start(**BRISK), ground.crew.start(**BRISK)
    ids: list[str] = []
    keys, memory = list[int](), list[int]()
    began = last = time.monotonic()
    while time.monotonic() < began + seconds:
        ids += [ground.jobs.enqueue("brief"), ground.jobs.enqueue_in(0.5, "brief")]
        time.sleep(0.02)
        keys.append(ground.crew.redis.dbsize())
        memory.append(_resident(old))
        if time.monotonic() > last + seconds / 6:
            last = time.monotonic()
            young.signal(signal.SIGTERM)
            assert young.ends() == 0
            young = ground.crew.start(**BRISK)
    wait_until(lambda: not ground.crew.places(), 20, "nothing to be stuck")
    third = len(keys) // 3  # what leaks raises the lowest too; the highest is a moment in which the machine stood still
    starts = Counter(event.id for event in ground.events("start"))
    figures = {
        what: (max(values[third:-third]), min(values[-third:])) for what, values in (("keys", keys), ("memory", memory))
    }
    return figures | {
        "jobs": len(ids),
        "unstarted": len(set(ids) - starts.keys()),
        "twice": starts.total() - len(starts),
    }


def _resident(process: Process) -> int:
    """Bytes of memory that it has."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_soak_leaves_nothing_behind(seen: Seen) -> None:
    """Each job runs once, whoever is restarted; the number of keys and the memory of a worker do not grow."""
    got = seen("soak")
    assert (got["unstarted"], got["twice"]) == (0, 0)
    assert got["keys"][1] <= got["keys"][0] * 1.2 + 20
    assert got["memory"][1] <= got["memory"][0] + (4 << 20)


# ---------------------------------------------------------------------------------------------- F24: logs that fail


def _logs_to(stack: ExitStack, folder: Path, sink: int) -> tuple[Ground, Process]:
    ground = Ground(stack, folder)
    return ground, ground.crew.start(**BRISK, threads=4, sink=sink)


@row
def full_disk(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F24: no byte of the log can be written."""
    sink = os.open("/dev/full", os.O_WRONLY)
    stack.callback(os.close, sink)
    ground, _ = _logs_to(stack, folder, sink)
    ground.crew.all_done(ground.jobs.enqueue_many([("fails_once",)] * 50))
    return {"jobs": 50}


@row
def closed_log(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F24: who read the log is gone."""
    reader, sink = os.pipe()
    os.close(reader)
    stack.callback(os.close, sink)
    ground, _ = _logs_to(stack, folder, sink)
    ground.crew.all_done(ground.jobs.enqueue_many([("fails_once",)] * 50))
    return {"jobs": 50}


@row
def blocked_log(stack: ExitStack, folder: Path) -> dict[str, Any]:
    """F24: who reads the log has stopped; later he goes on."""
    reader, sink = os.pipe()
    fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, 4096)
    ground, worker = _logs_to(stack, folder, sink)
    ids = ground.jobs.enqueue_many([("fails_once",)] * 100 + [("sleepy", 1)] * 10)
    wait_until(lambda: ground.events("start"), 20, "the first start")
    wait_until(_still(lambda: len(ground.events())), 20, "everybody to wait for the log")
    ground.crew.start(**BRISK)
    states = {ground.crew.done(job_id).state for job_id in ids}
    alive = worker.alive
    stack.callback(os.close, sink)
    threading.Thread(target=_read, args=(reader,)).start()  # until the last who can write is gone
    wait_until(lambda: ground.crew.registered(worker), 20, "the blocked worker to be back")
    wait_until(lambda: not ground.crew.places(), 20, "nothing to be left")
    return {"states": states, "alive": alive}


def _still(figure: Callable[[], int]) -> Callable[[], bool]:
    """Whether it was the same a second ago."""
    seen: list[tuple[float, int]] = []

    def look() -> bool:
        seen.append((time.monotonic(), figure()))
        return any(at < seen[-1][0] - 1 and number == seen[-1][1] for at, number in seen)

    return look


def _read(reader: int) -> None:
    while os.read(reader, 4096):
        pass
    os.close(reader)


@pytest.mark.parametrize("name", ["full_disk", "closed_log"])
def test_a_log_that_cannot_be_written_stops_no_job(seen: Seen, name: str) -> None:
    """A full disk, a closed pipe: every job is done, failures are retried."""
    assert seen(name)["jobs"] == 50


def test_a_log_that_blocks_is_one_worker_less(seen: Seen) -> None:
    """Who wants to log waits for it, and others take over what it held; it comes back when the log is read again."""
    got = seen("blocked_log")
    assert got["states"] == {"done"}
    assert got["alive"]
