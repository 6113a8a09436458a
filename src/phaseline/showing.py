"""Runs looked at in a runtime, as what is told of them to people and other programs."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from phaseline.errors import NoOutputError
from phaseline.run import Run, RunState
from phaseline.runs import summary_by_id
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
    handle = await runtime.get(run_id)
    run = await handle.run()
    summary = await summary_by_id(runtime.runner, run_id)
    return RunDetail.with_all(summary, run, _output_of(runtime, run))


def _output_of(runtime: Runtime, run: Run[object]) -> Any:
    """The output as JSON data; None where there is none."""
    if run.state != RunState.COMPLETED:
        return None
    try:
        output = run.output
    except NoOutputError:  # the phase that gives it was skipped
        return None
    definition = run.pipeline, run.version
    pipeline = next(each for each in runtime.pipelines if definition == (each.name, each.version))
    text, _ = pipeline.plan.whole.encode(output)
    return from_json(text)
