"""A network for those who have none: passes everything on, half a round trip later."""

import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Self

Chunk = tuple[float, bytes]  # when it is due at the other side, and what


class Network:
    """A TCP port in front of another one, a round trip of `ms` away."""

    def __init__(self, port: int, ms: float) -> None:
        self.target, self.delay = port, ms / 2000
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    under_way: SimpleQueue[Chunk] = SimpleQueue()
                    for side, sock in ((self._read, one), (self._write, other)):
                        threading.Thread(target=side, args=(sock, under_way), daemon=True).start()

    def _read(self, sock: socket.socket, under_way: SimpleQueue[Chunk]) -> None:
        data = b"-"
        while data:
            with suppress(OSError):
                data = sock.recv(1 << 18)
            under_way.put((time.monotonic() + self.delay, data))

    def _write(self, sock: socket.socket, under_way: SimpleQueue[Chunk]) -> None:
        with sock, suppress(OSError):
            while True:
                due, data = under_way.get()
                if not data:
                    return
                time.sleep(max(due - time.monotonic(), 0))
                sock.sendall(data)
