"""A run as the engine reads it (``Snapshot``) and as a decision changes it (``Draft``).

A draft keeps its changes apart from the snapshot below, so that a commit that is refused costs nothing: it is
thrown away. What it holds when the folding is over is the unit of work that a storage writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from phaseline.abc import RunRows, StepResult, Unit
from phaseline.errors import InvalidTransitionError
from phaseline.events import CheckpointCreated, Event, Transition
from phaseline.plan import NodeKind, Plan, PlanNode
from phaseline.run import PhaseRecord, PhaseState, RunRecord

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

    __slots__ = ("cursor", "items", "landmarks", "plan", "rows", "run")

    def __init__(self, plan: Plan, run: RunRecord) -> None:
        self.plan: Plan = plan
        self.run: RunRecord = run
        self.rows: dict[str, PhaseRecord] = {}
        self.items: dict[str, ItemCount] = {}
        self.cursor: int = 0
        """Position in the plan's order of the earliest unfinished node."""
        self.landmarks: list[Event] | None = []
        """Facts that moved the run's state or made a checkpoint; None where it was not followed from its beginning."""

    @classmethod
    def from_rows(cls, plan: Plan, rows: RunRows) -> Snapshot:
        """Rebuild what follows from stored rows."""
        return cls(plan, rows.run).advanced(rows)

    def advanced(self, rows: RunRows) -> Snapshot:
        """This snapshot with what was written since; it costs what is new, however large the run is."""
        snapshot = Snapshot(self.plan, rows.run)
        snapshot.rows, snapshot.items = dict(self.rows), dict(self.items)
        snapshot.landmarks, snapshot.cursor = None, self.cursor
        for row in rows.phases:  # in the order in which they came up: a map before its items
            snapshot._take(row)  # its own kind
        order = self.plan.order
        while snapshot.cursor < len(order) and is_ended(snapshot.rows.get(order[snapshot.cursor].path)):
            snapshot.cursor += 1
        if rows.run.state not in self.plan.transitions.states:  # the label of a phase was changed meanwhile
            snapshot.run = replace(rows.run, state=order[min(snapshot.cursor, len(order) - 1)].label)
        return snapshot

    def _take(self, row: PhaseRecord) -> None:
        before = self.rows.get(row.path)
        self.rows[row.path] = row
        node, _ = self.plan.locate(row.path)
        if node.kind is NodeKind.MAP:
            if row.attempt and row.total is not None and node.path not in self.items:
                self.items[node.path] = ItemCount(row.total)
        elif node.scope is not None:
            self._count(self.plan.nodes[node.scope], node, before, row)

    def _count(
        self, map_node: PlanNode, node: PlanNode, before: PhaseRecord | None, row: PhaseRecord
    ) -> None:
        """Note what a new state of a phase inside a map says of the map."""
        count = self.items[map_node.path]
        if before is None and node.index == map_node.entries[0]:
            count = replace(count, spawned=count.spawned + 1)
        if _ends_item(map_node, node, row) and not (before and _ends_item(map_node, node, before)):
            count = replace(count, ended=count.ended + 1, dropped=count.dropped + (not row.live))
        self.items[map_node.path] = count

    def absorb(self, draft: Draft) -> None:
        """Take over what a draft decided, once it is committed."""
        self.run = draft.run
        self.rows.update(draft.rows)
        self.items.update(draft.items)
        self.cursor = draft.cursor
        if self.landmarks is not None:
            for fact in draft.events:
                if fact.transition is not None or type(fact) is CheckpointCreated:
                    self.landmarks.append(fact)


