"""Schedules that are due are fired: every process that serves looks, and the storage lets one of them have each slot."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
from anyio.lowlevel import checkpoint

from phaseline._definition.plan import Plan
from phaseline._engine.draft import Draft
from phaseline._shell.background import survived
from phaseline._shell.live import LiveRun
from phaseline._shell.runner import Runner
from phaseline._shell.starting import StartOptions, prepared
from phaseline._shell.tracing import starting
from phaseline.abc import Storage
from phaseline.errors import PhaselineError, StorageError, StorageUnavailableError
from phaseline.event_loop import new_event
from phaseline.run_filter import RunFilter
from phaseline.schedule_rule import ZONE_ERRORS, unknown_zone, zone_of
from phaseline.tags import attribute_mark
from phaseline.timetable import (
    DueSchedules,
    Fate,
    Firing,
    ScheduleRecord,
    Timetable,
    Turn,
    UnreadableSchedule,
    fate_of,
    is_missed,
    key_of,
    slot_text,
    turn_of,
)
from phaseline.unit_of_work import Outcome, Unit

log: Final = logging.getLogger("phaseline.schedules")

PAGE: Final = 1_000
"""Schedules that are read at once."""
BATCH: Final = 100
"""Those of them that are fired in one transaction."""
ROUNDS: Final = 100
"""Slots of one schedule that are fired before what they began gets some time."""
PAUSE: Final = timedelta(minutes=1)
"""How long one that cannot be decided is left alone, unless it is changed."""


class Scheduler:
    """Fires schedules in this process, for as long as its runtime is open."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._since = runner.clock.now()
        """Since when this process serves."""
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
            if self._runner.storage.shared or self._runner.shares_memory or self._is_behind:
                self.wake()

    async def _look(self) -> tuple[datetime | None, bool]:
        """Fire what is due; gives when the next slot comes, and whether something that has come is left for later.

        Schedules take turns: in each round one slot of each is fired, so that nobody waits for the backlog of another.
        """
        runner = self._runner
        timetable, namespace = runner.storage.timetable, runner.options.namespace
        found = await runner.read(partial(_all_due, timetable, namespace, runner.clock.sql_now()))
        self._forget_all_but({*found.unreadable, *(schedule.name for schedule in found.schedules)})
        for name, why in found.unreadable.items():
            self._leave_alone(name, why)
        due: list[ScheduleRecord] = self._in_turn(found.schedules)
        next_at = found.next_at
        is_behind = len(due) < len(found.schedules) + len(found.unreadable)
        for _ in range(ROUNDS):
            fired = await self._round(due)
            is_behind, now = is_behind or len(fired) < len(due), runner.clock.now()
            ahead = [] if next_at is None else [next_at]
            due = []
            for schedule in fired:
                if schedule.next_at is not None and schedule.next_at <= now:
                    due.append(schedule)
                elif schedule.next_at is not None:
                    ahead.append(schedule.next_at)
            next_at = min(ahead, default=None)
            others_are_due = next_at is not None and next_at <= now
            if not due or others_are_due or self._wake.is_set() or runner.draining:
                break
        return next_at, is_behind or bool(due)

    def _forget_all_but(self, due: AbstractSet[str]) -> None:
        """Let go of what was noted of schedules that are not due any more, or are gone."""
        self._left_alone &= due
        self._undecided = {name: noted for name, noted in self._undecided.items() if name in due}

    def _in_turn(self, found: Sequence[ScheduleRecord]) -> list[ScheduleRecord]:
        """Give those that can be fired here, what is due for longest first."""
        due = sorted((schedule for schedule in found if self._can_fire(schedule)), key=_due_since)
        if len(due) > BATCH and self._runner.storage.shared:
            # Others have found the same at the same moment: each begins elsewhere, so that they do not all write the same.
            first = random.randrange(len(due))  # noqa: S311  # no secret
            due = due[first:] + due[:first]
        return due

    def _can_fire(self, schedule: ScheduleRecord) -> bool:
        if plan_of(self._runner, schedule) is None:
            which = f"pipeline {schedule.pipeline!r}, version {schedule.version!r}, is not registered"
            self._leave_alone(schedule.name, which)
            return False
        undecided = self._undecided.get(schedule.name)
        if undecided is None:
            return True
        before, until = undecided
        return before != schedule or self._runner.clock.now() >= until

    async def _round(self, due: Sequence[ScheduleRecord]) -> list[ScheduleRecord]:
        """Fire one slot of each; gives those of which one was, as they are then."""
        fired: list[ScheduleRecord] = []
        for first in range(0, len(due), BATCH):
            if self._runner.draining:
                break
            await checkpoint()  # a storage that never waits must not keep the loop to itself
            moved, is_overtaken = await self._fire(due[first : first + BATCH])
            fired += moved
            if is_overtaken:
                self.wake()  # others fire the same: what they leave is read anew
                break
        return fired

    async def _fire(self, batch: Sequence[ScheduleRecord]) -> tuple[list[ScheduleRecord], bool]:
        """Fire a slot of each, or let it go, in one transaction; gives those that moved on, and whether others were before us."""
        runner = self._runner
        turns = await runner.read(partial(_turns_of, runner.storage, batch, runner.clock.now(), self._since))
        made: dict[str, tuple[LiveRun, Draft]] = {}
        late: dict[str, ScheduleRecord] = {}
        firings: list[Firing] = []
        for schedule, turn in zip(batch, turns, strict=True):
            if isinstance(turn, str):
                self._leave_alone(schedule.name, turn)
                self._leave_undecided([schedule])
            elif turn is not None:
                if turn.is_late:
                    late[schedule.name] = schedule
                begun = self._prepared(schedule, turn.slot)
                if begun is not None:
                    made[schedule.name] = begun[:2]
                moved = msgspec.structs.replace(
                    schedule, revision=schedule.revision + 1, next_at=turn.next_at,
                    last_slot=schedule.last_slot if begun is None else turn.slot, updated_at=runner.clock.now(),
                )  # fmt: skip
                firings.append(Firing(moved, schedule.revision, None if begun is None else begun[2]))
        outcomes = await self._write(firings)
        refused = {firing.schedule.name for firing in firings} - {
            firing.schedule.name for firing, _ in outcomes
        }
        self._leave_undecided(schedule for schedule in batch if schedule.name in refused)
        filled_in = [firing for firing, outcome in outcomes if outcome is Outcome.DUPLICATE]
        outcomes += await self._write([firing._replace(unit=None) for firing in filled_in])
        fired = [firing for firing, outcome in outcomes if outcome is Outcome.COMMITTED]
        for firing in fired:
            if firing.unit is not None:
                runner.committed(*made[firing.schedule.name])
            self._left_alone.discard(firing.schedule.name)
            self._undecided.pop(firing.schedule.name, None)
            if firing.schedule.name in late:
                self._tell_late(late[firing.schedule.name])
        is_overtaken = not fired and any(outcome is Outcome.STALE for _, outcome in outcomes)
        return [firing.schedule for firing in fired], is_overtaken

    async def _write(self, firings: Sequence[Firing]) -> list[tuple[Firing, Outcome]]:
        if not firings:
            return []
        try:
            outcomes = await self._runner.write(partial(self._runner.storage.timetable.fire, firings))
        except StorageUnavailableError:
            raise
        except (
            Exception
        ) as error:  # it may be one of them that cannot be written, or encoded: the others are to be fired
            if len(firings) > 1:
                return [each for firing in firings for each in await self._write([firing])]
            self._leave_alone(firings[0].schedule.name, f"it cannot be stored: {error}")
            log.debug("schedule %r cannot be stored", firings[0].schedule.name, exc_info=True)
            return []
        return list(zip(firings, outcomes, strict=True))

    def _prepared(
        self, schedule: ScheduleRecord, slot: datetime | None
    ) -> tuple[LiveRun, Draft, Unit] | None:
        """Make the run of a slot; None if it is let go, or has to be."""
        if slot is None:
            return None
        plan = plan_of(self._runner, schedule)
        assert plan is not None  # noqa: S101  # else it is not fired here
        try:
            value = input_of(plan, schedule, slot)
            with starting(self._runner, plan.name) as span:
                made = prepared(self._runner, plan, value, options_of(schedule, slot))
                if span is not None:
                    span.tell(run_id=made[0].id)
        except PhaselineError as error:
            log.error("schedule %r: its run of %s cannot begin: %s", schedule.name, slot, error)  # noqa: TRY400  # the error says it all
        except Exception:  # whatever it is, the others are to be fired
            log.exception("schedule %r: its run of %s cannot begin", schedule.name, slot)
        else:
            return made
        return None

    def _tell_late(self, schedule: ScheduleRecord) -> None:
        # Where nobody served, or the end of a run was awaited, it is what the schedule asks for.
        was_served = schedule.overlap != "queue" and _due_since(schedule)[0] >= self._since
        level = logging.WARNING if was_served else logging.INFO
        text = "schedule %r: slots from %s on could not be fired in time, and are let go, by catch_up=%r"
        log.log(level, text, schedule.name, schedule.next_at, schedule.catch_up)

    def _leave_undecided(self, schedules: Iterable[ScheduleRecord]) -> None:
        for schedule in schedules:
            self._undecided[schedule.name] = schedule, self._runner.clock.now() + PAUSE

    def _leave_alone(self, name: str, why: str) -> None:
        if name not in self._left_alone:
            self._left_alone.add(name)
            log.warning("schedule %r is due, and left to other processes: %s", name, why)


