"""Schedules in this process's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from phaseline.timetable import DueSchedules, Firing, ScheduleRecord, Timetable
from phaseline.unit_of_work import Outcome, Unit


class MemoryTimetable(Timetable):
    """Holds schedules in a dictionary."""

    def __init__(self, write: Callable[[Unit], Outcome], now: Callable[[], datetime]) -> None:
        self._write, self._now = write, now
        self._schedules: dict[tuple[str, str], ScheduleRecord] = {}

    def get(self, namespace: str, name: str) -> ScheduleRecord | None:
        return self._schedules.get((namespace, name))

    def all(self, namespace: str) -> Sequence[ScheduleRecord]:
        return [schedule for (of, _), schedule in sorted(self._schedules.items()) if of == namespace]

    def put(self, schedule: ScheduleRecord, expected: int) -> bool:
        if not self._is_at(schedule, expected):
            return False
        self._schedules[schedule.namespace, schedule.name] = schedule
        return True

    def delete(self, namespace: str, name: str) -> bool:
        return self._schedules.pop((namespace, name), None) is not None

    def due(self, namespace: str, now: datetime | None, after: str, limit: int) -> DueSchedules:
        moment = now or self._now()
        awaited = [(s.next_at, s) for s in self.all(namespace) if s.next_at is not None]
        found = [schedule for due_at, schedule in awaited if due_at <= moment and schedule.name > after]
        return DueSchedules(
            found[:limit], min((due_at for due_at, _ in awaited if due_at > moment), default=None)
        )

    def fire(self, firings: Sequence[Firing]) -> Sequence[Outcome]:
        return [self._fire(*firing) for firing in firings]

    def _fire(self, schedule: ScheduleRecord, expected: int, unit: Unit | None) -> Outcome:
        if not self._is_at(schedule, expected):
            return Outcome.STALE
        outcome = Outcome.COMMITTED if unit is None else self._write(unit)
        if outcome is Outcome.COMMITTED:
            self._schedules[schedule.namespace, schedule.name] = schedule
        return outcome

    def _is_at(self, schedule: ScheduleRecord, expected: int) -> bool:
        known = self._schedules.get((schedule.namespace, schedule.name))
        if known is None or not expected:
            return known is None and not expected
        return (known.revision, known.created_at) == (expected, schedule.created_at)
