"""Requests that reach Redis while their answer does not come back, or comes late: through a proxy that does it."""

import queue
import time
from collections.abc import Iterator
from queue import JobQueue

import pytest

from tests.faults.harness import BRISK, Crew, Proxy, verb_sha
from tests.servers import wait_until


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    """A proxy before the shared server."""
    with Proxy(int(redis_url.rsplit(":", 1)[-1].split("/")[0])) as proxy:
        yield proxy


def test_a_take_whose_answer_was_lost_is_found_by_the_beat(crew: Crew, proxy: Proxy) -> None:
    """The job is in the running list, and nobody runs it: it is released, and then runs. No crash, no failure."""
    worker = crew.start(proxy.url, **BRISK)
    crew.all_done([crew.jobs.enqueue("quick")])  # loads the script
    proxy.lose(verb_sha("take"), reply=b"lost-job")
    crew.jobs.enqueue(queue.named("sleepy", id="lost-job"), 0)
    job = crew.done("lost-job", 15)

    assert len(proxy.lost) == 1
    assert (job.attempt, job.failures, job.crashes) == (2, 0, 0)
    assert [event.attempt for event in crew.events("start", "lost-job")] == [2]
    assert "the answer was lost" in worker.log


def test_a_take_whose_answer_is_only_late_is_not_taken_for_lost(crew: Crew, proxy: Proxy) -> None:
    """Also when two beats follow one another quickly, as they do when another worker's lease is about to end."""
    lease, beat = 6, 2
    crew.start(proxy.url, lease=lease, beat=beat)
    crew.all_done([crew.jobs.enqueue("quick")])  # loads the script
    [name] = crew.register()
    first = crew.redis.zscore(crew.key("workers"), name)
    wait_until(lambda: crew.redis.zscore(crew.key("workers"), name) > first + beat * 500, 10, "the next beat")
    time.sleep(beat * 0.6)
    next_beat = crew.redis.zscore(crew.key("workers"), name) - (lease - beat) * 1000
    crew.redis.zadd(crew.key("workers"), {"ghost": next_beat + 200})  # so that there is a beat then, too
    proxy.lose(verb_sha("take"), reply=b"late-job", delay=1.4)
    crew.jobs.enqueue(queue.named("sleepy", id="late-job"), 1)
    job = crew.done("late-job", 20)

    assert len(proxy.lost) == 1
    assert (job.attempt, len(crew.events("start", "late-job"))) == (1, 1)


@pytest.mark.parametrize("verb", ["finish", "take"])
def test_a_finish_whose_answer_was_lost_is_told_again(crew: Crew, proxy: Proxy, verb: str) -> None:
    """Told alone or carried by a take: the job is done, once, and nobody complains."""
    worker = crew.start(proxy.url, **BRISK, threads=2 if verb == "finish" else 1)
    crew.all_done([crew.jobs.enqueue("quick"), *crew.jobs.enqueue_many([("sleepy", 0.1)] * 4)])  # loads the scripts
    proxy.lose(verb_sha(verb), b"lost-finish")
    crew.jobs.enqueue(queue.named("sleepy", id="lost-finish"), 0.3)
    wait_until(lambda: proxy.lost, 10, "the answer to be lost")
    lost_at = time.monotonic()
    crew.started("lost-finish")
    wait_until(lambda: not crew.places(), 10, "the job to be settled")
    time.sleep(max(0, lost_at + 3 - time.monotonic()))  # long enough for two beats to find what they should not

    job = crew.done("lost-finish")
    assert (job.attempt, len(crew.events("start", "lost-finish"))) == (1, 1)
    assert "too late" not in worker.log
    assert "was lost" not in worker.log


def test_an_enqueue_whose_answer_was_lost_makes_one_job(crew: Crew, proxy: Proxy) -> None:
    """The library asks again under the same id; so may the caller."""
    producer = JobQueue.from_url(proxy.url)
    try:
        producer.enqueue("quick")  # loads the script
        proxy.lose(verb_sha("enqueue"), b"once")
        assert producer.enqueue(queue.named("quick", id="once")) == "once"
        assert producer.enqueue(queue.named("quick", id="once")) == "once"
        assert len(proxy.lost) == 1
        waiting = crew.redis.lrange(crew.key("pending:default"), 0, -1)
    finally:
        producer.redis.close()

    assert waiting.count("once") == 1
    assert len(waiting) == 2
