"""Real servers of ASGI applications, on loopback, in the event loop of the test."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import uvicorn

HOST = "127.0.0.1"


@attrs.frozen
class Served:
    """An application that is served."""

    port: int
    server: uvicorn.Server

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}"

    def cut(self) -> int:
        """Cut all connections, as a network does: nobody says goodbye; gives how many there were."""
        connections = [*self.server.server_state.connections]
        for connection in connections:
            connection.transport.abort()
        return len(connections)


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[Served]:
    """Serve an application."""
    with socket.create_server((HOST, 0), backlog=2_048) as listening:
        settings = {"lifespan": "off", "log_level": "warning", "timeout_graceful_shutdown": 2, **options}
        server = uvicorn.Server(uvicorn.Config(app, **settings))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._serve, [listening])  # not serve(): signals are the test's
            with anyio.fail_after(10):
                while not server.started:  # noqa: ASYNC110  # it has no event for it
                    await anyio.sleep(0.01)
            try:
                yield Served(listening.getsockname()[1], server)
            finally:
                server.should_exit = True
