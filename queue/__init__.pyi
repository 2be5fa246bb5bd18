"""What a type checker sees: the standard module's names restated (it takes this folder for that module), then ours."""

import sys
from _queue import Empty as Empty
from _queue import SimpleQueue as SimpleQueue
from threading import Condition, Lock
from types import GenericAlias
from typing import Any, Generic, Protocol, TypeVar

from .face import BadOption as BadOption
from .face import GiveUp as GiveUp
from .face import Job as Job
from .face import JobQueue as JobQueue
from .face import NotATask as NotATask
from .face import NotJSON as NotJSON
from .face import QueueError as QueueError
from .face import Retry as Retry
from .face import Snooze as Snooze
from .face import Task as Task
from .face import TooLarge as TooLarge
from .face import Unavailable as Unavailable
from .face import UnknownTask as UnknownTask
from .face import Worker as Worker
from .face import cancel as cancel
from .face import connect as connect
from .face import current_job as current_job
from .face import discard as discard
from .face import enqueue as enqueue
from .face import enqueue_at as enqueue_at
from .face import enqueue_in as enqueue_in
from .face import enqueue_many as enqueue_many
from .face import every as every
from .face import is_complete as is_complete
from .face import named as named
from .face import new_id as new_id
from .face import pause as pause
from .face import reschedule as reschedule
from .face import resume as resume
from .face import revive as revive
from .face import status as status
from .face import task as task

__all__ = ["Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"]
if sys.version_info >= (3, 13):
    __all__ += ["ShutDown"]

class _Less(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...

class _Greater(Protocol):
    def __gt__(self, other: Any, /) -> bool: ...

_Item = TypeVar("_Item")
_Ranked = TypeVar("_Ranked", bound=_Less | _Greater)

class Full(Exception): ...

if sys.version_info >= (3, 13):
    class ShutDown(Exception): ...

class Queue(Generic[_Item]):
    maxsize: int
    mutex: Lock
    not_empty: Condition
    not_full: Condition
    all_tasks_done: Condition
    unfinished_tasks: int
    queue: Any
    if sys.version_info >= (3, 13):
        is_shutdown: bool
        def shutdown(self, immediate: bool = False) -> None: ...

    def __init__(self, maxsize: int = 0) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def _init(self, maxsize: int) -> None: ...
    def _get(self) -> _Item: ...
    def _put(self, item: _Item) -> None: ...
    def _qsize(self) -> int: ...
    def put(self, item: _Item, block: bool = True, timeout: float | None = None) -> None: ...
    def put_nowait(self, item: _Item) -> None: ...
    def get(self, block: bool = True, timeout: float | None = None) -> _Item: ...
    def get_nowait(self) -> _Item: ...
    def task_done(self) -> None: ...
    def join(self) -> None: ...
    def qsize(self) -> int: ...
    def empty(self) -> bool: ...
    def full(self) -> bool: ...

class PriorityQueue(Queue[_Ranked]):
    queue: list[_Ranked]

class LifoQueue(Queue[_Item]):
    queue: list[_Item]
