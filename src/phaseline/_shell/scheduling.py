"""Schedules that are due are fired: every process that serves looks, and the storage lets one of them have each slot."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from phaseline._definition.plan import Plan
from phaseline._shell.background import survived
from phaseline._shell.runner import Runner
from phaseline._shell.starting import StartOptions, prepared
from phaseline._shell.traced import starting
from phaseline.abc import Storage
from phaseline.errors import PhaselineError, StorageError
from phaseline.finding import RunFilter
from phaseline.loops import new_event
from phaseline.marks import attribute_mark
from phaseline.slots import ZONE_ERRORS, unknown_zone, zone_of
from phaseline.timetable import (
    Fate,
    ScheduleRecord,
    Turn,
    fate_of,
    key_of,
    slot_text,
    turn_of,
)
from phaseline.units import Outcome

log: Final = logging.getLogger("phaseline.schedules")

PAGE: Final = 100
BURST: Final = 100
"""Slots of one schedule that are fired before others get their turn."""
PAUSE: Final = timedelta(minutes=1)
"""How long one that cannot be decided is left alone, unless it is changed."""


class Scheduler:
    """Fires schedules in this process, for as long as its runtime is open."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._wake = new_event()
        self._is_behind = False
        """Whether the last look failed, or left for later what is due."""
        self._left_alone: set[str] = set()
        """Names of schedules of which was told that they cannot be fired here."""
        self._undecided: dict[str, tuple[ScheduleRecord, datetime]] = {}
        """Schedules that could not be decided, as they were then, and when they are looked at again."""

    def wake(self) -> None:
        """Look soon, since a schedule was changed; on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Look at each slot, and as often as the sweep where others change schedules too, or something waits."""
        runner = self._runner
        runner.spawn(self._wake_for_ever)
        while not runner.draining:
            self._wake, self._is_behind = new_event(), True
            moment: datetime | None = None
            with survived(log, "schedules cannot be fired now, and are later"):
                moment, self._is_behind = await self._look()
            timer = None if moment is None else runner.timers.at(moment, self.wake)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    async def _wake_for_ever(self) -> None:
        while True:
            await self._runner.clock.rest(self._runner.options.sweep_interval)
            if self._runner.storage.shared or self._is_behind:
                self.wake()

    async def _look(self) -> tuple[datetime | None, bool]:
        """Fire what is due; gives when the next slot comes, and whether something that has come is left for later."""
        runner, after, is_behind = self._runner, "", False
        timetable, namespace = runner.storage.timetable, runner.options.namespace
        while True:
            due = await runner.read(partial(timetable.due, namespace, runner.clock.sql_now(), after, PAGE))
            next_at = due.next_at
            for name, why in due.unreadable.items():
                self._leave_alone(name, why)
                is_behind = True
            for schedule in due.schedules:
                last = None if self._is_undecided(schedule) else await self._fire_in_turn(schedule)
                is_behind = is_behind or last is None
                if last is not None and last.next_at is not None:
                    next_at = last.next_at if next_at is None else min(next_at, last.next_at)
            names = [*(schedule.name for schedule in due.schedules), *due.unreadable]
            if len(names) < PAGE:
                return next_at, is_behind
            after = max(names)

    async def _fire_in_turn(self, schedule: ScheduleRecord) -> ScheduleRecord | None:
        """Fire the slots of a schedule that have come; gives it as it is then, None if it is to be looked at again."""
        runner, plan = self._runner, plan_of(self._runner, schedule)
        if plan is None:
            which = f"pipeline {schedule.pipeline!r}, version {schedule.version!r}, is not registered"
            self._leave_alone(schedule.name, which)
            return None
        for _ in range(BURST):
            turn = await runner.read(partial(_turn_of, runner.storage, schedule, runner.clock.now()))
            if isinstance(turn, str):
                self._leave_alone(schedule.name, turn)
                self._undecided[schedule.name] = schedule, runner.clock.now() + PAUSE
                return None
            if runner.draining or turn is None:
                return None
            fired = await self._fire(schedule, plan, turn)
            if fired is None or fired.next_at is None or fired.next_at > runner.clock.now():
                return fired
            schedule = fired
        return None

    def _is_undecided(self, schedule: ScheduleRecord) -> bool:
        before, until = self._undecided.get(schedule.name, (None, schedule.updated_at))
        return before == schedule and self._runner.clock.now() < until

    async def _fire(self, schedule: ScheduleRecord, plan: Plan, turn: Turn) -> ScheduleRecord | None:
        """Fire the slot whose turn it is, or let it go; gives the schedule as stored, None if it was changed meanwhile."""
        runner = self._runner
        timetable, slot, made = runner.storage.timetable, turn.slot, None
        try:
            if slot is not None:
                value = input_of(plan, schedule, slot)
                with starting(runner, plan.name) as span:
                    made = prepared(runner, plan, value, options_of(schedule, slot))
                    if span is not None:
                        span.tell(run_id=made[0].id)
        except PhaselineError as error:
            log.error("schedule %r: its run of %s cannot begin: %s", schedule.name, slot, error)  # noqa: TRY400  # the error says it all
        moved = msgspec.structs.replace(
            schedule, revision=schedule.revision + 1, next_at=turn.next_at,
            last_slot=schedule.last_slot if made is None else slot, updated_at=runner.clock.now(),
        )  # fmt: skip
        fire = partial(timetable.fire, moved, schedule.revision)
        outcome = await runner.write(partial(fire, None if made is None else made[2]))
        if outcome is Outcome.DUPLICATE:  # it was filled in before
            outcome, made = await runner.write(partial(fire, None)), None
        if outcome is Outcome.STALE:
            return None
        if made is not None:
            runner.committed(made[0], made[1])
        return moved

    def _leave_alone(self, name: str, why: str) -> None:
        if name not in self._left_alone:
            self._left_alone.add(name)
            log.warning("schedule %r is due, and left to other processes: %s", name, why)


