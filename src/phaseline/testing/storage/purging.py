"""``purge``: runs that have ended are deleted, each as a whole, and nothing else."""

from __future__ import annotations

from functools import partial
from itertools import chain

from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.events import CheckpointCreated
from phaseline.rows import PhaseState, RunRecord, RunState
from phaseline.run_filter import EVERY_RUN, RunFilter
from phaseline.testing.storage.base import (
    PLENTY,
    STALE,
    MakeStorage,
    StorageTests,
    ask,
    at_once,
    everything,
    read,
    write,
)
from phaseline.testing.storage.build import (
    NAMESPACE,
    NOW,
    SECOND,
    Take,
    following,
    make_phase,
    make_run,
    make_signal,
    make_unit,
    new_run,
)
from phaseline.unit_of_work import Outcome, StepResult

PATHS = ["a", "b"]


def write_full(storage: Storage, run: RunRecord) -> None:
    """Store a run that has something of every kind; it ends with its second revision."""
    began = replace(run, state="DECOMPOSING", revision=1, seq=1, ended_at=None, error=None, signals=2)
    events = [
        CheckpointCreated(
            run_id=run.id, pipeline="pipeline", seq=1, at=NOW, phase="a", checkpoint="c", revision=1
        )
    ]
    write(
        storage,
        make_unit(
            began,
            inserted=[make_phase("a", PhaseState.COMPLETED), make_phase("b", position=1)],
            outputs={"a": '"of a"'},
            events=events,
            steps=[StepResult("a", 0, "key", "1")],
            signals=[make_signal(1), make_signal(2)],
        ),
    )
    ended = replace(run, revision=2, seq=1, signals=2)
    write(
        storage, make_unit(ended, updated=[(make_phase("b", PhaseState.COMPLETED, position=1, fence=1), 0)])
    )


def over(
    run_id: str, state: RunState = RunState.COMPLETED, *, seconds: int = 0, **fields: object
) -> RunRecord:
    """A run that ended so many seconds after NOW."""
    return make_run(run_id, state=state.value, ended_at=NOW + seconds * SECOND, **fields)


