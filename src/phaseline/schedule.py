"""A schedule as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from phaseline.tags import Attribute, attributes_of, tags_of
from phaseline.timetable import CatchUp, Overlap, ScheduleRecord, UnreadableSchedule


@attrs.frozen(kw_only=True)
class Schedule:
    """A schedule as it stands."""

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
    tz: str
    """Time zone that the cron text is read in."""
    overlap: Overlap
    """What becomes of a slot while an earlier run goes on: ``skip``, ``allow`` or ``queue``."""
    catch_up: CatchUp
    """Which slots are fired that came while nobody could: ``latest``, ``all`` or ``none``."""
    priority: int
    """Of its runs, 0 to 999, lower goes first."""
    tags: tuple[str, ...]
    """Of its runs."""
    attributes: Mapping[str, Attribute]
    """Of its runs, without those that they get by themselves."""
    paused: bool
    """Whether no slot is fired until it is resumed."""
    next_at: datetime | None
    """The first slot of which nothing is decided yet, in UTC; None while it is paused."""
    last_slot: datetime | None
    """The latest slot for which it began a run."""
    created_at: datetime
    """When it was stored."""
    updated_at: datetime
    """When it was last changed."""
    unreadable: str | None = None
    """Why its input cannot be read here, so that no run of it begins from here; None if it can."""


def schedule_of(record: ScheduleRecord) -> Schedule:
    """Give what is told of a schedule."""
    return Schedule(
        name=record.name, pipeline=record.pipeline, version=record.version, cron=record.cron,
        every=record.every, tz=record.zone, overlap=record.overlap, catch_up=record.catch_up,
        priority=record.priority, tags=tags_of(record.marks), attributes=attributes_of(record.marks),
        paused=record.paused, next_at=record.next_at, last_slot=record.last_slot,
        created_at=record.created_at, updated_at=record.updated_at,
        unreadable=str(record.error) if isinstance(record, UnreadableSchedule) else None,
    )  # fmt: skip
