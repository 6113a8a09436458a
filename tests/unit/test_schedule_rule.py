"""When schedules are due: rules, and what daylight saving makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from phaseline.errors import ScheduleError
from phaseline.schedule_rule import Rule, rule_of
from phaseline.testing.storage.schedules import make_schedule
from phaseline.timetable import CatchUp, Fate, Overlap, fate_of, key_of, turn_of

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 29, tzinfo=BERLIN)
"""At 2:00 the clocks of this day go to 3:00."""
AUTUMN = datetime(2026, 10, 25, tzinfo=BERLIN)
"""At 3:00 the clocks of this day go to 2:00."""
HOUR = timedelta(hours=1)


def cron(text: str, zone: str | None = None) -> Rule:
    return rule_of("test", text, None, zone)


def of_night(rule: Rule, day: datetime) -> list[str]:
    """Slots of the first five hours of a day, by the clock on the wall."""
    begin = day.astimezone(UTC)
    slots = rule.between(begin - timedelta.resolution, begin + 5 * HOUR)
    return [slot.astimezone(BERLIN).strftime("%H:%M%z")[:-2] for slot in slots]


# --------------------------------------------------------------------- daylight saving
@pytest.mark.parametrize(
    ("text", "spring", "autumn"),
    [
        # A fixed time that the gap swallows comes right behind it; one that there is twice comes once, the first time.
        ("30 2 * * *", ["03:00+02"], ["02:30+02"]),
        ("15,45 2 * * *", ["03:00+02"], ["02:15+02", "02:45+02"]),
        # What comes every hour goes on by the hour.
        ("0 * * * *", ["00:00+01", "01:00+01", "03:00+02", "04:00+02", "05:00+02", "06:00+02"],
         ["00:00+02", "01:00+02", "02:00+02", "02:00+01", "03:00+01", "04:00+01"]),
        # With seconds there is no such care: it is the wall clock.
        ("0 30 2 * * *", [], ["02:30+02", "02:30+01"]),
    ],
)  # fmt: skip
def test_daylight_saving(text: str, spring: list[str], autumn: list[str]) -> None:
    """As Debian's cron has it, and as the documentation says."""
    rule = cron(text, "Europe/Berlin")
    assert spring == of_night(rule, SPRING)
    assert autumn == of_night(rule, AUTUMN)


def test_no_slot_comes_before_the_moment() -> None:
    """In the second of two equal hours, the next fixed time is that of the next day."""
    second_pass = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    found = cron("30 2 * * *", "Europe/Berlin").after(second_pass)
    assert datetime(2026, 10, 26, 1, 30, tzinfo=UTC) == found


