"""The scripts themselves: loaded anew whenever Redis forgot them, and every key they make is one of keys.py."""

from queue import JobQueue, keys, named

from tests.servers import each_redis

from .helpers import NS, Clock, Look, add, buried, finish, held, take, take_one

pytestmark = each_redis


def test_script_flush_between_any_two_steps(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Each call finds its script gone and loads it: nobody notices."""

    def again() -> tuple[str, str, str]:
        look.raw.script_flush()
        return take_one(jobs)

    for step in (
        lambda: add(jobs, "a"),
        lambda: jobs.enqueue_in(5, named("greet", id="b")),
        lambda: jobs.reschedule("b", 1),
        lambda: jobs.release("ann", [again()]),
        lambda: jobs.retry("ann", again(), 0, "an error"),
        lambda: jobs.snooze("ann", again(), 0),
        lambda: finish(jobs, again()),
        lambda: jobs.bury("ann", again(), "failed", "an error"),
        lambda: jobs.revive(look.dead()[0]),
        lambda: jobs.cancel(again()[0]),
        lambda: held(jobs),
        lambda: jobs.discard("a"),
        lambda: clock.advance(16),
        lambda: jobs.reclaim(),
        lambda: jobs.cancel("b"),
    ):
        look.raw.script_flush()
        step()

    assert {look.job(job_id)["state"] for job_id in "ab"} == {"done", "cancelled"}


def test_every_key_is_one_of_keys_py(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A queue that has seen everything: all of its keys are built by functions of keys.py too, with their types."""
    buried(jobs, "dead")
    add(jobs, "a", "b")
    jobs.enqueue_in(60, named("greet", id="later"))
    jobs.pause("low")
    jobs.beat("ann", 15, {"host": "here"})
    take_one(jobs)
    look.raw.set(keys.bell(NS, "default"), "junk")
    jobs.enqueue("greet")
    known = {
        keys.pending(NS, "default"): "list",
        keys.scheduled(NS): "zset",
        keys.running(NS, "ann"): "list",
        keys.dead(NS): "list",
        keys.workers(NS): "zset",
        keys.worker(NS, "ann"): "hash",
        keys.bell(NS, "default"): "list",
        keys.paused(NS): "set",
        keys.stats(NS, clock.now // 60_000): "hash",
    }
    found = {key: look.raw.type(key) for key in look.raw.keys("*")}

    assert {key: kind for key, kind in found.items() if ":job:" not in key and ":bad:" not in key} == known
    assert len(look.raw.keys(keys.bad(NS))) == 1
    assert keys.job(NS, "later") in found


def test_all_keys_of_a_queue_share_a_slot(jobs: JobQueue, look: Look) -> None:
    """The namespace is in braces: scripts work on a Redis Cluster."""
    buried(jobs, "dead")
    add(jobs, "a", queue="low")
    take(jobs, queues=["low"])

    assert all(key.startswith("{queue}:") for key in look.raw.keys("*"))
