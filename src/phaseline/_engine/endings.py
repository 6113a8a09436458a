"""How much ends at once: a run or an item with its failure, a run with an early finish, what a race leaves over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phaseline._definition.edges import Edge, Given
from phaseline._definition.plan import Items, NodeKind, Plan, PlanNode
from phaseline._engine import evolve_phase, evolve_run
from phaseline._engine.draft import Draft
from phaseline._engine.rewind import is_undone_by_itself
from phaseline._engine.snapshot import is_ended
from phaseline._engine.timing import overdue
from phaseline.rows import INPUT, STANDING_STATES, TOO_LATE, ErrorInfo, PhaseRecord, PhaseState

RUNNING = PhaseState.RUNNING


def fail_for_good(draft: Draft, row: PhaseRecord, error: ErrorInfo) -> None:
    """End a phase that failed and is not tried again, and with it the run, or the item that a map collects."""
    node, items = draft.plan.locate(row.path)
    if node.kind is NodeKind.UNDO:
        evolve_phase.compensation_failed(draft, row, error)
        _fail_unfinished(draft, error, draft.row(row.path), None)
        return
    is_collected = collector(draft.plan, node) is not None
    evolve_phase.phase_failed(draft, row, error, final=is_collected)
    if not is_collected:
        fail_run(draft, row, error)
    else:
        evolve_run.error_occurred(draft, row, error, ends_run=False)
        draft.just_ended.append((node, items))


def fail_run(draft: Draft, failed: PhaseRecord, error: ErrorInfo) -> None:
    """End a run whose phase failed for good: everything unfinished is ended in the same unit, and fenced off."""
    node, items = draft.plan.locate(failed.path)
    _fail_maps_around(draft, node, items, error)
    _fail_unfinished(draft, error, draft.row(failed.path), _stored_input(draft, node, items))


def fail_overdue(draft: Draft) -> None:
    """End a run whose time is over; does nothing to one that has ended, or has time left."""
    error = overdue(draft.run, draft.state, draft.now)
    if error is not None:
        _fail_unfinished(draft, error, None, None)


def _fail_unfinished(draft: Draft, error: ErrorInfo, row: PhaseRecord | None, given: str | None) -> None:
    cancelled = [row for row in draft.all_rows() if not is_ended(row)]
    if cancelled:
        evolve_phase.phases_cancelled(draft, cancelled)
    evolve_run.error_occurred(draft, row, error, ends_run=True)
    if not is_undone_by_itself(draft):  # else it is seen to
        evolve_run.dead_lettered(draft, row, error, given)
    evolve_run.pipeline_failed(draft, error)
    draft.just_ended.clear()  # nothing follows, also not from what ended earlier in this command


def _stored_input(draft: Draft, node: PlanNode, items: Items) -> str | None:
    """The path of the value that a phase was given; None where that is put together, or a part of another one."""
    plan = draft.plan
    match node.source:
        case Given() if node.scope is None:
            return INPUT
        case Edge(node=index, side=None):
            row = draft.row(plan.nodes[index].at(items))
            return None if row is None or row.total is not None else row.same_as or row.path
        case _:
            return None


def finish_run(draft: Draft, row: PhaseRecord) -> None:
    """End a run early, because a body has its output: everything unfinished is skipped, begun or not."""
    evolve_phase.phase_finished_run(draft, row)
    for node in draft.plan.members[None]:
        if draft.row(node.path) is None:
            evolve_phase.phase_noted(draft, node, node.path)
    rows = [other for other in draft.all_rows() if not is_ended(other)]
    if rows:
        evolve_phase.phases_cancelled(draft, rows, f"{row.path} finished the run")
    if draft.state not in STANDING_STATES:  # one that is paused completes when it is resumed
        evolve_run.pipeline_completed(draft)
    draft.just_ended.clear()  # nothing follows, also not from what ended earlier in this command


def fail_item(draft: Draft, map_node: PlanNode, node: PlanNode, items: Items, error: ErrorInfo) -> None:
    """End an item of a collecting map in which ``node`` failed for good."""
    depth = len(draft.plan.scopes_of(map_node))
    _fail_maps_around(draft, node, items, error, within=map_node)
    left = list(_unfinished(draft, draft.plan.members[map_node.index], items[: depth + 1]))
    if left:
        evolve_phase.phases_cancelled(draft, left, final=True)


def collector(plan: Plan, node: PlanNode) -> PlanNode | None:
    """The map that collects the failure of a node, if one does."""
    scope = node.scope
    while scope is not None:
        map_node = plan.nodes[scope]
        if map_node.on_error == "collect":
            return map_node
        scope = map_node.scope
    return None


def _fail_maps_around(
    draft: Draft, node: PlanNode, items: Items, error: ErrorInfo, within: PlanNode | None = None
) -> None:
    """Maps fail with their item, the innermost first."""
    while node.scope is not None:
        node, items = draft.plan.nodes[node.scope], items[:-1]
        if node is within:
            return
        row = draft.row(node.at(items))
        # A guard: no way to a map that has no row, or has ended, while an item of it fails is known.
        if row is not None and not is_ended(row):  # pragma: no branch
            evolve_phase.phase_failed(draft, row, error, final=within is not None)


def cancel_rest(draft: Draft, race: PlanNode, items: Items, winner: int) -> None:
    """End what stands before a race and serves only values that came too late, whether it has begun or not."""
    nodes = [draft.plan.nodes[index] for index in race.cancels[winner]]
    rows = list(_unfinished(draft, nodes, items, begin=True))
    if rows:
        evolve_phase.phases_skipped(draft, rows, f"{race.at(items)} {TOO_LATE}")


def skip_arm(draft: Draft, test: PlanNode, items: Items, *, held: bool) -> list[int]:
    """Skip what a test decided against; gives the nodes that end by it."""
    nodes = [draft.plan.nodes[index] for index in test.arms[held]]
    nodes = [node for node in nodes if not is_ended(draft.row(node.at(items)))]
    rows = list(_unfinished(draft, nodes, items, begin=True))
    if not rows:
        return []
    passing = {node.at(items) for node in nodes if test.index in node.passes}
    verdict = "holds" if held else "does not hold"
    evolve_phase.phases_skipped(draft, rows, f"{test.at(items)} {verdict}", passing)
    draft.just_ended.extend((node, items) for node in nodes)
    return [node.index for node in nodes]


def _unfinished(
    draft: Draft, nodes: Iterable[PlanNode], items: Items, *, begin: bool = False
) -> Iterator[PhaseRecord]:
    """The rows of these nodes that have not ended, with those inside of maps; ``begin``: also of what has none yet."""
    for node in nodes:
        path = node.at(items)
        row = draft.row(path)
        if row is None and begin:
            row = evolve_phase.phase_noted(draft, node, path)
        if row is None or is_ended(row):
            continue
        yield row
        if row.total is not None and row.state is RUNNING:
            inside = draft.plan.members[node.index]
            for item in range(draft.item_count(path).spawned):
                yield from _unfinished(draft, inside, (*items, item))
