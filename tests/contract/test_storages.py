"""Every storage passes the contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from tests.databases import Database

from phaseline.rows import PhaseRecord, PhaseState, WaitKind
from phaseline.storage.encoded import EncodedStorage
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import StorageContract
from phaseline.testing.storage.base import write
from phaseline.testing.storage.build import ERROR, NAMESPACE, NOW, make_phase, make_run, make_unit, new_run
from phaseline.unit_of_work import Outcome


class TestMemory(StorageContract):
    @pytest.fixture
    def make_storage(self) -> Callable[[], MemoryStorage]:
        return MemoryStorage


class Marked:
    """Marks each text on its way in; so what was not written, or was not read, by it is seen."""

    def encode(self, text: str, /) -> str:
        return f"~{text}"

    def decode(self, text: str, /) -> str:
        assert text.startswith("~")
        assert not text.startswith("~~")
        return text[1:]


class TestEncodedMemory(StorageContract):
    @pytest.fixture
    def make_storage(self) -> Callable[[], EncodedStorage]:
        return lambda: EncodedStorage(MemoryStorage(), Marked())


class _SqlTests(StorageContract):
    """What only tables can be asked."""

    @pytest.mark.parametrize(
        ("row", "outputs"),
        [
            (make_phase("a", PhaseState.COMPLETED, same_as=""), {"a": "1"}),
            (make_phase("a", PhaseState.SKIPPED, same_as=""), {}),
            (make_phase("a", PhaseState.COMPLETED, same_as="a"), {}),
        ],
        ids=["an output of its own", "nothing to hand on", "itself"],
    )
    def test_no_row_refers_to_a_value_that_it_cannot_have(
        self, storage: SqlStorage, row: PhaseRecord, outputs: dict[str, str]
    ) -> None:
        """The tables refuse it, whoever writes it."""
        assert [Outcome.FENCED] == storage.commit([make_unit(make_run(), inserted=[row], outputs=outputs)])
        assert storage.head(NAMESPACE, "run") is None

    def test_a_value_is_that_of_its_time(self, storage: SqlStorage) -> None:
        """Where the phase that kept a value ran again in a later epoch, what was handed on before stays what it was."""
        old = [
            make_phase("a", PhaseState.COMPLETED),
            make_phase("b", PhaseState.COMPLETED, position=1, same_as="a"),
        ]
        again = [make_phase("a", PhaseState.COMPLETED, position=2, epoch=2)]
        write(storage, make_unit(make_run(), inserted=old, outputs={"a": '"old"'}))
        write(storage, make_unit(make_run(revision=2), inserted=again, outputs={"a": '"new"'}))
        assert {"b": '"old"'} == storage.values(NAMESPACE, "run", ["b"])

    @pytest.mark.parametrize(
        "row",
        [
            make_phase(epoch=-1),
            make_phase(worker="w-1"),
            make_phase(lease_expires=NOW),
            make_phase(worker="w-1", lease_expires=NOW),
            make_phase(wait_kind=WaitKind.SIGNAL),
            make_phase(state=PhaseState.RUNNING, wait_kind=WaitKind.TIMER),
            make_phase(state=PhaseState.RUNNING, wait_kind=WaitKind.TIMER, due_at=NOW, wait_key="k"),
            make_phase(state=PhaseState.RUNNING, wait_kind=WaitKind.SIGNAL, wait_key=""),
            make_phase(state=PhaseState.RUNNING, due_at=NOW),
            make_phase(ended_at=NOW),
            make_phase(state=PhaseState.SKIPPED, ended_at=None, decided=None),
            make_phase(state=PhaseState.FAILED, error=None),
            make_phase(decided=1),
            make_phase(state=PhaseState.COMPLETED, decided=None),
            make_phase(state=PhaseState.COMPLETED, gone_in_epoch=0),
            make_phase(gone_in_epoch=1),
        ],
    )
    def test_no_phase_is_in_an_impossible_state(
        self, storage: SqlStorage, row: PhaseRecord, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The tables refuse what no decision can lead to, and the log says so."""
        if row.gone_in_epoch is None:
            unit = make_unit(make_run(), inserted=[row])
        else:
            write(storage, make_unit(make_run(), inserted=[make_phase()]))
            unit = make_unit(make_run(revision=2), dropped=[(row, 0)])
        assert [Outcome.FENCED] == storage.commit([unit])
        assert "refuse a unit of work" in caplog.text

    @pytest.mark.parametrize(
        "fields",
        [
            {"epoch": -1},
            {"priority": 1_000},
            {"seq": -1},
            {"signals": -1},
            {"active_ms": -1},
            {"active_since": NOW},
            {"expires_at": NOW},
            {"key": ""},
            {"marks": ("",)},
            {"error": ERROR},
            {"state": "FAILED", "error": None},
            {"state": "COMPLETED", "ended_at": None},
            {"ended_at": NOW},
        ],
        ids=str,
    )
    def test_no_run_is_in_an_impossible_state(
        self, storage: SqlStorage, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither is a run."""
        assert [Outcome.FENCED] == storage.commit([make_unit(make_run(**fields))])
        assert "refuse a unit of work" in caplog.text


class TestPostgres(_SqlTests):
    @pytest.fixture
    def make_storage(self, postgres: Database) -> Callable[[], SqlStorage]:
        return lambda: SqlStorage(postgres.url, schema=postgres.schema)


class TestSqlite(_SqlTests):
    @pytest.fixture
    def make_storage(self, tmp_path: Path) -> Callable[[], SqlStorage]:
        return lambda: SqlStorage(f"sqlite:///{tmp_path / 'runs.db'}")

    def test_opening_waits_for_who_writes(
        self, make_storage: Callable[[], SqlStorage], tmp_path: Path
    ) -> None:
        """While another writes to a file that is not in WAL mode yet, SQLite itself would refuse at once."""
        storage = make_storage()
        with closing(
            sqlite3.connect(tmp_path / "runs.db", isolation_level=None, check_same_thread=False)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            release = Timer(0.2, other.execute, ["COMMIT"])
            release.start()
            storage.open()
            release.join()
        storage.close()

    def test_what_the_tables_refuse_is_refused_alone(
        self, storage: SqlStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A row that no decision can lead to fails its own unit, and the log says what was wrong with it."""
        impossible = make_phase("a", PhaseState.COMPLETED, ended_at=None)
        batch = [new_run("good", make_phase("a")), new_run("bad", impossible), new_run("fine")]
        outcomes = storage.commit(batch)
        assert [Outcome.COMMITTED, Outcome.FENCED, Outcome.COMMITTED] == outcomes
        heads = [storage.head(NAMESPACE, unit.run.id) for unit in batch]
        assert [make_run("good"), None, make_run("fine")] == heads
        (record,) = caplog.records
        assert "run bad" in record.getMessage()
        assert "CHECK constraint failed" in record.getMessage()
