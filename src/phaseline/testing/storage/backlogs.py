"""``backlog`` and ``tally``: what waits for a worker, told for each definition and queue."""

from __future__ import annotations

from datetime import datetime

from phaseline.abc import Backlog, Storage, Tally
from phaseline.rows import PhaseState, RunState
from phaseline.testing.storage.base import StorageTests, ask, write
from phaseline.testing.storage.build import (
    DEFINITION,
    NAMESPACE,
    NOW,
    SECOND,
    Take,
    make_letter,
    make_phase,
    make_run,
    make_unit,
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

    def test_what_waits_is_counted_by_queue_up_to_a_bound(self, storage: Storage) -> None:
        """The bound is that of a queue of one definition and priority; what nobody may take is not counted."""
        write(
            storage,
            new_run("x", *[make_phase(name, available_at=NOW - SECOND) for name in "abcd"]),
            new_run("y", make_phase("a", PhaseState.RETRYING, available_at=NOW, priority=1)),
            new_run("z", make_phase("a", available_at=NOW, queue="mails")),
            new_run("l", make_phase("a", available_at=NOW + SECOND, queue="late")),
            new_run("p", make_phase("a", available_at=NOW), state=RunState.PAUSED),
            new_run("o", make_phase("a", available_at=NOW), namespace="other"),
        )
        assert storage.tally(NAMESPACE, NOW, 10) == Tally({"default": 5, "mails": 1}, {})
        assert storage.tally(NAMESPACE, NOW, 3) == Tally({"default": 4, "mails": 1}, {})

    def test_letters_are_counted_by_pipeline_up_to_a_bound(self, storage: Storage) -> None:
        """Those of the namespace."""
        for number, name in enumerate(["one", "one", "two"]):
            letter = make_letter(f"run-{number}", pipeline=name, at=NOW + number * SECOND)
            run = make_run(letter.run_id, pipeline=name, state=RunState.FAILED.value, letter=letter.seq)
            write(storage, make_unit(run, letter=letter))
        assert storage.tally(NAMESPACE, None, 10) == Tally({}, {"one": 2, "two": 1})
        assert storage.tally(NAMESPACE, None, 2) == Tally({}, {"one": 2})
        assert storage.tally("other", None, 10) == Tally({}, {})

    def test_the_storage_may_judge_by_its_own_clock(self, storage: Storage) -> None:
        """Where no moment is given."""
        write(
            storage,
            new_run("x", make_phase("a", available_at=storage.now() - SECOND)),
            new_run("y", make_phase("a", available_at=storage.now() + 1_000 * SECOND, queue="late")),
        )
        assert {each.queue for each in backlog_of(storage, None)} == {"default"}
