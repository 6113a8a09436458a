"""The console in a real browser, for tests of its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.web_server import Served, serving

from phaseline import Runtime
from phaseline.web import Access, console


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

    async def press(self, deed: str, confirm: str | None = None, reason: str = "") -> None:
        """Press a button, and confirm it."""
        await self.page.get_by_role("button", name=deed, exact=True).click()
        dialog = self.page.get_by_role("dialog")
        if reason:
            await dialog.get_by_label("Reason").fill(reason)
        await dialog.get_by_role("button", name=confirm or deed, exact=True).click()
        await expect(dialog).to_have_count(0)


class Gates:
    """Hold bodies back until the test says so."""

    def __init__(self) -> None:
        self.open = anyio.Event()


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
