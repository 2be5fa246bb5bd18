"""People who tweet in a storm: each follows a seed, asks until there is an answer, and notes what it is told."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.faults.ledger_checker import ENDS, Draft, Told
from tests.sandbox_server import allow

WORDS = (
    "hello",
    "<b>bold</b> & more",
    "see https://example.com/a?b=1&c=2",
    "https://example.com/?a=1&timestamp=2",
    "grüße",
    "日本",
    "👩‍👩‍👧",
    "e\u0301",
    "example.org",
)
SAME_WORDS = 0.05  # how often somebody says again what he said last
PATIENCE = 12.0  # seconds that a person waits for an answer before asking again
OUTAGE = 4.0  # seconds that some wait for Redis to be away before they sign in


@dataclass(frozen=True)
class Order:
    """One tweet, and what its author does to it afterwards."""

    key: str
    text: str
    pause: float  # before it
    due: float  # seconds from now; 0 is at once
    deed: str  # "", or one of DEEDS
    wait: float  # before the deed
    stubborn: bool  # sends a failed or missed one again
    doubt: (
        str  # with an uncertain one: "", look (then "It is there" or "Send again"), blind (again), regret (and cancel)
    )


DEEDS = {"": 6, "cancel": 2, "edit": 3, "time": 2, "now": 1, "sign in": 1}  # and how often


def orders(weather: Any, account: str) -> Iterator[Order]:
    """What a person will do, to the end."""
    chance, count = random.Random(f"{weather.seed} {account}"), weather.tweets // weather.accounts
    text = ""
    for number in range(count):
        key, due = f"{weather.seed}-{account}-{number}", chance.choice([0.0, 0.0, chance.uniform(0.5, 6)])
        words = " ".join(chance.sample(WORDS, chance.randint(1, 4)))
        if not text or chance.random() > SAME_WORDS:
            text = f"{key} v0 {words}"
        deed = chance.choices(list(DEEDS), list(DEEDS.values()))[0]
        pause = chance.uniform(0, 1.4) * max(weather.seconds / count - 1.5, 0.1)
        wait = chance.uniform(0, due * 1.1 + 0.3)
        doubt = chance.choice(["", "look", "look", "blind", "regret"])
        yield Order(key, text, pause, due, deed, wait, chance.random() < 0.7, doubt)


class Person:
    """Somebody at a browser, who presses again when nothing happens. `away` is set while Redis is."""

    def __init__(
        self, url: str, x: str, account: str, plan: Iterator[Order], late: threading.Event, away: threading.Event
    ) -> None:
        self.url, self.x, self.account, self.plan, self.late, self.away = url, x, account, plan, late, away
        self.browser = requests.Session()
        self.drafts: list[Draft] = []
        self.stubborn: set[str] = set()
        self.doubts: dict[str, str] = {}
        self.answers: Counter[str] = Counter()
        self.sign_ins = 0

    def live(self) -> None:
        """Do all of the plan, then look until every tweet is at an end."""
        self._sign_in()
        for order in self.plan:
            if self.late.wait(order.pause):
                return
            self._tweet(order)
            self._look()
        while not self.late.wait(0.5) and self._look():
            pass

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response | None:
        """Ask once; None when no answer came."""
        try:
            answer = self.browser.request(method, self.url + path, timeout=PATIENCE, allow_redirects=False, **options)
        except requests.RequestException:
            self.answers["none"] += 1
            return None
        self.answers[str(answer.status_code)] += 1
        return answer

    def _sign_in(self) -> None:
        while not self.late.is_set():
            asked = self._ask("POST", "/login")
            if asked is not None and asked.status_code == 303:
                token = parse_qs(urlsplit(asked.headers["location"]).query)["oauth_token"][0]
                given: dict[str, str] = {}
                with suppress(requests.RequestException):  # nobody listens there just now
                    given = allow(self.x, token, self.account)
                back = self._ask("GET", "/oauth/callback", params=given) if given else None
                if back is not None and back.status_code == 303 and "session" in "".join(self.browser.cookies.keys()):
                    self.sign_ins += 1
                    return
            self.late.wait(0.3)

    def _tweet(self, order: Order) -> None:
        draft = Draft(order.key, [order.text], since=time.time())
        self.drafts.append(draft)
        fields = {"status": order.text, "key": order.key}
        if order.due:
            fields |= in_seconds(order.due)
        while not self.late.is_set():
            answer = self._ask("POST", "/tweets", json=fields)
            if answer is not None and answer.status_code == 202:
                draft.accepted, draft.job_id = True, answer.json()["job_id"]
                break
            if answer is not None and answer.status_code == 422 and answer.json()["error"]["code"] == "past":
                del fields["at"], fields["tz"]  # it took too long: at once, then
            self.late.wait(0.2)
        if order.stubborn:
            self.stubborn.add(order.key)
        self.doubts[order.key] = order.doubt
        if order.deed and draft.accepted and not self.late.wait(order.wait):
            self._sign_in() if order.deed == "sign in" else self._do(draft, order.deed)

    def _do(self, draft: Draft, deed: str) -> None:
        """Press a button, again when no answer comes; what the first press did is then not known."""
        method, path = {
            "cancel": ("DELETE", f"/tweets/{draft.job_id}"),
            "edit": ("PATCH", f"/tweets/{draft.job_id}"),
            "time": ("PATCH", f"/tweets/{draft.job_id}"),
            "now": ("POST", f"/tweets/{draft.job_id}/now"),
            "there": ("POST", f"/tweets/{draft.job_id}/there"),
            "again": ("POST", f"/tweets/{draft.job_id}/retry"),
        }[deed]
        if deed == "again":
            draft.since = time.time()
        while not self.late.is_set():
            fields = {"edit": {"status": draft.texts[0].replace(" v0 ", " v1 ")}, "time": in_seconds(2)}.get(deed, {})
            draft.texts += [fields["status"]] if deed == "edit" else []
            answer = self._ask(method, path, **({"json": fields} if fields else {}))
            # 422: the time was past when it got there, and nothing was changed.
            said = {200: "done", 202: "done", 409: "too late", 422: "too late"}.get(
                answer.status_code if answer is not None else 0, "unknown"
            )
            if answer is not None and answer.status_code in (200, 202):
                draft.job_id = answer.json()["job_id"]
                said = "in doubt" if deed == "cancel" and answer.json()["state"] == "uncertain" else said
            draft.told.append(Told(deed, said))
            if said != "unknown":
                return
            self.late.wait(0.2)

    def _look(self) -> bool:
        """Ask for each tweet that is not at an end; return whether there is one."""
        going = [draft for draft in self.drafts if not self._ended(draft)]
        for draft in going:
            began = time.monotonic()
            answer = self._ask("GET", f"/status/{draft.job_id}")
            if answer is None or answer.status_code != 200 or self.late.is_set():
                continue
            body = answer.json()
            draft.told.append(Told("status", body["state"]))
            code = (body["reason"] or {}).get("code", "")
            if code in ("waits_for_sign_in", "signed_out") and time.monotonic() - began < PATIENCE:
                if draft.key in self.stubborn:
                    self.away.wait(OUTAGE)
                self._sign_in()
            if body["state"] in ("failed", "missed") and draft.key in self.stubborn:
                self.stubborn.discard(draft.key)
                self._do(draft, "again")
            if body["state"] == "uncertain" and (doubt := self.doubts.pop(draft.key, "")):
                self._decide(draft, doubt, code)
        return bool(going)

    def _decide(self, draft: Draft, doubt: str, code: str) -> None:
        """Look at the profile, and say that it is there, or send it again. Some do not look."""
        alike = sum(other.words == draft.words for other in self.drafts) > 1  # then the profile does not tell which
        if doubt == "look" and not alike and self._on_profile(draft):
            self._do(draft, "there")
            return
        if doubt in ("blind", "regret") or alike or code == "no_look":  # X may have it, or get it a moment later
            draft.blind += 1
        self._do(draft, "again")
        if doubt == "regret":
            self._do(draft, "cancel")

    def _on_profile(self, draft: Draft) -> bool:
        while not self.late.wait(0.2):
            with suppress(requests.RequestException):  # nobody listens there just now
                timeline = requests.get(f"{self.x}/_sandbox/timeline", timeout=PATIENCE).json()
                return any(post["text"] in draft.texts for post in timeline)
        return False

    def _ended(self, draft: Draft) -> bool:
        """What was told last is an end. What was never accepted has none."""
        return not draft.accepted or bool(
            draft.told and draft.told[-1].what == "status" and draft.told[-1].said in ENDS
        )


def in_seconds(seconds: float) -> dict[str, str]:
    """Return so soon a time as a form has it."""
    due = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"at": due.strftime("%Y-%m-%dT%H:%M:%S.%f"), "tz": "UTC"}
