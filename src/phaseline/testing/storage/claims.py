"""``claim``: the best rows that are due, each granted once, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.events import CheckpointCreated
from phaseline.rows import SETTLED_STATES, PhaseRecord, PhaseState
from phaseline.testing.storage.base import COMMITTED, StorageTests, ask, everything, read, write
from phaseline.testing.storage.build import (
    DEFINITION,
    INPUT_TEXT,
    LEASE,
    NAMESPACE,
    NOW,
    SECOND,
    Take,
    decline,
    following,
    make_phase,
    make_run,
    make_unit,
    new_run,
    of_plan,
)
from phaseline.unit_of_work import RunRows, StepResult, Unit

WAITING = (PhaseState.PENDING, PhaseState.RETRYING)


class Claims(StorageTests):
    """What a worker is offered, and what becomes of what it takes."""

    # ------------------------------------------------------------------ order
    def test_the_best_goes_first(self, storage: Storage) -> None:
        """Order: priority, then available_at, then run id, then path; never the order of writing."""
        best_first = [
            ("d", make_phase("x", priority=0, available_at=NOW)),
            ("a", make_phase("x", priority=5, available_at=NOW - 9 * SECOND)),
            ("d", make_phase("w", priority=5, available_at=NOW - 8 * SECOND)),
            ("b", make_phase("x", priority=5, available_at=NOW)),
            ("c", make_phase("b[10]", priority=5, available_at=NOW)),
            ("c", make_phase("b[9]", priority=5, available_at=NOW)),
            ("a", make_phase("y", priority=999, available_at=NOW - 99 * SECOND)),
        ]
        for run_id in "dacb":
            rows = [row for owner, row in best_first if owner == run_id]
            write(storage, new_run(run_id, *reversed(rows)))
        take = Take()
        left = len(best_first)
        while left:
            claimed = ask(storage, take, limit=1)
            left -= 1
            assert claimed.waiting == (best_first[-left][1].priority if left else None)
        assert take.paths == [(run_id, row.path) for run_id, row in best_first]

    def test_a_run_is_asked_about_once_with_all_its_rows(self, storage: Storage) -> None:
        """Rows of one run come to one grant, in the order of claims; runs in the order of their best row."""
        write(
            storage,
            new_run(
                "a", make_phase("z", priority=2), make_phase("m", priority=9), make_phase("k", priority=4)
            ),
            new_run("b", make_phase("x", priority=1), make_phase("w", priority=3)),
        )
        take = Take()
        claimed = ask(storage, take)
        assert [(rows.run.id, list(paths)) for rows, paths in take.asked] == [
            ("b", ["x", "w"]),
            ("a", ["z", "k", "m"]),
        ]
        assert list(claimed.units) == take.given

    def test_an_input_that_comes_along_is_that_of_the_run(self, storage: Storage) -> None:
        """It spares a reading, and may be left out."""
        write(storage, new_run("a", make_phase("x")), new_run("b", make_phase("x")))
        take = Take()
        ask(storage, take)
        assert {rows.input for rows, _ in take.asked} <= {INPUT_TEXT, None}

    def test_a_grant_sees_the_run_as_it_is(self, storage: Storage) -> None:
        """It gets the run's row and all visible phases, as the latest commit left them."""
        write(storage, new_run("run", make_phase("done", PhaseState.RUNNING), make_phase("next")))
        done = make_phase("done", PhaseState.COMPLETED)
        run = make_run(revision=2, seq=5, state="STATE", updated_at=NOW + SECOND)
        write(storage, make_unit(run, updated=[(done, 1)]))
        storage.renew(NAMESPACE, "w-1", NOW, NOW + LEASE)
        before = read(storage)
        take = Take()
        ask(storage, take)
        assert [(rows.run, list(rows.phases), list(paths)) for rows, paths in take.asked] == [
            (*before, ["next"])
        ]

    # ------------------------------------------------------------------ limit
    def test_the_limit_counts_rows(self, storage: Storage) -> None:
        """What is over it stays, even of a run that is granted, and ``waiting`` tells its best priority."""
        write(storage, new_run("run", *(make_phase(f"p{n}", priority=n) for n in range(4))))
        take = Take()
        claimed = ask(storage, take, limit=3)
        assert take.paths == [("run", "p0"), ("run", "p1"), ("run", "p2")]
        assert claimed.waiting == len(take.paths)
        assert read(storage)[1][3] == make_phase("p3", priority=3, position=3)
        assert ask(storage, take, limit=1).waiting is None
        assert take.paths[-1] == ("run", "p3")

    def test_runs_that_are_left_alone_hide_nothing(self, storage: Storage) -> None:
        """They are passed over, in the order and in ``waiting``, and offered again once they are not named any more."""
        for number, run_id in enumerate("abcd"):
            write(storage, new_run(run_id, make_phase("x", priority=number)))
        take = Take()
        claimed = ask(storage, take, limit=1, quarantined=frozenset("acz"))
        assert (take.paths, claimed.waiting) == ([("b", "x")], 3)
        assert ask(storage, take, quarantined=frozenset("ac")).waiting is None
        ask(storage, take)
        assert take.paths == [("b", "x"), ("d", "x"), ("a", "x"), ("c", "x")]

    def test_nothing_waits_where_all_was_offered(self, storage: Storage) -> None:
        """``waiting`` tells of rows beyond the limit alone; a worker that it wakes finds something."""
        write(storage, new_run("run", make_phase("a"), make_phase("b")), new_run("other", make_phase("a")))
        assert ask(storage, decline, limit=3).waiting is None
        assert ask(storage, Take(), limit=3).waiting is None

    def test_what_waits_is_what_the_request_would_take(self, storage: Storage) -> None:
        """Rows of other queues and plans, of standing runs and of later times are not waiting."""
        write(
            storage,
            new_run("mine", make_phase("a"), make_phase("b", queue="other")),
            new_run("paused", make_phase("a"), state="PAUSED"),
            new_run("foreign", make_phase("a"), fingerprint="unknown"),
            new_run("later", make_phase("a", available_at=NOW + SECOND)),
        )
        take = Take()
        assert ask(storage, take, limit=1, queues=frozenset({"default"})).waiting is None
        assert take.paths == [("mine", "a")]

    # ------------------------------------------------------------------ time
    @pytest.mark.parametrize("state", WAITING)
    def test_no_row_is_offered_before_its_time(self, storage: Storage, state: PhaseState) -> None:
        """A delay and a retry last to the microsecond; then the row is due."""
        due = NOW + SECOND
        write(storage, new_run("run", make_phase("a", state, available_at=due)))
        take = Take()
        early = ask(storage, take, now=due - due.resolution)
        assert (list(early.units), early.waiting, early.next_due) == ([], None, due)
        assert take.asked == []
        assert ask(storage, take, now=due).next_due is None
        assert take.paths == [("run", "a")]

    def test_next_due_is_the_earliest_that_the_request_would_take(self, storage: Storage) -> None:
        """It passes over other queues, plans, namespaces and standing runs, and what is due already."""
        write(
            storage,
            new_run("due", make_phase("a"), make_phase("b")),
            new_run("queue", make_phase("a", queue="other", available_at=NOW + SECOND)),
            new_run("plan", make_phase("a", available_at=NOW + SECOND), fingerprint="unknown"),
            new_run("paused", make_phase("a", available_at=NOW + SECOND), state="PAUSED"),
            new_run("space", make_phase("a", available_at=NOW + SECOND), namespace="other"),
            new_run("running", make_phase("a", PhaseState.RUNNING, available_at=NOW + SECOND)),
            new_run("late", make_phase("a", priority=0, available_at=NOW + 9 * SECOND)),
            new_run("mine", make_phase("a", available_at=NOW + 5 * SECOND)),
        )
        mine = frozenset({"default"})
        assert ask(storage, decline, queues=mine).next_due == NOW + 5 * SECOND
        assert ask(storage, decline, queues=mine, limit=1).next_due == NOW + 5 * SECOND
        assert ask(storage, decline, queues=None).next_due == NOW + SECOND
        assert ask(storage, decline, queues=mine, now=NOW + 5 * SECOND).next_due == NOW + 9 * SECOND
        assert ask(storage, decline, queues=mine, now=NOW + 9 * SECOND).next_due is None

    def test_time_may_be_asked_in_any_order(self, storage: Storage) -> None:
        """Clocks of workers differ: what was due for one is not due for another that is behind."""
        write(storage, new_run("run", make_phase("a", available_at=NOW)))
        assert ask(storage, decline, now=NOW + SECOND).next_due is None
        take = Take()
        behind = ask(storage, take, now=NOW - SECOND)
        assert (take.asked, behind.next_due) == ([], NOW)
        ask(storage, take, now=NOW)
        assert take.paths == [("run", "a")]

    # ------------------------------------------------------------------ what is passed over
    @pytest.mark.parametrize(
        ("queues", "expected"), [({"a", "c"}, "ac"), ({"b", "unknown"}, "b"), (set[str](), ""), (None, "abc")]
    )
    def test_rows_of_the_queues_that_are_served(
        self, storage: Storage, queues: set[str] | None, expected: str
    ) -> None:
        """Those are offered and no others; all if no queue is named."""
        write(storage, new_run("run", *(make_phase(name, queue=name) for name in ("a", "b", "c"))))
        take = Take()
        ask(storage, take, queues=None if queues is None else frozenset(queues))
        assert take.paths == [("run", name) for name in expected]

    @pytest.mark.parametrize(
        ("plans", "expected"), [({"a", "c"}, "ac"), ({"b", "unknown"}, "b"), (set[str](), "")]
    )
    def test_runs_of_the_plans_that_are_known(self, storage: Storage, plans: set[str], expected: str) -> None:
        """Those are offered; others are left to workers that know them."""
        write(storage, *(new_run(name, make_phase("p"), fingerprint=name) for name in ("a", "b", "c")))
        take = Take()
        ask(storage, take, definitions=frozenset(map(of_plan, plans)))
        assert take.paths == [(name, "p") for name in expected]

    @pytest.mark.parametrize("state", sorted(SETTLED_STATES))
    def test_a_standing_run_starts_nothing(self, storage: Storage, state: str) -> None:
        """From the commit of such a state on its rows are passed over, and back in an active one they are found."""
        write(storage, new_run("run", make_phase("a")))
        write(storage, make_unit(make_run(revision=2, state=state)))
        take = Take()
        claimed = ask(storage, take)
        assert (take.asked, claimed.waiting, claimed.next_due) == ([], None, None)
        write(storage, make_unit(make_run(revision=3, state="STATE"), stood=True))
        ask(storage, take)
        assert take.paths == [("run", "a")]

    def test_a_run_that_is_rolled_back_starts_what_undoes_its_phases(self, storage: Storage) -> None:
        """Also one that had ended, and none that has failed at it."""
        done = make_phase("a", PhaseState.COMPLETED)
        write(storage, new_run("run", done))
        write(storage, make_unit(make_run(revision=2, state="COMPLETED", ended_at=NOW)))
        back = make_run(revision=3, state="ROLLING_BACK", epoch=1)
        undo = make_phase("a~", epoch=1, position=1)
        write(storage, make_unit(back, inserted=[undo], stood=True, amended=True))
        take = Take()
        ask(storage, take)
        assert take.paths == [("run", "a~")]
        stored, _ = read(storage)
        assert (stored.state, stored.undo_after) == ("ROLLING_BACK", 0)
        write(storage, make_unit(make_run(revision=5, state="FAILED", undo_after=0, epoch=1)))
        assert read(storage)[0].undo_after == 0
        ask(storage, take)
        assert take.paths == [("run", "a~")]

    def test_what_came_to_wait_in_a_standing_run_is_found_later(self, storage: Storage) -> None:
        """Rows that are written while it stands wait for its going on, whenever they are due; others go on at once."""
        write(storage, new_run("run", make_phase("a", PhaseState.RUNNING), make_phase("b", queue="other")))
        write(storage, make_unit(make_run(revision=2, state="PAUSED")))
        again = make_phase("a", PhaseState.RETRYING, available_at=NOW + SECOND)
        added = make_phase("c", priority=7, position=2)
        write(
            storage,
            make_unit(
                make_run(revision=3, state="PAUSED"), updated=[(again, 1)], inserted=[added], stood=True
            ),
        )
        take = Take()
        assert ask(storage, take).next_due is None
        assert take.asked == []
        more = make_phase("d", priority=8, position=3)
        write(storage, make_unit(make_run(revision=4, state="STATE"), inserted=[more], stood=True))
        assert ask(storage, take).next_due == NOW + SECOND
        ask(storage, take, now=NOW + SECOND)
        assert take.paths == [("run", path) for path in "cdba"]

    @pytest.mark.parametrize("state", [state for state in PhaseState if state not in WAITING])
    def test_only_rows_that_wait_are_offered(self, storage: Storage, state: PhaseState) -> None:
        """What runs or has ended is nobody's to start."""
        write(storage, new_run("run", make_phase("a", state)))
        take = Take()
        ask(storage, take)
        assert take.asked == []

    # ------------------------------------------------------------------ what becomes of it
    def test_a_granted_row_is_granted_once(self, storage: Storage) -> None:
        """The unit is stored when the claim returns, and its rows are offered no more."""
        write(storage, new_run("run", make_phase("a"), make_phase("b")))
        take = Take()
        (unit,) = ask(storage, take, limit=1).units
        run, phases = read(storage)
        assert (run, phases[0]) == (unit.run, unit.updated[0][0])
        assert list(storage.events(NAMESPACE, "run", 0, 10)) == list(unit.events)
        ask(storage, take)
        ask(storage, take)
        assert take.paths == [("run", "a"), ("run", "b")]
        assert [row.fence for row in read(storage)[1]] == [1, 1]

    def test_all_of_a_granted_unit_is_written(self, storage: Storage) -> None:
        """A claim writes what ``commit`` writes: new rows, outputs, events, checkpoints, steps."""
        write(storage, new_run("run", make_phase("a")))
        expected = make_unit(
            make_run(revision=2, seq=1),
            updated=[(make_phase("a", PhaseState.COMPLETED), 0)],
            inserted=[make_phase("b", position=1)],
            outputs={"a": "[1]"},
            events=[
                CheckpointCreated(
                    run_id="run", pipeline="pipeline", seq=1, at=NOW, phase="a", checkpoint="c", revision=2
                )
            ],
            steps=[StepResult("a", 0, "key", "1")],
        )
        claimed = ask(storage, lambda _rows, _paths, _now: expected)
        assert list(claimed.units) == [expected]
        assert read(storage) == (expected.run, [expected.updated[0][0], *expected.inserted])
        assert dict(storage.values(NAMESPACE, "run", ["a"])) == {"a": "[1]"}
        assert list(storage.events(NAMESPACE, "run", 0, 10)) == list(expected.events)
        assert [point.id for point in storage.checkpoints(NAMESPACE, "run")] == ["c"]
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {"key": "1"}

    def test_a_claim_moves_the_run_on(self, storage: Storage) -> None:
        """Whoever decided on the run as it was before the claim is refused."""
        write(storage, new_run("run", make_phase("a")))
        ask(storage, Take())
        assert storage.commit([make_unit(make_run(revision=2))]) != [COMMITTED]

    def test_nothing_granted_nothing_changed(self, storage: Storage) -> None:
        """A run whose grant gives None stays as it is, beside others that are granted."""
        write(storage, *(new_run(run_id, make_phase("p")) for run_id in "abc"))
        before = everything(storage, "b", ["p"])
        take = Take()

        def not_b(rows: RunRows, paths: Sequence[str], now: datetime) -> Unit | None:
            return None if rows.run.id == "b" else take(rows, paths, now)

        assert [unit.run.id for unit in ask(storage, not_b).units] == ["a", "c"]
        assert everything(storage, "b", ["p"]) == before
        ask(storage, take)
        assert take.paths == [("a", "p"), ("c", "p"), ("b", "p")]

    def test_a_grant_that_raises_takes_the_claim_back(self, storage: Storage) -> None:
        """The error comes through, nothing of the claim is stored, and the storage goes on."""
        write(storage, *(new_run(run_id, make_phase("p")) for run_id in "ab"))
        take = Take()

        def broken(rows: RunRows, paths: Sequence[str], _now: datetime) -> Unit | None:
            if rows.run.id == "b":
                raise ArithmeticError(rows.run.id)
            return take.start(rows, paths)

        with pytest.raises(ArithmeticError, match="b"):
            ask(storage, broken)
        assert [read(storage, run_id)[0].revision for run_id in "ab"] == [1, 1]
        ask(storage, take)
        assert take.paths == [("a", "p"), ("b", "p")]

    def test_a_row_that_came_back_is_offered_once(self, storage: Storage) -> None:
        """A row that was given back at the very moment it had been due before is one row."""
        write(storage, new_run("run", make_phase("a"), make_phase("b")))
        for _ in range(3):
            take = Take()
            (unit,) = ask(storage, take, limit=1).units
            assert take.paths == [("run", "a")]
            row = unit.updated[0][0]
            write(storage, make_unit(following(unit.run), updated=[(given_back(row), row.fence)]))
        take = Take()
        assert ask(storage, take, limit=2).waiting is None
        assert take.paths == [("run", "a"), ("run", "b")]

    @pytest.mark.parametrize("later", [-SECOND, SECOND])
    def test_a_row_whose_rank_changed_stands_at_its_new_one(self, storage: Storage, later: timedelta) -> None:
        """Priority and time are those of the row as it is now."""
        write(
            storage,
            new_run("run", make_phase("a"), make_phase("b", priority=50), make_phase("c", priority=20)),
        )
        moved = [
            (make_phase("a", priority=10), 0),
            (make_phase("b", priority=50, available_at=NOW + later), 0),
            (make_phase("c", priority=60), 0),
        ]
        write(storage, make_unit(make_run(revision=2), updated=moved))
        take = Take()
        claimed = ask(storage, take)
        due = ["a", "b", "c"] if later < 0 * SECOND else ["a", "c"]
        assert take.paths == [("run", path) for path in due]
        assert claimed.next_due == (None if later < 0 * SECOND else NOW + later)

    def test_claims_keep_to_their_namespace(self, storage: Storage) -> None:
        """A run of equal id elsewhere is another run."""
        spaces = ["one", "two"]
        write(storage, *(new_run("run", make_phase("a"), namespace=space) for space in spaces))
        take = Take()
        claimed = ask(storage, take, namespace="two")
        assert [unit.run.namespace for unit in claimed.units] == ["two"]
        assert claimed.waiting is None
        assert [read(storage, "run", space)[0].revision for space in spaces] == [1, 2]
        assert [list(ask(storage, take, namespace=space).units) for space in ("two", "three")] == [[], []]
        assert take.paths == [("run", "a")]

    def test_an_empty_storage_has_nothing_to_offer(self, storage: Storage) -> None:
        """A claim that finds nothing says so."""
        claimed = ask(storage, Take(), definitions=frozenset({DEFINITION}))
        assert (list(claimed.units), claimed.waiting, claimed.next_due) == ([], None, None)


def given_back(row: PhaseRecord) -> PhaseRecord:
    """Give a running phase back to the queue, due when it was due before."""
    return replace(row, state=PhaseState.RETRYING, worker=None, lease_expires=None)
