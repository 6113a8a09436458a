"""The console in a real browser, as a person uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.web_server import Served, serving

from phaseline import Abort, Context, Pipeline, Runtime, phase
from phaseline.web import Access, console

HOSTILE = "<img src=x onerror=alert(1)>"


class Gates:
    """Hold bodies back until the test says so."""

    def __init__(self) -> None:
        self.open = anyio.Event()


gates = Gates()


@phase
async def look(text: str, ctx: Context) -> str:
    if text.startswith("bad"):
        raise Abort(f"{HOSTILE} cannot be looked at")
    if text.startswith("slow"):
        await gates.open.wait()
    return text.upper()


looking = Pipeline("looking", look)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime on a file."""
    gates.open = anyio.Event()
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[looking]) as opened:
        yield opened


async def ann(_: Any) -> Access:
    return Access("user:ann")


@attrs.frozen
class Opened:
    """The console in a browser."""

    page: Page
    served: Served
    complaints: list[str]

    async def goto(self, link: str = "") -> None:
        """Go to a page of it."""
        await self.page.goto(f"{self.served.url}/ops/{link}")


@asynccontextmanager
async def consoled(page: Page, runtime: Runtime, **options: Any) -> AsyncIterator[Opened]:
    """Serve the console; in the end nobody complained, and nothing was asked for elsewhere."""
    expect.set_options(timeout=10_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda told: "Content Security" in told.text and complaints.append(told.text))
    app = Starlette(routes=[Mount("/ops", console(runtime, **{"authorize": ann, **options}))])
    async with serving(app) as served:
        page.on("request", lambda asked: asked.url.startswith(served.url) or complaints.append(asked.url))
        yield Opened(page, served, complaints)
        await page.goto("about:blank")
    assert [] == complaints


async def test_runs_are_listed_found_and_told_as_they_come(page: Page, runtime: Runtime) -> None:
    """Counted by state, looked for by the address, live, and across a lost connection; hostile texts stay texts."""
    for number in range(51):
        await runtime.start(
            looking, f"quick {number}", key=f"quick-{number}", tags=["first"] if number < 3 else []
        )
    bad = await runtime.start(looking, "bad", key=HOSTILE)
    await bad.wait()
    async with consoled(page, runtime) as opened:
        await opened.goto()
        rows = page.locator("table.runs tbody tr")
        await expect(rows).to_have_count(50)
        await expect(page.get_by_role("link", name="All 52")).to_be_visible()
        await expect(rows.first).to_contain_text(HOSTILE)
        assert 0 == await page.locator("img[src=x]").count()

        # Pages are links; what is looked for stands in the address, and can be sent to somebody.
        await page.get_by_role("link", name="Older").click()
        await expect(rows).to_have_count(2)
        await page.get_by_role("link", name="Failed 1").click()
        await expect(rows).to_have_count(1)
        await opened.goto("#/runs?tag=first")
        await expect(rows).to_have_count(3)
        await page.keyboard.press("/")
        await page.keyboard.type("QUICK-2")
        await expect(rows).to_have_count(1)
        assert "text=QUICK-2" in page.url
        await page.get_by_label("Search").fill("no such run")
        await expect(page.get_by_role("heading", name="No run is like that")).to_be_visible()
        await page.get_by_role("link", name="Show all runs").click()
        await expect(rows).to_have_count(50)

        # It is live, also of what happened while the line was cut.
        slow = await runtime.start(looking, "slow", key="slow")
        await expect(rows.first).to_contain_text("Look")
        await page.context.set_offline(True)
        opened.served.cut()
        await expect(page.get_by_role("alert")).to_contain_text("The connection is lost")
        gates.open.set()
        await slow.wait()
        await page.context.set_offline(False)
        await expect(rows.first).to_contain_text("Completed")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()

        # By keys alone: down, down, into a run.
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="looking v1")).to_be_visible()
        assert bad.id in page.url
        await expect(page.get_by_role("table")).to_contain_text("look")


async def test_whoever_is_unknown_is_told_what_to_do(page: Page, runtime: Runtime) -> None:
    """And sees nothing."""

    async def nobody(_: Any) -> None:
        return None

    async with consoled(page, runtime, authorize=nobody) as opened:
        await opened.goto()
        await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
        await expect(page.get_by_text("Signed out")).to_be_visible()
        assert 0 == await page.get_by_role("link", name="Runs", exact=True).count()
