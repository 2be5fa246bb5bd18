"""The sandbox on a port: uvicorn, with what the faults need of the connection. Knows nothing of X."""

import asyncio
import contextlib
import socket

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.state import Sandbox

HOST = "127.0.0.1"


class OpenProtocol(H11Protocol):
    """Lets the application reach its connection, as `request.state.transport`: ASGI itself has no word for a reset."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Give each request of this connection its transport."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class Server(uvicorn.Server):
    """uvicorn's server, which can stop listening for a while and wakes sleeping faults when it ends."""

    def __init__(self, app: Starlette, port: int) -> None:
        config = uvicorn.Config(
            app, http=OpenProtocol, ws="none", log_level="warning", access_log=False, server_header=False, workers=1,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
        )  # fmt: skip
        super().__init__(config)
        self.port = port
        self.x: Sandbox = app.state.x
        self.x.close_port = self.close_port
        self.closing: set[asyncio.Task[None]] = set()

    def close_port(self, seconds: float) -> None:
        """Refuse connections for so long, as a host does where nobody listens. Open connections go on."""
        for server in self.servers:
            server.close()
        for task in self.closing:
            task.cancel()  # closed again before it opened: the last word counts
        task = asyncio.get_running_loop().create_task(self._open_again(seconds))
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)

    async def _open_again(self, seconds: float) -> None:
        await self.x.pause(seconds)
        if not self.should_exit:
            loop = asyncio.get_running_loop()
            self.servers = [await loop.create_server(self._protocol, sock=bind(self.port))]

    def _protocol(self) -> OpenProtocol:
        return OpenProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what sleeps first, so that nothing has to be cut off."""
        self.x.stopping.set()
        with contextlib.suppress(OSError):  # a port that was closed may have been taken meanwhile
            await asyncio.gather(*self.closing)
        await super().shutdown(sockets)


def bind(port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. OSError when the port is in use."""
    return socket.create_server((HOST, port), backlog=512)


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has ended well
        Server(app, listener.getsockname()[1]).run(sockets=[listener])
