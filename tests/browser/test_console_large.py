"""Runs with very much in them, in a real browser: the page takes a part at a time, and never stands still."""

from __future__ import annotations

from pathlib import Path

import anyio
from playwright.async_api import Page, expect
from tests.consoles import consoled

from phaseline import Pipeline, Runtime, each, phase

ITEMS, TEXT = 1_000, 4_000_000
LONGEST_TASK = 300
"""Milliseconds for which the page may stand still, on a machine that does much else."""
LARGEST_ANSWER = 400_000
"""Bytes that are asked for at once."""
WATCH = """
  window.longest = 0;
  new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) longest = Math.max(longest, duration); })
    .observe({ type: "longtask", buffered: true });
"""


@phase
async def split(count: int) -> list[int]:
    return [*range(count)]


@phase
async def square(number: int) -> int:
    return number * number


@phase
async def report(numbers: list[int]) -> dict[str, str]:
    return {"sum": str(sum(numbers)), "text": "y" * TEXT}


squares = Pipeline("squares", split >> each(square) >> report)


async def test_a_large_run_is_seen_a_part_at_a_time(page: Page, tmp_path: Path) -> None:
    """A map is one node with counts, its items and the events come page by page, and of a large value a part is shown."""
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[squares]) as runtime:
        handle = await runtime.start(squares, ITEMS)
        await handle.wait()
        events = [event.seq async for event in handle.events()]
        assert len(events) > 2 * ITEMS
        await page.add_init_script(WATCH)
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            node = page.locator("g.node").filter(has_text="square")
            await expect(node).to_contain_text("1,000 of 1,000")
            await expect(page.locator(".timeline [role=row]")).to_have_count(30)

            await node.click()
            items = page.locator("ul.items li")
            await expect(items).to_have_count(50)
            await page.get_by_role("button", name="More", exact=True).click()
            await expect(items.first).to_contain_text("square[50]")
            await expect(items).to_have_count(50)
            await page.keyboard.press("Escape")

            # Any of them is seen by itself, however far behind it is.
            await node.click()
            await page.get_by_role("tab", name="Events").wait_for()
            for _ in range(11):
                first = await items.first.text_content()
                await page.get_by_role("button", name="More", exact=True).click()
                await expect(items.first).not_to_have_text(first or "")
            await page.get_by_role("button", name="square[560]", exact=True).click()
            panel = page.get_by_role("complementary", name="Phase square[560]")
            await expect(panel).to_contain_text("Completed")
            await expect(panel.locator(".tree")).to_have_text(str(560 * 560))
            await page.keyboard.press("Escape")

            lines = page.locator("ol.events li")
            await expect(lines).to_have_count(100)
            await expect(lines.first).to_contain_text(str(events[-1]))
            await page.get_by_role("button", name="Load older").click()
            await expect(lines).to_have_count(200)
            await expect(lines.last).to_contain_text(str(events[-200]))

            await page.get_by_role("tab", name="Output").click()
            panel = page.get_by_role("tabpanel")
            await expect(panel).to_contain_text("a part is shown")
            async with page.expect_download() as downloading:
                await panel.get_by_role("link", name="Download all of it").click()
            download = await downloading.value
            assert f"{handle.id}-output.json" == download.suggested_filename
            assert TEXT < (await anyio.Path(await download.path()).stat()).st_size

            taken = await page.evaluate(
                "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/api/')).map((each) => each.decodedBodySize)"
            )
            assert LARGEST_ANSWER > max(taken) > 0
            assert LONGEST_TASK > await page.evaluate("longest")
