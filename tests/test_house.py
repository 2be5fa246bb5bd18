"""The house rules that a machine can hold: imports run one way, files are what they say, nothing local leaks in."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT

PROGRAMS = {"web", "worker", "local"}
# What a module of the app may import of ours. A module that is not named here is a helper of one that is: it obeys the
# same rule as its users, because what they may not reach directly they may not reach through it (see `reach`).
MAY_REACH = {
    "settings": set[str](),
    "tweet_text": set[str](),
    "x_api": {"settings", "tweet_text"},
    "models": {"settings", "tweet_text", "queue"},
    "processes": set[str](),
    "sandbox": {"tweet_text"},
}
FUNCTION_LINES = 30
APP_LINES = 260  # "about 200": past this a file has a second job

TRACKED = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]


def tracked() -> list[Path]:
    """Every file of the project: what git has, or would take."""
    listed = subprocess.run(TRACKED, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def python_files(folder: str = "") -> list[Path]:
    """Every Python file of the project, or of one folder of it."""
    return [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / folder)]


def name_of(path: Path) -> str:
    """The program or package a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Each import of a file as (dots, module); those for type checkers alone are none."""
    ahead: list[ast.AST] = [ast.parse(path.read_text())]
    for node in ahead:
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            ahead += ast.iter_child_nodes(node)


def ours() -> dict[str, set[str]]:
    """For each program or package of the app which others of them it imports."""
    apart = {"tests", "benchmarks", "examples", "conftest", "docs"}
    files = [path for path in python_files() if name_of(path) not in apart]
    names = {name_of(path) for path in files}
    found: dict[str, set[str]] = {name: set() for name in names}
    for path in files:
        used = {module.split(".")[0] for dots, module in imports(path) if not dots}
        found[name_of(path)] |= (used & names) - {name_of(path)}
    return found


def reach(name: str, graph: dict[str, set[str]]) -> set[str]:
    """All that a module imports, directly or through others."""
    seen: set[str] = set()
    ahead = [name]
    while ahead:
        new = graph[ahead.pop()] - seen
        seen |= new
        ahead += new
    return seen


def test_nothing_imports_a_program() -> None:
    """web, worker and local are started, never imported: so the web process never loads the code that posts."""
    assert {name: used & PROGRAMS for name, used in ours().items() if used & PROGRAMS} == {}


@pytest.mark.parametrize("name", MAY_REACH)
def test_imports_run_one_way(name: str) -> None:
    """web, worker -> models -> queue, and web, worker -> x_api; also through helper files."""
    graph = ours()
    named = {"queue", "sandbox", "settings", "models", "x_api"} | PROGRAMS
    assert reach(name, graph) & named <= MAY_REACH[name]


def test_imports_have_no_circle() -> None:
    """No module reaches itself."""
    graph = ours()
    assert [name for name in graph if name in reach(name, graph)] == []


def test_the_library_needs_only_redis() -> None:
    """queue/ imports redis, the standard library and, with dots, itself: a copy of the folder works under any name."""
    allowed = sys.stdlib_module_names - {"queue"} | {"redis"}
    used = {(path.name, module) for path in python_files("queue") for dots, module in imports(path) if not dots}
    assert {(file, module) for file, module in used if module.split(".")[0] not in allowed} == set()


def test_only_settings_reads_the_environment() -> None:
    """Besides it: local.py, which writes what settings reads, and the library's terminal."""
    allowed = {"settings.py", "local.py", "queue/__main__.py"}
    pattern = re.compile(r"\bos\.(environ|getenv)\b|from os import .*\b(environ|getenv)\b")
    apart = {"tests", "benchmarks", "examples"}
    readers = {
        str(p.relative_to(ROOT)) for p in python_files() if name_of(p) not in apart and pattern.search(p.read_text())
    }
    assert readers <= allowed


def test_every_test_says_its_fact() -> None:
    """One line, the first of its docstring; that is what is read when it fails."""
    functions = [
        (f"{path.name}::{node.name}", ast.get_docstring(node) or "")
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name, fact in functions if not fact or "\n" in fact] == []


def test_every_script_says_what_it_takes_and_returns() -> None:
    """A Lua file begins with its verb and a header that names its ARGV and answer; KEYS are the same for all."""
    for path in (ROOT / "queue" / "lua").glob("*.lua"):
        lines = path.read_text().splitlines()
        code = next(number for number, line in enumerate(lines) if not line.startswith("--"))
        header = "\n".join(lines[:code])
        assert header.startswith(f"-- {path.stem}: "), path.name
        wanted = ["KEYS[1]", "ARGV[1]"] if path.stem == "common" else ["ARGV[", "Returns"]
        assert [word for word in wanted if word not in header] == [], path.name


def test_app_files_and_functions_stay_small() -> None:
    """A file of the app has about 200 lines, a function at most 30."""
    files = [path for path in python_files() if path.parent in (ROOT, ROOT / "sandbox")]
    assert {path.name: size for path in files if (size := len(path.read_text().splitlines())) > APP_LINES} == {}
    long = {}
    for path in [*files, *python_files("queue")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                if size > FUNCTION_LINES:
                    long[f"{path.name}::{node.name}"] = size
    assert long == {}


def test_nothing_of_one_machine_is_in_the_project() -> None:
    """No path of somebody's disk and no address of a package registry: both work on one machine only."""
    pattern = re.compile(
        r"/(root|home|Users|work|opt)/\w|pythonhosted|pypi\.org/simple|index-url|find-links|registry\.npmjs"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if path != Path(__file__).resolve() and (match := pattern.search(path.read_bytes().decode(errors="replace")))
    ]
    assert found == []


def test_the_procfile_starts_what_the_readme_names() -> None:
    """Two process types, one file each."""
    assert (ROOT / "Procfile").read_text() == "web: python web.py\nworker: python worker.py\n"
    assert (ROOT / "web.py").exists()
    assert (ROOT / "worker.py").exists()


def test_the_python_version_is_one_that_the_project_takes() -> None:
    """Heroku wants exactly one line that is no comment; it is within requires-python."""
    lines = [line for line in (ROOT / ".python-version").read_text().splitlines() if line and not line.startswith("#")]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert len(lines) == 1
    assert re.fullmatch(r"3\.\d+", lines[0])
    assert wanted == ">=3.11"
    assert int(lines[0].split(".")[1]) >= 11


def test_requirements_are_pinned() -> None:
    """A deploy installs what the tests ran on."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (ROOT / name).read_text().splitlines()
        assert [line for line in lines if line and not re.match(r"#|-r |[\w.-]+(\[\w+\])?==[\w.]+( *#|$)", line)] == []


def test_app_json_sets_what_settings_reads() -> None:
    """A misspelt name there would be found on Heroku only."""
    app = json.loads((ROOT / "app.json").read_text())
    settings = (ROOT / "settings.py").read_text()
    assert [name for name in app["env"] if f'"{name}"' not in settings] == []
    assert app["env"]["ENV"]["value"] == "production"
    assert set(app["formation"]) == {"web", "worker"}


def test_the_readme_names_commands_that_exist() -> None:
    """Every `make x` in it is a target, every file it links to is there."""
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)`", readme)) <= targets
    links = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_runs_what_people_run() -> None:
    """The script and the Makefile: `make check` holds every check, and the tests with nothing skipped."""
    script = (ROOT / ".ci" / "run").read_text()
    assert shlex.split(script.splitlines()[-1]) == ["make", "check"]
    assert "export CI=true" in script
