"""`make run`: the whole of Tweet Now on this machine with nothing set up. For development: production has the Procfile.

Starts web and worker, and beside them what the environment does not name: Redis, the sandbox. processes.py runs them.
`python local.py console` is a prompt on the same data, `python local.py fake-redis PORT` a Redis made of Python.
"""

import os
import queue
import sys

if not hasattr(queue, "__path__"):  # the standard library's came first: lend it our names
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    queue.__path__ = [os.path.join(sys.path[0], "queue")]
    import queue._names

import code
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import Part, Problem, Processes, Stop, free_port, is_free, pings, say, serves
from settings import X_ITSELF, load, without_password

ROOT = Path(__file__).resolve().parent
DATA = ROOT / ".data"
PYTHON = sys.executable
START_WITHIN = 60.0
KEPT = ("SESSION_SECRET", "TOKEN_KEYS")  # settings.py made them: new ones would make the stored X tokens unreadable


@dataclass(slots=True)
class Plan:
    """What is started, what is added to the environment, and what is said about it."""

    port: int
    values: dict[str, str]
    servers: list[Part] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)


def main(environ: Mapping[str, str]) -> int:
    """Run until Ctrl-C (0), or until something is wrong (1, with one line that says what)."""
    try:
        with only_one():
            plan = make_plan(environ)
            write_env(plan.values)
            run(plan, Processes(ROOT, dict(environ) | plan.values))
    except Problem as problem:
        print(f"make run: {problem}", file=sys.stderr)
        return 1
    return 0


def run(plan: Plan, processes: Processes) -> None:
    """Servers first and worker last: they stop the other way round, and a job that ends needs Redis and X."""
    web = Part("web", [PYTHON, "web.py"], lambda: serves(plan.port, "/livez"))
    worker = Part("worker", [PYTHON, "worker.py"], lambda: True, stops_within=28)  # it leaves within 25 s itself
    try:
        for part in [*plan.servers, web, worker]:
            processes.start(part)
            if part.name == "redis":  # the rest would start too, but with complaints
                processes.until(part.ready, START_WITHIN, part.name)
        for part in [*plan.servers, web]:
            processes.until(part.ready, START_WITHIN, part.name)
        say("\n".join(["", *(f"  {name:10}{text}" for name, text in plan.said.items()), ""]))
        processes.until(lambda: False)
    except Stop:
        say("stopping: a job that runs may take up to 25 s; Ctrl-C again does not wait")
    finally:
        processes.stop()


def make_plan(environ: Mapping[str, str]) -> Plan:
    """Decide from the environment: what is named there is used, and not started."""
    if environ.get("ENV") not in (None, "", "development"):
        raise Problem(f"ENV is {environ['ENV']}: this is for development; production starts the lines of the Procfile")
    port = web_port(environ.get("PORT") or "8000")
    plan = Plan(port, {"PORT": str(port), "PUBLIC_URL": f"http://127.0.0.1:{port}"})
    plan.said["Tweet Now"] = environ.get("PUBLIC_URL") or plan.values["PUBLIC_URL"]
    plan_redis(plan, environ)
    plan.said["database"] = without_password(environ.get("DATABASE_URL") or "SQLite, .data/tweetnow.db")
    plan_x(plan, environ)
    plan.said["stop"] = "Ctrl-C"
    plan.values = {name: value for name, value in plan.values.items() if not environ.get(name)}
    return plan


