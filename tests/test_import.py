"""`import queue` on every Python at hand: the standard module is all there, ours besides, however a program is started.

Each start is a process in a copy of the folder, with a small program that begins with the same lines as ours.
"""

import ast
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import _names, face
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = sysconfig.get_path("purelib")
TIME_LIMIT = 100.0
PACKAGES = "redis, uvicorn, pytest, xdist, debugpy"


# The Pythons.


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter. Others than ours borrow our packages; what we start is pure Python, but for pytest plug-ins."""

    path: str
    version: str = ""
    has_tests: bool = False
    borrows: str = ""
    lacks: str = ""

    def __str__(self) -> str:
        return self.version

    def environ(self, *folders: Path | str) -> dict[str, str]:
        """Return our environment with these folders and the borrowed packages first on its path."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
        path = os.pathsep.join(str(folder) for folder in (*folders, self.borrows) if folder)
        plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"} if self.borrows else {}
        return clean | plugins | ({"PYTHONPATH": path} if path else {})

    def run(self, *argv: str, cwd: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        command = [self.path, *argv]
        environ = self.environ() if environ is None else environ
        return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=TIME_LIMIT)

    def answer(self, code: str, cwd: Path, environ: dict[str, str] | None = None) -> Any:
        """Run code and return what it printed as JSON."""
        done = self.run("-c", code, cwd=cwd, environ=environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


LOOK = """
import sys
assert sys.version_info >= (3, 11)
from importlib.util import find_spec
print("%d.%d" % sys.version_info[:2], bool(find_spec("test") and find_spec("test.test_queue")))
"""


def _look(path: str, borrows: str) -> Python | None:
    """What the interpreter at a path is good for; None if it is too old or does not start."""
    python = Python(path, borrows=borrows)
    try:
        seen = python.run("-c", LOOK, cwd=Path("/"))
        packages = python.run("-c", f"import {PACKAGES}", cwd=Path("/")) if seen.returncode == 0 else seen
    except (OSError, subprocess.TimeoutExpired):
        return None
    if seen.returncode != 0:
        return None
    version, has_tests = seen.stdout.split()
    lacks = packages.stderr.strip().splitlines()[-1] if packages.returncode else ""
    return replace(python, version=version, has_tests=has_tests == "True", lacks=lacks)


def _paths() -> Iterator[str]:
    """Where interpreters may lie: pyenv's, those on PATH, the system's."""
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip()
        yield from sorted(map(str, Path(root).glob("versions/3.1[1-9]*/bin/python")), reverse=True)
    yield from (found for minor in range(11, 20) if (found := shutil.which(f"python3.{minor}")))
    yield from sorted(map(str, Path("/usr/bin").glob("python3.1[1-9]")))


def _pythons() -> list[Python]:
    """This interpreter, and of every other version on this machine the one that can run the most of what follows."""
    mine = _look(sys.executable, "")
    assert mine
    found = {mine.version: mine}
    for path in dict.fromkeys(_paths()):
        python = _look(path, SITE)
        known = python and found.get(python.version)
        if python and (known is None or (known is not mine and _uses(python) > _uses(known))):
            found[python.version] = python
    return list(found.values())


def _uses(python: Python) -> tuple[bool, bool]:
    return not python.lacks, python.has_tests


PYTHONS = _pythons()
each_python = pytest.mark.parametrize("python", PYTHONS, ids=str)


# The copy of the folder that they run in.

PROBE = '''
import asyncio
from queue import Empty, JobQueue, enqueue, new_id


def check():
    """Both halves of the module work, and everybody has the same one."""
    import concurrent.futures.thread, logging.handlers, redis.connection
    try:
        queue.Queue().get_nowait()
    except Empty:
        pass
    assert queue.SimpleQueue().empty() and queue.Empty is Empty
    assert logging.handlers.queue is concurrent.futures.thread.queue is queue is sys.modules["queue"]
    assert redis.connection.LifoQueue is queue.LifoQueue and redis.connection.Full is queue.Full
    assert queue.JobQueue is JobQueue and queue.enqueue is enqueue and queue.new_id() != new_id()
    assert issubclass(queue.Unavailable, queue.QueueError) and queue.Worker
    print("probe ok", flush=True)


async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await asyncio.get_running_loop().run_in_executor(None, check)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    check()
'''

PROBE_TEST = """
import unittest
import queue
from queue import Empty, JobQueue, new_id


class Probe(unittest.TestCase):
    def test_probe(self):
        import web
        web.check()
        self.assertIs(web.queue, queue)
        self.assertTrue(queue.JobQueue is JobQueue and new_id())
"""

# What the standard library and redis do with the module, in the ways that once broke.
USERS = """
import concurrent.futures, logging, logging.handlers, multiprocessing, pickle
import redis


def child(parcels):
    try:
        parcels.put((queue.Full, queue.new_id()))
        multiprocessing.Queue().get(timeout=0.01)
    except queue.Empty:
        parcels.put("empty")


def processes():
    for way in ("spawn", "fork", "forkserver"):
        context = multiprocessing.get_context(way)
        parcels = context.Queue()
        process = context.Process(target=child, args=(parcels,))
        process.start()
        kind, job_id = parcels.get(timeout=60)
        assert kind is queue.Full and job_id and parcels.get(timeout=60) == "empty"
        process.join()


def pools():
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(queue.new_id).result()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(len, ["a", "bb"])) == [1, 2]


def logs():
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    lane = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(lane, handler)
    listener.start()
    log = logging.getLogger("probe")
    log.addHandler(logging.handlers.QueueHandler(lane))
    log.warning("hello")
    listener.stop()
    assert seen == ["hello"]


def connections(url):
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=1, timeout=0.05)
    connection = pool.get_connection()
    try:
        pool.get_connection()
        raise AssertionError("two connections from a pool of one")
    except redis.ConnectionError as error:
        assert isinstance(error.__context__, queue.Empty), error
    pool.release(connection)
    with redis.Redis(connection_pool=pool) as client:
        assert client.ping()
    pool.disconnect()


if __name__ == "__main__":
    processes()
    pools()
    logs()
    connections(sys.argv[1])
    print("probe ok")
"""


def top_lines(program: str) -> str:
    """Return the lines by which a program comes to our module: from its first import to the loading of our names."""
    text = (ROOT / program).read_text()
    last = "    import queue._names\n"
    assert last in text, f"{program} does not start with the lines that conftest.py starts with"
    return text[text.index("import os\n") : text.index(last) + len(last)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as ours, made of the folder, the root conftest, pytest's settings and the programs above."""
    tree = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "queue", tree / "queue", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "conftest.py", tree)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    (tree / "pytest.ini").write_text(f"[pytest]\npythonpath = {' '.join(settings['pythonpath'])}\n")
    (tree / "web.py").write_text(top_lines("conftest.py") + PROBE)
    (tree / "users.py").write_text(top_lines("conftest.py") + USERS)
    (tree / "test_probe.py").write_text(PROBE_TEST)
    return tree


@pytest.fixture(scope="module")
def alone(tree: Path) -> Path:
    """A folder that holds nothing but ours, to put first on the path."""
    shutil.copytree(tree / "queue", tree / "alone" / "queue")
    return tree / "alone"


# The standard half.


@pytest.fixture(scope="module", autouse=True)
def standard_tests(alone: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """CPython's own tests on every Python, started first since they mostly sleep."""
    code = "import queue, unittest; assert queue.__path__; unittest.main('test.test_queue')"
    running = {
        python.version: subprocess.Popen(
            [python.path, "-W", "ignore", "-c", code],
            cwd=alone.parent.parent,
            env=python.environ(alone),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for python in PYTHONS
        if python.has_tests
    }
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


DESCRIBE = """
import queue, sys, json

def kind(value):
    return [type(value).__name__, getattr(value, "__module__", ""), getattr(value, "__qualname__", repr(value))]

names = {name: kind(value) for name, value in vars(queue).items() if not name.startswith("__") or name == "__all__"}
names = {name: value for name, value in names.items() if name != "_names"}
extra = sorted({name for name in vars(queue) if name.startswith("__")} - set(vars(json)))
print(json.dumps({"names": names, "extra": extra, "loaded": sorted(n for n in sys.modules if n.startswith("queue."))}))
"""


@each_python
def test_every_standard_name_is_there_and_no_other(python: Python, alone: Path, tmp_path: Path) -> None:
    """Private names too, of the same kind and with the same home; importing loads only the list of our names."""
    standard = python.answer(DESCRIBE, tmp_path)
    ours = python.answer(DESCRIBE, tmp_path, python.environ(alone))

    assert ours["names"] == standard["names"]
    assert {"_PySimpleQueue", "Queue", "Empty"} <= standard["names"].keys()
    assert ours["extra"] == ["__dir__", "__getattr__"]
    assert (standard["loaded"], ours["loaded"]) == ([], ["queue._names"])
    assert not standard["names"].keys() & set(_names.NAMES)
    assert not standard["names"].keys() & {path.stem for path in (ROOT / "queue").iterdir()}


IDENTITIES = """
import _queue, json, queue
before = {"Empty": queue.Empty is _queue.Empty, "SimpleQueue": queue.SimpleQueue is _queue.SimpleQueue}
scope = {}
exec("from queue import *", scope)
before["star"] = sorted(name for name in scope if name != "__builtins__") == sorted(queue.__all__)
before["priority"] = issubclass(queue.PriorityQueue, queue.Queue) and issubclass(queue.LifoQueue, queue.Queue)
print(json.dumps(before))
"""


@each_python
def test_the_classes_are_the_standard_ones(python: Python, alone: Path, tmp_path: Path) -> None:
    """What C code raises is what `except queue.Empty` catches, and a star import brings the standard names alone."""
    same = python.answer(IDENTITIES, tmp_path, python.environ(alone))

    assert all(same.values()), same


PICKLE = """
import json, pickle, queue
things = [queue.Empty("e"), queue.Full("f"), queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue]
print(json.dumps(pickle.dumps(things).hex()))
"""
UNPICKLE = """
import json, pickle, queue
e, f, *classes = pickle.loads(bytes.fromhex("{}"))
assert type(e) is queue.Empty and type(f) is queue.Full and (e.args, f.args) == (("e",), ("f",))
print(json.dumps(classes == [queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue]))
"""


@each_python
def test_pickles_pass_both_ways(python: Python, alone: Path, tmp_path: Path) -> None:
    """An exception or a class pickled here is read by a program with the plain module, and the other way round."""
    ours, plain = python.environ(alone), python.environ()
    for writer, reader in ((ours, plain), (plain, ours)):
        written = python.answer(PICKLE, tmp_path, writer)
        assert python.answer(UNPICKLE.format(written), tmp_path, reader) is True


@each_python
def test_its_users_work(python: Python, tree: Path, tmp_path: Path, redis_url: str) -> None:
    """multiprocessing (each way, from another folder), both executors, queued logs, redis's blocking pool."""
    _skip_without_packages(python)
    done = python.run(str(tree / "users.py"), redis_url, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "probe ok\n"), done.stderr


# Our half.


def test_our_names_are_stated_alike() -> None:
    """The list that loads them, the face that holds them and the stub that types them agree, each name once."""
    stub = ast.parse((ROOT / "queue" / "__init__.pyi").read_text())
    typed = [
        alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) and node.level for alias in node.names
    ]

    assert sorted(_names.NAMES) == sorted(face.__all__) == sorted(filter(None, typed))
    assert len(set(_names.NAMES)) == len(_names.NAMES)


def test_the_stub_says_what_is_there(alone: Path, tmp_path: Path) -> None:
    """The stub's standard classes have the methods and arguments that this Python's have, and none is forgotten."""
    ignored = tmp_path / "submodules"
    ignored.write_text(r"queue\.(?!SimpleQueue|Queue|LifoQueue|PriorityQueue)\w+\..+" "\n")
    command = ("-m", "mypy.stubtest", "queue", "--ignore-unused-allowlist", "--allowlist", str(ignored))
    done = PYTHONS[0].run(*command, cwd=tmp_path, environ=PYTHONS[0].environ(alone) | {"MYPYPATH": str(alone)})

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_of_the_folder_hides_a_name() -> None:
    """Loading `queue/x.py` sets `queue.x`, so no file has the name of something that we offer."""
    assert not {path.stem for path in (ROOT / "queue").iterdir()} & set(_names.NAMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Asking for a name that a newer standard module may have loads nothing and says what is missing."""
    import queue

    assert not hasattr(queue, "NoSuchName")
    assert {*_names.NAMES, "Empty", "_PySimpleQueue"} <= set(dir(queue))
    with pytest.raises(AttributeError, match="module 'queue' has no attribute 'enqeue'"):
        queue.enqeue  # type: ignore[attr-defined]  # noqa: B018 - the mistake is the test


def test_a_job_can_be_pickled() -> None:
    """What we hand out names its real home, so that it loads wherever the folder is."""
    assert pickle.loads(pickle.dumps(face.Job)) is face.Job


def test_inside_the_folder_only_dotted_imports() -> None:
    """No file imports `queue` by name, or a copy under another name would reach for the wrong module."""
    for path in (ROOT / "queue").glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert "queue" not in {name.split(".")[0] for name in names}, f"{path.name}: {ast.unparse(node)}"


JOBS = """
import json, queue, sys
import jobs
from jobs import *
from jobs import Worker, enqueue
assert enqueue is jobs.enqueue and new_id() and JobQueue is jobs.JobQueue and issubclass(Unavailable, QueueError)
assert not hasattr(jobs, "SimpleQueue") and not hasattr(queue, "enqueue") and not hasattr(queue, "__path__")
print(json.dumps([queue.__file__, sorted(name for name in sys.modules if name.startswith("queue."))]))
"""


@each_python
def test_a_copy_under_another_name_is_only_ours(python: Python, tree: Path, tmp_path: Path) -> None:
    """`cp -r queue elsewhere/jobs`: `from jobs import enqueue` works there, and `queue` stays the standard module."""
    _skip_without_packages(python)
    shutil.copytree(tree / "queue", tmp_path / "jobs")

    file, loaded = python.answer(JOBS, tmp_path)
    assert Path(file).name == "queue.py"
    assert loaded == []


# Every way to start.


class Start(NamedTuple):
    """A command line, where it runs, and what shows that it worked: this text, so many times."""

    command: str
    folder: str = "tree"
    environ: dict[str, str] = {}  # noqa: RUF012 - never changed
    typed: str = ""
    shows: str = "probe ok"
    times: int = 1
    serves: bool = False


STARTS = {
    "script": Start("{python} web.py"),
    "script from another folder": Start("{python} {tree}/web.py", folder="elsewhere"),
    "python -m uvicorn": Start("{python} -m uvicorn web:app --port 0", serves=True),
    "python -m uvicorn --workers": Start("{python} -m uvicorn web:app --port 0 --workers 2", times=2, serves=True),
    "python -m uvicorn --reload": Start("{python} -m uvicorn web:app --port 0 --reload", serves=True),
    "uvicorn": Start("{python} {bin}/uvicorn web:app --port 0", serves=True),
    "uvicorn, PYTHONPATH=.": Start("{python} {bin}/uvicorn web:app --port 0", environ={"PYTHONPATH": "."}, serves=True),
    "uvicorn, PYTHONPATH, as on Heroku": Start(
        "{python} {bin}/uvicorn web:app --port 0", environ={"PYTHONPATH": "{tree}"}, serves=True
    ),
    "python -m pytest": Start("{python} -m pytest -q", shows="1 passed"),
    "pytest": Start("{python} {bin}/pytest -q", shows="1 passed"),
    "pytest -n2": Start("{python} {bin}/pytest -q -n2", shows="1 passed"),
    "pytest with a plug-in that loads it first": Start(
        "{python} {bin}/pytest -q -o pythonpath= -p logging.handlers", shows="1 passed"
    ),
    "pytest --import-mode=importlib": Start("{python} {bin}/pytest -q --import-mode=importlib", shows="1 passed"),
    "python -m unittest": Start("{python} -m unittest test_probe"),
    "python -c": Start("{python} -c 'import web; web.check()'"),
    "REPL": Start("{python} -i", typed="import web\nweb.check()\n"),
    "python -m pdb": Start("{python} -m pdb -c continue web.py", typed="quit\n"),
    "python -m debugpy": Start("{python} -m debugpy --listen 127.0.0.1:0 web.py"),
    "debugpy": Start("{python} {bin}/debugpy --listen 127.0.0.1:0 web.py"),
    "debugpy's folder, as VS Code does": Start("{python} {site}/debugpy --listen 127.0.0.1:0 {tree}/web.py"),
    "python -P": Start("{python} -P web.py"),
    "PYTHONSAFEPATH": Start("{python} web.py", environ={"PYTHONSAFEPATH": "1"}),
    "python -m pip": Start("{python} -m pip list", shows="Package"),
}


@each_python
@pytest.mark.parametrize("way", STARTS)
def test_every_way_to_start(way: str, python: Python, tree: Path, tmp_path: Path) -> None:
    """Whoever loaded the standard module first, a program that begins with our lines has both halves."""
    _skip_without_packages(python)
    start = STARTS[way]
    places = {"python": python.path, "tree": tree, "bin": sysconfig.get_path("scripts"), "site": SITE}
    folder = tree if start.folder == "tree" else tmp_path
    path = start.environ.get("PYTHONPATH", "").format(**places)
    environ = python.environ(path) | {name: value for name, value in start.environ.items() if name != "PYTHONPATH"}

    status, output = _watch(start, start.command.format(**places), folder, environ)
    assert output.count(start.shows) >= start.times, output
    assert status == 0 or start.serves, output


def _watch(start: Start, command: str, folder: Path, environ: dict[str, str]) -> tuple[int, str]:
    """Run a command until it ends, or, if it serves, until it has shown what it must."""
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        late = threading.Timer(TIME_LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        assert process.stdin
        assert process.stdout
        process.stdin.write(start.typed)
        process.stdin.close()
        output = ""
        for line in process.stdout:
            output += line
            if start.serves and output.count(start.shows) == start.times:
                os.killpg(process.pid, signal.SIGKILL)  # how it would stop is not the question here
        late.cancel()
        return process.wait(), output


def _skip_without_packages(python: Python) -> None:
    if python.lacks:
        pytest.skip(f"{python.path} cannot load our packages: {python.lacks}")


@pytest.mark.parametrize("program", ["web.py", "worker.py", "local.py"])
def test_our_programs_begin_with_the_lines(program: str) -> None:
    """The same lines as the root conftest, before any other import."""
    text = (ROOT / program).read_text()

    assert top_lines(program) == top_lines("conftest.py")
    first = next(node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom))
    assert text.splitlines()[first.lineno - 1] == "import os"


@each_python
def test_the_standard_tests_pass(python: Python, standard_tests: dict[str, subprocess.Popen[str]]) -> None:
    """CPython's own test.test_queue, against ours."""
    if not python.has_tests:
        pytest.skip(f"{python.path} ships no test.test_queue")
    output = standard_tests[python.version].communicate(timeout=TIME_LIMIT)[0]

    assert standard_tests[python.version].returncode == 0, output
    assert "Ran " in output
    assert "OK" in output