class Purging(StorageTests):
    """Retention."""

    def test_nothing_of_a_purged_run_is_left(self, storage: Storage) -> None:
        """Whatever of it there was, in whichever table; another run, and one of equal id elsewhere, keep all of theirs."""
        marks = ("#tag", "customer=1")
        gone = over("gone", key="k", marks=marks)
        kept, elsewhere = over("kept", marks=marks), over("gone", namespace="else", key="k", marks=marks)
        for run in (gone, kept, elsewhere):
            write_full(storage, run)
        before = everything(storage, "kept", PATHS), everything(storage, "gone", PATHS, "else")
        assert list(storage.purge(NAMESPACE, RunFilter(to_id="h"), PLENTY)) == ["gone"]
        assert storage.load(NAMESPACE, "gone") is None
        assert storage.head(NAMESPACE, "gone") is None
        assert storage.keyed(NAMESPACE, "pipeline", "k") is None
        assert not storage.is_committed(NAMESPACE, "gone", 0)
        assert everything(storage, "gone", PATHS) == (None, {}, [], [], [{}, {}, {}, {}])
        assert [run.id for run in storage.find(NAMESPACE, RunFilter(marks=marks), limit=9)] == ["kept"]
        assert dict(storage.count(NAMESPACE)) == {"COMPLETED": 1}
        assert (everything(storage, "kept", PATHS), everything(storage, "gone", PATHS, "else")) == before

    def test_a_run_of_the_same_id_and_key_starts_from_nothing(self, storage: Storage) -> None:
        """It sees no value, event, step, signal or mark of the one that was there before."""
        write_full(storage, over("run", key="k", marks=("#old",)))
        storage.purge(NAMESPACE, EVERY_RUN, PLENTY)
        new = new_run("run", make_phase("a"), key="k")
        write(storage, new)
        assert read(storage) == (new.run, list(new.inserted))
        assert dict(storage.values(NAMESPACE, "run", PATHS)) == {}
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {}
        assert not storage.events(NAMESPACE, "run", 0, PLENTY)
        assert not storage.checkpoints(NAMESPACE, "run")
        assert not storage.find(NAMESPACE, RunFilter(marks=("#old",)), limit=1)
        rows = storage.load(NAMESPACE, "run")
        assert rows is not None
        assert not rows.signals

    def test_runs_that_go_on_are_never_purged(self, storage: Storage) -> None:
        """However old they are, and whatever the filter says."""
        states = ["IDLE", "INITIALIZING", "DECOMPOSING", "PAUSED", "ROLLING_BACK"]
        write(storage, *(new_run(f"run-{state}", make_phase("a"), state=state) for state in states))
        for wanted in (EVERY_RUN, RunFilter(ended=False), RunFilter(states=frozenset(states))):
            assert not storage.purge(NAMESPACE, wanted, PLENTY)
        assert sum(storage.count(NAMESPACE).values()) == len(states)

    def test_what_is_wanted_is_purged(self, storage: Storage) -> None:
        """By state, pipeline, marks, time of the end."""
        write(
            storage,
            make_unit(over("id-0"), expected=0),
            make_unit(over("id-1", RunState.FAILED, seconds=1), expected=0),
            make_unit(over("id-2", seconds=2, pipeline="other"), expected=0),
            make_unit(over("id-3", RunState.CANCELLED, seconds=3, marks=("#a",)), expected=0),
            make_unit(over("id-4", RunState.ROLLED_BACK, seconds=4), expected=0),
        )
        for wanted, expected in (
            (RunFilter(ended_before=NOW), []),
            (RunFilter(ended_before=NOW + SECOND), ["id-0"]),
            (RunFilter(ended_since=NOW + 5 * SECOND), []),
            (RunFilter(states=frozenset({"CANCELLED"}), marks=("#b",)), []),
            (RunFilter(states=frozenset({"CANCELLED", "IDLE"}), marks=("#a",)), ["id-3"]),
            (RunFilter(pipelines=frozenset({"other"})), ["id-2"]),
            (RunFilter(ended_before=NOW + 4 * SECOND), ["id-1"]),
            (EVERY_RUN, ["id-4"]),
        ):
            assert dict(storage.count(NAMESPACE, wanted)) == dict(_states(storage, expected))
            assert list(storage.purge(NAMESPACE, wanted, PLENTY)) == expected

    def test_the_first_go_first(self, storage: Storage) -> None:
        """At most so many as are asked for, in the order of their ids; who goes on comes to an end."""
        write(storage, *(make_unit(over(f"id-{n}"), expected=0) for n in range(5)))
        assert list(storage.purge(NAMESPACE, EVERY_RUN, 2)) == ["id-0", "id-1"]
        assert list(storage.purge(NAMESPACE, EVERY_RUN, 2)) == ["id-2", "id-3"]
        assert list(storage.purge(NAMESPACE, EVERY_RUN, 2)) == ["id-4"]
        assert list(storage.purge(NAMESPACE, EVERY_RUN, 2)) == []

    def test_what_is_decided_on_a_purged_run_is_stale(self, storage: Storage) -> None:
        """A command that comes too late finds no run, and brings nothing back."""
        run = over("run", marks=("#a",))
        write_full(storage, run)
        storage.purge(NAMESPACE, EVERY_RUN, PLENTY)
        late = following(replace(run, revision=2), state="IDLE", ended_at=None)
        assert storage.commit([make_unit(late, updated=[(make_phase("b", fence=2), 1)])]) == [STALE]
        assert storage.load(NAMESPACE, "run") is None

    def test_claims_go_on_beside_it(self, storage: Storage) -> None:
        """A row that waited in a run that is gone is in nobody's way."""
        write(storage, new_run("gone", make_phase("a"), make_phase("b")), new_run("next", make_phase("a")))
        ended = replace(make_run("gone", revision=2), state="CANCELLED", ended_at=NOW)
        skipped = [(make_phase(path, PhaseState.SKIPPED, position=n), 0) for n, path in enumerate(PATHS)]
        write(storage, make_unit(ended, updated=skipped))
        assert list(storage.purge(NAMESPACE, EVERY_RUN, PLENTY)) == ["gone"]
        take = Take()
        assert ask(storage, take).waiting is None
        assert take.paths == [("next", "a")]

    def test_several_who_purge_at_once_purge_each_run_once(self, open_storage: MakeStorage) -> None:
        """Beside others who write."""
        storage = open_storage()
        write(storage, *(make_unit(over(f"id-{n:02}"), expected=0) for n in range(40)), new_run("zz"))

        def purge() -> list[str]:
            gone: list[str] = []
            while page := storage.purge(NAMESPACE, EVERY_RUN, 7):
                gone += page
            return gone

        def write_on() -> list[str]:
            for revision in range(2, 12):
                assert storage.commit([make_unit(make_run("zz", revision=revision))]) == [Outcome.COMMITTED]
            return []

        gone = at_once(storage, partial(purge), partial(purge), write_on)
        assert sorted(chain(*gone)) == [f"id-{n:02}" for n in range(40)]
        assert dict(storage.count(NAMESPACE)) == {"IDLE": 1}


def _states(storage: Storage, ids: list[str]) -> dict[str, int]:
    states = [read(storage, run_id)[0].state for run_id in ids]
    return {state: states.count(state) for state in states}
