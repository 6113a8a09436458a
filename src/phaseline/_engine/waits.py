"""Phases that wait: for a signal, for a time, for whichever comes first; nobody is busy with one meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phaseline._definition.plan import Items, PlanNode
from phaseline._engine import evolve_phase, evolve_run
from phaseline._engine.commands import Elapse, Receive
from phaseline._engine.draft import Draft
from phaseline._engine.endings import fail_for_good
from phaseline._engine.liveness import length_of
from phaseline._engine.snapshot import ENDED_PHASES
from phaseline._engine.verdicts import Refused
from phaseline.rows import (
    ENDED_STATES,
    STANDING_STATES,
    ErrorCategory,
    ErrorInfo,
    PhaseRecord,
    PhaseState,
    RunState,
    SignalRecord,
    WaitKind,
)

MOST_SIGNALS = 1_000
"""Signals that a run keeps which no phase has taken."""
_CLOSED = ENDED_STATES | {RunState.ROLLING_BACK}
"""States in which a run takes no signals."""


def begin_wait(draft: Draft, node: PlanNode, items: Items, row: PhaseRecord | None) -> None:
    """Begin a wait that is due; one for a signal that has come before ends at once."""
    if draft.state == RunState.IDLE:
        evolve_run.pipeline_started(draft)
    _take_stored(draft, node, items, evolve_phase.wait_started(draft, node, items, row))


def receive(draft: Draft, command: Receive) -> None:
    """Keep a signal, or have the phase take it that waits for it longest.

    Raises:
        Refused: The run has ended, or what waits for it in the run; or that keeps as many as it may.
    """
    known = draft.all_signals()
    if command.id is not None and any(signal.id == command.id for signal in known.values()):
        return  # also where the run has ended: who sends it again did not hear that it came
    if draft.state in _CLOSED:
        raise Refused("signal", draft.state)
    if len(known) >= MOST_SIGNALS and sum(s.taken_by is None for s in known.values()) >= MOST_SIGNALS:
        reason = f"it keeps {MOST_SIGNALS:,} signals that no phase has taken, and takes no more before one is"
        raise Refused("signal", draft.state, reason)
    awaiting = draft.plan.awaiting(command.signal)
    if not any(_may_take(draft, node, command.key) for node in awaiting):
        raise Refused("signal", draft.state, _why_none(draft, awaiting, command.key))
    signal = evolve_run.signal_received(draft, command)
    if draft.state not in STANDING_STATES:
        found = next(_waiting_for(draft, signal.name, signal.key), None)
        if found is not None:
            _take(draft, *found, signal)


def take_what_came(draft: Draft) -> None:
    """Have the phases of a run that goes on take what was sent while it stood."""
    for row in [row for row in draft.all_rows() if _waits(row)]:
        _take_stored(draft, *draft.plan.locate(row.path), row)


def elapse(draft: Draft, command: Elapse) -> None:
    """End waits whose time has come: a sleep is over, and what did not come has its default or fails."""
    for path, due_at in command.waits:
        if draft.state in STANDING_STATES:
            return
        row = draft.row(path)
        if (
            row is None
            or row.state is not PhaseState.RUNNING
            or row.wait_kind is None
            or row.due_at != due_at
        ):
            continue  # it ended, or somebody was faster
        node, items = draft.plan.locate(path)
        awaits = node.awaits
        assert awaits is not None  # noqa: S101  # its row says so
        if awaits.signal is None:
            _end(draft, node, items, row, length_of(draft.plan, node.source, items, draft.row))
        elif awaits.default is not None:
            draft.outputs[path] = awaits.default
            _end(draft, node, items, row)
        else:
            message = f"the signal {awaits.signal!r} did not come within {awaits.span}"
            error = ErrorInfo(
                category=ErrorCategory.TIMEOUT, type="SignalTimeout", message=message, phase=path
            )
            fail_for_good(draft, row, error)


def _may_take(draft: Draft, node: PlanNode, key: str | None) -> bool:
    """Whether a phase waits, or may come to wait, for a signal with such a key."""
    assert node.awaits is not None  # noqa: S101  # it awaits this signal
    scopes = draft.plan.scopes_of(node)
    items = node.awaits.items_of(key, len(scopes))
    if items is None:
        return False
    for depth, scope in enumerate(scopes):
        if len(items) < depth:  # any of the items
            break
        around = draft.row(draft.plan.nodes[scope].at(items[:depth]))
        if around is not None and around.state in ENDED_PHASES:
            return False
    if _map_without(draft, scopes, items) is not None:
        return False
    if len(items) < len(scopes):
        return True
    row = draft.row(node.at(items))
    return row is None or row.state not in ENDED_PHASES


def _map_without(draft: Draft, scopes: Sequence[int], items: Items) -> PhaseRecord | None:
    """Give the map among those around a node that is known not to have such an item."""
    for depth, (scope, item) in enumerate(zip(scopes, items, strict=False)):  # fewer items: any of the others
        around = draft.row(draft.plan.nodes[scope].at(items[:depth]))
        if around is not None and around.total is not None and item >= around.total:
            return around
    return None


def _why_none(draft: Draft, awaiting: Sequence[PlanNode], key: str | None) -> str:
    """Say why no phase takes a signal."""
    keys: dict[str, None] = {}
    for node in awaiting:
        assert node.awaits is not None  # noqa: S101  # it awaits this signal
        scopes = draft.plan.scopes_of(node)
        depth = len(scopes)
        items = node.awaits.items_of(key, depth)
        if items is not None:
            lacking = _map_without(draft, scopes, items)
            if lacking is not None:
                return f"there is no such item: {lacking.path!r} has {lacking.total}, counted from 0"
            return "what waits for it has ended; roll the run back to before that, or rerun_from it once the run has ended"
        indices = ".".join(["index"] * depth) + " of the item"
        keys[indices if node.awaits.key is None and depth else repr(node.awaits.key)] = None
    return (
        f"nothing waits for it with the key {key!r}; what waits has {' or '.join(keys) or 'no such signal'}"
    )


def _waits(row: PhaseRecord) -> bool:
    return row.state is PhaseState.RUNNING and row.wait_kind is WaitKind.SIGNAL


def _waiting_for(draft: Draft, name: str, key: str | None) -> Iterator[tuple[PlanNode, Items, PhaseRecord]]:
    """The phases that wait for such a signal, in the order in which they came up."""
    for row in draft.all_rows():
        if _waits(row) and row.wait_key == key:
            node, items = draft.plan.locate(row.path)
            if node.awaits is not None and node.awaits.signal == name:
                yield node, items, row


def _take_stored(draft: Draft, node: PlanNode, items: Items, row: PhaseRecord) -> None:
    """Have a wait take the signal that came first, of those that it may take and nobody has taken."""
    if not (draft.extras.signals or draft.base.signals):
        return
    name = None if node.awaits is None else node.awaits.signal
    for signal in draft.all_signals().values():
        if signal.taken_by is None and signal.name == name and signal.key == row.wait_key:
            _take(draft, node, items, row, signal)
            return


def _take(draft: Draft, node: PlanNode, items: Items, row: PhaseRecord, signal: SignalRecord) -> None:
    draft.outputs[row.path] = draft.take_signal(signal, row.path)
    _end(draft, node, items, row)


def _end(draft: Draft, node: PlanNode, items: Items, row: PhaseRecord, length: int | None = None) -> None:
    evolve_phase.phase_completed(draft, row, length)
    draft.just_ended.append((node, items))
