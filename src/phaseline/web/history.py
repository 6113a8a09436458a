"""The events of a run, forward and back, and those of some kinds or phases alone: never all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from phaseline.events import Event
from phaseline.views import EventsView, EventView
from phaseline.web.calls import Call
from phaseline.wire import to_wire

STRIDE: Final = 500
"""Events that are read at once where some are looked for."""
MOST_READ: Final = 5_000
"""Events that are read for one answer; it says where to go on."""


async def list_events(call: Call) -> EventsView:
    """List the stored events of a run, page by page, forward or back; all, or those of some kinds or of a phase."""
    back = call.query.before is not None
    found, more = await (_backward(call) if back else _forward(call))
    return EventsView(
        events=tuple(EventView.model_validate(to_wire(event)) for event in found),
        next=None if back else more, previous=more if back else None,
    )  # fmt: skip


def _wanted(call: Call) -> Callable[[Event], bool]:
    kinds, phase = frozenset(call.query.type), call.query.phase
    inside = None if phase is None else (f"{phase}/", f"{phase}[")
    return lambda event: (
        (not kinds or event.type in kinds)
        and (inside is None or event.phase == phase or (event.phase or "").startswith(inside))
    )


async def _read(call: Call, after: int, limit: int) -> Sequence[Event]:
    runner = call.runtime.runner
    found: Sequence[Event] = await runner.read(
        partial(runner.storage.events, runner.options.namespace, call.run.id, after, limit)
    )
    return found


async def _forward(call: Call) -> tuple[list[Event], int | None]:
    asked, wanted = call.query, _wanted(call)
    limit: int = asked.limit
    size = STRIDE if asked.type or asked.phase else limit + 1
    after: int = asked.after
    found: list[Event] = []
    for _ in range(MOST_READ // STRIDE):
        page = await _read(call, after, size)
        found += filter(wanted, page)
        if len(found) > limit:
            return found[:limit], found[limit - 1].seq
        if len(page) < size:
            return found, None
        after = page[-1].seq or after
    return found, after


async def _backward(call: Call) -> tuple[list[Event], int | None]:
    asked, wanted = call.query, _wanted(call)
    record = await call.runtime.runner.record_of(call.run.id)
    limit: int = asked.limit
    size = STRIDE if asked.type or asked.phase else limit
    before = min(asked.before, record.seq + 1)
    found: list[Event] = []
    for _ in range(MOST_READ // STRIDE):
        after = max(0, before - 1 - size)
        page = await _read(call, after, before - 1 - after) if before > 1 else ()
        found = [*filter(wanted, page), *found]
        if len(found) > limit:
            return found[-limit:], found[-limit].seq
        before = after + 1
        if before <= 1:
            return found, None
        if len(found) == limit:
            break
    return found, before
