"""Live events over a WebSocket: objects of JSON in both directions, one a message.

A client says::

    {"type": "subscribe", "run": "0qk1…", "after": 12}
    {"type": "subscribe", "pipeline": "prepare_task", "after": {"0qk1…": 12}, "newer_than": "0qk1…"}
    {"type": "subscribe", "everything": true}
    {"type": "unsubscribe", "run": "0qk1…"}
    {"type": "ping"}

It is told ``connected`` once, and ``subscribed``, ``unsubscribed``, ``pong``, ``event`` and ``error``; see
``docs/reference/live.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import anyio
import msgspec
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from phaseline.errors import ForeignOriginError
from phaseline.events import Event
from phaseline.web.feed import DEFAULT_LIMITS, Feed, FeedLimits
from phaseline.web.guard import Visitor
from phaseline.web.hub import Ending, Hubs, Told
from phaseline.web.origins import comes_from
from phaseline.web.problems import problem_of, told_of
from phaseline.web.service import Service, secured
from phaseline.web.topics import Wish, subscribe
from phaseline.wire import to_json

log: Final = logging.getLogger("phaseline.web")

PROTOCOL: Final = "phaseline.v1"
"""The subprotocol; a client may leave it out."""
LONGEST: Final = 64 * 1024
"""Bytes of a client's message."""
MOST_BAD: Final = 5
"""Messages that are not understood, until the connection is closed."""
CLOSE_WITHIN: Final = 2.0
"""Seconds that a client has to hear that it is let go of."""

CODES: Final[Mapping[Ending, tuple[int, str]]] = {
    Ending.SLOW: (
        1013,
        "slow: you do not read what is sent, or too slowly; connect again, and go on after the last number you know",
    ),
    Ending.EXPIRED: (4401, "expired: your access holds no more; get a new one, and connect again"),
    Ending.CLOSING: (1001, "closing: connect again in a while"),
    Ending.FAULT: (1011, "fault: something failed here; connect again"),
    Ending.TOO_BIG: (1009, f"too-big: a message has {LONGEST} bytes at most"),
    Ending.BAD_MESSAGES: (1008, f"bad-messages: {MOST_BAD} of them were not understood"),
}
"""With what a connection is closed that the client did not leave: RFC 6455's codes, and one of ours."""

Answer: TypeAlias = dict[str, Any]


class _Subscribe(Wish, frozen=True, tag="subscribe", tag_field="type", forbid_unknown_fields=True):
    pass


class _Unsubscribe(Wish, frozen=True, tag="unsubscribe", tag_field="type", forbid_unknown_fields=True):
    pass


class _Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type", forbid_unknown_fields=True):
    pass


_Message: TypeAlias = _Subscribe | _Unsubscribe | _Ping
_messages: Final = msgspec.json.Decoder(_Message)


def live_route(
    serving: Service, path: str = "/live", *, hubs: Hubs | None = None, limits: FeedLimits = DEFAULT_LIMITS
) -> WebSocketRoute:
    """Make the route on which clients hear events.

    Args:
        serving: Says who a client is, once, at the handshake; of whose pages browsers may connect; and how often one client
            may say something.
        path: Where it is.
        hubs: Those of the application, where they are shared with something else that tells events.
        limits: What one client may have.
    """
    shared = hubs or Hubs()

    async def talk(websocket: WebSocket) -> None:
        try:
            visitor = await admitted(websocket, serving)
        except Exception as error:  # noqa: BLE001  # all are told, or logged
            await websocket.send_denial_response(secured(problem_of(error, "a WebSocket")))
            return
        await _Connection(
            websocket, visitor, serving, Feed(shared.of(visitor.runtime), visitor, limits)
        ).serve()

    return WebSocketRoute(path, talk, name="live")


async def admitted(connection: HTTPConnection, serving: Service) -> Visitor:
    """Let in somebody who wants to hear events.

    Raises:
        ForeignOriginError: A browser asks, for a page that may not.
        PhaselineError: As ``Service.admit``.
    """
    if not comes_from(connection, serving.origins):
        raise ForeignOriginError(connection.headers["origin"])
    return await serving.admit(connection)


class _Connection:
    """One client: what it says is answered in order with the events that it is told."""

    def __init__(
        self, websocket: WebSocket, visitor: Visitor, serving: Service, feed: Feed[Answer | Ending]
    ) -> None:
        self._websocket, self._visitor, self._serving, self._feed = websocket, visitor, serving, feed
        self._bad = 0

    async def serve(self) -> None:
        """Talk until either side ends."""
        websocket = self._websocket
        offered = websocket.scope.get("subprotocols", ())
        await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        ending = Ending.LEFT
        with self._feed as feed:
            feed.answer({"type": "connected", "protocol": PROTOCOL})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen)
                with suppress(WebSocketDisconnect):  # it went away while something was sent
                    ending = await feed.serve(self._send)
                tasks.cancel_scope.cancel()
        if ending in CODES:
            code, text = CODES[ending]
            with anyio.move_on_after(CLOSE_WITHIN):
                await self._websocket.close(code, text)

    async def _send(self, item: Told | Answer | Ending) -> None:
        if isinstance(item, Ending):  # it has been told all that came before
            self._feed.end(item)
            return
        text = item.form(_event_text) if isinstance(item, Told) else msgspec.json.encode(item).decode()
        await self._websocket.send({"type": "websocket.send", "text": text})

    # ------------------------------------------------------------------ what the client says
    async def _listen(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._feed.end(Ending.LEFT)
                return
            text = message.get("text")
            said: bytes = (
                (message.get("bytes") or b"") if text is None else text.encode("utf-8", "surrogatepass")
            )
            if len(said) > LONGEST:
                self._feed.answer(Ending.TOO_BIG)
                return
            await self._take(said)
            if self._bad >= MOST_BAD:
                self._feed.answer(Ending.BAD_MESSAGES)
                return

    async def _take(self, said: bytes) -> None:
        named: dict[str, Any] = {}
        try:
            try:
                message = _messages.decode(said)
                named = {} if isinstance(message, _Ping) else message.named
            finally:  # whatever it says; a refusal names what was asked for
                self._serving.count(self._visitor)
            await self._carry_out(message)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._bad += 1
            self._feed.answer(_error("bad-message", f"not understood: {error}"))
        except Exception as error:  # noqa: BLE001  # all are told, or logged
            self._feed.answer({**_error(*told_of(error, "a message on a WebSocket")), **named})

    async def _carry_out(self, message: _Message) -> None:
        match message:
            case _Subscribe():
                answer = {"type": "subscribed", **await subscribe(self._feed, message)}
            case _Unsubscribe():
                was = await self._feed.unfollow(message.topic)
                answer = {"type": "unsubscribed", **message.named, "was_subscribed": was}
            case _Ping():
                answer = {"type": "pong"}
        self._feed.answer(answer)


def _event_text(event: Event) -> str:
    return f'{{"type":"event","event":{to_json(event)}}}'


def _error(code: str, message: str) -> Answer:
    return {"type": "error", "code": code, "message": message}
