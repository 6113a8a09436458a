"""Which events somebody wants to be told of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from phaseline._definition.context import CustomEvent
from phaseline.errors import DefinitionError
from phaseline.events import Emitted, Event

Kind = type[Event] | type[CustomEvent] | str


@attrs.frozen(kw_only=True)
class Interest:
    """Which events are wanted; None where it does not matter."""

    types: frozenset[str] | None = None
    """Wire names; that of ``Emitted`` stands for all of the application's own."""
    run: str | None = None
    """Id of the run that they are of."""
    pipeline: str | None = None
    """Name of the pipeline of that run."""

    def concerns(self, event: Event) -> bool:
        """Whether the event is of a run of which some are wanted."""
        return (self.run is None or event.run_id == self.run) and (
            self.pipeline is None or event.pipeline == self.pipeline
        )

    def wants(self, event: Event) -> bool:
        """Whether the event is one of those wanted."""
        return self.concerns(event) and (
            self.types is None or event.type in self.types or event.wire_name in self.types
        )


def interest(
    verb: str, *, types: Iterable[Kind] | None = None, run: str | None = None, pipeline: str | None = None
) -> Interest:
    """Put an interest together of what a caller gave.

    Raises:
        DefinitionError: One of these is of another kind, or nothing would ever be told.
    """
    for name, given, example in (("run", run, "handle.id"), ("pipeline", pipeline, "pipeline.name")):
        _check_name(verb, name, given, example)
    return Interest(types=None if types is None else _names_of(verb, types), run=run, pipeline=pipeline)


def _check_name(verb: str, name: str, given: object, example: str) -> None:
    if given is not None and not (isinstance(given, str) and given):
        raise DefinitionError(
            f"{verb}({name}={given!r}) names no {name}; give a text such as {example}, or leave it out"
        )


def _names_of(verb: str, types: Any) -> frozenset[str]:
    if isinstance(types, str | type):
        name = repr(types) if isinstance(types, str) else types.__name__
        raise DefinitionError(f"{verb}(types={name}): several kinds are expected; write types=[{name}]")
    return frozenset(_name_of(verb, kind) for kind in types)


def _name_of(verb: str, kind: object) -> str:
    if kind is CustomEvent:
        return Emitted.wire_name
    name = kind if isinstance(kind, str) else getattr(kind, "wire_name", None)
    if not isinstance(name, str):
        raise DefinitionError(
            f"{verb}(types=[{getattr(kind, '__name__', repr(kind))}]) names no kind of event; give its class or its "
            "wire name, or leave types out to hear all"
        )
    return name
