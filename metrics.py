"""GET /metrics for Prometheus, behind a token. What the queue holds is asked at each scrape; nothing is kept here."""

import hmac
import queue
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from queue import report
from queue.jobs import connected

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import chart
import health
from settings import Settings

OUTCOMES = ("taken", "done", "retried", "dead", "reclaimed")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

kept = CollectorRegistry()  # what this process counts itself
ProcessCollector(registry=kept)
POSTS = Histogram(
    "tweetnow_post_tweets_seconds", "Time to answer POST /tweets.", ["status"], buckets=BUCKETS, registry=kept
)


EXPLAINED = {
    "scheduled": "Jobs with a time of their own, retries included.",
    "due_soon": "Scheduled jobs due within 60 seconds, or late.",
    "running": "Jobs that workers hold.",
    "busy": "Threads that run a job.",
    "dead": "Jobs that failed for good.",
    "workers": "Workers whose lease holds.",
}


def metrics(request: Request) -> Response:
    """GET /metrics. Without METRICS_TOKEN there is no such address; with another token it is refused."""
    settings = request.app.state.settings
    if not settings.metrics_token:
        raise HTTPException(404)
    given = request.headers.get("authorization", "").encode(errors="replace")
    if not hmac.compare_digest(given, f"Bearer {settings.metrics_token}".encode()):
        words = "Send the header Authorization: Bearer, with METRICS_TOKEN.\n"
        return Response(words, 401, {"WWW-Authenticate": "Bearer"}, media_type="text/plain")
    now = CollectorRegistry()
    now.register(Queue(settings))
    return Response(generate_latest(kept) + generate_latest(now), media_type=CONTENT_TYPE_LATEST)


def timed(view: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Note how long this view takes to answer a POST."""

    @wraps(view)
    async def with_time(request: Request) -> Response:
        started, status = time.perf_counter(), 500
        try:
            answer = await view(request)
            status = answer.status_code
            return answer
        finally:
            if request.method == "POST":
                POSTS.labels(str(status)).observe(time.perf_counter() - started)

    return with_time


class Queue(Collector):
    """What the queue holds, in Prometheus' words."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collect(self) -> Iterator[Metric]:
        """Ask once. Without Redis it is only said that the queue is not up."""
        found = health.look(self.settings)
        problems = {problem.code for problem in found.problems}
        yield GaugeMetricFamily("tweetnow_healthy", "Whether /healthz answers 200.", not problems)
        yield GaugeMetricFamily("tweetnow_database_up", "Whether the database answers.", "database" not in problems)
        yield GaugeMetricFamily("tweetnow_queue_up", "Whether Redis answers, with sense.", found.view is not None)
        if rows := found.rows:
            yield GaugeMetricFamily("tweetnow_tweets_late", "Tweets that should be out for over a minute.", rows.late)
            yield GaugeMetricFamily("tweetnow_tweets_due", "Those, and tweets due within 60 seconds.", rows.due)
        if view := found.view:
            waits, lists = dict(health.waiting(view)), view.pending
            yield family("pending", "Jobs that wait.", "list", lists)
            yield family("oldest_seconds", "For how long.", "list", {name: waits.get(name, 0) / 1000 for name in lists})
            yield family("paused", "Whether it is paused.", "list", {name: name in view.paused for name in lists})
            for name, text in EXPLAINED.items():
                yield GaugeMetricFamily(f"tweetnow_queue_{name}", text, getattr(view, name))
            yield from last_minute()


def last_minute() -> Iterator[Metric]:
    """What all workers did in the last full minute: scrape that often, and none is missed."""
    with suppress(queue.QueueError):  # it went away meanwhile
        counts = report.minutes(connected(), 2)[0]
        outcomes = {name: counts.get(name, 0) for name in OUTCOMES}
        yield family("last_minute", "Jobs in the last full minute.", "outcome", outcomes)
        waited = chart.average(counts) / 1000
        yield GaugeMetricFamily("tweetnow_queue_waited_seconds", "Average wait of those taken in that minute.", waited)


def family(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """One figure for each list, or outcome."""
    figures = GaugeMetricFamily(f"tweetnow_queue_{name}", text, labels=[label])
    for key, value in values.items():
        figures.add_metric([key], value)
    return figures
