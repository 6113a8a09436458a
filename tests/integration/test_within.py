"""A runtime as it is in another namespace: on each storage, with the threads and connections of the one that was opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from sqlalchemy import create_engine
from tests.counted import doubled
from tests.opening import OpenRuntime

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import (
    DefinitionError,
    RunNotFoundError,
    RuntimeNotOpenError,
    RuntimeUsageError,
)
from phaseline.events import ErrorOccurred
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock

SECOND = timedelta(seconds=1)
WAIT = 20 * SECOND


@phase
async def broken(number: int) -> int:
    raise ValueError(number)


@phase
def in_thread(number: int) -> int:
    return number + 1


numbers = Pipeline("numbers", doubled)
adding = Pipeline("adding", in_thread)
failing = Pipeline("failing", broken)


async def test_runs_keys_and_events_are_its_own(open_runtime: OpenRuntime) -> None:
    """Nothing of one is seen in the other, under equal keys too; each serves what is its own."""
    async with open_runtime(numbers, adding) as runtime:
        acme = await runtime.within("acme")
        assert acme is await runtime.within("acme") is await acme.within("acme")
        assert runtime is await runtime.within("default") is await acme.within("default")
        heard: dict[str, list[str]] = {"default": [], "acme": []}
        runtime.bus.subscribe(lambda event: heard["default"].append(event.run_id))
        acme.bus.subscribe(lambda event: heard["acme"].append(event.run_id))

        ours = await runtime.start(numbers, 1, key="one")
        theirs = await acme.start(numbers, 2, key="one")
        assert (await ours.result(WAIT), await theirs.result(WAIT)) == (2, 4)
        assert (await acme.run(adding, 2)).output == 3
        assert (await numbers.run(5)).output == 10  # on the one that was opened

        with pytest.raises(RunNotFoundError):
            await acme.get(ours.id)
        with pytest.raises(RunNotFoundError):
            await runtime.get(theirs.id)
        assert await acme.find().count() == await runtime.find().count() == {"COMPLETED": 2}
        assert (await acme.health()).namespace == acme.namespace == "acme"
        assert repr(acme) == f"{runtime!r} within 'acme'"
    assert ours.id in heard["default"]
    assert theirs.id in heard["acme"]
    assert not set(heard["default"]) & set(heard["acme"])


async def test_what_waits_goes_on_there(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Delays, schedules and sweeps, on the same clock."""
    async with open_runtime(numbers) as runtime:
        acme = await runtime.within("acme")
        later = await acme.start(numbers, 1, delay=5 * SECOND)
        await acme.schedules.put("often", numbers, input=3, every=4 * SECOND)
        assert not await runtime.schedules.list()
        await clock.advance(10 * SECOND)
        assert await later.state() == "COMPLETED"
        assert await acme.find().count() == {"COMPLETED": 3}
        assert await runtime.find().count() == {}


async def test_concurrency_is_its_own(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A tenant whose bodies stand still takes no place of another one."""
    gate = anyio.Event()

    @phase
    async def held(number: int) -> int:
        await gate.wait()
        return number

    holding = Pipeline("holding", held)
    async with open_runtime(holding, numbers, concurrency=1) as runtime:
        acme = await runtime.within("acme")
        waits = [await acme.start(holding, number) for number in range(3)]
        await clock.advance(SECOND)
        assert (await runtime.run(numbers, 4)).output == 8
        gate.set()
        for number, handle in enumerate(waits):
            assert await handle.result(WAIT) == number


async def test_errors_are_told_by_name(open_runtime: OpenRuntime) -> None:
    """To ``on_error`` of the host, from whichever namespace."""
    told: list[ErrorOccurred] = []
    async with open_runtime(failing, on_error=told.append) as runtime:
        acme = await runtime.within("acme")
        handle = await acme.start(failing, 1)
        await handle.wait(WAIT)
    assert [event.run_id for event in told] == [handle.id]


async def test_a_worker_serves_the_namespaces_that_it_was_given(open_runtime: OpenRuntime) -> None:
    """From its opening on; a client of it is open in none of them before it is asked."""
    served = open_runtime(numbers, namespaces=["acme", "globex", "acme"])
    async with served:
        assert [runner.options.namespace for runner in served.runners] == ["default", "acme", "globex"]
        for number, name in enumerate(["acme", "globex"]):
            there = await served.within(name)
            assert await (await there.start(numbers, number)).result(WAIT) == 2 * number
    async with served.client() as client:
        assert [runner.options.namespace for runner in client.runners] == ["default"]


async def test_a_client_may_be_one_of_another_namespace(open_runtime: OpenRuntime) -> None:
    """As if the runtime had been made with it."""
    runtime = open_runtime(numbers)
    client = runtime.client(namespace="acme")
    async with client:
        handle = await client.start(numbers, 1)
        assert await handle.state() == "IDLE"
        assert client.namespace == "acme"
    assert (runtime.namespace, runtime.client().namespace) == ("default", "default")
    with pytest.raises(DefinitionError, match=r"client\(''\)"):
        runtime.client(namespace="")


@pytest.mark.parametrize("given", ["acme", 3, [""], [None]])
def test_what_names_no_namespaces_is_refused(given: Any) -> None:
    """When the runtime is made."""
    with pytest.raises(DefinitionError, match="namespaces="):
        Runtime(namespaces=given)


async def test_it_is_open_as_long_as_its_host(open_runtime: OpenRuntime) -> None:
    """It is not opened by itself, nor used after that; bodies of all end within one drain."""
    with pytest.raises(RuntimeNotOpenError):
        await open_runtime(numbers).within("acme")
    async with open_runtime(numbers) as runtime:
        with pytest.raises(DefinitionError, match=r"within\(''\)"):
            await runtime.within("")
        acme = await runtime.within("acme")
        with pytest.raises(RuntimeUsageError, match="is a view"):
            await acme.__aenter__()
        handle = await acme.start(numbers, 1)
        await handle.result(WAIT)
    with pytest.raises(RuntimeNotOpenError):
        await acme.start(numbers, 1)
    with pytest.raises(RuntimeNotOpenError):
        await handle.state()
    with pytest.raises(RuntimeNotOpenError):
        await runtime.within("acme")


async def test_many_who_ask_at_once_get_the_same(open_runtime: OpenRuntime) -> None:
    """However long its opening takes."""
    found: list[Runtime] = []

    async def ask(runtime: Runtime) -> None:
        found.append(await runtime.within("acme"))

    async with open_runtime(numbers) as runtime:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask, runtime)
        assert len(found) == 5
        assert len(set(map(id, found))) == 1
        assert (await found[0].run(numbers, 1)).output == 2


async def test_a_hundred_tenants_share_connections(
    database: Callable[[], SqlStorage], clock: FakeClock, request: pytest.FixtureRequest
) -> None:
    """A process that only starts runs and asks holds no connection for each."""
    storage = database()
    async with Runtime(storage, pipelines=[numbers], serve=False, clock=clock) as runtime:
        for number in range(100):
            tenant = await runtime.within(f"tenant-{number}")
            await tenant.start(numbers, number, key="first")
            assert await tenant.find().count() == {"IDLE": 1}
        assert len({runner.threads_of_storage for runner in runtime.runners}) == 1
        if "postgres" in request.node.name:
            url = request.getfixturevalue("postgres").url
            assert await anyio.to_thread.run_sync(connections, url) <= 8


def connections(url: str) -> int:
    """Those of all processes, but that by which it is asked."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).scalar()
    engine.dispose()
    return int(found or 0)
