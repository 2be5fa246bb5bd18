"""Who is measured, with which settings, and how each is installed in a place of its own. Apart from the adapters in
peers/, the only place that knows one queue from another."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ROOT

ADAPTERS = ROOT / "benchmarks" / "peers"
PLACES = ROOT / ".venv" / "peers"


@dataclass(frozen=True, slots=True)
class Entrant:
    """One queue in the table."""

    key: str
    name: str
    settings: str  # said below the table
    jobs: int = 20_000  # empty jobs of a round: for a few seconds
    busy: int = 10  # jobs at a time where they are empty: what was fastest here
    language: str = "Python"
    keeps_state: bool = True  # a job can be asked how it is while it waits
    own: bool = False  # lives in an environment of its own
    flags: str = ""  # for Ruby

    @property
    def adapter(self) -> str:
        """The name of its file in peers/."""
        return f"with_{self.key.split('-')[0]}"

    @property
    def place(self) -> Path:
        """Where it is installed."""
        return PLACES / self.key

    @property
    def command(self) -> list[str]:
        """How one side of it is started; `worker KIND` or `produce` follows."""
        if self.language == "JavaScript":
            return ["node", f"{self.adapter}.cjs"]
        if self.language == "Ruby":
            return ["ruby", f"{self.adapter}.rb"]
        python = str(self.place / "bin" / "python") if self.own else sys.executable
        return [python, "start.py", self.adapter]

    @property
    def environment(self) -> dict[str, str]:
        """What it needs to find its own modules, and nobody else's: our `queue` is on nobody's path but ours."""
        apart = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RUBY", "NODE_"))}
        if self.key == "ours":
            apart["PYTHONPATH"] = str(ROOT)
        return apart | {"NODE_PATH": str(self.place / "node_modules"), "RUBYOPT": self.flags, "NODE_ENV": "production"}


FLOOR = Entrant("floor", "bare redis-py", "EVALSHA of `return 1`; LPUSH in one process, BRPOP in another")
OURS = Entrant("ours", "this queue", "all defaults: 10 threads, results and states kept for an hour", 100_000)
PEERS = [
    Entrant(
        "rq",
        "RQ",
        "SimpleWorker (no fork for each job); scheduler on; ten jobs at a time are ten processes",
        4_000,
        1,
        own=True,
    ),
    Entrant(
        "celery",
        "Celery",
        "no results, no gossip, mingle or heartbeat; solo pool and prefetch 64, 10 threads for the 100 ms jobs",
        6_000,
        1,
        own=True,
        keeps_state=False,
    ),
    Entrant("dramatiq", "Dramatiq", "one process; its prefetch raised to 1,000 for empty jobs", 40_000, 16, own=True),
    Entrant("huey", "Huey", "thread workers, blocking pop", busy=4, own=True, keeps_state=False),
    Entrant(
        "arq",
        "arq",
        "uvloop, no results, looks every 10 ms (by default every 0.5 s: 20 jobs a second)",
        10_000,
        100,
        own=True,
    ),
    Entrant("saq", "SAQ", "uvloop, its schedule timer of 1 s", 10_000, 50, own=True),
    Entrant(
        "taskiq",
        "taskiq",
        "ListQueueBroker, uvloop, orjson, one worker process; a scheduler process that looks each second",
        busy=100,
        own=True,
        keeps_state=False,
    ),
    Entrant("streaq", "streaQ", "uvloop", 5_000, 16, own=True),
    Entrant("bullmq", "BullMQ", "ioredis, jobs removed when complete", 80_000, 200, "JavaScript", own=True),
    Entrant(
        "sidekiq",
        "Sidekiq",
        "its poll of scheduled jobs (5 s on average)",
        40_000,
        5,
        "Ruby",
        keeps_state=False,
    ),
    Entrant(
        "sidekiq-yjit",
        "Sidekiq, YJIT",
        "the same with the compiler that Ruby 3.1 calls experimental",
        40_000,
        5,
        "Ruby",
        keeps_state=False,
        flags="--yjit --yjit-exec-mem-size=32",
    ),
]


class LeftOut(Exception):
    """This one cannot be measured here; the message says why."""


def install(entrant: Entrant) -> None:
    """Put it where `command` finds it, unless it is there. Raises LeftOut."""
    try:
        if entrant.language == "Ruby":
            _debian("ruby-sidekiq", ["ruby", "-rsidekiq", "-e", ""])
        elif entrant.language == "JavaScript":
            _npm(entrant)
        elif entrant.own:
            _pip(entrant)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines() or ["it said nothing"]
        raise LeftOut(f"{' '.join(map(str, error.cmd[:4]))} failed: {said[-1][:200]}") from None


def versions(entrant: Entrant) -> str:
    """Return the versions that matter, as installed."""
    if entrant.language == "Ruby":
        script = 'puts "sidekiq #{Sidekiq::VERSION}, redis #{Redis::VERSION}, Ruby #{RUBY_VERSION}"'
        return _run("ruby", "-rsidekiq", "-e", script).strip()
    if entrant.language == "JavaScript":
        script = 'for (const n of ["bullmq", "ioredis"]) console.log(n, require(n + "/package.json").version)'
        found = _run("node", "-e", script, environment=entrant.environment).split("\n")
        return ", ".join([*filter(None, found), f"Node {_run('node', '--version').strip()}"])
    wanted = {entrant.key, "taskiq-redis", "redis", "coredis", "hiredis", "uvloop"}
    listed = _run(entrant.command[0], "-m", "pip", "--disable-pip-version-check", "freeze").split()
    pins = dict(pin.split("==") for pin in listed if "==" in pin)
    return ", ".join(f"{name} {version}" for name, version in pins.items() if name in wanted)


def _pip(entrant: Entrant) -> None:
    wanted = (ADAPTERS / f"{entrant.key}.txt").read_text()
    installed = entrant.place / "installed.txt"  # written last: what was interrupted is made again
    if installed.exists() and installed.read_text() == wanted:
        return
    print(f"installing {entrant.name} in {entrant.place.relative_to(ROOT)} (once)", flush=True)
    _run(sys.executable, "-m", "venv", "--clear", entrant.place)
    pip = [str(entrant.place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    _run(*pip, "-r", ADAPTERS / f"{entrant.key}.txt")
    installed.write_text(wanted)


def _npm(entrant: Entrant) -> None:
    if not shutil.which("node"):
        raise LeftOut("there is no node on the PATH")
    wanted = (ADAPTERS / f"{entrant.key}.json").read_text()
    installed = entrant.place / "installed.json"
    if installed.exists() and installed.read_text() == wanted:
        return
    _debian("npm", ["npm", "--version"])
    print(f"installing {entrant.name} in {entrant.place.relative_to(ROOT)} (once)", flush=True)
    entrant.place.mkdir(parents=True, exist_ok=True)
    (entrant.place / "package.json").write_text(wanted)
    _run("npm", "install", "--prefix", entrant.place, "--no-audit", "--no-fund", "--loglevel", "error")
    installed.write_text(wanted)


def _debian(package: str, check: list[str]) -> None:
    """Install a package of Debian if the check fails. Raises LeftOut where that is not for us to do."""
    if shutil.which(check[0]) and subprocess.run(check, capture_output=True).returncode == 0:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LeftOut(f"it needs Debian's package {package}, which only root can install: apt-get install {package}")
    print(f"installing Debian's {package} (once)", flush=True)
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    _run("apt-get", "update", "-qq", environment=quiet)
    _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package, environment=quiet)


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
