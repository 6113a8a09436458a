"""Live events by Socket.IO (extra ``socketio``), for clients that speak it already; on asyncio alone.

A client emits ``subscribe`` with the id of a run, or with an object as a WebSocket's: ``{"run": id, "after": 12}``,
``{"pipeline": name}``, ``{"everything": true}``; and ``unsubscribe`` with the same. It hears ``connected``, ``subscribed``,
``unsubscribed``, ``refused``, ``ended``, and of each event ``pipeline-event`` and one by its kind: ``phase-completed``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final, NamedTuple, cast

import anyio
import attrs
import msgspec
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from phaseline.errors import MissingExtraError
from phaseline.web.access import Authorize
from phaseline.web.feed import DEFAULT_LIMITS, Feed, FeedLimits
from phaseline.web.guard import Source, Visitor
from phaseline.web.hub import Ending, Hubs, Told
from phaseline.web.origins import comes_from
from phaseline.web.problems import told_of
from phaseline.web.rates import DEFAULT
from phaseline.web.service import service
from phaseline.web.topics import Wish, subscribe
from phaseline.web.websocket import LONGEST, PROTOCOL, admitted
from phaseline.wire import to_wire

try:
    # It has no types: what is used of it is said where it is used.
    socketio: Any = import_module("socketio")
except ImportError as _error:
    raise MissingExtraError("phaseline.web.socketio", "socketio") from _error

log: Final = logging.getLogger("phaseline.web")

EVENT: Final = "pipeline-event"
MOST_QUEUED: Final = 100
"""Packets that wait for a client; the library would keep any number."""
PAUSE: Final = 0.01
"""Seconds between two looks at whether they are fewer."""


class _Said(NamedTuple):
    """Something that is no event of a run."""

    name: str
    data: dict[str, Any]


@attrs.frozen
class _Client:
    visitor: Visitor
    feed: Feed[_Said]


class SocketIO:
    """An ASGI application that a host mounts where its clients look for Socket.IO: ``Mount("/socket.io", SocketIO(...))``.

    It has no lifespan; ``await close()`` ends what it runs beside connections.
    """

    def __init__(
        self,
        runtime: Source,
        *,
        authorize: Authorize,
        origins: Iterable[str] = (),
        rate: str | None = DEFAULT,
        live: FeedLimits = DEFAULT_LIMITS,
    ) -> None:
        """Make one.

        Args:
            runtime: As ``asgi_app``.
            authorize: Says who connects. What a client gives as ``auth: {token: ...}`` is found in the header
                ``Authorization``, as a Bearer token.
            origins: As ``asgi_app``.
            rate: As ``asgi_app``; each ``connect`` of Socket.IO and each message count. What comes before, the handshakes and
                polls of Engine.IO, does not: nobody says there yet who he is. A proxy before the host may bound these.
            live: What one client may have.

        Raises:
            DefinitionError: An argument makes no sense.
        """
        self._serving = service(
            "SocketIO", runtime, authorize=authorize, origins=origins, rate=rate, max_body=LONGEST
        )
        self._hubs, self._limits = Hubs(), live
        self._clients: dict[str, _Client] = {}
        self.server: Any = socketio.AsyncServer(
            async_mode="asgi", cors_allowed_origins=self._may_come_from, max_http_buffer_size=LONGEST,
        )  # fmt: skip
        """The ``socketio.AsyncServer``: a host may add events of its own to it."""
        for name, handler in (
            ("connect", self._connect), ("disconnect", self._disconnect), ("subscribe", self._subscribe),
            ("unsubscribe", self._unsubscribe),
        ):  # fmt: skip
            self.server.on(name, handler)
        self._app: Any = socketio.ASGIApp(self.server, socketio_path=None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a connection."""
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """Disconnect all clients, and end what runs beside them."""
        for sid in [*self._clients]:
            await self.server.disconnect(sid)
        await self.server.shutdown()

    def _may_come_from(self, _origin: str | None, environ: dict[str, Any]) -> bool:
        return comes_from(HTTPConnection(environ["asgi.scope"]), self._serving.origins)

    # ------------------------------------------------------------------ what clients do
    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        try:
            visitor = await admitted(_with_token(environ["asgi.scope"], auth), self._serving)
            feed: Feed[_Said] = Feed(self._hubs.of(visitor.runtime), visitor, self._limits)
        except Exception as error:  # noqa: BLE001  # all are told, or logged
            code, message = told_of(error, "a Socket.IO connection")
            raise socketio.exceptions.ConnectionRefusedError(message, {"code": code}) from None
        if self._is_gone(sid):  # the library tells nobody of who says goodbye before he is let in
            raise socketio.exceptions.ConnectionRefusedError("gone")
        self._clients[sid] = _Client(visitor, feed)
        feed.answer(_Said("connected", {"protocol": PROTOCOL}))
        self.server.start_background_task(self._serve, sid, feed)

    def _disconnect(self, sid: str, *_: object) -> None:
        client = self._clients.pop(sid, None)
        if client is not None:
            client.feed.end(Ending.LEFT)

    async def _subscribe(self, sid: str, data: object = None) -> None:
        await self._answer(sid, data, leave=False)

    async def _unsubscribe(self, sid: str, data: object = None) -> None:
        await self._answer(sid, data, leave=True)

    async def _answer(self, sid: str, data: object, *, leave: bool) -> None:
        client = self._clients.get(sid)
        if client is None:  # it is gone already
            return
        feed, named = client.feed, dict[str, Any]()
        try:
            try:
                wish = msgspec.convert({"run": data} if isinstance(data, str) else data, Wish)
                named = wish.named
            finally:  # whatever it says; a refusal names what was asked for
                self._serving.count(client.visitor)
            if leave:
                answer = _Said("unsubscribed", {**named, "was_subscribed": await feed.unfollow(wish.topic)})
            else:
                answer = _Said("subscribed", await subscribe(feed, wish))
        except msgspec.MsgspecError as error:
            answer = _Said("refused", {"code": "bad-message", "message": f"not understood: {error}"})
        except Exception as error:  # noqa: BLE001  # all are told, or logged
            code, message = told_of(error, "a message of Socket.IO")
            answer = _Said("refused", {"code": code, "message": message, **named})
        feed.answer(answer)

    # ------------------------------------------------------------------ what they hear
    async def _serve(self, sid: str, feed: Feed[_Said]) -> None:
        async def send(item: Told | _Said) -> None:
            await self._room(sid)
            if isinstance(item, _Said):
                await self.server.emit(item.name, item.data, to=sid)
                return
            data = item.form(to_wire)
            await self.server.emit(EVENT, data, to=sid)
            await self.server.emit(kind_of(data["type"]), data, to=sid)

        try:
            with feed:
                ending = await feed.serve(send)
        except Exception:  # nobody else hears of it: the client would stay, and be told nothing
            log.exception("a client of Socket.IO could not be told of events")
            ending = Ending.FAULT
        if ending is not Ending.LEFT:
            await self.server.emit("ended", {"reason": ending.value}, to=sid)
            await self.server.disconnect(sid)

    async def _room(self, sid: str) -> None:
        """Wait until a client has taken what was sent to it: the library itself never waits."""
        while self._queued(sid) > MOST_QUEUED:  # noqa: ASYNC110  # its queue tells nobody when it was taken from
            await anyio.sleep(PAUSE)

    def _queued(self, sid: str) -> int:
        connection = self._carrier(sid)
        return 0 if connection is None else connection.queue.qsize()

    def _is_gone(self, sid: str) -> bool:
        connection = self._carrier(sid)
        return connection is None or connection.closing or connection.closed

    def _carrier(self, sid: str) -> Any:
        """Give the library's own connection below a client's; None where it has ended."""
        return self.server.eio.sockets.get(self.server.manager.eio_sid_from_sid(sid, "/"))


def kind_of(type_: str) -> str:
    """Give the name by which clients listen to one kind of event: ``phase-completed`` for ``PHASE_COMPLETED``."""
    return type_.lower().replace("_", "-")


def _with_token(scope: Scope, auth: object) -> HTTPConnection:
    """Give the connection, with the token that the client gave where browsers cannot give a header."""
    given = cast("dict[str, object]", auth) if isinstance(auth, dict) else {}  # JSON has texts as keys
    token, connection = given.get("token"), HTTPConnection(scope)
    if not isinstance(token, str) or not token.isascii() or "authorization" in connection.headers:
        return connection
    return HTTPConnection(
        {**scope, "headers": [*scope["headers"], (b"authorization", b"Bearer " + token.encode())]}
    )
