"""Lists tell nothing of what one may not see: neither that it is there, nor its id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from tests.opening import OpenRuntime
from tests.talking import talking
from tests.web_client import client_of

from phaseline import Pipeline, RunSummary, Runtime, phase
from phaseline.testing import FakeClock
from phaseline.web import Access, Action, asgi_app
from phaseline.web.resuming import MOST_RESUMED


@phase
async def fail(owner: str) -> str:
    raise ValueError(owner)


failing = Pipeline("failing", fail)
EVERYBODYS = {Action.LIST, Action.SUBSCRIBE, Action.RETRY, Action.DISCARD, Action.REQUEUE}


async def authorize(connection: Any) -> Access:
    """Each may see, and command, runs of his own."""
    name = connection.headers["x-name"]

    def may(action: Action, run: RunSummary | None) -> bool:
        return action in EVERYBODYS if run is None else name in run.tags

    return Access(name, may=may)


@pytest.fixture
async def runtime(open_runtime: OpenRuntime) -> AsyncIterator[Runtime]:
    """An open runtime."""
    async with open_runtime(failing) as opened:
        yield opened


@pytest.fixture
async def app(runtime: Runtime) -> Any:
    """What is asked over HTTP."""
    return asgi_app(runtime, authorize=authorize)


@pytest.fixture
async def ann(app: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Who asks."""
    async with client_of(app, x_name="ann") as client:
        yield client


async def failed(runtime: Runtime, clock: FakeClock, *owners: str) -> list[str]:
    """Have runs fail, some seconds one after another; gives their ids."""
    ids: list[str] = []
    for owner in owners:
        handle = await runtime.start(failing, owner, tags=[owner])
        await handle.wait()
        await clock.advance(timedelta(seconds=3))
        ids.append(handle.id)
    return ids


async def asked(client: httpx2.AsyncClient, method: str, path: str, **asked: Any) -> Any:
    """Ask, and give the answer."""
    how: dict[str, Any] = {"params": asked} if method == "GET" else {"json": asked}
    answer = await client.request(method, path, **how)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at few runs for a page."""
    monkeypatch.setattr("phaseline.web.seen.LOOKED_AT", 2)


LISTS = ["/runs", "/dead-letters"]
COMMANDS = ["/runs/retry", "/dead-letters/requeue", "/dead-letters/discard"]


@pytest.mark.parametrize(
    ("method", "path"), [*(("GET", path) for path in LISTS), *(("POST", path) for path in COMMANDS)]
)
async def test_runs_of_others_leave_no_trace(
    ann: httpx2.AsyncClient, runtime: Runtime, clock: FakeClock, method: str, path: str
) -> None:
    """What is answered is what would be without them, behind the last that is shown, too."""
    without = await asked(ann, method, path, limit=1)
    await failed(runtime, clock, "bob", "bob", "bob")
    assert without == await asked(ann, method, path, limit=1)
    assert without["next"] is None


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_pages_hold_what_one_may_see(
    ann: httpx2.AsyncClient, runtime: Runtime, clock: FakeClock, path: str, order: str
) -> None:
    """Each as many as were asked for, whatever is between them; the last one says that there are no more."""
    ids = await failed(runtime, clock, "bob", "ann", "bob", "bob", "ann", "ann", "bob")
    mine = [ids[number] for number in (1, 4, 5)]
    first = await asked(ann, "GET", path, limit=2, order=order)
    second = await asked(ann, "GET", path, limit=2, order=order, after=first["next"])
    assert (shown(first), shown(second)) == (
        (mine[:2], mine[2:]) if order == "oldest" else (mine[:0:-1], mine[:1])
    )
    assert first["next"].endswith(shown(first)[-1])
    assert second["next"] is None


def shown(page: Any) -> list[str]:
    """Ids of the runs on a page."""
    return (
        [run["id"] for run in page["runs"]]
        if "runs" in page
        else [each["run_id"] for each in page["letters"]]
    )


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.usefixtures("few")
async def test_a_page_that_takes_too_long_leads_on(
    ann: httpx2.AsyncClient, runtime: Runtime, clock: FakeClock, path: str, order: str
) -> None:
    """From a place that is no run's; whoever goes on meets each of his once."""
    ids = await failed(runtime, clock, *["bob"] * 3, "ann", *["bob"] * 6, "ann", *["bob"] * 3)
    met, places = list[str](), list[str]()
    after: dict[str, str] = {}
    while True:
        page = await asked(ann, "GET", path, limit=5, order=order, **after)
        met += shown(page)
        if page["next"] is None:
            break
        places.append(page["next"])
        after = {"after": page["next"]}
    mine = [ids[3], ids[10]]
    assert met == (mine if order == "oldest" else mine[::-1])
    assert len(places) > 2
    assert not [(place, run_id) for place in places for run_id in ids if run_id in place]


