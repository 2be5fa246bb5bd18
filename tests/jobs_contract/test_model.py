"""The queue against a model of it: Hypothesis makes up histories, and after each step the two must agree on everything.

The model is what the headers of the scripts and DESIGN promise, on plain dicts and lists. Real server, clock as an
argument; old tokens, junk put in by hand, flushed scripts. In the end every job must come to its end.

As it stands the same histories are made up each time. A long run makes up new ones, from a seed if one is given:

    MODEL_EXAMPLES=5000 MODEL_STEPS=60 python -m pytest tests/jobs_contract -k history --hypothesis-seed 7
"""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import JobQueue, named
from queue.jobs import Token
from queue.keys import bell, dead, job, pending, running, scheduled, workers
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from .helpers import DAY, NS, Clock, exact_client, rings, tokens

LONG = "MODEL_EXAMPLES" in os.environ
PROFILE = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "300")),
    stateful_step_count=int(os.environ.get("MODEL_STEPS", "50")),
    derandomize=not LONG,
    phases=[Phase.generate] if os.environ.get("MODEL_SHRINK") == "no" else list(Phase),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

WORKERS = {"ann": ("high", "default"), "bob": ("default",), "cid": ("low", "high", "default")}
LISTS = ("high", "default", "low")
IDS = ("a", "b", "c", "d", "e", "f")
KEYS = (scheduled(NS), dead(NS), workers(NS), bell(NS, "default"), pending(NS, "high"), running(NS, "ann"))
JUNK = ("", "nobody", "a b", "\udcff\udc80", "x" * 129, "{other}:job:1")
LEASE, TTL, DEADLY, CRASH_DELAY = 15_000, 60_000, 3, 10_000  # ms, but for the crashes
DEAD_TTL = 30 * DAY * 1000
NEEDED = {"state", "queue", "task", "args"}  # the fields without which a job cannot run
ARROWS = {
    "": {"scheduled", "pending"},
    "scheduled": {"scheduled", "pending", "cancelled"},
    "pending": {"running", "cancelled"},
    "running": {"done", "dead", "scheduled", "pending", "cancelled"},
    "dead": {"pending", "cancelled"},
}
PLACES = ("pending:", "running:", "scheduled", "dead")
HOMES = {"pending": "pending:{0.queue}", "running": "running:{0.worker}", "scheduled": "scheduled", "dead": "dead"}
ENDED = {"done", "dead", "cancelled"}

# Everything in the database in one call: key, type, ms to live, value.
DUMP = """
local all = {}
for _, key in ipairs(redis.call("KEYS", "*")) do
  local kind = redis.call("TYPE", key).ok
  local read = { list = { "LRANGE", key, 0, -1 }, zset = { "ZRANGE", key, 0, -1, "WITHSCORES" },
    hash = { "HGETALL", key }, set = { "SMEMBERS", key }, string = { "GET", key } }
  all[#all + 1] = { key, kind, redis.call("PTTL", key), redis.call(unpack(read[kind])) }
end
return all
"""


def raw(job_id: str) -> bytes:
    """Return the bytes of an id; Redis sorts and measures by them."""
    return job_id.encode("utf-8", "surrogateescape")


