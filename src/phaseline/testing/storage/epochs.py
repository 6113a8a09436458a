"""Rows that are gone: kept as history, and no part of the run any more."""

from __future__ import annotations

from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.events import CheckpointCreated
from phaseline.rows import PhaseRecord, PhaseState, Progress
from phaseline.testing.storage.base import FENCED, PLENTY, StorageTests, ask, read, write
from phaseline.testing.storage.build import (
    DEFINITION,
    ERROR,
    LEASE,
    NAMESPACE,
    NOW,
    Take,
    make_phase,
    make_run,
    make_unit,
    new_run,
)

COMPLETED, RUNNING, PENDING = PhaseState.COMPLETED, PhaseState.RUNNING, PhaseState.PENDING


def gone(row: PhaseRecord) -> tuple[PhaseRecord, int]:
    """Give a row as epoch 1 leaves it, and the fence that it had."""
    cut = row
    if row.ended_at is None:
        cut = replace(
            row, state=PhaseState.SKIPPED, fence=row.fence + 1, worker=None, lease_expires=None, live=False,
            reason="cut", ended_at=NOW,
        )  # fmt: skip
    return replace(cut, gone_in_epoch=1, generation=row.generation + 1), row.fence


def begin(storage: Storage) -> list[PhaseRecord]:
    """Store a run with a phase that has an output and a checkpoint, one that runs, and one that waits."""
    rows = [make_phase("a", COMPLETED), make_phase("b", RUNNING, fence=3), make_phase("c", PENDING)]
    rows = [replace(row, position=n) for n, row in enumerate(rows)]
    point = CheckpointCreated(
        run_id="run", pipeline="pipeline", seq=1, at=NOW, phase="a", checkpoint="run:1", revision=1, epoch=0
    )
    write(storage, make_unit(make_run(seq=1), inserted=rows, outputs={"a": '"of a"'}, events=[point]))
    return rows


