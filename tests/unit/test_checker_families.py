"""The checker reports what two runs have stored of each other and what does not agree, and nothing where it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from phaseline import Pipeline, Runtime, Signal, phase, start_child
from phaseline.events import ChildStarted
from phaseline.storage.memory import MemoryStorage
from phaseline.testing import FakeClock
from phaseline.testing.checker import InvariantError, check

GO = Signal[bool]("go")


@phase
async def double(number: int) -> int:
    return 2 * number


@phase
async def first(given: tuple[int, bool]) -> int:
    return given[0]


child = Pipeline("child", double.wait_for(GO) >> first)
parent = Pipeline("parent", start_child(child))
alone = Pipeline("alone", start_child(child, close="abandon"))


class Family:
    """A run that waits for another one, made to be tampered with."""

    def __init__(self, storage: MemoryStorage, parent_id: str, child_id: str) -> None:
        self.storage = storage
        self.parent: Any = storage._runs["default", parent_id]
        self.child: Any = storage._runs["default", child_id]
        self.messages: dict[Any, None] = storage._messages.setdefault("default", {})

    def forget_start(self) -> None:
        self.parent.events = [
            event if not isinstance(event, ChildStarted) else replace(event, child="another")
            for event in self.parent.events
        ]

    def purge_child(self) -> None:
        del self.storage._runs["default", self.child.run.id]
        self.storage._ids["default"].remove(self.child.run.id)

    def set_child(self, **fields: object) -> None:
        self.child.run = replace(self.child.run, **fields)


async def _family(pipeline: Pipeline[int, int], then: str = "") -> Family:
    """A family that stands, after the parent was cancelled or the child has ended without anybody to hear of it."""
    storage, clock = MemoryStorage(), FakeClock()
    async with Runtime(storage, pipelines=[pipeline, child], clock=clock) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.settle()
        (found,) = (await runtime.find(parent=handle.id)).runs
    async with Runtime(storage, pipelines=[pipeline, child], clock=clock, serve=False) as runtime:
        if then == "cancelled":
            await (await runtime.get(handle.id)).cancel()
        if then == "ended":
            await (await runtime.get(found.id)).cancel()
    return Family(storage, handle.id, found.id)


@pytest.mark.parametrize("then", ["", "cancelled", "ended"])
@pytest.mark.parametrize("pipeline", [parent, alone], ids=lambda pipeline: pipeline.name)
async def test_nothing_to_report(pipeline: Pipeline[int, int], then: str) -> None:
    """While one waits, and while what they have told each other was not heard."""
    family = await _family(pipeline, then)
    assert bool(family.messages) == (then == "ended" or (then == "cancelled" and pipeline is parent))
    check(family.storage)


@pytest.mark.parametrize(
    ("then", "tamper", "expected"),
    [
        ("", Family.forget_start, "and that one that it did so at []"),
        ("", Family.purge_child, "waits for run"),
        ("", lambda family: family.set_child(parent_path="elsewhere"), "which says otherwise"),
        ("", lambda family: family.set_child(parent_path="elsewhere"), "started it at 'elsewhere'"),
        ("ended", lambda family: family.messages.clear(), "which is CANCELLED, and nobody will tell it"),
        ("cancelled", lambda family: family.messages.clear(), "any more, and it was not told"),
    ],
)
async def test_reports_what_does_not_agree(
    then: str, tamper: Callable[[Family], object], expected: str
) -> None:
    """Of the run that says what the other one does not."""
    family = await _family(parent, then)
    tamper(family)
    with pytest.raises(InvariantError) as caught:
        check(family.storage)
    assert any(expected in violation for violation in caught.value.violations), str(caught.value)
