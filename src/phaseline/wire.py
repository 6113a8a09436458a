"""Events as JSON, in one form wherever they leave the process: for browsers, for services, for other workers.

Each is an object of eight members, all of which are always there::

    {
      "type": "PHASE_COMPLETED",
      "run_id": "1j1bpti4l334vq0sg87ck0",
      "pipeline": "prepare_task",
      "seq": 7,
      "at": "2026-11-28T19:00:00.123456Z",
      "phase": "enrich[3]",
      "transition": {"from": "DECOMPOSING", "to": "ENRICHING"},
      "data": {"attempt": 1}
    }

``seq`` is null for what is told live and never stored, ``phase`` where it is about the whole run, ``transition`` where the
state stays as it is. ``data`` has what the kind of event adds, and of an application's own event what that put into it.
Members may be added: whoever reads them ignores those that he does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from phaseline.errors import WireError
from phaseline.events import Emitted, Event, Transition, rebuilt


class _Move(msgspec.Struct, frozen=True, gc=False, rename={"source": "from", "target": "to"}):
    source: str
    target: str


class _Written(msgspec.Struct, frozen=True, gc=False):
    """An event as it is written."""

    type: str
    run_id: str
    pipeline: str
    seq: int | None
    at: datetime
    phase: str | None
    transition: _Move | None
    data: dict[str, Any]


def to_wire(event: Event, *, tracebacks: bool = False) -> dict[str, Any]:
    """Write an event as plain JSON data.

    Args:
        event: The event.
        tracebacks: Whether errors have their tracebacks, where these are stored: they may carry secrets.
    """
    data: dict[str, Any] = msgspec.to_builtins(_written(event, tracebacks=tracebacks))
    return data


def to_json(event: Event, *, tracebacks: bool = False) -> str:
    """Write an event as the text of a JSON object on one line; see ``to_wire``."""
    return msgspec.json.encode(_written(event, tracebacks=tracebacks)).decode()


def all_to_json(events: Iterable[Event]) -> bytes:
    """Write events, with their tracebacks, as the text of a JSON array: for other processes of the application."""
    return msgspec.json.encode([_written(event, tracebacks=True) for event in events])


def all_from_json(text: str | bytes) -> list[Event]:
    """Read what ``all_to_json`` wrote, maybe in another version of phaseline.

    Raises:
        WireError: They are no events.
    """
    try:
        written = msgspec.json.decode(text, type=list[_Written])
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error
    return [_event(read) for read in written]


def from_json(text: str | bytes) -> Event:
    """Read an event of what ``to_json`` wrote, maybe in another version of phaseline.

    Raises:
        WireError: It is no event.
    """
    try:
        written = msgspec.json.decode(text, type=_Written)
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error
    return _event(written)


def _event(read: _Written) -> Event:
    """Give the event that was written.

    Raises:
        WireError: The data are not those of its kind.
    """
    try:
        if read.at.tzinfo is None:
            raise WireError("its time has no zone")
        move = None if read.transition is None else Transition(read.transition.source, read.transition.target)
        return rebuilt(
            read.type, read.data, run_id=read.run_id, pipeline=read.pipeline, seq=read.seq, at=read.at,
            phase=read.phase, transition=move,
        )  # fmt: skip
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error


def without_traceback(event: Event) -> dict[str, Any]:
    """Give the data of an event, but not the traceback of its error."""
    data = event.data
    if "error" in data and not isinstance(event, Emitted):
        data["error"] = {name: value for name, value in data["error"].items() if name != "traceback"}
    return data


def _written(event: Event, *, tracebacks: bool) -> _Written:
    move = event.transition
    return _Written(
        event.type, event.run_id, event.pipeline, event.seq, event.at, event.phase,
        None if move is None else _Move(move.source, move.target),
        event.data if tracebacks else without_traceback(event),
    )  # fmt: skip
