"""One run, told three ways at once: server-sent events, a plain WebSocket, and Socket.IO.

pip install 'phaseline[web,socketio]' uvicorn websockets aiohttp
"""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.request import Request, urlopen

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from websockets.asyncio.client import connect

from phaseline import Pipeline, Runtime, phase
from phaseline.web import Access, asgi_app
from phaseline.web.socketio import SocketIO


@phase
async def greet(name: str) -> str:
    return f"Hello, {name}"


async def authorize(connection: HTTPConnection) -> Access | None:
    return Access("ann") if connection.headers.get("authorization") == "Bearer of-ann" else None


async def by_websocket(port: int, run: str) -> list[str]:
    told = []
    async with connect(
        f"ws://127.0.0.1:{port}/api/live", additional_headers={"authorization": "Bearer of-ann"}
    ) as line:
        await line.send(json.dumps({"type": "subscribe", "run": run}))
        while "PIPELINE_COMPLETED" not in told:
            said = json.loads(await line.recv())
            told += [said["event"]["type"]] if said["type"] == "event" else []
    return told


async def by_socketio(port: int, run: str) -> list[str]:
    told = []
    async with socketio.AsyncSimpleClient() as line:
        await line.connect(f"http://127.0.0.1:{port}", auth={"token": "of-ann"})
        await line.emit("subscribe", run)
        while "PIPELINE_COMPLETED" not in told:
            name, *data = await line.receive(timeout=10)
            told += [data[0]["type"]] if name == "pipeline-event" else []
    return told


def by_server_sent_events(port: int, run: str) -> list[str]:
    asked = Request(
        f"http://127.0.0.1:{port}/api/runs/{run}/stream", headers={"authorization": "Bearer of-ann"}
    )
    with urlopen(asked, timeout=10) as answer:  # noqa: S310  # of this very process
        lines = [line.decode().strip() for line in answer]
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


async def main() -> None:
    pipeline = Pipeline("greetings", greet)
    async with Runtime(pipelines=[pipeline]) as runtime:
        live = SocketIO(runtime, authorize=authorize)
        app = Starlette(
            routes=[Mount("/api", asgi_app(runtime, authorize=authorize)), Mount("/socket.io", live)]
        )
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
            serving = asyncio.create_task(server.serve([listening]))
            port, run = listening.getsockname()[1], await runtime.start(pipeline, "Bob")
            told = await asyncio.gather(
                by_websocket(port, run.id),
                by_socketio(port, run.id),
                asyncio.to_thread(by_server_sent_events, port, run.id),
            )
            await live.close()
            server.should_exit = True
            await serving
        print("told alike:", told[0] == told[1] == told[2])
        print(*told[0], sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
