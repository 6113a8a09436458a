"""``age``: what was due for so long goes first."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from phaseline.abc import Storage
from phaseline.rows import PhaseState
from phaseline.testing.storage.base import PLENTY, StorageTests, ask, read, write
from phaseline.testing.storage.build import (
    LEASE,
    NAMESPACE,
    NOW,
    SECOND,
    Take,
    make_phase,
    make_run,
    make_unit,
    new_run,
)

LONG = 10 * SECOND
OLD = NOW - LONG


def aged(
    storage: Storage,
    now: datetime = NOW,
    waited: timedelta = LONG,
    limit: int = PLENTY,
    namespace: str = NAMESPACE,
) -> int:
    """Have what is old go first."""
    return storage.age(namespace, now, waited, limit)


def order(storage: Storage) -> list[str]:
    """Claim one after the other, and give the runs."""
    take = Take()
    while ask(storage, take, limit=1).units:
        pass
    return [run_id for run_id, _ in take.paths]


class Ageing(StorageTests):
    """Rows that have waited for long."""

    def test_what_was_due_for_so_long_goes_first(self, storage: Storage) -> None:
        """To the microsecond; among what is old the oldest, and with it what is of priority 0 by itself."""
        write(
            storage,
            new_run("young", make_phase(priority=1, available_at=OLD + OLD.resolution)),
            new_run("old", make_phase(priority=900, available_at=OLD)),
            new_run("older", make_phase(priority=999, available_at=OLD - SECOND)),
            new_run("first", make_phase(priority=0, available_at=NOW)),
        )
        assert [aged(storage) for _ in range(2)] == [2, 0]
        assert order(storage) == ["older", "old", "first", "young"]

    def test_it_is_told_as_what_waits(self, storage: Storage) -> None:
        """Who holds back what is worse than what waits knows of it."""
        write(storage, *(new_run(name, make_phase(priority=500, available_at=OLD)) for name in "ab"))
        aged(storage)
        assert ask(storage, Take(), limit=1).waiting == 0

    def test_it_keeps_to_its_queue_and_its_limits(self, storage: Storage) -> None:
        """Only what a worker takes in which order is changed, not what it may take."""
        limited = make_phase(priority=500, available_at=OLD, limits="1 key customer")
        write(
            storage,
            new_run("a", limited),
            new_run("b", limited),
            new_run("c", make_phase(priority=7, queue="other")),
        )
        assert [aged(storage) for _ in range(2)] == [2, 0]
        take = Take()
        ask(storage, take, queues=frozenset({"default"}))
        assert take.paths == [("a", "a")]

    def test_it_is_no_commit_of_the_run(self, storage: Storage) -> None:
        """Whoever has read the run may still write, and what he writes counts."""
        row = make_phase(priority=500, available_at=OLD)
        write(storage, new_run("run", row))
        before, _ = read(storage)
        aged(storage)
        assert read(storage)[0] == before
        held = make_phase(priority=500, state=PhaseState.RUNNING, available_at=OLD)
        write(storage, make_unit(make_run(revision=2), updated=[(held, 0)]))
        assert read(storage)[1] == [held]
        assert order(storage) == []

    @pytest.mark.parametrize("state", [state for state in PhaseState if state not in {"PENDING", "RETRYING"}])
    def test_what_does_not_wait_stays_as_it_is(self, storage: Storage, state: PhaseState) -> None:
        """It runs, or has ended."""
        row = make_phase("a", state, priority=500, available_at=OLD)
        write(storage, new_run("run", row))
        assert aged(storage, NOW + LEASE) == 0
        assert read(storage)[1] == [row]

    def test_a_run_that_stands_does_not_age(self, storage: Storage) -> None:
        """What waits of it is offered to nobody; once it goes on it is as old as it is."""
        write(
            storage,
            new_run("run", make_phase(priority=500, available_at=OLD)),
            new_run("b", make_phase(priority=9)),
        )
        write(storage, make_unit(make_run(revision=2, state="PAUSED")))
        assert aged(storage) == 0
        write(storage, make_unit(make_run(revision=3, state="IDLE"), stood=True))
        assert aged(storage) == 1
        assert order(storage) == ["run", "b"]

    def test_a_run_that_was_paused_keeps_its_place(self, storage: Storage) -> None:
        """What went first before the pause does so after it."""
        write(
            storage,
            new_run("run", make_phase(priority=500, available_at=OLD)),
            new_run("b", make_phase(priority=9)),
        )
        aged(storage)
        write(storage, make_unit(make_run(revision=2, state="PAUSED")))
        write(storage, make_unit(make_run(revision=3, state="IDLE"), stood=True))
        assert order(storage) == ["run", "b"]

    def test_as_many_as_are_asked_for(self, storage: Storage) -> None:
        """Page by page, as long as there are some; those of other namespaces are another matter."""
        write(storage, *(new_run(f"r{n}", make_phase(priority=n + 1, available_at=OLD)) for n in range(5)))
        write(storage, new_run("else", make_phase(priority=9, available_at=OLD), namespace="else"))
        assert [aged(storage, limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert aged(storage, namespace="else") == 1
        assert aged(storage, namespace="nowhere") == 0

    def test_the_storages_own_clock_judges_unless_it_is_given_one(self, storage: Storage) -> None:
        """Without a moment, what was due an hour ago is old, and what is due now is not."""
        moment = storage.now()
        write(storage, new_run("old", make_phase(available_at=moment - 3_600 * SECOND)))
        write(storage, new_run("new", make_phase(available_at=moment)))
        assert storage.age(NAMESPACE, None, 600 * SECOND, PLENTY) == 1
