"""WebSockets to ASGI applications, in process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio


class Socket:
    """What a client says and hears."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.status: int | None = None
        """Of the answer to the handshake, where it was refused."""
        self.refusal: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.protocol: str | None = None
        self.closed: tuple[int, str] | None = None
        self.over = anyio.Event()
        self.let_in: anyio.Event | None = None
        """Until when the answer to the handshake is on its way."""
        self.is_accepted = False
        self._says, self._said = anyio.create_memory_object_stream[dict[str, Any]](1_000)
        self._says.send_nowait({"type": "websocket.connect"})
        self._news = anyio.Event()

    def close(self) -> None:
        self._says.close()
        self._said.close()

    # ------------------------------------------------------------------ the client
    def say(self, what: Any) -> None:
        """Say something: an object, or the very text or bytes of a message."""
        kind = "bytes" if isinstance(what, bytes) else "text"
        text = what if isinstance(what, str | bytes) else json.dumps(what)
        self._says.send_nowait({"type": "websocket.receive", kind: text})

    def leave(self) -> None:
        self._says.send_nowait({"type": "websocket.disconnect", "code": 1001})

    async def ask(self, what: Any) -> dict[str, Any]:
        """Say something, and give what comes next that is no event."""
        known = len(self.answers)
        self.say(what)
        await self.until(lambda: len(self.answers) > known)
        return self.answers[known]

    async def until(self, holds: Any) -> None:
        with anyio.fail_after(10):
            while not holds():
                await self._news.wait()

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [said for said in self.heard if said["type"] != "event"]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [said["event"] for said in self.heard if said["type"] == "event"]

    def numbers(self, run_id: str) -> list[int | None]:
        return [event["seq"] for event in self.events if event["run_id"] == run_id]

    def has(self, kind: str) -> bool:
        return kind in {event["type"] for event in self.events}

    # ------------------------------------------------------------------ the application's side
    async def receive(self) -> dict[str, Any]:
        return await self._said.receive()

    async def send(self, message: Any) -> None:
        match message["type"]:
            case "websocket.accept":
                self.protocol = message.get("subprotocol")
                self.is_accepted = True
            case "websocket.send":
                self.heard.append(json.loads(message["text"]))
            case "websocket.close":
                self.closed = message["code"], message["reason"]
            case "websocket.http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            case "websocket.http.response.body":
                self.refusal = json.loads(message["body"])
        self._news.set()
        self._news = anyio.Event()
        if message["type"] == "websocket.accept" and self.let_in is not None:
            await self.let_in.wait()


@asynccontextmanager
async def talking(
    app: Any, path: str = "/live", *, let_in: anyio.Event | None = None, **headers: str
) -> AsyncIterator[Socket]:
    """Connect; at the end the client is gone."""
    socket = Socket()
    socket.let_in = let_in
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "websocket", "path": path, "query_string": b"", "headers": [(b"host", b"host"), *raw], "root_path": "",
        "http_version": "1.1", "scheme": "ws", "server": ("host", 80), "client": ("here", 1),
        "subprotocols": headers.get("sec_websocket_protocol", "").split(", "), "extensions": {"websocket.http.response": {}},
    }  # fmt: skip

    async def ask() -> None:
        await app(scope, socket.receive, socket.send)
        socket.over.set()
        socket._news.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        yield socket
        socket.leave()
        with anyio.fail_after(10):
            await socket.over.wait()
    socket.close()
