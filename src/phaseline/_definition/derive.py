"""What follows from the shape of a graph: the state machine of its runs, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from phaseline._definition.edges import Edge, Gather, Given, Merge, Race, Source, edges_of
from phaseline._definition.plan import NodeKind, PlanNode
from phaseline.errors import DefinitionError
from phaseline.machine import Transitions
from phaseline.rows import RunState

Shape: TypeAlias = "str | list[Any] | Mapping[str, Any]"


# --------------------------------------------------------------------- the state machine
def order_of(nodes: Sequence[PlanNode]) -> tuple[PlanNode, ...]:
    """The nodes that have a state of their own: phases and maps outside of maps."""
    return tuple(node for node in nodes if node.scope is None and node.kind is not NodeKind.TEST)


def check_labels(pipeline: str, order: Sequence[PlanNode]) -> None:
    """Refuse labels that would make a state ambiguous.

    Raises:
        DefinitionError: A label is an engine state's name, or comes back after other phases.
    """
    seen: dict[str, int] = {}
    for position, node in enumerate(order):
        if node.label in RunState.__members__:
            msg = f"pipeline {pipeline!r}: phase {node.path!r} has the label {node.label!r}, a state of the engine's own"
            raise DefinitionError(msg)
        if position - seen.get(node.label, position) > 1:
            other = order[seen[node.label]].path
            msg = (
                f"pipeline {pipeline!r}: phases {other!r} and {node.path!r} share the label {node.label!r}, "
                "but other phases stand between them; give one of them another label"
            )
            raise DefinitionError(msg)
        seen[node.label] = position


def derive_machine(
    pipeline: str, nodes: Sequence[PlanNode], *, compensates: bool = False
) -> Transitions[str]:
    """Give the run's state machine: each phase adds a state, the engine the lifecycle around them.

    Where phases are compensated, a run is ROLLING_BACK before it is ROLLED_BACK.
    """
    s = RunState
    back = s.ROLLING_BACK if compensates else s.ROLLED_BACK
    tops = [node for node in nodes if node.scope is None]
    finishing = {_top_of(nodes, node) for node in nodes if node.may_finish}
    active: dict[str, dict[str, None]] = {node.label: {} for node in order_of(nodes)}
    for position, node in enumerate(tops):
        if node.kind is not NodeKind.TEST:
            following = tops[position + 1 :]
            active[node.label].update(dict.fromkeys(_onward(node, following)))
            if finishing and _may_finish_at(node, following, finishing):
                active[node.label][s.COMPLETED] = None
    labels = list(active)
    standing = [str(s.PAUSED), str(s.FAILED), str(s.CANCELLED)]
    table: dict[str, Sequence[str]] = {
        s.IDLE: [s.INITIALIZING, *standing],
        s.INITIALIZING: [*labels, *standing],
        **{label: [*onward, *standing] for label, onward in active.items()},
        s.PAUSED: [s.IDLE, s.INITIALIZING, *labels, s.COMPLETED, s.FAILED, back, s.CANCELLED],
        s.FAILED: [s.IDLE, back],
        s.ROLLED_BACK: [s.IDLE],
        s.COMPLETED: [s.IDLE, back],
        s.CANCELLED: [],
    }
    if compensates:
        table[s.ROLLING_BACK] = [s.ROLLED_BACK, s.FAILED]
    plain = {str(source): [str(target) for target in targets] for source, targets in table.items()}
    return Transitions(plain, initial=str(s.IDLE), name=f"pipeline {pipeline!r}")


def _onward(node: PlanNode, following: Sequence[PlanNode]) -> Iterator[str]:
    """The states that may come next: what lies between has ended before, or is skipped together with this one."""
    later = {node.index}
    for other in following:
        comes_later = _waits_for_one(other, later)
        if comes_later:
            later.add(other.index)
        if other.kind is NodeKind.TEST:
            continue
        if other.label != node.label:
            yield other.label
        if comes_later and not other.skippable:
            return
    yield RunState.COMPLETED


def _may_finish_at(node: PlanNode, following: Sequence[PlanNode], finishing: set[int]) -> bool:
    """Whether a phase that may end the whole run can be running while this one is the earliest that has not ended."""
    later = {node.index}
    for other in following:
        if _waits_for_one(other, later):
            later.add(other.index)
    return node.index in finishing or any(i > node.index and i not in later for i in finishing)


def _top_of(nodes: Sequence[PlanNode], node: PlanNode) -> int:
    while node.scope is not None:
        node = nodes[node.scope]
    return node.index


def _waits_for_one(node: PlanNode, later: set[int]) -> bool:
    """Whether a node cannot begin before one of ``later`` has ended."""
    if isinstance(node.source, Race) and not later.intersection(node.after):
        return all(any(edge.node in later for edge in edges_of(part)) for part in node.source.parts)
    return not later.isdisjoint(node.parents)


# --------------------------------------------------------------------- the fingerprint
def fingerprint_of(nodes: Sequence[PlanNode], output: Source) -> str:
    """Digest of the shape: of what a stored run depends on, and not of labels, queues, types, retries or bodies."""
    shape = {
        "nodes": [_node_shape(nodes, node) for node in nodes],
        "output": shape_of(nodes, output),
    }
    text = json.dumps(shape, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _node_shape(nodes: Sequence[PlanNode], node: PlanNode) -> list[Any]:
    def paths(indexes: Sequence[int]) -> list[str]:
        return [nodes[index].path for index in indexes]

    awaits = node.awaits
    extra = {
        "after": paths(node.after),
        "signal": None if awaits is None else awaits.signal,
        "key": None if awaits is None else awaits.key,
        "starts": node.starts,
        "cancels": bool(node.cancels),
        "on_error": "" if node.on_error == "fail" else node.on_error,
        "exit": None if node.exit is None else shape_of(nodes, node.exit),
    }
    return [
        node.path,
        str(node.kind),
        shape_of(nodes, node.source),
        {key: value for key, value in extra.items() if value},
    ]


def shape_of(nodes: Sequence[PlanNode], source: Source) -> Shape:
    """Where a value comes from, as plain data with paths."""
    match source:
        case Given():
            return "$input"
        case Edge():
            path = nodes[source.node].path
            return path if source.side is None else {"test": path, "holds": source.side}
        case Gather():
            return {"all": [shape_of(nodes, part) for part in source.parts]}
        case Merge():
            return {"one": [shape_of(nodes, part) for part in source.parts]}
        case Race():
            return {"first": [shape_of(nodes, part) for part in source.parts]}
