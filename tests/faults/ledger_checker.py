"""What has to be true of every tweet after a storm: compares what people were told, the rows, and X's own timeline.

lost           accepted, and without a row at an end
twice          more than once on the timeline
wrongly told   an end that is not what X has, an answer that was not kept, an end that changed by itself
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ENDS = ("sent", "failed", "uncertain", "cancelled", "missed")


class Told(NamedTuple):
    """What a person was told of a tweet: a state by /status, or the answer to a deed."""

    what: str  # "status", or the deed: cancel, edit, now, again
    said: str  # the state; or "done", "too late", "unknown" (no answer came)


@dataclass
class Draft:
    """One tweet as its author knows it. Its texts begin with its key and a version: `7-ada-3 v0 …`."""

    key: str
    texts: list[str]  # each that was ever asked for; the last one wins unless an answer is missing
    job_id: str = ""
    accepted: bool = False
    told: list[Told] = field(default_factory=list)


@dataclass
class Verdict:
    """What came of it."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def broken(self) -> list[str]:
        """All of it."""
        return [f"lost: {line}" for line in self.lost] + [f"twice: {line}" for line in self.twice] + self.wrong


def check(drafts: Iterable[Draft], rows: Iterable[dict[str, Any]], timeline: Iterable[dict[str, Any]]) -> Verdict:
    """Compare. `rows` are the table's, `timeline` is X's: {"id", "text"} each."""
    verdict, by_key, published = Verdict(), {row["key"]: row for row in rows}, defaultdict[str, list[Any]](list)
    for post in timeline:
        published[post["text"].split()[0]].append(post)
    for draft in drafts:
        row, posts = by_key.get(draft.key), published.pop(draft.key, [])
        if len(posts) > 1:
            verdict.twice.append(f"{draft.key}: {posts}, {row}, {draft.told}")
        if row is None or row["state"] not in ENDS:
            if draft.accepted or row:
                verdict.lost.append(f"{draft.key}: {row}, {draft.told[-5:]}")
            continue
        verdict.ends[row["state"]] += 1
        verdict.wrong += [f"{draft.key}: {why}: {row}, {posts}, {draft.told}" for why in untrue(draft, row, posts)]
    verdict.wrong += [f"{key}: on the timeline, and nobody's: {posts}" for key, posts in published.items()]
    return verdict


def untrue(draft: Draft, row: dict[str, Any], posts: list[dict[str, Any]]) -> Iterator[str]:
    """Say what of the row is not what X has, and what of the answers was not kept."""
    state, ids = row["state"], [post["id"] for post in posts]
    if (state == "sent") != bool(posts) and state != "uncertain":
        yield f"{state}, but X has {len(posts)}"
    if state == "sent" and posts and row["x_tweet_id"] not in ids:
        yield "sent, with the id of another tweet"
    if state == "uncertain" and row["unknowns"] < 2 and row["reason_code"] != "no_look":
        yield "uncertain, though it could have been known"
    if posts and posts[-1]["text"] not in allowed(draft):
        yield "another text than the last that was accepted"
    yield from broken_words(draft, state)


def allowed(draft: Draft) -> list[str]:
    """The texts that may have gone out: the last one that was accepted, and those whose answer never came."""
    answers = [told.said for told in draft.told if told.what == "edit"]
    texts = [draft.texts[0]]
    for text, said in zip(draft.texts[1:], answers, strict=True):
        texts = [text] if said == "done" else [*texts, text] if said == "unknown" else texts
    return texts


def broken_words(draft: Draft, state: str) -> Iterator[str]:
    """Say which answers were not kept. An end changes only by a deed, or from "uncertain" when X turns out to know."""
    if Told("cancel", "done") in draft.told and state != "cancelled":
        yield "cancelled, they said"
    last = ""
    for told in [*draft.told, Told("status", state)]:
        if told.what != "status":
            last = "" if told.said != "too late" else last
        elif last in ENDS and told.said != last and (last, told.said) != ("uncertain", "sent"):
            yield f"told {last}, then {told.said}"
            last = told.said
        else:
            last = told.said
