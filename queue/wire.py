"""Commands to Redis and their answers, on the connection that was used last, and what redis-py raises as our errors."""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, NoScriptError, ReadOnlyError, RedisError, ResponseError

from .errors import QueueError, Unavailable

AT_ONCE = 0.2  # seconds within which a connection that broke was an old one
PASSING = ("OOM", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "BUSY", "READONLY", "max number of clients")  # refusals

_FOLDER = Path(__file__).parent / "lua"
_COMMON = (_FOLDER / "common.lua").read_text()
_TEXTS = {path.stem: _COMMON + path.read_text() for path in _FOLDER.glob("*.lua") if path.stem != "common"}
SHAS = {verb: hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest() for verb, lua in _TEXTS.items()}
_SCRIPTS = {SHAS[verb]: lua for verb, lua in _TEXTS.items()}

Command = tuple[Any, ...]


class Wire:
    """Threads may share it, but for what is sent to be read later. Raises Unavailable if Redis is away or refuses,
    QueueError if it cannot do it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.spare: deque[Any] = deque()  # the connection used last, kept out of the pool
        self.under_way: dict[object, Any] = {}  # turn of what `send` sent and nobody has read -> its connection

    def call(self, *command: Any) -> Any:
        """Send a command and return its answer. If the connection broke at once, do it again: it may have been an old
        one, and each call but take may be repeated, as one that came through though its answer did not."""
        return self.guarded(lambda: self._read(self._write(command), command))

    def send(self, *command: Any, first: Command | None = None, alone: bool = False) -> Callable[[], Any]:
        """Send a command, and return what reads its answer. It is never repeated. One thread at a time may send more
        before it is read: on the same connection, to be read in turn; `alone`, threads may send at the same time.
        With another one `first`, that waits, Redis turns to it when that is over, and the answer is
        (refusal of the first or None, answer of the second)."""
        if alone:
            own = self.typed(lambda: self._write(command, first))
            return lambda: self.typed(lambda: self._read(own, command, first))
        turn = object()
        self.under_way[turn] = self.typed(lambda: self._write(command, first, self._last()))
        return lambda: self.typed(lambda: self._in_turn(turn, command, first))

    def close(self) -> None:
        """Close the connections. What is called later opens new ones."""
        for connection in (*self.spare, *self.under_way.values()):
            connection.disconnect()
        self.under_way.clear()
        self.redis.close()

    def guarded(self, call: Callable[[], Any]) -> Any:
        """Call, and once more if the connection was broken at once."""
        started = monotonic()
        try:
            return self.typed(call)
        except Unavailable as error:
            if not isinstance(error.__cause__, RedisConnectionError) or monotonic() - started > AT_ONCE:
                raise
        return self.typed(call)

    def typed(self, call: Callable[[], Any]) -> Any:
        """Call, and raise Unavailable or QueueError for what redis-py raises."""
        try:
            return call()
        except (RedisError, OSError) as error:
            if _of_a_replica(error):
                self.redis.connection_pool.disconnect(inuse_connections=False)
            if type(error) in (ResponseError, DataError) and not any(code in str(error) for code in PASSING):
                raise QueueError(f"Redis cannot do this with what lies there: {error}") from error
            raise Unavailable(f"Redis is away or refuses: {error}") from error

    def _last(self) -> Any:
        return next(reversed(self.under_way.values()), None)

    def _in_turn(self, turn: object, command: Command, first: Command | None) -> Any:
        in_turn = next(iter(self.under_way), None) is turn
        connection = self.under_way.pop(turn, None)
        if connection and not in_turn:  # somebody did not read an earlier one, which is what would come now
            self._give_back(connection, broken=True)
        if not (connection and in_turn):
            raise RedisConnectionError("the connection broke before this answer came")
        return self._read(connection, command, first)

    def _write(self, command: Command, first: Command | None = None, connection: Any = None) -> Any:
        connection = connection or self._borrow()
        try:
            if first:
                connection.send_packed_command(connection.pack_commands([first, command]))
            else:
                connection.send_command(*command)
        except BaseException:
            self._give_back(connection, broken=True)
            raise
        return connection

    def _read(self, connection: Any, command: Command, first: Command | None = None) -> Any:
        broken, refusal, limit = True, None, {}  # an answer may come that nobody reads
        try:
            if first:  # its last word is how long it waits
                end = monotonic() + first[-1] + connection.socket_timeout  # for both
                refusal = _refusal(connection, end - monotonic())
                limit = {"timeout": max(end - monotonic(), 0.001)}
            try:
                answer = connection.read_response(**limit)
            except NoScriptError:
                if self._last() is connection:  # the answer would come behind another one
                    raise
                connection.send_command("EVAL", _SCRIPTS[command[1]], *command[2:])
                answer = connection.read_response(**limit)
            broken = _of_a_replica(refusal)
        except ResponseError as error:
            broken = _of_a_replica(error)
            raise
        finally:
            self._give_back(connection, broken)
        return (refusal, answer) if first else answer

    def _borrow(self) -> Any:
        """Return the connection used last, else one of the pool, which looks whether it lives: half a call."""
        with suppress(IndexError):
            connection = self.spare.pop()
            if connection.pid == os.getpid():  # else we are a fork, and it is our parent's
                return connection
        return self.redis.connection_pool.get_connection()

    def _give_back(self, connection: Any, broken: bool) -> None:
        if broken:
            connection.disconnect()
            self.under_way = {turn: its for turn, its in self.under_way.items() if its is not connection}
        if self._last() is connection:
            return
        if self.spare:
            self.redis.connection_pool.release(connection)
        else:
            self.spare.append(connection)


def _of_a_replica(error: Exception | None) -> bool:
    """Whether a failover made it one: then look for the primary anew. Redis 6.2 wraps what a script meets."""
    return isinstance(error, ReadOnlyError) or "READONLY" in str(error)


def _refusal(connection: Any, timeout: float) -> ResponseError | None:
    try:
        connection.read_response(timeout=timeout)
    except ResponseError as error:
        return error
    return None
