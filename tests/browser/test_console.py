"""The console in a real browser, as a person uses it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Page, Route, WebSocket, expect
from tests.consoles import Gates, consoled

from phaseline import Abort, Context, Pipeline, RunHandle, Runtime, Signal, each, phase

HOSTILE = "<img src=x onerror=alert(1)>"


gates = Gates()


@phase
async def look(text: str, ctx: Context) -> str:
    if text.startswith("bad"):
        raise Abort(f"{HOSTILE} cannot be looked at")
    if text.startswith("slow"):
        await gates.open.wait()
    return text.upper()


looking = Pipeline("looking", look)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime on a file."""
    gates.open = anyio.Event()
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[looking]) as opened:
        yield opened
        gates.open.set()  # whatever still waits would hold up the end


async def test_runs_are_listed_found_and_told_as_they_come(page: Page, runtime: Runtime) -> None:
    """Counted by state, looked for by the address, live, and across a lost connection; hostile texts stay texts."""
    for number in range(51):
        await runtime.start(
            looking, f"quick {number}", key=f"quick-{number}", tags=["first"] if number < 3 else []
        )
    bad = await runtime.start(looking, "bad", key=HOSTILE)
    await bad.wait()
    async with consoled(page, runtime) as opened:
        await opened.goto()
        rows = page.locator("table.runs tbody tr")
        await expect(rows).to_have_count(50)
        await expect(page.get_by_role("link", name="All 52")).to_be_visible()
        await expect(rows.first).to_contain_text(HOSTILE)
        assert 0 == await page.locator("img[src=x]").count()

        # Pages are links; what is looked for stands in the address, and can be sent to somebody.
        await page.get_by_role("link", name="Older").click()
        await expect(rows).to_have_count(2)
        await page.get_by_role("link", name="Failed 1").click()
        await expect(rows).to_have_count(1)
        await opened.goto("#/runs?tag=first")
        await expect(rows).to_have_count(3)
        await page.keyboard.press("/")
        await page.keyboard.type("QUICK-2")
        await expect(rows).to_have_count(1)
        assert "text=QUICK-2" in page.url
        await page.get_by_label("Search").fill("no such run")
        await expect(page.get_by_role("heading", name="No run is like that")).to_be_visible()
        await page.get_by_role("link", name="Show all runs").click()
        await expect(rows).to_have_count(50)

        # It is live, also of what happened while the line was cut.
        slow = await runtime.start(looking, "slow", key="slow")
        await expect(rows.first).to_contain_text("Look")
        await page.context.set_offline(True)
        opened.served.cut()
        await expect(page.get_by_role("alert")).to_contain_text("The connection is lost")
        gates.open.set()
        await slow.wait()
        await page.context.set_offline(False)
        await expect(rows.first).to_contain_text("Completed")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()

        # By keys alone: down, down, into a run.
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="looking v1")).to_be_visible()
        assert bad.id in page.url
        await expect(page.get_by_role("table")).to_contain_text("look")


async def test_the_list_waits_for_nothing_else(page: Page, runtime: Runtime) -> None:
    """Rows are there before the counts; another page is not counted anew; who goes away and comes back has missed nothing."""
    started = [await runtime.start(looking, f"quick {number}") for number in range(51)]
    for handle in started:
        await handle.wait()
    counted = anyio.Event()
    asked: list[str] = []
    said: list[str | bytes] = []

    async def hold(route: Route) -> None:
        await counted.wait()
        await route.continue_()

    def hear(socket: WebSocket) -> None:
        socket.on("framesent", lambda told: said.append(told))  # noqa: PLW0108  # it marks what it is given

    page.on("request", lambda request: asked.append(request.url.rpartition("/api/")[2].partition("?")[0]))
    page.on("websocket", hear)
    async with consoled(page, runtime) as opened:
        await page.route("**/api/runs/counts*", hold)
        await opened.goto()
        rows = page.locator("table.runs tbody tr")
        await expect(rows).to_have_count(50)
        await expect(page.get_by_role("link", name="All …")).to_be_visible()
        counted.set()
        await expect(page.get_by_role("link", name="All 51")).to_be_visible()
        assert said  # it has subscribed

        await page.get_by_role("link", name="Pipelines", exact=True).click()
        await expect(page.get_by_role("heading", name="Pipelines")).to_be_visible()
        asked.clear()
        said.clear()
        await page.get_by_role("link", name="Runs", exact=True).click()
        await expect(page.get_by_role("link", name="All 51")).to_be_visible()
        await page.get_by_role("link", name="Older").click()
        await expect(rows).to_have_count(1)
        await page.get_by_role("link", name="Completed 51").click()
        await expect(rows).to_have_count(50)
        assert {"runs": 3, "runs/counts": 1, "pipelines": 1} == {
            each: asked.count(each) for each in asked if each.startswith(("runs", "pipelines"))
        }
        assert [] == said
        await page.get_by_role("link", name="All 51").click()
        await runtime.start(looking, "slow")
        await expect(rows.first).to_contain_text("Look")