def exact(value: str | bytes) -> str:
    """Return the text whose bytes these are."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def shown(ids: Sequence[str]) -> list[str]:
    """Return ids as the queue names them, also those that are no UTF-8."""
    return [raw(job_id).decode("utf-8", "replace") for job_id in ids]


def counter(value: str) -> int:
    """Return the number in a field that somebody may have overwritten."""
    return int(value) if value.isdecimal() else 0


def drop_oldest(ids: list[str], job_id: str) -> bool:
    """Remove the last of these from a list, as LREM -1 does. Returns whether there was one."""
    if job_id not in ids:
        return False
    del ids[len(ids) - 1 - ids[::-1].index(job_id)]
    return True


@dataclass
class Entry:
    """What the model knows of a job. `worker`, `attempt` and `started` are its last token."""

    queue: str
    task: str
    state: str = ""
    attempt: str = ""
    started: str = ""
    worker: str = ""
    failures: int = 0
    crashes: int = 0
    due: int = 0
    finished: int = 0
    stop: bool = False
    discarded: bool = False
    lasting: bool = True  # its hash has no TTL
    missing: set[str] = field(default_factory=set)  # fields that somebody removed

    def picture(self) -> dict[str, Any]:
        """Return what must be read in Redis."""
        token = {"worker": self.worker, "attempt": self.attempt, "started_at": self.started}
        counts = {"failures": self.failures, "crashes": self.crashes}
        due = {"due_at": self.due} if self.state == "scheduled" else {}
        where = {"state": self.state, "queue": "" if "queue" in self.missing else self.queue}
        return where | token | counts | due | {"stop": self.stop, "lasting": self.lasting}


class Model:
    """The queue on dicts and lists: one method for each verb, with the answer that Redis must give."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.jobs: dict[str, Entry] = {}
        self.pending: dict[str, list[str]] = defaultdict(list)  # the next one first
        self.running: dict[str, list[str]] = defaultdict(list)  # the newest first
        self.dead: list[str] = []  # the newest first
        self.scheduled: dict[str, int] = {}
        self.workers: dict[str, int] = {}
        self.paused: set[str] = set()
        self.bells: set[str] = set()
        self.counts: Counter[str] = Counter()

    def enqueue(self, job_id: str, name: str, task: str, due: int) -> None:
        """An id that exists is left as it is."""
        if job_id in self.jobs:
            return
        self.jobs[job_id] = Entry(name, task)
        self._schedule(job_id, due) if due > self.clock.now else self._wait(job_id)

    def take(self, who: str, limit: int, short: bool, done: Sequence[Token]) -> tuple[list[str], list[str], bool, Any]:
        """Return the ids handed out, those no longer held, whether there is more, and seconds to the next due."""
        lost = self.finish(who, done)
        self.promote()
        taken: list[str] = []
        room, open_lists = 1.0, [name for name in WORKERS[who] if name not in self.paused]
        for name in open_lists:
            if len(taken) < limit and room > 0:
                room = self._look(name, who, limit, short, taken, room)
        left = [name for name in open_lists if self.pending[name]]
        if taken:
            self.bells.update(left)
            self.workers[who] = self.clock.now + LEASE
            self.counts["taken"] += len(taken)
        return taken, lost, left != [], self._due_in(taken != [])

    def promote(self) -> None:
        """Move what is due from the schedule into its list."""
        for job_id in self.by_time():
            if self.scheduled[job_id] > self.clock.now:
                break
            del self.scheduled[job_id]
            entry = self.jobs.get(job_id)
            if entry is None or entry.missing & {"state", "queue"}:
                self._quarantine(job_id)
            elif entry.state == "scheduled":
                self._wait(job_id)

    def by_time(self) -> list[str]:
        """Return the ids of the schedule, the first one due first."""
        return sorted(self.scheduled, key=lambda job_id: (self.scheduled[job_id], raw(job_id)))

    def takeable(self, name: str) -> list[str]:
        """Return the ids of a list that a take would hand out."""
        entries = ((job_id, self.jobs.get(job_id)) for job_id in self.pending[name])
        return [i for i, one in entries if one and not one.missing and (one.state, one.queue) == ("pending", name)]

    def _look(self, name: str, who: str, limit: int, short: bool, taken: list[str], room: float) -> float:
        waiting = self.pending[name]
        while waiting and len(taken) < limit:
            job_id, entry = waiting[0], self.jobs.get(waiting[0])
            fits = entry is not None and not entry.missing and len(raw(job_id)) <= 128
            if entry and fits and (entry.state, entry.queue) == ("pending", name):
                share = 1 / limit if short and entry.task == "greet" and not entry.crashes else 1.0
                if taken and share > room + 1e-9:
                    break
                room -= share
                taken.append(job_id)
                entry.attempt, entry.started = str(counter(entry.attempt) + 1), str(self.clock.now)
                entry.worker = who
                self._move(entry, "running")
                self.running[who].insert(0, job_id)
            elif not entry or not fits:
                self._quarantine(job_id)
            elif entry.state == "cancelled":
                entry.lasting = False
            del waiting[0]
        return room

    def _due_in(self, handed_out: bool) -> float | None:
        first = next(iter(self.by_time()), None)
        if first is None:
            return None
        wait = min(max(self.scheduled[first] - self.clock.now, 0), DAY * 1000)
        entry = self.jobs.get(first)
        if handed_out and wait <= 1000 and entry and "queue" not in entry.missing:
            self.bells.add(entry.queue)
        return wait / 1000

    def finish(self, who: str, done: Sequence[Token]) -> list[str]:
        """Return the ids no longer held."""
        lost = []
        for token in done:
            state, entry = self.held(who, token), self.jobs.get(token[0])
            if state == "running" and entry:
                drop_oldest(self.running[who], token[0])
                self._end(entry, "done")
                self.counts["done"] += 1
            elif state != "done":
                lost.append(token[0])
        return lost

    def retry(self, who: str, token: Token, delay: float, failed: bool) -> bool:
        """Return whether this token settled the job, now or before."""
        state, entry = self.held(who, token), self.jobs.get(token[0])
        if state != "running" or not entry:
            return state in {"scheduled", "pending", "cancelled"}
        drop_oldest(self.running[who], token[0])
        entry.failures += failed
        self.counts["retried"] += failed
        if entry.stop:
            self._end(entry, "cancelled")
        else:
            self._schedule(token[0], self.clock.now + round(delay * 1000))
        return True

    def bury(self, who: str, token: Token) -> bool:
        """Return whether this token settled the job, now or before."""
        state, entry = self.held(who, token), self.jobs.get(token[0])
        if state != "running" or not entry:
            return state == "dead"
        drop_oldest(self.running[who], token[0])
        entry.failures += 1
        self._die(token[0])
        return True

    def release(self, who: str, given: Sequence[Token]) -> list[str]:
        """Return the ids no longer held; of those only a stale copy in the running list goes."""
        lost = []
        for token in reversed(given):
            job_id, state, entry = token[0], self.held(who, token), self.jobs.get(token[0])
            if state == "running" and entry:
                drop_oldest(self.running[who], job_id)
                self._end(entry, "cancelled") if entry.stop else self._wait(job_id, front=True)
            elif state not in {"pending", "cancelled"}:
                lost.append(job_id)
                here = entry and (entry.state, entry.worker) == ("running", who)
                if not here and drop_oldest(self.running[who], job_id) and not (entry and entry.state):
                    self._quarantine(job_id)
        return lost

    def cancel(self, job_id: str, who: str = "", token: Token | None = None) -> str:
        """Return one of the four words."""
        entry = self.jobs.get(job_id)
        if entry is None or not entry.state:
            return "unknown"
        if entry.state == "cancelled":
            return "cancelled"
        if entry.state in ENDED or (token and self.held(who, token) != "running"):
            return "too late"
        if entry.state == "running" and not token:
            entry.stop = True
            return "stopping"
        before = entry.state
        if before == "scheduled":
            self.scheduled.pop(job_id, None)
        elif before == "running":
            drop_oldest(self.running[who], job_id)
        self._end(entry, "cancelled")
        entry.lasting = before == "pending"  # its time starts when its id leaves the list
        return "cancelled"

    def reschedule(self, job_id: str, due: int) -> str:
        """Return one of three words."""
        entry = self.jobs.get(job_id)
        if entry is None or not entry.state:
            return "unknown"
        if entry.state != "scheduled":
            return "too late"
        del self.scheduled[job_id]
        self._schedule(job_id, due)
        return "rescheduled"

    def revive(self, job_id: str) -> str:
        """Return one of three words."""
        entry = self.jobs.get(job_id)
        if entry is None or entry.missing & {"state", "queue", "task"}:
            return "unknown"
        if entry.state != "dead":
            return "too late"
        if job_id in self.dead:
            self.dead.remove(job_id)
        entry.failures, entry.crashes, entry.lasting = 0, 0, True
        self._wait(job_id)
        return "revived"

    def discard(self, job_id: str) -> str:
        """Return one of three words."""
        entry = self.jobs.get(job_id)
        if entry and entry.state == "cancelled" and entry.discarded:
            return "discarded"
        if entry and entry.state and entry.state != "dead":
            return "too late"
        if job_id in self.dead:
            self.dead.remove(job_id)
        if entry is None or not entry.state:
            return "unknown"
        self._end(entry, "cancelled")
        entry.discarded = True
        return "discarded"

    def pause(self, name: str) -> None:
        """Stop taking from a list."""
        self.paused.add(name)

    def resume(self, name: str) -> None:
        """Take from it again."""
        self.paused.discard(name)
        self.bells.add(name)

    def beat(self, who: str, lease: int) -> tuple[float, bool, dict[Token, bool]]:
        """Return seconds to the first end of a lease, whether ours still held, and what lies in our list."""
        now, kept = self.clock.now, self.workers.get(who, 0) > self.clock.now
        self.workers[who] = now + (lease or -1)
        mine = [(job_id, self.jobs.get(job_id)) for job_id in self.running[who]]
        held = {
            (job_id, one.attempt, one.started) if one else (job_id, "", ""): bool(one and one.stop)
            for job_id, one in mine
        }
        return max(min(self.workers.values()) - now, 0) / 1000, kept, held

    def reclaim(self, who: str | None, chosen: Callable[[str], int]) -> list[tuple[str, str]]:
        """Return ids and what became of them; for a second crash Redis has chosen the time."""
        over = sorted(self.workers, key=lambda name: (self.workers[name], name))
        over = [who] if who else [name for name in over if self.workers[name] < self.clock.now]
        back = []
        for name in over:
            for job_id in self.running.pop(name, []):
                entry = self.jobs.get(job_id)
                if entry is None or entry.missing & {"state", "queue"}:
                    self._quarantine(job_id)
                elif (entry.state, entry.worker) == ("running", name):
                    back.append((job_id, self._crash(job_id, entry, chosen)))
            self.workers.pop(name, None)
        return back

    def _crash(self, job_id: str, entry: Entry, chosen: Callable[[str], int]) -> str:
        entry.crashes += 1
        self.counts["reclaimed"] += 1
        if entry.stop:
            self._end(entry, "cancelled")
        elif entry.crashes >= DEADLY:
            self._die(job_id)
        elif entry.crashes == 1:
            self._wait(job_id, front=True)
        else:
            due, least = chosen(job_id), self.clock.now + CRASH_DELAY * (entry.crashes - 1)
            assert least <= due <= least + 2 * CRASH_DELAY * (entry.crashes - 1), (
                "the pause after a crash is out of bounds"
            )
            self._schedule(job_id, due)
        return entry.state

    def held(self, who: str, token: Token) -> str | None:
        """Return the state of a job whose last token is this one."""
        entry = self.jobs.get(token[0])
        same = entry and who and (entry.worker, entry.attempt, entry.started) == (who, *token[1:])
        return entry.state if entry and same else None

    def hands(self) -> list[tuple[str, Token]]:
        """Return the tokens of all that runs, with their workers."""
        runs = ((job_id, one) for job_id, one in self.jobs.items() if one.state == "running")
        return [(one.worker, (job_id, one.attempt, one.started)) for job_id, one in runs]

    def picture(self) -> dict[str, Any]:
        """Return what must be read in Redis."""
        places: dict[str, Any] = {f"pending:{name}": ids for name, ids in self.pending.items()}
        places |= {f"running:{name}": ids for name, ids in self.running.items()}
        places |= {"scheduled": self.scheduled, "dead": self.dead, "workers": self.workers, "paused": self.paused}
        places |= {"bells": self.bells, "counts": +self.counts}
        places |= {f"job:{job_id}": entry.picture() for job_id, entry in self.jobs.items()}
        return {place: held for place, held in places.items() if held}

    def _move(self, entry: Entry, state: str) -> None:
        assert state in ARROWS.get(entry.state, set()), f"{entry.state} --> {state} is no arrow of the diagram"
        entry.state = state

    def _end(self, entry: Entry, state: str) -> None:
        self._move(entry, state)
        entry.lasting, entry.stop, entry.finished = False, False, self.clock.now

    def _wait(self, job_id: str, *, front: bool = False) -> None:
        entry = self.jobs[job_id]
        if "queue" in entry.missing:
            self._quarantine(job_id)
            return
        self._move(entry, "pending")
        self.pending[entry.queue].insert(0 if front else len(self.pending[entry.queue]), job_id)
        self.bells.add(entry.queue)

    def _schedule(self, job_id: str, due: int) -> None:
        entry = self.jobs[job_id]
        if "queue" in entry.missing:
            self._quarantine(job_id)
            return
        self._move(entry, "scheduled")
        self.scheduled[job_id] = entry.due = due
        if due <= self.clock.now + 1000 or self.by_time()[0] == job_id:
            self.bells.add(entry.queue)

    def _quarantine(self, job_id: str) -> None:
        if len(raw(job_id)) > 128:
            job_id = "bad:" + raw(job_id)[:128].decode("utf-8", "surrogateescape")
        entry = self.jobs.setdefault(job_id, Entry("", "", missing=set(NEEDED)))
        if entry.state != "dead":
            entry.state, entry.missing = "running", entry.missing - {"state"}  # from wherever it was
            self._die(job_id)

    def _die(self, job_id: str) -> None:
        self._end(self.jobs[job_id], "dead")
        self.dead.insert(0, job_id)
        self.counts["dead"] += 1
        while self.dead:
            oldest = self.jobs.get(self.dead[-1])
            if oldest and oldest.state == "dead" and oldest.finished > self.clock.now - DEAD_TTL:
                break
            gone = self.dead.pop()
            if oldest and oldest.state == "dead":
                del self.jobs[gone]