class Epochs(StorageTests):
    """``Unit.dropped``, and what comes up in the place of such rows."""

    def test_what_goes_may_be_ended_by_the_same_unit(self, storage: Storage) -> None:
        """With all that its end says of it: that it was late, how far it was, and no error of an attempt before."""
        held = make_phase("a", RUNNING, error=ERROR, sla_at=NOW)
        write(storage, new_run("run", held))
        dropped, fence = gone(replace(held, error=None, progress=Progress(done=1, total=2), breached=7))
        write(storage, make_unit(make_run(revision=2, seq=7, epoch=1), dropped=[(dropped, fence)]))
        assert read(storage)[1] == [dropped]

    def test_what_is_gone_is_read_as_such_and_has_no_output_and_no_checkpoint(self, storage: Storage) -> None:
        """Rows that stay keep theirs."""
        a, b, c = begin(storage)
        write(storage, make_unit(make_run(revision=2, seq=1, epoch=1), dropped=[gone(b), gone(c)]))
        assert read(storage)[1] == [a, gone(b)[0], gone(c)[0]]
        assert dict(storage.values(NAMESPACE, "run", ["a"])) == {"a": '"of a"'}
        assert [point.id for point in storage.checkpoints(NAMESPACE, "run")] == ["run:1"]

        write(storage, make_unit(make_run(revision=3, seq=1, epoch=1), dropped=[gone(a)]))
        assert [row.gone_in_epoch for row in read(storage)[1]] == [1, 1, 1]
        assert dict(storage.values(NAMESPACE, "run", ["a", "b"])) == {}
        assert list(storage.checkpoints(NAMESPACE, "run")) == []
        assert len(storage.events(NAMESPACE, "run", 0, PLENTY)) == 1

    def test_a_phase_that_came_up_again_is_read_as_it_is_now(self, storage: Storage) -> None:
        """The newest row of each phase, in their order, with the output and the checkpoint of this time."""
        a, b, c = begin(storage)
        again = make_phase("a", PENDING, epoch=1, generation=1, fence=1, position=0)
        late = make_phase("d", PENDING, epoch=1, position=3)
        drop = [gone(row) for row in (a, b, c)]
        write(storage, make_unit(make_run(revision=2, seq=1, epoch=1), dropped=drop, inserted=[late, again]))
        assert read(storage)[1] == [again, gone(b)[0], gone(c)[0], late]
        assert dict(storage.values(NAMESPACE, "run", ["a"])) == {}

        done = make_phase("a", COMPLETED, epoch=1, generation=1, fence=2, position=0)
        point = CheckpointCreated(
            run_id="run",
            pipeline="pipeline",
            seq=2,
            at=NOW,
            phase="a",
            checkpoint="run:2",
            revision=3,
            epoch=1,
        )
        write(
            storage,
            make_unit(
                make_run(revision=3, seq=2, epoch=1), updated=[(done, 1)], outputs={"a": "2"}, events=[point]
            ),
        )
        assert read(storage)[1][0] == done
        assert dict(storage.values(NAMESPACE, "run", ["a"])) == {"a": "2"}
        assert [point.id for point in storage.checkpoints(NAMESPACE, "run")] == ["run:2"]

    def test_a_phase_can_be_gone_more_than_once(self, storage: Storage) -> None:
        """Each of its rows is kept under its epoch, and the newest is read."""
        a, _, _ = begin(storage)
        again = make_phase("a", COMPLETED, epoch=1, generation=1, position=0)
        write(
            storage,
            make_unit(make_run(revision=2, seq=1, epoch=1), dropped=[gone(a)], inserted=[again]),
        )
        last = replace(again, gone_in_epoch=2, generation=2)
        write(storage, make_unit(make_run(revision=3, seq=1, epoch=2), dropped=[(last, again.fence)]))
        assert read(storage)[1][0] == last

    def test_what_was_written_since_tells_of_what_is_gone(self, storage: Storage) -> None:
        """Who knows the run already learns it with the changes."""
        a, b, _ = begin(storage)
        again = make_phase("b", PENDING, epoch=1, fence=4, position=1)
        drops = [gone(a), gone(b)]
        run = make_run(revision=2, seq=1, epoch=1)
        write(storage, make_unit(run, dropped=drops, inserted=[again]))
        found = storage.load(NAMESPACE, "run", since=1)
        assert found is not None
        assert (found.run, list(found.phases), found.since) == (run, [gone(a)[0], again], 1)

    def test_nobody_claims_holds_or_loses_what_is_gone(self, storage: Storage) -> None:
        """A row that waited, and one that ran, are nobody's work any more."""
        _, b, c = begin(storage)
        write(storage, make_unit(make_run(revision=2, seq=1, epoch=1), dropped=[gone(b), gone(c)]))
        take = Take()
        claimed = ask(storage, take)
        assert (take.paths, claimed.next_due, claimed.waiting) == ([], None, None)
        assert not storage.renew(NAMESPACE, "w-1", NOW, NOW + LEASE)
        assert list(storage.lost(NAMESPACE, NOW + 9 * LEASE, ["w-1"], [DEFINITION], PLENTY)) == []

    def test_a_row_under_another_fence_is_not_dropped(self, storage: Storage) -> None:
        """Nothing of the unit is written."""
        rows = begin(storage)
        unit = make_unit(make_run(revision=2, seq=1, epoch=1), dropped=[gone(rows[0]), (gone(rows[1])[0], 2)])
        assert storage.commit([unit]) == [FENCED]
        assert read(storage) == (make_run(seq=1), rows)

    def test_the_rows_of_other_runs_stay(self, storage: Storage) -> None:
        """Paths are those of one run."""
        a, _, _ = begin(storage)
        other = make_phase("a", COMPLETED)
        write(storage, new_run("other", other))
        write(storage, make_unit(make_run(revision=2, seq=1, epoch=1), dropped=[gone(a)]))
        assert read(storage, "other")[1] == [other]
