"""`make run` from outside: what it starts, what it says, that it leaves nothing behind. On copies of this folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, die_with_parent, free_port, wait_until

SERVES = """
import http.server, os, signal, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("bye")))
port = int(sys.argv[sys.argv.index("--port") + 1]) if "--port" in sys.argv else int(os.environ["PORT"])
http.server.HTTPServer(("127.0.0.1", port), Page).serve_forever()
"""
WORKS = """
import os, signal, socket, sys
from urllib.parse import urlsplit
def leave(*_):
    with socket.create_connection(("127.0.0.1", urlsplit(os.environ["REDIS_URL"]).port)) as redis:
        redis.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
        sys.exit(print("on leaving, Redis says", redis.recv(9)))
signal.signal(signal.SIGTERM, leave)
print("working", flush=True)
while True: signal.pause()
"""
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("working", flush=True)
while True: signal.pause()
"""
READY = "stop      Ctrl-C"

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks in /proc for what is left (Linux)")


class Run:
    """One `python local.py` in a folder of its own."""

    def __init__(self, folder: Path, port: int, **environ: str) -> None:
        self.folder, self.port, self.log = folder, port, folder / f"output-{port}"
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        self.environ = clean | {"PORT": str(port)} | environ
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "local.py"],
                cwd=folder,
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def said(self) -> str:
        """All output so far."""
        return self.log.read_text()

    def until(self, text: str) -> str:
        """Wait until it says this; returns all output so far."""
        wait_until(lambda: text in self.said() or self.process.poll() is not None, 60, text)
        assert text in self.said()
        return self.said()

    def ends(self) -> int:
        """Wait for its end; returns the exit code."""
        return self.process.wait(40)

    def interrupt(self) -> None:
        """What Ctrl-C does: the signal goes to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def parts(self) -> dict[int, str]:
        """Pid and command of every process of this run but the first, found by the folder that it works in."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").resolve(strict=True).is_relative_to(self.folder) and entry.name != str(
                    self.process.pid
                ):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found


