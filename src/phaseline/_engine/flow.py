"""How a run moves through its graph: nodes open, items are spawned, maps are joined, the run ends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from phaseline._definition.edges import Race
from phaseline._definition.plan import Items, NodeKind, PlanNode
from phaseline._engine import evolve_phase, evolve_run
from phaseline._engine.commands import Offer
from phaseline._engine.draft import Draft
from phaseline._engine.endings import cancel_rest, collector, fail_item, skip_arm
from phaseline._engine.liveness import first_live, length_of, liveness
from phaseline._engine.snapshot import ItemCount, is_ended, item_state
from phaseline._engine.waits import begin_wait
from phaseline.rows import STANDING_STATES, PhaseRecord, PhaseState, RunState
from phaseline.unit_of_work import KEPT, StepResult

MAP, TEST, FAILED, IDLE = NodeKind.MAP, NodeKind.TEST, PhaseState.FAILED, RunState.IDLE


def open_node(
    draft: Draft,
    node: PlanNode,
    items: Items,
    offer: Offer,
    *,
    available_at: datetime | None = None,
    length: int | None = None,
) -> None:
    """Make a node runnable whose in-edges are all decided and whose value is there.

    Args:
        draft: The unit of work.
        node: What to open.
        items: Which instance of it, inside of maps.
        offer: What the deciding worker can start at once.
        available_at: Not to be started before; None for at once.
        length: Number of elements of the value it takes, where that is the run's input.
    """
    path = node.at(items) if items else node.path
    due = (available_at is None or available_at <= draft.now) and draft.state not in STANDING_STATES
    total = None
    if node.kind is MAP:
        total = length if length is not None else length_of(draft.plan, node.source, items, draft.row)
    if not due:
        evolve_phase.phase_pending(draft, node, path, available_at or draft.now, total)
    elif total is not None:
        open_map(draft, node, path, None, offer, total)
    elif node.awaits is not None:
        begin_wait(draft, node, items, None)
    elif not start(draft, node, path, None, offer):
        evolve_phase.phase_pending(draft, node, path, draft.now)
    if node.is_race:
        _settle_race(draft, node, items)


def start(draft: Draft, node: PlanNode, path: str, row: PhaseRecord | None, offer: Offer) -> bool:
    """Start a phase, a test, or the counting of a list on the offering worker; False if it takes no more, or not this."""
    if len(draft.granted) >= offer.room or (node.in_thread and draft.threads >= offer.threads):
        return False
    if not offer.takes(node.queue, draft.run.priority):
        return False
    if row is None and (node.limits or draft.run.limits) and evolve_phase.limits_of(draft, node):
        return False  # how many slots are free is known inside of a claim alone
    if draft.state == IDLE:
        evolve_run.pipeline_started(draft)
    evolve_phase.phase_started(draft, node, path, row, offer)
    return True


def _settle_race(draft: Draft, node: PlanNode, items: Items) -> None:
    """Store which value came first, for those that come later are not to be taken in its place."""
    assert isinstance(node.source, Race)  # noqa: S101  # asked before
    path = node.at(items)
    winner = first_live(draft.plan, node.source.parts, items, draft.row)
    assert winner is not None  # noqa: S101  # else it would not have been opened
    draft.more().steps.append(StepResult(path, draft.rows[path].generation, KEPT, str(winner)))
    if node.cancels:
        cancel_rest(draft, node, items, winner)


# --------------------------------------------------------------------- maps
def open_map(  # noqa: PLR0917  # each of them is needed, and in this order everywhere
    draft: Draft, node: PlanNode, path: str, row: PhaseRecord | None, offer: Offer, total: int
) -> None:
    """Take a list apart: as many items become runnable as the map's limit allows."""
    if draft.state == IDLE:
        evolve_run.pipeline_started(draft)
    evolve_phase.map_started(draft, node, path, row, total)
    _spawn_first(draft, node, path, offer, total)


def unfold_map(draft: Draft, row: PhaseRecord, offer: Offer, total: int) -> None:
    """Take a list apart that a worker had to count first."""
    node, _ = draft.plan.locate(row.path)
    evolve_phase.map_counted(draft, row, total)
    _spawn_first(draft, node, row.path, offer, total)


def _spawn_first(draft: Draft, node: PlanNode, path: str, offer: Offer, total: int) -> None:
    _, items = draft.plan.locate(path)
    count = draft.items[path] = ItemCount(total)
    if draft.run.epoch or draft.run.forked_from is not None:
        count = _take_up_items(draft, node, items, offer, total)
    if count.ended == total:
        _end_map(draft, node, items)
        return
    room = total if node.limit is None else node.limit - (count.spawned - count.ended)
    for _ in range(min(room, total - count.spawned)):
        _spawn_item(draft, node, items, offer)


def _take_up_items(draft: Draft, node: PlanNode, items: Items, offer: Offer, total: int) -> ItemCount:
    """Go on with the items of a map that was opened before, and of which some were kept."""
    plan, inside = draft.plan, [(*items, item) for item in range(total)]
    states = [item_state(plan, node, item, draft.row) for item in inside]
    spawned = max((number for number, state in enumerate(states, start=1) if state.spawned), default=0)
    ended, dropped = sum(state.ended for state in states), sum(state.dropped for state in states)
    count = draft.items[node.at(items)] = ItemCount(total, spawned, ended, dropped)
    for item, state in zip(inside[:spawned], states, strict=False):
        if not state.ended:
            take_up(draft, plan.members[node.index], item, offer)
    return count


