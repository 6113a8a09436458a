"""What the console shows is what there is: whoever looks, and whatever happens while it is read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Page, Route, expect
from tests.consoles import consoled

from phaseline import Abort, Context, Pipeline, Runtime, each, phase
from phaseline.run_filter import RunSummary
from phaseline.web import Access
from phaseline.web.access import Action

LOOK_NOW = "document.dispatchEvent(new Event('visibilitychange'))"
LATER = timedelta(hours=1)


@phase
async def look(text: str) -> str:
    return text.upper()


looking = Pipeline("looking", look)


@phase
async def split(text: str) -> list[str]:
    return text.split()


@phase
async def weigh(word: str) -> int:
    if word == "bad":
        raise Abort("it is bad")
    return len(word)


@phase
async def pack(word: str, ctx: Context) -> str:
    ctx.progress(5, 6)
    return word


@phase
async def ship(word: str) -> str:
    raise TimeoutError


shipping = Pipeline("shipping", pack >> ship)
weighing = Pipeline("weighing", split >> each(weigh, limit=1))


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime on a file."""
    async with Runtime(
        f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[looking, weighing, shipping]
    ) as opened:
        yield opened


async def test_who_is_told_nothing_sees_what_happens_all_the_same(page: Page, runtime: Runtime) -> None:
    """The pages say that they look, and do: the list, a run, and its events, of which nothing that was loaded is lost."""

    async def reader(_: Any) -> Access:
        return Access("user:ann", may=lambda action, _: action != Action.SUBSCRIBE)

    handle = await runtime.start(looking, "a", delay=LATER)
    await handle.annotate("the first")
    async with consoled(page, runtime, authorize=reader) as opened:
        await opened.goto()
        rows = page.locator("table.runs tbody tr")
        await expect(rows).to_have_count(1)
        await expect(page.get_by_text("Looking every 5 seconds")).to_be_visible()
        await runtime.start(looking, "b", delay=LATER)
        await page.evaluate(LOOK_NOW)
        await expect(rows).to_have_count(2)

        await opened.goto(f"#/run/{handle.id}")
        lines = page.locator("ol.events li")
        await expect(page.locator("ol.events")).to_contain_text("the first")
        for number in range(101):
            await handle.annotate(f"note {number}")
        await page.evaluate(LOOK_NOW)
        await expect(lines).to_have_count(101)  # a page of them, and the one that was there
        await expect(lines.first).to_contain_text("note 100")
        await page.get_by_role("button", name="Load older").click()
        await expect(lines).to_have_count(102)
        await page.evaluate(LOOK_NOW)
        await handle.pause()
        await page.evaluate(LOOK_NOW)
        await expect(page.locator(".state.large")).to_have_text("Paused")
        await expect(lines.first).to_contain_text("Pipeline paused")
        await expect(page.get_by_role("button", name="Load older")).to_have_count(0)


async def test_what_happens_while_events_are_read_is_kept(page: Page, runtime: Runtime) -> None:
    """It is told before the page of those that were there comes."""
    handle = await runtime.start(looking, "a", delay=LATER)
    await handle.annotate("the first")
    paused = anyio.Event()
    read = anyio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        read.set()
        await paused.wait()
        await route.fulfill(response=answer)

    async with consoled(page, runtime) as opened:
        await page.route("**/events?*limit=100*", hold)
        await opened.goto(f"#/run/{handle.id}")
        await read.wait()
        await handle.pause()
        events = page.locator("ol.events")
        await expect(events).to_contain_text("Pipeline paused")
        paused.set()
        await expect(events).to_contain_text("the first")
        await expect(events).to_contain_text("Pipeline paused")


async def test_a_host_that_is_busy_takes_nothing_away(page: Page, runtime: Runtime) -> None:
    """What was read stays, what is typed too, and it is tried again some seconds later; but nothing stands for what it is not."""

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, content_type="application/problem+json", body='{"title": "Too many"}')

    handle = await runtime.start(looking, "a", delay=LATER)
    async with consoled(page, runtime) as opened:
        await opened.goto(f"#/run/{handle.id}")
        await page.get_by_role("button", name="Cancel").click()
        reason = page.get_by_label("Reason")
        await reason.fill("closed early")
        await page.route("**/outline", refuse)
        async with page.expect_response("**/outline"):
            await handle.pause()
        await expect(page.locator("ol.events")).to_contain_text("Pipeline paused")
        await page.unroute("**/outline")
        await expect(page.locator(".state.large")).to_have_text("Paused")
        await expect(reason).to_have_value("closed early")

        await opened.goto()
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)
        await page.route(re.compile(r"/runs\?"), refuse)
        await page.get_by_role("link", name="Failed").click()
        await expect(page.get_by_role("heading", name="Too many")).to_be_visible()
        await page.unroute(re.compile(r"/runs\?"))
        await expect(page.get_by_role("heading", name="No run is like that")).to_be_visible()


async def test_of_a_run_no_more_is_asked_than_it_takes(page: Page, runtime: Runtime) -> None:
    """What is heard is not read, and a page that nobody looks at reads nothing."""
    asked: list[str] = []
    handle = await runtime.start(looking, "a", delay=LATER)
    await handle.annotate("the first")
    async with consoled(page, runtime) as opened:
        await opened.goto(f"#/run/{handle.id}")
        await expect(page.locator("ol.events li")).not_to_have_count(0)
        page.on("request", lambda request: asked.append(request.url.partition("/api/")[2]))
        async with page.expect_response("**/outline"):
            await handle.annotate("the second")
        await page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        await handle.annotate("the third")
        await expect(page.locator("ol.events")).to_contain_text("the third")
        async with page.expect_response("**/outline"):
            await page.evaluate(f"delete document.hidden; {LOOK_NOW}")
        outline = f"runs/{handle.id}/outline"
        assert [outline, outline] == [each for each in asked if each and "limit=100" not in each][:2]
        assert 2 == asked.count(outline)


