"""The queue from a terminal: `python -m queue COMMAND`. The one place in this folder that reads the environment."""

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from redis.exceptions import RedisError

from . import report
from .errors import BadOption, QueueError
from .jobs import JobQueue, connect
from .run import headline
from .worker import Worker

Action = Callable[[JobQueue, argparse.Namespace], None]
DEFAULT = "redis://127.0.0.1:6379/0", "queue"  # address and namespace


def stats(jobs: JobQueue, _: argparse.Namespace) -> None:
    """Print what waits, runs, is due and is dead."""
    view = report.overview(jobs)
    for name in sorted({*view.pending, *view.paused}):
        age = f", the oldest for {_span(view.now - view.oldest[name])}" if name in view.oldest else ""
        print(f"pending:{name}  {view.pending.get(name, 0)}{age}{'  (paused)' if name in view.paused else ''}")
    due = f", the next {_due(view.next_due - view.now)}" if view.next_due is not None else ""
    print(f"scheduled  {view.scheduled}{due}\nrunning  {view.running}\ndead  {view.dead}\nworkers  {view.workers}")
    if aside := report.moved_aside(jobs):
        print(f"moved aside  {len(aside)}: not what belongs there, like {aside[-1]}")
    hour = dict(view.last_hour)
    waited = hour.pop("waited", 0) / max(hour.get("taken", 0), 1)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(hour.items()))
    print(f"last hour  {f'{counts}; waited {_span(waited)} on average' if counts else 'nothing'}")


def show(jobs: JobQueue, given: argparse.Namespace) -> None:
    """Print all that is known about a job."""
    job = jobs.status(given.id)
    if job is None:
        raise QueueError(f"no job {given.id!r}: never enqueued, or finished and forgotten")
    for name, value in asdict(job).items():
        if value is not None:
            shown = value if isinstance(value, str) else _time(value) if name.endswith("_at") else json.dumps(value)
            print(f"{name:<12} {shown}")


def dead(jobs: JobQueue, given: argparse.Namespace) -> None:
    """Print the newest dead jobs with their reasons."""
    for job in report.dead(jobs, given.most):
        print(f"{job.id}  {_time(job.finished_at or 0)}  {job.task or '?'}  {job.reason}: {_last_line(job.error)}")


def workers(jobs: JobQueue, _: argparse.Namespace) -> None:
    """Print the workers and whether they live."""
    for worker in report.workers(jobs):
        fields = (name for name in ("host", "pid", "version", "lists", "threads", "busy") if name in worker)
        says = " ".join(f"{name}={worker[name]}" for name in fields)
        left = worker["lease_ms"]
        print(f"{worker['name']}  {says}  {'lease for' if left > 0 else 'LEASE OVER since'} {_span(abs(left))}")


def act(jobs: JobQueue, given: argparse.Namespace) -> None:
    """Revive, discard or cancel a job, pause or resume a list, and print what came of it."""
    answer = getattr(jobs, given.command)(given.id)
    print(answer or f"{given.command}d {given.id}")
    if answer in {"too late", "unknown"}:
        sys.exit(1)


def work(_: JobQueue, given: argparse.Namespace) -> None:
    """Run the tasks of a module until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.path.insert(0, os.getcwd())
    if not all(part.isidentifier() for part in given.module.split(".")) or given.module.endswith(".py"):
        raise QueueError(f"{given.module!r} is no module: run this in the folder that has it, without .py")
    try:
        importlib.import_module(given.module)
    except ModuleNotFoundError as error:
        if error.name == given.module:
            raise QueueError(f"no module {error.name!r}: run this in the folder that has it") from None
        raise QueueError(f"{given.module} imports {error.name!r}, which is not installed") from None
    if (given.redis, given.namespace) != DEFAULT:  # else the module's own `connect` says where
        connect(given.redis, given.namespace)
    worker = Worker(given.queues.split(","), given.threads)
    if not worker.tasks.tasks:
        raise QueueError(f"{given.module} has no task: decorate a function of it with @{__package__}.task")
    worker.run()


def parser() -> argparse.ArgumentParser:
    """Return what the command line may say."""
    top = argparse.ArgumentParser(prog=f"python -m {__package__}", description="Look at a queue and act on it.")
    url, name = os.environ.get("REDIS_URL", DEFAULT[0]), os.environ.get("QUEUE_NAMESPACE", DEFAULT[1])
    top.add_argument("--redis", default=url, metavar="URL", help=f"default: REDIS_URL, else {DEFAULT[0]}")
    top.add_argument("--namespace", default=name, metavar="NAME", help="default: QUEUE_NAMESPACE, else queue")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, does: Action, text: str, *names: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text)
        sub.set_defaults(does=does)
        for argument in names:
            sub.add_argument(argument.lower(), metavar=argument)
        return sub

    command("stats", stats, "what waits, runs, is due and is dead")
    command("show", show, "all that is known about a job", "ID")
    command("dead", dead, "the newest dead jobs").add_argument("--most", type=_count, default=50, metavar="N")
    command("revive", act, "make a dead job pending again", "ID")
    command("discard", act, "forget a dead job", "ID")
    command("cancel", act, "cancel a job, or ask a running one to stop", "ID")
    command("pause", act, "stop taking from a list").add_argument("id", metavar="LIST")
    command("resume", act, "take from it again").add_argument("id", metavar="LIST")
    command("workers", workers, "who works, and who is gone")
    run = command("work", work, "run the tasks of a module", "MODULE")
    run.add_argument("--threads", type=_count, default=10, metavar="N", help="jobs at a time, default 10")
    run.add_argument("--queues", default="default", metavar="A,B", help="lists, most urgent first")
    return top


def main(argv: list[str] | None = None) -> None:
    """Do what the command line says. An error is one line and exit code 1."""
    given = parser().parse_args(argv)
    try:
        given.does(connect(given.redis, given.namespace), given)
    except (QueueError, RedisError, ValueError) as error:
        where = "" if isinstance(error, BadOption) else f" ({given.redis.split('@')[-1]})"
        sys.exit(f"{given.command}: {error}{where}")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"invalid number: {text!r}, give a whole one from 1")
    return int(text)


def _time(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # written by hand
        return f"{ms:.0e} ms"


def _span(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if ms < 120_000 else f"{ms / 60_000:.0f} min"


def _due(ms: float) -> str:
    return f"in {_span(ms)}" if ms > 0 else f"due for {_span(-ms)}"


def _last_line(error: str | None) -> str:
    return headline(error or "")[:200]


if __name__ == "__main__":
    main()
