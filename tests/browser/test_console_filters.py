"""What the list of runs is filtered by, in a real browser."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Page, expect
from tests.consoles import Gates, consoled

from phaseline import Context, Pipeline, Runtime, Signal, phase
from phaseline.web import Access, Action

PAPER = Signal[str]("paper")


gates = Gates()


@phase
async def look(text: str, ctx: Context) -> str:
    if text == "slow":
        await gates.open.wait()
    return text


@phase
async def write(pair: tuple[str, str]) -> str:
    return " on ".join(pair)


@phase
async def wake(text: str) -> str:
    return text


looking = Pipeline("looking", look)
writing = Pipeline("writing", look.wait_for(PAPER) >> write)
napping = Pipeline("napping", look.sleep_for(timedelta(days=1)) >> wake)


patient = Pipeline("patient", look.wait_for(PAPER, timeout=timedelta(days=3)) >> write)


async def test_a_run_says_until_when_it_waits(page: Page, tmp_path: Path) -> None:
    """Not since when it could have begun to: a sleep, and a signal that has its time."""
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[patient, napping]) as runtime:
        waits = {each: await runtime.start(each, "quick") for each in (patient, napping)}
        while {"SLEEP", "WAIT_FOR_PAPER"} != {*await runtime.find().count()}:  # noqa: ASYNC110  # no event tells of it
            await anyio.sleep(0.01)
        async with consoled(page, runtime) as opened:
            note = page.get_by_role("region", name="Waits for")
            await opened.goto(f"#/run/{waits[napping].id}")
            await expect(note).to_contain_text(re.compile(r"until .*, in 24 hr\."))
            await opened.goto(f"#/run/{waits[patient].id}")
            await expect(note).to_contain_text(
                re.compile(r"for the signal paper since .*, until .*, in 3 days")
            )


async def without_figures(_: Any) -> Access:
    return Access("user:bob", may=lambda action, _: action is not Action.STATS)


async def test_runs_that_wait_or_work_are_one_request_away(page: Page, tmp_path: Path) -> None:
    """Whatever their phases are called, and also for who may not count; a command to all of them is one to no other."""
    gates.open = anyio.Event()
    asked: list[str] = []
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[looking, writing, napping]) as runtime:
        slow = await runtime.start(looking, "slow")
        idle = [await runtime.start(pipeline, "quick") for pipeline in (writing, napping)]
        while {"LOOK", "SLEEP", "WAIT_FOR_PAPER"} != {*await runtime.find().count()}:  # noqa: ASYNC110  # no event tells of it
            await anyio.sleep(0.01)
        async with consoled(page, runtime, authorize=without_figures) as opened:
            await opened.goto()
            rows = page.locator("table.runs tbody tr")
            await expect(rows).to_have_count(3)
            page.on("request", lambda request: asked.append(request.url.partition("/api/")[2]))
            await opened.goto("#/runs?state=WAITING")
            await expect(rows).to_have_count(2)
            await opened.goto("#/runs?state=ACTIVE")
            await expect(rows).to_have_count(1)
            await expect(rows).to_contain_text("looking")
            of_runs = [each for each in asked if each.startswith("runs")]
            assert ["runs?stage=waiting&limit=50", "runs?stage=active&limit=50"] == of_runs

            await opened.goto("#/runs?state=WAITING")
            await page.get_by_text("All that match").click()
            await page.get_by_role("menuitem", name="Cancel").click()
            await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
            await expect(page.get_by_role("heading", name="No run is like that")).to_be_visible()
        gates.open.set()
        await slow.result()
        assert {"COMPLETED": 1, "CANCELLED": len(idle)} == await runtime.find().count()


async def test_what_is_all_on_one_page_is_counted_there(page: Page, tmp_path: Path) -> None:
    """Nobody is asked how many runs there are of which each is shown; as soon as there are more, somebody is."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/api/")[2].partition("?")[0]))
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[looking]) as runtime:
        for number in range(2):
            await (await runtime.start(looking, f"quick {number}")).wait()
        async with consoled(page, runtime) as opened:
            await opened.goto()
            await expect(page.get_by_role("link", name="All 2")).to_be_visible()
            await expect(page.get_by_role("link", name="Completed 2")).to_be_visible()
            await runtime.start(looking, "quick")
            await expect(page.get_by_role("link", name="Completed 3")).to_be_visible()
            assert "runs/counts" not in asked
            await opened.goto("#/runs?state=FAILED")
            await expect(page.get_by_role("link", name="Completed 3")).to_be_visible()
            await page.get_by_role("link", name="All 3").click()
            await expect(page.locator("table.runs tbody tr")).to_have_count(3)
            await expect(page.get_by_role("link", name="Completed 3")).to_be_visible()
