"""Limits: of the phases under one, no more run at once than it says, whoever claims them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from phaseline.abc import Claimed, Storage
from phaseline.rows import PhaseRecord, PhaseState
from phaseline.testing.storage.base import MakeStorage, StorageTests, ask, at_once, read, write
from phaseline.testing.storage.build import NOW, SECOND, Take, following, make_phase, make_unit, new_run
from phaseline.unit_of_work import Unit

SIZE, TWO, ONE = 2, "2 key customer", "1 phase pipeline/a"


def limited(path: str = "a", limits: str = TWO, **fields: Any) -> PhaseRecord:
    """Make the row of a phase that waits under limits."""
    return make_phase(path, limits=limits, **fields)


def many(count: int, limits: str = TWO, **fields: Any) -> list[Unit]:
    """Make runs of one phase each that waits under limits."""
    return [new_run(f"run-{number:03}", limited("a", limits, **fields)) for number in range(count)]


def taken(storage: Storage, limit: int = 1_000) -> list[tuple[str, str]]:
    """Claim, and give the runs and paths that were started."""
    take = Take()
    ask(storage, take, limit=limit)
    return take.paths


def end(storage: Storage, run_id: str, path: str = "a", state: PhaseState = PhaseState.COMPLETED) -> None:
    """Commit what ends the attempt of a phase that runs."""
    run, phases = read(storage, run_id)
    row = next(row for row in phases if row.path == path)
    ended = make_phase(
        path, state, limits=row.limits, position=row.position, fence=row.fence, attempt=row.attempt
    )
    write(storage, make_unit(following(run), updated=[(ended, row.fence)]))


class Concurrency(StorageTests):
    """What may run at once."""

    def test_no_more_are_offered_than_there_are_slots(self, storage: Storage) -> None:
        """Each that ends makes room for one; what waits is not told of as waiting, for no claim could have it."""
        write(storage, *many(5))
        take = Take()
        assert ask(storage, take).waiting is None
        assert take.paths == [("run-000", "a"), ("run-001", "a")]
        assert taken(storage) == []
        end(storage, "run-001")
        assert taken(storage) == [("run-002", "a")]
        end(storage, "run-000", state=PhaseState.FAILED)
        end(storage, "run-002", state=PhaseState.SKIPPED)
        assert taken(storage) == [("run-003", "a"), ("run-004", "a")]

    def test_who_waits_holds_no_slot(self, storage: Storage) -> None:
        """Neither to be tried again, nor given back, nor for a signal."""
        write(storage, *many(3))
        assert len(taken(storage)) == SIZE
        end(storage, "run-000", state=PhaseState.RETRYING)
        assert taken(storage) == [("run-000", "a")]
        run, (row,) = read(storage, "run-000")
        later = replace(
            row, state=PhaseState.RETRYING, worker=None, lease_expires=None, available_at=NOW + SECOND
        )
        write(storage, make_unit(following(run), updated=[(later, row.fence)]))
        assert taken(storage) == [("run-002", "a")]

    def test_a_phase_needs_a_slot_of_each_of_its_limits(self, storage: Storage) -> None:
        """And what is under others, or under none, is not in its way."""
        both = f"{TWO}\n{ONE}"
        write(
            storage,
            new_run("a", limited(limits=both), limited("b", limits=both)),
            new_run("b", limited("c"), limited("d")),
            new_run("c", make_phase("e"), limited("f", limits="1 key other")),
        )
        assert taken(storage) == [("a", "a"), ("b", "c"), ("c", "e"), ("c", "f")]
        end(storage, "a", "a")
        assert taken(storage) == [("a", "b")]
        assert taken(storage) == []

    def test_what_waits_for_a_slot_hides_nothing(self, storage: Storage) -> None:
        """However much of it stands before the rest, and however little is asked for."""
        write(storage, *many(70), new_run("z", make_phase("a", priority=900), limited("b", limits=ONE)))
        assert len(taken(storage, limit=2)) == SIZE
        assert taken(storage, limit=2) == [("z", "b"), ("z", "a")]

    def test_what_is_worse_and_under_the_same_limit_hides_nothing(self, storage: Storage) -> None:
        """Those that the better ones leave no slot for take no place among what is looked at."""
        write(
            storage,
            *many(4, priority=1),
            new_run("worse", limited("a", priority=5), limited("b", priority=5)),
        )
        write(storage, new_run("z", make_phase("a", priority=9), make_phase("b", priority=9)))
        take = Take()
        assert ask(storage, take, limit=3).waiting == read(storage, "z")[1][1].priority
        assert take.paths == [("run-000", "a"), ("run-001", "a"), ("z", "a")]

    def test_the_best_goes_first_among_limits(self, storage: Storage) -> None:
        """Priority, then time: whatever limits they are under."""
        write(
            storage,
            new_run("a", limited(priority=5, available_at=NOW)),
            new_run("b", limited(priority=5, available_at=NOW - SECOND, limits="9 key other")),
            new_run("c", make_phase("a", priority=5, available_at=NOW - 2 * SECOND)),
            new_run("d", limited(priority=1, available_at=NOW)),
        )
        order = [taken(storage, limit=1) for _ in range(4)]
        assert order == [[("d", "a")], [("c", "a")], [("b", "a")], [("a", "a")]]

    def test_each_is_judged_by_the_size_it_came_with(self, storage: Storage) -> None:
        """A limit that was changed counts all under its name, and lets the new ones in by the new size."""
        write(storage, new_run("a", limited()), new_run("b", limited(limits="1 key customer")))
        assert taken(storage, limit=1) == [("a", "a")]
        assert taken(storage) == []
        end(storage, "a")
        assert taken(storage) == [("b", "a")]

    def test_what_is_gone_holds_no_slot(self, storage: Storage) -> None:
        """As when a run is taken back whose phase runs."""
        write(storage, *many(3))
        assert len(taken(storage)) == SIZE
        run, (row,) = read(storage, "run-000")
        gone = replace(
            row, state=PhaseState.SKIPPED, worker=None, lease_expires=None, live=False, ended_at=NOW, fence=row.fence + 1,
            gone_in_epoch=1,
        )  # fmt: skip
        back = following(run, state="ROLLED_BACK", epoch=1, ended_at=NOW)
        write(storage, make_unit(back, dropped=[(gone, row.fence)]))
        assert taken(storage) == [("run-002", "a")]

    def test_a_run_that_stood_waits_under_its_limits_again(self, storage: Storage) -> None:
        """Pausing and resuming loses none of them."""
        write(storage, *many(3))
        assert len(taken(storage, limit=1)) == 1
        for unit in many(3)[1:]:
            paused = following(unit.run, state="PAUSED")
            write(storage, make_unit(paused))
        assert taken(storage) == []
        for unit in many(3)[1:]:
            resumed = following(following(unit.run), state="IDLE")
            write(storage, make_unit(resumed, stood=True))
        assert taken(storage) == [("run-001", "a")]

    def test_an_inserted_row_that_runs_holds_a_slot(self, storage: Storage) -> None:
        """However it came to run."""
        write(storage, new_run("a", make_phase("a", PhaseState.RUNNING, limits=TWO)), *many(2))
        assert taken(storage) == [("run-000", "a")]

    def test_many_who_claim_at_once_take_no_more(self, open_storage: MakeStorage) -> None:
        """Each from a connection of its own, where the storage is shared; nothing is left over in the end."""
        one = open_storage()
        storages = [open_storage() for _ in range(3)] if one.shared else [one] * 3
        write(one, *many(12))
        left = 12
        while left:
            works = [partial(_claim, storage) for storage in storages]
            started: Sequence[str] = [
                unit.run.id for claimed in at_once(one, *works) for unit in claimed.units
            ]
            assert len(started) == len({*started}) <= SIZE
            for run_id in started:
                end(one, run_id)
            left -= len(started)


def _claim(storage: Storage) -> Claimed:
    return ask(storage, Take())
