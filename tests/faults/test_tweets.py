"""What the queue forgets or never hears of, with real processes: each tweet goes out all the same, and once."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import alarm
import holds
import models
import settings as configuration
from models import Tweet, User
from tests.conftest import Start
from tests.faults.ledger_worker import ENVIRON
from tests.servers import ROOT, RedisServer, best_real, die_with_parent, wait_until
from tests.test_post_tweet import Life, asleep, life, sandbox
from times import FOR_EVER

__all__ = ["life", "sandbox"]  # fixtures

CRASH = """
import os, signal, sys, queue, settings, worker, alarm, models
worker.start(settings.load())
alarm.wake = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with models.database.connection_context():
    models.User.get_by_id(int(sys.argv[1])).tweet("Committed, and then the power went")
"""


@contextmanager
def crew(life: Life, **environ: str) -> Iterator[None]:
    """A worker process."""
    mine = {"PATH": os.environ["PATH"]} | life.environ | ENVIRON | environ
    command = [sys.executable, "-m", "tests.faults.ledger_worker"]
    with subprocess.Popen(command, cwd=ROOT, env=mine, stderr=subprocess.PIPE, preexec_fn=die_with_parent) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=40)


def sent(life: Life, *tweets: Tweet) -> None:
    """Wait until all of them are."""
    wait_until(lambda: all(life.row(tweet).state == "sent" for tweet in tweets), 30, "all to be sent")


def test_a_crash_between_commit_and_enqueue_loses_nothing(life: Life) -> None:
    """The process that accepted it is killed before Redis hears of it; the next sweep of any worker does the rest."""
    command = [sys.executable, "-c", CRASH, str(life.user_id)]
    environ = {"PATH": os.environ["PATH"]} | life.environ
    assert subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode == -signal.SIGKILL
    assert Tweet.get().state == "queued"
    with crew(life):
        sent(life, Tweet.get())
    assert life.published() == ["Committed, and then the power went"]


def on(life: Life, server: RedisServer) -> None:
    """Have the app use this server."""
    life.environ["REDIS_URL"] = server.url
    alarm.connect(configuration.load(life.environ))


def test_redis_from_an_old_copy_loses_and_repeats_nothing(life: Life, redis_server: Start, tmp_path: Path) -> None:
    """It has jobs of tweets that went out since, and knows nothing of those that were accepted since."""
    server = redis_server(best_real(), appendonly="yes", appendfsync="always")
    on(life, server)
    before = life.tweet("Known to the copy")
    shutil.copytree(server.folder, tmp_path / "copy")
    with crew(life):
        sent(life, before)
    since = [life.tweet("Since then"), life.tweet("Later", at=datetime.now(UTC) + timedelta(seconds=4))]
    server.kill()
    shutil.rmtree(server.folder)
    shutil.copytree(tmp_path / "copy", server.folder)
    server.start()
    with crew(life):
        sent(life, *since)
    assert sorted(life.published()) == ["Known to the copy", "Later", "Since then"]
    assert len(life.posts()) == 3


def test_what_is_accepted_while_redis_is_away_goes_out(life: Life, redis_server: Start) -> None:
    """Killed under the worker and back with nothing in it: what came before and meanwhile is sent, once."""
    server = redis_server(best_real())
    on(life, server)
    with crew(life):
        tweets = [life.tweet("Before"), life.tweet("Scheduled", at=datetime.now(UTC) + timedelta(seconds=3))]
        server.kill()
        tweets.append(life.tweet("Meanwhile"))
        server.start()
        sent(life, *tweets)
    assert sorted(life.published()) == ["Before", "Meanwhile", "Scheduled"]
    assert len(life.posts()) == 3


def test_what_a_person_asks_for_while_redis_is_frozen_is_done(life: Life, redis_server: Start) -> None:
    """A sign-in, "Send now" and a nearer time: their jobs sleep on, and the next sweep goes by the rows."""
    server = redis_server(best_real())
    on(life, server)
    hour = datetime.now(UTC) + timedelta(hours=1)
    with crew(life):
        now, nearer = life.tweet("Now after all", at=hour), life.tweet("Nearer", at=hour)
        with models.database.connection_context():
            holds.hold(User.get_by_id(life.user_id), "waits_for_sign_in", FOR_EVER)
        waits = life.tweet("Waits")
        wait_until(lambda: life.row(waits).wakes_at == FOR_EVER and asleep(waits))
        server.pause()
        with models.database.connection_context():
            assert Tweet.get_by_id(now.id).send_now() == "changed"
            assert Tweet.get_by_id(nearer.id).edit(at=datetime.now(UTC) + timedelta(seconds=4)) == "changed"
        life.sign_in()
        server.resume()
        sent(life, now, nearer, waits)
    assert sorted(life.published()) == ["Nearer", "Now after all", "Waits"]
