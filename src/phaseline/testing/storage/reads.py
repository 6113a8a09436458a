"""``load``, ``head``, ``values``, ``steps``, ``checkpoints`` and ``events``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from phaseline.abc import Beginning, Storage
from phaseline.events import (
    ENGINE_EVENTS,
    CheckpointCreated,
    ChildStarted,
    DeadLetterDiscarded,
    Emitted,
    ErrorOccurred,
    Event,
    PhaseCompensated,
    PhaseCompensationFailed,
    PhaseCompleted,
    PhaseDeadLettered,
    PhaseFailed,
    PhaseProgress,
    PhaseRetrying,
    PhaseSkipped,
    PhaseStarted,
    PipelineAnnotated,
    PipelineCancelled,
    PipelineCompleted,
    PipelineFailed,
    PipelineForked,
    PipelinePaused,
    PipelineRestarted,
    PipelineResumed,
    PipelineRetried,
    PipelineRolledBack,
    PipelineRollingBack,
    PipelineStarted,
    Severity,
    SignalReceived,
    SlaBreached,
    Transition,
    UsageRecorded,
)
from phaseline.rows import Checkpoint, PhaseState, RunState
from phaseline.testing.storage.base import PLENTY, StorageTests, everything, read, write
from phaseline.testing.storage.build import (
    ERROR,
    INPUT_TEXT,
    NAMESPACE,
    NOW,
    SECOND,
    make_phase,
    make_run,
    make_unit,
    new_run,
)
from phaseline.unit_of_work import StepResult


def at(seq: int, phase: str | None = None, transition: Transition | None = None) -> dict[str, Any]:
    """The fields that every event has."""
    return {
        "run_id": "run",
        "pipeline": "pipeline",
        "seq": seq,
        "at": NOW + seq * SECOND,
        "phase": phase,
        "transition": transition,
    }


def every_kind_of_event() -> list[Event]:
    """One event of each kind that is stored, with a value in every field, and some with as few as may be."""
    move = Transition("IDLE", "INITIALIZING")
    payload: dict[str, Any] = {
        "text": 'a "b" \u2028 \N{SNOWMAN}',
        "nothing": None,
        "list": [1, -2.5, True, {"deep": []}],
        "": 1,
    }
    number = count(1)
    return [
        PipelineStarted(**at(next(number), None, move)),
        PipelineCompleted(**at(next(number), None, move)),
        PipelineFailed(**at(next(number), None, move), error=ERROR),
        *(
            kind(**at(next(number), None, move), reason="why", actor="ada")
            for kind in (PipelinePaused, PipelineResumed)
        ),
        *(
            kind(**at(next(number), "a", move), reason="why", actor="ada", epoch=2)
            for kind in (
                PipelineCancelled,
                PipelineRetried,
                PipelineRestarted,
                PipelineRollingBack,
                PipelineRolledBack,
            )
        ),
        PipelineAnnotated(**at(next(number)), note="seen", reason="why", actor="ada"),
        PipelineForked(**at(next(number), "a"), fork="copy", origin="else", reason="why", actor="ada"),
        SignalReceived(**at(next(number)), signal="approved", key="k", id="mail"),
        SignalReceived(**at(next(number)), signal="approved"),
        ChildStarted(**at(next(number), "a"), child="c", child_pipeline="p", close="cancel", again=True),
        DeadLetterDiscarded(**at(next(number)), reason="why", actor="ada"),
        PipelinePaused(**at(next(number), None, move)),
        PhaseStarted(**at(next(number), "a", move), attempt=2, fence=3, worker="w-1", total=4),
        PhaseStarted(**at(next(number), "a"), attempt=1, fence=1),
        PhaseCompleted(**at(next(number), "a", move), attempt=2, length=0),
        PhaseCompleted(**at(next(number), "a"), attempt=2),
        PhaseFailed(**at(next(number), "a", move), attempt=2, error=ERROR),
        ErrorOccurred(**at(next(number), "a"), severity=Severity.CRITICAL, error=ERROR, attempt=2),
        ErrorOccurred(**at(next(number)), severity=Severity.WARNING, error=ERROR),
        PhaseDeadLettered(**at(next(number), "a"), category="SYSTEM", attempts=2, crashes=1, input="x"),
        PhaseDeadLettered(**at(next(number)), category="TIMEOUT", attempts=0, crashes=0),
        PhaseCompensated(**at(next(number), "a~"), attempt=2),
        PhaseCompensationFailed(**at(next(number), "a~"), attempt=2, error=ERROR),
        PhaseRetrying(**at(next(number), "a", move), attempt=2, reason="failed", again_at=NOW, error=ERROR),
        PhaseRetrying(**at(next(number), "a"), attempt=2, reason="lost", again_at=NOW.replace(microsecond=0)),
        PhaseSkipped(
            **at(next(number), "a", move), reason="why", count=2, paths=("a", "b[1]"), live=True, length=7
        ),
        PhaseSkipped(**at(next(number), "a"), reason=""),
        CheckpointCreated(**at(next(number), "a", move), checkpoint="run:13", revision=2, epoch=3),
        SlaBreached(**at(next(number), "a"), sla_at=NOW, state="RETRYING"),
        UsageRecorded(
            **at(next(number), "a[3]"),
            key="call",
            requests=2,
            input_tokens=3,
            output_tokens=4,
            cost=Decimal("5.000000001"),
        ),
        Emitted(**at(next(number), "a", move), name="ORDER_SHIPPED", payload=payload),
        Emitted(**at(next(number)), name="NOTHING_MORE", payload={}),
    ]


class Reads(StorageTests):
    """What is read of a run."""

    def test_every_kind_of_event_reads_back(self, storage: Storage) -> None:
        """An event loses nothing on its way in and out; an application's own comes back as what it emitted."""
        told = every_kind_of_event()
        stored_kinds = {*ENGINE_EVENTS.values(), Emitted} - {PhaseProgress}
        assert {type(event) for event in told} == stored_kinds
        write(storage, make_unit(make_run(seq=len(told)), events=told))
        assert list(storage.events(NAMESPACE, "run", 0, PLENTY)) == told

    def test_events_come_in_order_and_in_pages(self, storage: Storage) -> None:
        """Whoever asks for those above the last one it has reads each of them once, whatever the page."""
        write(storage, new_run("run"))
        told: list[Event] = []
        for revision in range(2, 9):
            seq = len(told)
            more = [Emitted(**at(seq + n), name="E", payload={"n": n}) for n in range(1, revision)]
            told += more
            write(storage, make_unit(make_run(revision=revision, seq=len(told)), events=more))
        total = len(told)
        for size in (1, 5, total, PLENTY):
            pages: list[Event] = []
            while page := storage.events(NAMESPACE, "run", len(pages), size):
                assert len(page) == min(size, total - len(pages))
                pages += page
            assert pages == told
        assert list(storage.events(NAMESPACE, "run", total - 1, PLENTY)) == told[-1:]
        assert list(storage.events(NAMESPACE, "run", total, PLENTY)) == []
        assert list(storage.events(NAMESPACE, "run", total + 100, PLENTY)) == []

    def test_checkpoints_are_kept_in_the_order_of_their_making(self, storage: Storage) -> None:
        """Each ``CheckpointCreated`` makes one; of several in one unit the first is the oldest, whatever its name."""
        write(storage, new_run("run"))
        expected: list[Checkpoint] = []
        seq = 0
        for revision, many in enumerate([1, 12, 0, 3], start=2):
            events: list[Event] = [Emitted(**at(seq + 1), name="E", payload={})]
            seq += 1
            for _ in range(many):
                seq += 1
                name = f"run:{seq}"
                events.append(
                    CheckpointCreated(**at(seq, f"p{seq}"), checkpoint=name, revision=revision, epoch=4)
                )
                expected.append(Checkpoint(name, f"p{seq}", revision, 4, NOW + seq * SECOND))
            write(storage, make_unit(make_run(revision=revision, seq=seq), events=events))
        assert list(storage.checkpoints(NAMESPACE, "run")) == expected

    def test_the_head_is_the_row_of_the_run(self, storage: Storage) -> None:
        """It is what ``load`` gives, without the phases."""
        write(storage, new_run("run", make_phase("a"), make_phase("b")))
        assert storage.head(NAMESPACE, "run") == make_run() == read(storage)[0]

    def test_a_value_that_was_handed_on_is_read_where_it_is_kept(self, storage: Storage) -> None:
        """A row may say that its output is that of another phase, or the run's input: it is read as if it were its own."""
        rows = [make_phase(path, PhaseState.RUNNING, position=n) for n, path in enumerate("abcd")]
        write(storage, make_unit(make_run(), inserted=rows))
        for n, (row, same_as) in enumerate(zip(rows, ("", None, "b", "b"), strict=True)):
            done = make_phase(row.path, PhaseState.COMPLETED, position=n, same_as=same_as)
            outputs = {row.path: '"new"'} if same_as is None else {}
            write(storage, make_unit(make_run(revision=n + 2), updated=[(done, 1)], outputs=outputs))
        expected = {"": INPUT_TEXT, "a": INPUT_TEXT, "b": '"new"', "c": '"new"', "d": '"new"'}
        assert dict(storage.values(NAMESPACE, "run", [*expected])) == expected
        assert {path: storage.values(NAMESPACE, "run", [path])[path] for path in expected} == expected
        assert [row.same_as for row in read(storage)[1]] == ["", None, "b", "b"]
        begun = {path: storage.beginning(NAMESPACE, "run", path, 3) for path in expected}
        assert begun == {path: Beginning.of(text, 3) for path, text in expected.items()}

    def test_of_a_value_the_beginning_is_read(self, storage: Storage) -> None:
        """So many characters, also where some take several bytes; and how many bytes the whole has."""
        text = '"aé€\U0001f600z"'
        row = make_phase("a", PhaseState.RUNNING)
        write(storage, make_unit(make_run(), inserted=[row]))
        done = make_phase("a", PhaseState.COMPLETED)
        write(storage, make_unit(make_run(revision=2), updated=[(done, 1)], outputs={"a": text}))
        for characters in range(1, len(text) + 2):
            begun = storage.beginning(NAMESPACE, "run", "a", characters)
            assert begun == Beginning(text[:characters], len(text.encode()), characters >= len(text))
        assert storage.beginning(NAMESPACE, "run", "", 9_999) == Beginning.of(INPUT_TEXT, 9_999)
        for run_id, path in (("run", "b"), ("unknown", ""), ("unknown", "a")):
            assert storage.beginning(NAMESPACE, run_id, path, 9) is None

    @pytest.mark.parametrize(
        ("namespace", "run_id"), [(NAMESPACE, "unknown"), ("unknown", "run"), (NAMESPACE, "")]
    )
    def test_of_a_run_that_is_not_there_nothing_is_read(
        self, storage: Storage, namespace: str, run_id: str
    ) -> None:
        """No verb that reads complains; each gives nothing."""
        write(
            storage, make_unit(make_run(seq=1), inserted=[make_phase("a")], events=every_kind_of_event()[:1])
        )
        assert storage.load(namespace, run_id) is None
        assert storage.head(namespace, run_id) is None
        assert dict(storage.values(namespace, run_id, ["", "a"])) == {}
        assert dict(storage.steps(namespace, run_id, "a", 0)) == {}
        assert list(storage.checkpoints(namespace, run_id)) == []
        assert list(storage.events(namespace, run_id, 0, PLENTY)) == []

    def test_runs_of_equal_id_in_two_namespaces_are_two_runs(self, storage: Storage) -> None:
        """Every row of every kind belongs to one of them; one batch may write both."""
        spaces = ["one", "two"]
        units = [
            make_unit(
                make_run(namespace=space, seq=1, pipeline=space),
                inserted=[make_phase("a", PhaseState.COMPLETED, reason=space)],
                outputs={"a": f'"{space}"'},
                events=[
                    CheckpointCreated(
                        **dict[str, Any](at(1, "a"), pipeline=space), checkpoint=space, revision=1
                    )
                ],
                steps=[StepResult("a", 0, "key", f'"{space}"')],
            )
            for space in spaces
        ]
        write(storage, *units)
        untouched = everything(storage, "run", ["a"], "one")
        again = make_unit(
            make_run(namespace="two", revision=2),
            updated=[(make_phase("a", PhaseState.COMPLETED, reason="changed", fence=2), 1)],
            outputs={"a": '"changed"'},
        )
        for unit, space in zip(units, spaces, strict=True):
            assert read(storage, "run", space) == (unit.run, list(unit.inserted))
            assert dict(storage.values(space, "run", ["", "a"])) == {"": INPUT_TEXT, "a": f'"{space}"'}
            assert [point.id for point in storage.checkpoints(space, "run")] == [space]
            assert list(storage.events(space, "run", 0, PLENTY)) == list(unit.events)
            assert dict(storage.steps(space, "run", "a", 0)) == {"key": f'"{space}"'}
        write(storage, again)
        assert everything(storage, "run", ["a"], "one") == untouched
        assert dict(storage.values("two", "run", ["a"])) == {"a": '"changed"'}

    @pytest.mark.parametrize(
        "moment",
        [
            NOW.replace(microsecond=1),
            NOW.replace(microsecond=999_999),
            NOW.replace(year=1969, microsecond=999_999),
            NOW.replace(year=2999, microsecond=1),
        ],
        ids=str,
    )
    def test_times_are_kept_to_the_microsecond(self, storage: Storage, moment: datetime) -> None:
        """Every time of every record reads back equal, and in UTC."""
        row = make_phase(
            "a", PhaseState.RUNNING, available_at=moment, lease_expires=moment, started_at=moment
        )  # fmt: skip
        ended = make_phase("b", PhaseState.COMPLETED, position=1, ended_at=moment)
        run = make_run(created_at=moment, updated_at=moment, started_at=moment, seq=2)
        over = make_run("over", state=RunState.COMPLETED.value, ended_at=moment)
        events = [
            CheckpointCreated(
                run_id="run", pipeline="pipeline", seq=1, at=moment, phase="a", checkpoint="c", revision=1
            ),
            PhaseRetrying(
                run_id="run",
                pipeline="pipeline",
                seq=2,
                at=moment,
                phase="a",
                attempt=1,
                reason="failed",
                again_at=moment,
            ),
        ]
        write(storage, make_unit(run, inserted=[row, ended], events=events), make_unit(over))
        assert read(storage) == (run, [row, ended])
        assert read(storage, "over")[0] == over
        assert list(storage.events(NAMESPACE, "run", 0, PLENTY)) == events
        assert [point.created_at for point in storage.checkpoints(NAMESPACE, "run")] == [moment]
        assert read(storage)[0].created_at.utcoffset() == moment.utcoffset()
        assert read(storage)[1][0].available_at.utcoffset() == moment.utcoffset()
        later = moment + moment.resolution
        storage.renew(NAMESPACE, "w-1", moment, later)
        assert read(storage)[1][0].lease_expires == later
