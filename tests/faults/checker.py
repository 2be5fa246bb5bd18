"""The one checker of the storm: reads what producers, workers and Redis itself left on disk, and Redis afterwards.

Four logs, each on disk before anybody acts on it: what producers asked and were told; what tasks were about to cause;
what a poller saw; and the append-only file, in which Redis keeps every change in its order. From the last comes each
job's whole history, one step a transition; every step must be one of the published diagram and have its own cause in
the other logs. The invariants:

I1 each job is in exactly one place            I6 terminal is final, every step is one of the diagram
I2 none is lost                                I7 who asks for a status never sees it run backwards
I3 every start is explained                    I8 after all, nothing is left without a TTL
I4 no old attempt changes anything             I9 work resumes within 10 s of a fault's end
I5 never early
"""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.harness import Event
from tests.jobs_contract.helpers import Look

RESUMED_WITHIN = 10.0  # seconds
FINAL = ("done", "dead", "cancelled")
# What may cost a worker its lease. Other faults must not: a job reclaimed under them alone was taken from the living.
# Where answers are lost for longer than a lease no new connection gets through its greeting, so no beat is sent.
DEADLY = ("kill -9", "frozen past the lease", "black hole", "refused", "answers lost")
PREFIX = "{queue}:job:"


class Log:
    """Lines of JSON, each on disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_DSYNC)

    def write(self, **fields: Any) -> None:
        """Append one line."""
        os.write(self.file, json.dumps(fields).encode() + b"\n")


class State(NamedTuple):
    """What a job's hash said after one step."""

    state: str = ""
    attempt: int = 0
    worker: str = ""
    started_at: int = 0
    due_at: int = 0
    failures: int = 0
    crashes: int = 0
    finished_at: int = 0
    reason: str = ""
    error: str = ""
    result: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "State":
        """Read the fields of a hash."""
        read = {name: fields[name] for name in cls._fields if name in fields}
        numbers = {name: int(value) for name, value in read.items() if cls._field_defaults[name] == 0}
        return cls(**read | numbers)  # type: ignore[arg-type]  # each by its own type

    @property
    def pid(self) -> int:
        """Of the worker's process."""
        return int(self.worker.split("-")[-2]) if self.worker.count("-") >= 2 else 0


@dataclass
class Evidence:
    """All that was written down."""

    orders: list[dict[str, Any]]  # first (of its repeats), at, until, what, ids, answer; due, seconds
    events: list[Event]
    samples: list[dict[str, Any]]  # id, state, attempt, in the order seen
    faults: list[dict[str, Any]]  # kind, start, end, slots of the workers hit; codes, took: how they left
    slots: dict[int, int]  # process -> slot; one that is killed has a successor in its slot
    history: dict[str, list[State]]
    born: dict[int, float] = field(default_factory=dict)  # process -> when it was started
    problems: list[str] = field(default_factory=list)  # what lies in Redis afterwards where it should not
    jobs: dict[str, str] = field(default_factory=dict)  # id -> state, in Redis afterwards

    def look(self, look: Look) -> "Evidence":
        """Add what lies in Redis now."""
        self.problems = look.problems()
        ids = [key.removeprefix(PREFIX) for key in look.raw.scan_iter(f"{PREFIX}*", 1000)]
        self.jobs = {job_id: look.raw.hget(PREFIX + job_id, "state") for job_id in ids}
        return self


@dataclass
class Verdict:
    """What the checker found. Seconds unless told otherwise."""

    broken: list[str] = field(default_factory=list)  # "I4 ...": one line for each violation
    ends: Counter[str] = field(default_factory=Counter)  # of accepted jobs
    unknown: int = 0  # asked for, without an answer; may exist or not
    lost: int = 0
    starts: int = 0
    again: Counter[str] = field(default_factory=Counter)  # starts after the first of a job, by why
    given_back: Counter[str] = field(default_factory=Counter)  # taken and returned before they started, by why
    faults: Counter[str] = field(default_factory=Counter)
    resumed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # fault's end -> next start
    rerun: dict[str, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )  # fault's begin -> job starts again
    late: list[float] = field(default_factory=list)  # start - due
    refused: list[float] = field(default_factory=list)  # how long producers waited for Unavailable
    samples: int = 0


