"""Bad input, systematically: times, options, calls, the command line, and every field of a hash written by hand.

A wrong value is BadOption, a wrong type that or TypeError, both before Redis is asked. What cannot run is dead with its
reason, and the queue goes on. See also: test_refusals.py, test_bad_entries.py, tests/faults/test_junk.py.
"""

import functools
import math
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from queue import (
    BadOption,
    JobQueue,
    NotATask,
    NotJSON,
    QueueError,
    Retry,
    Snooze,
    Task,
    TooLarge,
    Worker,
    keys,
    named,
    task,
)
from queue.__main__ import main
from queue.job import MAX_ARGUMENTS
from queue.tasks import Registry
from typing import Any

import pytest

from tests.servers import ROOT, free_port, wait_until

from .helpers import NS, Look, a_worker, add, buried, define, wait_for, working

REFUSED = (BadOption, NotATask, NotJSON, TooLarge, TypeError)  # typed, and not that Redis is away


@pytest.fixture
def nowhere() -> JobQueue:
    """A queue whose Redis is away: who asks it gets another error than the refusal."""
    return JobQueue.from_url(f"redis://127.0.0.1:{free_port()}")


@pytest.fixture(autouse=True)
def no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that a test defines are gone after it."""
    monkeypatch.setattr("queue.tasks.registry.tasks", {})


# Times.


class Nowhere(tzinfo):
    """A time zone that says nothing."""

    def utcoffset(self, _: datetime | None) -> None:
        """Return no offset: such a datetime is as good as naive."""

    dst = tzname = utcoffset


BEYOND = [math.nan, math.inf, -math.inf, 1e300, -1e300, 10**400, -(10**400)]
NO_NUMBER = ["5", "soon", "", b"5", None, [1], (), {}, object(), 5j, True, False, Decimal("sNaN")]
NO_DELAY = [*BEYOND, *NO_NUMBER, -1, -0.001, timedelta(seconds=-1), timedelta.max, timedelta.min]
NO_DELAY += [datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC)]
NO_INSTANT = [*BEYOND, *NO_NUMBER, 1_800_000_000_000, datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=Nowhere())]
NO_INSTANT += [datetime(9999, 12, 31, tzinfo=UTC), datetime.max.replace(tzinfo=timezone(-timedelta(hours=14)))]
NO_INSTANT += [timedelta(hours=1), datetime(2030, 1, 1).date(), "2030-01-01T00:00:00Z"]

DELAYS: dict[str, Callable[[JobQueue, Any], object]] = {
    "enqueue_in": lambda jobs, value: jobs.enqueue_in(value, "greet"),
    "Snooze": lambda jobs, value: Snooze(value),
    "Retry": lambda jobs, value: Retry(after=value),
    "timeout": lambda jobs, value: task(name="greet", timeout=value)(len),
    "result_ttl": lambda jobs, value: task(name="greet", result_ttl=value)(len),
}
INSTANTS: dict[str, Callable[[JobQueue, Any], object]] = {
    "enqueue_at": lambda jobs, value: jobs.enqueue_at(value, "greet"),
    "reschedule": lambda jobs, value: jobs.reschedule("a", value),
}


def shown(value: object) -> str:
    """Return a value as a test's name, the same in every process."""
    return re.sub(r" at 0x\w+", "", ascii(value))[:40]


@pytest.mark.parametrize("value", NO_DELAY, ids=shown)
@pytest.mark.parametrize("way", DELAYS)
def test_what_is_no_duration_is_refused(nowhere: JobQueue, way: str, value: Any) -> None:
    """Wherever a duration is given: no text, no truth value, nothing endless, nothing negative."""
    if way == "Retry" and value is None:
        return  # the task's own backoff
    with pytest.raises(REFUSED):
        DELAYS[way](nowhere, value)


@pytest.mark.parametrize("value", NO_INSTANT, ids=shown)
@pytest.mark.parametrize("way", INSTANTS)
def test_what_is_no_instant_is_refused(nowhere: JobQueue, way: str, value: Any) -> None:
    """Wherever an instant is given: no text, no truth value, no duration, no naive datetime, no year 9999."""
    with pytest.raises(REFUSED):
        INSTANTS[way](nowhere, value)


