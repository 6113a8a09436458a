"""Signals that nothing can take any more: whoever sends one is told, and it decides nothing later."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, RunHandle, Runtime, Signal, each, phase
from phaseline.errors import SignalRefusedError
from phaseline.storage.memory import MemoryStorage

WAIT = timedelta(seconds=20)
DECISION = Signal[str]("decision")


class Gate:
    """What holds up the phase behind the decision."""

    def __init__(self) -> None:
        self.begun, self.opened = anyio.Event(), anyio.Event()


def reports(gate: Gate) -> Pipeline[str, str]:
    """A decision, and a phase after it that stands still."""

    @phase
    async def write(topic: str) -> str:
        return topic

    @phase
    async def publish(decided: tuple[str, str]) -> str:
        gate.begun.set()
        await gate.opened.wait()
        return decided[1]

    return Pipeline("reports", write.wait_for(DECISION) >> publish)


async def test_what_comes_after_the_decision_is_refused(open_runtime: OpenRuntime) -> None:
    """And does not decide when the wait is begun again."""
    gate = Gate()
    pipeline = reports(gate)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, "rain")
        await handle.signal(DECISION, "approved", id="ada")
        with anyio.fail_after(WAIT.total_seconds()):
            await gate.begun.wait()
        with pytest.raises(SignalRefusedError, match=r"what waits for it has ended.*rerun_from") as refused:
            await handle.signal(DECISION, "rejected", id="bob")
        assert (refused.value.signal, refused.value.state) == ("decision", "PUBLISH")
        await handle.signal(DECISION, "approved", id="ada")  # who sends it again did not hear that it came
        gate.opened.set()
        assert await handle.result(WAIT) == "approved"
        assert [event.type async for event in handle.events()].count("SIGNAL_RECEIVED") == 1

        await handle.rerun_from("wait_for_decision")
        with anyio.fail_after(WAIT.total_seconds()):
            while await handle.state() != "WAIT_FOR_DECISION":  # noqa: ASYNC110  # the events before tell of a wait, too
                await anyio.sleep(0.01)
        await handle.signal(DECISION, "rejected", id="bob")
        assert await handle.result(WAIT) == "rejected"


async def test_of_many_who_decide_at_once_one_does(open_runtime: OpenRuntime) -> None:
    """Each of the others is told."""
    gate = Gate()
    pipeline = reports(gate)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, "rain")
        await told(handle, "PHASE_STARTED", "wait_for_decision")
        taken: list[str] = []

        async def decide(name: str) -> None:
            try:
                await handle.signal(DECISION, name, id=name)
            except SignalRefusedError:
                return
            taken.append(name)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(decide, f"approver {number}")
        gate.opened.set()
        assert [await handle.result(WAIT)] == taken


async def test_items_are_decided_one_by_one(open_runtime: OpenRuntime) -> None:
    """The key of an item says which; one that is decided takes no other, and the others do."""

    @phase
    async def split(text: str) -> list[str]:
        return text.split()

    @phase
    async def weigh(word: str, ctx: Context) -> str:
        return word

    @phase
    async def join(decided: list[tuple[str, str]]) -> str:
        return ", ".join(f"{word} {decision}" for word, decision in decided)

    pipeline = Pipeline("items", split >> each(Pipeline("word", weigh.wait_for(DECISION))) >> join)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, "one two")
        await handle.signal(DECISION, "yes", key="1")
        await told(handle, "PHASE_COMPLETED", "word[1]/wait_for_decision")
        with pytest.raises(SignalRefusedError):
            await handle.signal(DECISION, "no", key="1")
        with pytest.raises(SignalRefusedError):
            await handle.signal(DECISION, "no", key="01")
        await handle.signal(DECISION, "no", key="0")
        assert await handle.result(WAIT) == "one no, two yes"


async def told(handle: RunHandle[str], type_: str, path: str) -> None:
    """Wait until an event has come."""
    with anyio.fail_after(WAIT.total_seconds()):
        async with aclosing(handle.events()) as events:
            async for event in events:
                if (event.type, event.phase) == (type_, path):
                    return


async def test_what_another_runtime_did_is_known_before_it_is_refused() -> None:
    """Of two on one memory, which write no revision that could turn out stale."""
    end = Signal[str]("end")

    @phase
    async def write(topic: str) -> str:
        return topic

    @phase
    async def both(decided: tuple[tuple[str, str], str]) -> str:
        return f"{decided[0][1]} {decided[1]}"

    pipeline = Pipeline("twice", write.wait_for(DECISION).wait_for(end) >> both)
    memory = MemoryStorage()
    async with Runtime(memory, pipelines=[pipeline]) as ours, Runtime(memory, pipelines=[pipeline]) as theirs:
        handle = await ours.start(pipeline, "rain")
        await handle.signal(DECISION, "yes")
        other = await theirs.get(handle.id, pipeline)
        await told(other, "PHASE_STARTED", "wait_for_end")  # there: what is followed here is known to be old
        await other.signal(end, "first")
        assert await other.result(WAIT) == "yes first"
        await other.rerun_from("wait_for_decision")
        await handle.signal(DECISION, "no")
        await handle.signal(end, "second")
        assert await handle.result(WAIT) == "no second"


async def test_why_a_signal_is_refused_is_told(open_runtime: OpenRuntime) -> None:
    """A key that nothing waits with is another reason than a wait that has ended; both say what would do."""
    gate = Gate()

    @phase
    async def hold(decided: tuple[list[str], str]) -> str:
        gate.begun.set()
        await gate.opened.wait()
        return f"{decided}"

    @phase
    async def split(text: str) -> list[str]:
        return text.split()

    @phase
    async def weigh(word: str) -> str:
        return word

    @phase
    async def words(decided: list[tuple[str, str]]) -> list[str]:
        return [word for word, _ in decided]

    final = Signal[str]("final")
    pipeline = Pipeline(
        "keyed",
        split
        >> each(Pipeline("word", weigh.wait_for(DECISION)))
        >> words.wait_for(final, key="boss")
        >> hold,
    )
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, "one two")
        with pytest.raises(SignalRefusedError, match=r"with the key 'b'; what waits has index of the item"):
            await handle.signal(DECISION, "yes", key="b")
        with pytest.raises(SignalRefusedError, match=r"with the key 'ada'; what waits has 'boss'"):
            await handle.signal(final, "yes", key="ada")
        with pytest.raises(SignalRefusedError, match=r"with the key None; what waits has 'boss'"):
            await handle.signal(final, "yes")
        await handle.signal(DECISION, "yes", key="1")
        await told(handle, "PHASE_COMPLETED", "word[1]/wait_for_decision")
        with pytest.raises(SignalRefusedError, match=r"what waits for it has ended; roll the run back"):
            await handle.signal(DECISION, "no", key="1")
        with pytest.raises(SignalRefusedError, match=r"no such item: 'word' has 2, counted from 0"):
            await handle.signal(DECISION, "no", key="2")
        await handle.signal(DECISION, "no", key="0")
        await told(handle, "PHASE_COMPLETED", "word[0]/wait_for_decision")
        await handle.signal(final, "yes", key="boss")
        with anyio.fail_after(WAIT.total_seconds()):
            await gate.begun.wait()
        for key, why in (("0", "has ended"), ("1", "has ended"), ("7", "there is no such item")):
            with pytest.raises(SignalRefusedError, match=why):
                await handle.signal(DECISION, "late", key=key)
        gate.opened.set()
        await handle.result(WAIT)
