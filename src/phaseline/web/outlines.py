"""A run as it is drawn: its phases folded, and page by page where there are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from phaseline._shell.describing import landmarks_of, taken_back
from phaseline.places import Place
from phaseline.rows import PhaseRecord, RunState
from phaseline.runs import summary_of
from phaseline.usage import NO_SPENDING, total
from phaseline.views import CheckpointView, ErrorView, PhaseView, RunView, UsageView, View
from phaseline.web.calls import Call


class FoldedView(View):
    """A phase, or all items of a map at one place in the graph."""

    path: str
    """In the graph: ``pick[]`` of the items ``pick[0]``, ``pick[1]``."""
    states: Mapping[str, int]
    """How many there are in each state."""
    phase: PhaseView | None
    """Where it is one phase."""
    started_at: datetime | None
    """When the first of them began."""
    ended_at: datetime | None
    """When the last of them ended, if all have."""

    @classmethod
    def of(cls, place: Place) -> FoldedView:
        """Show it."""
        return cls(
            path=place.path, states={str(state): place.states[state] for state in sorted(place.states)},
            phase=None if place.phase is None else PhaseView.of(place.phase),
            started_at=place.started_at, ended_at=place.ended_at,
        )  # fmt: skip


class OutlineView(RunView):
    """A run, with its phases folded. No command is allowed where its pipeline, as it began with it, is not served."""

    seq: int
    """Number of its last event."""
    forked_from: str | None
    phases: tuple[FoldedView, ...]
    """In the order in which they came up."""
    checkpoints: tuple[CheckpointView, ...]
    usage: UsageView
    usage_by_phase: Mapping[str, UsageView]
    """By path of the phase in the pipeline."""
    sla_at: datetime | None
    """When it should be over, by the service level of its pipeline."""
    breached: int | None
    """Number of the event that tells that it was not over by then."""
    parent_path: str | None
    """Path of the phase of the other run that waits for it."""
    deadline: datetime | None


class PhasesView(View):
    """A page of the phases of a run."""

    phases: tuple[PhaseView, ...]
    next: int | None
    """To be given as ``after`` for the next page; null if this was the last."""


async def show_outline(call: Call) -> OutlineView:
    """Show a run with its phases folded, however many there are; also one whose pipeline is not served here."""
    runner = call.runtime.runner
    # The row is read first: of what is committed meanwhile, events tell after the number that stands in it.
    run = await runner.record_of(call.run.id)
    of_run = runner.options.namespace, run.id
    places = await runner.read(partial(runner.storage.places, *of_run))
    checkpoints = await runner.read(partial(runner.storage.checkpoints, *of_run))
    spending = run.spending or NO_SPENDING
    error = run.error
    if run.state == RunState.ROLLED_BACK:  # its row tells of it no more
        error = taken_back(run, await landmarks_of(runner, run))
    view = OutlineView.model_validate(
        {
            **RunView.of(summary_of(runner, run)).model_dump(), **({} if run.definition in runner.plans else {"allowed": ()}), "seq": run.seq, "forked_from": run.forked_from,
            "error": ErrorView.of(error), "sla_at": run.sla_at, "breached": run.breached,
            "phases": tuple(map(FoldedView.of, places)), "checkpoints": tuple(map(CheckpointView.of, checkpoints)),
            "usage": UsageView.of(total(spending.phases.values())),
            "usage_by_phase": {path: UsageView.of(usage) for path, usage in spending.phases.items()},
            "parent_path": run.parent_path, "deadline": run.deadline,
        }
    )  # fmt: skip
    return call.shown(view)


async def list_phases(call: Call) -> PhasesView:
    """List the phases of a run in the order in which they came up, page by page: all, or those at one place in the graph."""
    runner, asked = call.runtime.runner, call.query
    read = partial(
        runner.storage.phases, runner.options.namespace, call.run.id, place=asked.place,
        states=asked.state or None, after=asked.after, limit=asked.limit + 1,
    )  # fmt: skip
    found: Sequence[PhaseRecord] = await runner.read(read)
    page = found[: asked.limit]
    return PhasesView(
        phases=tuple(map(PhaseView.of, page)), next=page[-1].position if len(found) > len(page) else None
    )
