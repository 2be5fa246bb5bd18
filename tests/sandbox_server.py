"""A sandbox for tests: the real one, in a process of its own on a free port, and the steps of a sign-in on it."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from requests_oauthlib import OAuth1Session

from sandbox.accounts import CONSUMER_KEY, CONSUMER_SECRET
from tests.servers import ROOT, die_with_parent

CALLBACK = "http://127.0.0.1:8000/oauth/callback"


@contextmanager
def running_sandbox(
    callbacks: Sequence[str] = (CALLBACK,), data: Path | None = None, port: int = 0, *options: str
) -> Iterator[str]:
    """Run `python -m sandbox` and give its address. It has ended, by SIGTERM, when the block is over."""
    command = [sys.executable, "-m", "sandbox", "--port", str(port), *options]
    for callback in callbacks:
        command += ["--callback", callback]
    command += ["--data", str(data)] if data else []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line, "the sandbox did not start; its reason is on stderr"
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(10)


def allow(url: str, request_token: str, handle: str = "ada") -> dict[str, str]:
    """Say yes on the consent page, and return what the callback is given."""
    form = {"oauth_token": request_token, "account": handle, "answer": "allow"}
    answer = requests.post(f"{url}/oauth/authenticate", data=form, allow_redirects=False, timeout=5)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def sign_in(url: str, handle: str = "ada", callback: str = CALLBACK) -> OAuth1Session:
    """Go through all three legs and return a session that signs as this person."""
    first = OAuth1Session(CONSUMER_KEY, client_secret=CONSUMER_SECRET, callback_uri=callback)
    asked = first.fetch_request_token(f"{url}/oauth/request_token", timeout=5)
    given = allow(url, asked["oauth_token"], handle)
    second = OAuth1Session(
        CONSUMER_KEY,
        CONSUMER_SECRET,
        asked["oauth_token"],
        asked["oauth_token_secret"],
        verifier=given["oauth_verifier"],
    )
    access = second.fetch_access_token(f"{url}/oauth/access_token", timeout=5)
    return OAuth1Session(CONSUMER_KEY, CONSUMER_SECRET, access["oauth_token"], access["oauth_token_secret"])