def _spawn_item(draft: Draft, node: PlanNode, items: Items, offer: Offer) -> None:
    path = node.at(items)
    count = draft.item_count(path)
    draft.items[path] = replace(count, spawned=count.spawned + 1)
    inside = (*items, count.spawned)
    for entry in node.entries:
        open_node(draft, draft.plan.nodes[entry], inside, offer)


def _end_item(draft: Draft, node: PlanNode, items: Items, offer: Offer, *, live: bool) -> None:
    path = node.at(items)
    count = draft.item_count(path)
    count = replace(count, ended=count.ended + 1, dropped=count.dropped + (not live))
    draft.items[path] = count
    if count.spawned < count.total:
        _spawn_item(draft, node, items, offer)
    elif count.ended == count.total:
        _end_map(draft, node, items)


def _end_map(draft: Draft, node: PlanNode, items: Items) -> None:
    """Join the items; their outputs are not stored again, the list is put together when it is read."""
    path = node.at(items)
    count, row = draft.item_count(path), draft.row(path)
    assert row is not None  # noqa: S101  # it was started
    evolve_phase.phase_completed(
        draft, row, count.total if node.on_error == "collect" else count.total - count.dropped
    )
    draft.just_ended.append((node, items))


# --------------------------------------------------------------------- onward
def take_up(draft: Draft, nodes: Iterable[PlanNode], items: Items, offer: Offer) -> None:
    """Bring up what is to be done next, as what has ended decides it; for a run that lost a part of its rows.

    Args:
        draft: The unit of work.
        nodes: Those of one scope, in topological order.
        items: Which instance of the scope.
        offer: What the deciding worker can start at once.
    """
    ending: set[int] = set()
    """Nodes that end here; what follows them is decided when the flow goes on from them."""
    for node in nodes:
        path = node.at(items)
        row = draft.row(path)
        if row is None and ending.isdisjoint(node.parents):
            _decide_child(draft, node, items, offer)
            if is_ended(draft.row(path)):
                ending.add(node.index)
        elif row is not None and node.kind is TEST and row.state is PhaseState.COMPLETED:
            ending.update(skip_arm(draft, node, items, held=bool(row.live)))


def flow_on(draft: Draft, offer: Offer) -> None:
    """Go on from all nodes that have just ended, until nothing more follows.

    A work list and not recursion: one skipped phase may skip a thousand behind it.
    """
    ended, plan = draft.just_ended, draft.plan
    while ended:
        node, items = ended.popleft()
        path = node.at(items) if items else node.path
        row = draft.rows.get(path) or draft.known[path]
        if row.state is FAILED:
            _end_failed_item(draft, node, items, row, offer)
            continue
        live = row.live
        if live and not items and plan.checkpoints and node.kind is not TEST:
            evolve_phase.checkpoint_created(draft, path)
        for index in node.children:
            child = plan.nodes[index]
            if not child.is_plain:
                _decide_child(draft, child, items, offer)
            elif live:
                open_node(draft, child, items, offer)
            else:
                _skip(draft, child, items)
        if items:
            _end_item_if_over(draft, node, items, offer)
        elif draft.cursor == len(plan.order) and not ended and draft.state not in STANDING_STATES:
            evolve_run.pipeline_completed(draft)


def _end_item_if_over(draft: Draft, node: PlanNode, items: Items, offer: Offer) -> None:
    assert node.scope is not None  # noqa: S101  # it has items
    map_node = draft.plan.nodes[node.scope]
    if node.index not in map_node.closers:
        return
    if len(map_node.closers) > 1:
        nodes = draft.plan.nodes
        if not all(is_ended(draft.row(nodes[index].at(items))) for index in map_node.closers):
            return
        if (map_node.index, items) in draft.extras.closed:
            return  # several of them ended at once
        draft.more().closed.add((map_node.index, items))
    assert map_node.exit is not None  # noqa: S101  # maps have one
    live = liveness(draft.plan, map_node.exit, items, draft.row)
    _end_item(draft, map_node, items[:-1], offer, live=bool(live))


def _end_failed_item(draft: Draft, node: PlanNode, items: Items, row: PhaseRecord, offer: Offer) -> None:
    map_node = collector(draft.plan, node)
    assert map_node is not None  # noqa: S101  # else the run has failed
    assert row.error is not None  # noqa: S101  # it has failed
    depth = len(draft.plan.scopes_of(map_node))
    outer, item = items[:depth], items[: depth + 1]
    if (map_node.index, item) in draft.extras.closed:
        return
    draft.more().closed.add((map_node.index, item))
    fail_item(draft, map_node, node, items, row.error)
    _end_item(draft, map_node, outer, offer, live=False)


def _decide_child(draft: Draft, child: PlanNode, items: Items, offer: Offer) -> None:
    """Open a node, or skip it, once all its in-edges are decided."""
    if draft.row(child.at(items)) is not None:
        return  # another parent that has just ended decided it, or a test did
    plan = draft.plan
    for index in child.after:
        if not is_ended(draft.row(plan.nodes[index].at(items))):
            return
    live = liveness(plan, child.source, items, draft.row)
    if live:
        open_node(draft, child, items, offer)
    elif live is not None:
        _skip(draft, child, items)


def _skip(draft: Draft, node: PlanNode, items: Items) -> None:
    """Skip a node whose value does not come."""
    row = evolve_phase.phase_noted(draft, node, node.at(items))
    evolve_phase.phase_skipped(draft, row, "nothing was handed on to it", live=False)
    draft.just_ended.append((node, items))