def from_machine(choose: Callable[["Machine"], Sequence[Any]]) -> st.SearchStrategy[Any]:
    """Choose among what there is at this moment."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choose(machine)))


any_id = st.sampled_from(IDS)
any_list = st.sampled_from(LISTS)
any_worker = st.sampled_from(tuple(WORKERS))
any_delay = st.sampled_from((0, 0.5, 1, 7, 60, 3600))
any_place = st.sampled_from(("scheduled", *LISTS, *WORKERS))
any_token = from_machine(lambda machine: machine.taken[::-1])
a_hand = from_machine(lambda machine: machine.model.hands())
a_question = from_machine(lambda machine: machine.questions())
a_job = from_machine(lambda machine: machine.plain() or ["a"])
a_verb = st.sampled_from(("finish", "retry", "snooze", "bury", "release", "cancel"))


class Machine(RuleBasedStateMachine):
    """Makes up a history; each step goes to Redis and to the model."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.clock = Clock()
        self.clients = (
            redis.Redis.from_url(url),
            exact_client(url),
        )
        self.jobs, self.raw = JobQueue(self.clients[0], clock=self.clock), self.clients[1]
        self.raw.flushall()
        self.model: Model = Model(self.clock)
        self.taken: list[tuple[str, Token]] = []
        self.awake = set(WORKERS)  # about to take; the others sleep on their bells, or are busy for who knows how long
        self.beaten = 0  # the time of the last beat
        self.junk: set[str] = set()  # keys of a wrong type
        self.copied: set[str] = set()  # ids that somebody put into a second place
        self.last: tuple[str, Callable[[], Any], Callable[[], Any]] | None = None
        self.dump: list[Any] = []
        self.before: dict[str, Any] = {}  # the picture of Redis before the last step, and after it
        self.seen: dict[str, Any] = {}
        self.sound = True

    def do(self, what: str, real: Callable[[], Any], model: Callable[[], Any], *, again: bool = True) -> Any:
        """Do it in Redis and in the model: both must give the same answer."""
        self.sound = False  # until the invariants have been looked at
        answer = real()
        note(f"    {what} -> {answer}")
        expected = model()
        assert answer == expected, f"{what} answers {answer}, not {expected}"
        self.last = (what, real, model) if again else None
        return answer

    def plain(self) -> list[str]:
        """Return the ids of all jobs that somebody enqueued."""
        return [job_id for job_id, one in self.model.jobs.items() if one.queue]

    # -------------------------------------------------------------------------------------- from outside

    @rule(job_id=any_id, name=any_list, task=st.sampled_from(("greet", "slow")), delay=any_delay)
    def enqueue(self, job_id: str, name: str, task: str, delay: float) -> None:
        """With an id of its own; often one that exists."""
        target, due = named(task, id=job_id, queue=name), self.clock.now + round(delay * 1000)

        def real() -> None:
            assert self.jobs.enqueue_in(delay, target, "Ada") == job_id

        self.do(f"enqueue {job_id} due {due}", real, lambda: self.model.enqueue(job_id, name, task, due))

    @rule(ids=st.lists(any_id | st.none(), min_size=1, max_size=5), name=any_list)
    def enqueue_many(self, ids: list[str | None], name: str) -> None:
        """With ids or without, the same one twice too."""
        calls = [(named("greet", id=job_id, queue=name), "Ada") for job_id in ids]

        def both() -> None:
            given = self.jobs.enqueue_many(calls)
            assert [a == b for a, b in zip(given, ids, strict=True)] == [b is not None for b in ids]
            for job_id in given:
                self.model.enqueue(job_id, name, "greet", 0)

        self.do(f"enqueue_many {ids}", both, lambda: None, again=False)

    @rule(asked=a_question, delay=any_delay)
    def ask(self, asked: tuple[str, str], delay: float) -> None:
        """Change a job by its id alone. A repeat of a revival is too late, all else gets the first answer."""
        (verb, job_id), due = asked, self.clock.now + round(delay * 1000)
        seconds, ms = ((due / 1000,), (due,)) if verb == "reschedule" else ((), ())
        real, model = getattr(self.jobs, verb), getattr(self.model, verb)
        self.do(f"{verb} {job_id}", lambda: real(job_id, *seconds), lambda: model(job_id, *ms), again=verb != "revive")

    def questions(self) -> list[tuple[str, str]]:
        """Return what can be asked of which job: mostly what makes sense in its state."""
        ids = self.plain() or ["a"]
        odd = [(verb, ids[self.clock.now % len(ids)]) for verb in ("cancel", "reschedule", "revive", "discard")]
        fit = {
            "scheduled": ("reschedule", "cancel"),
            "pending": ("cancel",),
            "running": ("cancel",),
            "dead": ("revive", "discard"),
        }
        return odd + [(verb, one) for one in self.plain() for verb in fit.get(self.model.jobs[one].state, ())]

    @rule(chance=st.integers(0, 4), name=any_list)
    def switch(self, chance: int, name: str) -> None:
        """Stop taking from a list, now and then, or take from it again."""
        verb, name = ("pause", name) if chance == 4 else ("resume", min(self.model.paused, default=name))
        self.do(f"{verb} {name}", lambda: getattr(self.jobs, verb)(name), lambda: getattr(self.model, verb)(name))

    # -------------------------------------------------------------------------------------- workers

    @rule(who=any_worker, limit=st.integers(1, 4), short=st.booleans(), carried=st.integers(0, 2))
    def take(self, who: str, limit: int, short: bool, carried: int) -> None:
        """Carrying finished jobs; what is handed out, and its order, is the model's."""
        self.turn(who, limit, short, carried)

    @rule(limit=st.integers(1, 4))
    def take_all_lists(self, limit: int) -> None:
        """The same with nothing special; so that more than one rule in twenty is about taking."""
        self.turn("cid", limit, True, 0)

    def turn(self, who: str, limit: int, short: bool, carried: int) -> list[str]:
        """Take, and return the ids."""
        done = [token for holder, token in self.model.hands() if holder == who][:carried]
        finished, full = [(*token, TTL, '"ok"') for token in done], {"greet": limit} if short else {}

        def real() -> tuple[list[str], list[str], bool, float | None]:
            taken = self.jobs.take(who, limit, queues=WORKERS[who], full=full, finished=finished)
            self.taken += [(who, token) for token in tokens(taken)]
            return taken.ids, taken.lost, taken.more, taken.due_in

        what = f"take {who} carrying {done}"
        ids, _, more, _ = self.do(what, real, lambda: self.model.take(who, limit, short, done), again=False)
        self.awake = self.awake | {who} if more and not ids else self.awake - {who}
        self.look()
        nobody_can_sleep_on = self.junk & {bell(NS, name) for name in WORKERS[who] if name not in self.model.paused}
        assert not nobody_can_sleep_on
        return list(ids)

    @rule(who=any_worker)
    def wake(self, who: str) -> None:
        """A sleeper that hears a bell is about to take; so is one who finds that a bell is none."""
        bells = [bell(NS, name) for name in WORKERS[who]]
        rung = next((name for name in WORKERS[who] if name in self.model.bells), None)
        if self.junk.intersection(bells):
            self.awake.add(who)
        elif rung and who not in self.awake:
            self.do(f"wake {who}", lambda: rings(self.jobs, bells), lambda: rung, again=False)
            self.model.bells.discard(rung)
            self.awake.add(who)

    @precondition(lambda self: self.model.hands())
    @rule(verb=a_verb, hand=a_hand, delay=any_delay)
    def settle(self, verb: str, hand: tuple[str, Token], delay: float) -> None:
        """The worker that runs a job says how it ended."""
        assert self.tell(verb, *hand, delay) in (True, [], "cancelled")

    @precondition(lambda self: self.taken)
    @rule(verb=a_verb, hand=any_token, who=any_worker | st.none())
    def settle_late(self, verb: str, hand: tuple[str, Token], who: str | None) -> None:
        """What is not the job's last token, or comes from another worker, changes nothing and is told so."""
        hand, before = (who or hand[0], hand[1]), self.frozen()
        ours = self.model.held(*hand)
        answer = self.tell(verb, *hand, 0)
        if ours is None:
            assert answer in (False, [hand[1][0]], "too late", "unknown", "cancelled")
            self.look()
            assert verb == "release" or self.frozen() == before  # it may drop a stale copy, as the model does

    def tell(self, verb: str, who: str, token: Token, delay: float) -> Any:
        """Settle one job with this token."""
        jobs, model, finished = self.jobs, self.model, [(*token, TTL, '"ok"')]
        calls: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "finish": (lambda: jobs.finish(who, finished), lambda: model.finish(who, [token])),
            "retry": (lambda: jobs.retry(who, token, delay, "an error"), lambda: model.retry(who, token, delay, True)),
            "snooze": (lambda: jobs.snooze(who, token, delay), lambda: model.retry(who, token, delay, False)),
            "bury": (lambda: jobs.bury(who, token, "failed", "an error"), lambda: model.bury(who, token)),
            "release": (lambda: jobs.release(who, [token]), lambda: model.release(who, [token])),
            "cancel": (lambda: jobs.cancel(token[0], (who, token)), lambda: model.cancel(token[0], who, token)),
        }
        return self.do(f"{verb} {token} by {who}", *calls[verb])

    @rule(who=any_worker, lease=st.sampled_from((LEASE, LEASE, LEASE, 0)))
    def beat(self, who: str, lease: int) -> None:
        """Renew the lease, or leave as a worker does: give back all that Redis says is ours, then sign off."""
        if not lease:
            self.renew(who, LEASE)
            rest = list(reversed(self.model.beat(who, LEASE)[-1]))
            sent: Any = [(raw(job_id), *token) for job_id, *token in rest]
            self.do(
                f"release {rest}", lambda: self.jobs.release(who, sent), lambda: shown(self.model.release(who, rest))
            )
        self.renew(who, lease)
        if not lease:
            self.take_back(who)

    def renew(self, who: str, lease: int) -> None:
        """Beat; ids that are no UTF-8 come back as bytes."""

        def real() -> tuple[float, bool, Any]:
            first, kept, held = self.jobs.beat(who, lease / 1000)
            self.beaten = self.clock.now
            return first, kept, {tuple(map(exact, token)): stop for token, stop in held.items()}

        self.do(f"beat {who} {lease}", real, lambda: self.model.beat(who, lease), again=False)

    @rule(late=st.booleans(), within=st.sampled_from((None, None, 2.5)))
    def reclaim(self, late: bool, within: float | None) -> None:
        """Take back what the dead held; late: when all leases are over. Too long after a beat nothing is done."""
        self.clock.now += (LEASE + 1) * late
        self.take_back(None, within)

    def take_back(self, who: str | None, within: float | None = None) -> None:
        """Reclaim from all workers, or from one."""

        def chosen(job_id: str) -> int:
            return int(self.raw.zscore(scheduled(NS), job_id) or 0)

        def model() -> list[tuple[str, str]]:
            too_late = within is not None and self.clock.now > self.beaten + within * 1000
            return [] if too_late else self.model.reclaim(who, chosen)

        what = f"reclaim {who or ''} within {within}"
        self.do(what, lambda: self.jobs.reclaim(who, within=within), model, again=False)

    # -------------------------------------------------------------------------------------- the world

    @rule(seconds=st.sampled_from((0.001, 0.5, 1, 7, 15, 60, 3600, 31 * DAY)))
    def advance(self, seconds: float) -> None:
        """Let time pass: due times, leases, the month of the dead. TTLs of Redis are on its own clock."""
        self.clock.advance(seconds)

    @precondition(lambda self: self.last)
    @rule()
    def repeat(self) -> None:
        """The answer was lost and the call is made again: the same answer, and nothing is changed."""
        assert self.last is not None
        what, real, model = self.last
        before = self.frozen()
        self.do(f"again: {what}", real, model)
        self.look()
        assert self.frozen() == before

    @rule(job_id=a_job | st.sampled_from(JUNK), where=any_place, front=st.booleans(), key=st.booleans())
    def put(self, job_id: str, where: str, front: bool, key: bool) -> None:
        """Put an id where it does not belong, or a second time, or one without a job, or with junk under its key."""
        push = self.raw.rpush if front else self.raw.lpush
        if key and job_id not in self.model.jobs:
            self.raw.set(job(NS, job_id), "junk")
            self.junk.add(job(NS, job_id))
        self.copied.add(job_id)
        if where == "scheduled" and scheduled(NS) not in self.junk and job_id not in self.model.scheduled:
            self.raw.zadd(scheduled(NS), {job_id: self.clock.now})
            self.model.scheduled[job_id] = self.clock.now
        elif where in LISTS and pending(NS, where) not in self.junk:
            push(pending(NS, where), job_id)
            ids = self.model.pending[where]
            ids.insert(0 if front else len(ids), job_id)
        elif where in self.model.workers and running(NS, where) not in self.junk:
            self.raw.lpush(running(NS, where), job_id)
            self.model.running[where].insert(0, job_id)

    @precondition(lambda self: self.plain())
    @rule(job_id=a_job, name=st.sampled_from((*sorted(NEEDED), "attempt", "failures", "started_at")))
    def damage(self, job_id: str, name: str) -> None:
        """Without a field that it needs a job ends among the dead. A number that is none counts as 0."""
        entry = self.model.jobs[job_id]
        if name not in NEEDED:
            self.raw.hset(job(NS, job_id), name, "junk")
            known, value = {"failures": ("failures", 0), "started_at": ("started", "junk")}.get(name, (name, "junk"))
            setattr(entry, known, value)
        elif entry.state not in ENDED:
            self.raw.hdel(job(NS, job_id), name)
            entry.missing.add(name)
            entry.state = "" if name == "state" else entry.state

    @rule(what=st.sampled_from((*["scripts"] * 4, "everything", *KEYS)))
    def upset(self, what: str) -> None:
        """Redis forgets the scripts; or everything; or something of another type lies where nothing lay yet."""
        if what == "scripts":
            self.raw.script_flush()
        elif what == "everything":
            self.raw.flushall()
            self.model, self.last, self.awake = Model(self.clock), None, set(WORKERS)
            self.clock.now += 1  # old tokens are worth nothing from the next millisecond
        elif self.raw.set(what, "junk", nx=True):
            self.junk.add(what)

    # -------------------------------------------------------------------------------------- what holds after each step

    def look(self) -> None:
        """Read all that lies in Redis. What of a wrong type was moved aside is junk no longer."""
        self.dump = sorted(self.raw.eval(DUMP, 0))
        kinds = {key: kind for key, kind, _, _ in self.dump}
        self.junk = {key for key in self.junk if kinds.get(key) == "string"}

    def frozen(self) -> list[Any]:
        """Return what was read last, but for counts, bells, times to live, and junk, which may be moved aside."""
        apart = tuple(f"{NS}:{what}:" for what in ("stats", "bell", "bad"))
        return [(key, held) for key, _, _, held in self.dump if key not in self.junk and not key.startswith(apart)]

    @invariant()
    def look_around(self) -> None:
        """All that must hold after each step."""
        self.sound = False
        self.agree()
        self.conserve()
        self.hear()
        self.tell_the_truth()
        self.sound = True

    def agree(self) -> None:
        """Redis and the model say the same of every place and every job."""
        self.look()
        self.before, self.seen = self.seen, read([row for row in self.dump if row[0] not in self.junk])
        expected = self.model.picture()
        differ = [name for name in sorted({**self.seen, **expected}) if self.seen.get(name) != expected.get(name)]
        assert not differ, "\n".join(f"{name} is {self.seen.get(name)}, not {expected.get(name)}" for name in differ)

    def conserve(self) -> None:
        """Each job lies where its state says, once; elsewhere only what was put there by hand."""
        places = {name: list(ids) for name, ids in self.seen.items() if name.startswith(PLACES)}
        for job_id in self.plain():
            one = self.model.jobs[job_id]
            home = HOMES.get(one.state, "").format(one)
            found = [name for name, ids in places.items() for i in ids if i == job_id]
            waits = one.state == "cancelled" and found == [f"pending:{one.queue}"]  # until a worker comes to it
            assert one.missing or home in [*found, ""], f"{job_id} is {one.state} and lost"
            assert one.missing or job_id in self.copied or found == [home] * bool(home) or waits, (
                f"{job_id} is in {found}"
            )

    def hear(self) -> None:
        """Where something can be taken a bell has a token, or somebody awake is about to take there."""
        for name in set(LISTS) - self.model.paused - self.model.bells:
            heard = bell(NS, name) in self.junk or any(name in WORKERS[who] for who in self.awake)
            assert heard or not self.model.takeable(name), f"{self.model.takeable(name)} wait in {name}, nobody hears"

    def tell_the_truth(self) -> None:
        """`status` says what the model knows of the jobs that this step changed."""
        for job_id in self.plain():
            if self.seen[f"job:{job_id}"] == self.before.get(f"job:{job_id}"):
                continue
            one, told = self.model.jobs[job_id], self.jobs.status(job_id)
            facts = told and (told.state, told.attempt, told.failures, told.crashes, told.worker or "")
            expected = one.state, counter(one.attempt), one.failures, one.crashes, one.worker
            assert facts == (expected if one.state else None), f"status of {job_id} is {told}"

    def teardown(self) -> None:
        """When the history is over everybody is gone; one worker that comes brings every job to its end."""
        if self.sound:
            self.drain()
            ends = {job_id: one.state for job_id, one in self.model.jobs.items()}
            assert set(ends.values()) <= ENDED, ends
            assert {
                name for name in self.seen if name.startswith(("pending", "running", "scheduled", "workers"))
            } == set()
            lasting = {
                key.removeprefix(f"{NS}:").split(":")[0]
                for key, _, ttl, _ in self.dump
                if ttl < 0 and key not in self.junk
            }
            assert lasting <= {"dead", "bell"}
        for client in self.clients:
            client.close()

    def drain(self) -> None:
        """Work until nothing is left."""
        for name in sorted(self.model.paused):
            self.switch(0, name)
        for _ in range(30):
            self.clock.advance(DAY)
            self.take_back(None)
            while self.turn("cid", 4, short=True, carried=4):
                pass
            self.agree()
            if not (self.model.scheduled or self.model.hands()):
                break
        self.clock.advance(DAY)
        self.take_back(None)
        self.agree()