async def test_many_runs_are_commanded(page: Page, runtime: Runtime) -> None:
    """Those that are selected, and all that match: with a reason, and under the name of who did it; no others."""
    over = await runtime.start(looking, "quick", tags=["sale"])
    await over.wait()
    other = await runtime.start(looking, "slow", key="other")
    going = [await runtime.start(looking, "slow", tags=["sale"]) for _ in range(3)]
    async with consoled(page, runtime) as opened:
        await opened.goto("#/runs?tag=sale")
        rows = page.locator("table.runs tbody tr")
        await expect(rows).to_have_count(4)
        await page.get_by_label(f"Select run {over.id}").check()  # which nothing can pause
        await expect(page.get_by_role("button", name="Select none")).to_be_visible()
        await expect(page.get_by_role("button", name="selected")).to_have_count(0)
        await page.keyboard.press("k")
        await page.keyboard.press("x")
        await page.get_by_label(f"Select run {going[1].id}").check()
        await opened.press("Pause 2 selected", "Pause", "lunch")
        await expect(rows.get_by_text("Paused", exact=True)).to_have_count(2)
        await expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)

        await page.get_by_text("All that match").click()
        await page.get_by_role("menuitem", name="Cancel").click()
        dialog = page.get_by_role("dialog", name="Cancel all runs")
        await expect(dialog).to_contain_text("Of all 4 runs that the filter matches")
        await dialog.get_by_label("Reason").fill("closed early")
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(rows.get_by_text("Cancelled", exact=True)).to_have_count(3)
    gates.open.set()
    assert [await deeds_of(handle) for handle in (going[2], going[0], other, over)] == [
        [("PIPELINE_CANCELLED", "user:ann", "closed early")],
        [("PIPELINE_PAUSED", "user:ann", "lunch"), ("PIPELINE_CANCELLED", "user:ann", "closed early")],
        [], [],
    ]  # fmt: skip


async def test_whoever_is_unknown_is_told_what_to_do(page: Page, runtime: Runtime) -> None:
    """And sees nothing."""

    async def nobody(_: Any) -> None:
        return None

    async with consoled(page, runtime, authorize=nobody) as opened:
        await opened.goto()
        await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
        await expect(page.get_by_text("Signed out")).to_be_visible()
        assert 0 == await page.get_by_role("link", name="Runs", exact=True).count()


@phase
async def split(text: str) -> list[str]:
    return text.split()


@phase
async def weigh(word: str, ctx: Context) -> int:
    if word == "heavy" and ctx.attempt == 1 and not gates.open.is_set():
        raise Abort("too heavy for one")
    return len(word)


@phase
async def store(pair: tuple[list[int], bool]) -> dict[str, Any]:
    return {"sum": sum(pair[0]), "password": "hunter2", "note": HOSTILE}


APPROVED = Signal[bool]("approved")
weighing = Pipeline("weighing", split >> each(weigh).wait_for(APPROVED) >> store)


