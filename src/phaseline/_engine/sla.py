"""Service levels: when a run or a phase should be over, and that it was not. What passes one goes on all the same."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from phaseline._definition.plan import PlanNode
from phaseline._engine.commands import TellLate
from phaseline._engine.draft import Draft
from phaseline.events import SlaBreached
from phaseline.rows import PhaseRecord
from phaseline.times import later


# --------------------------------------------------------------------- what is promised
def level_of(draft: Draft, node: PlanNode, begin: datetime) -> datetime | None:
    """When a phase should be over that can begin at this moment."""
    return None if node.sla is None else draft.note_level(later(begin, node.sla))


def begin_run(draft: Draft, begin: datetime) -> None:
    """The run can begin at this moment, for the first time or after an end."""
    sla = draft.plan.sla
    if sla is not None or draft.run.sla_at is not None:
        sla_at = None if sla is None else draft.note_level(later(begin, sla))
        draft.change_run(sla_at=sla_at, breached=None)


def let_go_of_run(draft: Draft) -> None:
    """The run is taken back: nobody expects its result within a time any more."""
    if draft.level[0] is not None:
        tell_of_run(draft)
        draft.change_run(sla_at=None, breached=None)


# --------------------------------------------------------------------- what was not kept
def tell_late(draft: Draft, command: TellLate) -> None:
    """Tell of those that are late, of which nothing was told."""
    for path in command.paths:
        row = None if path is None else draft.row(path)
        if path is None:
            tell_of_run(draft)
        elif row is not None and row.ended_at is None:
            told = told_if_late(draft, row)
            if told is not row:
                draft.rows[path] = told


def told_if_late(draft: Draft, row: PhaseRecord) -> PhaseRecord:
    """Tell of a phase that has not ended yet, if it is late and that was not told; gives its row as it is then."""
    if row.sla_at is None or row.breached is not None or row.sla_at > draft.now:
        return row
    head = draft.head()
    draft.events.append(SlaBreached(**head, phase=row.path, sla_at=row.sla_at, state=row.state.value))
    return replace(row, breached=head["seq"])


def tell_of_run(draft: Draft) -> None:
    """Tell of a run that has not ended yet, if it is late and that was not told."""
    sla_at, breached = draft.level
    if sla_at is None or breached is not None or sla_at > draft.now or draft.has_ended:
        return
    head = draft.head()
    draft.events.append(SlaBreached(**head, sla_at=sla_at, state=draft.state))
    draft.change_run(breached=head["seq"])
