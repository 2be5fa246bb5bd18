"""Moments: what people and callers give us becomes milliseconds in UTC, or a BadTweet that says why it cannot."""

import re
import time
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from reasons import BadTweet

GRACE = 5_000  # ms: a time this far in the past was meant as now; it took that long to get here
FARTHEST = 366 * 24 * 3600 * 1000  # ms
FOR_EVER = 4_102_444_800_000  # ms: the year 2100, for what waits for a person; near enough for the queue to take


def now_ms() -> int:
    """The time of this machine, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def due_ms(at: datetime | float, now: int) -> int:
    """Return when a tweet is due. TypeError for what is no moment, BadTweet for one that is past or too far away."""
    seconds, zone = _seconds(at), at.tzinfo if isinstance(at, datetime) else UTC
    today = _shown(now // 60_000 * 60, zone)
    if not now - GRACE <= seconds * 1000:  # also what is not a number
        words = f"{_shown(seconds, zone)} is past: it is {today} now. Choose a later time."
        raise BadTweet("past", words)
    if seconds * 1000 > now + FARTHEST:
        words = f"{_shown(seconds, zone)} is too far away: choose a time within a year of {today}."
        raise BadTweet("too_far", words)
    return round(seconds * 1000)


def is_at(due_at: int | None, at: datetime | float | None) -> bool:
    """Whether a stored due time is this moment, be it past by now; None is at once. TypeError as in `due_ms`."""
    if due_at is None or at is None:
        return due_at is at
    return abs(_seconds(at) * 1000 - due_at) < 1


def _seconds(at: datetime | float) -> float:
    if isinstance(at, datetime):
        if at.utcoffset() is None:
            raise TypeError(f"{at!r} has no time zone: give an aware datetime or Unix seconds")
        return at.timestamp()
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TypeError(f"{at!r} is no time: give an aware datetime or Unix seconds")
    return at


def _shown(seconds: float, zone: tzinfo | None) -> str:
    """As the clocks of its zone show it, which is how it was typed."""
    try:
        moment = datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return f"the time {seconds}"
    clock = f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00")
    return f"{clock} UTC" if zone is UTC or str(zone) == "UTC" else f"{clock} in {zone}".replace("_", " ")


def resolve_time(local: str, zone: str, fold: str = "") -> datetime:
    """Return the moment when clocks in a zone show a local time, like 2026-12-01T09:30 and Europe/Berlin.

    Where clocks go back a time comes twice: fold says which is meant, "0" the first, "1" the second. Without it that
    time is refused, and so is one that does not come at all, where they go forward: guessing would be an hour off.
    """
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?", local, re.ASCII):
        raise BadTweet("bad_time", f"{local[:40]!r} is no date and time: write it like 2026-12-01T09:30.")
    try:
        wanted = datetime.fromisoformat(local)
    except ValueError as error:
        raise BadTweet("bad_time", f"{local!r} is not in the calendar ({error}): correct it.") from None
    moment = wanted.replace(tzinfo=_zone(zone), fold=int(fold == "1"))
    try:
        comes = _comes(moment)
    except OverflowError:
        raise BadTweet("bad_time", f"{local!r} is too near the end of the calendar: choose another time.") from None
    if not comes:
        raise BadTweet("no_such_time", _gap(moment, zone))
    first, second = _offsets(moment)
    if first != second and fold not in ("0", "1"):
        when = f"{moment:%H:%M} comes twice on {moment:%Y-%m-%d} in {zone}, at UTC{first} and again at UTC{second}"
        raise BadTweet("comes_twice", f"{when}: say which is meant.")
    return moment


def twice(local: str, zone: str) -> tuple[str, ...]:
    """Return the two offsets from UTC at which clocks in a zone show this time; none unless it comes twice."""
    try:
        first, second = _offsets(resolve_time(local, zone, "0"))
    except BadTweet:
        return ()
    return (first, second) if first != second else ()


def _offsets(moment: datetime) -> tuple[str, str]:
    return moment.replace(fold=0).isoformat()[-6:], moment.replace(fold=1).isoformat()[-6:]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown, not a name at all, a folder of names
        known = "choose one like Europe/Berlin, America/New_York or UTC"
        raise BadTweet("bad_zone", f"There is no time zone {name[:40]!r}: {known}.") from None


def _comes(moment: datetime) -> bool:
    """Whether clocks ever show this time: in a gap it comes back from UTC as another one."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == moment.replace(tzinfo=None)


def _gap(moment: datetime, zone: str) -> str:
    """Name the gap that a time falls into, by walking to its ends."""
    minute = timedelta(minutes=1)
    start = end = moment.replace(second=0, microsecond=0)
    while not _comes(start - minute):
        start -= minute
    while not _comes(end):
        end += minute
    clocks = (
        f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
        if end.date() != start.date()
        else f"{start:%H:%M} to {end:%H:%M}"
    )
    return f"{moment:%H:%M} does not come on {moment:%Y-%m-%d} in {zone}: clocks go from {clocks}. Choose another time."
