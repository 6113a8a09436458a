"""Runs that are started by a phase: how they begin, or are taken up again, and what they hand on at their end."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from phaseline._definition.plan import Binding, Plan
from phaseline._engine.commands import Attach, Cancel, ChildEnded, Retry, Succeed
from phaseline._shell.controlling import carry_out
from phaseline._shell.describing import landmarks_of, taken_back
from phaseline._shell.failure import info_of
from phaseline._shell.starting import Parent, StartOptions, prepared
from phaseline.errors import (
    ChildRunError,
    CodecError,
    CommandRefusedError,
    NoOutputError,
    RunNotFoundError,
)
from phaseline.rows import ENDED_STATES, TAKEN_BACK_STATES, ErrorInfo, RunRecord, RunState
from phaseline.run_filter import RunFilter
from phaseline.unit_of_work import MessageKind

if TYPE_CHECKING:
    from phaseline._shell.live import Job, LiveRun
    from phaseline._shell.runner import Runner


NEWEST = 100
"""Runs that a phase may have started before, of which one that is of use is looked for."""
ALL = 1_000_000
"""Messages that are read; there are hardly ever any."""


async def begin_child(runner: Runner, job: Job, plan: Plan, value: object) -> Attach | Succeed:
    """Make the command by which a phase waits for a run: a new one, or the one that it had before its own run failed.

    Raises:
        InvalidInputError: The value is not what the pipeline takes.
    """
    row, run = job.row, job.live.snapshot.run
    earlier = await _earlier(runner, job) if run.epoch else None
    if earlier is None:
        parent = Parent(run.id, row.path, row.generation)
        _, _, unit = prepared(runner, plan, value, StartOptions(priority=run.priority, parent=parent))
        return Attach(row.path, row.fence, unit.run.id, unit)
    if earlier.state == RunState.COMPLETED:
        text, length = await _output(runner, job.binding, earlier)
        return Succeed(row.path, row.fence, text, length)
    if earlier.state == RunState.FAILED:
        with suppress(
            CommandRefusedError
        ):  # somebody was faster; whatever has become of it is looked at once it is waited for
            await carry_out(runner, earlier.id, Retry(f"its parent, run {run.id}, was retried"))
        if job.is_interrupted():
            with anyio.CancelScope(shield=True):  # it is what interrupts the phase that this is done for
                await let_go(runner, job, earlier.id)
    return Attach(row.path, row.fence, earlier.id, None)


async def _earlier(runner: Runner, job: Job) -> RunRecord | None:
    """Find the run that the phase has started for what it does now, if that is of use.

    Another one is started only where it is not, so that there is one at most.
    """
    run, row = job.live.snapshot.run, job.row
    closed = await _closed(runner, run)
    wanted = RunFilter(parent=run.id, parent_path=row.path)
    find = partial(runner.storage.find, run.namespace, wanted, limit=NEWEST, newest_first=True)
    found = (child for child in await runner.read(find) if child.parent_generation == row.generation)
    earlier = next(
        (child for child in found if child.definition in runner.plans and not _is_spent(child)), None
    )
    if earlier is None or earlier.state == RunState.COMPLETED or earlier.id not in closed:
        return earlier
    with suppress(CommandRefusedError, RunNotFoundError):  # it has ended by itself, or somebody was faster
        await carry_out(runner, earlier.id, cancel_for(run.id))
    return None


async def _closed(runner: Runner, run: RunRecord) -> Collection[str]:
    """Which runs are to be cancelled because this one did not wait for them any more, and are not yet.

    Asked before the runs are read: what is not told of any more is cancelled by then.
    """
    read = partial(runner.storage.messages, run.namespace, frozenset(runner.plans), ALL)
    told = await runner.read(read)
    return {one.run_id for one in told if one.kind is MessageKind.CLOSED and one.sender == run.id}


async def let_go(runner: Runner, job: Job, child: str) -> None:
    """Cancel a run that was taken up again for a phase that does not come to wait for it: its own run has ended meanwhile."""
    parent = await runner.record_of(job.live.id)
    is_over = parent.state in ENDED_STATES | TAKEN_BACK_STATES
    if is_over and job.node.close == "cancel":
        with suppress(
            CommandRefusedError, RunNotFoundError
        ):  # it has ended by itself, or somebody was faster
            await carry_out(runner, child, cancel_for(parent.id))


def cancel_for(parent: str) -> Cancel:
    """Make the command for a run that its parent does not wait for any more."""
    return Cancel(f"its parent, run {parent}, does not wait for it any more")


def _is_spent(child: RunRecord) -> bool:
    """Whether nothing more is to be had of a run; one that failed amid a rollback is half undone.

    One that is being undone ends with the failure that it had before: whoever waited for it would fail by that again.
    """
    is_half_undone = child.state == RunState.FAILED and child.undo_after is not None
    return is_half_undone or child.state == RunState.CANCELLED or child.state in TAKEN_BACK_STATES


async def _failure(runner: Runner, child: RunRecord) -> ErrorInfo | None:
    """Give what a run failed with, also where it was rolled back since: then its history tells."""
    if child.state != RunState.ROLLED_BACK:
        return child.error
    return taken_back(child, await landmarks_of(runner, child))


async def ended(runner: Runner, parent: LiveRun, child: RunRecord) -> ChildEnded:
    """Make the command by which the phase that waits for a run learns of its end."""
    path = child.parent_path
    assert path is not None  # noqa: S101  # it has a parent
    plan = parent.snapshot.plan
    binding = plan.binding_of(plan.locate(path)[0])
    try:
        if child.state != RunState.COMPLETED:
            error = await _failure(runner, child)
            raise ChildRunError(child.id, child.pipeline, child.state, error)  # noqa: TRY301  # treated like what cannot be read
        text, length = await _output(runner, binding, child)
    except (ChildRunError, CodecError) as error:
        return ChildEnded(path, child.id, None, info_of(error, path, runner.options.classify))
    return ChildEnded(path, child.id, text, length=length)


async def _output(runner: Runner, binding: Binding, child: RunRecord) -> tuple[str, int | None]:
    """Read the output of a run, and encode it as that of the phase; gives its length too where a map takes it apart.

    Raises:
        ChildRunError: It has none.
        CodecError: It is not what it was declared to be.
        PipelineNotRegisteredError: The run's definition is not known here.
    """
    try:
        value: Any = await runner.values.output(await runner.load(child.id))
    except NoOutputError as error:
        raise ChildRunError(child.id, child.pipeline, child.state, reason=error.reason) from error
    text, copy = binding.output.encode(value)
    return text, len(copy) if binding.is_counted else None
