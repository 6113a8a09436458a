"""A NUL character, which PostgreSQL cannot even be asked for, is a mistake of who asks, and none of the server."""

from __future__ import annotations

from typing import Any

from tests.counted import doubled
from tests.opening import OpenRuntime
from tests.web_client import client_of

from phaseline import Pipeline
from phaseline.web import Access, asgi_app
from phaseline.web.routes import ROUTES

doubling = Pipeline("doubling", doubled)


async def everybody(_: Any) -> Access:
    return Access("user:42")


async def test_a_nul_character_is_refused(open_runtime: OpenRuntime) -> None:
    """In each parameter of each query, and in a path; on every storage alike."""
    async with (
        open_runtime(doubling) as runtime,
        client_of(asgi_app(runtime, authorize=everybody, rate=None)) as client,
    ):
        handle = await runtime.start(doubling, 1)
        await handle.wait()
        for route in ROUTES:
            path = route.path.replace("{id}", handle.id).replace("{name}", "doubling")
            for name in route.query.model_fields:
                answer = await client.request(route.method, path, params={name: "a=\0"})
                assert answer.status_code == 422, (route.name, name, answer.text)
            if path != route.path:
                odd = route.path.replace("{id}", "a%00").replace("{name}", "a%00")
                answer = await client.request(route.method, odd, json=None if route.body is None else {})
                assert answer.status_code in {404, 409, 422}, (route.name, answer.text)
