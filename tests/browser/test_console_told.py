"""What the console says of runs is so, and what it offers is not refused, in a real browser."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Page, expect
from tests.consoles import consoled

from phaseline import (
    Abort,
    Again,
    Context,
    Pipeline,
    RunHandle,
    Runtime,
    Signal,
    Usage,
    each,
    phase,
    start_child,
    when,
)

WIDTH, HEIGHT = 390, 844
"""Of a phone."""
DAY = timedelta(days=1)
PAPER = Signal[str]("paper")


@phase
async def look(text: str) -> str:
    return text.upper()


@phase
async def write(pair: tuple[str, str]) -> str:
    return " ".join(pair)


@phase
async def ask(text: str) -> str:
    raise Again(2 * DAY, "nobody has decided")


@phase
async def split(text: str) -> list[str]:
    return text.split()


@phase
async def join(found: list[str]) -> str:
    return " ".join(found)


async def give_back(text: str, paid: str) -> None:
    """Nothing has to be done."""


@phase(compensate=give_back)
async def pay(text: str) -> str:
    return text


@phase
async def deliver(text: str) -> str:
    raise Abort("nobody is at home")


@phase
async def talk(text: str, ctx: Context) -> str:
    ctx.spend("model", Usage(output_tokens=7))
    return text


def is_short(text: str) -> bool:
    return len(text) < 3


asking = Pipeline("asking", ask)
writing = Pipeline("writing", look.wait_for(PAPER) >> write)
many = Pipeline("many", split >> each(start_child(writing)) >> join)
buying = Pipeline("buying", pay >> deliver, on_failure="rollback")
looking = Pipeline("looking", look)
talking = Pipeline("talking", when(is_short, look) >> talk)
patient = Pipeline("patient", look.wait_for(PAPER, timeout=2 * DAY) >> write)
failing = Pipeline("failing", deliver)
late = Pipeline("late", look.wait_for(PAPER) >> write, sla=timedelta(milliseconds=1))
ALL = (asking, writing, many, buying, looking, talking, late, patient, failing)


def opened_on(path: Path) -> Runtime:
    return Runtime(f"sqlite:///{path / 'runs.db'}", pipelines=ALL)


async def heard(handle: RunHandle[object], kind: str) -> None:
    """Wait for an event."""
    async for event in handle.events():
        if event.type == kind:
            return


async def test_a_phase_that_asks_to_be_called_again_has_not_failed(page: Page, tmp_path: Path) -> None:
    """Neither in the graph nor over time; why it asked is told, and on which day it is called."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(asking, "a")
        await heard(handle, "PHASE_RETRYING")
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            await expect(page.get_by_role("region", name="Waits for")).to_contain_text(
                "ask is called again in 2 days, after attempt 1, as it asked to be"
            )
            await expect(page.get_by_label("Graph of phases")).to_contain_text("is called again")
            await expect(page.locator(".attempt")).to_have_class("attempt tone-retrying ")
            await expect(page.locator(".attempt")).to_have_attribute(
                "title", re.compile("Retrying after .*: nobody has decided")
            )
            await expect(page.get_by_role("list", name="Events")).to_contain_text(
                re.compile(r"again at \d+ \w+ \d{4}, \d\d:")
            )


async def test_a_run_that_was_undone_tells_what_it_failed_with(page: Page, tmp_path: Path) -> None:
    """And what was undone was not cancelled."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(buying, "tea")
        await handle.wait()
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            note = page.get_by_role("region", name="Error")
            await expect(note).to_contain_text("nobody is at home")
            await expect(note).not_to_contain_text("Retry")
            bar = page.get_by_role("row").filter(has_text="pay~").locator(".attempt")
            await expect(bar).to_have_attribute("title", re.compile("attempt 1: Compensated after"))


async def test_a_node_that_has_not_begun_waits_for_nothing(page: Page, tmp_path: Path) -> None:
    """Though it will; and of a run that is over nothing is to come."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(writing, "a", delay=DAY, deadline=3 * DAY)
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            graph = page.get_by_label("Graph of phases")
            await expect(graph.get_by_role("button", name="wait_for_paper")).to_contain_text("to come")
            await expect(page.get_by_role("region", name="Waits for")).to_contain_text(
                re.compile("look is begun in 24 hr., not before ")
            )
            await expect(page.locator("dl.facts")).to_contain_text(re.compile("Deadline.*in 3 days"))
            await handle.cancel()
            await expect(graph.get_by_role("button", name="wait_for_paper")).to_contain_text("not begun")


async def test_runs_that_items_of_a_map_wait_for_are_told(page: Page, tmp_path: Path) -> None:
    """With a link to them; and of a run that is paused, that nothing goes on by itself."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(many, "a b")
        await heard(handle, "CHILD_STARTED")
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            note = page.get_by_role("region", name="Waits for")
            await expect(note).to_contain_text("for other runs of writing, 2 of them")
            await handle.pause()
            await expect(note).to_contain_text("once it is resumed")
            await note.get_by_role("link").click()
            await expect(page.locator("table.runs tbody tr")).to_have_count(2)


async def test_a_run_that_is_late_says_so(page: Page, tmp_path: Path) -> None:
    """By the service level of its pipeline."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(late, "a")
        await heard(handle, "SLA_BREACHED")
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            await expect(page.locator("dl.facts").first).to_contain_text(
                re.compile("Service level.*not over by")
            )