def web_port(text: str) -> int:
    """The port as a number. Refused when it is none, or in use: another one would not be where people look."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise Problem(f"PORT is {text!r}; it has to be a number from 1 to 65535")
    if not is_free(int(text)):
        raise Problem(f"port {text} is in use by another program; try another one: PORT=8010 make run")
    return int(text)


def plan_redis(plan: Plan, environ: Mapping[str, str]) -> None:
    """The one that is named; else redis-server with its data kept; else fakeredis, which forgets."""
    if environ.get("REDIS_URL"):
        plan.said["Redis"] = without_password(environ["REDIS_URL"])
        return
    port, binary = free_port(6390), shutil.which("redis-server")
    plan.values["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    if binary:
        command = [binary, *redis_options(port)]
        plan.said["Redis"] = f"redis-server from PATH on port {port}, data in .data/redis"
    else:
        command = [PYTHON, "local.py", "fake-redis", str(port)]
        plan.said["Redis"] = f"fakeredis on port {port}: no redis-server on PATH; jobs are forgotten at the end"
    plan.servers.append(Part("redis", command, lambda: pings(port), quiet=True))


def redis_options(port: int) -> list[str]:
    """Loses at most a second of writes when the machine stops, nothing when Redis does."""
    folder = DATA / "redis"
    folder.mkdir(exist_ok=True)
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "save": ""}
    options |= {"appendonly": "yes", "appendfsync": "everysec", "loglevel": "warning"}
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def plan_x(plan: Plan, environ: Mapping[str, str]) -> None:
    """X itself when its keys are there, else the sandbox."""
    if environ.get("X_CONSUMER_KEY") or environ.get("X_API_URL"):
        plan.values["X_API_URL"] = X_ITSELF
        plan.said["X"] = environ.get("X_API_URL") or plan.values["X_API_URL"]
        return
    own = free_port(plan.port + 1)
    address = f"http://127.0.0.1:{own}"
    plan.values |= {"X_API_URL": address, "X_SITE_URL": address}
    plan.values |= {"X_CONSUMER_KEY": "sandbox-consumer-key", "X_CONSUMER_SECRET": "sandbox-consumer-secret"}
    callback = f"{plan.said['Tweet Now'].rstrip('/')}/oauth/callback"
    options = ["--port", str(own), "--callback", callback, "--data", str(DATA / "sandbox")]
    plan.servers.append(Part("sandbox", [PYTHON, "-m", "sandbox", *options], lambda: serves(own, "/")))
    plan.said["X"] = f"the sandbox, {address}: a timeline of its own, no real account"


def read_env() -> dict[str, str]:
    """What the last run wrote."""
    try:
        lines = (DATA / "env").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def write_env(values: Mapping[str, str]) -> None:
    """For settings.py. What was set by hand is not written: a real secret does not end up on the disk."""
    kept = {name: value for name, value in read_env().items() if name in KEPT}
    lines = ["# Written by make run. The environment wins over it. It holds the key to the stored X tokens."]
    lines += [f"{name}={value}" for name, value in (kept | dict(values)).items()]
    new = DATA / "env.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join(lines) + "\n")
    new.replace(DATA / "env")


@contextmanager
def only_one() -> Iterator[None]:
    """Two in one folder would write the same Redis file."""
    DATA.mkdir(mode=0o700, exist_ok=True)
    with (DATA / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(f"it runs in this folder already: {read_env().get('PUBLIC_URL')}") from None
        yield


def console() -> None:
    """A prompt with everything connected: User.get_by_id(1).tweet("Hello, world!")."""
    import models

    settings = load()
    models.connect(settings)
    models.create_tables()
    queue.connect(settings.redis_url, namespace=settings.queue_namespace, **settings.redis_options)
    names = {"settings": settings, "models": models, "queue": queue, "User": models.User, "Tweet": models.Tweet}
    with models.database.connection_context():
        code.interact(f"Tweet Now: {', '.join(names)}", local=names, exitmsg="")


def serve_fake_redis(port: int) -> None:
    """A Redis without Redis: everything is in this process and goes with it."""
    import fakeredis._clients._tcp_server as tcp
    from redis.exceptions import ResponseError

    class Handler(tcp.TCPFakeRequestHandler):
        """Answers with an error where the original also hangs up: NOSCRIPT, say, is part of a conversation."""

        def setup(self) -> None:
            super().setup()
            read = self.current_client.read_response

            def answer() -> Any:
                try:
                    return read()
                except ResponseError as error:
                    return error

            self.current_client.read_response = answer  # type: ignore[assignment, method-assign]  # of this one

    tcp.TCPFakeRequestHandler.disable_nagle_algorithm = True  # else a pipeline waits 40 ms for an acknowledgement
    server = tcp.TcpFakeServer(("127.0.0.1", port))
    server.RequestHandlerClass = Handler
    server.daemon_threads = True  # else open connections hold the process at its end
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["fake-redis"]:
        serve_fake_redis(int(sys.argv[2]))
    elif sys.argv[1:] == ["console"]:
        console()
    else:
        sys.exit(main(os.environ))
