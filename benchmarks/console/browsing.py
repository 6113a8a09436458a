"""The console in a browser, and how long it takes from a click until what was asked for is drawn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from playwright.async_api import Page
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.browsers import browser, program
from tests.web_server import serving

from phaseline import Runtime
from phaseline.web import Access, console

TIMEOUT = 60_000
"""Milliseconds after which nobody waits any more."""
WATCH = """
  window.longest = 0;
  new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) longest = Math.max(longest, duration); })
    .observe({ type: "longtask", buffered: true });
  /** Do something, and look in each frame whether what is asked for is there; gives milliseconds until it is painted, and the
      longest task meanwhile. */
  window.timed = async (act, isDrawn) => {
    longest = 0;
    const begin = performance.now();
    act();
    do {
      await new Promise(requestAnimationFrame);
      if (performance.now() - begin > 60_000) throw new Error("it was not drawn");
    } while (!isDrawn());
    await new Promise((resolve) => setTimeout(resolve)); // laid out and painted is between this frame's calls and the next task
    const took = performance.now() - begin;
    await new Promise((resolve) => setTimeout(resolve, 100)); // of long tasks one is told a little later
    return [took, longest];
  };
"""
GO = """
  ({ link, drawn, text }) => {
    let wasBusy = false; // what stood there before is gone, or said to be old
    return timed(() => { location.hash = link; }, () => {
      const isBusy = Boolean(document.querySelector('[aria-busy="true"]'));
      const found = document.querySelector(drawn);
      wasBusy ||= isBusy || !found;
      return wasBusy && found && !isBusy && (!text || document.body.innerText.includes(text));
    });
  }
"""
PRESS = "(button, { drawn }) => timed(() => button.dispatchEvent(new MouseEvent('click', { bubbles: true })), () => document.querySelector(drawn))"


@attrs.frozen
class Look:
    """What is gone to, or pressed there, and how one knows that it is drawn."""

    name: str
    link: str
    drawn: str
    """Selects what is there then."""
    text: str = ""
    """That stands on the page then."""
    button: str = ""
    """Selects what is pressed, once the page is there; none: the way there is measured."""


@attrs.frozen
class Seen:
    """How long it took."""

    ms: float
    """From the click until it was drawn."""
    longest_ms: float
    """The longest task of the main thread meanwhile; 0 where none was longer than 50 ms."""


async def _somebody(_: Any) -> Access:
    return Access("user:bench")


@asynccontextmanager
async def browsing(runtime: Runtime) -> AsyncGenerator[Page]:
    """Serve the console, and open it in a browser."""
    app = Starlette(routes=[Mount("/ops", console(runtime, authorize=_somebody, rate=None))])
    async with serving(app) as served, browser(program()) as chromium:
        page = await chromium.new_page()
        page.set_default_timeout(TIMEOUT)
        await page.add_init_script(WATCH)
        await page.goto(f"{served.url}/ops/")
        await page.wait_for_selector("table.runs tbody tr")
        yield page


async def look(page: Page, what: Look) -> Seen:
    """Come from another page, and go there; press what is to be pressed."""
    await page.evaluate("location.hash = '#/pipelines'")
    await page.wait_for_selector("h1:text('Pipelines')")
    if not what.button:
        return Seen(*await page.evaluate(GO, attrs.asdict(what)))
    await page.evaluate("(link) => { location.hash = link; }", what.link)
    button = page.locator(what.button).first
    await button.wait_for()
    await page.wait_for_timeout(500)  # the rest of the page is drawn meanwhile
    return Seen(*await button.evaluate(PRESS, {"drawn": what.drawn}))