Start = Callable[..., Run]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """This folder without what a run leaves in it."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks", "docs")
    return Path(shutil.copytree(ROOT, tmp_path / "a copy", ignore=left_out))


@pytest.fixture
def stand_ins(copy: Path) -> Path:
    """The folder with small programs in place of the real ones: these tests are about starting and stopping."""
    (copy / "web.py").write_text(SERVES)
    (copy / "sandbox" / "__main__.py").write_text(SERVES)
    (copy / "worker.py").write_text(WORKS)
    return copy


@pytest.fixture
def start() -> Iterator[Start]:
    """Start runs that end with the test."""
    runs: list[Run] = []

    def one(folder: Path, port: int | None = None, **environ: str) -> Run:
        runs.append(Run(folder, port or free_port(), **environ))
        return runs[-1]

    yield one
    for run in runs:
        for pid in run.parts():
            os.kill(pid, signal.SIGKILL)
        run.process.kill()
        run.process.wait()


def get(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def test_one_command_serves_the_page_and_the_local_x_and_ctrl_c_ends_it(copy: Path, start: Start) -> None:
    """The real parts: the printed addresses answer, and after Ctrl-C no process is left and the exit code is 0."""
    run = start(copy)
    said = run.until(READY)
    sandbox = next(word.rstrip(":") for word in said.split() if word.startswith("http") and str(run.port) not in word)

    assert get(f"http://127.0.0.1:{run.port}/livez")[0] == 200
    assert get(f"http://127.0.0.1:{run.port}/")[0] == 200
    assert get(sandbox)[0] == 200
    assert "Traceback" not in said
    assert (copy / ".data" / "env").stat().st_mode & 0o777 == 0o600
    assert len(run.parts()) == 4

    run.interrupt()
    assert run.ends() == 0
    assert run.parts() == {}
    assert "Traceback" not in run.said()


def test_the_console_has_everything_connected(copy: Path, start: Start) -> None:
    """`make console` beside `make run`: a person is made, tweets, and the worker sees it."""
    run = start(copy)
    run.until(READY)
    lines = (
        'User.sign_in("1", "ada", "token", "secret")\nprint("state:", User.get_by_id(1).tweet("Hello, world!").state)\n'
    )
    command = [sys.executable, "local.py", "console"]
    done = subprocess.run(command, cwd=copy, input=lines, capture_output=True, text=True, timeout=60, check=True)
    assert "state: queued" in done.stdout, done


def test_the_worker_leaves_while_redis_still_answers(stand_ins: Path, start: Start) -> None:
    """Parts stop in order: a worker that gives its jobs back needs Redis for it."""
    run = start(stand_ins)
    run.until(READY)
    run.interrupt()
    assert run.ends() == 0
    assert "worker  | on leaving, Redis says b'+PONG" in run.said()
    assert run.parts() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_like_ctrl_c(stand_ins: Path, start: Start, number: int) -> None:
    """SIGTERM, and a terminal that closes, end every part too."""
    run = start(stand_ins)
    run.until(READY)
    run.process.send_signal(number)
    assert run.ends() == 0
    assert run.parts() == {}


def test_a_second_ctrl_c_does_not_wait(stand_ins: Path, start: Start) -> None:
    """A worker that does not leave is killed when Ctrl-C comes again."""
    (stand_ins / "worker.py").write_text(DEAF)
    run = start(stand_ins)
    run.until(READY)
    run.until("working")
    run.interrupt()
    run.until("stopping")
    run.interrupt()
    assert run.process.wait(15) == 0  # it would be given 28 s
    assert run.parts() == {}


def test_killed_with_9_its_parts_end_too(stand_ins: Path, start: Start) -> None:
    """Nothing goes on in the background when the one process that would stop it is gone."""
    run = start(stand_ins)
    run.until(READY)
    run.process.kill()
    wait_until(lambda: not run.parts(), 20, "parts to end")


@pytest.mark.parametrize("part", ["web.py", "worker.py", "sandbox/__main__.py"])
def test_a_part_that_fails_stops_all_with_its_reason(stand_ins: Path, start: Start, part: str) -> None:
    """Half of it running would look like a fault of the other half."""
    (stand_ins / part).write_text("raise SystemExit('the cable is out')")
    run = start(stand_ins)
    name = part.removesuffix("/__main__.py").removesuffix(".py")
    assert run.ends() == 1
    assert run.said().splitlines()[-1] == f"make run: {name} ended with exit code 1: the cable is out"
    assert run.parts() == {}


def test_redis_that_cannot_start_says_why(stand_ins: Path, start: Start) -> None:
    """Its own last words are the reason, although its output is not shown otherwise."""
    broken = stand_ins / ".data" / "redis" / "appendonlydir"
    broken.mkdir(parents=True)
    (broken / "appendonly.aof.manifest").write_text("junk\n")
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH")
    run = start(stand_ins)
    assert run.ends() == 1
    assert "redis ended with exit code 1: " in run.said()
    assert "AOF" in run.said()


def test_without_redis_server_it_runs_on_fakeredis_and_says_so(stand_ins: Path, start: Start) -> None:
    """A machine with nothing but Python is enough."""
    run = start(stand_ins, PATH="/nowhere")
    assert "no redis-server on PATH; jobs are forgotten at the end" in run.until(READY)
    run.interrupt()
    assert run.ends() == 0
    assert "on leaving, Redis says b'+PONG" in run.said()
    assert run.parts() == {}


def test_a_port_in_use_is_named_with_the_way_out(stand_ins: Path, start: Start) -> None:
    """One line, and nothing was started."""
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        run = start(stand_ins, port)
        assert run.ends() == 1
    assert run.said() == f"make run: port {port} is in use by another program; try another one: PORT=8010 make run\n"


def test_a_second_one_in_the_same_folder_is_refused(stand_ins: Path, start: Start) -> None:
    """Two would write the same Redis file; the line says where the first one is."""
    first = start(stand_ins)
    first.until(READY)
    second = start(stand_ins)
    assert second.ends() == 1
    assert second.said() == f"make run: it runs in this folder already: http://127.0.0.1:{first.port}\n"


def test_what_the_environment_names_is_used_and_not_started(stand_ins: Path, start: Start) -> None:
    """A Redis and an X of one's own; passwords are neither shown nor written to the disk."""
    x = {"X_CONSUMER_KEY": "my-key", "X_CONSUMER_SECRET": "my-secret"}
    run = start(
        stand_ins, REDIS_URL="redis://me:hidden@127.0.0.1:1/0", DATABASE_URL="postgres://me:hidden@db/tweets", **x
    )
    said = run.until(READY)
    assert sorted(line.split()[-1] for line in run.parts().values()) == ["web.py", "worker.py"]
    assert "127.0.0.1:1/0" in said
    assert "https://api.x.com" in said
    env = (stand_ins / ".data" / "env").read_text()
    assert not [word for word in ("hidden", "my-secret", "my-key") if word in said + env]


def test_the_keys_to_stored_tokens_outlive_a_run(stand_ins: Path, start: Start) -> None:
    """New ones would make every stored X token unreadable."""
    (stand_ins / ".data").mkdir()
    (stand_ins / ".data" / "env").write_text("REDIS_URL=redis://gone:1/0\nSESSION_SECRET=s=\nTOKEN_KEYS=k=\n")
    start(stand_ins).until(READY)
    env = (stand_ins / ".data" / "env").read_text().splitlines()
    assert {"SESSION_SECRET=s=", "TOKEN_KEYS=k="} <= set(env)
    assert "REDIS_URL=redis://gone:1/0" not in env


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"ENV": "production"}, "ENV is production: this is for development"),
        ({"PORT": "eighty"}, "PORT is 'eighty'; it has to be a number from 1 to 65535"),
        ({"PORT": "65536"}, "PORT is '65536'; it has to be a number from 1 to 65535"),
    ],
)
def test_a_wrong_setting_is_one_line(stand_ins: Path, start: Start, environ: dict[str, str], line: str) -> None:
    """It names the value and what it has to be; nothing was started."""
    run = start(stand_ins, **environ)
    assert run.ends() == 1
    assert run.said().startswith(f"make run: {line}")
    assert len(run.said().splitlines()) == 1
