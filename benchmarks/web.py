"""`python -m benchmarks.web`: how fast the page's two requests are, on one web process; writes docs/web-figures.md.

Everything is real: web.py, worker.py, Redis, SQLite, and a sandbox that takes 2 s for each tweet. The clients are one
process with a connection each, beside the server on the same machine. What is compared is measured in turn, round after
round, and each figure is the median of the rounds: what disturbs the machine disturbs nothing alone.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from benchmarks.__main__ import machine
from tests.sandbox_server import allow, running_sandbox
from tests.servers import ROOT, RedisServer, best_real, binary, die_with_parent, free_port, wait_until

PAGE = ROOT / "docs" / "web-figures.md"
CLIENTS, PAGES, SECONDS = 50, 1000, 10.0
ROUNDS = 7
SLOW_X = 2.0  # seconds
BARE = (
    "import sys, starlette.applications, starlette.responses, starlette.routing, server\n"
    "async def bare(request): return starlette.responses.JSONResponse({'state': 'sent'})\n"
    "app = starlette.applications.Starlette(routes=[starlette.routing.Route('/bare', bare)])\n"
    "server.serve(app, server.listen('127.0.0.1', int(sys.argv[1])))"
)
BARE_APP, OURS, STATUS = "a bare Starlette route, likewise", "a route of ours that reads nothing", "`/status`"
TEXT = """# The page's requests

One web process, `python web.py`, on SQLite, while X takes {slow:g} s for a tweet. Clients and server share
{machine}.
What is compared took turns for {rounds} rounds; those rows show medians.

    python -m benchmarks.web

| what | requests/s | median, ms | p99, ms |
| --- | --- | --- | --- |
{rows}

