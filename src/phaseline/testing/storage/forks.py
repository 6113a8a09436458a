"""``Unit.begins``: a copy of a run is inserted in the transaction of a unit of that run, with values of its own."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.events import PipelineForked
from phaseline.rows import PhaseRecord, PhaseState, RunRecord
from phaseline.run_filter import RunFilter
from phaseline.testing.storage.base import (
    COMMITTED,
    FENCED,
    PLENTY,
    STALE,
    StorageTests,
    ask,
    everything,
    read,
    write,
)
from phaseline.testing.storage.build import (
    INPUT_TEXT,
    NAMESPACE,
    NOW,
    Take,
    make_phase,
    make_run,
    make_unit,
)
from phaseline.unit_of_work import KEPT, SavedValue, StepResult, Unit

PATHS = ["a", "b", "c", "d"]


def taken_over(path: str, decided: int, **fields: Any) -> PhaseRecord:
    """A row as a copy has it of another run."""
    return make_phase(path, PhaseState.COMPLETED, decided=decided, **fields)


def copying(run: RunRecord, copy: str = "copy", **fields: Any) -> Unit:
    """A unit of a run that inserts a copy of it: two phases are taken over, the third waits."""
    forked = make_unit(
        make_run(copy, forked_from=run.id, marks=run.marks, seq=1),
        inserted=[
            taken_over("a", -1),
            taken_over("b", 0, same_as="a", position=1),
            make_phase("c", position=2),
        ],
        events=[PipelineForked(run_id=copy, pipeline="pipeline", seq=1, at=NOW, origin=run.id)],
    )
    event = PipelineForked(run_id=run.id, pipeline="pipeline", seq=run.seq, at=NOW, fork=copy)
    return make_unit(run, events=[event], begins=[replace(forked, input="")], **fields)


def begin(storage: Storage) -> RunRecord:
    """Store a run that has completed two phases and is busy with the third; gives its next row."""
    run = make_run(marks=("#tag",))
    write(
        storage,
        make_unit(
            run,
            inserted=[
                make_phase("a", PhaseState.COMPLETED),
                make_phase("b", PhaseState.COMPLETED, same_as="a", position=1),
                make_phase("c", PhaseState.COMPLETED, position=2),
            ],
            outputs={"a": '"large"', "c": '"late"'},
            steps=[StepResult("a", 0, "key", "1"), StepResult("c", 0, "key", "2")],
            saved=[SavedValue("a", 0, "3"), SavedValue("c", 0, "4")],
        ),
    )
    return replace(run, revision=2, seq=1)


class Forks(StorageTests):
    """Copies of runs."""

    def test_a_copy_has_the_input_and_the_outputs_that_it_took_over(self, storage: Storage) -> None:
        """And what is kept beside them; of the rest nothing."""
        run = begin(storage)
        before = storage.checkpoints(NAMESPACE, "run"), storage.values(NAMESPACE, "run", PATHS)
        write(storage, copying(run))
        stored, rows = read(storage, "copy")
        assert (stored.forked_from, stored.revision, stored.marks) == ("run", 1, ("#tag",))
        assert [(row.path, row.decided) for row in rows] == [("a", -1), ("b", 0), ("c", None)]
        expected = {"": INPUT_TEXT, "a": '"large"', "b": '"large"'}
        assert dict(storage.values(NAMESPACE, "copy", ["", *PATHS])) == expected
        assert dict(storage.steps(NAMESPACE, "copy", "a", 0)) == {KEPT: "3"}
        assert dict(storage.steps(NAMESPACE, "copy", "c", 0)) == {}
        assert [event.data["origin"] for event in storage.events(NAMESPACE, "copy", 0, PLENTY)] == ["run"]
        assert [event.data["fork"] for event in storage.events(NAMESPACE, "run", 0, PLENTY)] == ["copy"]
        after = storage.checkpoints(NAMESPACE, "run"), storage.values(NAMESPACE, "run", PATHS)
        assert before == after

    def test_a_copy_is_a_run_like_any_other(self, storage: Storage) -> None:
        """It is found by its marks, and what waits of it is claimed."""
        write(storage, copying(begin(storage)))
        assert [run.id for run in storage.find(NAMESPACE, RunFilter(marks=("#tag",)), limit=PLENTY)] == [
            "copy",
            "run",
        ]
        take = Take()
        ask(storage, take)
        assert [(rows.run.id, list(paths)) for rows, paths in take.asked] == [("copy", ["c"])]

    def test_an_output_of_the_same_unit_is_taken_over(self, storage: Storage) -> None:
        """As the unit leaves it."""
        run = begin(storage)
        done = make_phase("a", PhaseState.COMPLETED, reason="again")
        write(storage, copying(run, updated=[(done, 1)], outputs={"a": '"newer"'}))
        assert dict(storage.values(NAMESPACE, "copy", ["a"])) == {"a": '"newer"'}

    def test_a_unit_that_is_not_written_leaves_no_copy(self, storage: Storage) -> None:
        """A stale one, a fenced one, and one whose copy is there already."""
        run = begin(storage)
        stale = replace(run, revision=4)
        assert storage.commit([copying(stale)]) == [STALE]
        fenced = copying(run, updated=[(make_phase("a", PhaseState.COMPLETED), 9)])
        assert storage.commit([fenced]) == [FENCED]
        assert storage.load(NAMESPACE, "copy") is None
        write(storage, make_unit(make_run("copy")))
        before = everything(storage, "run", PATHS), everything(storage, "copy", PATHS)
        assert storage.commit([copying(run)]) == [FENCED]
        assert (everything(storage, "run", PATHS), everything(storage, "copy", PATHS)) == before

    def test_copies_are_written_beside_other_units(self, storage: Storage) -> None:
        """One that fails alone takes none of the others with it."""
        run = begin(storage)
        units = [copying(run), make_unit(make_run("other")), make_unit(make_run("late", revision=2))]
        assert storage.commit(units) == [COMMITTED, COMMITTED, STALE]
        assert dict(storage.values(NAMESPACE, "copy", ["b"])) == {"b": '"large"'}

    def test_a_copy_outlives_its_origin(self, storage: Storage) -> None:
        """It has values of its own."""
        run = begin(storage)
        write(storage, copying(run))
        ended = replace(run, revision=3, state="COMPLETED", ended_at=NOW)
        write(storage, make_unit(ended))
        before = everything(storage, "copy", PATHS)
        assert list(storage.purge(NAMESPACE, RunFilter(), PLENTY)) == ["run"]
        assert everything(storage, "copy", PATHS) == before
