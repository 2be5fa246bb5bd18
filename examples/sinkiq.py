"""The whole library in one small page: a form, a background job, counters, the last messages.

python examples/sinkiq.py [REDIS_URL]      then open http://127.0.0.1:8090
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the folder that holds queue/
import queue

if not hasattr(queue, "__path__"):  # the standard library's came first: lend it our names
    queue.__path__ = [os.path.join(sys.path[0], "queue")]
    import queue._names

import html
import threading
import time
from queue import report
from queue.job import text

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

MESSAGES = "sinkiq:messages"
PAGE = """<!doctype html><html lang="en"><title>Sinkiq</title><meta name="viewport" content="width=device-width">
<style>body {{ font: 1.1rem/1.5 system-ui; max-width: 32rem; margin: 3rem auto }} b {{ font-size: 1.6rem }}</style>
<h1>Sinkiq</h1><p>This hour: <b>{done}</b> processed <b>{dead}</b> failed <b>{pending}</b> pending</p>
<form method="post"><label>Message <input name="message" maxlength="200" required></label> <button>Send</button></form>
<p><a href="/">Refresh</a></p><h2>Messages</h2><ul>{messages}</ul></html>"""

jobs = queue.connect(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379/0")


@queue.task(retries=0)
def sink(message: str) -> None:
    """Take a while, then keep the message; one that says "fail" fails."""
    time.sleep(0.2)
    if message == "fail":
        raise ValueError("you asked for it")
    jobs.redis.lpush(MESSAGES, message)
    jobs.redis.ltrim(MESSAGES, 0, 9)


def home(_: Request) -> Response:
    """Show the counters and the last messages."""
    view = report.overview(jobs)
    last = [html.escape(text(message)) for message in jobs.redis.lrange(MESSAGES, 0, 9)]
    counts = {
        "done": view.last_hour.get("done", 0),
        "dead": view.last_hour.get("dead", 0),
        "pending": sum(view.pending.values()),
    }
    return HTMLResponse(
        PAGE.format(**counts, messages="".join(f"<li>{message}</li>" for message in last) or "<li>none yet")
    )


async def send(request: Request) -> Response:
    """Enqueue the message and show the page at once."""
    message = str((await request.form()).get("message", ""))[:200]
    await run_in_threadpool(queue.enqueue, sink, message)
    return RedirectResponse("/", status_code=303)


app = Starlette(routes=[Route("/", home), Route("/", send, methods=["POST"])])

if __name__ == "__main__":
    report.overview(jobs)  # fails at once, and says so, where there is no Redis
    worker = queue.Worker(threads=5)
    thread = threading.Thread(target=worker.run)
    thread.start()
    uvicorn.run(app, port=8090, log_level="warning")
    worker.stop()
    thread.join()
