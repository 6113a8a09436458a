"""Live events by Socket.IO: the Python client and that of browsers pass one scenario, on a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import pytest
import socketio
from starlette.requests import HTTPConnection
from tests.node import installed
from tests.web_client import client_of
from tests.web_server import serving

from phaseline import Pipeline, Runtime, phase
from phaseline.web import Access
from phaseline.web.socketio import SocketIO

TOKEN = "let me in"  # noqa: S105  # of this test
UNKNOWN = "0" * 22


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Alone asyncio: python-socketio knows no other."""
    return "asyncio"


class Gate:
    """Stands between the start of a phase and its end; each test closes it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


gate = Gate()


@phase
async def half(number: int) -> int:
    await gate.wait()
    return number // 2


halving = Pipeline("halving", half)


async def by_token(connection: HTTPConnection) -> Access | None:
    return Access("somebody") if connection.headers.get("authorization") == f"Bearer {TOKEN}" else None


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    """An open runtime in memory."""
    async with Runtime(pipelines=[halving]) as opened:
        yield opened


async def python_scenario(url: str, run: str) -> dict[str, Any]:
    """What ``scenario.js`` does, in Python."""
    heard: dict[str, Any] = {
        name: [] for name in ("connected", "subscribed", "refused", "events", "kinds", "unsubscribed")
    }
    kinds = {"pipeline-event": "events", "phase-completed": "kinds"}

    async def until(client: socketio.AsyncSimpleClient, name: str) -> None:
        while True:
            said, data = await client.receive(timeout=10)
            if (kept := kinds.get(said, said)) in heard:
                heard[kept].append(data)
            if said == name:
                return

    stranger = socketio.AsyncClient()
    stranger.on("connect_error", lambda error: heard.update(error=error))
    with pytest.raises(socketio.exceptions.ConnectionError):
        await stranger.connect(url, auth={"token": "wrong"})
    async with socketio.AsyncSimpleClient() as first:
        await first.connect(url, auth={"token": TOKEN})
        await until(first, "connected")
        await first.emit("subscribe", UNKNOWN)
        await until(first, "refused")
        await first.emit("subscribe", run)
        await until(first, "pipeline-completed")
    async with socketio.AsyncSimpleClient() as second:
        await second.connect(url, auth={"token": TOKEN})
        await until(second, "connected")
        await second.emit("subscribe", {"run": run, "after": 3})
        await until(second, "pipeline-completed")
        await second.emit("unsubscribe", {"run": run})
        await until(second, "unsubscribed")
    return heard


async def javascript_scenario(url: str, run: str) -> dict[str, Any]:
    """The client of browsers, on Node."""
    node, program = await anyio.to_thread.run_sync(installed, "scenario.js")
    with anyio.fail_after(30):
        done = await anyio.run_process([node, program, url, TOKEN, run], check=False)
    assert done.returncode == 0, done.stderr.decode()
    heard: dict[str, Any] = json.loads(done.stdout)
    return heard


@pytest.mark.parametrize("scenario", [python_scenario, javascript_scenario])
async def test_both_clients_pass_one_scenario(runtime: Runtime, scenario: Any) -> None:
    """Refused without a token; unknown runs refused; stored events first, then live ones; taken up again; unsubscribed."""
    app = SocketIO(runtime, authorize=by_token)
    async with serving(app) as served, anyio.create_task_group() as tasks:
        run = await runtime.start(halving, 8)

        async def go_on() -> None:
            while not any(client.feed._topics for client in app._clients.values()):  # noqa: ASYNC110  # a client outside
                await anyio.sleep(0.005)
            gate.set()

        gate.clear()
        tasks.start_soon(go_on)
        heard = await scenario(served.url, run.id)
        await app.close()

    assert {"protocol": "phaseline.v1"} == heard["connected"][0] == heard["connected"][1]
    assert ("unauthenticated", "unknown-run") == (heard["error"]["data"]["code"], heard["refused"][0]["code"])
    assert [{"run": run.id, "seq": 2}, {"run": run.id, "seq": 5}] == heard["subscribed"]
    assert [{"run": run.id, "was_subscribed": True}] == heard["unsubscribed"]
    assert [1, 2, 3, 4, 5, 4, 5] == [event["seq"] for event in heard["events"]]
    assert [heard["events"][2]] == heard["kinds"]
    assert ("PHASE_COMPLETED", run.id, "halving", "half") == tuple(
        heard["kinds"][0][name] for name in ("type", "run_id", "pipeline", "phase")
    )


@pytest.mark.parametrize("broken", ["may", "to_wire"])
async def test_a_mistake_ends_the_connection(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """Of the host or of ours: the client is told so, and comes again, rather than stay and hear nothing."""

    def fail(*_: object) -> bool:
        raise KeyError("secret")

    async def somebody(_: HTTPConnection) -> Access:
        return Access("somebody", may=lambda action, run: run is None or broken != "may" or fail())

    if broken == "to_wire":
        monkeypatch.setattr("phaseline.web.socketio.to_wire", fail)
    app = SocketIO(runtime, authorize=somebody)
    said: list[tuple[str, Any]] = []
    gone = anyio.Event()
    async with serving(app) as served:
        client = socketio.AsyncClient(reconnection=False)
        client.on("*", lambda name, data: said.append((name, data)))
        client.on("disconnect", lambda *_: gone.set())
        await client.connect(served.url)
        await client.call("subscribe", {"everything": True})
        gate.set()
        await runtime.run(halving, 8)
        with anyio.fail_after(10):
            await gone.wait()
        left = len(app._clients)
        await client.shutdown()
        await app.close()

    logged = [
        record.exc_info[0] for record in caplog.records if record.name == "phaseline.web" and record.exc_info
    ]
    assert (("ended", {"reason": "fault"}), 0, [KeyError]) == (said[-1], left, logged)
    assert "secret" not in str(said)


async def test_who_says_goodbye_before_he_is_let_in_is_not_kept(runtime: Runtime) -> None:
    """By long polling a client may do so while the host looks up who it is, and the library tells nobody of it."""
    asked, answers = anyio.Event(), anyio.Event()

    async def in_a_while(_: HTTPConnection) -> Access:
        asked.set()
        await answers.wait()
        return Access("somebody")

    app = SocketIO(runtime, authorize=in_a_while)
    polling = {"EIO": "4", "transport": "polling"}
    async with client_of(app) as client:
        opened = await client.get("/", params=polling)
        polling["sid"] = json.loads(opened.text[1:])["sid"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(client.post, "/", params=polling, content="40"))
            await asked.wait()
            await client.post("/", params=polling, content="1")
            answers.set()
    left = [*app._clients, *app._hubs.of(runtime)._members, *app.server.manager.rooms]
    await app.close()

    assert [] == left