@pytest.mark.parametrize("value", [0, 0.001, 5, timedelta(seconds=5), timedelta(0)], ids=shown)
def test_what_is_a_duration_is_taken(jobs: JobQueue, value: Any) -> None:
    """Numbers and timedelta, from nothing on."""
    assert jobs.enqueue_in(value, "greet")
    assert Snooze(value).after >= 0


@pytest.mark.parametrize(
    "value", [0, -5, 5.5, datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 3, tzinfo=UTC)], ids=shown
)
def test_an_instant_long_past_is_now_or_refused(jobs: JobQueue, look: Look, value: Any) -> None:
    """Nothing waits for the past: the job is pending, if a Unix time for it makes sense at all."""
    try:
        job_id = jobs.enqueue_at(value, "greet")
    except BadOption:
        assert look.dump() == {}
    else:
        assert look.pending() == [job_id]


# Options, names, calls.

NO_COUNT = ["3", b"3", 1.5, math.nan, math.inf, -1, True, [3], Decimal("NaN"), Fraction(1, 2), 10**400]
OPTIONS: dict[str, list[Any]] = {
    "retries": NO_COUNT,
    "queue": [5, b"default", ["default"], "a b", "a:b", "{a}", "x" * 65, "\ud800", "a\x00"],
    "id": [5, b"a", ["a"], "", "a b", "x" * 129, "\ud800", "a\x00", "a\n"],
}


@pytest.mark.parametrize(("option", "value"), [(name, v) for name, vs in OPTIONS.items() for v in vs], ids=shown)
def test_an_option_of_one_job_that_makes_no_sense_is_refused(option: str, value: Any) -> None:
    """When it is chosen: not by Redis, and not by the worker that finds it."""
    with pytest.raises(REFUSED):
        named("greet", **{option: value})
    with pytest.raises(REFUSED):
        Task("greet").options(**{option: value})


@pytest.mark.parametrize("value", [*NO_COUNT, None], ids=shown)
def test_retries_of_a_task_that_make_no_sense_are_refused(value: Any) -> None:
    """When the module is loaded; else each of its jobs would be a bad entry."""
    with pytest.raises(REFUSED):
        task(name="greet", retries=value)(len)


@pytest.mark.parametrize(
    "value", [5, None, b"greet", ["greet"], "", "a b", "x" * 201, "\ud800", "a\x00", "<lambda>"], ids=shown
)
def test_a_name_that_makes_no_sense_is_refused(nowhere: JobQueue, value: Any) -> None:
    """Of a task that lives elsewhere, of one that is defined, of one that is enqueued."""
    with pytest.raises(REFUSED):
        named(value)
    with pytest.raises(REFUSED):
        nowhere.enqueue(value)
    if value:  # else it is named as the function
        with pytest.raises(REFUSED):
            task(name=value)(len)


@pytest.mark.parametrize("value", [5, "greet", functools.partial(print), lambda: None, Task("greet")], ids=shown)
def test_what_has_no_name_cannot_be_a_task(value: Any) -> None:
    """A worker would not find it."""
    with pytest.raises(REFUSED):
        task(value)


CALLS = ["greet", ["greet"], [b"greet"], [()], [[]], [5], [None], 5, None, [("greet", {1})], [("greet",), "greet"]]
CALLS += [[("greet", 1), ("a b", 1)], {"greet": 1}, [{"greet"}], [("greet",), ("greet", "x" * MAX_ARGUMENTS)]]


@pytest.mark.parametrize("calls", CALLS, ids=shown)
def test_calls_that_make_no_sense_are_refused(nowhere: JobQueue, calls: Any) -> None:
    """A text is no call: it would be taken for its letters. Nothing of the rest is stored."""
    with pytest.raises(REFUSED):
        nowhere.enqueue_many(calls)


