"""Server-sent events: an answer that goes on as long as there is something to tell."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import anyio
import anyio.lowlevel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from phaseline.errors import PhaselineError
from phaseline.events import Event
from phaseline.wire import to_json

log: Final = logging.getLogger("phaseline.web")

KEEP_ALIVE: Final = 15.0
"""Seconds of silence after which something is said, so that nothing between us and the client takes it for dead."""
SEND_WITHIN: Final = 30.0
"""Seconds within which a client must take what it is told; then it is let go of, and may connect again."""
RECONNECT_MS: Final = 1_000
"""After how long a browser connects again."""


class EventStreamResponse(Response):
    """Tells events until there are no more, the client is gone, or its access ends.

    A client that reads slowly is told what is stored, when it is ready for it: nothing gathers here meanwhile. One that does not
    read at all is let go of.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[Event], *, seconds: float | None = None) -> None:
        """Make it; nothing is read before it is sent.

        Args:
            events: What is told.
            seconds: How long the client's access holds on; None for ever.
        """
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]  # nobody knows
        self._events: Any = events  # a generator: it is closed, too
        self._seconds: float = math.inf if seconds is None else seconds
        self._sending: anyio.Lock = anyio.Lock()
        self._told: bool = False
        """Whether something was told since the last look."""
        self._is_stuck: bool = False
        """Whether the client does not read."""
        self._scope: anyio.CancelScope = anyio.CancelScope()
        """Of all that is done for it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as of every response
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with anyio.create_task_group() as tasks:
            self._scope = tasks.cancel_scope
            tasks.start_soon(self._until_gone, receive, tasks.cancel_scope)
            tasks.start_soon(self._keep_alive, send)
            with anyio.move_on_after(self._seconds) as allowed:
                await self._tell(send)
            if allowed.cancelled_caught:
                await self._send(send, 'event: closed\ndata: {"reason": "expired"}\n\n')
            tasks.cancel_scope.cancel()
        if not self._is_stuck:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, send: Send) -> None:
        await self._send(send, f"retry: {RECONNECT_MS}\n\n")
        async with aclosing(self._events) as events:
            try:
                async for event in events:
                    number = "" if event.seq is None else f"id: {event.seq}\n"
                    await self._send(send, f"{number}event: {event.type}\ndata: {to_json(event)}\n\n")
            except PhaselineError as error:  # it connects again, and is told the rest then
                log.warning("a stream of events ended: %s", error)

    async def _send(self, send: Send, text: str) -> None:
        async with self._sending:
            self._told = True
            with anyio.move_on_after(SEND_WITHIN) as taking:
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            if taking.cancelled_caught:
                log.info(
                    "a client of a stream of events took nothing for %g s, and was let go of", SEND_WITHIN
                )
                self._is_stuck = True
                self._scope.cancel()
                await anyio.lowlevel.checkpoint()

    async def _keep_alive(self, send: Send) -> None:
        while True:
            self._told = False
            await anyio.sleep(KEEP_ALIVE)
            if not self._told:
                await self._send(send, ": still here\n\n")

    @staticmethod
    async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
