"""Measure the queue on a Redis of its own, beside the floors that this machine has: `python -m benchmarks [JOBS]`.

Everything runs one after another in one run, so that the figures can be compared with each other; machines are noisy,
so each is the median of several rounds with its spread.
"""

import hashlib
import queue
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis import Redis

from benchmarks import tasks

ROUNDS = 5


def main(jobs: int = 20_000) -> None:
    """Print the table."""
    with redis_server() as url:
        store = queue.connect(url)
        redis = store.redis
        version = redis.info("server")["redis_version"]
        print(f"redis {version}, Python {sys.version.split()[0]}, {ROUNDS} rounds, median (min to max)\n")
        bare = floor_evalsha(redis)
        row("floor: bare EVALSHA by redis-py, one connection", bare, "/s")
        row("floor: redis-benchmark, EVALSHA, one connection", [redis_benchmark(url, redis)], "/s")
        row(
            "enqueue, one at a time",
            rounds(lambda: per_second(2_000, lambda n: [queue.enqueue(tasks.nothing, i) for i in range(n)])),
            "/s",
        )
        redis.flushall()
        row(
            "enqueue in bulk",
            rounds(lambda: per_second(jobs, lambda n: queue.enqueue_many([(tasks.nothing, i) for i in range(n)]))),
            "/s",
        )
        row("bytes of Redis a pending job", [bytes_a_job(redis, jobs)], "")
        row("empty jobs, one worker process", rounds(lambda: empty_jobs(url, redis, jobs)), "/s")
        redis.flushall()
        with worker(url):
            picked = sorted(pick_up(tasks.moment, lambda: time.monotonic(), 0) for _ in range(300))
            print(f"{'pick-up on an idle worker':<55} p50 {picked[150]:.2f} ms, p99 {picked[296]:.2f} ms")
            late = sorted(pick_up(tasks.lateness, lambda: time.time() + 0.05, 0.05) for _ in range(100))
            print(f"{'lateness of scheduled jobs on an idle worker':<55} p50 {late[50]:.2f} ms, p99 {late[98]:.2f} ms")


def row(name: str, figures: list[float], unit: str) -> None:
    """Print one line of the table."""
    spread = f"  ({min(figures):,.0f} to {max(figures):,.0f})" if len(figures) > 1 else ""
    print(f"{name:<55} {statistics.median(figures):>9,.0f} {unit}{spread}", flush=True)


def rounds(measure: Callable[[], float]) -> list[float]:
    """Return the figures of all rounds."""
    return [measure() for _ in range(ROUNDS)]


def per_second(count: int, work: Callable[[int], object]) -> float:
    """Return how many a second."""
    started = time.perf_counter()
    work(count)
    return count / (time.perf_counter() - started)


def floor_evalsha(redis: Redis) -> list[float]:
    """Return how many calls of a script that does nothing redis-py makes in a second."""
    sha = redis.script_load("return 1")
    return rounds(lambda: per_second(2_000, lambda n: [redis.evalsha(sha, 0) for _ in range(n)]))


def redis_benchmark(url: str, redis: Redis) -> float:
    """Return how many such calls the server answers, asked by Redis's own tool."""
    sha = hashlib.sha1(b"return 1", usedforsecurity=False).hexdigest()
    command = ["redis-benchmark", "-p", url.rsplit(":", 1)[1], "-c", "1", "-n", "20000", "-q", "evalsha", sha, "0"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(out.rsplit(":", 1)[1].split("requests")[0])


def bytes_a_job(redis: Redis, jobs: int) -> float:
    """Return what a pending job with one short argument takes."""
    redis.flushall()
    before: int = redis.info("memory")["used_memory"]
    queue.enqueue_many([(tasks.nothing, i) for i in range(jobs)])
    after: int = redis.info("memory")["used_memory"]
    return (after - before) / jobs


def empty_jobs(url: str, redis: Redis, jobs: int) -> float:
    """Return how many jobs that do nothing a worker process ends in a second, from its first to its last."""
    redis.flushall()
    queue.enqueue_many([(tasks.nothing, i) for i in range(jobs)])
    last = queue.enqueue(tasks.nothing, 0)
    with worker(url):
        while redis.llen("{queue}:pending:default") == jobs + 1:
            time.sleep(0.0005)
        started, left = time.perf_counter(), jobs
        while not queue.is_complete(last):
            time.sleep(0.002)
        return left / (time.perf_counter() - started)


def pick_up(task: queue.Task, stamp: Callable[[], float], delay: float) -> float:
    """Return the ms that an idle worker took."""
    at = stamp()
    job_id = queue.enqueue_at(at, task, at) if delay else queue.enqueue(task, at)
    while not queue.is_complete(job_id):
        time.sleep(0.005)
    job = queue.status(job_id)
    assert job is not None
    time.sleep(0.005)
    return float(job.result)


@contextmanager
def worker(url: str) -> Iterator[None]:
    """A worker process for the length of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "queue", "--redis", url, "work", "benchmarks.tasks"], stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of our own for the length of the block; yields its URL."""
    binary = shutil.which("redis-server")
    if binary is None or shutil.which("redis-benchmark") is None:
        sys.exit("benchmarks need redis-server and redis-benchmark on the PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [binary, "--port", str(port), "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    )
    try:
        url = f"redis://127.0.0.1:{port}"
        while subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True).stdout != b"PONG\n":
            time.sleep(0.02)
        yield url
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(*(int(given) for given in sys.argv[1:2]))
