"""Breaks the queue in one place at a time, on a copy, and says which test notices: `python -m tests.mutants [WORD...]`.

Words choose mutants by their names ("ttl", "bell"). Each is a line of the code as it stands, so when that changes this
program stops and says which entries are stale. One that survives is a promise without a test, or code without a use.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from tests.servers import ROOT

LATE = ("test_properties", "test_model", "test_orders", "test_copy", "test_reviewed", "test_worker")  # slow: come last
NOT_COPIED = (".venv", ".git", ".data", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")
SECONDS = 900  # for one set of tests; a mutant that makes them hang is caught


class Mutant(NamedTuple):
    """One change: in a file of queue/, this text, which occurs once, becomes that one."""

    name: str
    file: str
    old: str
    new: str = ""


COMMON, TAKE, RECLAIM, RELEASE = "lua/common.lua", "lua/take.lua", "lua/reclaim.lua", "lua/release.lua"
BEAT, BURY, CANCEL, ENQUEUE = "lua/beat.lua", "lua/bury.lua", "lua/cancel.lua", "lua/enqueue.lua"
RETRY, RESCHEDULE, REVIVE = "lua/retry.lua", "lua/reschedule.lua", "lua/revive.lua"
DISCARD = "lua/discard.lua"
JOBS, WIRE, HANDS, WORKER, TIME, RUN = "jobs.py", "wire.py", "hands.py", "worker.py", "timekeeper.py", "run.py"

OWNERSHIP = [
    Mutant("token without worker", COMMON, "job[2] == worker and "),
    Mutant("token without attempt", COMMON, "job[3] == attempt and "),
    Mutant("token without started_at", COMMON, " and job[4] == started then return", " then return"),
    Mutant(
        "finish whatever the state",
        COMMON,
        'if state == "running" then\n      done',
        "if state then\n      done",
    ),
    Mutant("finish without a token", COMMON, 'if state == "running" then\n      done', "if true then\n      done"),
    Mutant("retry whatever the state", RETRY, 'if state ~= "running" then', "if not state then"),
    Mutant("retry without a token", RETRY, 'if state ~= "running" then', "if false then"),
    Mutant("bury whatever the state", BURY, 'if state ~= "running" then', "if not state then"),
    Mutant("bury without a token", BURY, 'if state ~= "running" then', "if false then"),
    Mutant("release whatever the state", RELEASE, '  if state == "running" then', "  if state then"),
    Mutant("release without a token", RELEASE, '  if state == "running" then', "  if true then"),
    Mutant("release drops what is here", RELEASE, "if not here and call", "if call"),
    Mutant("cancel whatever the token", CANCEL, "if worker and held", "if false and held"),
    Mutant(
        "cancel with a token of a job that is back",
        CANCEL,
        '~= "running" then return "too late"',
        '== nil then return "too late"',
    ),
    Mutant("reclaim what is not running", RECLAIM, 'job[1] == "running" and job[2] == worker', "job[2] == worker"),
    Mutant("reclaim what another runs", RECLAIM, 'job[1] == "running" and job[2] == worker', 'job[1] == "running"'),
    Mutant("reclaim from the living", RECLAIM, '"-inf", "(" .. string.format("%.0f", now)', '"-inf", "+inf"'),
    Mutant("reclaim at the very end of a lease", RECLAIM, '"(" .. string', '"" .. string'),
    Mutant("reclaim however late the call", RECLAIM, 'if ARGV[5] ~= "" and now > tonumber(ARGV[5]) then return {} end'),
    Mutant("reclaim without naming a moment", TIME, "reclaim(self.jobs, within=self.limit)", "reclaim(self.jobs)"),
    Mutant("reclaim soon after an outage", TIME, "self.in_touch + self.limit + backoff.RECONNECT", "0.0"),
    Mutant("reclaim after a freeze of our own", TIME, "if not kept or self.in_touch", "if self.in_touch"),
    Mutant("reclaim everybody's when leaving", WORKER, "reclaim(own, self.name)", "reclaim(own)"),
    Mutant("take what is not pending", TAKE, 'job[1] ~= "pending" or job[2]', "job[2]"),
    Mutant("take what belongs to another list", TAKE, "job[2] ~= name or "),
    Mutant("take the same id twice in one look", TAKE, " or seen[id] then", " then"),
    Mutant("promote what is not scheduled", TAKE, 'elseif job[1] == "scheduled" then', "else"),
    Mutant("reschedule what is not scheduled", RESCHEDULE, 'if job[1] ~= "scheduled" then return "too late" end'),
    Mutant("revive what is not dead", REVIVE, 'if job[1] ~= "dead" then return "too late" end'),
    Mutant("discard what is not dead", DISCARD, 'if job[1] and job[1] ~= "dead" then return "too late" end'),
    Mutant("cancel what has ended", CANCEL, 'else\n  return "too late"', "else\n  to_cancelled(id)"),
    Mutant("enqueue over what exists", ENQUEUE, 'if kind ~= "hash" then', "if true then"),
    Mutant(
        "still_mine whatever the attempt",
        RUN,
        'return held == ("running", self.worker, *self.token)',
        "return held is not None",
    ),
    Mutant("a late answer is taken for a lost one", TIME, "if now - since > self.patience]", "if now > since]"),
    Mutant("what was lost is never found", TIME, "if now - since > self.patience]", "if False]"),
]

REPEATS = [
    Mutant("finish twice is lost", COMMON, 'elseif state ~= "done" then', "else"),
    Mutant(
        "retry twice is lost",
        RETRY,
        '(state == "scheduled" or state == "pending" or state == "cancelled") and 1 or 0',
        "0",
    ),
    Mutant("bury twice is lost", BURY, 'state == "dead" and 1 or 0', "0"),
    Mutant("release twice is lost", RELEASE, 'elseif state ~= "pending" and state ~= "cancelled" then', "else"),
    Mutant("cancel twice is too late", CANCEL, 'if state == "cancelled" then return state end'),
]

CHECKS = [
    Mutant("a place of another type is used", COMMON, 'if found ~= kind and found ~= "none" then aside(key) end'),
    Mutant("a bell of another type is used", COMMON, 'if found ~= "none" then aside(bell) end'),
    Mutant("no look at the bell before a sleep", TAKE, 'place("list", "bell", name) -- else nobody could sleep on it'),
    Mutant("a count that fails", COMMON, 'if try("HINCRBY"', 'if call("HINCRBY"'),
    Mutant("a number out of bounds", COMMON, "return number >= 0 and number < 1e9 and number or 0", "return number"),
    Mutant("pending without a list", COMMON, 'if not queue then return quarantine(id, "no list") end\n  push', "push"),
    Mutant(
        "scheduled without a list", COMMON, 'if not queue then return quarantine(id, "no list") end\n  local', "local"
    ),
    Mutant("a long id is kept", COMMON, 'if #id > MAX_ID then id = "bad:" .. string.sub(id, 1, MAX_ID) end'),
    Mutant("a job of another type is used", COMMON, 'if kind ~= "hash" and kind ~= "none" then aside(job_key(id)) end'),
    Mutant("a bad entry is dead twice", COMMON, 'if call("HGET", job_key(id), "state") == "dead" then return end'),
    Mutant("the dead that are gone stay", COMMON, "if not (gone or old or", "if not (old or"),
    Mutant("the hash of one revived goes with its old entry", COMMON, "if not gone then call", "if true then call"),
    Mutant("take an unreadable job", TAKE, "if job.err or not (job[1] and job[2] and job[4] and job[5])", "if job.err"),
    Mutant("take a long id", TAKE, " or #id > MAX_ID then", " then"),
    Mutant("take an odd id", TAKE, 'if string.find(id, "%W") and', "if false and"),
    Mutant("a field passes for the end of a job", TAKE, "string.find(line, SEPARATOR, 1, true) and", "false and"),
    Mutant("the oldest go, whoever is done", COMMON, "same = same and oldest[n + 1 - i] == jobs[i][1]", "same = true"),
    Mutant("a next time to the millisecond", TAKE, "math.ceil(wait * 1000) - micros", "math.ceil(wait * 1000)"),
    Mutant("promote an unreadable job", TAKE, "if job.err or not (job[1] and job[2]) then\n", "if job.err then\n"),
    Mutant("take a bad number for an attempt", TAKE, "tostring(counter(taken) + 1)", "tostring(taken + 1)"),
    Mutant("a job that crashed is not alone", TAKE, "tonumber(job[8] or 0) ~= 0", "false"),
    Mutant("take from a paused list", TAKE, 'if call("SISMEMBER", paused, name) == 0 then', "if true then"),
    Mutant("promotion without end", TAKE, "PROMOTE, DROP = 500, 500", "PROMOTE, DROP = 5e5, 500"),
    Mutant("drops without end", TAKE, "#jobs < most and dropped < DROP\nend", "#jobs < most\nend"),
    Mutant("the less urgent first", TAKE, "room > 0 and dropped < DROP then", "room > 0 then"),
    Mutant("reclaim an unreadable job", RECLAIM, "if job.err or not (job[1] and job[4]) then", "if job.err then"),
    Mutant("reclaim forgets a worker with more", RECLAIM, 'if call("LLEN", running) == 0 then', "if true then"),
    Mutant("reclaim what shall stop", RECLAIM, 'if job[5] == STOP then to_cancelled(id); return "cancelled" end'),
    Mutant(
        "release what shall stop",
        RELEASE,
        "if stop then to_cancelled(id) else to_pending",
        "if false then else to_pending",
    ),
    Mutant(
        "release loses an unreadable job",
        RELEASE,
        ' > 0 and not job[1] then quarantine(id, "running:" .. worker) end',
        " > 0 then end",
    ),
    Mutant("retry what shall stop", RETRY, "if stop then to_cancelled(id) else", "if false then else"),
    Mutant("done, but shall stop", COMMON, 'if job.stop then call("HDEL", key, "reason") end'),
    Mutant("cancel a job of another type", CANCEL, 'call("TYPE", job).ok == "hash" and '),
    Mutant(
        "revive what cannot run",
        REVIVE,
        "if job.err or not (job[1] and job[2] and job[3]) then",
        "if job.err or not job[1] then",
    ),
    Mutant("enqueue behind a key of another type", ENQUEUE, 'if kind ~= "none" then aside(job) end'),
    Mutant("a full Redis refuses a beat", BEAT, 'call("ZREM", workers, worker)', "--"),
    Mutant(
        "a full Redis refuses a cancel", CANCEL, '  call("HDEL", job, "reason") -- a write that a full Redis allows\n'
    ),
    Mutant("a full Redis refuses a stop", CANCEL, '  call("HDEL", job, "reason")\n'),
    Mutant("a full Redis refuses a move", RESCHEDULE, 'call("ZREM", place("zset", "scheduled"), id)\n'),
    Mutant("four crashes are forgiven", JOBS, "DEADLY_CRASHES = 3", "DEADLY_CRASHES = 4"),
    Mutant(
        "an id is not looked at", JOBS, "self._call(verb, checked_id(job_id), *args)", "self._call(verb, job_id, *args)"
    ),
    Mutant(
        "the list to pause is not looked at",
        JOBS,
        "keys.paused(self.ns), checked_list(name))\n\n    def resume",
        "keys.paused(self.ns), name)\n\n    def resume",
    ),
    Mutant(
        "the list to resume is not looked at",
        JOBS,
        "checked_list(name))\n        self.ring",
        "name)\n        self.ring",
    ),
    Mutant("a namespace is not looked at", JOBS, "        checked_list(namespace)\n"),
    Mutant("a text is a call", JOBS, "if not (isinstance(call, tuple | list) and call):", "if not call:"),
    Mutant("a time without a zone", JOBS, "if when.utcoffset() is None:", "if False:"),
    Mutant("a time without bounds", JOBS, "if not -LONGEST < value < 2 * LONGEST:", "if False:"),
]

TTLS = [
    Mutant("ttl of what was put aside", COMMON, '  call("PEXPIRE", away, DEAD_TTL)\n'),
    Mutant("ttl of the stats", COMMON, 'call("PEXPIRE", stats, STATS_TTL)'),
    Mutant("ttl of the dead", COMMON, '  call("PEXPIRE", job_key(id), DEAD_TTL)\n'),
    Mutant("ttl of the cancelled", COMMON, '  call("PEXPIRE", job_key(id), CANCELLED_TTL)\n'),
    Mutant("ttl of the done", COMMON, '    call("PEXPIRE", key, ttl)\n'),
    Mutant("ttl of a cancelled id that is dropped", TAKE, 'call("PEXPIRE", job_key(id), CANCELLED_TTL)'),
    Mutant("ttl of a worker's card", BEAT, '  call("PEXPIRE", card, lease * 4)\n'),
    Mutant("ttl of a cancelled job that waits", CANCEL, '  call("PERSIST", job)'),
    Mutant("ttl of one revived", REVIVE, 'call("PERSIST", job_key(id))'),
    Mutant("the dead are never too old", COMMON, "if not (gone or old or", "if not (gone or"),
    Mutant("the dead are never too many", COMMON, ' or call("LLEN", dead) > DEAD_LIMIT) then', ") then"),
    Mutant("the hash of a trimmed one stays", COMMON, 'if not gone then call("DEL", job_key(oldest)) end'),
]

BELLS = [
    Mutant(
        "bell of what is pending",
        COMMON,
        "  ring(queue)\nend\n\nlocal function to_pending",
        "end\n\nlocal function to_pending",
    ),
    Mutant("bell of an earlier time", COMMON, ' or call("ZRANGE", scheduled, 0, 0)[1] == id then ring', " then ring"),
    Mutant("bell of any time", COMMON, "[1] == id then ring(queue) end", "then ring(queue) end"),
    Mutant("bell of what is due within a nap", COMMON, "if due <= now + NAP or call", "if call"),
    Mutant("bell of what a take leaves", TAKE, "if #jobs > 0 then ring(name) end"),
    Mutant("bell of what nobody took", TAKE, "if #jobs > 0 then ring(name) end", "ring(name)"),
    Mutant("bell of what is due soon", TAKE, 'if type(queue) == "string" then ring(queue) end'),
    Mutant(
        "bell of what is due soon, by who took nothing",
        TAKE,
        "if #jobs > 0 and wait <= NAP then",
        "if wait <= NAP then",
    ),
    Mutant("bell of what is due later", TAKE, "and wait <= NAP then", "then"),
    Mutant("bell of a list that goes on", JOBS, "        self.ring(name)\n"),
    Mutant("bell when due", TIME, '        self.jobs.ring(str(self.card["lists"]).split(",")[0])', "        pass"),
    Mutant(
        "bell heard by one who leaves",
        WORKER,
        "                        self.leading.ring(name)",
        "                        pass",
    ),
    Mutant("a second token", COMMON, 'if found ~= "list" then', "if true then"),
]

RETRIES = [
    Mutant(
        "no second try on a new connection",
        WIRE,
        "if not isinstance(error.__cause__, RedisConnectionError) or",
        "if True or",
    ),
    Mutant("a second try however late", WIRE, " or monotonic() - started > AT_ONCE:", ":"),
    Mutant("no EVAL after NOSCRIPT", WIRE, "except NoScriptError:", "except ZeroDivisionError:"),
    Mutant("a replica is asked for ever", WIRE, "if _of_a_replica(error):", "if False:"),
    Mutant("a passing refusal is an error", WIRE, " and not any(code in str(error) for code in PASSING)"),
    Mutant(
        "what redis-py raises goes through",
        WIRE,
        "except (RedisError, OSError) as error:",
        "except ZeroDivisionError as error:",
    ),
    Mutant(
        "a connection is not given back",
        WIRE,
        "            self._give_back(connection, broken)\n",
        "            pass\n",
    ),
    Mutant(
        "a connection that cannot send is not given back",
        WIRE,
        "            self._give_back(connection, broken=True)\n            raise",
        "            raise",
    ),
    Mutant(
        "a connection with an unread answer is used again",
        WIRE,
        "broken, refusal, limit = True,",
        "broken, refusal, limit = False,",
    ),
    Mutant("a connection of the parent is used by a fork", WIRE, "if connection.pid == os.getpid():", "if True:"),
    Mutant(
        "nobody settles for those who are stuck",
        TIME,
        "            self.hands.settle(self.jobs, monotonic() + self.limit)  # whoever",
        "            # whoever",
    ),
    Mutant("a replica is slept on for ever", WIRE, "broken = _of_a_replica(refusal)", "broken = False"),
    Mutant(
        "asking ahead when about to leave",
        WORKER,
        " and not self.stopping.is_set()\n        if wanted",
        "\n        if wanted",
    ),
    Mutant(
        "asking ahead with nobody to run it", WORKER, "if wanted and len(self.at_work) < self.threads:", "if wanted:"
    ),
    Mutant("asking ahead without end", WORKER, "wanted = self.more and not self.asked and", "wanted = self.more and"),
    Mutant("what cannot be told keeps the leader awake", WORKER, "and not self.hands.finished", "and not self.hands"),
    Mutant("endings are told without end", HANDS, "while monotonic() < until and (done", "while (done"),
    Mutant(
        "leaving tells without end", WORKER, "self.hands.settle(own, monotonic() + FAREWELL)", "self.hands.settle(own)"
    ),
    Mutant(
        "a pace for any name", WORKER, "        if run.task:\n            pace", "        if True:\n            pace"
    ),
    Mutant("a number too large for a time", RUN, "(ValueError, OverflowError)", "ValueError"),
    Mutant(
        "a tick that is left out",
        "periodic.py",
        "max((number + 1) * length",
        "max((time.time() // length + 1) * length",
    ),
    Mutant(
        "EVAL behind another answer", WIRE, "if self._last() is connection:  # the answer", "if False:  # the answer"
    ),
    Mutant(
        "given back with answers under way",
        WIRE,
        "if self._last() is connection:\n            return",
        "if False:\n            return",
    ),
    Mutant(
        "answers of a connection that broke",
        WIRE,
        "            self.under_way = {turn: its for turn, its in self.under_way.items() if its is not connection}\n",
    ),
    Mutant("an answer for whoever asks", WIRE, "if connection and not in_turn:", "if False:"),
    Mutant("an answer however late", WORKER, "if monotonic() - taken.sent > self.fresh:", "if False:"),
    Mutant("one take under way", WORKER, "            if ahead:\n", "            if False:\n"),
    Mutant("takes of all threads in one line", JOBS, "**options, alone=True)", "**options)"),
    Mutant(
        "an ending that cannot be told is kept",
        HANDS,
        "            self.let_go(runs)\n            raise",
        "            raise",
    ),
    Mutant("endings before the beat", TIME, "settle(self.jobs, monotonic() + self.limit)", "settle(self.jobs)"),
    Mutant("no more time for a sleep", WIRE, "first[-1] + connection.socket_timeout", "connection.socket_timeout"),
    Mutant("who cannot sleep spins", JOBS, "    if refusal and not jobs:", "    if False:"),
    Mutant(
        "the worker ends when Redis is away",
        WORKER,
        "                self.more = not self.asked  # what",
        "                raise SystemExit  # what",
    ),
    Mutant(
        "no pause while Redis is away", WORKER, "self.stopping.wait(backoff.reconnect(misses, random.random()))", "pass"
    ),
    Mutant(
        "not looking again after an outage", WORKER, "self.more = not self.asked  # what", "self.more = False  # what"
    ),
    Mutant(
        "what else was sent is not read first", WORKER, "self.more = not self.asked  # what", "self.more = True  # what"
    ),
    Mutant(
        "finished jobs that take could not tell",
        WORKER,
        "taken = answer()\n        except BaseException:\n            self.hands.put_back(done)",
        "taken = answer()\n        except BaseException:",
    ),
    Mutant(
        "finished jobs that take could not send",
        WORKER,
        "finished=told), done\n        except BaseException:\n            self.hands.put_back(done)",
        "finished=told), done\n        except BaseException:",
    ),
    Mutant("finished jobs that finish could not tell", HANDS, "                self.put_back(done)\n"),
    Mutant("other ends that could not be told", HANDS, "            self.others.appendleft((runs, verb, change))\n"),
    Mutant(
        "an error of one end stops the rest",
        HANDS,
        "except QueueError as error:\n            self.let_go",
        "except ZeroDivisionError as error:\n            self.let_go",
    ),
    Mutant(
        "an outage ends a thread that settles",
        WORKER,
        'except QueueError as error:\n                log.debug("keep what',
        'except ZeroDivisionError as error:\n                log.debug("keep what',
    ),
    Mutant(
        "in touch all through an outage", TIME, "            self.in_touch = None\n            log", "            log"
    ),
    Mutant(
        "a beat that failed waits for the next",
        TIME,
        "return backoff.reconnect(LATE, random.random())",
        "return self.beat * 3",
    ),
    Mutant(
        "an error ends the timekeeper",
        TIME,
        "except Exception as error:  # whatever",
        "except ZeroDivisionError as error:  # whatever",
    ),
    Mutant(
        "an error ends a thread",
        WORKER,
        "except BaseException:  # a fault of ours; what",
        "except ZeroDivisionError:  # a fault of ours; what",
    ),
    Mutant(
        "an outage keeps the worker from leaving",
        WORKER,
        'except QueueError as error:\n            why = f"without',
        'except ZeroDivisionError as error:\n            why = f"without',
    ),
    Mutant("leaving without giving back", WORKER, "            own.release(self.name, rest)\n"),
    Mutant(
        "what was asked ahead is left behind",
        WORKER,
        "while self.asked and len(locks) == 2:",
        "while False:",
    ),
]

MUTANTS = OWNERSHIP + REPEATS + CHECKS + TTLS + BELLS + RETRIES


def stale() -> list[str]:
    """Return what no longer fits the code."""
    counts = [(one, (ROOT / "queue" / one.file).read_text().count(one.old)) for one in MUTANTS]
    return [f"{one.file} has {count} times, not once: {one.old!r} ({one.name})" for one, count in counts if count != 1]


def copied(folder: Path) -> Path:
    """Copy the tree, without what is made from it; the environment is shared."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (tree / ".venv").symlink_to(ROOT / ".venv")
    return tree