`/status` reads the session, the tweet and its job, for {pages:,} tweets that wait. It answers {bare:.0%} as often as a
bare Starlette application whose one route reads nothing, and {ours:.0%} as often as a route of ours that reads nothing
(`/livez`): headers, session, and the look at where a request comes from stand before both. Those who ask at the same
moment are answered together (looks.py), so a look costs less the more there are. {pages:,} pages ask
{need:.0f} times a second once they have slowed down. While Redis is frozen, not gone, those who come first wait
for the time that it has to answer, and one more in each two seconds; the others do not (alarm.py).
"""


@contextmanager
def running(folder: Path, *command: str, **environ: str) -> Iterator[None]:
    """A process of ours."""
    environ = {"PATH": os.environ["PATH"], "LOG_LEVEL": "WARNING"} | environ
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environ, stdout=log, stderr=log, preexec_fn=die_with_parent
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)


def serves(url: str) -> bool:
    """Whether anything answers."""
    try:
        return requests.get(url, timeout=2).status_code < 500
    except requests.RequestException:
        return False


class Load:
    """Clients with a connection each; `ask(n)` is the n-th request of one of them, as bytes."""

    def __init__(self, port: int, clients: int, ask: Callable[[int], bytes], every: float = 0) -> None:
        self.port, self.clients, self.ask, self.every = port, clients, ask, every
        self.times: list[float] = []
        self.bad = 0

    def run(self, seconds: float = SECONDS) -> dict[str, float]:
        """Let them ask for so long, as fast as they can or each every so many seconds."""
        self.times.clear()
        began = time.perf_counter()
        asyncio.run(self._all(began + seconds))
        took, ordered = time.perf_counter() - began, sorted(self.times)
        if self.bad or not ordered:
            raise RuntimeError(f"{self.bad} of {len(ordered)} answers were errors")
        at = {"median": ordered[len(ordered) // 2] * 1000, "p99": ordered[len(ordered) * 99 // 100] * 1000}
        return at | {"rate": len(ordered) / took}

    async def _all(self, end: float) -> None:
        await asyncio.gather(*(self._one(number, end) for number in range(self.clients)))

    async def _one(self, number: int, end: float) -> None:
        await asyncio.sleep(self.every * number / self.clients)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        count = number
        while (began := time.perf_counter()) < end:
            writer.write(self.ask(count))
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            self.times.append(time.perf_counter() - began)
            self.bad += head[9:10] not in b"23"
            count += self.clients
            await asyncio.sleep(max(began + self.every - time.perf_counter(), 0) if self.every else 0)
        writer.close()


def request(method: str, path: str, cookie: str, **fields: str) -> bytes:
    """One request on the wire."""
    body = urlencode(fields)
    form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if fields else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n{form}\r\n{body}".encode()


def sign_in(url: str, x: str) -> tuple[requests.Session, str]:
    """Somebody at a browser, and the cookie."""
    browser = requests.Session()
    asked = browser.post(f"{url}/login", allow_redirects=False, timeout=5)
    given = allow(x, parse_qs(urlsplit(asked.headers["location"]).query)["oauth_token"][0])
    browser.get(f"{url}/oauth/callback", params=given, allow_redirects=False, timeout=5)
    return browser, f"session={browser.cookies['session']}"


def measure(folder: Path, stack: ExitStack) -> dict[str, dict[str, float]]:
    """All figures, one after the other."""
    port, bare = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    x = stack.enter_context(running_sandbox([f"{url}/oauth/callback"]))
    late = {"fault": "latency", "seconds": SLOW_X, "count": 1_000_000}
    redis = RedisServer(str(binary(best_real()))).start()
    stack.callback(redis.close)
    environ = {"PORT": str(port), "PUBLIC_URL": url, "REDIS_URL": redis.url, "X_API_URL": x, "X_SITE_URL": x}
    environ |= {"DATABASE_URL": f"sqlite:///{folder}/web.db", "SESSION_SECRET": "s" * 40, "TOKEN_KEYS": "00" * 32}
    environ |= {"POSTS_PER_MINUTE": "1000000"}
    stack.enter_context(running(folder, "web.py", **environ))
    stack.enter_context(running(folder, "worker.py", **environ))
    stack.enter_context(running(folder, "-c", BARE, str(bare)))
    wait_until(lambda: serves(f"{url}/livez") and serves(f"http://127.0.0.1:{bare}/bare"), 20, "the servers")
    browser, cookie = sign_in(url, x)
    requests.post(f"{x}/_sandbox/faults", json=late, timeout=5).raise_for_status()
    later = {"at": time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 86400)), "tz": "UTC"}
    texts = [f"Number {number}" for number in range(PAGES)]
    posted = [browser.post(f"{url}/tweets", data={"status": text} | later, timeout=5) for text in texts]
    jobs = [answer.json()["job_id"] for answer in posted]

    def post(number: int) -> bytes:
        return request("POST", "/tweets", cookie, status=f"Tweet {number} of {time.time_ns()}")

    def look(number: int) -> bytes:
        return request("GET", f"/status/{jobs[number % PAGES]}", cookie)

    found = {
        f"`POST /tweets`, {CLIENTS} people who tweet once a second": Load(port, CLIENTS, post, 1).run(),
        f"`POST /tweets`, {CLIENTS} clients without a pause": Load(port, CLIENTS, post).run(),
        **in_turn(
            {
                BARE_APP: Load(bare, CLIENTS, lambda _: request("GET", "/bare", cookie)),
                OURS: Load(port, CLIENTS, lambda _: request("GET", "/livez", cookie)),
                STATUS: Load(port, CLIENTS, look),
            }
        ),
        f"`/status`, {PAGES:,} pages that ask every 5 s": Load(port, PAGES, look, 5).run(20),
    }
    redis.kill()
    found[f"`POST /tweets`, {CLIENTS} people, once a second, Redis gone"] = Load(port, CLIENTS, post, 1).run()
    redis.start()
    redis.pause()
    found[f"`POST /tweets`, {CLIENTS} people, once in 5 s, Redis frozen"] = Load(port, CLIENTS, post, 5).run(20)
    redis.resume()
    return found


def in_turn(loads: dict[str, Load]) -> dict[str, dict[str, float]]:
    """The medians of some rounds."""
    rounds = [{name: load.run(SECONDS / 5) for name, load in loads.items()} for _ in range(ROUNDS)]
    return {name: {key: median(one[name][key] for one in rounds) for key in rounds[0][name]} for name in loads}


def main() -> None:
    """Measure, print, write the page."""
    with tempfile.TemporaryDirectory(prefix="web-") as name, ExitStack() as stack:
        found = measure(Path(name), stack)
    rows = "\n".join(
        f"| {what} | {one['rate']:,.0f} | {one['median']:.1f} | {one['p99']:.1f} |" for what, one in found.items()
    )
    shares = {name: found[STATUS]["rate"] / found[what]["rate"] for name, what in (("bare", BARE_APP), ("ours", OURS))}
    where = " and ".join(machine()[what] for what in ("machine", "software"))
    PAGE.write_text(
        TEXT.format(slow=SLOW_X, machine=where, rounds=ROUNDS, rows=rows, pages=PAGES, need=PAGES / 5, **shares)
    )
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
