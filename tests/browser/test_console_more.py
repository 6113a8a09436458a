"""What else the console does for people, in a real browser: signals to items of maps, links to what began, and what is left when a page breaks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.consoles import consoled

from phaseline import Again, Context, Pipeline, Runtime, Signal, each, phase
from phaseline.run_filter import RunSummary
from phaseline.web import Access, Action

APPROVED = Signal[bool]("approved")
LATER = timedelta(hours=1)


@phase
async def split(text: str) -> list[str]:
    return text.split()


@phase
async def weigh(word: str) -> int:
    return len(word)


@phase
async def store(found: tuple[int, bool]) -> str:
    return f"{found[0]} {found[1]}"


one = Pipeline("one", weigh.wait_for(APPROVED) >> store)
weighing = Pipeline("weighing", split >> each(one))


@phase
async def look(word: str, ctx: Context) -> str:
    if word == "fails":
        raise ValueError(word)
    if ctx.attempt == 1:
        raise Again(after=timedelta(0))
    return word


looking = Pipeline("looking", look)
LATER_ON = """
  const now = Date.now;
  let shift = 0;
  Date.now = () => now() + shift;
  window.later = (ms) => { shift += ms; };
"""
WRITTEN = """
  window.written = [];
  const write = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...place) { written.push(text); return write.call(this, text, ...place); };
"""


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime on a file."""
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[weighing, one, looking]) as opened:
        yield opened


async def test_items_of_a_map_get_their_signals(page: Page, runtime: Runtime) -> None:
    """Each its own, by its number; how many wait is told."""
    handle = await runtime.start(weighing, "one three")
    async with consoled(page, runtime) as opened:
        await opened.goto(f"#/run/{handle.id}")
        await expect(page.get_by_role("region", name="Waits for")).to_contain_text("approved, 2 of them")
        for item, is_approved in (("1", True), ("0", False)):
            await page.get_by_role("button", name="Send a signal").click()
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Item").fill(item)
            await dialog.get_by_role("checkbox").set_checked(is_approved)
            await dialog.get_by_role("button", name="Send a signal").click()
            await expect(dialog).to_have_count(0)
        await expect(page.locator(".state.large")).to_have_text("Completed")
    assert ["3 False", "5 True"] == await handle.result()


async def test_a_page_that_breaks_leaves_the_others(page: Page, runtime: Runtime) -> None:
    """It says so, and the way out of it is there."""
    handle = await runtime.start(weighing, "one", delay=LATER)
    async with consoled(page, runtime) as opened:
        await page.route(
            "**/outline",
            lambda route: route.fulfill(json={"id": handle.id, "state": "IDLE", "pipeline": "weighing"}),
        )
        await opened.goto(f"#/run/{handle.id}")
        await expect(page.get_by_role("heading", name="This page broke")).to_be_visible()
        assert opened.complaints  # developers are told too
        opened.complaints.clear()
        await page.get_by_role("link", name="Runs", exact=True).click()
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)
        await page.unroute("**/outline")
        await page.locator("table.runs [data-row]").click()
        await expect(page.get_by_role("heading", name="weighing v1")).to_be_visible()


async def test_what_a_schedule_began_is_a_click_away(page: Page, runtime: Runtime) -> None:
    """The message that tells of it has a link."""
    await runtime.schedules.put("nightly", weighing, input="one", every=timedelta(days=1))
    async with consoled(page, runtime) as opened:
        await opened.goto("#/schedules")
        await opened.press("Run now: nightly", "Run now")
        await page.get_by_role("link", name="See it").click()
        await expect(page.get_by_role("heading", name="weighing v1")).to_be_visible()


async def test_a_console_that_changes_nothing_says_so(page: Page, runtime: Runtime) -> None:
    """Whoever looks: else buttons would be looked for."""
    async with consoled(page, runtime, read_only=True) as opened:
        await opened.goto()
        await expect(page.get_by_text("Nothing can be changed here")).to_be_visible()
    async with consoled(page, runtime) as opened:
        await opened.goto()
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(page.get_by_text("Nothing can be changed here")).to_have_count(0)