async def test_who_commands_many_goes_on_behind_his_own(
    ann: httpx2.AsyncClient, runtime: Runtime, clock: FakeClock
) -> None:
    """As many as he asks for obey in each call."""
    ids = await failed(runtime, clock, "ann", "bob", "ann", "bob", "ann", "bob")
    first = await asked(ann, "POST", "/dead-letters/discard", limit=2)
    second = await asked(ann, "POST", "/dead-letters/discard", limit=2, after=first["next"])
    assert (2, 1, None) == (first["done"], second["done"], second["next"])
    assert {ids[1], ids[3], ids[5]} == {letter.run_id async for letter in runtime.dead_letters.find()}


async def test_who_hears_of_his_own_runs_alone_is_not_told_the_newest(
    app: Any, runtime: Runtime, clock: FakeClock
) -> None:
    """The place from which he goes on later is the same, whatever others do; and what began meanwhile is told him."""
    async with talking(app, x_name="ann") as talk:
        await talk.until(lambda: talk.answers)
        before = await talk.ask({"type": "subscribe", "everything": True})
    others = await runtime.start(failing, "bob", tags=["bob"])
    await others.wait()
    async with talking(app, x_name="ann") as talk:
        await talk.until(lambda: talk.answers)
        assert before == await talk.ask({"type": "subscribe", "everything": True})
    await clock.advance(timedelta(seconds=3))
    (mine,) = await failed(runtime, clock, "ann")
    async with talking(app, x_name="ann") as talk:
        await talk.until(lambda: talk.answers)
        await talk.ask({"type": "subscribe", "everything": True, "newer_than": before["newest"]})
        await talk.until(lambda: "PIPELINE_FAILED" in [event["type"] for event in talk.events])
        assert {mine} == {event["run_id"] for event in talk.events}


async def subscribed(app: Any, **wish: Any) -> Any:
    """Subscribe to everything as Ann, and give the answer."""
    async with talking(app, x_name="ann") as talk:
        await talk.until(lambda: talk.answers)
        return await talk.ask({"type": "subscribe", "everything": True, **wish})


async def begun(runtime: Runtime, owner: str, count: int) -> None:
    """Have so many runs begin."""
    for _ in range(count):
        await runtime.start(failing, owner, tags=[owner], delay=timedelta(hours=1))


async def test_runs_of_others_do_not_keep_one_from_taking_up_his_own(app: Any, runtime: Runtime) -> None:
    """However many began meanwhile: too many are only too many of his own."""
    without = await subscribed(app, newer_than="0")
    await begun(runtime, "bob", MOST_RESUMED + 1)
    await begun(runtime, "ann", MOST_RESUMED)
    assert without == await subscribed(app, newer_than="0")
    await begun(runtime, "ann", 1)
    assert "more than 1,000 runs" in (await subscribed(app, newer_than="0"))["message"]


@pytest.mark.usefixtures("few")
async def test_what_is_looked_through_for_ones_own_runs_is_bounded(
    app: Any, runtime: Runtime, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who would have too much looked through is refused, and may list his runs."""
    monkeypatch.setattr("phaseline.web.resuming.MOST_PAGES", 2)
    await failed(runtime, clock, *["bob"] * 4)
    assert "subscribed" == (await subscribed(app, newer_than="0"))["type"]
    await failed(runtime, clock, "bob")
    refused = await subscribed(app, newer_than="0")
    assert ("subscription-refused", True) == (refused["code"], "list the runs" in refused["message"])
