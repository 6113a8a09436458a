"""Many more sequences than the suite has time for: ``python -m nox -s crash``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.all_at_once import one_of_each, try_sequences
from tests.databases import Database

SEQUENCES, STEPS = 40, 60


@pytest.mark.timeout(3_600)
def test_memory_sqlite_and_postgres_tell_the_same(tmp_path: Path, postgres_schema: Database) -> None:
    """As in the suite, for longer."""
    with one_of_each(tmp_path, postgres_schema) as storages:
        try_sequences(storages, SEQUENCES, STEPS)