async def test_behind_runs_of_others_are_ones_own(
    page: Page, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where so many of them are looked at for one page that nothing is on it, it leads on to the next one."""
    monkeypatch.setattr("phaseline.web.seen.LOOKED_AT", 40)
    monkeypatch.setattr("phaseline.web.seen._SECOND", 100)  # else all that began within a second is looked at

    async def may(action: Action, run: RunSummary | None) -> bool:
        return action != Action.READ or run is None or "mine" in run.tags

    async def reader(_: Any) -> Access:
        return Access("user:ann", may=may)

    await runtime.start(looking, "a", tags=["mine"], delay=LATER)
    for number in range(50):
        await runtime.start(looking, f"b {number}", delay=LATER)
    async with consoled(page, runtime, authorize=reader) as opened:
        await opened.goto()
        await page.get_by_role("link", name="Older").click()
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)
        await page.get_by_role("link", name="Newest").click()
        await expect(page.get_by_role("heading", name="Nothing is open to you on this page")).to_be_visible()


async def test_an_address_of_any_word_and_a_menu_that_is_left_break_nothing(
    page: Page, runtime: Runtime
) -> None:
    """Words that mean something to JavaScript are none of ours; Escape closes a menu, and leaves no page."""
    handle = await runtime.start(looking, "a", delay=LATER)
    async with consoled(page, runtime) as opened:
        for link, heading in (
            ("#/constructor", "There is no such page"),
            ("#/runs?last=constructor", "Runs"),
            ("#/analytics?last=constructor", "Analytics"),
        ):
            await opened.goto(link)
            await page.reload()
            await expect(page.get_by_role("heading", name=heading)).to_be_visible()
        await opened.goto("#/runs?pipeline=looking&last=24h")
        await page.locator("table.runs [data-row]").click()
        await page.locator("summary", has_text="More").click()
        item = page.get_by_role("menuitem").first
        await expect(item).to_be_visible()
        await page.get_by_role("heading", level=1).click()  # which takes the focus away
        await page.keyboard.press("Escape")
        await expect(item).not_to_be_visible()
        await expect(page.locator("summary", has_text="More")).to_be_focused()
        assert handle.id in page.url
        await page.keyboard.press("Escape")
        await expect(page.locator("table.runs tbody tr")).to_have_count(1)
        assert page.url.endswith("#/runs?pipeline=looking&last=24h")


async def test_of_a_map_is_counted_what_completed(page: Page, runtime: Runtime) -> None:
    """Of all its items, also those that never came up; what failed is no part of it."""
    handle = await runtime.start(weighing, "good fine bad" + " late" * 17)
    await handle.wait()
    async with consoled(page, runtime) as opened:
        await opened.goto(f"#/run/{handle.id}")
        node = page.locator("g.node").filter(has_text="weigh")
        await expect(node).to_contain_text("2 of 20, 1 failed")


async def test_what_is_over_is_told_by_its_end(page: Page, runtime: Runtime) -> None:
    """A phase by its time, not by how far its body said that it was; a failure by its kind, also where it has no words."""
    handle = await runtime.start(shipping, "a")
    await handle.wait()
    async with consoled(page, runtime) as opened:
        await opened.goto("#/runs")
        row = page.locator("table.runs tbody tr").filter(has_text="shipping")
        await expect(row.locator("td.phase")).to_have_text("ship: TimeoutError")
        await opened.goto(f"#/run/{handle.id}")
        await expect(page.get_by_role("region", name="Error")).to_contain_text("TimeoutError in ship")
        await expect(page.locator("g.node").filter(has_text="pack").locator(".told")).to_have_text(
            re.compile("^[0-9.]+ m?s$")
        )


async def test_who_sees_nothing_is_told_why(page: Page, runtime: Runtime) -> None:
    """That nothing is granted, that lists are and runs are not, and that the host does not know him any more."""
    rights: set[Action] = set()
    known = True

    async def reader(_: Any) -> Access | None:
        return Access("user:ann", may=lambda action, _: action in rights) if known else None

    await runtime.start(looking, "a", delay=LATER)
    async with consoled(page, runtime, authorize=reader) as opened:
        await opened.goto()
        await expect(page.get_by_role("alert")).to_contain_text("You are granted nothing here")
        await expect(page.get_by_role("alert")).to_contain_text("authorize")
        rights.add(Action.LIST)
        await page.reload()
        await expect(page.get_by_role("heading", name="There is no run that you may read")).to_be_visible()
        await opened.goto("#/workers")
        await expect(page.get_by_role("alert")).to_contain_text('It takes the right "health"')
        rights |= {*Action}
        await opened.goto("#/runs")
        await page.reload()
        rows = page.locator("table.runs tbody tr")
        await expect(rows).to_have_count(1)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        known = False
        await page.evaluate(LOOK_NOW)
        await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
        await expect(page.get_by_text("Signed out", exact=True)).to_be_visible()
        known = True
        await page.evaluate(LOOK_NOW)
        await expect(rows).to_have_count(1)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
