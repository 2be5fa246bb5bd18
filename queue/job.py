"""What a job is: the fields of its hash, read back as they are. Changing one is what the scripts in lua/ are for."""

import json
import os
import re
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import BadOption, NotJSON, TooLarge

MAX_ARGUMENTS = 64 * 1024  # bytes of args and kwargs as JSON
MAX_ERROR = 2_000  # characters kept of an error

_python = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)  # a circle: RecursionError
_options = (None, _python.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
try:  # json makes a C encoder for each call, which is most of a short call's time
    _c: Any = json.encoder.c_make_encoder(*_options)  # type: ignore[attr-defined]  # CPython alone has it
except (AttributeError, TypeError):  # another Python
    _c = None
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_LETTERS = bytes.maketrans(b"+/", b"xy")


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Redis knew it at one moment. Times are Unix milliseconds by the clock of the Redis server."""

    id: str
    state: str  # scheduled, pending, running, done, dead or cancelled
    task: str
    queue: str
    args: Any = ()
    kwargs: Any = None
    attempt: int = 0  # how often it was taken; never goes down
    max_attempts: int | None = None  # only if the enqueuer chose it, else the task's
    failures: int = 0
    crashes: int = 0  # how often its worker died while it ran
    enqueued_at: int | None = None
    due_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    worker: str | None = None
    progress: Any = None
    result: Any = None
    error: str | None = None
    reason: str | None = None  # why it is dead, in a word or two


_NUMBERS = {"attempt", "max_attempts", "failures", "crashes", "enqueued_at", "due_at", "started_at", "finished_at"}
_JSON = {"args", "kwargs", "progress", "result"}


def read(job_id: str, fields: Mapping[bytes | str, bytes | str]) -> Job | None:
    """Return the job of a hash, or None if it has no state. JSON that makes no sense is given as text."""
    known: dict[str, Any] = {"task": "", "queue": ""}
    for name, value in fields.items():
        if text(name) in Job.__slots__:
            known[text(name)] = _value(text(name), text(value))
    return Job(**known | {"id": job_id}) if "state" in known else None


def text(value: bytes | str) -> str:
    """Return what Redis gave as text, also what is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _value(name: str, value: str) -> Any:
    try:
        return int(float(value)) if name in _NUMBERS else json.loads(value) if name in _JSON else value
    except (ValueError, OverflowError, RecursionError):
        return 0 if name in _NUMBERS else value


def new_id() -> str:
    """Return a new job id: 22 letters and digits that nobody can guess."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """Return so many new job ids."""
    letters = b2a_base64(os.urandom(17 * count), newline=False).translate(_LETTERS).decode()
    return [letters[start : start + 22] for start in range(0, 22 * count, 22)]


def encode(value: Any) -> str:
    """Return the value as JSON in ASCII. Raises TypeError, ValueError or RecursionError if it has no such form."""
    return "".join(_c(value, 0)) if _c else _python.encode(value)


def checked_id(job_id: str) -> str:
    """Return the id. Raises BadOption if it could not be one."""
    if not isinstance(job_id, str) or not _ID.fullmatch(job_id):
        raise BadOption(f"a job id has 1 to 128 letters, digits or any of _ . : -, not {str(job_id)[:200]!r}")
    return job_id


def to_json(value: Any, what: str) -> str:
    """Return the value as JSON. Raises NotJSON, naming it, if it has no such form."""
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJSON(f"{what} cannot be stored as JSON: {error}; pass ids and plain values") from None


def arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[str, str]:
    """Return both as JSON, "" for no keyword arguments. Raises NotJSON or TooLarge."""
    texts = to_json(args, "the arguments"), to_json(kwargs, "the arguments") if kwargs else ""
    size = len(texts[0]) + len(texts[1])  # ASCII: bytes are characters
    if size > MAX_ARGUMENTS:
        raise TooLarge(f"arguments of {size:,} bytes, at most {MAX_ARGUMENTS:,}: store them elsewhere and pass an id")
    return texts


def cut(message: str) -> str:
    """Return an error's text, bounded: its start and its end, which names the error."""
    half, plain = MAX_ERROR // 2, message.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= MAX_ERROR else f"{plain[: half - 3]} ... {plain[-half + 3 :]}"