def _turn_of(storage: Storage, schedule: ScheduleRecord, now: datetime) -> Turn | str | None:
    """Decide what is due of a schedule: its turn, None if it waits, or why that cannot be told here.

    In a thread: it asks the storage, reads the files of time zones, and a rare slot takes a while to be found.
    """
    try:
        zone_of(schedule.zone)
    except ZONE_ERRORS:
        return unknown_zone(schedule.zone)
    try:
        fate = _fate_of(storage, schedule)
        if fate == "waits":
            return None
        turn = turn_of(schedule, now)
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, and another version may have stored it: the others are to be fired
        return f"its slots cannot be told: {error!r}"
    return turn._replace(slot=None) if fate == "is let go" else turn


def goes_on(storage: Storage, schedule: ScheduleRecord) -> bool:
    """Whether a run of a schedule has not ended."""
    wanted = RunFilter(marks=_marks_of(schedule), ended=False)
    return bool(storage.find(schedule.namespace, wanted, limit=1))


def _went_on(storage: Storage, schedule: ScheduleRecord, moment: datetime) -> bool:
    """Whether the run of a schedule that was begun last before a moment had not ended then."""
    wanted = RunFilter(marks=_marks_of(schedule), until=moment)
    before = storage.find(schedule.namespace, wanted, limit=1, newest_first=True)
    return any(run.ended_at is None or run.ended_at > moment for run in before)


def _fate_of(storage: Storage, schedule: ScheduleRecord) -> Fate:
    """Read what the fate of a slot depends on, as far as it does."""
    slot, catches_up = schedule.next_at, schedule.overlap == "skip" and schedule.catch_up == "all"
    then = slot is not None and catches_up and _went_on(storage, schedule, slot)
    now = schedule.overlap != "allow" and not then and goes_on(storage, schedule)
    return fate_of(schedule, goes_on=now, went_on=then)


def _marks_of(schedule: ScheduleRecord) -> tuple[str, ...]:
    return (attribute_mark("schedule", schedule.name),)


def plan_of(runner: Runner, schedule: ScheduleRecord) -> Plan | None:
    """The pipeline of a schedule, if this process has it."""
    wanted = (schedule.pipeline, schedule.version)
    return next((plan for plan in runner.plans.values() if (plan.name, plan.version) == wanted), None)


def input_of(plan: Plan, schedule: ScheduleRecord, slot: datetime) -> Any:
    """The input of a run.

    Raises:
        DecodeError: What is stored is not of the pipeline's type any more.
    """
    return (
        slot.astimezone(zone_of(schedule.zone))
        if schedule.input is None
        else plan.input.decode(schedule.input)
    )


def options_of(schedule: ScheduleRecord, slot: datetime | None) -> StartOptions:
    """How a run begins; one that is of no slot has no key."""
    marks = [*schedule.marks, attribute_mark("schedule", schedule.name)]
    if slot is not None:
        marks.append(attribute_mark("slot", slot_text(slot)))
    key = None if slot is None else key_of(schedule.name, slot)
    return StartOptions(priority=schedule.priority, key=key, marks=tuple(sorted(marks)))
