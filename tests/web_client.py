"""Clients of ASGI applications, in process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2


def client_of(app: Any, path: str = "", **headers: str) -> httpx2.AsyncClient:
    """A client of an application below a path."""
    transport = httpx2.ASGITransport(app)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.AsyncClient(transport=transport, base_url=f"http://host{path}", headers=given)


class Streamed:
    """An answer that is read while it goes on."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self.gone = anyio.Event()
        self.over = anyio.Event()
        self._news = anyio.Event()

    async def receive(self) -> dict[str, Any]:
        """What the application is told: that the client is gone, once it is."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """What the application tells."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message["body"].decode()
        self._news.set()
        self._news = anyio.Event()

    async def until(self, text: str) -> None:
        """Wait until it has been told."""
        with anyio.fail_after(10):
            while text not in self.text:
                await self._news.wait()

    @property
    def ids(self) -> list[int]:
        """Numbers of the events."""
        return [int(line[4:]) for line in self.text.splitlines() if line.startswith("id: ")]


@asynccontextmanager
async def streaming(app: Any, path: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Streamed]:
    """Ask for something, and read it while it goes on; at the end the client is gone."""
    streamed = Streamed()
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "headers": raw, "root_path": "",
        "http_version": "1.1", "scheme": "http", "server": ("host", 80), "client": ("here", 1),
    }  # fmt: skip

    async def ask() -> None:
        await app(scope, streamed.receive, streamed.send)
        streamed.over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        yield streamed
        streamed.gone.set()
        with anyio.fail_after(10):
            await streamed.over.wait()
