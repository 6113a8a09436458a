"""Real sockets that never read: they are let go of, with bounded memory, and nobody else waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

import anyio
import pytest
from anyio.abc import SocketStream
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from tests.talking import talking
from tests.web_server import HOST, serving

from phaseline import Context, CustomEvent, Pipeline, Runtime, phase
from phaseline.web import Access
from phaseline.web.feed import FeedLimits
from phaseline.web.hub import Hubs
from phaseline.web.service import service
from phaseline.web.socketio import MOST_QUEUED, SocketIO
from phaseline.web.websocket import live_route

IMPATIENT = FeedLimits(buffer=200, send_within=timedelta(milliseconds=300))
EVENTS, SIZE = 2_000, 5_000


class Filled(CustomEvent):
    text: str


@phase
async def fill(count: int, ctx: Context) -> int:
    for _ in range(count):
        ctx.emit(Filled(text="x" * SIZE))
    return count


filling = Pipeline("filling", fill)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Alone asyncio: uvicorn knows no other."""
    return "asyncio"


async def anybody(_: HTTPConnection) -> Access:
    return Access("anybody")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    """An open runtime in memory."""
    async with Runtime(pipelines=[filling]) as opened:
        yield opened


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110  # what is on the server tells nobody
            await anyio.sleep(0.02)


async def talk(line: SocketStream, path: str, steps: Sequence[tuple[str, str]]) -> None:
    """Open a WebSocket, and say one thing after another once the one before is answered; nothing more is read then."""
    await line.send(
        f"GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
    )
    heard = b""
    for answer, says in steps:
        while answer.encode() not in heard:
            heard += await line.receive()
        await line.send(bytes([0x81, 0x80 | len(says)]) + bytes(4) + says.encode())


async def test_a_websocket_that_never_reads(runtime: Runtime) -> None:
    """It is let go of; another client hears everything, and the run waits for nobody."""
    hubs, served_as = Hubs(), service("a test", runtime, authorize=anybody, origins=(), rate=None, max_body=1)
    app = Starlette(routes=[live_route(served_as, hubs=hubs, limits=IMPATIENT)])
    async with serving(app, ws_per_message_deflate=False) as served, talking(app) as other:
        async with await anyio.connect_tcp(HOST, served.port) as slow:
            steps = [
                ("connected", '{"type": "subscribe", "everything": true}'),
                ("subscribed", '{"type": "ping"}'),
            ]
            await talk(slow, "/live", steps)
            handle = await runtime.start(filling, EVENTS)
            await other.until(lambda: other.answers)
            await other.ask({"type": "subscribe", "run": handle.id})
            await handle.result(timedelta(seconds=20))
            members = hubs.of(runtime)._members
            assert 2 == len(members)
            await until(lambda: 1 == len(members))
        await other.until(lambda: other.has("PIPELINE_COMPLETED"))

    assert list(range(1, EVENTS + 6)) == other.numbers(handle.id)


async def test_a_client_of_socket_io_that_never_reads(runtime: Runtime) -> None:
    """The same, though its library would keep any number of packets for it."""
    app = SocketIO(runtime, authorize=anybody, live=IMPATIENT)
    async with serving(app, ws_per_message_deflate=False) as served:
        async with await anyio.connect_tcp(HOST, served.port) as slow:
            steps = [("0{", "40"), ("connected", '42["subscribe",{"everything":true}]'), ("subscribed", "3")]
            await talk(slow, "/socket.io/?EIO=4&transport=websocket", steps)
            most = 0
            handle = await runtime.start(filling, EVENTS)
            await handle.result(timedelta(seconds=20))
            (connection,) = app.server.eio.sockets.values()

            def gone() -> bool:
                nonlocal most
                most = max(most, connection.queue.qsize())
                return not app._clients and not app._hubs._hubs

            await until(gone)
        await app.close()

    assert 0 < most <= MOST_QUEUED + 10