def _due_since(schedule: ScheduleRecord) -> tuple[datetime, str]:
    assert schedule.next_at is not None  # noqa: S101  # else it would not be due
    return schedule.next_at, schedule.name


def _all_due(timetable: Timetable, namespace: str, now: datetime | None) -> DueSchedules:
    """Read all that is due, a page at a time."""
    schedules: list[ScheduleRecord] = []
    unreadable: dict[str, str] = {}
    next_at: datetime | None = None
    after = ""
    while True:
        page = timetable.due(namespace, now, after, PAGE)
        schedules += page.schedules
        unreadable.update(page.unreadable)
        next_at = next_at or page.next_at  # the earliest: the storage's time goes on from page to page
        names = [*(schedule.name for schedule in page.schedules), *page.unreadable]
        if len(names) < PAGE:
            return DueSchedules(schedules, next_at, unreadable)
        after = max(names)


def _turns_of(
    storage: Storage, schedules: Sequence[ScheduleRecord], now: datetime, since: datetime
) -> list[Turn | str | None]:
    """Decide what is due of schedules: the turn of each, None if it waits, or why that cannot be told here.

    In a thread: it asks the storage, reads the files of time zones, and a rare slot takes a while to be found.
    """
    return [_turn_of(storage, schedule, now, since) for schedule in schedules]