def gather(folder: Path, aof: Iterable[Path]) -> Evidence:
    """Read the logs of a storm."""
    events = [line.split() for line in (folder / "queue.events").read_text().splitlines()]
    workers = _lines(folder / "workers.log")
    return Evidence(
        orders=_lines(folder / "orders.log"),
        events=[Event(kind, job_id, int(attempt), float(at), int(pid)) for kind, job_id, attempt, at, pid in events],
        samples=_lines(folder / "samples.log"),
        faults=_lines(folder / "faults.log"),
        slots={line["pid"]: line["slot"] for line in workers},
        born={line["pid"]: line["at"] for line in workers},
        history=history(aof),
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# ------------------------------------------------------------------------------------------ what Redis wrote down


def history(aof: Iterable[Path]) -> dict[str, list[State]]:
    """Return every state that each job ever had, in order, from append-only files. The last is State() if forgotten."""
    fields: dict[str, dict[str, str]] = defaultdict(dict)
    steps: dict[str, list[State]] = defaultdict(list)
    for path in aof:
        for group in _transactions(path):
            for job_id in _apply(fields, group):
                now = State.of(fields[job_id])
                if not steps[job_id] or steps[job_id][-1] != now:
                    steps[job_id].append(now)
    return steps


def _transactions(path: Path) -> Iterator[list[list[str]]]:
    """Yield what was changed in one step: a script's effects stand between MULTI and EXEC."""
    group: list[list[str]] | None = None
    for words in _commands(path):
        if words[0] == "MULTI":
            group = []
        elif words[0] == "EXEC" and group is not None:
            yield group
            group = None
        elif group is None:
            yield [words]
        else:
            group.append(words)


def _commands(path: Path) -> Iterator[list[str]]:
    with path.open("rb") as file:
        while line := file.readline():
            words = [
                file.read(int(file.readline()[1:]) + 2)[:-2].decode(errors="replace") for _ in range(int(line[1:]))
            ]
            yield [words[0].upper(), *words[1:]]


def _apply(fields: dict[str, dict[str, str]], group: list[list[str]]) -> set[str]:
    touched = set()
    for verb, *words in group:
        for key in words if verb in ("DEL", "UNLINK") else words[:1]:
            if not key.startswith(PREFIX):
                continue
            job_id = key.removeprefix(PREFIX)
            touched.add(job_id)
            if verb in ("HSET", "HMSET"):
                fields[job_id] |= dict(zip(words[1::2], words[2::2], strict=True))
            elif verb == "HDEL":
                fields[job_id] = {name: value for name, value in fields[job_id].items() if name not in words}
            elif verb == "HINCRBY":
                fields[job_id][words[1]] = str(int(fields[job_id].get(words[1], 0)) + int(words[2]))
            elif verb in ("DEL", "UNLINK"):
                fields[job_id] = {}
    return touched


# ------------------------------------------------------------------------------------------ the verdict


def check(evidence: Evidence) -> Verdict:
    """Hold every invariant against all that was written down."""
    verdict = Verdict(samples=len(evidence.samples), faults=Counter(fault["kind"] for fault in evidence.faults))
    verdict.broken += [f"I1/I8 {problem}" for problem in evidence.problems]
    notes = {(event.id, event.attempt, event.kind): event for event in evidence.events}
    _check_orders(evidence, verdict)
    _check_starts(evidence, verdict)
    for job_id, steps in evidence.history.items():
        verdict.broken += _Job(job_id, steps, notes, evidence, verdict).problems()
    _check_samples(evidence, verdict)
    _check_resumed(evidence, verdict)
    return verdict


def _check_orders(evidence: Evidence, verdict: Verdict) -> None:
    """I2: what was accepted has come to an end. What nobody knows to be accepted may be there or not."""
    accepted, asked = set(), set()
    for order in evidence.orders:
        if order["answer"] == "unavailable":
            verdict.refused.append(order["until"] - order["at"])
        if order["what"] in ("cancel", "reschedule"):
            verdict.broken += _answered(order, evidence)
            continue
        asked |= set(order["ids"])
        if order["answer"] == "ok":
            accepted |= set(order["ids"])
            verdict.broken += _due_as_asked(order, evidence)
    for job_id in accepted:
        last = [step.state for step in evidence.history.get(job_id, []) if step.state]
        state = evidence.jobs.get(job_id) or (last[-1] if last and last[-1] in FINAL else None)
        verdict.ends[state or "lost"] += 1
        if state not in FINAL:
            verdict.lost += 1
            verdict.broken.append(f"I2 {job_id} was accepted and is {state}")
    verdict.unknown = len(asked - accepted)
    verdict.broken += [f"I2 {job_id} was never asked for" for job_id in evidence.jobs.keys() - asked]
    left = {job_id: state for job_id, state in evidence.jobs.items() if job_id not in accepted and state not in FINAL}
    verdict.broken += [
        f"I2 {job_id}, perhaps accepted, is {state}" for job_id, state in left.items() if job_id in asked
    ]


def _due_as_asked(order: dict[str, Any], evidence: Evidence) -> list[str]:
    """I5: its first due time is the one asked for, or so many seconds from a moment within the call."""
    found = []
    for job_id in order["ids"]:
        steps = evidence.history.get(job_id)
        if not steps:
            found.append(f"I2 {job_id} was accepted and never stored")
        elif "due" in order and steps[0].due_at not in (order["due"], 0):
            found.append(f"I5 {job_id} asked for {order['due']}, got {steps[0].due_at}")
        elif (
            "seconds" in order and steps[0].due_at < (order["first"] + order["seconds"]) * 1000 - 2
        ):  # both are rounded
            found.append(f"I5 {job_id} is due at {steps[0].due_at}, but was asked for {order}")
    return found


def _answered(order: dict[str, Any], evidence: Evidence) -> list[str]:
    """I6: one of the words that there are, and it was the truth."""
    [job_id] = order["ids"]
    words = {"cancel": ["cancelled", "stopping"], "reschedule": ["rescheduled"]}[order["what"]]
    if order["answer"] not in (*words, "too late", "unknown", "unavailable"):
        return [f"I6 {order['what']} of {job_id} answers {order['answer']!r}"]
    ended = [step.state for step in evidence.history.get(job_id, []) if step.state in FINAL]
    if order["answer"] == "cancelled" and ended[:1] != ["cancelled"]:
        return [f"I6 {job_id} was cancelled, so they said, and is {ended}"]
    return []


def _check_starts(evidence: Evidence, verdict: Verdict) -> None:
    """I3: each start is the only one of an attempt that Redis gave to that process."""
    given = {
        (i, step.attempt): step.pid
        for i, steps in evidence.history.items()
        for step in steps
        if step.state == "running"
    }
    starts = Counter((event.id, event.attempt, event.pid) for event in evidence.events if event.kind == "start")
    verdict.starts = starts.total()
    for (job_id, attempt, pid), times in starts.items():
        if times > 1:
            verdict.broken.append(f"I3 attempt {attempt} of {job_id} was started {times} times")
        if given.get((job_id, attempt)) != pid:
            verdict.broken.append(f"I3 {pid} started attempt {attempt} of {job_id}, which Redis never gave it")


def _check_samples(evidence: Evidence, verdict: Verdict) -> None:
    """I7: attempts never go down; within one, it runs, then waits for the next, or has ended."""
    order = {"running": 0, "scheduled": 1, "pending": 2} | dict.fromkeys(FINAL, 3)
    last: dict[str, tuple[int, int, str]] = {}
    for sample in evidence.samples:
        job_id, now = sample["id"], (sample["attempt"], order[sample["state"]], sample["state"])
        before = last.setdefault(job_id, now)
        if now[:2] < before[:2] or (before[1] == 3 and now != before):
            verdict.broken.append(f"I7 {job_id} was seen {before[2]} ({before[0]}), later {now[2]} ({now[0]})")
        last[job_id] = now


def _check_resumed(evidence: Evidence, verdict: Verdict) -> None:
    """I9: a worker that was hit starts a job within 10 s of the end, if nothing hits it again before."""
    starts = sorted((event.at, evidence.slots.get(event.pid)) for event in evidence.events if event.kind == "start")
    for fault in evidence.faults:
        slots, kind = set(fault["slots"]), fault["kind"]
        first = next((at for at, slot in starts if at > fault["end"] and slot in slots), None)
        if any(fault.get("codes", [])):
            verdict.broken.append(f"I9 workers told to leave left with {fault['codes']}")
        if not slots or fault.get("last"):
            continue
        before = first or math.inf
        since = max(one["end"] for one in evidence.faults if one["start"] < before and slots & set(one["slots"]))
        if since > fault["end"]:  # something hit it again before it could, and is looked at by itself
            continue
        if first is None:
            verdict.broken.append(f"I9 no start by worker {slots} after {kind} ended at {fault['end']}")
            continue
        verdict.resumed[kind].append(first - since)
        if first - since > RESUMED_WITHIN:
            verdict.broken.append(f"I9 {first - since:.1f} s from the end of {kind} to the next start")


# ------------------------------------------------------------------------------------------ one job's history

MOVES = {
    ("", "pending"): "enqueue",
    ("", "scheduled"): "enqueue",
    ("scheduled", "scheduled"): "reschedule",
    ("scheduled", "pending"): "promote",
    ("scheduled", "running"): "take",
    ("pending", "running"): "take",
    ("running", "running"): "ask to stop",
    ("running", "scheduled"): "put off",
    ("running", "pending"): "give back",
    ("running", "done"): "finish",
    ("running", "dead"): "bury",
} | {(state, "cancelled"): "cancel" for state in ("scheduled", "pending", "running")}
MOVES |= {(state, ""): "forget" for state in FINAL}


@dataclass
class _Job:
    """Follows one job from step to step."""

    id: str
    steps: list[State]
    notes: Mapping[tuple[str, int, str], Event]
    evidence: Evidence
    verdict: Verdict
    waited: bool = False  # on the schedule since it last ran
    why: str = ""  # the last attempt that had started ended without a result
    hit: dict[str, Any] | None = None  # by this fault

    def problems(self) -> list[str]:
        """Return what is wrong with its steps."""
        found = []
        for at, (before, after) in enumerate(pairwise([State(), *self.steps])):
            move = MOVES.get((before.state, after.state))
            if move is None:
                found.append(f"I6 {self.id} went from {before.state or 'nothing'} to {after.state or 'nothing'}")
            elif after.state and after.attempt != before.attempt + (move == "take"):
                found.append(f"I4 {self.id}: {move} made attempt {before.attempt} {after.attempt}")
            elif move == "take":
                found += self._taken(after)
            elif before.state == "running" and move != "ask to stop":
                found += self._settled(before, after, self._next_start(at))
            self.waited = after.state == "scheduled" or (self.waited and move == "promote")
        return found

    def _note(self, kind: str, attempt: int) -> Event | None:
        return self.notes.get((self.id, attempt, kind))

    def _next_start(self, at: int) -> float:
        return next((step.started_at / 1000 for step in self.steps[at:] if step.state == "running"), float("inf"))

    def _taken(self, job: State) -> list[str]:
        """I5, by the clock of the machine that all processes share."""
        found, start = [], self._note("start", job.attempt)
        if job.started_at < job.due_at:
            found.append(f"I5 {self.id} was taken {job.due_at - job.started_at} ms early")
        if start is None:
            return found
        if self.waited:
            self.verdict.late.append(start.at - job.due_at / 1000)
            if start.at * 1000 < job.due_at:
                found.append(f"I5 {self.id} started {job.due_at - start.at * 1000:.1f} ms early")
        if self.why:
            self.verdict.again[self.why] += 1
        if self.hit and job.crashes == 1:  # a second crash waits on purpose
            self.verdict.rerun[self.hit["kind"]].append(start.at - self.hit["start"])
        self.why, self.hit = "", None
        return found

    def _settled(self, before: State, after: State, until: float) -> list[str]:
        """I4, I3: what became of this attempt is what this very attempt asked for, or its worker was hit."""
        attempt = before.attempt
        if after.crashes != before.crashes:
            return self._reclaimed(before, until)
        if after.state == "cancelled":
            return []
        if after.state == "pending":
            return self._given_back(before, until)
        wanted = {"done": "end", "dead": "fail"}.get(
            after.state, "fail" if after.failures > before.failures else "snooze"
        )
        own = after.state != "done" or after.result.replace(" ", "") == f"[{attempt},{before.pid}]"
        if wanted == "fail" and not after.error.rstrip().endswith(f"ValueError: attempt {attempt}"):
            own = False
        self.why = "its own failure" if wanted == "fail" else "its own snooze"
        note = self._note(wanted, attempt)
        if not own or note is None or note.pid != before.pid:
            return [f"I4 {self.id} became {after.state}, but attempt {attempt} noted no such {wanted}: {after}"]
        return []

    def _given_back(self, before: State, until: float) -> list[str]:
        if not self._note("start", before.attempt):
            self.verdict.given_back["not started yet"] += 1
            return []
        self.why = "shutdown"
        if any(fault["kind"] == "leaves and starts" for fault in self._hits(before, until)):
            return []
        return [f"I3 attempt {before.attempt} of {self.id} was given back while {before.pid} ran it"]

    def _reclaimed(self, before: State, until: float) -> list[str]:
        hits = self._hits(before, until)
        deadly = [fault for fault in hits if fault["kind"] in DEADLY]
        why = deadly[0]["kind"] if deadly else " + ".join(sorted({fault["kind"] for fault in hits}))
        if self._note("start", before.attempt):
            self.why, self.hit = why, next(iter(deadly + hits), None)
        else:
            self.verdict.given_back[why] += 1
        if deadly or len(hits) > 1:
            return []
        return [f"I3 {self.id} was reclaimed from {before.pid}, hit by {why or 'nothing'}"]

    def _hits(self, before: State, until: float) -> list[dict[str, Any]]:
        """The faults that hit its worker while it had the job; if it was killed before, its take ran without it."""
        since, slot = before.started_at / 1000, self.evidence.slots.get(before.pid)
        born = self.evidence.born.get(before.pid, since)
        faults = (fault for fault in self.evidence.faults if slot in fault["slots"] and fault["start"] <= until)
        return [one for one in faults if one["end"] >= since or (one["kind"] == "kill -9" and one["start"] >= born)]
