"""The checker reports what is wrong with a copy of a run, and nothing where all is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from phaseline import Pipeline, Runtime, phase
from phaseline.storage.memory import MemoryStorage
from phaseline.testing.checker import InvariantError, check


@phase
async def first(number: int) -> int:
    return number


@phase
async def second(number: int) -> int:
    return number + 1


class Pair:
    """A run and a copy of it, as the memory storage keeps them."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        anyio.run(self._copy)
        runs = {key[1]: stored for key, stored in self.storage._runs.items()}
        self.copy: Any = next(stored for stored in runs.values() if stored.run.forked_from)
        self.origin: Any = runs[self.copy.run.forked_from]

    async def _copy(self) -> None:
        pipeline = Pipeline("pair", first >> second)
        async with Runtime(self.storage, pipelines=[pipeline]) as runtime:
            origin = await runtime.start(pipeline, 1)
            await origin.result()
            await (await origin.fork("first")).result()

    def set_row(self, path: str, **changes: Any) -> None:
        self.copy.phases[path] = replace(self.copy.phases[path], **changes)

    def set_event(self, stored: Any, place: int, **changes: Any) -> None:
        stored.events = [*stored.events]
        stored.events[place] = replace(stored.events[place], **changes)


def test_nothing_to_report() -> None:
    """Both are as they should be."""
    check(Pair().storage)


TAMPERED: dict[str, tuple[Callable[[Pair], object], str]] = {
    "the copy names nobody": (
        lambda p: setattr(p.copy, "run", replace(p.copy.run, forked_from=None)), "'first' was taken over, but the run is no copy",
    ),
    "the copy's event names another": (
        lambda p: p.set_event(p.copy, 0, origin="else"), "its first event says that it is a copy of else",
    ),
    "a late event says that it is a copy": (
        lambda p: p.set_event(p.origin, -1, origin="else"), "say that it is a copy, and are not its first",
    ),
    "the origin tells of nobody": (
        lambda p: p.set_event(p.origin, -1, fork="else"), "which tells of the copies ['else']",
    ),
    "the origin tells of what is no copy of it": (
        lambda p: setattr(p.copy, "run", replace(p.copy.run, forked_from="else")), "which is one of else",
    ),
    "the input is another": (lambda p: p.copy.values.update({"": "7"}), "its input is not that of"),
    "a value is another": (lambda p: p.copy.values.update({"first": "7"}), "'first' was taken over as 7, and"),
    "a value is missing": (lambda p: p.copy.values.pop("first"), "'first' was taken over as None, and"),
    "it was done, too": (lambda p: p.set_row("second", decided=0), "'second' was taken over, and events tell of it"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_reports_what_is_broken(name: str) -> None:
    """Whatever it is."""
    pair = Pair()
    tamper, expected = TAMPERED[name]
    tamper(pair)
    with pytest.raises(InvariantError) as caught:
        check(pair.storage)
    assert any(expected in violation for violation in caught.value.violations), str(caught.value)
