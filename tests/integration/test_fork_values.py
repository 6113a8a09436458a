"""Random compositions with bodies that compute: a copy, wherever it begins, gives what a run gives that never failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import anyio
import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compositions import Fate, Kind, Step, compositions, leaves_in, node_of

from phaseline import Pipeline, RunHandle, RunState, Runtime
from phaseline.errors import NoOutputError
from phaseline.storage.memory import MemoryStorage
from phaseline.testing.checker import check


@attrs.define
class Bodies:
    """What bodies give depends on their names and what they take alone; one call of all of them fails."""

    fate: Fate
    kinds: dict[str, Kind]
    broken: int = 0
    """Number of the call that fails; 0 for none."""
    calls: int = 0

    def body(self, name: str) -> Callable[[Any], Any]:
        def compute(value: Any) -> Any:
            self.calls += 1
            if self.calls == self.broken:
                raise ValueError(name)
            number = crc32(f"{self.fate.seed}:{name}:{value!r}".encode())
            many = [number % 7] * (number % 4)
            return {"one": number % 100, "many": many, "grid": [many, [number % 5]] * (number % 3)}[
                self.kinds[name]
            ]

        return compute

    def ask(self, name: str) -> Callable[[Any], bool]:
        return lambda value: crc32(f"{self.fate.seed}:{name}:{value!r}".encode()) % 2 == 0


async def given_by(handle: RunHandle[Any]) -> object:
    """The output of a run, or that it has none."""
    run = await handle.wait()
    assert run.state == RunState.COMPLETED
    try:
        return run.output
    except NoOutputError:
        return "nothing"


async def copy_everywhere(step: Step, seed: int, chosen: int) -> None:
    """Have one call of a run fail, copy the run at each place that it has, and hold the outputs against each other."""
    bodies = Bodies(Fate(seed), {leaf.name: leaf.gives for leaf in leaves_in(step)})
    pipeline = Pipeline("random", node_of(step, bodies.body, bodies.ask))
    storage = MemoryStorage()
    async with Runtime(storage, pipelines=[pipeline]) as runtime:
        expected = await given_by(await runtime.start(pipeline, 1))
        bodies.broken, bodies.calls = 1 + chosen % max(bodies.calls, 1), 0
        origin = await runtime.start(pipeline, 1)
        if (await origin.wait()).state == RunState.FAILED:  # else a map collected the failure
            for place in [None, *(point.phase for point in await origin.checkpoints())]:
                assert await given_by(await origin.fork(place)) == expected
    check(storage)


@settings(max_examples=150)
@given(
    compositions(timeless=True) | compositions(timeless=True, nested=True),
    st.integers(0, 2**31),
    st.integers(0, 2**16),
)
def test_a_copy_gives_what_a_run_gives_that_never_failed(step: Step, seed: int, chosen: int) -> None:
    """From each checkpoint of a run that failed, and from all that it had."""
    anyio.run(copy_everywhere, step, seed, chosen)