async def test_what_a_test_found_and_tokens_that_came_out_are_told(page: Page, tmp_path: Path) -> None:
    """Also where it did not hold, and nothing else was used."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(talking, "long")
        await handle.wait()
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            events = page.get_by_role("list", name="Events")
            await expect(events).to_contain_text("held false")
            await expect(events).not_to_contain_text("[]")
            await page.get_by_role("tab", name="Usage and cost").click()
            await expect(page.get_by_role("row", name="In all")).to_contain_text("7")


async def test_how_long_a_step_waits_at_most_is_told(page: Page, tmp_path: Path) -> None:
    """Of the pipeline, and of the phase of a run."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(patient, "a")
        async with consoled(page, runtime) as opened:
            await opened.goto("#/pipelines/patient")
            await expect(page.get_by_role("row", name="wait_for_paper")).to_contain_text("2 d 00 h")
            await opened.goto(f"#/run/{handle.id}")
            await page.get_by_label("Graph of phases").get_by_role("button", name="wait_for_paper").click()
            panel = page.get_by_role("complementary", name="Phase wait_for_paper")
            await expect(panel).to_contain_text("Waits at most2 d 00 h")


async def test_why_a_dead_letter_was_discarded_is_told(page: Page, tmp_path: Path) -> None:
    """Also where nobody said who did it."""
    async with opened_on(tmp_path) as runtime:
        handle = await runtime.start(failing, "a")
        await handle.wait()
        await runtime.dead_letters.discard(handle.id, reason="it is known")
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{handle.id}")
            await expect(page.get_by_role("list", name="Events")).to_contain_text("it is known")


async def test_no_place_is_offered_that_is_refused(page: Page, tmp_path: Path) -> None:
    """Of a run that has completed, the last checkpoint is one from which nothing goes on, nor is there anything to undo."""
    async with opened_on(tmp_path) as runtime:
        short, longer = [await runtime.start(each, "no") for each in (looking, talking)]
        for handle in (short, longer):
            await handle.wait()
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/run/{short.id}")
            await page.get_by_text("More", exact=True).click()
            await expect(page.get_by_role("menuitem", name="Restart")).to_be_visible()
            await expect(page.get_by_role("menuitem", name="Fork")).to_have_count(0)

            await opened.goto(f"#/run/{longer.id}")
            await page.get_by_role("tab", name="Checkpoints").click()
            await expect(page.get_by_role("button", name="Fork from here")).to_have_count(1)
            await expect(page.get_by_role("button", name="Roll back to here")).to_have_count(1)
            await page.get_by_text("More", exact=True).click()
            await page.get_by_role("menuitem", name="Run again from a phase").click()
            phases = page.get_by_role("dialog").get_by_role("combobox")
            await expect(phases.locator("option")).to_have_text(["Choose one", "look", "talk"])
            await page.keyboard.press("Escape")
            await page.get_by_text("More", exact=True).click()
            await page.get_by_role("menuitem", name="Fork").click()
            places = page.get_by_role("dialog").get_by_role("combobox")
            await expect(places.locator("option")).to_have_text(["Choose one", "after look"])
            await places.select_option("after look")
            await page.get_by_role("dialog").get_by_role("button", name="Fork").click()
            await expect(page.locator("dl.facts").first).to_contain_text("Copy of")


async def test_the_next_slot_of_a_schedule_is_not_that_of_before(page: Page, tmp_path: Path) -> None:
    """Also where the slot was let go, since its run still waits: no event tells of that."""
    async with opened_on(tmp_path) as runtime:
        await runtime.schedules.put("held", writing, input="a", every=timedelta(seconds=1))
        while not (await runtime.schedules.get("held")).last_slot:  # noqa: ASYNC110  # no event tells of it
            await anyio.sleep(0.05)
        async with consoled(page, runtime) as opened:
            await opened.goto("#/schedules")
            await expect(page.get_by_text("held", exact=True)).to_be_visible()
            await expect(page.get_by_text("Live", exact=True)).to_be_visible()
            await page.wait_for_timeout(500)
            async with page.expect_response("**/api/schedules", timeout=10_000):
                pass


@pytest.mark.parametrize("place", ["pipelines", "dead-letters", "schedules", "workers", "analytics"])
async def test_a_page_is_no_wider_than_a_phone(page: Page, tmp_path: Path, place: str) -> None:
    """What is wider is moved by itself, and not the page."""
    async with opened_on(tmp_path) as runtime:
        await page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        await (await runtime.start(looking, "a")).wait()
        async with consoled(page, runtime) as opened:
            await opened.goto(f"#/{place}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.get_by_text("Live", exact=True)).to_be_visible()
            await page.wait_for_timeout(300)
            assert WIDTH == await page.evaluate("document.documentElement.scrollWidth")