@pytest.fixture
async def scales(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime with a graph to look at."""
    gates.open = anyio.Event()
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[weighing]) as opened:
        yield opened


async def deeds_of(handle: RunHandle[Any]) -> list[tuple[str, str, str]]:
    """What people did to a run, and why, as its history has it."""
    return [
        (event.type, event.data["actor"], event.data.get("reason", ""))
        async for event in handle.events()
        if "actor" in event.data
    ]


async def test_a_run_is_watched_and_steered(page: Page, scales: Runtime) -> None:
    """Drawn as it goes; each button does what the API does, with a reason, and under the name of who pressed it."""
    handle = await scales.start(weighing, f"one two {HOSTILE} heavy")
    await handle.wait()
    async with consoled(page, scales) as opened:
        await opened.goto(f"#/run/{handle.id}")
        state = page.locator(".state.large")
        await expect(state).to_have_text("Failed")
        await expect(page.get_by_role("region", name="Error")).to_contain_text("too heavy for one")
        graph = page.get_by_role("group", name="Graph of phases")
        await expect(graph.get_by_role("button", name=re.compile("^split .*Completed"))).to_be_visible()

        # It is retried; the item of the map that failed is looked at meanwhile.
        await graph.get_by_role("button", name=re.compile("^weigh .*Failed")).click()
        panel = page.get_by_role("complementary", name="Phase weigh")
        await expect(panel.get_by_role("listitem")).to_have_count(1)
        gates.open.set()
        await opened.press("Retry", reason="somebody came to help")
        await expect(state).to_have_text("Wait for approved")
        await expect(graph.get_by_role("button", name="weigh 6 of 6 Completed")).to_be_visible()
        await expect(page.get_by_role("region", name="Waits for")).to_contain_text("approved")
        await page.keyboard.press("Escape")

        # It is paused and goes on, is taken back, and gets its signal.
        await opened.press("Pause", reason="lunch")
        await expect(state).to_have_text("Paused")
        await opened.press("Resume")
        await expect(state).to_have_text("Wait for approved")
        await opened.press("Roll back", reason="weighed wrongly")
        await expect(state).to_have_text("Rolled back")
        await opened.press("Resume")
        await expect(state).to_have_text("Wait for approved")
        await page.get_by_role("button", name="Send a signal").click()
        await page.get_by_role("dialog").get_by_role("checkbox").check()
        await page.get_by_role("dialog").get_by_role("button", name="Send a signal").click()
        await expect(state).to_have_text("Completed")
        assert await deeds_of(handle) == [
            ("PIPELINE_RETRIED", "user:ann", "somebody came to help"), ("PIPELINE_PAUSED", "user:ann", "lunch"),
            ("PIPELINE_RESUMED", "user:ann", ""), ("PIPELINE_PAUSED", "user:ann", "weighed wrongly"),
            ("PIPELINE_ROLLED_BACK", "user:ann", "weighed wrongly"),
            ("PIPELINE_RESUMED", "user:ann", ""), ("SIGNAL_RECEIVED", "user:ann", ""),
        ]  # fmt: skip

        # What came of it is there in full, but for what is secret; what people did is found among the events.
        await page.get_by_role("tab", name="Output").click()
        values = page.get_by_role("tabpanel")
        await expect(values).to_contain_text("•••")
        await expect(values).to_contain_text(HOSTILE)
        await page.get_by_role("tab", name="Events").click()
        await page.get_by_label("Kinds of events").select_option("commands")
        await expect(page.locator("ol.events li")).to_have_count(7)
        await expect(page.locator("ol.events")).to_contain_text("user:ann weighed wrongly")
        assert 0 == await page.locator("img[src=x]").count()

        # A copy of it is a run of its own.
        await page.get_by_role("tab", name="Checkpoints").click()
        await page.get_by_role("row", name="split").get_by_role("button", name="Fork from here").click()
        await page.get_by_role("dialog").get_by_role("button", name="Fork", exact=True).click()
        await expect(page.get_by_role("link", name=handle.id)).to_be_visible()
        await expect(state).to_have_text("Wait for approved")


async def test_who_may_not_sees_no_button(page: Page, scales: Runtime) -> None:
    """And a page that changes nothing has none at all; a run that is purged says so."""
    handle = await scales.start(weighing, "one two")
    async with consoled(page, scales, read_only=True) as opened:
        await opened.goto(f"#/run/{handle.id}")
        await expect(page.locator(".state.large")).to_have_text("Wait for approved")
        assert [] == await page.locator("main header .actions button").all()
        await scales.control(handle.id, "cancel")
        await expect(page.locator(".state.large")).to_have_text("Cancelled")
        await scales.purge(older_than=timedelta(0))
        # Nobody tells of a purge; who comes back to the page looks anew.
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.get_by_role("heading", name="It is not there")).to_be_visible()
