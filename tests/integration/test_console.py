"""The console works below any path of any framework, and lets nobody do more than he may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastapi
import litestar
import pytest
from litestar.handlers import asgi as litestar_asgi
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.counted import doubled
from tests.talking import talking
from tests.web_client import client_of

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import DefinitionError
from phaseline.web import Access, Action, asgi_app, console
from phaseline.web.pages.app import READING

doubling = Pipeline("doubling", doubled)


async def known(connection: Any) -> Access | None:
    return Access("user:42") if "authorization" in connection.headers else None


def in_starlette(runtime: Runtime, path: str) -> Any:
    return Starlette(routes=[Mount(path, console(runtime, authorize=known))])


def in_fastapi(runtime: Runtime, path: str) -> Any:
    app = fastapi.FastAPI()
    app.mount(path, console(runtime, authorize=known))
    return app


def in_litestar(runtime: Runtime, path: str) -> Any:
    mounted = litestar_asgi(path, is_mount=True, copy_scope=True)(console(runtime, authorize=known))
    return litestar.Litestar([mounted])


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Some of the hosts know asyncio only."""
    return "asyncio", {}


MOUNTED = [in_starlette, in_fastapi, in_litestar]


@pytest.mark.parametrize("path", ["/", "/ops/console"])
@pytest.mark.parametrize("mounted", MOUNTED)
async def test_it_is_mounted_anywhere(mounted: Callable[..., Any], path: str) -> None:
    """Its page, what lies beside it, what it asks for, and its live events; strangers get no further than the files."""
    runtime = Runtime(pipelines=[doubling])
    app, below = mounted(runtime, path), path.rstrip("/")
    async with client_of(app, below, authorization="yes") as client:
        page = await client.get("/")
        assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["content-type"])
        script = await client.get("/js/main.js")
        assert (200, "text/javascript; charset=utf-8") == (script.status_code, script.headers["content-type"])
        same = await client.get("/js/main.js", headers={"if-none-match": script.headers["etag"]})
        assert (304, b"") == (same.status_code, same.content)
        assert 404 == (await client.get("/js/../../app.py")).status_code
        assert 404 == (await client.get("/nothing.js")).status_code
        assert 405 == (await client.post("/")).status_code
        assert 503 == (await client.get("/api/runs")).status_code
        async with runtime:
            handle = await runtime.start(doubling, 4)
            await handle.wait()
            assert handle.id in (await client.get("/api/runs")).text
            async with talking(app, f"{below}/api/live", authorization="yes") as socket:
                await socket.until(lambda: socket.answers)
            async with client_of(app, below) as stranger:
                assert 200 == (await stranger.get("/")).status_code
                assert 401 == (await stranger.get("/api/runs")).status_code


async def test_browsers_are_led_to_the_slash() -> None:
    """Without it they would look for what lies beside the page one level too high; whatever a proxy put before the path."""
    async with (
        Runtime(pipelines=[doubling]) as runtime,
        client_of(in_litestar(runtime, "/ops/console")) as client,
    ):
        led = await client.get("/ops/console")
    assert (307, "./console/") == (led.status_code, led.headers["location"])


