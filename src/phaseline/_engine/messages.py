"""What a run has to tell others with a commit: that it has ended, or that it does not wait for one of them any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from phaseline.rows import ENDED_STATES, PhaseRecord, PhaseState, WaitKind
from phaseline.unit_of_work import Message, MessageKind

if TYPE_CHECKING:
    from phaseline._engine.draft import Draft


def waits_for_child(row: PhaseRecord | None) -> bool:
    """Whether a phase waits for the end of a run."""
    return row is not None and row.wait_kind is WaitKind.CHILD and row.state is PhaseState.RUNNING


def messages_of(draft: Draft) -> Sequence[Message]:
    """Give what is told with a unit of a run that has a parent, or may have children, now that all is decided."""
    return [*_to_parent(draft), *_to_itself(draft), *_to_children(draft)]


def _to_parent(draft: Draft) -> Iterator[Message]:
    run = draft.run
    if run.parent_id is None or draft.state not in ENDED_STATES or draft.base.run.state in ENDED_STATES:
        return
    yield Message(sender=run.id, seq=draft.seq, run_id=run.parent_id, kind=MessageKind.ENDED)


def _to_itself(draft: Draft) -> Iterator[Message]:
    """To look at runs that may have ended before they were waited for: then nobody would tell of it any more."""
    for path, unit in draft.extras.started.items():
        row = draft.rows.get(path)
        if unit is None and row is not None and row.wait_key is not None:
            yield Message(sender=row.wait_key, seq=draft.seq, run_id=draft.run_id, kind=MessageKind.AGAIN)


def _to_children(draft: Draft) -> Iterator[Message]:
    """To those that were waited for until now, and whose end is not what ended the wait."""
    dropped = draft.extras.dropped
    for path in (*draft.rows, *(path for path in dropped if path not in draft.rows)):
        before, after = draft.base.rows.get(path), draft.rows.get(path)
        if before is None or before.wait_key is None or not waits_for_child(before):
            continue
        is_over = path in dropped or after is None or after.state is PhaseState.SKIPPED
        if is_over and draft.plan.locate(path)[0].close == "cancel":
            yield Message(sender=draft.run_id, seq=draft.seq, run_id=before.wait_key, kind=MessageKind.CLOSED)