def _turn_of(storage: Storage, schedule: ScheduleRecord, now: datetime, since: datetime) -> Turn | str | None:
    try:
        zone_of(schedule.zone)
    except ZONE_ERRORS:
        return unknown_zone(schedule.zone)
    try:
        fate = _fate_of(storage, schedule, missed=is_missed(schedule, now, since))
        if fate == "waits":
            return None
        turn = turn_of(schedule, now, since)
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, and another version may have stored it: the others are to be fired
        return f"its slots cannot be told: {error!r}"
    return turn._replace(slot=None, is_late=False) if fate == "is let go" else turn


def goes_on(storage: Storage, schedule: ScheduleRecord) -> bool:
    """Whether a run of a schedule has not ended."""
    wanted = RunFilter(marks=_marks_of(schedule), ended=False)
    return bool(storage.find(schedule.namespace, wanted, limit=1))


def _went_on(storage: Storage, schedule: ScheduleRecord, moment: datetime) -> bool:
    """Whether the run of a schedule that was begun last before a moment had not ended then."""
    wanted = RunFilter(marks=_marks_of(schedule), until=moment)
    before = storage.find(schedule.namespace, wanted, limit=1, newest_first=True)
    return any(run.ended_at is None or run.ended_at > moment for run in before)


def _fate_of(storage: Storage, schedule: ScheduleRecord, *, missed: bool) -> Fate:
    """Read what the fate of a slot depends on, as far as it does."""
    slot, now = schedule.next_at, schedule.overlap != "allow" and goes_on(storage, schedule)
    asks_then = schedule.overlap == "skip" and (schedule.catch_up == "all" or (now and not missed))
    then = slot is not None and asks_then and _went_on(storage, schedule, slot)
    return fate_of(schedule, goes_on=now, went_on=then, missed=missed)


def _marks_of(schedule: ScheduleRecord) -> tuple[str, ...]:
    return (attribute_mark("schedule", schedule.name),)


def plan_of(runner: Runner, schedule: ScheduleRecord) -> Plan | None:
    """The pipeline of a schedule, if this process has it."""
    wanted = (schedule.pipeline, schedule.version)
    return next((plan for plan in runner.plans.values() if (plan.name, plan.version) == wanted), None)


def input_of(plan: Plan, schedule: ScheduleRecord, slot: datetime) -> Any:
    """The input of a run.

    Raises:
        CodecError: What is stored cannot be read, or is not of the pipeline's type any more.
    """
    if isinstance(schedule, UnreadableSchedule):
        raise schedule.error
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
