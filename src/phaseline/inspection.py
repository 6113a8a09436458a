"""Runs looked at in a runtime, as what is told of them to people and other programs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from anyio import to_thread
from pydantic_core import from_json

from phaseline._definition.signals import Signal
from phaseline._shell.describing import facts_of, landmarks_of, picture, taken_back
from phaseline._shell.live import LiveRun
from phaseline._shell.runner import Runner
from phaseline._shell.waiting import follow
from phaseline.errors import InvalidInputError, InvalidSignalError, NoOutputError, RunNotFoundError
from phaseline.events import Event
from phaseline.pipeline import Pipeline
from phaseline.rows import RunState
from phaseline.run import Run
from phaseline.run_filter import RunSummary
from phaseline.runs import summary_by_id, summary_of
from phaseline.runtime import Runtime
from phaseline.views import RunDetail, StateView


async def state_of(runtime: Runtime, run_id: str) -> StateView:
    """Give where a run is.

    Raises:
        RunNotFoundError: There is no such run in this namespace.
        StorageError: It cannot be read.
    """
    return StateView.of(await summary_by_id(runtime.runner, run_id))


async def detail_of(runtime: Runtime, run_id: str) -> RunDetail:
    """Give a run with its phases, its history, and its output if there is one.

    Raises:
        RunNotFoundError: There is no such run in this namespace.
        PipelineNotRegisteredError: Its pipeline, in the shape it started under, is not registered here.
        StorageError: It cannot be read.
    """
    await runtime.get(run_id)
    runner = runtime.runner
    live = await runner.load(run_id)
    run = picture(live, await facts_of(runner, live))
    summary = await summary_by_id(runner, run_id)
    return RunDetail.with_all(summary, run, await _output_of(runner, live))


async def outline_of(runtime: Runtime, run_id: str) -> tuple[RunDetail, Run[object]]:
    """Give what stands in the rows of a run whose pipeline is not registered here: without an output, and obeying nothing.

    Raises:
        RunNotFoundError: There is no such run in this namespace.
        StorageError: It cannot be read.
    """
    runner = runtime.runner
    rows = await runner.read(partial(runner.storage.load, runner.options.namespace, run_id))
    if rows is None:
        raise RunNotFoundError(run_id)
    phases = {row.path: row for row in rows.phases if row.gone_in_epoch is None}
    facts = tuple(await landmarks_of(runner, rows.run))
    run = Run[object](record=rows.run, phases=phases, facts=facts, taken_back=taken_back(rows.run, facts))
    detail = RunDetail.with_all(summary_of(runner, rows.run), run, None)
    return detail.model_copy(update={"allowed": ()}), run


def events_of(runtime: Runtime, run_id: str) -> AsyncGenerator[Event]:
    """Give the events of a run as ``RunHandle.events`` does, also where its pipeline is not registered."""
    return follow(runtime.runner, run_id, 0)


async def _output_of(runner: Runner, live: LiveRun) -> Any:
    """The output as JSON data, read beside the event loop, for it may be large; None where there is none."""
    if live.snapshot.run.state != RunState.COMPLETED:
        return None
    try:
        text = await runner.values.output_text(live)
    except NoOutputError:  # the phase that gives it was skipped
        return None
    return await to_thread.run_sync(from_json, text)


def pipeline_of(runtime: Runtime, run: Run[object] | RunSummary) -> Pipeline[Any, Any]:
    """Give the pipeline of a run that was read in this runtime, and so is registered there."""
    definition = run.pipeline, run.version
    return next(each for each in runtime.pipelines if definition == (each.name, each.version))


async def send(
    runtime: Runtime,
    run_id: str,
    signal: str,
    value: Any,
    *,
    key: str | None = None,
    id_: str | None = None,
    actor: str = "",
) -> None:
    """Send a run a signal by its name, with JSON data as its value.

    Raises:
        InvalidSignalError: The value is not what the pipeline waits for.
        RunNotFoundError, PipelineNotRegisteredError: As ``detail_of``.
        UnknownSignalError, SignalRefusedError, EncodeError, StorageError: As ``RunHandle.signal``.
    """
    handle = await runtime.get(run_id)
    found = await summary_by_id(runtime.runner, run_id)
    door = pipeline_of(runtime, found).plan.signals.get(signal)
    try:
        # Where nothing waits for it, sending says so.
        sent: Any = value if door is None else door.encode_input(value)[1]
    except InvalidInputError as error:
        raise InvalidSignalError(error.what, error.problems, says="does not fit") from None
    await handle.signal(Signal[Any](signal), sent, key=key, id=id_, actor=actor)
