"""``backlog``: what waits for a worker, told for each definition and queue."""

from __future__ import annotations

from datetime import datetime

from phaseline.abc import Backlog, Storage
from phaseline.run import PhaseState, RunState
from phaseline.testing.storage.base import StorageTests, ask, write
from phaseline.testing.storage.build import (
    DEFINITION,
    NAMESPACE,
    NOW,
    SECOND,
    Take,
    make_phase,
    new_run,
    of_plan,
)


def backlog_of(storage: Storage, at: datetime | None = NOW, namespace: str = NAMESPACE) -> set[Backlog]:
    """Ask what waits; each place must be named once."""
    found = list(storage.backlog(namespace, at))
    assert len(set(found)) == len(found)
    return set(found)


class Backlogs(StorageTests):
    """What waits, and since when."""

    def test_nothing_waits_in_an_empty_storage(self, storage: Storage) -> None:
        """Nor does asking write anything."""
        assert backlog_of(storage) == set()

    def test_each_queue_of_each_definition_is_told_with_its_oldest(self, storage: Storage) -> None:
        """Whatever the priority of the row."""
        other = of_plan("another")
        write(
            storage,
            new_run(
                "x",
                make_phase("a", available_at=NOW - 3 * SECOND, priority=500),
                make_phase("b", available_at=NOW - 2 * SECOND, priority=1),
                make_phase("c", available_at=NOW - SECOND, queue="mails"),
            ),
            new_run("y", make_phase("a", PhaseState.RETRYING, available_at=NOW - 5 * SECOND, queue="mails")),
            new_run("z", make_phase("a", available_at=NOW), fingerprint=other.fingerprint),
        )
        assert backlog_of(storage) == {
            Backlog(DEFINITION, "default", NOW - 3 * SECOND),
            Backlog(DEFINITION, "mails", NOW - 5 * SECOND),
            Backlog(other, "default", NOW),
        }

    def test_what_nobody_may_take_does_not_wait(self, storage: Storage) -> None:
        """Not yet due, under way, ended, of a run that stands, or of another namespace."""
        write(
            storage,
            new_run("x", make_phase("a", available_at=NOW + SECOND)),
            new_run("y", make_phase("a", PhaseState.RUNNING), make_phase("b", PhaseState.COMPLETED)),
            new_run("z", make_phase("a", available_at=NOW), state=RunState.PAUSED),
            new_run("o", make_phase("a", available_at=NOW), namespace="other"),
        )
        assert backlog_of(storage) == set()
        assert backlog_of(storage, NOW + SECOND) == {Backlog(DEFINITION, "default", NOW + SECOND)}

    def test_what_was_claimed_waits_no_more(self, storage: Storage) -> None:
        """And the next one is the oldest."""
        write(
            storage,
            new_run("x", make_phase("a", available_at=NOW - 2 * SECOND)),
            new_run("y", make_phase("a", available_at=NOW - SECOND)),
        )
        ask(storage, Take(), limit=1)
        assert backlog_of(storage) == {Backlog(DEFINITION, "default", NOW - SECOND)}

    def test_the_storage_may_judge_by_its_own_clock(self, storage: Storage) -> None:
        """Where no moment is given."""
        write(
            storage,
            new_run("x", make_phase("a", available_at=storage.now() - SECOND)),
            new_run("y", make_phase("a", available_at=storage.now() + 1_000 * SECOND, queue="late")),
        )
        assert {each.queue for each in backlog_of(storage, None)} == {"default"}