def read(rows: Sequence[Any]) -> dict[str, Any]:
    """Return what lies in Redis as the model pictures it. What must have a TTL is looked at here."""
    picture: dict[str, Any] = defaultdict(dict, bells=set(), counts=Counter())
    for key, _, ttl, held in rows:
        what, _, name = key.removeprefix(f"{NS}:").partition(":")
        assert ttl >= 0 or what not in ("bad", "stats", "worker"), f"{key} has no TTL"
        if what == "bell":
            assert len(held) == 1, f"{key} holds {held}"
            picture["bells"].add(name)
        elif what == "stats":
            picture["counts"].update({field: int(by) for field, by in pairs(held) if field != "waited"})
        elif what == "job":
            picture[f"job:{name}"] = read_job(dict(pairs(held)), ttl)
        elif what in ("scheduled", "workers"):
            picture[what] = {member: int(score) for member, score in pairs(held)}
        elif what in ("pending", "running", "dead", "paused"):
            picture[f"{what}:{name}".rstrip(":")] = {"pending": held[::-1], "paused": set(held)}.get(what, held)
    return {name: held for name, held in picture.items() if held}


def read_job(fields: dict[str, str], ttl: int) -> dict[str, Any]:
    """Return a job as `Entry.picture` does."""
    facts: dict[str, Any] = {
        name: fields.get(name, "") for name in ("state", "queue", "worker", "attempt", "started_at")
    }
    facts |= {name: counter(fields.get(name, "")) for name in ("failures", "crashes")}
    facts |= {"due_at": int(fields["due_at"])} if facts["state"] == "scheduled" else {}
    return facts | {"stop": fields.get("reason") == "stop requested", "lasting": ttl < 0}


def pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return names and values, or members and scores, that came one after the other."""
    return zip(flat[::2], flat[1::2], strict=True)


@pytest.mark.timeout(0 if LONG else 600)  # a failure is made as short as it gets, which takes a while
def test_every_history_agrees_with_the_model(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done in whatever order: no job lost, none twice, every answer and every place as promised."""

    def machine() -> Machine:
        monkeypatch.setattr("os.urandom", random.Random(0).randbytes)  # ids that are the same when it is replayed
        return Machine(redis_url)

    run_state_machine_as_test(machine, settings=PROFILE)  # type: ignore[arg-type]  # it takes any maker of machines
