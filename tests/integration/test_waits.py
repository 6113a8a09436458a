"""Runs that wait for signals and times, on every storage: nothing of them is kept meanwhile, and all of them go on."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import anyio
import pytest
from anyio import to_thread
from tests.opening import OpenRuntime

from phaseline import (
    Context,
    Dag,
    Err,
    Ok,
    PhaseState,
    Pipeline,
    RunHandle,
    RunState,
    Runtime,
    Signal,
    Skipped,
    branch,
    each,
    parallel,
    phase,
    wait_for,
)
from phaseline._engine.waits import MOST_SIGNALS
from phaseline._shell.live import LiveRun
from phaseline.abc import Storage
from phaseline.errors import (
    DefinitionError,
    EncodeError,
    InvalidSignalError,
    PipelineFailedError,
    RuntimeUsageError,
    SignalRefusedError,
    UnknownSignalError,
)
from phaseline.rows import WaitKind
from phaseline.testing import EventRecorder, FakeClock
from phaseline.testing.checker import check

SECOND = timedelta(seconds=1)
APPROVED = Signal[bool]("approved")
PARTS = Signal[list[int]]("parts")


@phase
async def draft(number: int) -> str:
    return f"draft {number}"


@phase
async def publish(decided: tuple[str, bool]) -> str:
    text, approved = decided
    return f"{text}: {'published' if approved else 'dropped'}"


@phase
async def double(number: int) -> int:
    return 2 * number


@phase
async def show(value: bool) -> str:
    return f"{value}"


documents = Pipeline("documents", draft.wait_for(APPROVED) >> publish)
hasty = Pipeline("hasty", draft.wait_for(APPROVED, timeout=2 * SECOND) >> publish)
lenient = Pipeline("lenient", draft.wait_for(APPROVED, timeout=2 * SECOND, default=False) >> publish)
sleepy = Pipeline("sleepy", double.sleep_for(2 * SECOND) >> double.with_options(name="again"))


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


async def at_rest(clock: FakeClock, handle: RunHandle[Any], state: str) -> None:
    """Let everything be done that is to be done, and see where the run is then."""
    await clock.settle()
    assert await handle.state() == state


# --------------------------------------------------------------------- signals
async def test_a_run_goes_on_with_what_it_was_sent(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """Its row says what it waits for; the value before the wait is handed on with the signal."""
    opened = storage()
    async with Runtime(opened, pipelines=[documents], clock=clock) as runtime:
        handle = await runtime.start(documents, 7)
        await at_rest(clock, handle, "WAIT_FOR_APPROVED")
        row = (await handle.run()).phases["wait_for_approved"]
        assert (row.state, row.wait_kind, row.worker, row.lease_expires, row.due_at) == (
            PhaseState.RUNNING, WaitKind.SIGNAL, None, None, None,
        )  # fmt: skip
        with EventRecorder(runtime.bus) as recorder:
            await handle.signal(APPROVED, True, actor="ada")
            assert await handle.result() == "draft 7: published"
        assert recorder.types[:2] == ["SIGNAL_RECEIVED", "PHASE_COMPLETED"]
        told = [event async for event in handle.events() if event.type == "SIGNAL_RECEIVED"]
        assert [event.data for event in told] == [recorder.events[0].data]
        assert recorder.events[0].data == {"signal": "approved", "actor": "ada"}
        assert (await handle.run()).states == (
            "IDLE", "INITIALIZING", "DRAFT", "WAIT_FOR_APPROVED", "PUBLISH", "COMPLETED",
        )  # fmt: skip
        await checked(opened)


async def test_a_signal_that_comes_early_is_kept(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """It is taken by the wait as it begins; also of a run that has not started yet."""
    opened = storage()
    async with Runtime(opened, pipelines=[documents], clock=clock) as runtime:
        handle = await runtime.start(documents, 7, delay=5 * SECOND)
        await handle.signal(APPROVED, False)
        assert await handle.state() == RunState.IDLE
        await clock.advance(5 * SECOND)
        assert await handle.result() == "draft 7: dropped"
        await checked(opened)


async def test_signals_are_taken_in_the_order_in_which_they_came(open_runtime: OpenRuntime) -> None:
    """Each by one wait of its name and key; what has an id is received once, and sent again does nothing, also after the end."""
    waits = [wait_for(PARTS, name=f"w{n}") for n in range(3)]
    pipeline = Pipeline("three", waits[0].wait_for(PARTS, name="w1").wait_for(PARTS, name="w2"))
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 0)
        for part, id_ in (([1], "a"), ([2], None), ([1], "a"), ([3], None)):
            await handle.signal(PARTS, part, id=id_)
        assert await handle.result() == (([1], [2]), [3])
        run_id = handle.id
    async with open_runtime(pipeline) as runtime:  # by a process that has not seen the run yet
        handle = await runtime.get(run_id)
        await handle.signal(PARTS, [1], id="a")
        with pytest.raises(SignalRefusedError, match="is COMPLETED"):
            await handle.signal(PARTS, [1], id="b")


async def test_keys_tell_waits_apart(open_runtime: OpenRuntime) -> None:
    """Two that wait for one signal side by side."""
    both = parallel(wait_for(APPROVED, key="law", name="law"), wait_for(APPROVED, key="money", name="money"))
    pipeline = Pipeline("both", both)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 0)
        await handle.signal(APPROVED, False, key="money")
        await handle.signal(APPROVED, True, key="law")
        assert await handle.result() == (True, False)


async def test_a_map_takes_apart_what_was_sent(open_runtime: OpenRuntime) -> None:
    """Nobody counted it before: a worker does."""
    pipeline = Pipeline("parts", wait_for(PARTS) >> each(double))
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, "whatever")
        await handle.signal(PARTS, [1, 2, 3])
        assert await handle.result() == [2, 4, 6]


async def test_another_process_may_send_it(database: Callable[[], Storage], clock: FakeClock) -> None:
    """The wait ends in the sender's commit, whoever began it; a worker goes on."""
    async with Runtime(database(), pipelines=[documents], clock=clock) as worker:
        handle = await worker.start(documents, 7)
        await at_rest(clock, handle, "WAIT_FOR_APPROVED")
        async with Runtime(database(), pipelines=[documents], clock=clock, serve=False) as sender:
            other = await sender.get(handle.id, documents)
            await other.signal(APPROVED, True)
            row = (await other.run()).phases["wait_for_approved"]
            assert row.state is PhaseState.COMPLETED
            await clock.advance(SECOND)
            assert await other.result() == "draft 7: published"


