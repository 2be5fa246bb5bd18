"""take: order, batches, stale ids, what is due, and the finished jobs it carries."""

from queue import JobQueue, named

import pytest

from tests.servers import each_redis

from .helpers import START, Clock, Look, add, finish, running, take, take_one, tokens

pytestmark = each_redis


def test_take_moves_a_job_into_the_workers_hands(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Move, lease, attempt, worker and state are one step."""
    add(jobs, "a")
    clock.advance(2)
    taken = jobs.take("ann", lease=15)

    assert (look.pending(), look.running()) == ([], ["a"])
    assert look.job("a") | {
        "state": "running",
        "attempt": "1",
        "worker": "ann",
        "started_at": str(START + 2000),
    } == look.job("a")
    assert look.workers() == {"ann": START + 17_000}
    assert (taken.now, taken.ids, taken.more, taken.due_in) == (START + 2000, ["a"], False, None)


def test_take_gives_all_that_a_worker_needs(jobs: JobQueue) -> None:
    """A line a field: id, attempt, list, task, args, kwargs, failures, crashes, max_attempts, enqueued_at, due_at."""
    jobs.enqueue(named("greet", id="a", queue="low", retries=2), "Ada", polite=True)
    taken = jobs.take("ann", queues=["low"])

    assert taken.lines[0].split("\n") == [
        "a",
        "1",
        "low",
        "greet",
        '["Ada"]',
        '{"polite":true}',
        "0",
        "0",
        "3",
        str(START),
        "",
    ]


def test_the_fields_of_a_job_survive(jobs: JobQueue, look: Look) -> None:
    """Taken, failed, taken again and done: what the enqueuer chose is still there."""
    jobs.enqueue(named("greet", id="a", retries=2), "Ada", polite=True)
    chosen = look.job("a")
    jobs.retry("ann", take_one(jobs), 0, "an error")
    finish(jobs, take_one(jobs), result='"hello"')

    kept = {name: look.job("a")[name] for name in ("task", "args", "kwargs", "queue", "max_attempts", "enqueued_at")}
    assert kept == {name: chosen[name] for name in kept}
    assert look.job("a")["result"] == '"hello"'


def test_nothing_to_take_leaves_no_trace(jobs: JobQueue, look: Look) -> None:
    """A take that hands out nothing writes nothing: no lease, no bell."""
    assert take(jobs) == []
    assert look.raw.keys("*") == []


def test_take_in_order(jobs: JobQueue) -> None:
    """First in, first out, over any number of takes."""
    add(jobs, *"abcdef")

    assert [take_one(jobs)[0], *(token[0] for token in take(jobs, limit=3)), take_one(jobs)[0]] == [*"abcde"]
    take(jobs)


def test_take_by_the_order_of_the_lists(jobs: JobQueue) -> None:
    """All of the first list come before any of the second, whoever came earlier."""
    add(jobs, "low1", "low2", queue="low")
    add(jobs, "high1", "high2", queue="high")
    taken = [token[0] for token in take(jobs, limit=3, queues=["high", "low"])]

    assert taken == ["high1", "high2", "low1"]
    assert take_one(jobs, queues=["high", "low"])[0] == "low2"


def test_take_leaves_other_lists_alone(jobs: JobQueue, look: Look) -> None:
    """A worker takes from its own lists only."""
    add(jobs, "a", queue="other")

    assert take(jobs, limit=10) == []
    assert look.pending("other") == ["a"]


def test_take_no_more_than_the_limit(jobs: JobQueue, look: Look) -> None:
    """The limit holds, and says that there is more."""
    add(jobs, *"abcde")
    taken = jobs.take("ann", 2, full={"greet": 100})

    assert (taken.ids, taken.more) == (["a", "b"], True)
    assert look.pending() == ["c", "d", "e"]
    assert not jobs.take("ann", 100, full={"greet": 100}).more


def test_unknown_tasks_come_alone(jobs: JobQueue) -> None:
    """A task whose time nobody knows is handed out by itself."""
    add(jobs, "a", "b", task="mystery")
    add(jobs, "c")

    assert [[token[0] for token in take(jobs, limit=100)] for _ in range(3)] == [["a"], ["b"], ["c"]]


def test_a_batch_is_full_when_its_time_is(jobs: JobQueue) -> None:
    """Each job uses its share of the batch: two of five and one of two are nine tenths, another would be too much."""
    for task in ("five", "five", "two", "two", "five"):
        jobs.enqueue(task)
    full = {"five": 5, "two": 2}

    assert [len(jobs.take("ann", 100, full=full).ids) for _ in range(3)] == [3, 2, 0]


@pytest.mark.parametrize("many", [3, 7, 10, 49, 100])
def test_a_full_batch_is_exactly_full(jobs: JobQueue, many: int) -> None:
    """No share is lost to rounding: as many as `full` says, not one less."""
    jobs.enqueue_many([("greet",)] * (many + 1))

    assert len(jobs.take("ann", 1000, full={"greet": many}).ids) == many


def test_a_job_that_crashed_is_taken_alone(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """One killer does not condemn its neighbours: not those before it, not those after it."""
    add(jobs, "killer")
    take_one(jobs, "bob")
    clock.advance(16)
    jobs.reclaim()
    add(jobs, "a", "b")

    assert [[token[0] for token in take(jobs, limit=100)] for _ in range(2)] == [["killer"], ["a", "b"]]


def test_a_crashed_job_is_not_appended_to_a_batch(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Behind others it waits for a take of its own."""
    add(jobs, "killer")
    take_one(jobs, "bob")
    clock.advance(16)
    jobs.reclaim()
    jobs.release("ann", take(jobs))
    add(jobs, "a", queue="high")

    assert [token[0] for token in take(jobs, limit=100, queues=["high", "default"])] == ["a"]
    assert [token[0] for token in take(jobs, limit=100, queues=["high", "default"])] == ["killer"]


def test_an_id_that_lies_twice_in_a_list_is_taken_once(jobs: JobQueue, look: Look) -> None:
    """A stale copy is dropped, in the same take or in a later one."""
    add(jobs, "a", "b")
    look.raw.lpush("{queue}:pending:default", "a", "b")
    assert [token[0] for token in take(jobs, limit=10)] == ["a", "b"]
    assert take(jobs, limit=10) == []
    assert (look.pending(), look.running()) == ([], ["a", "b"])


ELSEWHERE = [("pending", "scheduled"), ("scheduled", "pending")]
ELSEWHERE += [
    (state, where) for state in ("running", "done", "dead", "cancelled") for where in ("pending", "scheduled")
]


@pytest.mark.parametrize(("state", "where"), ELSEWHERE)
def test_a_stale_id_is_dropped(jobs: JobQueue, look: Look, state: str, where: str) -> None:
    """The hash is the judge: an id elsewhere than its hash says is dropped, and the job left as it is."""
    if state in ("scheduled", "cancelled"):
        jobs.enqueue_in(60, named("greet", id="a"))
    elif state == "pending":
        add(jobs, "a")
        jobs.pause("default")
    else:
        token = running(jobs)
    if state == "cancelled":
        jobs.cancel("a")
    if state == "done":
        finish(jobs, token)
    if state == "dead":
        jobs.bury("ann", token, "failed", "an error")
    before, ttl = look.dump(), look.ttl("a")
    if where == "pending":
        look.raw.lpush("{queue}:pending:default", "a")
    else:
        look.raw.zadd("{queue}:scheduled", {"a": START})

    assert take(jobs, "bob") == []
    assert look.dump() == before
    assert abs(look.ttl("a") - ttl) < 60_000


def test_an_id_in_another_list_than_its_own_is_dropped(jobs: JobQueue, look: Look) -> None:
    """It runs from the list that its hash names, and nowhere else."""
    add(jobs, "a")
    look.raw.lpush("{queue}:pending:low", "a")

    assert take(jobs, queues=["low"]) == []
    assert take_one(jobs)[0] == "a"


def test_a_cancelled_id_is_dropped_and_its_time_starts(jobs: JobQueue, look: Look) -> None:
    """A cancelled job leaves its list when its turn comes; from then on it is remembered for an hour."""
    add(jobs, "a", "b")
    jobs.cancel("a")
    assert (look.pending(), look.ttl("a")) == (["a", "b"], -1)

    assert take_one(jobs)[0] == "b"
    assert look.pending() == []
    assert 3_590_000 < look.ttl("a") <= 3_600_000


def test_many_stale_ids_are_dropped_in_bounded_steps(jobs: JobQueue, look: Look) -> None:
    """A thousand cancelled jobs in front do not keep the next one waiting for long, nor Redis busy in one call."""
    ids = jobs.enqueue_many([("greet",)] * 1200)
    for job_id in ids:
        jobs.cancel(job_id)
    add(jobs, "good")
    look.silence()
    takes = [jobs.take("ann", 100, full={"greet": 100})]
    assert look.bell() == 0  # it handed out nothing: whoever called it looks again himself
    takes += [jobs.take("ann", 100, full={"greet": 100}) for _ in range(2)]

    assert [job_id for taken in takes for job_id in taken.ids] == ["good"]
    assert [taken.more for taken in takes] == [True, True, False]


def test_a_paused_list_is_skipped(jobs: JobQueue, look: Look) -> None:
    """Nothing is taken from it, nothing lost; the others go on, and `more` does not count it."""
    add(jobs, "a")
    add(jobs, "b", queue="low")
    jobs.pause("default")
    taken = jobs.take("ann", 10, queues=["default", "low"])

    assert (taken.ids, taken.more) == (["b"], False)
    assert look.pending() == ["a"]
    jobs.resume("default")
    assert take_one(jobs)[0] == "a"


def test_a_paused_list_still_fills(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """What comes, and what falls due, waits in it."""
    jobs.pause("default")
    add(jobs, "a")
    jobs.enqueue_in(1, named("greet", id="b"))
    clock.advance(1)

    assert take(jobs) == []
    assert look.pending() == ["a", "b"]


def test_never_early(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A millisecond before its time a job is not handed out; on it, it is."""
    jobs.enqueue_in(1, named("greet", id="a"))
    clock.advance(0.999)
    early = jobs.take("ann")
    assert (early.ids, early.due_in) == ([], 0.001)

    clock.advance(0.001)
    assert take_one(jobs)[0] == "a"


def test_due_jobs_come_in_the_order_of_their_times(jobs: JobQueue, clock: Clock) -> None:
    """Whatever the order they were enqueued in; and behind what waits already."""
    for job_id, delay in (("c", 3), ("a", 1), ("b", 2)):
        jobs.enqueue_in(delay, named("greet", id=job_id))
    add(jobs, "now")
    clock.advance(5)

    assert [token[0] for token in take(jobs, limit=10)] == ["now", "a", "b", "c"]


def test_due_jobs_go_to_their_own_lists(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Whoever takes promotes for all."""
    jobs.enqueue_in(1, named("greet", id="a", queue="low"))
    clock.advance(1)

    assert take(jobs) == []
    assert look.pending("low") == ["a"]


def test_promotion_is_bounded_and_goes_on(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Of more than a thousand due at once each call promotes five hundred, and asks to be called again at once."""
    ids = [f"j{number:04}" for number in range(1100)]
    for job_id in ids:
        jobs.enqueue_in(1, named("greet", id=job_id))
    clock.advance(1)
    first = jobs.take("ann", 1)
    assert (len(look.scheduled()), first.due_in) == (600, 0)
    assert look.bell() == 1

    took = first.ids
    while more := take(jobs, limit=100):
        took += [token[0] for token in more]
    assert took == ids


def test_due_in_is_the_time_until_the_next(jobs: JobQueue, clock: Clock) -> None:
    """In seconds, at most a day; nothing scheduled is None."""
    assert jobs.take("ann").due_in is None
    jobs.enqueue_in(90, "greet")
    assert jobs.take("ann").due_in == 90
    jobs.enqueue_in(30, "greet")
    clock.advance(1.5)
    assert jobs.take("ann").due_in == 28.5


def test_due_in_is_never_more_than_a_day(jobs: JobQueue) -> None:
    """A job in ten years is looked at once a day."""
    jobs.enqueue_in(10 * 365 * 86_400, "greet")

    assert jobs.take("ann").due_in == 86_400


def test_take_carries_finished_jobs(jobs: JobQueue, look: Look) -> None:
    """A turn is one round trip: the last results go with the next take."""
    add(jobs, "a", "b", "c")
    done = [(*token, 60_000, '"ok"') for token in take(jobs, limit=2)]
    taken = jobs.take("ann", finished=done)

    assert (taken.ids, taken.lost) == (["c"], [])
    assert [look.job(job_id)["state"] for job_id in "abc"] == ["done", "done", "running"]
    assert look.counts()["done"] == 2


def test_finished_jobs_carried_twice_are_harmless(jobs: JobQueue, look: Look) -> None:
    """The answer got lost, the take is made again with the same results: done stays done, and is counted once."""
    token = running(jobs)
    done = [(*token, 60_000, '"ok"')]
    jobs.take("ann", finished=done)
    before = look.dump()

    assert jobs.take("ann", finished=done).lost == []
    assert look.dump() == before
    assert look.counts()["done"] == 1


def test_finished_jobs_that_are_no_longer_ours_are_named(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """The rest is settled all the same, and the take goes on."""
    add(jobs, "a", "b", "c")
    first, second = take_one(jobs), take_one(jobs)
    jobs.release("ann", [first])
    taken = jobs.take("ann", finished=[(*first, 60_000, ""), (*second, 60_000, "")])

    assert (taken.lost, taken.ids) == (["a"], ["a"])
    assert [look.job(job_id)["state"] for job_id in "ab"] == ["running", "done"]


def test_the_lease_is_that_of_the_last_take(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """A take that hands out renews it."""
    add(jobs, "a", "b")
    take_one(jobs, lease=10)
    clock.advance(5)
    take_one(jobs, lease=20)

    assert look.workers() == {"ann": START + 25_000}


def test_attempt_counts_takes_and_never_goes_down(jobs: JobQueue, look: Look, clock: Clock) -> None:
    """Over release, retry, reclaim, bury and revive."""
    attempts = [running(jobs)[1]]
    jobs.release("ann", [tokens_of(look)])
    attempts.append(take_one(jobs)[1])
    jobs.retry("ann", tokens_of(look), 0, "an error")
    attempts.append(take_one(jobs)[1])
    clock.advance(16)
    jobs.reclaim()
    attempts.append(take_one(jobs)[1])
    jobs.bury("ann", tokens_of(look), "failed", "an error")
    jobs.revive("a")
    attempts.append(take_one(jobs)[1])

    assert attempts == ["1", "2", "3", "4", "5"]


def tokens_of(look: Look) -> tuple[str, str, str]:
    """Return the token that the hash of job a holds now."""
    job = look.job("a")
    return "a", job["attempt"], job["started_at"]


def test_a_hundred_at_once(jobs: JobQueue, look: Look) -> None:
    """The largest batch there is, carried and finished in one call."""
    ids = jobs.enqueue_many([("greet", number) for number in range(150)])
    taken = jobs.take("ann", 100, full={"greet": 100})
    rest = jobs.take("ann", 100, full={"greet": 100}, finished=[(*token, 60_000, "1") for token in tokens(taken)])

    assert taken.ids + rest.ids == ids
    assert {look.job(job_id)["state"] for job_id in taken.ids} == {"done"}


def test_what_is_dropped_lets_nothing_less_urgent_past(jobs: JobQueue) -> None:
    """A take drops so many and no more; it does not go on to other lists then."""
    ids = jobs.enqueue_many([(named("greet", queue="high"),)] * 600)
    for job_id in ids:
        jobs.cancel(job_id)
    add(jobs, "urgent", queue="high")
    add(jobs, "calm")
    first = jobs.take("ann", queues=["high", "default"])
    assert (first.ids, first.more) == ([], True)
    assert jobs.take("ann", queues=["high", "default"]).ids == ["urgent"]
