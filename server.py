"""The web process on its port: the socket, and uvicorn with what it lacks, an end to requests that never arrive."""

import asyncio
import errno
import socket
import sys
from contextlib import suppress

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

ARRIVES_WITHIN = 30.0  # seconds for a whole request, head and body: as long as Heroku's router waits


class Hurried(H11Protocol):
    """Hangs up on a request that does not arrive whole in time: by itself uvicorn would wait for ever."""

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Who connects has something to say."""
        super().connection_made(transport)
        self.watch(arriving=True)

    def data_received(self, data: bytes) -> None:
        """Start the clock with the first byte, stop it with the last one."""
        super().data_received(data)
        self.watch(arriving=self.conn.their_state in (h11.IDLE, h11.SEND_BODY))

    def on_response_complete(self) -> None:
        """Start it for what came behind a whole request, and had to wait for the answer to that."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
            self.watch(arriving=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self.watch(arriving=False)
        super().connection_lost(exc)

    def watch(self, *, arriving: bool) -> None:
        """Have the clock run while a request arrives."""
        if not arriving and self.deadline:
            self.deadline.cancel()
            self.deadline = None
        elif arriving and not self.deadline:
            self.deadline = self.loop.call_later(ARRIVES_WITHIN, self.transport.abort)


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    # Keep-alive longer than the router in front keeps a connection, so that it never sends into one we close. The
    # environment's WEB_CONCURRENCY does not count, nor FORWARDED_ALLOW_IPS: limiter.py reads what the router says. No
    # access log: the callback's address holds a verifier.
    config = uvicorn.Config(
        app, workers=1, http=Hurried, ws="none", proxy_headers=False, timeout_keep_alive=100,
        timeout_graceful_shutdown=20, access_log=False, log_config=None, server_header=False,
    )  # fmt: skip
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """The socket we serve on. Exits with one line when it cannot be had."""
    # asyncio turns Nagle's delay off only where the socket says that it is TCP: without, each answer takes 40 ms more.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            other = port + 10 if port + 10 <= 65535 else port - 10
            sys.exit(f"port {port} is in use by another program: stop it, or choose another one with PORT={other}")
        sys.exit(f"cannot listen on {host} port {port} ({error.strerror}): set HOST and PORT to what this machine has")
    return listener