URLS = [
    None,
    5,
    b"redis://h",
    ["redis://h"],
    "",
    " ",
    "redis",
    "redis:/h",
    "http://h",
    "redis://h:port",
    "redis://h:99999999",
]
URLS += ["redis://h/zero", "redis://h?colour=red", "redis://h/0?max_connections=x", "redis://[::1", "rediss//h", "\x00"]


@pytest.mark.parametrize("url", URLS, ids=shown)
def test_what_is_no_url_is_refused(url: Any) -> None:
    """When the queue is made, or with the first call if it might have been one."""
    with pytest.raises((*REFUSED, QueueError)):
        JobQueue.from_url(url).status("a")


@pytest.mark.parametrize("name", ["", " ", "a b", "{a}", "a:b", "x" * 65, None, 5, b"a", "\ud800", "*"], ids=shown)
def test_what_is_no_namespace_is_refused(name: Any) -> None:
    """It is part of every key, and printed."""
    with pytest.raises(BadOption):
        JobQueue.from_url("redis://127.0.0.1", name)


@pytest.mark.parametrize("job_id", ["", "a b", "\ud800", "\x00", "x" * 100_000, None, 5, b"a", "../a", "*"], ids=shown)
def test_asking_for_an_id_that_cannot_be_one(jobs: JobQueue, job_id: Any) -> None:
    """There is no such job, or it is refused."""
    for ask in (jobs.status, jobs.is_complete):
        try:
            assert not ask(job_id)
        except REFUSED:
            continue


WORKER: dict[str, list[Any]] = {
    "queues": [None, 5, "default", b"ab", (), [5], [None], ["a b"], [""], ["\ud800"]],
    "threads": [None, 0, -1, 1.5, "2", math.nan],
    "lease": [None, 0, -1, "15", math.nan, math.inf, 1e300],
    "beat": [None, 0, -1, "3", math.nan, math.inf, 6],
    "grace": [None, "20", math.nan],
}


@pytest.mark.parametrize(("option", "value"), [(name, v) for name, vs in WORKER.items() for v in vs], ids=shown)
def test_a_worker_with_options_that_make_no_sense(nowhere: JobQueue, option: str, value: Any) -> None:
    """Refused when it is made, not when it runs, and not when it is to leave."""
    with pytest.raises((ValueError, TypeError)):
        Worker(jobs=nowhere, **{option: value})