async def test_who_may_command_some_runs_is_told_no_number_of_others(page: Page, runtime: Runtime) -> None:
    """A command to all is one to his own, and is announced as that."""

    async def of_his_own(action: Action, run: RunSummary | None) -> bool:
        return run is None or "mine" in run.tags

    async def reader(_: Any) -> Access:
        return Access("user:bob", may=of_his_own)

    mine = await runtime.start(weighing, "one", tags=["mine"], delay=LATER)
    other = await runtime.start(weighing, "two", delay=LATER)
    async with consoled(page, runtime, authorize=reader) as opened:
        await opened.goto()
        await page.get_by_text("All runs").click()
        await page.get_by_role("menuitem", name="Cancel").click()
        dialog = page.get_by_role("dialog", name="Cancel all runs")
        await expect(dialog).to_contain_text(
            "Of all runs, each that is yours to command and can be cancelled"
        )
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(page.locator("table.runs tbody tr")).to_contain_text("Cancelled")
    assert ("CANCELLED", "IDLE") == (await mine.state(), await other.state())


async def test_rates_are_those_of_the_last_minute(page: Page, runtime: Runtime) -> None:
    """What was heard before it counts no more."""
    async with consoled(page, runtime) as opened:
        await page.add_init_script(LATER_ON)
        async with page.expect_response("**/api/pipelines/weighing*"):  # by which it knows what waits where
            await opened.goto("#/workers")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        for _ in range(3):
            handle = await runtime.start(weighing, "")
            await handle.wait()
        await page.evaluate("later(15_000)")
        done = page.get_by_role("region", name="Queues").locator("tbody tr td").nth(3)
        await expect(done).to_have_text(re.compile("^[1-9]"))
        await page.evaluate("later(61_000)")
        await expect(done).to_have_text("0")


async def test_who_asks_to_be_called_again_is_not_among_those_that_failed(
    page: Page, runtime: Runtime
) -> None:
    """Nor is he done before he is."""
    async with consoled(page, runtime) as opened:
        await page.add_init_script(LATER_ON)
        async with page.expect_response("**/api/pipelines/looking*"):
            await opened.goto("#/workers")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        for word in ("again", "fails"):
            await (await runtime.start(looking, word)).wait()
            await page.evaluate("later(15_000)")
            cells = page.get_by_role("region", name="Queues").locator("tbody tr td")
            ended, other = (3, 4) if word == "again" else (4, 3)
            await expect(cells.nth(ended)).to_have_text(re.compile("^[1-9]"))
            await expect(cells.nth(other)).to_have_text("0")
            await page.evaluate("later(61_000)")


async def test_what_stands_beside_lines_are_whole_numbers(page: Page, runtime: Runtime) -> None:
    """Half a run is none, and a time below a millisecond is told once."""
    handle = await runtime.start(weighing, "")
    await handle.wait()
    async with consoled(page, runtime) as opened:
        await page.add_init_script(WRITTEN)
        await opened.goto("#/analytics?last=1h")
        await expect(page.locator("canvas").first).to_be_visible()
        await page.wait_for_function("written.includes('1')")
        written: list[str] = await page.evaluate("written")
    assert [] == [text for text in written if re.fullmatch(r"\d*\.\d+", text)]


async def test_what_a_command_cut_off_is_called_cancelled(page: Page, runtime: Runtime) -> None:
    """And not skipped, as what was never needed: in the graph, over time, and where it is looked at."""
    handle = await runtime.start(one, "word")
    async with consoled(page, runtime) as opened:
        await opened.goto(f"#/run/{handle.id}")
        await expect(page.get_by_role("region", name="Waits for")).to_contain_text("approved")
        await handle.cancel()
        node = page.get_by_role("group", name="Graph of phases").get_by_role(
            "button", name="wait_for_approved"
        )
        await expect(node).to_contain_text("Cancelled")
        await expect(page.get_by_role("img", name="wait_for_approved, attempt 1: Cancelled")).to_be_visible()
        await node.click()
        await expect(page.get_by_role("complementary", name="Phase wait_for_approved")).to_contain_text(
            "Cancelled"
        )