@pytest.mark.parametrize("mounted", MOUNTED)
async def test_behind_a_root_path_it_is_the_same(mounted: Callable[..., Any]) -> None:
    """As a server behind a proxy that takes a prefix away is told it."""
    app = mounted(Runtime(), "/console")

    async def proxied(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/outer", "path": f"/outer{scope['path']}"}, receive, send)

    async with client_of(proxied, "/console") as client:
        assert 200 == (await client.get("/")).status_code
        assert 200 == (await client.get("/vendor/preact.js")).status_code
        assert 401 == (await client.get("/api/runs")).status_code


async def test_files_are_packed_for_who_can_unpack_them() -> None:
    """And are the same for those who cannot."""
    async with client_of(console(Runtime(), authorize=known)) as client:
        packed = await client.get("/vendor/dagre.js", headers={"accept-encoding": "gzip"})
        plain = await client.get("/vendor/dagre.js", headers={"accept-encoding": "identity"})
    assert ("gzip", None) == tuple(each.headers.get("content-encoding") for each in (packed, plain))
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


async def test_the_page_may_use_what_lies_beside_it_alone() -> None:
    """No script of anybody else, none in the page, and no frame around it."""
    async with client_of(console(Runtime(), authorize=known)) as client:
        for path in ("/", "/js/main.js", "/nothing"):
            policy = (await client.get(path)).headers["content-security-policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy


async def test_read_only_changes_nothing() -> None:
    """Whatever the host allows; and the page is told so, that it shows no buttons."""
    app = console(runtime := Runtime(pipelines=[doubling]), authorize=known, read_only=True)
    async with runtime, client_of(app, authorization="yes") as client:
        handle = await runtime.start(doubling, 4)
        await handle.wait()
        assert {*map(str, READING)} == {*(await client.get("/api/access")).json()["actions"]}
        about_it = await client.get("/api/access", params={"run": handle.id})
        assert {*map(str, READING)} == {*about_it.json()["actions"]}
        assert 403 == (await client.post("/api/pipeline/start", json={"input": 4})).status_code
        assert 404 == (await client.post(f"/api/runs/{handle.id}/rollback", json={})).status_code
        (listed,) = (await client.get("/api/runs")).json()["runs"]
        alone = [
            (await client.get(f"/api/{path}")).json()
            for path in (f"runs/{handle.id}", f"runs/{handle.id}/outline", f"pipeline/{handle.id}/state")
        ]
        assert [[]] * 4 == [shown["allowed"] for shown in (listed, *alone)]
        assert "COMPLETED" == await handle.state()
        async with client_of(app) as stranger:
            assert 401 == (await stranger.get("/api/access")).status_code


class Login(BaseModel):
    """What a form asks for, with defaults that nobody must see."""

    name: str = "ann"
    password: str = Field("hunter2", examples=["hunter3"])


@phase
async def log_in(login: Login) -> str:
    return login.name


async def test_forms_are_told_no_secret() -> None:
    """Neither defaults nor examples; where nothing is hidden, all of it is told."""
    runtime = Runtime(pipelines=[Pipeline("logging-in", log_in)])
    async with runtime, client_of(console(runtime, authorize=known), authorization="yes") as client:
        told = await client.get("/api/pipelines/logging-in")
        assert "hunter" not in told.text
        assert "ann" == told.json()["input_schema"]["properties"]["name"]["default"]
        assert told.json()["input_schema"]["properties"]["password"]["writeOnly"]
    async with runtime, client_of(asgi_app(runtime, authorize=known), authorization="yes") as client:
        assert "hunter2" in (await client.get("/pipelines/logging-in")).text


async def test_rights_are_told_of_a_run_or_of_all() -> None:
    """And a run that he may not see has none to tell of."""

    async def authorize(_: Any) -> Access:
        def may(action: Action, run: Any) -> bool:
            return action in (
                (Action.LIST,) if run is None else (Action.READ, Action.PAUSE) if run.key == "mine" else ()
            )

        return Access("user:7", may=may)

    async with (
        Runtime(pipelines=[doubling]) as runtime,
        client_of(console(runtime, authorize=authorize)) as client,
    ):
        mine, other = [await runtime.start(doubling, 4, key=key) for key in ("mine", "other")]
        at_all = (await client.get("/api/access")).json()
        assert ("user:7", "default", ["list"]) == (at_all["actor"], at_all["namespace"], at_all["actions"])
        of_mine = (await client.get("/api/access", params={"run": mine.id})).json()
        assert (mine.id, ["read", "pause"]) == (of_mine["run_id"], of_mine["actions"])
        assert 404 == (await client.get("/api/access", params={"run": other.id})).status_code


def test_what_makes_no_sense_is_refused() -> None:
    """In the words of the function that was called."""
    with pytest.raises(DefinitionError, match="console: None is no runtime"):
        console(None, authorize=known)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="console: authorize=None is no function"):
        console(Runtime(), authorize=None)  # type: ignore[arg-type]