@given(
    text=st.sampled_from(["30 2 * * *", "*/20 * * * *", "0 2,3 * * *", "15 2 29 3 *", "0 0 * * 0", "5 4 31 * *"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    minute=st.integers(0, 366 * 24 * 60),
    days=st.integers(0, 400),
)  # fmt: skip
def test_the_latest_is_the_last_of_all(text: str, zone: str, minute: int, days: int) -> None:
    """However it is found: slots rise, and the latest is the last of them, whatever clocks did meanwhile."""
    rule = cron(text, zone)
    known = rule.after(datetime(2026, 1, 1, tzinfo=UTC) + minute * timedelta(minutes=1))
    assert known is not None
    until = known + timedelta(days=days, minutes=days % 61)
    every = [known, *rule.between(known, until)]
    assert sorted(set(every)) == every
    assert every[-1] == rule.latest(known, until)


# --------------------------------------------------------------------- distances
def test_a_distance_is_a_multiple_since_1970() -> None:
    """So who stores it, and when, does not matter."""
    rule = rule_of("test", None, HOUR, None)
    assert datetime(2026, 5, 5, 13, tzinfo=UTC) == rule.after(datetime(2026, 5, 5, 12, tzinfo=UTC))
    assert datetime(2026, 5, 5, 13, tzinfo=UTC) == rule.after(datetime(2026, 5, 5, 12, 0, 1, tzinfo=UTC))
    day = datetime(2026, 5, 5, tzinfo=UTC)
    assert datetime(2026, 5, 6, 7, tzinfo=UTC) == rule.latest(day, datetime(2026, 5, 6, 7, 59, tzinfo=UTC))


# --------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("text", "every", "zone", "told"),
    [
        (None, None, None, "say one of the two"),
        ("0 6 * * *", HOUR, None, "say one of the two"),
        ("0 0 30 2 *", None, None, "would never fire"),
        ("0 0 31 4,6 *", None, None, "would never fire"),
        ("* * */20 * 1L", None, None, "never fires"),
        ("", None, None, "cannot be read"),
        ("at noon", None, None, "cannot be read"),
        ("61 * * * *", None, None, "Bad minute"),
        ("0 0 MON#2/3 * *", None, None, "cannot be read"),
        ("* * * * * * *", None, None, "cannot be read"),
        ("*" * 500, None, None, "500 characters"),
        (5, None, None, "is no text"),
        ("0 6 * * *", None, "Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("0 6 * * *", None, "../etc/passwd", "there is no time zone"),
        ("0 6 * * *", None, "", "there is no time zone"),
        ("0 6 * * *", None, "a\0b", "there is no time zone"),
        ("0 6 * * *", None, "Europe", "there is no time zone"),
        ("0 6 * * *", None, 2, "no name of a time zone"),
        (None, 60, None, "has no unit"),
        (None, timedelta(0), None, "not between"),
        (None, -HOUR, None, "not between"),
        (None, timedelta(milliseconds=999), None, "not between"),
        (None, timedelta.max, None, "not between"),
        (None, HOUR, "Europe/Berlin", "leave it out"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: object, every: object, zone: object, told: str) -> None:
    """With the name of the schedule, and what to write instead."""
    with pytest.raises(ScheduleError, match="schedule 'test'") as caught:
        rule_of("test", text, every, zone)
    assert told in str(caught.value)
    assert caught.value.schedule == "test"


def test_a_zone_may_be_given_itself() -> None:
    """It is kept by its name."""
    assert cron("0 6 * * *", "Europe/Berlin") == rule_of("test", " 0  6 * * * ", None, BERLIN)


# --------------------------------------------------------------------- what is due
NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("catch_up", "minutes", "slot", "next_at"),
    [
        # Three hours were missed: 12:00, 13:00 and 14:00 are due, and half a minute is not late yet.
        ("all", 120.5, 0, 1),
        ("latest", 120.5, 2, 3),
        ("none", 120.5, 2, 3),
        ("all", 121.5, 0, 1),
        ("latest", 121.5, 2, 3),
        ("none", 121.5, None, 3),
        ("none", 0, 0, 1),
    ],
)
def test_what_is_caught_up_on(catch_up: str, minutes: float, slot: int | None, next_at: int) -> None:
    """All, the latest, or none that is late; the next slot is the first of which nothing was decided."""
    schedule = make_schedule(cron=None, every=HOUR, next_at=NOON, catch_up=catch_up)
    expected = (None if slot is None else NOON + slot * HOUR, NOON + next_at * HOUR)
    now = NOON + timedelta(minutes=minutes)
    assert expected == turn_of(schedule, now, since=now)[:2]


@pytest.mark.parametrize("catch_up", ["latest", "none"])
@pytest.mark.parametrize(
    ("overlap", "since", "now", "slot", "is_late"),
    [
        ("skip", 0, 50, 0, False),  # each in its turn
        ("allow", -9, 60, 0, False),
        ("allow", -9, 61, 60, True),  # unless it is late by more than a minute
        ("allow", 1, 50, 50, True),  # or came before somebody served
        ("queue", 0, 50, 50, True),  # or waited for the end of a run, it may be
        ("queue", 0, 5, 0, False),
    ],
)
def test_a_slot_that_came_while_somebody_served_is_not_missed(
    *, catch_up: CatchUp, overlap: Overlap, since: int, now: int, slot: int, is_late: bool
) -> None:
    """However many have come behind it."""
    second = timedelta(seconds=1)
    schedule = make_schedule(cron=None, every=10 * second, next_at=NOON, catch_up=catch_up, overlap=overlap)
    expected = (NOON + slot * second, NOON + (slot + 10) * second, is_late)
    assert expected == turn_of(schedule, NOON + now * second, NOON + since * second)


def test_years_are_missed_at_once() -> None:
    """The latest of 50 million seconds is found without walking through them."""
    schedule = make_schedule(cron="* * * * * *", next_at=datetime(1980, 1, 1, tzinfo=UTC))
    assert NOON == turn_of(schedule, NOON, since=NOON).slot


def test_the_key_is_that_of_the_moment() -> None:
    """In whatever zone it is told."""
    assert (
        key_of("daily", NOON.astimezone(BERLIN))
        == key_of("daily", NOON)
        == "schedule:daily:2026-05-05T12:00:00Z"
    )


@pytest.mark.parametrize(
    ("overlap", "catch_up", "fates"),
    [
        # By whether a run goes on now, and whether one did at the moment of the slot: neither, now, then, both.
        ("allow", "latest", ["begins a run", "begins a run", "begins a run", "begins a run"]),
        ("allow", "all", ["begins a run", "begins a run", "begins a run", "begins a run"]),
        ("queue", "latest", ["begins a run", "waits", "begins a run", "waits"]),
        ("queue", "all", ["begins a run", "waits", "begins a run", "waits"]),
        ("skip", "latest", ["begins a run", "is let go", "begins a run", "is let go"]),
        ("skip", "none", ["begins a run", "is let go", "begins a run", "is let go"]),
        ("skip", "all", ["begins a run", "waits", "is let go", "is let go"]),
    ],
)
def test_what_becomes_of_a_slot(overlap: Overlap, catch_up: CatchUp, fates: list[Fate]) -> None:
    """Where all is to be caught up, or it was not missed, it waits for the run before it, and what came meanwhile is let go."""
    schedule = replace(make_schedule(), overlap=overlap, catch_up=catch_up)
    cases = [(False, False), (True, False), (False, True), (True, True)]
    assert fates == [fate_of(schedule, goes_on=now, went_on=then, missed=True) for now, then in cases]
    late = [fate_of(schedule, goes_on=now, went_on=then, missed=False) for now, then in cases]
    assert late == [
        fate_of(replace(schedule, catch_up="all"), goes_on=now, went_on=then, missed=True)
        for now, then in cases
    ]
