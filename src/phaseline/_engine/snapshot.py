"""A run as the engine reads it: what is committed of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from phaseline._definition.edges import GIVEN
from phaseline._definition.plan import UNDO_MARK, Items, NodeKind, Plan, PlanNode
from phaseline._engine.liveness import RowOf, liveness
from phaseline.errors import CompensationNotRegisteredError
from phaseline.events import CheckpointCreated, Event
from phaseline.rows import PhaseRecord, PhaseState, RunRecord, RunState, SignalRecord
from phaseline.unit_of_work import RunRows

if TYPE_CHECKING:
    from phaseline._engine.draft import Draft

MOST_FACTS = 256
"""Facts of a run that are kept before they are thinned out to its landmarks."""
ENDED_PHASES = frozenset({PhaseState.COMPLETED, PhaseState.FAILED, PhaseState.SKIPPED})


class ItemCount(msgspec.Struct, frozen=True, gc=False):
    """How far a map is."""

    total: int
    spawned: int = 0
    ended: int = 0
    dropped: int = 0
    """Ended without a value to hand on."""


class Snapshot:
    """The committed state of one run."""

    __slots__ = (
        "cursor",
        "facts",
        "gone",
        "items",
        "plan",
        "positions",
        "rows",
        "run",
        "signals",
        "thinned",
        "undoing",
    )

    def __init__(self, plan: Plan, run: RunRecord) -> None:
        self.plan: Plan = plan
        self.run: RunRecord = run
        self.rows: dict[str, PhaseRecord] = {}
        self.gone: dict[str, PhaseRecord] = {}
        """Rows that were dropped and that nothing has taken the place of yet: where their successors go on from."""
        self.positions: int = 0
        """How many rows came up, in all epochs."""
        self.items: dict[str, ItemCount] = {}
        self.cursor: int = 0
        """Position in the plan's order of the earliest unfinished node."""
        self.signals: dict[int, SignalRecord] = {}
        """What it has received, by number; of what was taken the value is gone."""
        self.undoing: list[str] | None = None
        """While it is ROLLING_BACK, once somebody asked: what is yet to be undone, what is next the last."""
        self.facts: list[Event] | None = []
        """What was told of it, without some that are no landmarks; None where it was not followed from its beginning."""
        self.thinned: int = 0
        """How many of these were left when they were last thinned out."""

    @classmethod
    def from_rows(cls, plan: Plan, rows: RunRows) -> Snapshot:
        """Rebuild what follows from stored rows.

        Raises:
            CompensationNotRegisteredError: As ``advanced``.
        """
        return cls(plan, rows.run).advanced(rows)

    def advanced(self, rows: RunRows) -> Snapshot:
        """This snapshot with what was written since; it costs what is new, however large the run is.

        Raises:
            CompensationNotRegisteredError: A phase is being undone, and the plan has nothing that undoes it.
        """
        if rows.run.epoch != self.run.epoch:
            return Snapshot(self.plan, rows.run).advanced(self._merged(rows))
        plan = self.plan
        snapshot = Snapshot(plan, rows.run)
        snapshot.rows, snapshot.items, snapshot.gone = dict(self.rows), dict(self.items), dict(self.gone)
        snapshot.facts, snapshot.cursor = None, self.cursor
        snapshot.signals = {**self.signals, **{signal.seq: signal for signal in rows.signals}}
        snapshot.positions = max((row.position + 1 for row in rows.phases), default=0)
        snapshot.positions = max(self.positions, snapshot.positions)
        touched: dict[tuple[int, Items], Mapping[str, PhaseRecord]] = {}
        """Items of which something was written, each with the rows as they were when its map was counted last."""
        may_keep = bool(rows.run.epoch) or rows.run.forked_from is not None
        for row in rows.phases:
            if row.gone_in_epoch is not None:
                snapshot.gone[row.path] = row
                continue
            snapshot.rows[row.path] = row
            snapshot.gone.pop(row.path, None)
            node, items = snapshot._locate(row.path)  # its own kind
            if (
                node.kind is NodeKind.MAP
                and row.attempt
                and row.total is not None
                and row.path not in snapshot.items
            ):
                snapshot.items[row.path] = ItemCount(row.total)
                if (
                    may_keep
                ):  # items that were kept are written no more, and were not counted while the map was gone
                    touched.update(((node.index, (*items, number)), {}) for number in range(row.total))
            if node.scope is not None and node.kind is not NodeKind.UNDO:
                touched.setdefault((node.scope, items), self.rows)
        for (scope, items), before in touched.items():
            snapshot._recount(plan.nodes[scope], items, before)  # its own kind
        order = plan.order
        while snapshot.cursor < len(order) and is_ended(snapshot.rows.get(order[snapshot.cursor].path)):
            snapshot.cursor += 1
        snapshot.run = snapshot._where_it_is()  # its own kind
        return snapshot

    def _where_it_is(self) -> RunRecord:
        """The row of the run, at the label of the phase that it has come to: it may have had another one when it was stored.

        That label may be another phase's by now, from which the state machine has other ways to go.
        """
        run, order = self.run, self.plan.order
        if run.state in RunState.__members__:
            return run
        label = order[min(self.cursor, len(order) - 1)].label
        return run if run.state == label else replace(run, state=label)

    def _locate(self, path: str) -> tuple[PlanNode, Items]:
        try:
            return self.plan.locate(path)
        except KeyError:
            if not path.endswith(UNDO_MARK):
                raise
            # Not passed over: without it the rollback would be over too early, with something done that is not undone.
            raise CompensationNotRegisteredError(self.run.id, self.run.definition, path) from None

    def _merged(self, rows: RunRows) -> RunRows:
        """All rows of a run, some of which were dropped since."""
        phases = {**self.rows, **self.gone}
        phases.update((row.path, row) for row in rows.phases)
        signals = [*self.signals.values(), *rows.signals]
        return RunRows(rows.run, sorted(phases.values(), key=_position), 0, signals)

    def _recount(self, map_node: PlanNode, items: Items, before: Mapping[str, PhaseRecord]) -> None:
        """Note what new states of one item say of its map."""
        path = map_node.at(items[:-1])
        count = self.items.get(path)
        if count is None:  # the map was dropped, and what is left of it waits to be taken up
            return
        was = item_state(self.plan, map_node, items, before.get)
        now = item_state(self.plan, map_node, items, self.rows.get)
        self.items[path] = ItemCount(
            count.total,
            count.spawned + (now.spawned - was.spawned),
            count.ended + (now.ended - was.ended),
            count.dropped + (now.dropped - was.dropped),
        )

    def absorb(self, draft: Draft) -> None:
        """Take over what a draft decided, once it is committed."""
        extras = draft.extras
        if extras.dropped:
            dropped = [row for row, _ in extras.dropped.values()]
            known = RunRows(draft.run, [*dropped, *draft.rows.values()])
            renewed = Snapshot(self.plan, draft.run).advanced(self._merged(known))
            self.rows, self.gone, self.items = renewed.rows, renewed.gone, renewed.items
            self.undoing = None
        self.run = draft.run
        if extras.signals or extras.taken:
            self.signals = draft.all_signals()
        self.rows.update(draft.rows)
        if self.gone:
            for path in draft.rows:
                self.gone.pop(path, None)
        if draft.items:
            self.items.update(draft.items)
        self.cursor, self.positions = draft.cursor, draft.positions
        if self.facts is not None:
            self.facts += filter(is_landmark, draft.events) if extras.emits else draft.events
            if len(self.facts) > 2 * self.thinned + MOST_FACTS:
                self.facts = [fact for fact in self.facts if is_landmark(fact)]
                self.thinned = len(self.facts)


def is_landmark(fact: Event) -> bool:
    """Whether a fact moved a run's state or made a checkpoint."""
    return fact.transition is not None or isinstance(fact, CheckpointCreated)


def item_state(plan: Plan, map_node: PlanNode, items: Items, row_of: RowOf) -> ItemCount:
    """How far one item of a map is, as a count of one."""
    inside = [row_of(node.at(items)) for node in plan.members[map_node.index]]
    known = [row for row in inside if row is not None]
    failed = any(row.state is PhaseState.FAILED for row in known)
    ended = failed or all(is_ended(row_of(plan.nodes[index].at(items))) for index in map_node.closers)
    live = ended and not failed and liveness(plan, map_node.exit or GIVEN, items, row_of)
    return ItemCount(1, int(bool(known)), int(ended), int(ended and not live))


def is_ended(row: PhaseRecord | None) -> bool:
    """Whether a phase has come up and ended."""
    return row is not None and row.state in ENDED_PHASES


def _position(row: PhaseRecord) -> int:
    return row.position
