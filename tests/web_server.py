"""Real servers of ASGI applications, on loopback, in the event loop of the test."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn

HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """One that leaves signals to the test."""

    def install_signal_handlers(self) -> None: ...


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[int]:
    """Serve an application; gives the port."""
    listening = socket.create_server((HOST, 0), backlog=2_048)
    settings = {"lifespan": "off", "log_level": "warning", "timeout_graceful_shutdown": 2, **options}
    server = _Server(uvicorn.Config(app, **settings))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server._serve, [listening])
        with anyio.fail_after(10):
            while not server.started:  # noqa: ASYNC110  # it has no event for it
                await anyio.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
