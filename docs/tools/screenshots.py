"""Draws the pages of the console anew, in both themes: ``python -m docs.tools.screenshots``.

What they show is the shop of ``examples/console``: its runs of today are real ones; those of the week before, of which the
numbers over time are made, are written as the storage would have them.
"""

from __future__ import annotations

import base64
import math
import random
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import anyio
from playwright.async_api import Page, ViewportSize
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.browsers import browser, program
from tests.web_server import serving

from phaseline import RunHandle, Runtime
from phaseline._shell.ids import new_run_id
from phaseline.rows import PhaseState
from phaseline.testing.storage.build import make_phase, make_run, make_unit
from phaseline.unit_of_work import Unit
from phaseline.web import Access, console

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs" / "images" / "console"
PAGES: Final = {
    "runs": "#/runs", "run": "#/run/{run}", "pipeline": "#/pipelines/orders", "dead-letters": "#/dead-letters",
    "schedules": "#/schedules?name=report", "workers": "#/workers", "analytics": "#/analytics",
}  # fmt: skip
SIZE: Final = ViewportSize(width=1280, height=860)
QUALITY: Final = 82
NOBODY: Final = "Nobody"
CUSTOMERS: Final = ("Ada Lovelace", "Grace Hopper", NOBODY, "Alan Turing", "Mary Shelley", "Edsger Dijkstra")
DAYS: Final = 7
LOST: Final = 5
"""Of every fifth order one article is in no shelf."""


def shop() -> Any:
    """The example, which is no module of a package."""
    spec = spec_from_file_location("shop", ROOT / "examples" / "console" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules["shop"] = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def week(now: datetime) -> Iterator[Unit]:
    """Orders of the days before: more by day than by night; some fail."""
    chance = random.Random(4)  # noqa: S311  # the same pictures each time
    for hour in range(DAYS * 24, 1, -1):
        begin = now - timedelta(hours=hour)
        busy = 1 - 0.9 * math.cos((begin.hour + begin.minute / 60) / 24 * 2 * math.pi)
        for _ in range(int(4 * busy + chance.random())):
            yield _order(begin + timedelta(seconds=3_600 * chance.random()), busy, chance)


def _order(at: datetime, busy: float, chance: random.Random) -> Unit:
    begun = at + timedelta(seconds=chance.expovariate(3 / busy))
    took = timedelta(seconds=chance.lognormvariate(0.9, 0.4) * (1 + busy / 4))
    state = "FAILED" if chance.random() < 0.03 * busy else "COMPLETED"
    run = make_run(
        new_run_id(at), namespace="default", pipeline="orders", state=state, created_at=at, started_at=begun,
        updated_at=begun + took, ended_at=begun + took,
    )  # fmt: skip
    names = ("check", "pick", "invoice", "ship")
    phases = [
        make_phase(
            name, PhaseState.COMPLETED, position=number, available_at=begun + took * number / 4,
            started_at=begun + took * (number + 0.05) / 4, ended_at=begun + took * (number + 1) / 4,
        )
        for number, name in enumerate(names)
    ]  # fmt: skip
    return make_unit(run, inserted=phases)


async def fill(runtime: Runtime, of: Any) -> RunHandle[Any]:
    """Have the shop do its work; gives an order that waits for somebody."""
    units = [*week(datetime.now(UTC))]
    for first in range(0, len(units), 200):
        await runtime.runner.write(partial(runtime.runner.storage.commit, units[first : first + 200]))
    await runtime.schedules.put("report", of.reports, input="yesterday", cron="0 3 * * *", tz="Europe/Berlin")
    await runtime.schedules.put("stock-taking", of.reports, input="the month", cron="0 22 L * *")
    await runtime.schedules.pause("stock-taking")
    await (await runtime.schedules.trigger("report")).wait()
    good: list[RunHandle[Any]] = []
    for number, customer in enumerate(CUSTOMERS * 2, 1):
        is_lost = number % LOST == 0
        articles = ["A-100", "B-7", "C-21", "A-404" if is_lost else "D-3"]
        order = of.Order(
            customer=customer, express=number % 3 == 0,
            lines=[of.Line(article=article, count=1 + number % 2) for article in articles],
        )  # fmt: skip
        tags = ["express"] if order.express else []
        handle = await runtime.start(of.orders, order, key=f"order-{1_200 + number}", tags=tags)
        if is_lost or customer == NOBODY:
            await handle.wait()
        else:
            good.append(handle)
            await _until_it_waits(handle)
    for handle in good[:4]:
        await handle.signal(of.APPROVED, True)
        await handle.wait()
    await good[4].pause(reason="the customer asked for another address", actor="user:ann")
    return good[-1]


async def _until_it_waits(handle: RunHandle[Any]) -> None:
    async for event in handle.events():
        if event.type == "PHASE_STARTED" and event.phase == "wait_for_approved":
            return


@asynccontextmanager
async def shown() -> AsyncGenerator[tuple[str, str]]:
    """Serve the console; gives its address, and the id of a run to look at."""
    of = shop()

    async def ann(_: Any) -> Access:
        return Access("user:ann")

    with TemporaryDirectory() as folder:
        async with Runtime(f"sqlite:///{folder}/shop.db", pipelines=[of.orders, of.reports]) as runtime:
            waiting = await fill(runtime, of)
            app = Starlette(routes=[Mount("/console", console(runtime, authorize=ann))])
            async with serving(app) as served:
                yield f"{served.url}/console/", waiting.id


async def draw(page: Page, name: str) -> int:
    """Write what is seen, as WebP, which Playwright itself cannot; gives its size in bytes."""
    session: Any = await page.context.new_cdp_session(page)  # what it answers has no type
    told = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    raw = base64.b64decode(told["data"])
    (FOLDER / f"{name}.webp").write_bytes(raw)
    return len(raw)


async def main() -> None:
    """Draw all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with shown() as (url, run), browser(program()) as opened:
        for theme in ("light", "dark"):
            context = await opened.new_context(viewport=SIZE, color_scheme=theme, reduced_motion="reduce")
            page = await context.new_page()
            for name, place in PAGES.items():
                await page.goto(f"{url}{place.format(run=run)}")
                await page.get_by_role("heading", level=1).wait_for()
                await page.get_by_label("Loading").first.wait_for(state="detached")
                await page.get_by_text("Live", exact=True).wait_for()
                await page.wait_for_timeout(1_000)  # for what is read after the first
                print(f"{name}-{theme}", await draw(page, f"{name}-{theme}"))
            await context.close()


if __name__ == "__main__":
    anyio.run(main)
