"""The phases of a run as a tree, for people: what came up, what is to come, and of a map what matters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from phaseline.rows import PhaseRecord, PhaseState

MOST_ITEMS: Final = 8
"""Items of a map that are listed, of those that run or failed."""
_PART: Final = re.compile(r"\[\d*\]|[^/\[\]]+")
_OVER: Final = frozenset({PhaseState.COMPLETED, PhaseState.FAILED, PhaseState.SKIPPED})
_OF_INTEREST: Final = frozenset({PhaseState.RUNNING, PhaseState.RETRYING, PhaseState.FAILED})


@attrs.frozen(kw_only=True)
class Entry:
    """A phase, a map, an item of one, or phases that belong together."""

    name: str
    """Its part of the path: ``enrich``, of an item ``[3]``."""
    state: PhaseState
    """Of what is to come: PENDING."""
    row: PhaseRecord | None
    """None where it is no phase itself, or has not come up."""
    done: float | None
    """How far it is: items of a map that are over, or, while it runs, what its body told."""
    total: float | None
    """Where that ends, if it is known."""
    inner: tuple[Entry, ...]
    """Of a map: the items that run or failed, at most eight of them."""
    left_out: int
    """How many more of those there are."""


@attrs.define
class _Node:
    name: str
    row: PhaseRecord | None = None
    inner: dict[str, _Node] = attrs.field(factory=dict[str, "_Node"])

    def at(self, path: str) -> _Node:
        """Give the node at a path below this one, and make it if need be."""
        node = self
        for part in _PART.findall(path):
            below = node.inner.get(part)
            if below is None:
                below = node.inner[part] = _Node(part)
            node = below
        return node


def outline(phases: Mapping[str, PhaseRecord], planned: Iterable[str] = ()) -> tuple[Entry, ...]:
    """Give the phases of a run as a tree.

    Args:
        phases: Those that came up, by path.
        planned: Paths of all that the plan has, ``enrich[]/check`` inside of a map: what is yet to come.
    """
    plan, root = _Node(""), _Node("")
    for path in planned:
        plan.at(path)
    order = {name: place for place, name in enumerate(plan.inner)}
    for path, row in phases.items():
        root.at(path).row = row
    _fill(root, plan)
    return tuple(map(_entry, sorted(root.inner.values(), key=lambda node: order.get(node.name, len(order)))))


def _fill(node: _Node, plan: _Node) -> None:
    """Add what is planned inside of a node and has not come up."""
    for name, planned in plan.inner.items():
        if name == "[]":
            for item in node.inner.values():
                _fill(item, planned)
        else:
            _fill(node.inner.setdefault(name, _Node(name)), planned)


def _entry(node: _Node) -> Entry:
    row, inner, left_out = node.row, [*node.inner.values()], 0
    done = total = None
    # What a body told of an attempt that is over says nothing: it need not have told of the end.
    if row is not None and row.progress is not None and row.state is PhaseState.RUNNING:
        done, total = row.progress.done, row.progress.total
    if row is not None and row.total is not None:
        states = [
            *map(_state, inner)
        ]  # there may be very many: entries are made of those alone that are listed
        done, total = float(sum(state in _OVER for state in states)), float(row.total)
        matters = [item for item, state in zip(inner, states, strict=True) if state in _OF_INTEREST]
        inner, left_out = matters[:MOST_ITEMS], max(0, len(matters) - MOST_ITEMS)
    return Entry(
        name=node.name, state=_state(node), row=row, done=done, total=total, inner=tuple(map(_entry, inner)),
        left_out=left_out,
    )  # fmt: skip


def _state(node: _Node) -> PhaseState:
    """The state of a node; of what is no phase itself, from those of its phases."""
    if node.row is not None:
        return node.row.state
    found = [*map(_state, node.inner.values())]
    if PhaseState.FAILED in found:
        return PhaseState.FAILED
    if not found or all(state is PhaseState.PENDING for state in found):
        return PhaseState.PENDING
    return PhaseState.COMPLETED if all(state in _OVER for state in found) else PhaseState.RUNNING
