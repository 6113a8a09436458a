"""The line on which the console hears what happens, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, WebSocket, expect
from tests.consoles import consoled

from phaseline import Pipeline, Runtime, phase
from phaseline.web import Access

LATER = timedelta(hours=1)
TWICE_ONLINE = "addEventListener('online', (event) => event.isTrusted && dispatchEvent(new Event('online')))"
BUSY_AT_FIRST = """
  const later = setTimeout;
  setTimeout = (call, ms) => later(call, ms === 30_000 ? 1_000 : ms);
  let isBusy = true;
  WebSocket = class extends WebSocket {
    send(text) {
      if (!isBusy) return super.send(text);
      isBusy = false;
      const data = JSON.stringify({ ...JSON.parse(text), type: "error", code: "too-many-requests" });
      later(() => this.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
"""


@phase
async def look(text: str) -> str:
    return text.upper()


looking = Pipeline("looking", look)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime on a file."""
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[looking]) as opened:
        yield opened


async def test_who_asked_too_often_is_told_events_a_little_later(page: Page, runtime: Runtime) -> None:
    """Of what was refused; meanwhile the page looks by itself, and says so."""
    async with consoled(page, runtime) as opened:
        await page.add_init_script(BUSY_AT_FIRST)
        await opened.goto()
        await expect(page.get_by_text("Looking every 5 seconds")).to_be_visible()
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await (await runtime.start(looking, "a")).wait()
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)


async def test_a_page_has_one_line(page: Page, runtime: Runtime) -> None:
    """However often it is told that the network is back."""
    lines: list[WebSocket] = []
    page.on("websocket", lambda line: lines.append(line))  # noqa: PLW0108  # it marks what it is given
    async with consoled(page, runtime) as opened:
        await opened.goto()
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await page.context.set_offline(True)
        opened.served.cut()
        await expect(page.locator(".banner")).to_contain_text("The connection is lost")
        await page.evaluate(TWICE_ONLINE)
        await page.context.set_offline(False)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await page.wait_for_timeout(300)
        assert 1 == len([line for line in lines if not line.is_closed()])


async def test_who_is_signed_out_is_told_that_the_page_is_old(page: Page, runtime: Runtime) -> None:
    """What was read stays there, below a banner."""
    known = True

    async def reader(_: Any) -> Access | None:
        return Access("user:ann") if known else None

    await runtime.start(looking, "a", delay=LATER)
    async with consoled(page, runtime, authorize=reader) as opened:
        await opened.goto()
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)
        known = False
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator(".banner")).to_contain_text("You are signed out. What you see may be old")
