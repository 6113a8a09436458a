"""How a run moves through its graph: nodes open, items are spawned, maps are joined, the run ends."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from phaseline._engine import evolve
from phaseline._engine.commands import Offer
from phaseline._engine.snapshot import Draft, ItemCount, is_ended
from phaseline.plan import NodeKind, PlanNode
from phaseline.run import STANDING_STATES, ErrorInfo, PhaseRecord, PhaseState, RunState

MAP, FAILED, RUNNING, IDLE = NodeKind.MAP, PhaseState.FAILED, PhaseState.RUNNING, RunState.IDLE


def open_node(
    draft: Draft,
    node: PlanNode,
    item: int | None,
    offer: Offer,
    *,
    available_at: datetime | None = None,
    length: int | None = None,
) -> None:
    """Make a node runnable whose in-edges are all decided, at least one of them live.

    Args:
        draft: The unit of work.
        node: What to open.
        item: Index of the item, inside a map.
        offer: What the deciding worker can start at once.
        available_at: Not to be started before; None for at once.
        length: Number of elements of the value it takes, where that is the run's input.
    """
    path = node.path if item is None else node.at(item)
    due = (available_at is None or available_at <= draft.now) and draft.state not in STANDING_STATES
    if node.kind is MAP:
        total = length if not node.parents else _length_of_parent(draft, node)
        if due:
            open_map(draft, node, path, None, offer, total)
        else:
            evolve.phase_pending(draft, node, path, available_at or draft.now, total)
    elif due and len(draft.granted) < offer.room and offer.takes(node.queue, draft.run.priority):
        start(draft, node, path, None, offer)
    else:
        evolve.phase_pending(draft, node, path, available_at or draft.now)


def start(draft: Draft, node: PlanNode, path: str, row: PhaseRecord | None, offer: Offer) -> None:
    """Start a phase on the offering worker."""
    if draft.state == IDLE:
        evolve.pipeline_started(draft)
    draft.granted.append(evolve.phase_started(draft, node, path, row, offer))


# --------------------------------------------------------------------- maps
def open_map(  # noqa: PLR0917  # each of them is needed, and in this order everywhere
    draft: Draft, node: PlanNode, path: str, row: PhaseRecord | None, offer: Offer, total: int | None
) -> None:
    """Take a list apart: as many items become runnable as the map's limit allows."""
    assert total is not None  # noqa: S101  # the shell counts whatever feeds a map
    if draft.state == IDLE:
        evolve.pipeline_started(draft)
    evolve.map_started(draft, node, path, row, total)
    draft.items[path] = ItemCount(total)
    if total == 0:
        _end_map(draft, node)
    else:
        for _ in range(total if node.limit is None else min(node.limit, total)):
            _spawn_item(draft, node, offer)


def _length_of_parent(draft: Draft, node: PlanNode) -> int | None:
    parent = draft.row(draft.plan.nodes[node.parents[0]].path)
    return None if parent is None else parent.length


def _spawn_item(draft: Draft, node: PlanNode, offer: Offer) -> None:
    count = draft.item_count(node.path)
    draft.items[node.path] = replace(count, spawned=count.spawned + 1)
    for entry in node.entries:
        open_node(draft, draft.plan.nodes[entry], count.spawned, offer)


def _end_item(draft: Draft, node: PlanNode, offer: Offer, *, live: bool) -> None:
    count = draft.item_count(node.path)
    count = replace(count, ended=count.ended + 1, dropped=count.dropped + (not live))
    draft.items[node.path] = count
    if count.spawned < count.total:
        _spawn_item(draft, node, offer)
    elif count.ended == count.total:
        _end_map(draft, node)


def _end_map(draft: Draft, node: PlanNode) -> None:
    """Join the items; their outputs are not stored again, the list is put together when it is read."""
    count, row = draft.item_count(node.path), draft.row(node.path)
    assert row is not None  # noqa: S101  # it was started
    evolve.phase_completed(
        draft, row, count.total if node.on_error == "collect" else count.total - count.dropped
    )
    draft.just_ended.append((node, None))


# --------------------------------------------------------------------- onward
def flow_on(draft: Draft, offer: Offer) -> None:
    """Go on from all nodes that have just ended, until nothing more follows.

    A work list and not recursion: one skipped phase may skip a thousand behind it.
    """
    while draft.just_ended:
        node, item = draft.just_ended.popleft()
        _go_on(draft, node, item, offer)


def _go_on(draft: Draft, node: PlanNode, item: int | None, offer: Offer) -> None:
    plan = draft.plan
    row = draft.row(node.path if item is None else node.at(item))
    assert row is not None  # noqa: S101  # it has just ended
    if node.scope is not None:
        map_node = plan.nodes[node.scope]
        if row.state is FAILED or map_node.exit == node.index:
            _end_item(draft, map_node, offer, live=bool(row.live))
            return
    elif row.live:
        evolve.checkpoint_created(draft, row.path)
    for index in node.children:
        _decide_child(draft, plan.nodes[index], item, offer)
    if draft.cursor == len(plan.order) and not draft.just_ended and draft.state not in STANDING_STATES:
        evolve.pipeline_completed(draft)


def _decide_child(draft: Draft, child: PlanNode, item: int | None, offer: Offer) -> None:
    """Open a node, or skip it, once all its in-edges are decided."""
    path = child.at(item)
    if len(child.parents) > 1 and draft.row(path) is not None:
        return  # two of its parents have just ended, and the first of them decided it
    live = False
    for index in child.parents:
        parent = draft.plan.nodes[index]
        row = draft.row(parent.path if item is None else parent.at(item))
        if row is None or row.live is None:
            return
        live = live or row.live
    if live:
        open_node(draft, child, item, offer)
        return
    evolve.phase_pending(draft, child, path, draft.now)
    evolve.phase_skipped(draft, draft.rows[path], "nothing was handed on to it", live=False)
    draft.just_ended.append((child, item))


def fail_run(draft: Draft, error: ErrorInfo) -> None:
    """End a run whose phase failed for good: everything unfinished is ended in the same unit, and fenced off."""
    unfinished = [row for row in draft.all_rows() if not is_ended(row)]
    for row in unfinished:
        if _is_open_map(row):  # it fails with its item
            evolve.phase_failed(draft, row, error)
    cancelled = [row for row in unfinished if not _is_open_map(row)]
    if cancelled:
        evolve.phases_cancelled(draft, cancelled)
    evolve.pipeline_failed(draft, error)
    draft.just_ended.clear()  # nothing follows, also not from what ended earlier in this command


def _is_open_map(row: PhaseRecord) -> bool:
    return row.total is not None and row.state is RUNNING
