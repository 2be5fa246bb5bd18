"""A TCP proxy that stands between a client and Redis and does what networks do: delay, cut, refuse, swallow, lose."""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from queue.wire import SHAS
from typing import Any

from tests.servers import free_port

SIZE = 1 << 20
RESET = struct.pack("ii", 1, 0)  # close with a reset, as a host that is gone answers


def verb_sha(verb: str) -> bytes:
    """What a request of this verb carries, once its script is loaded."""
    return SHAS[verb].encode()


@dataclass
class Rule:
    """Which answer to lose: the one to a request with all of these in it, itself with this in it."""

    request: tuple[bytes, ...]
    reply: bytes = b""
    delay: float | None = None  # seconds to hold it back instead
    times: int = 1
    ahead: bool = False  # it is the request that is held back


class Proxy:
    """Passes everything on until it is told otherwise; `heal` ends every fault. Clients connect to `url`."""

    def __init__(self, port: int) -> None:
        self.target, self.port, self.rules = port, free_port(), list[Rule]()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.lost: list[bytes] = []  # answers lost or delayed, for the test to see that the fault happened
        self.swallowed = 0  # pieces that went into a black hole
        self.delay, self.share, self.mute, self.refusing = 0.0, 0.0, False, False
        self.chance = random.Random(port)
        self.closing = threading.Event()
        self.clients: set[socket.socket] = set()
        self.threads: list[threading.Thread] = []
        self.listener = self._open()
        self._run(self._listen)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for thread in self.threads:
            thread.join(10)

    # ------------------------------------------------------------------------------------------ faults

    def lose(self, *request: bytes, reply: bytes = b"", delay: float | None = None) -> None:
        """Lose the next answer that fits (it reached Redis, and the connection breaks), or hold it back."""
        self.rules.append(Rule(request, reply, delay))

    def hold(self, *request: bytes, seconds: float) -> None:
        """Hold back the next such request. It is delivered, though its client may have left."""
        self.rules.append(Rule(request, delay=seconds, ahead=True))

    def lose_some(self, share: float) -> None:
        """Lose so many of all answers, by chance: what was asked has been done, and nobody hears of it."""
        self.share = share

    def slow(self, seconds: float) -> None:
        """Hold everything back for so long, each way."""
        self.delay = seconds

    def cut(self) -> None:
        """Reset all connections. New ones are served."""
        for client in list(self.clients):
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones, like a host whose server is gone."""
        self.refusing = True
        self.cut()

    def black_hole(self) -> None:
        """Accept and swallow everything, answer nothing, reset nothing. What has been swallowed stays lost."""
        self.mute = True

    def heal(self) -> None:
        """End every fault. A connection that lost something in a black hole stays mute: its clients must leave it."""
        self.delay, self.share, self.mute, self.refusing = 0.0, 0.0, False, False
        self.rules.clear()

    # ------------------------------------------------------------------------------------------ traffic

    def _run(self, target: Any, *args: Any) -> None:
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        self.threads.append(threading.Thread(target=target, args=args, daemon=True))
        self.threads[-1].start()

    def _open(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self.port))
        listener.settimeout(0.02)
        return listener

    def _listen(self) -> None:
        while not self.closing.is_set():
            with self.listener:
                while not (self.refusing or self.closing.is_set()):
                    with contextlib.suppress(TimeoutError):
                        self._run(self._serve, self.listener.accept()[0])
            while self.refusing and not self.closing.is_set():
                time.sleep(0.01)
            if not self.closing.is_set():
                self.listener = self._open()

    def _serve(self, client: socket.socket) -> None:
        self.clients.add(client)
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pass_on(client, server)
        self.clients.discard(client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """Carry requests and answers until one side closes or an answer is lost."""
        request, mute = b"", self.mute
        while not (self.closing.is_set() or self.refusing):
            for source in select.select([client, server], [], [], 0.1)[0]:
                data = source.recv(SIZE)
                mute = mute or self.mute
                if not data:
                    return
                if mute:
                    self.swallowed += 1
                    continue
                if self.delay:
                    self.closing.wait(self.delay)
                if source is client:
                    request += data
                    self._loses(request, b"", ahead=True)
                    server.sendall(data)
                elif self._loses(request, data):
                    return
                else:
                    request = b""
                    client.sendall(data)

    def _loses(self, request: bytes, reply: bytes, *, ahead: bool = False) -> bool:
        if not ahead and self.share and self.chance.random() < self.share:
            self.lost.append(reply[:100])
            return True
        for rule in self.rules:
            if (
                rule.times
                and rule.ahead == ahead
                and all(mark in request for mark in rule.request)
                and rule.reply in reply
            ):
                rule.times -= 1
                self.lost.append(reply)
                if rule.delay is None:
                    return True
                time.sleep(rule.delay)
        return False
