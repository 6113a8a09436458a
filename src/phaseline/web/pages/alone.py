"""The console served by itself, for who is at this machine: behind an address that nobody else knows."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from phaseline.runtime import Runtime
from phaseline.web.access import Access
from phaseline.web.pages.app import console

import_module("websockets")  # without it uvicorn would serve no live events, and say nothing

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
GRACE: Final = 2
"""Seconds that answers which are under way may take in the end."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: it is told to stop by who heeds them."""
        yield


async def show(
    runtime: Runtime,
    *,
    listening: socket.socket,
    actor: str,
    read_only: bool,
    ready: Callable[[str], object],
) -> signal.Signals | None:
    """Show the runs of an open runtime until the process is told to stop; a second signal ends it at once.

    Args:
        runtime: Whose runs are shown.
        listening: Where browsers come to; on loopback, for whoever knows the address may do everything.
        actor: Who does what is done there.
        read_only: Whether nothing may be changed.
        ready: Called with the address, which holds a secret.

    Returns:
        By which signal it was told.
    """

    async def known(_: Any) -> Access:
        return Access(actor)

    secret = secrets.token_urlsafe(16)  # in the path: others on this machine reach the port too
    app = Starlette(routes=[Mount(f"/{secret}", console(runtime, authorize=known, read_only=read_only))])
    server = _Server(
        uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=GRACE)
    )
    told: list[signal.Signals] = []

    async def heed(signals: AsyncIterator[signal.Signals]) -> None:
        async for number in signals:
            if told:
                os._exit(128 + number)
            told.append(number)
            server.should_exit = True

    host, port = listening.getsockname()[:2]
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(*STOPPING) as signals:
            tasks.start_soon(heed, signals)
            ready(f"http://{host}:{port}/{secret}/")
            await server.serve(sockets=[listening])
        tasks.cancel_scope.cancel()
    return told[0] if told else None
