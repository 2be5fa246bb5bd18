"""Every order of the steps of two workers over two jobs: 924 interleavings of six steps each, per pair of programs.

Every transition is one script, so what can happen at the same time can only happen in some order; here are all of them.
"""

from collections import Counter
from itertools import combinations
from queue import JobQueue, named
from queue.jobs import Token

import pytest

from .helpers import DAY, Clock, Look, finish, take

ORDERS = [[step in chosen for step in range(12)] for chosen in map(set, combinations(range(12), 6))]  # True: ann's turn

# What each worker does. `lapse`: everybody is silent for longer than a lease, then it beats first, and reclaims.
# Verbs settle the job that the worker took first, whether it still holds it or not; `late` is a finish with the first
# token that it ever had.
PROGRAMS = {
    "both finish": ("take beat finish take lapse finish", "take lapse finish take beat finish"),
    "one fails": ("take lapse retry take lapse bury", "take beat finish lapse take finish"),
    "one leaves": ("take take lapse release release take", "take lapse snooze take finish lapse"),
    "old tokens": ("take release take late retry take", "take lapse snooze take late finish"),
    "one is cancelled": ("take lapse retry take lapse finish", "cancel take beat lapse stop take"),
}
ENDS = {"finish": "done", "bury": "dead", "stop": "cancelled"}


class Order:
    """One order: what the workers believe that they hold, and what was promised on the way."""

    def __init__(self, jobs: JobQueue, clock: Clock) -> None:
        self.jobs, self.clock = jobs, clock
        self.hands: dict[str, list[Token]] = {"ann": [], "bob": [], "eve": []}
        self.first: dict[str, Token] = {}  # worker -> the first token that it had
        self.newest: dict[str, Token] = {}  # job -> the last token given out
        self.starts: Counter[str] = Counter()
        self.allowed = Counter({"a": 1, "b": 1})  # starts that are explained
        self.final: dict[str, str] = {}  # job -> the state it must have for ever
        self.stopping: set[str] = set()

    def step(self, who: str, verb: str) -> None:
        """Let a worker do one thing."""
        if verb == "take":
            self.take(who)
        elif verb == "beat":
            assert self.jobs.beat(who, 15)[2].keys() <= set(self.hands[who])
        elif verb == "lapse":
            self.lapse(who)
        elif verb == "cancel":
            self.cancel()
        elif verb == "late" and self.first.get(who):
            self.settle(who, "finish", self.first[who])
        elif self.hands[who]:
            self.settle(who, verb, self.hands[who].pop(0))

    def take(self, who: str) -> None:
        """Take one; what has ended, or shall stop, is never handed out."""
        for token in take(self.jobs, who):
            assert token[0] not in self.final
            assert token[0] not in self.stopping
            self.hands[who].append(token)
            self.first.setdefault(who, token)
            self.newest[token[0]] = token
            self.starts[token[0]] += 1

    def lapse(self, who: str) -> None:
        """Be the first to beat after a silence, and take back what the others held."""
        self.clock.advance(16)
        self.jobs.beat(who, 15)
        for job_id, fate in self.jobs.reclaim():
            self.back(job_id, fate)

    def cancel(self) -> None:
        """Cancel the first job from outside."""
        answer = self.jobs.cancel("a")
        if answer == "stopping":
            self.stopping.add("a")
        elif answer == "cancelled":
            self.final["a"] = "cancelled"
        else:
            assert self.final["a"] in ("done", "dead")

    def settle(self, who: str, verb: str, token: Token) -> None:
        """Settle a job: the newest token is obeyed, unless the job was taken back; any other is refused."""
        settle = {
            "finish": lambda: finish(self.jobs, token, who),
            "retry": lambda: self.jobs.retry(who, token, 0, "an error"),
            "snooze": lambda: self.jobs.snooze(who, token, 5),
            "bury": lambda: self.jobs.bury(who, token, "failed", "an error"),
            "release": lambda: self.jobs.release(who, [token]) == [],
            "stop": lambda: self.jobs.cancel(token[0], (who, token)) == "cancelled",
        }
        before = self.jobs.status(token[0])
        obeyed = settle[verb]()
        if before is None or (before.state, self.newest[token[0]]) != ("running", token):
            assert self.jobs.status(token[0]) == before
            assert not obeyed or (before and before.state in ("pending", "scheduled", "cancelled"))
            return
        assert obeyed
        if verb in ENDS:
            self.final[token[0]] = ENDS[verb]
        else:
            self.back(token[0], verb)

    def back(self, job_id: str, fate: str) -> None:
        """Note that a job may start once more, or that it has come to its end."""
        assert job_id not in self.final
        if fate in ("cancelled", "dead") or job_id in self.stopping:
            self.final[job_id] = "dead" if fate == "dead" else "cancelled"
        else:
            self.allowed[job_id] += 1

    def drain(self) -> None:
        """Everybody is gone; one who comes later brings all to its end."""
        for _ in range(9):
            if len(self.final) == len(self.allowed):
                break
            self.clock.advance(DAY)
            for job_id, fate in self.jobs.reclaim():
                self.back(job_id, fate)
            self.take("eve")
            while self.hands["eve"]:
                self.settle("eve", "finish", self.hands["eve"].pop())

    def check(self) -> None:
        """Each job came to the end that was promised, and every start is explained."""
        ends = {job_id: found.state for job_id in self.allowed if (found := self.jobs.status(job_id))}
        assert ends == self.final
        assert all(self.starts[job_id] <= self.allowed[job_id] for job_id in ends)


@pytest.mark.parametrize("programs", PROGRAMS)
def test_in_every_order_no_job_is_lost(jobs: JobQueue, look: Look, clock: Clock, programs: str) -> None:
    """Each job is in one place, only the newest token is obeyed, an end is final, every start is explained."""
    ann, bob = (program.split() for program in PROGRAMS[programs])
    for turns in ORDERS:
        steps = {True: (("ann", verb) for verb in ann), False: (("bob", verb) for verb in bob)}
        plan = [next(steps[turn]) for turn in turns]
        look.raw.flushall()
        jobs.enqueue_many([(named("greet", id="a"),), (named("greet", id="b"),)])
        order = Order(jobs, clock)
        try:
            for who, verb in plan:
                order.step(who, verb)
            assert look.problems() == []
            order.drain()
            order.check()
        except AssertionError as error:
            error.add_note(" > ".join(f"{who} {verb}" for who, verb in plan))
            raise
