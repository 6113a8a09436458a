"""What is known of a node only once all others are there: what follows it, what it may be skipped with, who takes its value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import attrs

from phaseline._definition.edges import GIVEN, Edge, Given, Merge, Race, Source, edges_of
from phaseline._definition.phase import DEFAULT_QUEUE
from phaseline._definition.plan import Binding, NodeKind, PlanNode
from phaseline.rows import INPUT


def finished(nodes: Sequence[PlanNode], cancelling: Collection[int], output: Source) -> tuple[PlanNode, ...]:
    """The nodes with all that depends on others: children, where items begin and end, what may be skipped.

    Args:
        nodes: In topological order.
        cancelling: Races whose first ends the rest.
        output: Where the run's output comes from.
    """
    children: list[list[int]] = [[] for _ in nodes]
    members: dict[int, list[PlanNode]] = {}
    for node in nodes:
        for parent in node.parents:
            children[parent].append(node.index)
        if node.scope is not None:
            members.setdefault(node.scope, []).append(node)
    cancels = {index: _served_alone(nodes, children, index, output) for index in cancelling}
    skippable = {index for node in nodes for arm in node.arms for index in arm}.union(
        *(rest for by_winner in cancels.values() for rest in by_winner)
    )
    ends = {index for node in nodes for index in _ways_out(node.exit)}
    return tuple(
        attrs.evolve(
            node,
            children=tuple(children[node.index]),
            entries=tuple(inner.index for inner in members.get(node.index, ()) if inner.is_first),
            queue=_queue_of(node, nodes, children),
            closers=tuple(_closers(members.get(node.index, ()), children)),
            ends_item=node.index in ends,
            cancels=cancels.get(node.index, ()),
            skippable=node.index in skippable,
        )
        for node in nodes
    )


def _queue_of(node: PlanNode, nodes: Sequence[PlanNode], children: Sequence[Sequence[int]]) -> str:
    """Where it is taken up; a wait is where what stands before it is, or, where nothing does, what comes after it."""
    before = after = node
    while _has_no_queue(before) and before.parents:
        before = nodes[before.parents[0]]
    while _has_no_queue(after) and children[after.index]:
        after = nodes[children[after.index][0]]
    return (after if _has_no_queue(before) else before).queue or DEFAULT_QUEUE


def _has_no_queue(node: PlanNode) -> bool:
    """Whether it is a wait, or starts a run, and nobody said where."""
    return node.kind is NodeKind.WAIT or not node.queue


def _closers(members: Sequence[PlanNode], children: Sequence[Sequence[int]]) -> Iterator[int]:
    """The nodes that have ended when all have; after a race the others may go on."""
    any_race = any(node.is_race for node in members)
    return (node.index for node in members if any_race or not children[node.index])


def _ways_out(exit_: Source | None) -> Iterator[int]:
    """The nodes whose output may be an item's as it is."""
    if isinstance(exit_, Edge) and exit_.side is None:
        yield exit_.node
    elif isinstance(exit_, Merge):
        for part in exit_.parts:
            yield from _ways_out(part)


def _served_alone(
    nodes: Sequence[PlanNode], children: Sequence[Sequence[int]], race: int, output: Source
) -> tuple[tuple[int, ...], ...]:
    """What stands before a race and serves nothing else, for each value without what leads to that one."""
    scope, source = nodes[race].scope, nodes[race].source
    assert isinstance(source, Race)  # noqa: S101  # only races are asked for
    whole = output if scope is None else nodes[scope].exit
    kept = {edge.node for edge in edges_of(whole or GIVEN)} | set(nodes[race].after)
    alone = {race}
    for index in sorted(_before(nodes, source), reverse=True):
        if index not in kept and alone.issuperset(children[index]):
            alone.add(index)
    return tuple(tuple(sorted(alone - {race} - _before(nodes, part))) for part in source.parts)


def _before(nodes: Sequence[PlanNode], source: Source) -> set[int]:
    """All nodes that lead to a value."""
    todo, found = [edge.node for edge in edges_of(source)], set[int]()
    while todo:
        index = todo.pop()
        if index not in found:
            found.add(index)
            todo.extend(nodes[index].parents)
    return found


def bound(nodes: Sequence[PlanNode], bindings: Sequence[Binding], output: Source) -> tuple[Binding, ...]:
    """The bindings with what the shape says of the values they take and hand on."""
    takers: dict[str, int] = {}
    wanted: set[int] = set()
    counted: set[int] = set()

    def note(source: Source) -> None:
        for edge in edges_of(source):
            if edge.side is None:
                wanted.add(edge.node)
                takers[nodes[edge.node].path] = takers.get(nodes[edge.node].path, 0) + 1

    for node in nodes:
        note(node.source)
        if isinstance(node.source, Given) and node.scope is None:
            takers[INPUT] = takers.get(INPUT, 0) + 1
        if node.kind is NodeKind.MAP:
            counted.update(edge.node for edge in edges_of(node.source) if edge.side is None)
    note(output)

    def takes(node: PlanNode) -> str | None:
        path = None
        if node.scope is None and isinstance(node.source, Given):
            path = INPUT
        elif node.scope is None and isinstance(node.source, Edge) and node.source.side is None:
            path = nodes[node.source.node].path
        return path if path is not None and takers[path] == 1 else None

    return tuple(
        attrs.evolve(
            binding,
            takes=takes(node),
            hands_on=node.index in wanted,
            is_counted=node.index in counted,
        )
        for node, binding in zip(nodes, bindings, strict=True)
    )
