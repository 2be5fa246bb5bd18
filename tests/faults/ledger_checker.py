"""What has to be true of every tweet after a storm: compares what people were told, the rows, and what X knows itself.

lost           accepted, and without a row at an end
twice          more often on the timeline than it was sent, unless a person sent an uncertain one again without a look
wrongly told   an end that is not what X has, an answer that was not kept, an end that changed by itself, too early, or
               uncertain where it could have been known

What could not be known is counted in X's own ledger of requests, and by what the workers logged of attempts that X
never heard of: the counters of a row are what is tested here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ENDS = ("sent", "failed", "uncertain", "cancelled", "missed")
EARLY = 0.1  # seconds that the clocks of X and ours, one machine's, may be apart, and what rounding takes


class Told(NamedTuple):
    """What a person was told of a tweet: a state by /status, or the answer to a deed."""

    what: str  # "status", or the deed: cancel, edit, time, now, again, there
    said: str  # the state; or "done", "too late", "unknown" (no answer came)


@dataclass
class Draft:
    """One tweet as its author knows it. Its texts begin with a key (its own, or that of one that says the same) and a
    version: `7-ada-3 v0 …`."""

    key: str
    texts: list[str]  # each that was ever asked for; the last one wins unless an answer is missing
    job_id: str = ""
    accepted: bool = False
    told: list[Told] = field(default_factory=list)
    since: float = 0.0  # Unix seconds: when it was last asked for
    blind: int = 0  # how often it was sent again while X might have it

    @property
    def words(self) -> str:
        """What those that say the same have in common."""
        return self.texts[0].split()[0]

    @property
    def account(self) -> str:
        """Whose it is."""
        return self.key.split("-")[1] if "-" in self.key else ""


@dataclass
class X:
    """What X knows; and how many attempts of each tweet began by what the workers say, less those that never left."""

    timeline: list[dict[str, Any]] = field(default_factory=list)  # id, text, time
    requests: list[dict[str, Any]] = field(default_factory=list)  # to post: time, text
    refused: list[dict[str, Any]] = field(default_factory=list)  # looks at a timeline: time, account
    begun: Counter[int] = field(default_factory=Counter)

    def about(self, words: str) -> "X":
        """What concerns those who say this."""
        timeline, asked = ([line for line in lines if said(line) == words] for lines in (self.timeline, self.requests))
        return X(timeline, asked, self.refused, self.begun)


def said(line: dict[str, Any]) -> str:
    """The key with which a text begins."""
    return ((line["text"] or "").split() or [""])[0]


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


Pair = tuple[Draft, dict[str, Any]]  # with its row


def check(drafts: Iterable[Draft], rows: Iterable[dict[str, Any]], x: X) -> Verdict:
    """Compare. `rows` are the table's."""
    verdict, by_key, alike = Verdict(), {row["key"]: row for row in rows}, defaultdict[str, list[Pair]](list)
    words = {draft.words for draft in drafts}
    for draft in drafts:
        row = by_key.get(draft.key)
        if row is None or row["state"] not in ENDS:
            if draft.accepted or row:
                verdict.lost.append(f"{draft.key}: {row}, {draft.told[-5:]}")
            continue
        verdict.ends[row["state"]] += 1
        alike[draft.words].append((draft, row))
    for key, pairs in alike.items():
        mine = x.about(key)
        about = f"{pairs}, {mine.timeline}, {mine.requests}"
        if len(mine.timeline) > most(pairs):
            verdict.twice.append(f"{key}: {about}")
        verdict.wrong += [f"{key}: {why}: {about}" for why in untrue(pairs, mine)]
    nobodys = [post for post in x.timeline if said(post) not in words]
    verdict.wrong += [f"on the timeline, and nobody's: {post}" for post in nobodys]
    return verdict


def most(pairs: list[Pair]) -> int:
    """How often X may have the words of these."""
    ends = [row["state"] for _, row in pairs]
    return max(ends.count("sent") + ends.count("uncertain"), 1) + sum(draft.blind for draft, _ in pairs)


def untrue(pairs: list[Pair], x: X) -> Iterator[str]:
    """Say what of the rows is not what X has, and what of the answers was not kept."""
    ends, posts = Counter(row["state"] for _, row in pairs), {post["id"]: post for post in x.timeline}
    named = [row["x_tweet_id"] for draft, row in pairs if row["state"] == "sent" and not confirmed(draft)]
    if ends["sent"] > len(posts):
        yield f"sent, but X has {len(posts)}"
    elif posts and not ends["sent"] and not ends["uncertain"]:
        yield f"{', '.join(ends)}, but X has {len(posts)}"
    if set(named) - posts.keys():
        yield "sent, with the id of another tweet"
    if len(set(named)) < len(named):
        yield "sent, with the id of its like"
    for draft, row in pairs:
        post = posts.get(row["x_tweet_id"]) or (x.timeline[-1] if x.timeline and len(pairs) == 1 else None)
        if post and post["text"] not in allowed(draft):
            yield "another text than the last that was accepted"
        if post and row["state"] == "sent" and post["time"] < (row["due_at"] or 0) / 1000 - EARLY:
            yield "sent before its time"
        if row["state"] == "uncertain" and not could_not_be_known(draft, row, pairs, x):
            yield f"uncertain ({row['reason_code']}), though it could have been known"
        yield from broken_words(draft, row["state"])


def confirmed(draft: Draft) -> bool:
    """Whether the author may have said that it is there: then nobody knows its id."""
    return any(told.what == "there" and told.said != "too late" for told in draft.told)


def could_not_be_known(draft: Draft, row: dict[str, Any], pairs: list[Pair], x: X) -> bool:
    """Whether X let nobody look, or two attempts have an end that nobody knows, since the person asked for it last."""
    if row["reason_code"] == "no_look":
        return any(look["account"] == draft.account and look["time"] >= draft.since for look in x.refused)
    if row["reason_code"] == "earlier_try":
        return any(told.what == "again" for told in draft.told)
    heard = [line for line in x.requests if line["time"] >= draft.since]
    unheard = sum(x.begun[row["id"]] for _, row in pairs) - len(x.requests)
    return len(heard) + max(unheard, 0) >= 2


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
    if Told("there", "done") in draft.told and state != "sent":
        yield "it is there, they said"
    last = ""
    for told in [*draft.told, Told("status", state)]:
        if told.what != "status":
            last = "" if told.said != "too late" else last
        elif last in ENDS and told.said != last and (last, told.said) != ("uncertain", "sent"):
            yield f"told {last}, then {told.said}"
            last = told.said
        else:
            last = told.said
