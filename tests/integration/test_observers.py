"""Observers are harmless: whatever a handler does, no run ends otherwise, or later, or tells another history."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import from_thread

from phaseline import Event, Pipeline, RunHandle, RunState, Runtime, phase
from phaseline.storage.memory import MemoryStorage
from phaseline.testing import FakeClock

PATIENCE = 10
"""Seconds for which a handler would block, and in which everything else has to be done meanwhile."""


@phase
async def step(value: int) -> int:
    return value + 1


@phase
def step_in_thread(value: int) -> int:
    return value + 1


chain = Pipeline("chain", step >> step_in_thread)


class Scene:
    """A runtime, and what handlers need of it."""

    def __init__(self, runtime: Runtime, waiting: RunHandle[int]) -> None:
        self.runtime = runtime
        self.waiting = waiting
        """A run that has not begun."""
        self.release = threading.Event()
        self.released = anyio.Event()
        self.did: list[str] = []


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Runtime(MemoryStorage(), pipelines=[chain], clock=FakeClock()) as runtime:
        made = Scene(runtime, await runtime.start(chain, 0, delay=timedelta(hours=1)))
        yield made
        made.release.set()
        made.released.set()


# --------------------------------------------------------------------- what handlers do
def raises(scene: Scene, event: Event) -> None:
    scene.did.append("raised")
    raise ValueError


async def raises_on_the_loop(scene: Scene, event: Event) -> None:
    raises(scene, event)


def blocks(scene: Scene, event: Event) -> None:
    scene.did.append("blocked")
    assert scene.release.wait(PATIENCE)


async def blocks_by_awaiting(scene: Scene, event: Event) -> None:
    scene.did.append("blocked")
    await scene.released.wait()


async def cancels_a_run(scene: Scene, event: Event) -> None:
    await scene.waiting.cancel()
    scene.did.append("cancelled")


async def starts_a_run_and_waits_for_it(scene: Scene, event: Event) -> None:
    if len(scene.did) < 3:  # and so hears of that one, too
        scene.did.append("started")
        await (await scene.runtime.start(chain, 5)).result()


async def waits_for_the_run_it_hears_of(scene: Scene, event: Event) -> None:
    handle = await scene.runtime.get(event.run_id)
    scene.did.append(f"waited {(await handle.wait()).state}")


def cancels_a_run_from_its_thread(scene: Scene, event: Event) -> None:
    from_thread.run(scene.waiting.cancel, token=scene.runtime.token)
    scene.did.append("cancelled")


def subscribes_anew(scene: Scene, event: Event) -> None:
    scene.runtime.bus.subscribe(lambda _: None)
    scene.did.append("subscribed")


HANDLERS = (
    raises, raises_on_the_loop, blocks, blocks_by_awaiting, cancels_a_run, starts_a_run_and_waits_for_it,
    waits_for_the_run_it_hears_of, cancels_a_run_from_its_thread, subscribes_anew,
)  # fmt: skip


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
async def test_runs_are_as_without_it(scene: Scene, handler: Callable[[Scene, Event], Any]) -> None:
    """Runs end while a handler still blocks, with their outputs, and with the very events that they have without it."""
    alone = await history(scene)
    scene.runtime.bus.subscribe(partial(handler, scene))
    with anyio.fail_after(PATIENCE / 2):
        observed = [await history(scene) for _ in range(3)]
        while not scene.did:  # noqa: ASYNC110  # another thread adds to it
            await anyio.sleep(0.001)

    assert [alone] * 3 == observed


async def test_a_handler_that_leaves_is_no_loss_to_others(scene: Scene) -> None:
    """It hears no more from then on; who subscribed after it hears all the same."""
    heard: list[str] = []
    first = scene.runtime.bus.subscribe(lambda event: first.cancel())
    second = scene.runtime.bus.subscribe(lambda event: heard.append(event.type), types=["PIPELINE_COMPLETED"])
    alone = [await history(scene) for _ in range(2)]
    with anyio.fail_after(PATIENCE / 2):
        while second.handled < 2:  # noqa: ASYNC110  # another thread adds to it
            await anyio.sleep(0.001)

    assert alone[0] == alone[1]
    assert [1, 2] == [first.handled, second.handled]
    assert 1 == len(scene.runtime.bus.stats().subscriptions)
    assert ["PIPELINE_COMPLETED"] * 2 == heard


async def history(scene: Scene) -> tuple[int, list[tuple[int | None, str]]]:
    """Run the chain once; gives its output, and its events."""
    handle = await scene.runtime.start(chain, 1)
    output = await handle.result()
    return output, [(event.seq, event.type) async for event in handle.events()]


async def test_how_handlers_fare_is_told(scene: Scene) -> None:
    """What waits, what was handled, what raised and what was lost, of each subscription."""
    bus = scene.runtime.bus
    bus.subscribe(partial(blocks, scene), buffer=3, pipeline="chain")
    bus.subscribe(partial(raises_on_the_loop, scene), types=["PIPELINE_COMPLETED"], own=True)
    count = len((await history(scene))[1])
    with anyio.fail_after(PATIENCE / 2):
        while bus.stats().subscriptions[1].failed == 0 or "blocked" not in scene.did:  # noqa: ASYNC110  # another thread
            await anyio.sleep(0.001)

    stats = bus.stats()
    slow, failing = stats.subscriptions
    assert ("partial", False, 3, 3, 0) == (slow.handler, slow.own, slow.buffer, slow.waiting, slow.handled)
    assert ("chain", None) == (slow.interest.pipeline, slow.interest.types)
    assert count - 4 == slow.dropped
    assert (True, 1, 0, 0) == (failing.own, failing.failed, failing.handled, failing.dropped)
    assert (count, 0) == (stats.told, stats.readers)


async def test_a_run_that_is_paused_by_a_handler_is_paused(scene: Scene) -> None:
    """What a handler commands is done, as from anywhere else."""

    async def pause(event: Event) -> None:
        await scene.waiting.pause(actor="handler")

    scene.runtime.bus.subscribe(pause, types=["PIPELINE_COMPLETED"])
    await history(scene)

    assert RunState.PAUSED == (await scene.waiting.wait()).state
