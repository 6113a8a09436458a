"""Runs that start runs: what the one has stored of the other, held against that one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phaseline.abc import Storage
from phaseline.events import ChildStarted
from phaseline.rows import ENDED_STATES, PhaseRecord, PhaseState, RunRecord, WaitKind
from phaseline.testing.stored import StoredRun
from phaseline.unit_of_work import Message, MessageKind

PLENTY = 1_000_000


def between_runs(storage: Storage, namespace: str, stored: Mapping[str, StoredRun]) -> Iterator[str]:
    """Whoever waits for a run that has ended will be told, as will a run that is to be cancelled with its parent."""
    definitions = {account.run.definition for account in stored.values()}
    unheard = list(storage.messages(namespace, definitions, PLENTY))
    for account in stored.values():
        run_id = account.run.id
        yield from (f"run {run_id}: {found}" for found in _of_child(account.run, stored))
        for event in account.events:
            if isinstance(event, ChildStarted):
                yield from (
                    f"run {run_id}: {found}" for found in _of_start(run_id, event, stored, account, unheard)
                )


def _of_child(run: RunRecord, stored: Mapping[str, StoredRun]) -> Iterator[str]:
    """What a run's row says of its parent, that one's events say too, once; a parent that was purged says nothing."""
    parent = stored.get(run.parent_id or "")
    if parent is None:
        return
    begun = [
        event.phase
        for event in parent.events
        if isinstance(event, ChildStarted) and event.child == run.id and not event.again
    ]
    if begun != [run.parent_path]:
        yield f"it says that run {run.parent_id} started it at {run.parent_path!r}, and that one that it did so at {begun}"


def _of_start(
    run_id: str,
    event: ChildStarted,
    stored: Mapping[str, StoredRun],
    account: StoredRun,
    unheard: list[Message],
) -> Iterator[str]:
    """Of a run that was started: it is there, or was purged after its end, and each end is known or will be told."""
    child, path = stored.get(event.child), event.phase or ""
    row = account.present.get(path)
    waits = row is not None and _waits_for(row, event.child)
    if child is None:
        if waits:
            yield f"{path!r} waits for run {event.child}, which is not stored"
        return
    if (child.run.parent_id, child.run.parent_path, child.run.pipeline) != (
        run_id,
        path,
        event.child_pipeline,
    ):
        yield f"event {event.seq} starts run {event.child} at {path!r}, which says otherwise"
    kinds = {
        m.kind for m in unheard if event.child in (m.sender, m.run_id) and run_id in (m.sender, m.run_id)
    }
    has_ended = child.run.state in ENDED_STATES
    if waits and has_ended and not kinds & {MessageKind.ENDED, MessageKind.AGAIN}:
        yield f"{path!r} waits for run {event.child}, which is {child.run.state}, and nobody will tell it"
    is_closed = MessageKind.CLOSED in kinds or event.close == "abandon"
    was_taken = row is not None and row.wait_key == event.child and row.state is not PhaseState.SKIPPED
    has_never_ended = not any(e.transition and e.transition.target in ENDED_STATES for e in child.events)
    if has_never_ended and not is_closed and not was_taken:
        yield f"nobody at {path!r} waits for run {event.child} any more, and it was not told"


def _waits_for(row: PhaseRecord, child: str) -> bool:
    return row.wait_kind is WaitKind.CHILD and row.wait_key == child and row.state is PhaseState.RUNNING
