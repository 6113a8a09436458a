"""Where the value of a node comes from: an expression over the nodes before it.

The engine reads from it whether a value comes at all (liveness), the shell which one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import attrs


@attrs.frozen
class Given:
    """The value that the whole was given: the run's input, or the item inside a map."""


@attrs.frozen
class Edge:
    """What one node hands on."""

    node: int
    side: bool | None = None
    """None: its output. True or False, of a test: the value that it took, if it held or if it did not."""


@attrs.frozen
class Gather:
    """Values side by side, as a tuple."""

    parts: tuple[Source, ...]
    optional: tuple[bool, ...]
    """For each part, whether None stands for it if nothing is handed on there."""


@attrs.frozen
class Merge:
    """The one among several ways that was gone; all must be decided."""

    parts: tuple[Source, ...]


@attrs.frozen
class Race:
    """The first among several values that comes; which one it was is stored with the node that takes it."""

    parts: tuple[Source, ...]


Source: TypeAlias = Given | Edge | Gather | Merge | Race
GIVEN = Given()


def edges_of(source: Source) -> Iterator[Edge]:
    """All edges in an expression."""
    match source:
        case Edge():
            yield source
        case Gather() | Merge() | Race():
            for part in source.parts:
                yield from edges_of(part)
        case Given():
            pass


def takes_given(source: Source) -> bool:
    """Whether what the whole was given is among its values."""
    match source:
        case Given():
            return True
        case Edge():
            return False
        case Gather() | Merge() | Race():
            return any(takes_given(part) for part in source.parts)


def merged(*parts: Source) -> Source:
    """One of these, without a merge inside a merge."""
    flat: dict[Source, None] = {}
    for part in parts:
        flat.update(dict.fromkeys(part.parts if isinstance(part, Merge) else (part,)))
    return next(iter(flat)) if len(flat) == 1 else Merge(tuple(flat))


def gathered(parts: tuple[Source, ...]) -> Gather:
    """All of these, none of which may be missing."""
    return Gather(parts, (False,) * len(parts))