class Draft:
    """One unit of work while it is being decided."""

    __slots__ = (
        "_added", "_changes", "base", "cursor", "events", "granted", "items", "just_ended", "known", "now", "outputs", "plan",
        "rows", "run", "run_id", "seq", "state", "steps", "waits",
    )  # fmt: skip

    def __init__(self, base: Snapshot, now: datetime) -> None:
        run = base.run
        self.base: Snapshot = base
        self.plan: Plan = base.plan
        self.now: datetime = now
        self.known: dict[str, PhaseRecord] = base.rows
        self.run_id: str = run.id
        self.run: RunRecord = run
        """The run's row; brought up to date by ``unit``."""
        self.state: str = run.state
        self.seq: int = run.seq
        self.cursor: int = base.cursor
        self._added = 0
        self._changes: dict[str, Any] = {}
        self.rows: dict[str, PhaseRecord] = {}
        """Rows that this unit writes."""
        self.items: dict[str, ItemCount] = {}
        self.events: list[Event] = []
        self.outputs: dict[str, str] = {}
        self.steps: list[StepResult] = []
        self.granted: list[PhaseRecord] = []
        """Phases that this unit starts on the worker that decides it."""
        self.waits: bool = False
        """Whether it leaves a phase that waits for a worker or for its time."""
        self.just_ended: deque[tuple[PlanNode, int | None]] = deque()
        """Nodes from which the flow has yet to go on."""

    @property
    def revision(self) -> int:
        """The revision that the run has once this unit is committed."""
        return self.base.run.revision + 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing was decided, so that there is nothing to commit."""
        return not (self.events or self.rows or self.steps)

    # ------------------------------------------------------------------ rows
    def row(self, path: str) -> PhaseRecord | None:
        """A phase as this unit sees it."""
        return self.rows.get(path) or self.known.get(path)

    def all_rows(self) -> Iterator[PhaseRecord]:
        """All phases as this unit sees them, in the order in which they came up."""
        for path, row in self.known.items():
            yield self.rows.get(path, row)
        for path, row in self.rows.items():
            if path not in self.known:
                yield row

    def next_position(self) -> int:
        """Position of a row that comes up now."""
        self._added += 1
        return len(self.known) + self._added - 1

    def pass_ended(self) -> None:
        """Move the cursor past nodes that have ended."""
        order, cursor = self.plan.order, self.cursor
        while cursor < len(order) and is_ended(self.row(order[cursor].path)):
            cursor += 1
        self.cursor = cursor

    def item_count(self, map_path: str) -> ItemCount:
        """How far a map is, as this unit sees it."""
        return self.items.get(map_path) or self.base.items[map_path]

    # ------------------------------------------------------------------ the run
    def next_seq(self) -> int:
        """Number of the next fact."""
        self.seq += 1
        return self.seq

    def change_run(self, **changes: Any) -> None:
        """Change fields of the run's row."""
        self._changes.update(changes)

    def move_on(self) -> Transition | None:
        """Move the run to the label of its earliest unfinished node; None if it is there, or none is left."""
        order = self.plan.order
        return None if self.cursor == len(order) else self.move(order[self.cursor].label)

    def move(self, target: str) -> Transition | None:
        """Move the run's state machine; gives the transition for the fact that moves it, None if it stays.

        Raises:
            InvalidTransitionError: The table has no such edge: the rules and the derived machine disagree.
        """
        source = self.state
        if target == source:
            return None
        transition = self.plan.moves.get((source, target))
        if transition is None:
            machine = self.plan.transitions
            raise InvalidTransitionError(machine.name, source, target, machine.allowed(source))
        self.state = target
        return transition

    def unit(self, *, commit_id: int = 0, input_text: str | None = None) -> Unit:
        """The work to commit, under a random id."""
        self.run = replace(
            self.run,
            state=self.state,
            seq=self.seq,
            revision=self.revision,
            updated_at=self.now,
            **self._changes,
        )
        known = self.known
        inserted: list[PhaseRecord] = []
        updated: list[tuple[PhaseRecord, int]] = []
        for path, row in self.rows.items():
            before = known.get(path)
            if before is None:
                inserted.append(row)
            else:
                updated.append((row, before.fence))
        return Unit(
            run=self.run, expected=self.base.run.revision, input=input_text, inserted=inserted, updated=updated,
            outputs=self.outputs, events=self.events, steps=self.steps, commit_id=commit_id,
        )  # fmt: skip


def _ends_item(map_node: PlanNode, node: PlanNode, row: PhaseRecord) -> bool:
    return row.state is PhaseState.FAILED or (node.index == map_node.exit and is_ended(row))


def is_ended(row: PhaseRecord | None) -> bool:
    """Whether a phase has come up and ended."""
    return row is not None and row.state in ENDED_PHASES
