"""Schedules over HTTP: each is asked about, and of those that one may not see nothing is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.opening import OpenRuntime
from tests.web_client import client_of

from phaseline import Pipeline, Runtime, phase
from phaseline.web import Access, Action, Resource, asgi_app, console

AT_ALL = {Action.LIST, Action.READ, Action.SCHEDULE}
SEEN = ("", "/slots")
CHANGES = (("POST", "/pause"), ("POST", "/resume"), ("POST", "/trigger"), ("DELETE", ""))
DAILY = {"pipeline": "doubling", "input": 1, "cron": "0 0 1 1 *"}


@phase
async def double(number: int) -> int:
    return 2 * number


doubling, other = Pipeline("doubling", double), Pipeline("other", double)


async def authorize(connection: Any) -> Access:
    """Each may see and change schedules of his own pipelines; Eve sees all, and may change her own."""
    name = connection.headers["x-name"]

    def may(action: Action, resource: Resource | None) -> bool:
        if resource is None:
            return action in AT_ALL
        if name == "eve" and action is Action.READ:
            return True
        return resource.attributes.get("owner") == name and resource.pipeline == "doubling"

    return Access(name, may=may, attributes={"owner": name})


@pytest.fixture
async def runtime(open_runtime: OpenRuntime) -> AsyncIterator[Runtime]:
    """An open runtime."""
    async with open_runtime(doubling, other) as opened:
        yield opened


@pytest.fixture
async def clients(runtime: Runtime) -> AsyncIterator[dict[str, httpx2.AsyncClient]]:
    """Who asks, by name."""
    app = asgi_app(runtime, authorize=authorize)
    async with (
        client_of(app, x_name="ann") as ann, client_of(app, x_name="bob") as bob, client_of(app, x_name="eve") as eve,
    ):  # fmt: skip
        yield {"ann": ann, "bob": bob, "eve": eve}


async def names(client: httpx2.AsyncClient) -> list[str]:
    """What is listed."""
    return [each["name"] for each in (await client.get("/schedules")).json()["schedules"]]


async def test_a_schedule_of_somebody_else_is_one_that_is_not_there(
    clients: dict[str, httpx2.AsyncClient], runtime: Runtime
) -> None:
    """Whatever is asked for: in the same words; nothing of it is told, and nothing has changed."""
    ann, bob = clients["ann"], clients["bob"]
    stored = await ann.put("/schedules/hers", json={**DAILY, "attributes": {"owner": "bob"}})
    before = await runtime.schedules.get("hers")
    assert (200, {"owner": "ann"}) == (stored.status_code, before.attributes)
    for method, path in (*(("GET", path) for path in SEEN), *CHANGES):
        answer, unknown = [await bob.request(method, f"/schedules/{name}{path}") for name in ("hers", "none")]
        assert (404, unknown.text.replace("none", "hers")) == (answer.status_code, answer.text), path
    put = await bob.put("/schedules/hers", json=DAILY)
    assert (404, "urn:phaseline:problem:unknown-schedule") == (put.status_code, put.json()["type"])
    assert (["hers"], []) == (await names(ann), await names(bob))
    assert (before, {}) == (await runtime.schedules.get("hers"), await runtime.find().count())


async def test_ones_own_schedule_is_seen_and_changed(
    clients: dict[str, httpx2.AsyncClient], runtime: Runtime
) -> None:
    """Nothing is taken from who stored it."""
    ann = clients["ann"]
    for _ in range(2):  # stored, and changed
        assert 200 == (await ann.put("/schedules/hers", json=DAILY)).status_code
    for path in SEEN:
        assert 200 == (await ann.get(f"/schedules/hers{path}")).status_code
    statuses = [(await ann.request(method, f"/schedules/hers{path}")).status_code for method, path in CHANGES]
    assert ([200, 200, 201, 204], []) == (statuses, await names(ann))
    (run,) = (await runtime.find()).runs
    assert ("ann", "hers") == (run.attributes["owner"], run.attributes["schedule"])


async def test_what_one_may_see_one_may_not_change_for_that(
    clients: dict[str, httpx2.AsyncClient], runtime: Runtime
) -> None:
    """The two are asked about apart."""
    ann, eve = clients["ann"], clients["eve"]
    await ann.put("/schedules/hers", json=DAILY)
    assert ["hers"] == await names(eve)
    for method, path in CHANGES:
        assert 404 == (await eve.request(method, f"/schedules/hers{path}")).status_code, path
    assert not (await runtime.schedules.get("hers")).paused


async def test_a_schedule_is_asked_about_as_it_would_be(
    clients: dict[str, httpx2.AsyncClient], runtime: Runtime
) -> None:
    """Before it is stored, and before it becomes what one may not have."""
    ann = clients["ann"]
    refused = await ann.put("/schedules/hers", json={**DAILY, "pipeline": "other"})
    assert (403, "schedule") == (refused.status_code, refused.json()["action"])
    await ann.put("/schedules/hers", json=DAILY)
    assert 403 == (await ann.put("/schedules/hers", json={**DAILY, "pipeline": "other"})).status_code
    assert ["doubling"] == [each.pipeline for each in await runtime.schedules.list()]


async def test_a_console_shows_the_schedules_of_its_reader(
    clients: dict[str, httpx2.AsyncClient], runtime: Runtime
) -> None:
    """Also one that changes nothing."""
    await clients["ann"].put("/schedules/hers", json=DAILY)
    screen = console(runtime, authorize=authorize, read_only=True)
    for name, expected in (("ann", ["hers"]), ("bob", [])):
        async with client_of(screen, x_name=name) as reader:
            told = (await reader.get("/api/schedules")).json()["schedules"]
        assert expected == [each["name"] for each in told]
