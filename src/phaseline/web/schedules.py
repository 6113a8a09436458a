"""Schedules over the network."""

from __future__ import annotations

import logging
from typing import Final

from phaseline.errors import ScheduleError
from phaseline.schedules import Schedules
from phaseline.views import SchedulesView, ScheduleView, SlotsView, StateView
from phaseline.web.access import Action
from phaseline.web.calls import Call

log: Final = logging.getLogger("phaseline.web")


async def list_schedules(call: Call) -> SchedulesView:
    """List all schedules."""
    return SchedulesView(schedules=tuple(map(ScheduleView.of, await _readable(call).list())))


async def show_schedule(call: Call) -> ScheduleView:
    """Show a schedule."""
    return ScheduleView.of(await _readable(call).get(call.name))


async def list_slots(call: Call) -> SlotsView:
    """List the next slots of a schedule; of a paused one those that there would be."""
    return SlotsView(slots=tuple(await _readable(call).upcoming(call.name, limit=call.query.limit)))


async def put_schedule(call: Call) -> ScheduleView:
    """Store a schedule, or change the one of this name.

    Raises:
        ScheduleError: It cannot work.
    """
    asked = call.body
    if (asked.cron is None) is (asked.every_seconds is None):
        # Said in the words of the body; the Python call has others.
        raise ScheduleError(
            call.name, 'say one of the two, "cron", as "0 6 * * *", or "every_seconds", as 3600'
        )
    stored = await _changeable(call).put(
        call.name, call.pipeline(asked.pipeline, asked.version), input=asked.input, cron=asked.cron, every=asked.every,
        tz=asked.tz, overlap=asked.overlap, catch_up=asked.catch_up, priority=asked.priority, tags=asked.tags,
        attributes={**asked.attributes, **call.access.attributes},
    )  # fmt: skip
    _note(call, "stored")
    return ScheduleView.of(stored)


async def pause_schedule(call: Call) -> ScheduleView:
    """Have a schedule begin nothing more until it is resumed."""
    paused = await _changeable(call).pause(call.name)
    _note(call, "paused")
    return ScheduleView.of(paused)


async def resume_schedule(call: Call) -> ScheduleView:
    """Have a schedule go on with its next slot."""
    resumed = await _changeable(call).resume(call.name)
    _note(call, "resumed")
    return ScheduleView.of(resumed)


async def trigger_schedule(call: Call) -> StateView:
    """Begin a run of a schedule now."""
    handle = await _changeable(call).trigger(call.name)
    _note(call, "triggered")
    return await call.state(handle.id)


async def delete_schedule(call: Call) -> None:
    """Delete a schedule; its runs stay."""
    await _changeable(call).delete(call.name)
    _note(call, "deleted")


def _readable(call: Call) -> Schedules:
    return call.visitor.schedules(Action.READ)


def _changeable(call: Call) -> Schedules:
    return call.visitor.schedules(Action.SCHEDULE)


def _note(call: Call, what: str) -> None:
    """Schedules have no history of their own: the log says who changed one."""
    log.info("schedule %a was %s by %a", call.name, what, call.access.actor)
