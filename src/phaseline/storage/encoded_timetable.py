"""Schedules whose inputs are stored as a codec writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec.structs import asdict, replace

from phaseline.errors import CodecError
from phaseline.storage.encoded_texts import Texts
from phaseline.timetable import DueSchedules, Firing, ScheduleRecord, Timetable, UnreadableSchedule
from phaseline.unit_of_work import Outcome


class EncodedTimetable(Timetable):
    """Keeps the inputs of schedules encoded."""

    def __init__(self, timetable: Timetable, texts: Texts) -> None:
        self._inner: Timetable = timetable
        self._texts: Texts = texts

    def get(self, namespace: str, name: str) -> ScheduleRecord | None:
        found = self._inner.get(namespace, name)
        return None if found is None else self._read(found)

    def all(self, namespace: str) -> Sequence[ScheduleRecord]:
        return [self._read(found) for found in self._inner.all(namespace)]

    def put(self, schedule: ScheduleRecord, expected: int) -> bool:
        if isinstance(schedule, UnreadableSchedule):
            return self._inner.put(schedule.stored, expected)
        return self._inner.put(self._with(schedule, self._texts.coded), expected)

    def delete(self, namespace: str, name: str) -> bool:
        return self._inner.delete(namespace, name)

    def due(self, namespace: str, now: datetime | None, after: str, limit: int) -> DueSchedules:
        found = self._inner.due(namespace, now, after, limit)
        readable: list[ScheduleRecord] = []
        unreadable = dict(found.unreadable)
        for each in found.schedules:
            try:
                readable.append(self._with(each, self._texts.plain))
            except CodecError as error:  # as with runs: the others begin
                unreadable[each.name] = str(error)
        return DueSchedules(readable, found.next_at, unreadable)

    def fire(self, firings: Sequence[Firing]) -> Sequence[Outcome]:
        return self._inner.fire(
            [
                Firing(
                    self._with(schedule, self._texts.coded),
                    expected,
                    None if unit is None else self._texts.written(unit),
                )
                for schedule, expected, unit in firings
            ]
        )

    def _read(self, schedule: ScheduleRecord) -> ScheduleRecord:
        try:
            return self._with(schedule, self._texts.plain)
        except CodecError as error:  # the others are to be told of, and this one can be changed
            return UnreadableSchedule(**asdict(schedule), error=error)

    def _with(self, schedule: ScheduleRecord, change: Callable[[str], str]) -> ScheduleRecord:
        return schedule if schedule.input is None else replace(schedule, input=change(schedule.input))
