"""The pages of the console beside those of runs, in a real browser, as a person uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from pydantic import BaseModel, Field
from tests.consoles import consoled

from phaseline import Abort, Pipeline, Runtime, phase
from phaseline.rows import RunState
from phaseline.web import Access
from phaseline.web.access import Action

WIDTH, HEIGHT = 390, 844
"""Of a phone."""
HOSTILE = "<img src=x onerror=alert(1)>"


class World:
    """What bodies find."""

    mended = False


@phase
async def look(text: str) -> str:
    if text.startswith("bad") and not World.mended:
        raise Abort(f"{HOSTILE} cannot be looked at")
    return text.upper()


looking = Pipeline("looking", look)


class Order(BaseModel):
    """What a customer wants."""

    customer: str = Field(description="Name, as on the parcel")
    count: int = Field(default=1, ge=1)
    express: bool = False


@phase
async def pack(order: Order) -> str:
    if order.customer.isspace():
        raise Abort("nobody")
    return f"{order.count} for {order.customer}" + (" today" if order.express else "")


packing = [Pipeline("packing", pack, version=version) for version in ("1", "2")]


@pytest.fixture(autouse=True)
def broken_world() -> None:
    """Whatever the test before has mended."""
    World.mended = False


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime on a file."""
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[looking, *packing]) as opened:
        yield opened


async def test_a_phone_shows_what_can_be_done(page: Page, runtime: Runtime) -> None:
    """Lists with buttons are no wider than it."""
    await (await runtime.start(looking, "bad")).wait()
    await runtime.schedules.put("nightly", looking, input="all", cron="30 2 * * *", tz="Europe/Berlin")
    await page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    async with consoled(page, runtime) as opened:
        for place, button in (("#/dead-letters", "Discard run"), ("#/schedules?name=nightly", "Run now")):
            await opened.goto(place)
            await expect(page.get_by_role("button", name=button)).to_be_visible()
            assert (WIDTH, True) == tuple(
                await page.evaluate(
                    "(list => [document.documentElement.scrollWidth, list.scrollWidth <= list.clientWidth])(document.querySelector('.wide'))"
                )
            )


async def test_dead_letters_are_seen_to(page: Page, runtime: Runtime) -> None:
    """One, those that are selected, all that match: with a reason, and the name of who did it; also by keys."""
    handles = [await runtime.start(looking, f"bad {number}") for number in range(4)]
    for handle in handles:
        await handle.wait()
    async with consoled(page, runtime) as opened:
        await opened.goto("#/dead-letters")
        rows = page.locator("table.letters tbody tr")
        await expect(rows).to_have_count(4)
        await expect(rows.first).to_contain_text(HOSTILE)
        assert 0 == await page.locator("img[src=x]").count()

        # Nothing is mended yet: it fails again, and another letter is written.
        await opened.press(f"Requeue run {handles[0].id}", "Requeue", "perhaps")
        await expect(rows.first).to_contain_text(handles[0].id[-8:])
        World.mended = True
        await opened.press(f"Discard run {handles[1].id}", "Discard")
        await expect(rows).to_have_count(3)
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        await opened.press("Requeue 1 selected", "Requeue", "mended")
        await expect(rows).to_have_count(2)
        await page.get_by_label("Category").select_option("TIMEOUT")
        await expect(page.get_by_role("heading", name="No dead letter is like that")).to_be_visible()
        await page.get_by_label("Category").select_option("PROCESSING")
        await opened.press("Requeue all that match", "Requeue", "all of them")
        await page.get_by_role("link", name="Show all").click()
        await expect(page.get_by_role("heading", name="Nothing needs you")).to_be_visible()
    states = [(await handle.wait()).state for handle in handles]
    assert [RunState.COMPLETED, RunState.FAILED, RunState.COMPLETED, RunState.COMPLETED] == states
    told = [event async for event in handles[3].events() if getattr(event, "actor", "")]
    assert [("user:ann", "all of them")] == [(each.actor, each.reason) for each in told]


