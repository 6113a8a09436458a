"""Nobody is shut out of the console: neither by what axe finds on a page, in both themes, nor by having keys alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import pytest
from playwright.async_api import Page, expect
from tests.consoles import consoled
from tests.node import installed

from phaseline import Abort, Pipeline, Runtime, Signal, each, phase
from phaseline.rows import RunState

APPROVED = Signal[bool]("approved")


@phase
async def split(text: str) -> list[str]:
    if not text:
        raise Abort("there is no word in it")
    return text.split()


@phase
async def measure(word: str) -> int:
    return len(word)


@phase
async def price(grams: int) -> int:
    return 2 * grams


@phase
async def store(pair: tuple[list[int], bool]) -> int:
    return sum(pair[0])


weighing = Pipeline(
    "weighing", split >> each(Pipeline("weigh", measure >> price)).wait_for(APPROVED) >> store
)

PLACES = {
    "#/runs": "Runs", "#/run/RUN": "weighing v1", "#/pipelines": "Pipelines", "#/pipelines/weighing": "weighing v1",
    "#/pipelines/weighing?start=yes": "weighing v1", "#/dead-letters": "Dead letters", "#/schedules": "Schedules",
    "#/workers": "Queues and workers", "#/analytics": "Analytics", "#/nowhere": "",
}  # fmt: skip
"""Each page, and its heading."""
GRAVE = ("serious", "critical")
FIND = """async (rules) => (await axe.run(document, { resultTypes: ["violations"], ...rules })).violations
    .filter(({ impact }) => GRAVE.includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`)""".replace(
    "GRAVE", str([*GRAVE])
)


def axe_text() -> str:
    """The program that finds what shuts people out."""
    _, program = installed("scenario.js")
    return (program.parent / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open runtime, with something on each page."""
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[weighing]) as opened:
        await opened.schedules.put("daily", weighing, input="three small words", cron="0 6 * * *")
        await (await opened.start(weighing, "", tags=["vip"])).wait()
        yield opened


async def complaints_of(page: Page, *rules: str) -> list[str]:
    """What axe finds on the page as it is, that shuts people out; by default by all rules."""
    found: list[str] = await page.evaluate(FIND, {"runOnly": [*rules]} if rules else {})
    return found


async def test_axe_finds_nothing_grave(page: Page, runtime: Runtime) -> None:
    """On no page, in neither theme, nor in what is opened on them; and it does find what is wrong."""
    axe = await anyio.to_thread.run_sync(axe_text)
    waiting = await runtime.start(weighing, "one two", tags=["vip"])
    found: dict[str, list[str]] = {}
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    async with consoled(page, runtime) as opened:
        await opened.goto()
        await page.evaluate(axe)
        for place, heading in PLACES.items():
            await page.evaluate("place => { location.hash = place }", place.replace("RUN", waiting.id))
            if heading:
                await expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
            await expect(page.get_by_label("Loading")).to_have_count(0)
            await open_all(page, place)
            found[place] = await complaints_of(page)
            await page.emulate_media(color_scheme="dark")  # which changes nothing but colours
            found[f"{place} dark"] = await complaints_of(page, "color-contrast")
            await page.emulate_media(color_scheme="light")
        await page.evaluate("document.querySelector('#main').append(document.createElement('button'))")
        spoiled = await complaints_of(page)
    assert {} == {place: told for place, told in found.items() if told}
    assert ["button-name: <button></button>"] == spoiled


async def open_all(page: Page, place: str) -> None:
    """Have a page show what it has."""
    if place == "#/run/RUN":
        await expect(page.locator(".graph .node")).to_have_count(4)
        await page.locator(".graph .node").first.click()
        await expect(page.get_by_role("complementary", name="Phase split")).to_contain_text("Output")
    elif place == "#/schedules":
        await page.get_by_role("button", name="daily", exact=True).click()
        await expect(page.locator(".slots li")).to_have_count(10)
    elif place == "#/dead-letters":
        await page.get_by_role("button", name="Requeue all").click()
        await expect(page.get_by_role("dialog")).to_be_visible()


async def test_keys_are_enough(page: Page, runtime: Runtime) -> None:
    """To get to a run, to look into its graph, and to command it; the focus is always where one was."""
    waiting = await runtime.start(weighing, "one two")
    async with consoled(page, runtime) as opened:
        await opened.goto()
        await expect(page.locator("table.runs tbody tr")).to_have_count(2)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        graph = page.get_by_role("group", name="Graph of phases")
        await graph.get_by_role("button", name="split").focus()
        await page.keyboard.press("Tab")  # from node to node, in the order in which they are drawn
        await expect(graph.get_by_role("button", name="weigh 4 of 4 Completed")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(graph.get_by_role("button", name="Open weigh")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(graph.get_by_role("button", name="price")).to_be_visible()
        await graph.get_by_role("button", name="split").focus()
        await page.keyboard.press("Enter")
        panel = page.get_by_role("complementary", name="Phase split")
        await expect(panel).to_contain_text("Output")
        await page.keyboard.press("Escape")
        await expect(panel).to_have_count(0)

        # A window keeps the focus, and gives it back.
        pause = page.get_by_role("button", name="Pause")
        await pause.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Pause")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(pause).to_be_focused()
        await page.keyboard.press("Enter")
        await page.get_by_role("dialog").get_by_label("Reason").focus()
        await page.keyboard.type("by keys")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".state.large")).to_have_text("Paused")
    assert await waiting.state() == RunState.PAUSED