async def test_a_wait_goes_on_after_its_process(database: Callable[[], Storage], clock: FakeClock) -> None:
    """What is due is found by whoever is there, and what is sent is taken."""
    async with Runtime(database(), pipelines=[lenient, documents], clock=clock) as first:
        late, asked = await first.start(lenient, 1), await first.start(documents, 2)
        await at_rest(clock, late, "WAIT_FOR_APPROVED")
    await clock.advance(3 * SECOND)
    opened = database()
    async with Runtime(opened, pipelines=[lenient, documents], clock=clock) as second:
        assert await (await second.get(late.id, lenient)).result() == "draft 1: dropped"
        handle = await second.get(asked.id, documents)
        await handle.signal(APPROVED, True)
        assert await handle.result() == "draft 2: published"
        await checked(opened)


# --------------------------------------------------------------------- times
async def test_a_sleep_takes_its_time_and_hands_the_value_on(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Not a moment less; its value is not stored once more."""
    opened = storage()
    async with Runtime(opened, pipelines=[sleepy], clock=clock) as runtime:
        handle = await runtime.start(sleepy, 3)
        await clock.settle()
        await clock.advance(2 * SECOND - timedelta(microseconds=1))
        await at_rest(clock, handle, "SLEEP")
        await clock.advance(timedelta(microseconds=1))
        assert await handle.result() == 12
        await checked(opened)


async def test_what_does_not_come_in_time_fails(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """With the category TIMEOUT; a retry waits anew."""
    opened = storage()
    async with Runtime(opened, pipelines=[hasty], clock=clock) as runtime:
        handle = await runtime.start(hasty, 1)
        await clock.advance(2 * SECOND)
        with pytest.raises(PipelineFailedError, match="did not come within") as caught:
            await handle.result()
        assert caught.value.error is not None
        assert (caught.value.error.category, caught.value.error.phase) == ("TIMEOUT", "wait_for_approved")
        with pytest.raises(SignalRefusedError, match="FAILED"):
            await handle.signal(APPROVED, True)

        await handle.retry()
        await clock.advance(SECOND)
        await at_rest(clock, handle, "WAIT_FOR_APPROVED")
        await handle.signal(APPROVED, True)
        assert await handle.result() == "draft 1: published"
        await checked(opened)


async def test_a_default_stands_for_what_does_not_come(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """As if it had been sent."""
    async with open_runtime(lenient) as runtime:
        handle = await runtime.start(lenient, 1)
        await clock.advance(2 * SECOND)
        assert await handle.result() == "draft 1: dropped"


async def test_many_waits_that_are_due_at_once_all_end(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """More of them than are looked up at once."""
    item = Pipeline("item", double.sleep_for(SECOND))
    pipeline = Pipeline("many", each(item))
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, list(range(600)))
        await clock.settle()
        await clock.advance(SECOND)
        assert await handle.result() == [2 * number for number in range(600)]


# --------------------------------------------------------------------- where a wait may stand
async def test_items_of_a_map_wait_each_for_its_own(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """The key is the index of the item; what does not come is collected."""
    item = Pipeline("item", double.wait_for(APPROVED, timeout=2 * SECOND))
    pipeline = Pipeline("items", each(item, on_error="collect"))
    opened = storage()
    async with Runtime(opened, pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, [1, 2, 3])
        await handle.signal(APPROVED, True, key="2")
        await at_rest(clock, handle, "ITEM")
        await handle.signal(APPROVED, False, key="0")
        await clock.advance(2 * SECOND)
        first, second, third = await handle.result()
        assert (first, third) == (Ok(value=(2, False)), Ok(value=(6, True)))
        assert isinstance(second, Err)
        assert second.category == "TIMEOUT"
        assert not isinstance(second, Skipped)
        await checked(opened)


async def test_a_branch_not_taken_waits_for_nothing(open_runtime: OpenRuntime) -> None:
    """Its wait is SKIPPED like everything in it."""

    def is_big(number: int) -> bool:
        return number > 5

    pipeline = Pipeline(
        "maybe", branch(is_big, draft.wait_for(APPROVED) >> publish, draft.with_options(name="small"))
    )
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        assert await handle.result() == "draft 1"
        assert (await handle.run()).phases["wait_for_approved"].state is PhaseState.SKIPPED


async def test_a_pipeline_in_a_pipeline_waits(open_runtime: OpenRuntime) -> None:
    """At its path; the state is the label of the wait."""
    outer = Pipeline("outer", documents >> phase(name="count")(length))
    async with open_runtime(outer) as runtime:
        handle = await runtime.start(outer, 1)
        await handle.signal(APPROVED, True)
        assert await handle.result() == len("draft 1: published")
        assert "documents/wait_for_approved" in (await handle.run()).phases


def length(text: str) -> int:
    return len(text)


@pytest.mark.parametrize("sent", [True, False])
async def test_whatever_comes_first_is_taken(
    storage: Callable[[], Storage], clock: FakeClock, *, sent: bool
) -> None:
    """A deferred choice: a signal, or a time; the other one is ended with it."""
    dag = Dag("race", bool)
    reply = dag.wait_for(APPROVED)
    late = dag.sleep_for(2 * SECOND, dag.input)
    pipeline = dag.build(dag.add(show, reply, late, join="any", cancel_rest=True))
    opened = storage()
    async with Runtime(opened, pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, False)
        await clock.settle()
        if sent:
            await handle.signal(APPROVED, True)
        else:
            await clock.advance(2 * SECOND)
        assert await handle.result() == str(sent)
        states = {path: row.state for path, row in (await handle.run()).phases.items()}
        ended, skipped = ("wait_for_approved", "sleep") if sent else ("sleep", "wait_for_approved")
        assert (states[ended], states[skipped]) == (PhaseState.COMPLETED, PhaseState.SKIPPED)
        await checked(opened)


async def test_the_result_of_a_wait_can_be_asked_for(open_runtime: OpenRuntime) -> None:
    """What the chain hands on, what was sent, and what slept."""
    pair = draft.wait_for(APPROVED)
    plain = wait_for(PARTS)

    @phase
    async def told(_: list[int], ctx: Context) -> str:
        return f"{await ctx.result_of(pair)} {await ctx.result_of(plain)}"

    pipeline = Pipeline("asks", pair >> plain >> told)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await handle.signal(APPROVED, True)
        await handle.signal(PARTS, [4])
        assert await handle.result() == "('draft 1', True) [4]"


# --------------------------------------------------------------------- commands
async def test_a_paused_run_keeps_what_it_is_sent_until_it_goes_on(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Then it is taken in the commit of the resume; a time that came meanwhile has come."""
    opened = storage()
    async with Runtime(opened, pipelines=[documents, sleepy], clock=clock) as runtime:
        asked, asleep = await runtime.start(documents, 1), await runtime.start(sleepy, 1)
        await at_rest(clock, asked, "WAIT_FOR_APPROVED")
        for handle in (asked, asleep):
            await handle.pause()
        await asked.signal(APPROVED, True)
        await clock.advance(3 * SECOND)
        assert [await handle.state() for handle in (asked, asleep)] == ["PAUSED", "PAUSED"]
        await asked.resume()
        await asleep.resume()
        assert await asked.result() == "draft 1: published"
        assert await asleep.result() == 4
        await checked(opened)


async def test_what_is_sent_in_a_pause_counts_though_the_time_is_over(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """A pause does not stop the time of a wait; what comes of it waits for the resume: a signal before, else the default."""
    opened = storage()
    async with Runtime(opened, pipelines=[lenient], clock=clock) as runtime:
        sent, silent = await runtime.start(lenient, 1), await runtime.start(lenient, 2)
        for handle in (sent, silent):
            await at_rest(clock, handle, "WAIT_FOR_APPROVED")
            await handle.pause()
        await clock.advance(3 * SECOND)
        await sent.signal(APPROVED, True)
        await clock.settle()
        assert [await handle.state() for handle in (sent, silent)] == ["PAUSED", "PAUSED"]
        for handle, told in ((sent, "draft 1: published"), (silent, "draft 2: dropped")):
            await handle.resume()
            assert await handle.result() == told
        await checked(opened)


async def test_a_cancel_ends_a_wait(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """At once, and its time never comes."""
    opened = storage()
    async with Runtime(opened, pipelines=[hasty], clock=clock) as runtime:
        handle = await runtime.start(hasty, 1)
        await at_rest(clock, handle, "WAIT_FOR_APPROVED")
        await handle.cancel()
        await clock.advance(3 * SECOND)
        run = await handle.wait()
        assert (run.state, run.phases["wait_for_approved"].state) == (RunState.CANCELLED, PhaseState.SKIPPED)
        with pytest.raises(SignalRefusedError, match="CANCELLED"):
            await handle.signal(APPROVED, True)
        await checked(opened)


async def test_a_wait_that_is_done_once_more_needs_another_signal(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """What was taken stays taken."""
    opened = storage()
    async with Runtime(opened, pipelines=[documents], clock=clock) as runtime:
        handle = await runtime.start(documents, 1)
        await handle.signal(APPROVED, True)
        assert await handle.result() == "draft 1: published"
        await handle.rerun_from("wait_for_approved")
        await at_rest(clock, handle, "WAIT_FOR_APPROVED")
        await handle.signal(APPROVED, False)
        assert await handle.result() == "draft 1: dropped"
        await checked(opened)


# --------------------------------------------------------------------- what is refused
async def test_a_finished_run_takes_no_signal(open_runtime: OpenRuntime) -> None:
    """Nothing is stored, and the error says what to do."""
    async with open_runtime(lenient) as runtime:
        handle = await runtime.start(lenient, 1)
        await handle.signal(APPROVED, True)
        await handle.result()
        before = await runtime.runner.record_of(handle.id)
        with pytest.raises(
            SignalRefusedError, match="is COMPLETED and did not take the signal 'approved'"
        ) as caught:
            await handle.signal(APPROVED, True)
        assert (caught.value.run_id, caught.value.signal, caught.value.state) == (
            handle.id,
            "approved",
            "COMPLETED",
        )
        assert await runtime.runner.record_of(handle.id) == before


async def test_what_is_of_another_type_or_unknown_is_refused_before_it_is_stored(
    open_runtime: OpenRuntime,
) -> None:
    """Whatever the token says, the pipeline's own type counts."""
    wrong: Any = "yes"
    async with open_runtime(documents) as runtime:
        handle = await runtime.start(documents, 1)
        before = None
        for signal, value, error in (
            (APPROVED, wrong, InvalidSignalError),
            (Signal[str]("approved"), "yes", InvalidSignalError),
            (Signal[bool]("aproved"), True, UnknownSignalError),
        ):
            with pytest.raises(error):
                await handle.signal(signal, value)
            after = (await runtime.runner.record_of(handle.id)).signals
            assert before in (None, after)
            before = after
        with pytest.raises(DefinitionError, match=r"signal\('approved'\): a signal is sent by its token"):
            await handle.signal(cast("Signal[bool]", "approved"), True)
        for options in ({"key": ""}, {"key": "\0"}, {"id": "x" * 501}):
            with pytest.raises(EncodeError):
                await handle.signal(APPROVED, True, **options)
        assert before == 0


async def test_a_signal_that_no_item_could_take_is_refused(open_runtime: OpenRuntime) -> None:
    """Without a key it would be stored, and each of the items would wait for ever."""
    pipeline = Pipeline("each-of-them", each(Pipeline("one", wait_for(APPROVED))))
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, [1, 2])
        with pytest.raises(DefinitionError, match=f"{handle.id}: only items of a map wait for it.*key='0'"):
            await handle.signal(APPROVED, True)
        assert (await runtime.runner.record_of(handle.id)).signals == 0
        for key in "01":
            await handle.signal(APPROVED, True, key=key)
        assert await handle.result() == [True, True]


async def test_a_run_keeps_a_thousand_signals(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """One more is refused until one is taken."""
    pipeline = Pipeline(
        "slow", wait_for(APPROVED).sleep_for(SECOND) >> wait_for(PARTS, name="parts") >> each(double)
    )
    async with Runtime(storage(), pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, 1)
        async with anyio.create_task_group() as tasks:
            for number in range(MOST_SIGNALS):
                tasks.start_soon(handle.signal, PARTS, [number])
        with pytest.raises(SignalRefusedError, match="keeps 1,000 signals"):
            await handle.signal(PARTS, [0])
        with pytest.raises(SignalRefusedError):
            await handle.signal(APPROVED, True)


async def test_a_run_in_memory_that_nobody_could_reach_is_refused() -> None:
    """Unless its waits end by themselves."""
    with pytest.raises(RuntimeUsageError, match="nobody could send one to a run in memory"):
        await documents.run(1)
    quick = Pipeline("quick", draft.wait_for(APPROVED, timeout=SECOND / 100, default=True) >> publish)
    assert await quick(1) == "draft 1: published"
    naps = Pipeline("naps", double.sleep_for(SECOND / 100).sleep_for(SECOND / 100))
    assert await naps(2) == 4


def test_waits_that_cannot_work_are_refused_where_they_are_written() -> None:
    """Each with what to write instead."""
    odd: Any = draft
    for make, told in (
        (lambda: odd.wait_for("approved"), r"write SIGNAL = Signal\[Type\]\('approved'\)"),
        (lambda: odd.wait_for(Signal("x")), r"write Signal\[Type\]\('x'\)"),
        (lambda: odd.wait_for(APPROVED, timeout=5), "has no unit"),
        (lambda: odd.wait_for(APPROVED, default=True), "give the timeout too"),
        (lambda: odd.wait_for(APPROVED, key=""), "characters"),
        (lambda: odd.sleep_for(5), "has no unit"),
        (lambda: odd.sleep_for(None), "would never end"),
        (lambda: odd.sleep_for(timedelta(0)), "would end it before it began"),
        (lambda: Signal[bool]("no name"), "is no name for a signal"),
        (lambda: Pipeline("x", odd.wait_for(APPROVED, timeout=SECOND, default="no")), "default of wait_for"),
        (lambda: Pipeline("x", odd.wait_for(APPROVED).wait_for(Signal[str]("approved"))), "waits for two signals 'approved'"),
        (lambda: odd.wait_for(APPROVED) >> double, "returns tuple"),
    ):  # fmt: skip
        with pytest.raises(DefinitionError, match=told):
            make()


def test_the_first_of_several_values_is_not_kept_beside_a_signal() -> None:
    """Which one it was is stored with who takes it, and two would."""
    dag = Dag("race", int)
    refs = dag.add(double, dag.input), dag.add(double.with_options(name="other"), dag.input)
    kept: Any = double.wait_for(APPROVED).parts[-1]
    with pytest.raises(DefinitionError, match="put a phase before it"):
        dag.build(dag.add(kept, *refs, join="any"))


# --------------------------------------------------------------------- what a waiting run holds
def kept_of(run_ids: list[str]) -> list[LiveRun]:
    """What this process keeps of these runs, wherever."""
    # By its type: isinstance() asks each object for its class, and those of other libraries may raise.
    return [found for found in gc.get_objects() if type(found) is LiveRun and found.id in run_ids]


async def test_a_waiting_run_holds_nothing(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """No worker, no lease, no seat, and no memory of the process: it is forgotten, and goes on all the same."""
    opened = storage()
    async with Runtime(opened, pipelines=[documents], clock=clock, concurrency=1) as runtime:
        runner = runtime.runner
        run_ids = [(await runtime.start(documents, number)).id for number in range(20)]
        await clock.settle()
        assert kept_of(run_ids)
        await clock.advance(3 * SECOND)
        gc.collect()
        assert runner.live == {}
        assert kept_of(run_ids) == []
        assert (runner.seats, runner.is_vacant) == (1, True)
        held = await runner.write(runner.renew)
        assert list(held) == []

        for run_id in run_ids:
            await (await runtime.get(run_id)).signal(APPROVED, True)
        results = [await (await runtime.get(run_id, documents)).result() for run_id in run_ids]
        assert results == [f"draft {number}: published" for number in range(20)]
        await checked(opened)