# The command line.


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """Run `python -m queue` in this process; return its exit code, 0 or its last words, and what it printed."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("queue.jobs._default", None)

    def run(*argv: str) -> tuple[Any, str]:
        code: Any = 0
        try:
            main(list(argv))
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


ODD_IDS = ["", "a b", "\udcff", "a\x00", "x" * 129, "*", "{queue}"]
NONSENSE: list[tuple[tuple[str, ...], str]] = [  # what is typed, a word of the answer
    ((), "COMMAND"),
    (("nonsense",), "invalid choice"),
    (("stats", "more"), "unrecognized"),
    (("--colour", "stats"), "unrecognized"),
    (("show",), "ID"),
    (("--redis",), "expected one argument"),
    (("--redis", "", "stats"), "not a Redis URL"),
    (("--redis", "nonsense", "stats"), "not a Redis URL"),
    (("--redis", "redis://u:se/cret@h", "stats"), "not a Redis URL"),
    (("--redis", "redis://127.0.0.1:1", "stats"), "away"),
    (("--redis", "redis://127.0.0.1:1", "dead"), "127.0.0.1:1"),
    (("--redis", "redis://127.0.0.1:1", "workers"), "127.0.0.1:1"),
    (("--namespace", "a b", "stats"), "list's name"),
    (("--namespace", "", "stats"), "list's name"),
    (("dead", "--most", "x"), "invalid"),
    (("dead", "--most", "9" * 30), "dead: "),
    (("show", "nobody"), "never enqueued"),
    *((("show", job_id), "") for job_id in ODD_IDS),
    *(((verb, job_id), "job id") for verb in ("cancel", "revive") for job_id in ODD_IDS),
    *(((verb, "nobody"), "unknown") for verb in ("cancel", "revive", "discard")),
    *((("discard", job_id), "unknown") for job_id in ODD_IDS),
    *(((verb, name), "list's name") for verb in ("pause", "resume") for name in ["", "a b", "\udcff", "a:b", "x" * 65]),
    (("work",), "MODULE"),
    (("work", "no_such_module"), "no module"),
    (("work", "no_such_module.py"), "no_such_module"),
    (("work", "json.nothing"), "json.nothing"),
    (("work", ""), "work: "),
    (("work", ".."), "work: "),
    (("work", ".json"), "work: "),
    (("work", "a b"), "no module"),
    (("work", "../json"), "work: "),
    (("work", "\udcff"), "work: "),
    (("work", "json", "--threads", "0"), "threads"),
    (("work", "json", "--threads", "-1"), "threads"),
    (("work", "json", "--threads", "x"), "invalid"),
    (("work", "json", "--threads", ""), "invalid"),
    (("work", "json", "--threads", "1.5"), "invalid"),
    (("work", "json", "--queues", ""), "list's name"),
    (("work", "json", "--queues", ","), "list's name"),
    (("work", "json", "--queues", "a,"), "list's name"),
    (("work", "json", "--queues", "a b"), "list's name"),
]


@pytest.mark.parametrize(("argv", "word"), NONSENSE, ids=shown)
def test_nonsense_on_the_command_line(cli: Any, redis_url: str, argv: tuple[str, ...], word: str) -> None:
    """One line that names it and an exit code that is not 0; no traceback, no password."""
    given = argv if "--redis" in argv else ("--redis", redis_url, *argv)
    code, said = cli(*given)

    assert code not in (0, None)
    assert isinstance(code, str) or code in (1, 2)
    assert word in str(code) + said
    assert "cret" not in str(code) + said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["REDIS_URL", "QUEUE_NAMESPACE"])
def test_nonsense_in_the_environment(name: str) -> None:
    """The same: one line, exit code 1."""
    given = {"REDIS_URL": "redis://127.0.0.1:1", name: "non sense"}
    command = [sys.executable, "-m", "queue", "stats"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "non sense" in done.stderr


NO_TIMES = ["", "junk", "inf", "nan", "1e300", "-1e300", "-1e17", "9" * 30, "1.5", "\udcff"]


@pytest.mark.parametrize("value", NO_TIMES, ids=shown)
def test_the_terminal_shows_jobs_whose_times_make_no_sense(
    cli: Any, live: JobQueue, look: Look, redis_url: str, value: str
) -> None:
    """Junk in Redis is when one needs it: what can be read is shown, of the other jobs all."""
    for job_id in ("good", "bad"):
        buried(live, job_id)
    for field in ("enqueued_at", "due_at", "started_at", "finished_at"):
        look.raw.hset(keys.job(NS, "bad"), field, value)
    add(live, "waits")
    look.raw.hset(keys.job(NS, "waits"), "enqueued_at", value)

    for argv, words in {
        ("show", "bad"): ["bad", "dead", "an error"],
        ("dead",): ["good", "bad"],
        ("stats",): ["pending:default  1", "dead  2"],
    }.items():
        code, said = cli("--redis", redis_url, *argv)
        assert code == 0, (argv, code)
        assert [word for word in words if word not in said] == []


@pytest.mark.parametrize("score", [math.inf, -math.inf, 1e300, -1e300, 0.5])
def test_the_terminal_shows_what_waits_for_ever(
    cli: Any, live: JobQueue, look: Look, redis_url: str, score: float, untidy: None
) -> None:
    """Scores that are no time, on the schedule and in the register of workers."""
    live.enqueue_in(60, "greet")
    look.raw.zadd(keys.scheduled(NS), {"junk": score})
    live.beat("ann", 15, {"host": "here"})
    look.raw.zadd(keys.workers(NS), {"junk": score})

    for argv, word in {("stats",): "scheduled  2", ("workers",): "ann"}.items():
        code, said = cli("--redis", redis_url, *argv)
        assert (code, word in said) == (0, True), (argv, code)
    look.raw.flushall()


def test_the_terminal_shows_the_other_counts(cli: Any, live: JobQueue, look: Look, redis_url: str) -> None:
    """One that is no number does not hide the rest for an hour."""
    buried(live, "a")
    [key] = look.raw.keys(keys.stats(NS, 0)[:-1] + "*")
    look.raw.hset(key, mapping={"done": "junk", "retried": "\udcff", "shoes": "7"})
    code, said = cli("--redis", redis_url, "stats")

    assert code == 0, code
    assert "1 dead" in said
    look.raw.delete(key)


@pytest.mark.parametrize("place", ["pending:default", "scheduled", "dead", "workers", "paused", "worker:ann", "job:a"])
def test_the_terminal_names_a_key_of_a_wrong_type(
    cli: Any, live: JobQueue, look: Look, redis_url: str, place: str, untidy: None
) -> None:
    """It shows what it can, or says WRONGTYPE in one line."""
    buried(live, "a")
    live.beat("ann", 15)
    look.raw.delete(f"{NS}:{place}")
    look.raw.set(f"{NS}:{place}", "junk")
    for argv in (
        ["stats"],
        ["dead"],
        ["workers"],
        ["show", "a"],
        ["revive", "a"],
        ["discard", "a"],
        ["cancel", "a"],
        ["pause", "default"],
    ):
        code, said = cli("--redis", redis_url, *argv)
        assert code in (0, None, 1) or "WRONGTYPE" in code, (argv, code)
        assert "Traceback" not in said
    look.raw.flushall()


# What lies in Redis: each field of a waiting job, and what becomes of it.

DEEP = "[" * 100_000
TABLE: list[tuple[str, Any, str]] = [  # field, value (None: missing), "state reason" in the end
    *(("state", value, "as it was") for value in ("", "junk", "\udcff")),
    ("state", "done", "as it was"),
    ("state", None, "dead bad entry"),
    ("task", None, "dead bad entry"),
    *(("task", value, "scheduled") for value in ("", "no-such-task", "\udcff", "x" * 10_000)),
    *(("task", value, "dead bad entry") for value in ("echo\n", "a\nb")),
    ("args", None, "dead bad entry"),
    *(
        ("args", value, "dead bad entry")
        for value in ("", "junk", "{}", "[", '"x"', "7", "null", DEEP, "[1,\n2]", "\udcff")
    ),
    *(("args", value, "done") for value in ("[]", " [ 1 ] ", "[NaN]", '["\\ud800"]', '["\\u0000"]', "[1e400]")),
    ("args", "[" + "9" * 5000 + "]", "dead bad entry"),
    ("args", "[" + "[" * 500 + "]" * 500 + "]", "done"),
    *(("kwargs", value, "dead bad entry") for value in ("junk", "[]", '"x"', "7", '{"a":\n1}', DEEP, "\udcff")),
    *(("kwargs", value, "done") for value in ("", "{}", '{"x":1}', '{"a b":1}', '{"self":1,"args":2}')),
    ("queue", None, "dead bad entry"),
    *(("queue", value, "as it was") for value in ("", "elsewhere", "\udcff")),
    *(
        ("attempt", value, "done")
        for value in (None, "", "junk", "1.5", "-7", "1e30", "1e400", "inf", "nan", "9" * 400)
    ),
    *(("failures", value, "done") for value in (None, "0", "-7", "3")),
    *(("failures", value, "dead bad entry") for value in ("", "junk", "1.5", "inf", "nan", "9" * 5000, "\udcff")),
    *(("crashes", value, "done") for value in (None, "0", "2", "-7")),
    *(
        ("crashes", value, "dead bad entry")
        for value in ("", "junk", "1.5", "1e30", "inf", "nan", "9" * 5000, "\udcff")
    ),
    *(("max_attempts", value, "done") for value in (None, "", "0", "-7", "9" * 30)),
    *(("max_attempts", value, "dead bad entry") for value in ("junk", "1.5", "inf", "9" * 5000, "\udcff")),
    *(("enqueued_at", value, "done") for value in (None, "0", "-5", "9" * 30)),
    *(("enqueued_at", value, "dead bad entry") for value in ("", "junk", "1.5", "-1e300", "inf", "9" * 400, "\udcff")),
    *(("due_at", value, "done") for value in (None, "", "junk", "1.5", "-1e300", "inf", "nan", "\udcff")),
    *(("started_at", value, "done") for value in ("", "junk", "inf", "\udcff")),
    *(("finished_at", value, "done") for value in ("", "junk", "inf", "\udcff")),
    *(("worker", value, "done") for value in ("", "junk", "\udcff")),
    *(("result", value, "done") for value in ("", "junk", DEEP, "\udcff")),
    *(("error", value, "done") for value in ("", "\udcff", "x" * 1_000_000)),
    *(("reason", value, "done") for value in ("", "junk", "stop requested", "\udcff")),
    *(("progress", value, "done") for value in ("", "junk", DEEP)),
    *(("of tomorrow", value, "done") for value in ("", "\udcff", "x" * 1_000_000)),
]


def test_each_field_written_by_hand(live: JobQueue, look: Look, tasks: Registry, untidy: None) -> None:
    """Run as if nothing were, or dead with its reason, or left alone since its hash says it is not here."""
    define(tasks, lambda *args, **kwargs: None, "echo", retries=9)
    spoilt: dict[str, dict[str, str]] = {}
    for number, (field, value, _) in enumerate(TABLE):
        job_id = live.enqueue(named("echo", id=f"row-{number}"), "x")
        key = keys.job(NS, job_id)
        look.raw.hdel(key, field) if value is None else look.raw.hset(key, field, value)
        spoilt[job_id] = look.job(job_id)
    good = live.enqueue("echo")
    with working(a_worker(live, tasks)) as worker:
        wait_for(live, good, "done")
        wait_until(lambda: not look.running(worker.name) and not worker.hands, 20, "all to be settled")
        wrong = {}
        for (job_id, before), (field, value, expected) in zip(spoilt.items(), TABLE, strict=True):
            job = look.job(job_id)
            end = f"dead {job.get('reason')}" if job.get("state") == "dead" else str(job.get("state"))
            if (job != before) if expected == "as it was" else (end != expected):
                wrong[f"{field}={shown(value)}"] = f"{end}, not {expected}"
    look.raw.flushall()

    assert wrong == {}


# What goes through all of it.

TEXTS = [
    "",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "🐦" * 1000,
    "\r\n\u2028\x85\x1b[31m",
    '{}[]"\\',
    "$HOME `id` %s",
    "\x7f\x80",
]


@pytest.mark.parametrize("value", [*TEXTS, "x" * (MAX_ARGUMENTS - 4), 1e308, -(2**70), {"": {"\x00": []}}], ids=shown)
def test_what_goes_in_comes_out(live: JobQueue, tasks: Registry, value: Any) -> None:
    """Through enqueue, Redis, a worker and its result: the same value, to the last bit."""
    define(tasks, lambda given: given)
    job_id = live.enqueue("greet", value)
    with working(a_worker(live, tasks)):
        job = wait_for(live, job_id, "done", "dead")

    assert (job.state, job.result, job.args) == ("done", value, [value])


@pytest.mark.parametrize("depth", [100, 500, 900, 1000, 3000, 9_990, 9_993, 9_996, 10_000, 100_000])
def test_deep_arguments_run_or_are_refused(live: JobQueue, look: Look, tasks: Registry, depth: int) -> None:
    """What Python can write and not read again is dead with its reason; the next job runs."""
    define(tasks, lambda given: None, retries=0)
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    ids = []
    with suppress(NotJSON):
        ids.append(live.enqueue("greet", value))
    ids.append(live.enqueue("greet", 1))
    with working(a_worker(live, tasks)):
        wait_until(lambda: all(look.job(job_id)["state"] in ("done", "dead") for job_id in ids), 20, "the ends")

    assert look.job(ids[-1])["state"] == "done"
    assert depth > 900 or look.job(ids[0])["state"] == "done"
    assert depth < 10_000 or len(ids) == 1
    assert look.job(ids[0]).get("reason", "bad entry") == "bad entry"
