"""A run as it is drawn: its phases folded, and page by page where there are many."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from phaseline.errors import RunNotFoundError
from phaseline.run import PhaseRecord
from phaseline.units import RunRows
from phaseline.usage import NO_SPENDING, total
from phaseline.views import CheckpointView, PhaseView, RunView, UsageView, View
from phaseline.web.calls import Call

_ITEM: Final = re.compile(r"\[\d+\]")


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
    def of(cls, path: str, rows: Sequence[PhaseRecord]) -> FoldedView:
        """Fold them."""
        ended = [row.ended_at for row in rows if row.ended_at is not None]
        return cls(
            path=path, states=dict(sorted(Counter(str(row.state) for row in rows).items())),
            phase=PhaseView.of(rows[0]) if rows[0].path == path else None,
            started_at=min((row.started_at for row in rows if row.started_at is not None), default=None),
            ended_at=max(ended) if len(ended) == len(rows) else None,
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
    rows = await _rows(call)
    checkpoints = await runner.read(
        partial(runner.storage.checkpoints, runner.options.namespace, call.run.id)
    )
    spending = rows.run.spending or NO_SPENDING
    return OutlineView.model_validate(
        {
            **RunView.of(call.run).model_dump(), **({} if rows.run.definition in runner.plans else {"allowed": ()}), "seq": rows.run.seq, "forked_from": call.run.forked_from,
            "phases": _folded(rows.phases), "checkpoints": tuple(map(CheckpointView.of, checkpoints)),
            "usage": UsageView.of(total(spending.phases.values())),
            "usage_by_phase": {path: UsageView.of(usage) for path, usage in spending.phases.items()},
            "parent_path": rows.run.parent_path, "deadline": rows.run.deadline,
        }
    )  # fmt: skip


async def _rows(call: Call) -> RunRows:
    runner = call.runtime.runner
    rows: RunRows | None = await runner.read(
        partial(runner.storage.load, runner.options.namespace, call.run.id)
    )
    if rows is None:  # it was purged just now
        raise RunNotFoundError(call.run.id)
    return rows


def place_of(path: str) -> str:
    """Where a phase stands in the graph: ``pick[]`` for ``pick[3]``."""
    return _ITEM.sub("[]", path)


def _folded(rows: Iterable[PhaseRecord]) -> tuple[FoldedView, ...]:
    places: defaultdict[str, list[PhaseRecord]] = defaultdict(list)
    for row in rows:
        if row.gone_in_epoch is None:
            places[place_of(row.path)].append(row)
    return tuple(FoldedView.of(path, found) for path, found in places.items())


async def list_phases(call: Call) -> PhasesView:
    """List the phases of a run in the order in which they came up, page by page: all, or those at one place in the graph."""
    asked = call.query
    found = sorted(
        (
            row
            for row in (await _rows(call)).phases
            if row.gone_in_epoch is None
            and row.position > asked.after
            and (asked.place is None or asked.place == place_of(row.path))
            and (not asked.state or row.state in asked.state)
        ),
        key=lambda row: row.position,
    )
    page = found[: asked.limit]
    return PhasesView(
        phases=tuple(map(PhaseView.of, page)), next=page[-1].position if len(found) > len(page) else None
    )
