"""Schedules in a table, and the runs that begin with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy.exc import IntegrityError

from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.batch import gather
from phaseline.storage.sql.dialect import Conflict, LockedError, Oversized
from phaseline.timetable import DueSchedules, Firing, ScheduleRecord, Timetable
from phaseline.unit_of_work import Outcome

T = TypeVar("T")

COLUMNS = ScheduleRecord.__struct_fields__
_NAMES = ", ".join(COLUMNS)
_MARKS = ", ".join("?" * len(COLUMNS))
_TIMES = ("next_at", "last_slot", "created_at", "updated_at")
_CHANGES = ", ".join(f"{name} = ?" for name in COLUMNS)


class SqlTimetable(Timetable):
    """Schedules in the tables of a database."""

    def __init__(
        self,
        write: Callable[[Callable[[Access], Any]], Any],
        read: Callable[[], AbstractContextManager[Access]],
    ) -> None:
        self._write, self._read = write, read
        """Do work in one transaction that writes; open a connection that reads."""

    def get(self, namespace: str, name: str) -> ScheduleRecord | None:
        with self._read() as ask:
            row = ask.first(
                f"SELECT {_NAMES} FROM phaseline_schedule WHERE namespace = ? AND name = ?",  # noqa: S608  # names of ours
                (namespace, name),
            )
        return None if row is None else _schedule_from(row)

    def all(self, namespace: str) -> Sequence[ScheduleRecord]:
        with self._read() as ask:
            found = ask(
                f"SELECT {_NAMES} FROM phaseline_schedule WHERE namespace = ? ORDER BY name",  # noqa: S608  # as above
                (namespace,),
            )
            return [_schedule_from(row) for row in found]

    def put(self, schedule: ScheduleRecord, expected: int) -> bool:
        stored: bool = self._write(partial(_store, schedule, expected))
        return stored

    def delete(self, namespace: str, name: str) -> bool:
        statement = "DELETE FROM phaseline_schedule WHERE namespace = ? AND name = ?"
        deleted: int = self._write(lambda ask: ask.changed(statement, (namespace, name)))
        return bool(deleted)

    def due(self, namespace: str, now: datetime | None, after: str, limit: int) -> DueSchedules:
        with self._read() as ask:
            moment = rows.micros(now)
            if moment is None:
                moment = int(ask.value(f"SELECT {ask.dialect.now}"))
            found = ask(
                f"SELECT {_NAMES} FROM phaseline_schedule WHERE namespace = ? AND next_at <= ? AND name > ? "  # noqa: S608  # as above
                "ORDER BY name LIMIT ?",
                (namespace, moment, after, limit),
            )
            schedules = [_schedule_from(row) for row in found]
            following = ask.value(
                "SELECT min(next_at) FROM phaseline_schedule WHERE namespace = ? AND next_at > ?",
                (namespace, moment),
            )
        return DueSchedules(schedules, rows.moment(following))

    def fire(self, firings: Sequence[Firing]) -> Sequence[Outcome]:
        try:
            return self._fire(firings)
        except LockedError:
            try:  # once more, without those that are locked: each by itself would be as long a wait again
                return self._fire(firings, passes_over=True)
            except LockedError:  # what all of them need
                return [Outcome.BLOCKED] * len(firings)
        except (Conflict, IntegrityError, Oversized):
            if len(firings) > 1:  # the others are none the worse for one of them
                return [outcome for firing in firings for outcome in self.fire([firing])]
            return [Outcome.DUPLICATE]  # a run that is new has no guard but its key

    def _fire(self, firings: Sequence[Firing], *, passes_over: bool = False) -> Sequence[Outcome]:
        outcomes: Sequence[Outcome] = self._write(partial(_store_all, firings, passes_over))
        return outcomes


def _store_all(
    firings: Sequence[Firing], passes_over: bool, ask: Access
) -> Sequence[Outcome]:  # bound by position
    """Store those that are as they were. Everybody locks them in the order of their names."""
    locked = _locked(firings, ask) if passes_over else frozenset[str]()
    free = [firing for firing in firings if firing.schedule.name not in locked]
    ordered = sorted(free, key=lambda firing: firing.schedule.name)
    stored = [firing for firing in ordered if _store(firing.schedule, firing.expected, ask)]
    units = [firing.unit for firing in stored if firing.unit is not None]
    if units:
        ask.write(gather(units))
    outcomes = dict.fromkeys(locked, Outcome.BLOCKED)
    outcomes.update((firing.schedule.name, Outcome.COMMITTED) for firing in stored)
    return [outcomes.get(firing.schedule.name, Outcome.STALE) for firing in firings]


def _locked(firings: Sequence[Firing], ask: Access) -> AbstractSet[str]:
    """Lock schedules, and give the names of those that somebody else holds."""
    listed, value = ask.dialect.among(firing.schedule.name for firing in firings)
    which = f"SELECT name FROM phaseline_schedule WHERE namespace = ? AND name {listed} ORDER BY name"  # noqa: S608  # names of ours
    values = (firings[0].schedule.namespace, value)
    ours = {name for (name,) in ask(f"{which}{ask.dialect.lock}", values)}
    return {name for (name,) in ask(which, values)} - ours


def _store(schedule: ScheduleRecord, expected: int, ask: Access) -> bool:
    values = _schedule_row(schedule)
    if expected:
        written = ask.changed(
            f"UPDATE phaseline_schedule SET {_CHANGES} "  # noqa: S608  # as above
            "WHERE namespace = ? AND name = ? AND revision = ? AND created_at = ?",
            (*values, schedule.namespace, schedule.name, expected, rows.micros(schedule.created_at)),
        )
    else:
        written = ask.changed(
            f"INSERT INTO phaseline_schedule ({_NAMES}) VALUES ({_MARKS}) ON CONFLICT DO NOTHING",  # noqa: S608  # as above
            values,
        )
    return written == 1


def _schedule_row(schedule: ScheduleRecord) -> tuple[Any, ...]:
    data = msgspec.structs.asdict(schedule)
    data["every"] = None if schedule.every is None else schedule.every // rows.MICROSECOND
    data["marks"] = "\n".join(schedule.marks)
    for name in _TIMES:
        data[name] = rows.micros(data[name])
    return tuple(data.values())


def _schedule_from(row: Sequence[Any]) -> ScheduleRecord:
    data = dict(zip(COLUMNS, row, strict=True))
    data["every"] = None if data["every"] is None else timedelta(microseconds=data["every"])
    data["marks"] = tuple(data["marks"].split("\n")) if data["marks"] else ()
    data["paused"] = bool(data["paused"])
    for name in _TIMES:
        data[name] = rows.moment(data[name])
    return ScheduleRecord(**data)
