"""Runs that go on after an end: what is dropped of them, and what this says of what comes up in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phaseline._definition.edges import takes_given
from phaseline._definition.plan import Items, NodeKind, Plan, PlanNode
from phaseline._engine.draft import Draft
from phaseline.rows import FINISHED, PhaseRecord, PhaseState, RunState


def drop_rows(draft: Draft, rows: Iterable[PhaseRecord]) -> None:
    """Take rows that have ended out of the run; they stay as history.

    The generation of what comes up in their place rises where a committed output, or what was made of one, is undone:
    only then may an outside effect that bears its key happen once more.
    """
    plan = draft.plan
    found = sorted(((*plan.locate(row.path), row) for row in rows), key=lambda each: (each[0].index, each[1]))
    renewed: set[str] = set()
    """Phases whose output is undone, or would be another one."""
    given_anew: set[str] = set()
    """Maps that take another list."""
    for node, items, row in found:
        is_given_anew = _takes_any(plan, node, items, renewed, given_anew)
        if is_given_anew:
            given_anew.add(row.path)
        if is_given_anew or row.decided is not None:
            renewed.add(row.path)
        draft.drop(row, row.generation + (row.path in renewed))
    draft.cursor = 0
    draft.pass_ended()


def _takes_any(plan: Plan, node: PlanNode, items: Items, renewed: set[str], given_anew: set[str]) -> bool:
    """Whether what a node takes is, or may be, another value now."""
    if any(plan.nodes[index].at(items) in renewed for index in node.parents):
        return True
    if node.scope is None or not takes_given(node.source):
        return False
    return plan.nodes[node.scope].at(items[:-1]) in given_anew


def is_kept(row: PhaseRecord, last: int) -> bool:
    """Whether a phase was decided by the fact of this number, or by one before it."""
    return row.decided is not None and row.decided <= last


def undoable(draft: Draft, last: int) -> Iterator[PhaseRecord]:
    """Give what was committed after the fact of this number and has a compensation."""
    plan = draft.plan
    for row in draft.all_rows():
        if row.state is PhaseState.COMPLETED and not is_kept(row, last):
            node, _ = plan.locate(row.path)
            if node.kind is NodeKind.PHASE and node.index in plan.undos:
                yield row


def is_undone_by_itself(draft: Draft) -> bool:
    """Whether a run that fails in this unit is taken back by itself: not amid a rollback, nor where there is nothing to undo."""
    if draft.plan.on_failure != "rollback" or draft.run.undo_after is not None:
        return False
    return draft.base.run.state != RunState.FAILED and any(undoable(draft, 0))


def undecided(draft: Draft) -> list[PhaseRecord]:
    """What a retry takes up again."""
    return [row for row in draft.all_rows() if row.decided is None]


def from_here_on(draft: Draft, node: PlanNode) -> list[PhaseRecord]:
    """A phase and all that comes after it in the graph, with what a retry takes up again.

    Also what ended the whole run, for what it gave was the output of that.
    """
    plan = draft.plan
    after, todo = {node.index}, [node]
    while todo:
        for index in todo.pop().children:
            if index not in after:
                after.add(index)
                todo.append(plan.nodes[index])
    return [
        row
        for row in draft.all_rows()
        if row.decided is None or row.reason == FINISHED or _outermost(plan, row.path) in after
    ]


def _outermost(plan: Plan, path: str) -> int:
    """The node outside of all maps in which a phase stands, or which it is."""
    node, _ = plan.locate(path)
    scopes = plan.scopes_of(node)
    return scopes[0] if scopes else node.index
