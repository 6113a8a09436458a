"""Schedules as they are kept, what is decided of one that is due, and the port of where they are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

import attrs
import msgspec

from phaseline.errors import CodecError
from phaseline.schedule_rule import Rule
from phaseline.unit_of_work import Outcome, Unit

Overlap: TypeAlias = Literal["skip", "allow", "queue"]
"""What becomes of a slot while an earlier run of its schedule goes on: it is let go, fired all the same, or waits."""
CatchUp: TypeAlias = Literal["latest", "all", "none"]
"""Which of the slots are fired that nobody was there for."""

GRACE: Final = timedelta(minutes=1)
"""How late a slot may be for it to be none that was missed."""


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a schedule."""

    namespace: str
    """Namespace that it belongs to."""
    name: str
    """Name by which it is known."""
    pipeline: str
    """Name of the pipeline."""
    version: str
    """Version of the pipeline."""
    cron: str | None
    """Cron text; None where it has a distance."""
    every: timedelta | None
    """Distance of slots; None where it has a cron text."""
    zone: str
    """Time zone that the cron text is read in."""
    input: str | None
    """Encoded; None: each run takes its slot, as text of a time."""
    overlap: Overlap
    """What becomes of a slot while an earlier run goes on: ``skip``, ``allow`` or ``queue``."""
    catch_up: CatchUp
    """Which slots are fired that came while nobody could: ``latest``, ``all`` or ``none``."""
    priority: int
    """Of its runs, 0 to 999, lower goes first."""
    marks: tuple[str, ...]
    """Tags and attributes of its runs."""
    revision: int
    """Counts the changes: the guard of the next one."""
    paused: bool = False
    """Whether no slot is fired until it is resumed."""
    next_at: datetime | None
    """The first slot of which nothing is decided yet; None if it is paused or has no more."""
    last_slot: datetime | None = None
    """The slot of the latest run that was begun."""
    created_at: datetime
    """When it was stored."""
    updated_at: datetime
    """When it was last changed."""

    @property
    def rule(self) -> Rule:
        """When it is due."""
        return Rule(self.cron, self.every, self.zone)


class UnreadableSchedule(ScheduleRecord, frozen=True, kw_only=True):
    """A schedule of which all can be read here but the input, which stands in it as it is stored.

    Nothing but a run of it needs that: it is told of, changed otherwise, and given another input as any.
    """

    error: CodecError
    """Why it cannot."""

    @property
    def stored(self) -> ScheduleRecord:
        """The row as it is stored."""
        return ScheduleRecord(**{name: getattr(self, name) for name in ScheduleRecord.__struct_fields__})


class Turn(NamedTuple):
    """What is due of a schedule."""

    slot: datetime | None
    """The slot to fire; None if what is due is let go."""
    next_at: datetime | None
    """The first slot of which nothing is decided then."""
    is_late: bool = False
    """Whether a slot is let go since it was missed."""


def is_missed(schedule: ScheduleRecord, now: datetime, since: datetime) -> bool:
    """Decide whether the slot whose turn it is counts as one that nobody was there for.

    One that came since somebody serves does not, however slow he is. But after a minute it does, so that an outage ends with
    one run, and who cannot keep up does not fall behind for ever.
    """
    return schedule.next_at is not None and schedule.next_at < max(since, now - GRACE)


def turn_of(schedule: ScheduleRecord, now: datetime, since: datetime) -> Turn:
    """Decide what is due of a schedule of which something is.

    Args:
        schedule: Of which something is due.
        now: The moment.
        since: Since when somebody serves.
    """
    first = schedule.next_at
    assert first is not None  # noqa: S101  # else nothing of it would be due
    catches_up = schedule.overlap == "queue" or is_missed(schedule, now, since)
    if schedule.catch_up == "all" or not catches_up:
        return Turn(first, schedule.rule.after(first))
    latest = schedule.rule.latest(first, max(first, now))
    is_late = schedule.catch_up == "none" and now - latest > GRACE
    return Turn(None if is_late else latest, schedule.rule.after(latest), is_late or latest > first)


Fate: TypeAlias = Literal["begins a run", "waits", "is let go"]
"""What becomes of a slot whose turn it is."""


def fate_of(schedule: ScheduleRecord, *, goes_on: bool, went_on: bool, missed: bool) -> Fate:
    """Decide what becomes of the slot whose turn it is.

    Args:
        schedule: Whose slot it is.
        goes_on: Whether a run of the schedule goes on now.
        went_on: Whether one went on at the moment of the slot. Of a slot that is to be fired however late this counts: it waits
            for the run before it, and is let go where it came while that went on.
        missed: Whether nobody was there for the slot, as ``is_missed`` says: then it is to be fired if all are.
    """
    if schedule.overlap == "skip" and (went_on if schedule.catch_up == "all" or not missed else goes_on):
        return "is let go"
    return "waits" if goes_on and schedule.overlap != "allow" else "begins a run"


def slot_text(slot: datetime) -> str:
    """A slot as it stands in keys and attributes."""
    return slot.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(schedule: str, slot: datetime) -> str:
    """The idempotency key of the run of a slot."""
    return f"schedule:{schedule}:{slot_text(slot)}"


@attrs.frozen
class DueSchedules:
    """What a look at the schedules came to."""

    schedules: Sequence[ScheduleRecord]
    """Those that are due, in the order of their names."""
    next_at: datetime | None
    """When the next one falls due of those that are not."""
    unreadable: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Names of those that are due as well and cannot be read here, and why."""


class Firing(NamedTuple):
    """A slot that is fired, or let go."""

    schedule: ScheduleRecord
    """As it is to be then."""
    expected: int
    """Revision the stored one must have, as of ``Timetable.put``."""
    unit: Unit | None
    """What inserts the run; None if there is none."""


class Timetable(ABC):
    """Where schedules are kept; plain blocking calls, as those of the storage that it belongs to."""

    @abstractmethod
    def get(self, namespace: str, name: str) -> ScheduleRecord | None:
        """A schedule, as ``UnreadableSchedule`` where its input cannot be read; None if there is none of this name."""

    @abstractmethod
    def all(self, namespace: str) -> Sequence[ScheduleRecord]:
        """The schedules of a namespace, in the order of their names, each as ``get`` gives it."""

    @abstractmethod
    def put(self, schedule: ScheduleRecord, expected: int) -> bool:
        """Store a schedule; gives False, and does nothing, unless the stored one has this revision (0: there is none).

        It may be one that ``get`` gave, unreadable or not, with other fields; the input of such a one stays as it is stored.
        It must also have been created at the same moment: one that was deleted and stored anew counts from one again.
        """

    @abstractmethod
    def delete(self, namespace: str, name: str) -> bool:
        """Delete a schedule, and say whether there was one. Its runs stay."""

    @abstractmethod
    def due(self, namespace: str, now: datetime | None, after: str, limit: int) -> DueSchedules:
        """Schedules of which a slot has come, with names beyond ``after``; at most ``limit``, those that cannot be read included.

        Times are judged at ``now``; None: by the storage's own clock.
        """

    @abstractmethod
    def fire(self, firings: Sequence[Firing]) -> Sequence[Outcome]:
        """Store schedules as ``put`` does, and with each, in the same transaction, the unit that inserts its run.

        Gives an outcome for each, and writes nothing of one that is not COMMITTED: it is STALE if the schedule moved on,
        DUPLICATE if the run's key is held by another, and BLOCKED if others hold locked what it needs. They are of one namespace, and none comes twice.
        """
