"""Our public names, and how the module that carries them loads them on first use. Imports nothing: see `__init__`.

That module is `__init__` where this folder came first, and the standard `queue` where that one did: a program lends it
our names by giving it a `__path__` and importing this file.
"""

import sys

NAMES = (
    "task",
    "named",
    "enqueue",
    "enqueue_in",
    "enqueue_at",
    "enqueue_many",
    "every",
    "status",
    "is_complete",
    "cancel",
    "reschedule",
    "revive",
    "discard",
    "connect",
    "pause",
    "resume",
    "current_job",
    "new_id",
    "Retry",
    "Snooze",
    "GiveUp",
    "JobQueue",
    "Job",
    "Task",
    "Worker",
    "QueueError",
    "NotJSON",
    "TooLarge",
    "UnknownTask",
    "NotATask",
    "BadOption",
    "Unavailable",
)


def load(name: str) -> object:
    """Return our public `name` and keep it for the next time. Any other is an AttributeError and loads nothing."""
    if name not in NAMES:
        raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
    from . import face

    value = vars(carrier)[name] = getattr(face, name)
    return value


def listing() -> list[str]:
    """Return every name of the module, ours included, loading none."""
    return sorted({*vars(carrier), *NAMES})


carrier = sys.modules[__package__]
vars(carrier).update(__getattr__=load, __dir__=listing)
