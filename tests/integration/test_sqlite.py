"""What is SQLite's alone: its mode, and others who hold the file locked."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phaseline.errors import StorageUnavailableError
from phaseline.run_filter import RunFilter
from phaseline.storage.sql import migrations, store
from phaseline.storage.sql import sqlite as dialect
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.storage.base import write
from phaseline.testing.storage.build import NAMESPACE, make_phase, new_run


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqlStorage]:
    """One on a new file, that is not open."""
    made = SqlStorage(f"sqlite:///{tmp_path / 'runs.db'}")
    try:
        yield made
    finally:
        made.close()


def busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_BUSY", 5
    return error


def test_no_connection_writes_that_was_not_prepared(
    storage: SqlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file could not be switched to WAL at first, it is at the next use."""
    refused: list[object] = []
    switch = dialect._write_ahead

    def refuse_once(connection: object) -> None:
        if not refused:
            refused.append(connection)
            raise busy()
        switch(connection)

    monkeypatch.setattr(dialect, "_write_ahead", refuse_once)
    storage.open()
    assert len(refused) == 1
    assert storage._on_writer(lambda ask: ask.value("PRAGMA journal_mode")) == "wal"


def test_tables_of_an_older_version_are_brought_up_to_date(
    storage: SqlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By opening them; with what they hold."""
    unit = new_run("old", make_phase("a"), marks=('schedule="a"',))
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "LATEST", 1)
        storage.open()
        write(storage, unit)
        storage.close()
    storage.open()
    assert storage.schema_version() == migrations.LATEST > 1
    (found,) = storage.find(NAMESPACE, RunFilter(marks=unit.run.marks, ended=False), limit=2)
    assert found == unit.run


def test_a_file_that_does_not_become_wal(storage: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says so by the mode that it answers with; it is no error to it, but to us."""

    class Stubborn:
        def execute(self, _: str) -> Stubborn:
            return self

        def fetchone(self) -> tuple[str]:
            return ("delete",)

    switch = dialect._write_ahead
    monkeypatch.setattr(dialect, "_write_ahead", lambda _: switch(Stubborn()))
    with pytest.raises(StorageUnavailableError, match="'delete'; put it on a local disk"):
        storage.open()


def test_a_lock_of_others_is_waited_out(storage: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whole transactions, with pauses between them that differ and grow, and an end."""
    storage.open()
    pauses: list[float] = []
    monkeypatch.setattr(store.time, "sleep", pauses.append)
    tries: list[Any] = []

    def work(ask: Access) -> int:
        tries.append(ask)
        if len(tries) < store.BUSY_TRIES:
            raise busy()
        return 7

    assert storage._write_transaction(work) == 7
    assert len(pauses) == store.BUSY_TRIES - 1
    assert all(0 < pause <= store.BUSY_PAUSE * 2**tried for tried, pause in enumerate(pauses, 1))
    with pytest.raises(
        StorageUnavailableError, match=r"locked; .* is open in this one, .* start\(connection="
    ):
        storage._write_transaction(lambda _: (_ for _ in ()).throw(busy()))
    assert len(pauses) == 2 * (store.BUSY_TRIES - 1)


def test_no_mark_of_a_statement_is_numbered() -> None:
    """To the driver of Python 3.12.1 such a mark is a name, and values that are a sequence come with a warning; which may be an error."""
    statements = {name: text for name, text in vars(dialect).items() if name.isupper() and "?" in str(text)}
    assert {"UPDATE_PHASE", "UPDATE_LEVEL", "INSERT_EVENT", "DELETE_MARK"} <= statements.keys()
    assert [name for name, text in statements.items() if re.search(r"\?\d", text)] == []
