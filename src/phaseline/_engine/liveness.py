"""Whether a value comes, and of how many elements: read from rows, never from the values themselves."""

from __future__ import annotations

from collections.abc import Callable

from phaseline._definition.edges import Edge, Gather, Given, Merge, Race, Source
from phaseline._definition.plan import Items, Plan
from phaseline.rows import PhaseRecord, PhaseState

RowOf = Callable[[str], PhaseRecord | None]
COMPLETED = PhaseState.COMPLETED


def liveness(plan: Plan, source: Source, items: Items, row_of: RowOf) -> bool | None:
    """Tell whether a value comes from there.

    Returns:
        None as long as it is undecided; a race is decided by its first value, all else when every part is.
    """
    if isinstance(source, Edge):
        return _of_edge(plan, source, items, row_of)
    if isinstance(source, Given):
        return True
    if isinstance(source, Race):
        found = [liveness(plan, part, items, row_of) for part in source.parts]
        return True if True in found else None if None in found else False
    optional = source.optional if isinstance(source, Gather) else None
    some = False
    missing = False
    # From the last: bodies mostly end in the order in which they began, so what is undecided stands there.
    for position in range(len(source.parts) - 1, -1, -1):
        live = liveness(plan, source.parts[position], items, row_of)
        if live is None:
            return None
        some = some or live
        missing = missing or (optional is not None and not live and not optional[position])
    return some and not missing


def _of_edge(plan: Plan, edge: Edge, items: Items, row_of: RowOf) -> bool | None:
    node = plan.nodes[edge.node]
    row = row_of(node.at(items) if items else node.path)
    if row is None or row.live is None:
        return None
    if edge.side is None:
        return row.live
    return row.state is COMPLETED and row.live is edge.side


def first_live(plan: Plan, parts: tuple[Source, ...], items: Items, row_of: RowOf) -> int | None:
    """Position of the first part that has a value."""
    for position, part in enumerate(parts):
        if liveness(plan, part, items, row_of):
            return position
    return None


def length_of(plan: Plan, source: Source, items: Items, row_of: RowOf) -> int | None:
    """Number of elements of a value; None if no row tells, so that somebody must look at the value."""
    match source:
        case Edge(node=index, side=None):
            row = row_of(plan.nodes[index].at(items))
            return None if row is None else row.length
        case Gather():
            return len(source.parts)
        case Merge() | Race():
            live = first_live(plan, source.parts, items, row_of)
            return None if live is None else length_of(plan, source.parts[live], items, row_of)
        case _:  # a test hands on what it was given, and nobody counted what a run was given
            return None
