"""``timetable``: schedules are kept, changed by one at a time, and fired together with the run that begins."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.testing.storage.base import PLENTY, MakeStorage, StorageTests, at_once, read
from phaseline.testing.storage.build import NAMESPACE, NOW, SECOND, make_phase, new_run
from phaseline.timetable import Firing, ScheduleRecord, Timetable
from phaseline.unit_of_work import Outcome, Unit


def make_schedule(name: str = "daily", **fields: Any) -> ScheduleRecord:
    """Make a schedule's row at its first revision, due now."""
    given: dict[str, Any] = {
        "namespace": NAMESPACE, "name": name, "pipeline": "pipeline", "version": "1", "cron": "0 6 * * *", "every": None,
        "zone": "UTC", "input": "1", "overlap": "skip", "catch_up": "latest", "priority": 100, "marks": (), "revision": 1,
        "next_at": NOW, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return ScheduleRecord(**{**given, **fields})


def moved_on(schedule: ScheduleRecord, **fields: Any) -> ScheduleRecord:
    """Make a schedule's row at its next revision."""
    return replace(schedule, revision=schedule.revision + 1, **fields)


def fire(timetable: Timetable, schedule: ScheduleRecord, expected: int, unit: Unit | None) -> Outcome:
    """Fire one alone."""
    (outcome,) = timetable.fire([Firing(schedule, expected, unit)])
    return outcome


class Schedules(StorageTests):
    """Schedules, and who may fire them."""

    def test_a_schedule_is_kept_as_it_was_given(self, storage: Storage) -> None:
        """Every field, in its namespace alone, until it is deleted; deleting says whether there was one."""
        kept = [
            make_schedule("a", zone="Europe/Berlin", marks=("#x", 'y="z"'), last_slot=NOW - SECOND, input='{"of":"ä"}'),
            make_schedule("b", cron=None, every=timedelta(days=7, microseconds=1), overlap="queue", catch_up="all", input=None),
            make_schedule("c", paused=True, next_at=None, overlap="allow", catch_up="none", priority=999),
        ]  # fmt: skip
        timetable = storage.timetable
        assert timetable.put(make_schedule("a", namespace="else"), 0)
        for schedule in reversed(kept):
            assert timetable.put(schedule, 0)
        assert list(timetable.all(NAMESPACE)) == kept
        assert [timetable.get(NAMESPACE, name) for name in "abcd"] == [*kept, None]
        assert timetable.delete(NAMESPACE, "a")
        assert not timetable.delete(NAMESPACE, "a")
        assert list(timetable.all(NAMESPACE)) == kept[1:]
        assert timetable.get("else", "a") == make_schedule("a", namespace="else")

    def test_a_change_is_of_the_revision_that_was_read(self, storage: Storage) -> None:
        """Else nothing is stored: not twice, not on one that moved on, and not on one that is gone."""
        timetable, first = storage.timetable, make_schedule()
        assert not timetable.put(moved_on(first), 1)
        assert timetable.put(first, 0)
        assert not timetable.put(replace(first, pipeline="other"), 0)
        second = moved_on(first, paused=True, next_at=None)
        assert timetable.put(second, 1)
        assert not timetable.put(moved_on(first, pipeline="other"), 1)
        assert timetable.get(NAMESPACE, "daily") == second

    def test_one_that_was_stored_anew_is_another(self, storage: Storage) -> None:
        """Though it has the same name and counts from one again: who read the one before it writes nothing over it."""
        timetable, first = storage.timetable, make_schedule()
        anew = make_schedule(input="2", created_at=NOW + SECOND, updated_at=NOW + SECOND)
        assert timetable.put(first, 0)
        assert timetable.delete(NAMESPACE, "daily")
        assert timetable.put(anew, 0)
        assert not timetable.put(moved_on(first, paused=True, next_at=None), 1)
        assert fire(timetable, moved_on(first), 1, new_run("run", make_phase("a"))) is Outcome.STALE
        assert storage.head(NAMESPACE, "run") is None
        assert timetable.get(NAMESPACE, "daily") == anew
        assert timetable.put(moved_on(anew), 1)

    def test_what_is_due_is_found(self, storage: Storage) -> None:
        """In the order of names, a page at a time, with the moment at which the next one follows."""
        timetable = storage.timetable
        for schedule in (
            make_schedule("late", next_at=NOW + 9 * SECOND),
            make_schedule("b", next_at=NOW),
            make_schedule("a", next_at=NOW - SECOND),
            make_schedule("next", next_at=NOW + SECOND),
            make_schedule("paused", paused=True, next_at=None),
            make_schedule("c", namespace="else", next_at=NOW - SECOND),
        ):
            assert timetable.put(schedule, 0)

        def due(after: str = "", limit: int = PLENTY, seconds: int = 0) -> tuple[list[str], Any]:
            found = timetable.due(NAMESPACE, NOW + seconds * SECOND, after, limit)
            return [schedule.name for schedule in found.schedules], found.next_at

        assert due() == (["a", "b"], NOW + SECOND)
        assert due(limit=1) == (["a"], NOW + SECOND)
        assert due(after="a") == (["b"], NOW + SECOND)
        assert due(seconds=-1) == (["a"], NOW)
        assert due(seconds=9) == (["a", "b", "late", "next"], None)
        assert timetable.due("nobody", NOW, "", PLENTY).next_at is None

    def test_without_a_moment_the_storages_time_counts(self, storage: Storage) -> None:
        """What was due an hour ago is, what is due in an hour is not."""
        now = storage.now()
        hour = timedelta(hours=1)
        assert storage.timetable.put(make_schedule("past", next_at=now - hour), 0)
        assert storage.timetable.put(make_schedule("future", next_at=now + hour), 0)
        due = storage.timetable.due(NAMESPACE, None, "", PLENTY)
        assert [schedule.name for schedule in due.schedules] == ["past"]
        assert due.next_at == now + hour

    def test_a_run_begins_with_its_schedule_or_not_at_all(self, storage: Storage) -> None:
        """Whoever read it before another fired it, changed it, or deleted it, writes neither."""
        timetable, first = storage.timetable, make_schedule()
        unit = new_run("run", make_phase("a"))
        assert fire(timetable, moved_on(first), 1, unit) is Outcome.STALE
        assert timetable.put(first, 0)
        assert fire(timetable, moved_on(first, next_at=None), 1, unit) is Outcome.COMMITTED
        assert read(storage) == (unit.run, list(unit.inserted))
        assert timetable.get(NAMESPACE, "daily") == moved_on(first, next_at=None)
        late = new_run("late", make_phase("a"))
        assert fire(timetable, moved_on(first), 1, late) is Outcome.STALE
        assert storage.head(NAMESPACE, "late") is None
        assert fire(timetable, moved_on(moved_on(first)), 2, None) is Outcome.COMMITTED

    def test_a_key_that_is_held_stops_both(self, storage: Storage) -> None:
        """The schedule stays as it was, and can be moved on without the run."""
        timetable, first = storage.timetable, make_schedule()
        assert storage.commit([new_run("holder", make_phase("a"), key="slot")]) == [Outcome.COMMITTED]
        assert timetable.put(first, 0)
        assert fire(timetable, moved_on(first), 1, new_run("run", key="slot")) is Outcome.DUPLICATE
        assert storage.head(NAMESPACE, "run") is None
        assert timetable.get(NAMESPACE, "daily") == first
        assert fire(timetable, moved_on(first), 1, None) is Outcome.COMMITTED

    def test_many_are_fired_at_once_and_each_has_its_own_outcome(self, storage: Storage) -> None:
        """One that moved on, or whose key is held, stops none of the others; they come in any order."""
        timetable = storage.timetable
        assert storage.commit([new_run("holder", make_phase("a"), key="slot")]) == [Outcome.COMMITTED]
        names = ["d", "c", "b", "a"]
        for name in names:
            assert timetable.put(make_schedule(name), 0)
        assert timetable.put(moved_on(make_schedule("c")), 1)
        after = {name: moved_on(make_schedule(name), last_slot=NOW) for name in names}
        keys = {"b": "slot"}
        runs: dict[str, Unit | None] = {
            name: new_run(f"of-{name}", make_phase("a"), key=keys.get(name)) for name in names
        }
        runs["a"] = None  # let go

        def fire_all(*given: str) -> list[str]:
            return [
                outcome.value
                for outcome in timetable.fire([Firing(after[name], 1, runs[name]) for name in given])
            ]

        assert fire_all(*names) == ["committed", "stale", "duplicate", "committed"]
        assert [bool(storage.head(NAMESPACE, f"of-{name}")) for name in names] == [True, False, False, False]
        kept = [after["a"], make_schedule("b"), moved_on(make_schedule("c")), after["d"]]
        assert list(timetable.all(NAMESPACE)) == kept
        assert fire_all("d", "c") == ["stale", "stale"]
        assert fire_all() == []

    def test_of_many_who_fire_at_once_one_does(self, open_storage: MakeStorage) -> None:
        """Each from a connection of its own, where the storage is shared."""
        one = open_storage()
        storages = [open_storage() for _ in range(3)] if one.shared else [one, one, one]
        schedule = make_schedule()
        assert one.timetable.put(schedule, 0)
        fires = [
            partial(fire, storage.timetable, moved_on(schedule), 1, new_run(f"run-{number}", make_phase("a")))
            for number, storage in enumerate(storages)
        ]
        outcomes = at_once(one, *fires)
        assert sorted(outcome.value for outcome in outcomes) == ["committed", "stale", "stale"]
        assert len(one.find(NAMESPACE, limit=PLENTY)) == 1
