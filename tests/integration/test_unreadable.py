"""A run is left alone of which what is stored cannot be read; it is named to whoever claims, and the others are begun."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from phaseline.storage.sql.access import Access
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.storage.base import ask, write
from phaseline.testing.storage.build import Take, make_phase, new_run

SPOILT = {
    "of the run": "UPDATE phaseline_pipeline_run SET spending = '{' WHERE id = 'spoilt'",
    "of a phase": "UPDATE phaseline_phase_execution SET error = '{' WHERE run_id = 'spoilt'",
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_claim_names_what_it_could_not_read(
    database: Callable[[], SqlStorage], spoilt: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And passes over it once it is named in turn."""

    def spoil(access: Access) -> None:
        access.control(storage.dialect.spell(SPOILT[spoilt]))

    storage = database()
    storage.open()
    try:
        for number, run_id in enumerate(("spoilt", "sound", "other")):
            write(storage, new_run(run_id, make_phase(priority=number)))
        storage._write_transaction(spoil)
        take = Take()
        claimed = ask(storage, take, limit=1)
        assert (take.paths, list(claimed.left_alone), claimed.waiting) == ([], ["spoilt"], 1)
        assert "run spoilt is left alone" in caplog.text
        claimed = ask(storage, take, left_alone=frozenset(claimed.left_alone))
        assert (take.paths, list(claimed.left_alone)) == ([("sound", "a"), ("other", "a")], [])
    finally:
        storage.close()
