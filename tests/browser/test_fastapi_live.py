"""The FastAPI example in a real browser: a person starts a run, watches and commands it, and is cut off meanwhile."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import anyio
import jwt
import pytest
from playwright.async_api import Page, expect
from tests.talking import talking
from tests.web_client import client_of
from tests.web_server import serving

from phaseline import Context, Runtime
from phaseline.recipes.task_preparation import Subtask, Task, TemplateDecomposer, task_preparation_pipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi_live" / "app.py"
TITLE = "Users can reset a forgotten password by e-mail"
WORD = "of this test"
SECRET = "0123456789abcdef" * 2
EIGHT = 8


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """The module of the example."""
    spec = spec_from_file_location("fastapi_live_app", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # FastAPI reads annotations by the module's name
    spec.loader.exec_module(module)
    return module


class Gated:
    """Takes a task apart when the test says so."""

    def __init__(self) -> None:
        self.gate = anyio.Event()

    async def __call__(self, task: Task, ctx: Context, /) -> list[Subtask]:
        await self.gate.wait()
        return await anyio.to_thread.run_sync(TemplateDecomposer(), task, ctx)


@pytest.fixture
def decomposer() -> Gated:
    return Gated()


@pytest.fixture
def runtime(decomposer: Gated, tmp_path: Path) -> Runtime:
    """That of the example; the application opens it."""
    return Runtime(f"sqlite:///{tmp_path / 'tasks.db'}", pipelines=[task_preparation_pipeline(decomposer)])


async def test_a_person_watches_and_commands_a_run(
    example: ModuleType, runtime: Runtime, decomposer: Gated, page: Page
) -> None:
    """Every phase and subtask appears without reloading; pause, resume and roll back work; cut off, nothing is missed."""
    expect.set_options(timeout=10_000)
    app = example.create_app(runtime, WORD)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    async with serving(app, lifespan="on") as served:
        await page.goto(served.url)
        await page.evaluate("window.neverReloaded = true")
        await page.fill("[name=name]", "ann")
        await page.fill("[name=password]", WORD)
        await page.click("#login button")
        await page.fill("[name=title]", TITLE)
        await page.click("#start button")

        # It is paused while its first phase runs; that phase ends, and nothing begins.
        await expect(page.locator("#state")).to_have_text("DECOMPOSING")
        await page.click("[data-verb=pause]")
        await expect(page.locator("#state")).to_have_text("PAUSED")
        decomposer.gate.set()
        await expect(page.locator("#subtasks li")).to_have_count(EIGHT)
        await expect(page.locator("#phases li[data-state=COMPLETED]")).to_have_count(1)
        run_id = await page.evaluate("sessionStorage.getItem('run')")
        handle = await runtime.get(run_id)
        assert "PAUSED" == await handle.state()

        # It goes on to its end: the map, its items and the last phase appear.
        await page.click("[data-verb=resume]")
        await expect(page.locator("#state")).to_have_text("COMPLETED")
        await expect(page.locator("#phases li[data-state=COMPLETED]")).to_have_count(EIGHT + 3)

        # It is taken back; then the connection is cut, and a lot happens that nobody tells the page.
        # Its answer is awaited: of a connection that is cut before, a browser sends the request once more.
        async with page.expect_response(lambda response: response.url.endswith("/rollback")):
            await page.click("[data-verb=rollback]")
        await expect(page.locator("#state")).to_have_text("ROLLED_BACK")
        await expect(page.locator("#phases li")).to_have_count(0)
        told = await page.locator("#log li").count()
        await page.context.set_offline(True)
        assert served.cut() > 0
        await expect(page.locator("#line")).to_have_text("offline")
        await handle.resume(actor="somebody else")
        await handle.result(timedelta(seconds=20))
        assert told == await page.locator("#log li").count()
        await page.context.set_offline(False)
        await expect(page.locator("#state")).to_have_text("COMPLETED")

        last = max([event.seq async for event in handle.events()])
        await expect(page.locator("#log li")).to_have_count(last)
        await expect(page.locator("#phases li[data-state=COMPLETED]")).to_have_count(EIGHT + 3)
        shown = await page.evaluate(
            "[...document.querySelectorAll('#log li')].map((item) => Number(item.dataset.key))"
        )
        assert await page.evaluate("window.neverReloaded")

    assert list(range(1, last + 1)) == shown
    assert last > told + EIGHT
    assert [] == complaints


async def test_tokens_of_strangers_old_ones_and_copies_are_refused(
    example: ModuleType, runtime: Runtime
) -> None:
    """Of another secret, expired, of no known shape, or copied before its owner logged out; also at a WebSocket."""
    app = example.create_app(runtime, WORD, secret=SECRET)
    claims = {
        "sub": "ann",
        "aud": example.AUDIENCE,
        "jti": "1",
        "exp": datetime.now(UTC) + timedelta(hours=1),
    }
    tokens = {
        "good": jwt.encode(claims, SECRET),
        "foreign": jwt.encode(claims, SECRET[::-1]),
        "expired": jwt.encode({**claims, "exp": datetime.now(UTC) - timedelta(seconds=1)}, SECRET),
        "for ever": jwt.encode({name: claims[name] for name in ("sub", "aud", "jti")}, SECRET),
        "of others": jwt.encode({**claims, "aud": "another service"}, SECRET),
        "unsigned": jwt.encode(claims, None, "none"),
        "none": "",
    }
    async with runtime, client_of(app) as client:
        codes = {
            name: (await client.get("/api/runs", headers={"authorization": f"Bearer {token}"})).status_code
            for name, token in tokens.items()
        }
        wrong = await client.post("/login", data={"name": "ann", "password": "guessed"})
        await client.post("/login", data={"name": "ann", "password": WORD})
        copied = f"{example.COOKIE}={client.cookies[example.COOKIE]}"
        before = (await client.get("/api/runs")).status_code
        await client.post("/logout")
        client.cookies.clear()
        replayed = (await client.get("/api/runs", headers={"cookie": copied})).status_code
        async with talking(app, "/api/live", cookie=copied) as refused:
            await refused.until(lambda: refused.refusal)

    assert {name: 200 if name == "good" else 401 for name in tokens} == codes
    assert (401, 200, 401, 401) == (wrong.status_code, before, replayed, refused.status)