async def test_what_cannot_be_done_to_many_is_told_once(page: Page, tmp_path: Path) -> None:
    """Of whom, and what to do; where nobody works, the page says so."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with Runtime(url, pipelines=[looking]) as runtime:
        handles = [await runtime.start(looking, f"bad {number}") for number in range(7)]
        for handle in handles:
            await handle.wait()
    async with Runtime(url, serve=False) as bare, consoled(page, bare) as opened:
        await opened.goto("#/dead-letters")
        await page.get_by_role("button", name="Requeue all", exact=True).click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Requeue", exact=True).click()
        told = dialog.get_by_role("alert").get_by_role("listitem")
        await expect(told).to_have_count(1)
        await expect(told).to_contain_text("and 2 more: the pipeline 'looking'")
        await expect(told).to_contain_text("phaseline console MODULE:NAME")
        text = await told.inner_text()
        assert 5 == sum(handle.id[-8:] in text for handle in handles)
        await opened.goto("#/workers")
        await expect(page.get_by_text("none is there", exact=True)).to_be_visible()


async def test_schedules_are_paused_resumed_and_triggered(page: Page, runtime: Runtime) -> None:
    """Each with its next slots; where it may not be changed there is no button for it."""
    await runtime.schedules.put("nightly", looking, input="all", cron="30 2 * * *", tz="Europe/Berlin")

    async def reader(_: object) -> Access:
        return Access("user:bob", may=lambda action, _: action is not Action.SCHEDULE)

    async with consoled(page, runtime) as opened:
        await opened.goto("#/schedules")
        await opened.press("Pause: nightly", "Pause")
        await expect(page.get_by_text("Paused", exact=True)).to_be_visible()
        assert (await runtime.schedules.get("nightly")).paused
        await opened.press("Resume: nightly", "Resume")
        await expect(page.get_by_text("Paused", exact=True)).to_have_count(0)
        await opened.press("Run now: nightly", "Run now")
        await page.get_by_role("button", name="nightly", exact=True).click()
        await expect(page.locator(".slots li")).to_have_count(10)
        await expect(page.locator(".slots li").first).to_contain_text("02:30")
        await page.get_by_role("link", name="See its runs").click()
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)
    async with consoled(page, runtime, authorize=reader) as opened:
        await opened.goto("#/schedules")
        await expect(page.get_by_role("button", name="nightly", exact=True)).to_be_visible()
        await expect(page.get_by_role("button", name="Pause: nightly")).to_have_count(0)


async def test_work_and_numbers_are_shown(page: Page, runtime: Runtime) -> None:
    """What waits and who is there; and how runs went over time, of pipelines and of the phases of one."""
    for number in range(3):
        await (await runtime.start(looking, f"quick {number}")).wait()
    await (await runtime.start(looking, "bad")).wait()
    async with consoled(page, runtime) as opened:
        await opened.goto("#/workers")
        await expect(page.get_by_text("Nothing is wrong")).to_be_visible()
        await expect(page.get_by_role("row", name="pipeline 0")).to_be_visible()
        await expect(page.get_by_text("Alive", exact=True)).to_be_visible()

        await page.keyboard.press("g")
        await page.keyboard.press("a")
        await expect(page.locator(".charts canvas")).to_have_count(4)
        await expect(page.get_by_role("row", name="looking 4 1 75.0 %")).to_be_visible()
        await page.get_by_label("Theme: system").click()  # drawn anew in other colours
        await page.get_by_role("link", name="looking", exact=True).click()
        await expect(page.get_by_role("row", name="look 4 1 75.0 %")).to_be_visible()
        assert "by=phase" in page.url
        await page.get_by_label("Time").select_option("1h")
        await expect(page.locator(".charts canvas")).to_have_count(4)
        await opened.goto("#/analytics?pipeline=unheard-of")
        await expect(page.get_by_role("heading", name="Nothing was started in that time")).to_be_visible()


async def test_a_run_is_started_from_the_form(page: Page, runtime: Runtime) -> None:
    """Made of what the pipeline takes; what it refuses is told in the form; with the key, tags and version that were chosen."""
    async with consoled(page, runtime) as opened:
        await opened.goto("#/pipelines")
        await page.get_by_role("link", name="packing", exact=True).click()
        await expect(page.get_by_role("heading", name="packing v2")).to_be_visible()
        await page.get_by_label("Version").select_option("1")
        await expect(page.get_by_role("heading", name="packing v1")).to_be_visible()
        await expect(page.locator(".graph .node")).to_have_count(1)
        await expect(page.get_by_role("table", name="States")).to_contain_text("Rolled back")
        await page.get_by_role("button", name="Start a run").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Start").click()  # a name is missing, and nothing is sent
        customer = dialog.get_by_label("Customer")
        await expect(customer).to_be_focused()
        assert await customer.evaluate("field => field.validity.valueMissing")
        await customer.fill(HOSTILE)
        await dialog.get_by_label("Count").fill("3")
        await dialog.get_by_label("Express").check()
        await dialog.get_by_text("Key, tags, priority, delay").click()
        await dialog.get_by_label("Tags").fill("by hand, " + "x" * 101)
        await dialog.get_by_role("button", name="Start").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("100 characters")
        await dialog.get_by_label("Tags").fill("by hand, tuesday")
        await dialog.get_by_label("Key").fill("form-1")
        await dialog.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("heading", name="packing v1")).to_be_visible()
        await expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    (run,) = (await runtime.find(pipeline="packing")).runs
    assert ("1", "form-1", ("by hand", "tuesday")) == (run.version, run.key, run.tags)
    assert f"3 for {HOSTILE} today" == await (await runtime.get(run.id)).result()


async def test_who_may_not_start_gets_no_form(page: Page, runtime: Runtime) -> None:
    """Neither a button, nor by the address."""

    async def reader(_: object) -> Access:
        return Access("user:bob", may=lambda action, _: action is not Action.START)

    async with consoled(page, runtime, authorize=reader) as opened:
        await opened.goto("#/pipelines/looking?start=yes")
        await expect(page.get_by_role("heading", name="looking v1")).to_be_visible()
        await expect(page.get_by_role("button", name="Start a run")).to_have_count(0)
        await expect(page.get_by_role("dialog")).to_have_count(0)
