"""The HTTP surface works below a path of whatever framework the host has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastapi
import litestar
import pytest
from litestar.handlers import asgi as litestar_asgi
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.counted import doubled
from tests.talking import talking
from tests.web_client import client_of

from phaseline import Pipeline, Runtime
from phaseline.web import Access, asgi_app, fastapi_router
from phaseline.web.routes import ROUTES

doubling = Pipeline("doubling", doubled)


async def known(connection: Any) -> Access | None:
    return Access("user:42") if "authorization" in connection.headers else None


def in_starlette(runtime: Runtime) -> Any:
    return Starlette(routes=[Mount("/api/runs", asgi_app(runtime, authorize=known))])


def in_fastapi(runtime: Runtime) -> Any:
    app = fastapi.FastAPI()
    app.mount("/api/runs", asgi_app(runtime, authorize=known))
    return app


def as_router(runtime: Runtime) -> Any:
    app = fastapi.FastAPI()
    app.include_router(fastapi_router(runtime, authorize=known), prefix="/api/runs")
    return app


def in_litestar(runtime: Runtime) -> Any:
    mounted = litestar_asgi("/api/runs", is_mount=True, copy_scope=True)(asgi_app(runtime, authorize=known))
    return litestar.Litestar([mounted])


def beside_django(runtime: Runtime) -> Any:
    """As the ``asgi.py`` of a Django project: what is below the prefix is handed over, all else is Django's."""
    from django.conf import settings  # noqa: PLC0415  # it is configured once, where it is needed

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["host"],
            ROOT_URLCONF="tests.integration.nowhere",
            SECRET_KEY="none",  # noqa: S106  # nothing is signed
        )
    mounted = Mount("/api/runs", asgi_app(runtime, authorize=known))
    from django.core.asgi import get_asgi_application  # noqa: PLC0415

    return Starlette(routes=[mounted, Mount("/", get_asgi_application())])


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Some of the hosts know asyncio only."""
    return "asyncio", {}


@pytest.mark.parametrize("mounted", [in_starlette, in_fastapi, as_router, in_litestar, beside_django])
async def test_it_is_mounted_anywhere(mounted: Callable[..., Any]) -> None:
    """Started, streamed and refused below the host's path, once the host has opened the runtime."""
    runtime = Runtime(pipelines=[doubling])
    app = mounted(runtime)
    async with client_of(app, "/api/runs", authorization="yes") as client:
        assert 503 == (await client.get("/pipeline/stats")).status_code
        async with runtime:
            started = await client.post("/pipeline/start", json={"pipeline": "doubling", "input": 4})
            assert 201 == started.status_code, started.text
            run_id = started.json()["id"]
            await (await runtime.get(run_id)).wait()
            shown = await client.get(f"/runs/{run_id}")
            assert (200, 8) == (shown.status_code, shown.json()["output"])
            assert "event: PIPELINE_COMPLETED" in (await client.get(f"/runs/{run_id}/stream")).text
            back = await client.request("PATCH", "/pipeline/pause", json={"id": run_id})
            assert (409, "application/problem+json") == (back.status_code, back.headers["content-type"])
            async with client_of(app, "/api/runs") as stranger:
                assert 401 == (await stranger.get("/runs")).status_code


@pytest.mark.parametrize("mounted", [in_starlette, in_fastapi, in_litestar, beside_django])
async def test_final_slashes_do_not_matter(mounted: Callable[..., Any]) -> None:
    """Nobody is redirected by them."""
    runtime = Runtime(pipelines=[doubling])
    async with runtime, client_of(mounted(runtime), "/api/runs", authorization="yes") as client:
        for path in ("/runs", "/runs/", "/pipeline/stats/", "/openapi.json"):
            assert 200 == (await client.get(path)).status_code, path


@pytest.mark.parametrize("mounted", [in_starlette, as_router, in_litestar])
async def test_live_events_are_told_there_too(mounted: Callable[..., Any]) -> None:
    """By the WebSocket below the host's path."""
    async with Runtime(pipelines=[doubling]) as runtime:
        handle = await runtime.start(doubling, 4)
        async with talking(mounted(runtime), "/api/runs/live", authorization="yes") as socket:
            await socket.until(lambda: socket.answers)
            await socket.ask({"type": "subscribe", "run": handle.id, "after": 0})
            await socket.until(lambda: socket.has("PIPELINE_COMPLETED"))


async def test_the_router_stands_in_the_document_of_its_host() -> None:
    """Each operation, with its body, its answers and its problems; nothing in it leads nowhere."""
    described = as_router(Runtime(pipelines=[doubling])).openapi()
    found = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    for route in ROUTES:
        method, path, operation = found[route.name]
        assert (route.method, f"/api/runs{route.path}") == (method, path)
        assert {"401", "503", str(route.status)} <= {*operation["responses"]}
        assert ("requestBody" in operation) is (route.body is not None)
    assert "#/components/schemas" not in str(described["paths"])
    start = found["startRun"][2]
    assert "input" in start["requestBody"]["content"]["application/json"]["schema"]["required"]
    assert "id" in start["responses"]["201"]["content"]["application/json"]["schema"]["properties"]
