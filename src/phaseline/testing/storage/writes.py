"""``commit``: what is written reads back, all of a unit or nothing, guarded by revision and fence."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.events import CheckpointCreated, PhaseCompleted
from phaseline.rows import PhaseRecord, PhaseState, RunState
from phaseline.testing.storage.base import COMMITTED, FENCED, STALE, StorageTests, everything, read, write
from phaseline.testing.storage.build import (
    INPUT_TEXT,
    NAMESPACE,
    NOW,
    SECOND,
    following,
    full_phases,
    full_runs,
    make_phase,
    make_run,
    make_signal,
    make_unit,
    new_run,
)
from phaseline.unit_of_work import KEPT, SavedValue, StepResult, Unit


def always_default(records: Iterable[msgspec.Struct]) -> set[str]:
    """Fields that have their default in every one of these records, so that a test with them would not see a loss."""
    records = list(records)
    return {
        field.name
        for field in msgspec.structs.fields(records[0])
        if all(getattr(record, field.name) == field.default for record in records)
    }


def rich_unit(run_id: str, revision: int, expected: int, fence: int) -> Unit:
    """A unit that writes something of every kind, with the guards that it is to be tried with."""
    seq = revision * 10
    return make_unit(
        make_run(run_id, revision=revision, seq=seq + 1, signals=1, state="STATE"),
        expected=expected,
        updated=[(make_phase("a", PhaseState.COMPLETED, fence=fence), fence)],
        inserted=[make_phase(f"b{revision}", position=revision)],
        outputs={"a": f'"{revision}"'},
        events=[
            PhaseCompleted(run_id=run_id, pipeline="pipeline", seq=seq, at=NOW, phase="a", attempt=1),
            CheckpointCreated(
                run_id=run_id,
                pipeline="pipeline",
                seq=seq + 1,
                at=NOW,
                phase="a",
                checkpoint="c",
                revision=revision,
            ),
        ],
        steps=[StepResult("a", 0, f"key-{revision}", "1")],
        signals=[make_signal(seq)],
    )


class Writes(StorageTests):
    """Units of work."""

    # ------------------------------------------------------------------ what is written reads back
    def test_every_field_of_a_run_reads_back_as_inserted(self, storage: Storage) -> None:
        """A run's row loses nothing on its way in and out."""
        runs = [replace(run, id=f"run-{n}") for n, run in enumerate(full_runs())]
        assert always_default(runs) == set()
        write(storage, *(make_unit(run, expected=0) for run in runs))
        assert [read(storage, run.id, run.namespace) for run in runs] == [(run, []) for run in runs]

    def test_every_field_of_a_phase_reads_back_as_inserted(self, storage: Storage) -> None:
        """A phase's row loses nothing on its way in and out, whatever its state."""
        rows = [replace(row, path=f"p{n}", position=n) for n, row in enumerate(full_phases())]
        assert always_default(rows) == {"gone_in_epoch"}
        write(storage, make_unit(make_run(epoch=3), inserted=rows))
        assert read(storage)[1] == rows

    def test_every_field_of_a_run_can_be_updated(self, storage: Storage) -> None:
        """The next revision replaces the row, also where a value gives way to none."""
        failed, active = full_runs()
        write(storage, make_unit(replace(failed, revision=1)))
        bare = replace(active, epoch=0, priority=100, started_at=None, updated_at=NOW, seq=0)
        bare = replace(
            bare, deadline=None, active_ms=0, active_since=None, expires_at=None, sla_at=None, breached=None
        )
        for revision, run in enumerate([active, failed, bare, failed], start=2):
            changed = replace(run, revision=revision)
            write(storage, make_unit(changed, amended=True))
            assert read(storage, changed.id, changed.namespace) == (changed, [])

    def test_every_field_of_a_phase_can_be_updated(self, storage: Storage) -> None:
        """A row is replaced as a whole, also where a value gives way to none.

        Path, epoch, position, generation, and when it should be over say which row it is, and stay.
        """
        rows = full_phases()
        write(storage, make_unit(make_run(epoch=3), inserted=rows[:1]))
        run, fence = make_run(epoch=3), rows[0].fence
        for n, row in enumerate([*rows[1:], *rows[::-1]]):
            run, changed = following(run), replace(row, fence=100 + n)
            write(storage, make_unit(run, updated=[(changed, fence)]))
            assert read(storage) == (run, [changed])
            fence = changed.fence

    def test_phases_stand_in_the_order_in_which_they_came_up(self, storage: Storage) -> None:
        """Neither their names nor later changes move them."""
        first = [make_phase("m", position=0), make_phase("z", position=1)]
        second = [
            make_phase("a", position=2),
            make_phase("z[10]", position=3),
            make_phase("z[9]", position=4),
        ]
        write(storage, make_unit(make_run(), inserted=first))
        write(
            storage,
            make_unit(make_run(revision=2), inserted=second, updated=[(replace(first[0], fence=1), 0)]),
        )
        assert [row.path for row in read(storage)[1]] == ["m", "z", "a", "z[10]", "z[9]"]

    def test_outputs_and_the_input_are_read_by_path(self, storage: Storage) -> None:
        """An output comes with an inserted or an updated row, and outlives updates that bring none."""
        ended = make_phase("ended", PhaseState.COMPLETED)
        open_ = make_phase("open", PhaseState.RUNNING, position=1)
        none = make_phase("none", PhaseState.SKIPPED, position=2)
        write(storage, make_unit(make_run(), inserted=[ended, open_, none], outputs={"ended": "[1]"}))
        done = make_phase("open", PhaseState.COMPLETED, position=1)
        write(storage, make_unit(make_run(revision=2), updated=[(done, 1)], outputs={"open": "null"}))
        write(storage, make_unit(make_run(revision=3), updated=[(replace(done, reason="again"), 1)]))
        expected = {"": INPUT_TEXT, "ended": "[1]", "open": "null"}
        assert dict(storage.values(NAMESPACE, "run", ["", "ended", "open", "none", "unknown"])) == expected
        assert dict(storage.values(NAMESPACE, "run", iter(["open"]))) == {"open": "null"}
        assert dict(storage.values(NAMESPACE, "run", [""])) == {"": INPUT_TEXT}
        assert dict(storage.values(NAMESPACE, "run", [])) == {}

    def test_steps_belong_to_one_generation_of_one_phase(self, storage: Storage) -> None:
        """Results are found by key, under the very path and generation they were stored with."""
        write(storage, new_run("run", make_phase("a"), make_phase("b")))
        steps = [
            StepResult("a", 0, "one", "1"), StepResult("a", 0, "two", "2"), StepResult("a", 1, "one", "3"),
            StepResult("b", 0, "one", "4"),
        ]  # fmt: skip
        write(storage, make_unit(make_run(revision=2), steps=steps))
        write(storage, make_unit(make_run(revision=3), steps=[StepResult("a", 0, "three", "5")]))
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {"one": "1", "two": "2", "three": "5"}
        assert dict(storage.steps(NAMESPACE, "run", "a", 1)) == {"one": "3"}
        assert dict(storage.steps(NAMESPACE, "run", "b", 0)) == {"one": "4"}
        assert dict(storage.steps(NAMESPACE, "run", "b", 1)) == {}

    def test_the_first_result_of_a_step_stays(self, storage: Storage) -> None:
        """Two calls of one step may overlap within a body; the second result is dropped and nothing fails."""
        write(storage, new_run("run", make_phase("a")))
        twice = [StepResult("a", 0, "key", "1"), StepResult("a", 0, "key", "2")]
        write(storage, make_unit(make_run(revision=2), steps=twice))
        write(storage, make_unit(make_run(revision=3), steps=[StepResult("a", 0, "key", "3")]))
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {"key": "1"}

    # ------------------------------------------------------------------ what bodies save of themselves
    def test_the_newest_that_a_body_saved_stays(self, storage: Storage) -> None:
        """It is read with the steps of its phase and generation, which are as they were."""
        write(storage, new_run("run", make_phase("a"), make_phase("b", position=1)))
        steps = [StepResult("a", 0, "key", "1")]
        saved = [SavedValue("a", 0, "2"), SavedValue("b", 0, "3")]
        write(storage, make_unit(make_run(revision=2), steps=steps, saved=saved))
        write(storage, make_unit(make_run(revision=3), saved=[SavedValue("a", 0, '"é"')]))
        write(storage, make_unit(make_run(revision=4), saved=[SavedValue("a", 1, "4")]))
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {"key": "1", KEPT: '"é"'}
        assert dict(storage.steps(NAMESPACE, "run", "a", 1)) == {KEPT: "4"}
        assert dict(storage.steps(NAMESPACE, "run", "b", 0)) == {KEPT: "3"}

    def test_what_a_body_saved_is_let_go_of(self, storage: Storage) -> None:
        """And nothing else; where nothing was saved nothing happens."""
        write(storage, new_run("run", make_phase("a"), make_phase("b", position=1)))
        steps = [StepResult("a", 0, "key", "1")]
        saved = [SavedValue("a", 0, "2"), SavedValue("b", 0, "3")]
        write(storage, make_unit(make_run(revision=2), steps=steps, saved=saved))
        write(storage, make_unit(make_run(revision=3), saved=[SavedValue("a", 0, None)]))
        write(storage, make_unit(make_run(revision=4), saved=[SavedValue("a", 0, None)]))
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {"key": "1"}
        assert dict(storage.steps(NAMESPACE, "run", "b", 0)) == {KEPT: "3"}

    def test_a_stale_unit_saves_nothing(self, storage: Storage) -> None:
        """What a body saves is a part of its unit."""
        write(storage, new_run("run", make_phase("a")))
        write(storage, make_unit(make_run(revision=2), saved=[SavedValue("a", 0, "1")]))
        late = make_unit(make_run(revision=2), saved=[SavedValue("a", 0, "2")])
        assert storage.commit([late]) == [STALE]
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {KEPT: "1"}

    # ------------------------------------------------------------------ guards
    def test_a_run_that_exists_is_not_inserted_again(self, storage: Storage) -> None:
        """The second insert is STALE, and the first stays as it is."""
        write(storage, new_run("run", make_phase("a")))
        before = everything(storage, "run", ["a", "other"])
        again = new_run("run", make_phase("other"), state=RunState.COMPLETED.value)
        assert storage.commit([again]) == [STALE]
        assert everything(storage, "run", ["a", "other"]) == before

    @pytest.mark.parametrize("expected", [1, 3])
    def test_a_unit_on_another_revision_is_stale(self, storage: Storage, expected: int) -> None:
        """Nothing of a unit stays that was decided on a run which has moved on, or is not there yet."""
        write(storage, new_run("run", make_phase("a", PhaseState.RUNNING)))
        write(storage, make_unit(make_run(revision=2)))
        before = everything(storage, "run", ["a", "b4"])
        assert storage.commit([rich_unit("run", 4, expected, fence=1)]) == [STALE]
        assert everything(storage, "run", ["a", "b4"]) == before

    def test_a_unit_for_a_run_that_is_not_there_is_stale(self, storage: Storage) -> None:
        """Only an insert makes a run."""
        assert storage.commit([make_unit(make_run(revision=2))]) == [STALE]
        assert storage.load(NAMESPACE, "run") is None

    @pytest.mark.parametrize("fence", [1, 3])
    def test_a_unit_under_another_fence_is_fenced(self, storage: Storage, fence: int) -> None:
        """Nothing of a unit stays that finishes a phase which is not held under its fence."""
        write(storage, new_run("run", make_phase("a", PhaseState.RUNNING, fence=2)))
        before = everything(storage, "run", ["a", "b2"])
        assert storage.commit([rich_unit("run", 2, 1, fence)]) == [FENCED]
        assert everything(storage, "run", ["a", "b2"]) == before

    def test_one_fence_of_many_is_enough(self, storage: Storage) -> None:
        """Rows of a fenced unit that were held well are not written either, whatever their order."""
        rows = [make_phase(path, PhaseState.RUNNING) for path in "abc"]
        write(storage, new_run("run", *rows))
        before = everything(storage, "run", "abc")
        for lost in range(len(rows)):
            updated = [
                (make_phase(row.path, PhaseState.COMPLETED), row.fence + (n == lost))
                for n, row in enumerate(rows)
            ]
            assert storage.commit([make_unit(make_run(revision=2), updated=updated)]) == [FENCED]
            assert everything(storage, "run", "abc") == before

    def test_a_row_that_is_not_there_is_held_by_nobody(self, storage: Storage) -> None:
        """An update of a phase that never came up is fenced."""
        write(storage, new_run("run", make_phase("a")))
        unknown = make_unit(make_run(revision=2), updated=[(make_phase("b", PhaseState.COMPLETED), 0)])
        assert storage.commit([unknown]) == [FENCED]
        assert read(storage)[0].revision == 1

    def test_revision_goes_before_fence(self, storage: Storage) -> None:
        """A unit that misses both guards is STALE: decided anew on the run as it is, it may hold."""
        write(storage, new_run("run", make_phase("a", PhaseState.RUNNING, fence=2)))
        write(storage, make_unit(make_run(revision=2)))
        assert storage.commit([rich_unit("run", 2, 1, fence=1)]) == [STALE]

    # ------------------------------------------------------------------ batches
    def test_units_fail_alone(self, storage: Storage) -> None:
        """Outcomes stand in the order of the units, and the good ones among the bad are stored."""
        runs = [f"run-{n}" for n in range(9)]
        write(storage, *(new_run(run_id, make_phase("a", PhaseState.RUNNING)) for run_id in runs))
        before = {run_id: everything(storage, run_id, ["a", "b2"]) for run_id in runs}
        stale, fenced = {1, 8}, {4, 5}
        units = [
            rich_unit(run_id, 2, 7 if n in stale else 1, fence=9 if n in fenced else 1)
            for n, run_id in enumerate(runs)
        ]
        expected = [STALE if n in stale else FENCED if n in fenced else COMMITTED for n in range(len(runs))]
        assert storage.commit(units) == expected
        unchanged = {run_id for run_id in runs if everything(storage, run_id, ["a", "b2"]) == before[run_id]}
        assert unchanged == {runs[n] for n in stale | fenced}
        written = [n for n in range(len(runs)) if runs[n] not in unchanged]
        assert [read(storage, runs[n])[0] for n in written] == [units[n].run for n in written]

    def test_an_insert_fails_alone(self, storage: Storage) -> None:
        """A run that exists does not keep new ones from being stored."""
        write(storage, new_run("b"))
        assert storage.commit([new_run("a"), new_run("b"), new_run("c")]) == [COMMITTED, STALE, COMMITTED]
        assert [storage.head(NAMESPACE, run_id) for run_id in "ac"] == [make_run("a"), make_run("c")]

    def test_a_batch_may_fail_as_a_whole(self, storage: Storage) -> None:
        """Each unit has its own outcome also where none is good."""
        assert storage.commit([make_unit(make_run(run_id, revision=2)) for run_id in "abc"]) == [STALE] * 3

    def test_a_batch_names_no_run_twice(self, storage: Storage) -> None:
        """Such a batch is refused before anything of it is written."""
        write(storage, new_run("run"))
        twice = [new_run("other"), make_unit(make_run(revision=2)), make_unit(make_run(revision=3))]
        with pytest.raises(ValueError, match="twice"):
            storage.commit(twice)
        assert storage.load(NAMESPACE, "other") is None
        assert read(storage)[0].revision == 1

    def test_an_empty_batch(self, storage: Storage) -> None:
        """There is nothing to say of no units."""
        assert storage.commit([]) == []

    def test_a_run_goes_on_from_what_was_committed(self, storage: Storage) -> None:
        """Each unit finds the revision and the fences that the one before it left."""
        run, row = make_run(), make_phase("a")
        write(storage, make_unit(run, inserted=[row]))
        for n in range(1, 6):
            run, fence = following(run, updated_at=NOW + n * SECOND), row.fence
            row = next_attempt(row)
            write(storage, make_unit(run, updated=[(row, fence)]))
        assert read(storage) == (run, [row])


def next_attempt(row: PhaseRecord) -> PhaseRecord:
    """Start a phase, or give it back."""
    if row.state is PhaseState.RUNNING:
        return replace(
            row, state=PhaseState.RETRYING, worker=None, lease_expires=None, failures=row.failures + 1
        )
    started = make_phase(row.path, PhaseState.RUNNING)
    return replace(started, fence=row.fence + 1, attempt=row.attempt + 1, failures=row.failures)
