"""When a schedule is due: its rule as data, and the slots that follow from it. Nothing here waits or asks the time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, available_timezones

import attrs

from phaseline._values.texts import did_you_mean
from phaseline.errors import ScheduleError

if TYPE_CHECKING:
    from cronsim import CronSim

SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(days=3_660)
_LONGEST_TEXT: Final = 200
"""Characters of a cron text."""
ZONE_ERRORS: Final = (LookupError, ValueError, OSError)
"""What ``zone_of`` raises."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Rule:
    """Says which moments are slots of a schedule; either a cron text, read in a time zone, or a distance in time.

    Slots of a distance are its multiples since 1970 in UTC: every hour is on the hour, whoever stored the schedule when.
    """

    cron: str | None
    every: timedelta | None
    zone: str = "UTC"
    """In which the cron text is read."""

    def after(self, moment: datetime) -> datetime | None:
        """The first slot behind a moment, in UTC; None if there is none."""
        return next(self.upcoming(moment), None)

    def latest(self, known: datetime, until: datetime) -> datetime:
        """The last slot that is not behind ``until``; ``known`` is one, so that there is one."""
        if self.every is not None:
            return max(known, self._multiple(until))
        for back in _steps(self._sim(until + timedelta(microseconds=1), backward=True)):
            # Where clocks are changed only the steps forward count: those back lead near to where to begin.
            if back <= known:
                break
            slots = list(self.between(back - timedelta(seconds=1), until))
            if slots:
                return max(known, slots[-1])
        return max([known, *self.between(known, until)])

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The slots behind a moment, up to another one which may be the last."""
        for slot in self.upcoming(after):
            if slot > until:
                return
            yield slot

    def upcoming(self, moment: datetime) -> Iterator[datetime]:
        """The slots behind a moment, in UTC, as far as the calendar goes."""
        if self.every is None:
            # On the day on which a clock is set back a step forward may come out before the moment.
            yield from (slot for slot in _steps(self._sim(moment)) if slot > moment)
            return
        slot = self._multiple(moment)
        while True:
            try:
                slot += self.every
            except OverflowError:
                return
            yield slot

    def _multiple(self, moment: datetime) -> datetime:
        assert self.every is not None  # noqa: S101  # asked before
        return _EPOCH + (moment - _EPOCH) // self.every * self.every

    def _sim(self, moment: datetime, *, backward: bool = False) -> CronSim:
        assert self.cron is not None  # noqa: S101  # asked before
        return _read(self.cron, moment.astimezone(zone_of(self.zone)), backward=backward)


def rule_of(name: str, cron: object, every: object, zone: object) -> Rule:
    """Check what a caller says of a schedule's slots.

    Raises:
        ScheduleError: It is no rule, or one that never fires.
    """
    if (cron is None) is (every is None):
        raise ScheduleError(
            name,
            f"cron={cron!r}, every={every!r}: say one of the two, cron='0 6 * * *' or every=timedelta(hours=1)",
        )
    if every is not None:
        return Rule(None, _checked_distance(name, every, zone))
    if not isinstance(cron, str):
        raise ScheduleError(name, f"cron={cron!r} is no text; write cron='0 6 * * *' for six in the morning")
    if len(cron) > _LONGEST_TEXT:
        raise ScheduleError(name, f"the cron text has {len(cron)} characters, over {_LONGEST_TEXT}")
    rule = Rule(" ".join(cron.split()), None, _checked_zone(name, zone))
    _check_fires(name, rule)
    return rule


def _checked_distance(name: str, every: object, zone: object) -> timedelta:
    if not isinstance(every, timedelta):
        number = every if isinstance(every, int | float) and not isinstance(every, bool) else 60
        raise ScheduleError(name, f"every={every!r} has no unit; write every=timedelta(seconds={number})")
    if not SHORTEST <= every <= LONGEST:
        raise ScheduleError(name, f"every={every} is not between one second and ten years")
    if zone is not None:
        raise ScheduleError(
            name, f"tz={zone!r} says how a cron text is read; a distance is the same everywhere: leave it out"
        )
    return every


def _checked_zone(name: str, zone: object) -> str:
    if zone is None:
        return "UTC"
    if isinstance(zone, ZoneInfo):
        zone = zone.key
    if not isinstance(zone, str):
        raise ScheduleError(name, f"tz={zone!r} is no name of a time zone; write tz='Europe/Berlin'")
    try:
        zone_of(zone)
    except ZONE_ERRORS as error:
        near = did_you_mean(zone, available_timezones())
        hint = (
            near
            or "; names are those of the IANA database: 'Europe/Berlin'. A system without it needs 'pip install tzdata'"
        )
        raise ScheduleError(name, f"there is no time zone {zone!r}{hint}") from error
    return zone


def _check_fires(name: str, rule: Rule) -> None:
    from cronsim import CronSimError  # noqa: PLC0415  # needed by who has schedules

    try:
        first = rule.after(_EPOCH)
    except CronSimError as error:
        raise ScheduleError(
            name,
            f"cron={rule.cron!r} cannot be read, or would never fire: {error}; it has five fields, minute hour day month "
            "weekday",
        ) from error
    except (
        AssertionError,
        ValueError,
        TypeError,
    ) as error:  # what its parser says of some texts that are none
        raise ScheduleError(name, f"cron={rule.cron!r} cannot be read") from error
    if first is None:
        raise ScheduleError(name, f"cron={rule.cron!r} never fires: no day of 50 years fits it")


@lru_cache(maxsize=1_000)
def zone_of(name: str) -> tzinfo:
    """The time zone of a name; a file is read for it the first time, so not on an event loop.

    Raises:
        LookupError, ValueError, OSError: It is not known here: ZoneInfo raises each of them, by what the name looks like.
    """
    return UTC if name == "UTC" else ZoneInfo(name)


def unknown_zone(zone: str) -> str:
    """What is said of a stored zone that this machine lacks."""
    return (
        f"time zone {zone!r} is not known on this machine; install the system's tzdata, or tzdata from PyPI"
    )


def _read(text: str, moment: datetime, *, backward: bool) -> CronSim:
    from cronsim import CronSim  # noqa: PLC0415  # needed by who has schedules

    return CronSim(text, moment, reverse=backward)


def _steps(sim: CronSim) -> Iterator[datetime]:
    try:
        for step in sim:
            yield step.astimezone(UTC)
    except OverflowError:  # the calendar ends
        return
