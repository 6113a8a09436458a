"""Whatever befalls runs, in whatever order: memory, SQLite and PostgreSQL tell the same, and keep the promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.all_at_once import one_of_each, try_sequences
from tests.databases import Database

SEQUENCES, STEPS = 20, 40


@pytest.mark.timeout(300)  # a failure is made as short as it can be
def test_memory_sqlite_and_postgres_tell_the_same(tmp_path: Path, postgres_schema: Database) -> None:
    """Any sequence of what workers, operators and time do leaves all three alike, and the promises kept."""
    with one_of_each(tmp_path, postgres_schema) as storages:
        try_sequences(storages, SEQUENCES, STEPS)