def contract(tree: Path) -> list[str]:
    """Return the contract tests, the quick ones first."""
    files = sorted(
        (tree / "tests" / "jobs_contract").glob("test_*.py"), key=lambda path: (path.stem in LATE, path.stem)
    )
    return [str(path.relative_to(tree)) for path in files]


def caught_by(tree: Path, tests: Sequence[str]) -> str | None:
    """Return the first test that fails, or None."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    env = os.environ | {"MODEL_SHRINK": "no", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(words, cwd=tree, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no end within {SECONDS} s"
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    return found[1] if found else None if ended.returncode == 0 else f"pytest ends with {ended.returncode}"


def tried(mutant: Mutant, tree: Path, sets: Sequence[Sequence[str]]) -> str:
    """Break the copy, run the sets of tests until one notices, mend the copy. Returns what noticed."""
    path = tree / "queue" / mutant.file
    whole = path.read_text()
    path.write_text(whole.replace(mutant.old, mutant.new))
    try:
        return next((found for tests in sets if (found := caught_by(tree, tests))), "SURVIVED")
    finally:
        path.write_text(whole)


def main() -> None:
    """Try the mutants that the words choose, and say which test caught each."""
    parser = argparse.ArgumentParser(description="break the queue in one place at a time; which test notices?")
    parser.add_argument("words", nargs="*", help="only mutants with one of these in name or file")
    parser.add_argument("--tests", nargs="+", help="run these instead of tests/jobs_contract, then tests/faults")
    options = parser.parse_args()
    if stale():
        raise SystemExit("\n".join(stale()))
    chosen = [
        one for one in MUTANTS if not options.words or any(word in f"{one.file} {one.name}" for word in options.words)
    ]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copied(Path(folder))
        sets = [options.tests] if options.tests else [contract(tree), ["tests/faults"]]
        if broken := [found for tests in sets if (found := caught_by(tree, tests))]:
            raise SystemExit(f"not even the unbroken queue passes: {broken[0]}")
        for one in chosen:
            started = monotonic()
            found = tried(one, tree, sets)
            survived += found == "SURVIVED"
            print(f"{one.file:19} {one.name:50} {found} ({monotonic() - started:.0f} s)", flush=True)
    print(f"{len(chosen)} mutants, {survived} survived")


if __name__ == "__main__":
    main()
