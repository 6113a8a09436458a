"""A run is left alone of which what is stored cannot be read; it is named to whoever claims, and the others are begun."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import anyio
import pytest
from anyio import to_thread
from msgspec.structs import replace

from phaseline import Pipeline, Runtime, phase
from phaseline._shell.paging import page_by_page
from phaseline.events import PhaseFailed
from phaseline.rows import PhaseState, Progress
from phaseline.run_filter import EVERY_RUN
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.storage.base import ask, everything, write
from phaseline.testing.storage.build import ERROR, NAMESPACE, NOW, Take, dead_run, make_phase, new_run
from phaseline.usage import Reservation, Spending, Usage

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
        assert (take.paths, list(claimed.quarantined), claimed.waiting) == ([], ["spoilt"], 1)
        assert "run spoilt is left alone" in caplog.text
        claimed = ask(storage, take, quarantined=frozenset(claimed.quarantined))
        assert (take.paths, list(claimed.quarantined)) == ([("sound", "a"), ("other", "a")], [])
    finally:
        storage.close()


@phase
async def double(value: int) -> int:
    return 2 * value


doubling = Pipeline("doubling", double)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def test_what_a_dead_worker_held_is_taken_over_behind_what_cannot_be_read(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More of that than a sweep reads at once; each is told once, and not with every sweep."""
    monkeypatch.setattr("phaseline._shell.worker.page_by_page", partial(page_by_page, size=2))
    spoilt = [f"a-{number}" for number in range(5)]

    def leave_behind() -> None:
        storage, plan = database(), doubling.plan
        storage.open()
        held = make_phase(
            "double", PhaseState.RUNNING, worker="gone", lease_expires=LONG_AGO, available_at=LONG_AGO
        )
        for run_id in (*spoilt, "b"):
            unit = new_run(
                run_id, held, pipeline=plan.name, version=plan.version, fingerprint=plan.fingerprint
            )
            write(storage, replace(unit, input="3"))
        statement = "UPDATE phaseline_phase_execution SET error = '{' WHERE run_id LIKE 'a-%'"
        storage._write_transaction(lambda access: access.control(storage.dialect.spell(statement)))
        storage.close()

    await to_thread.run_sync(leave_behind)
    async with Runtime(database(), pipelines=[doubling], namespace=NAMESPACE) as runtime:
        with anyio.fail_after(8):
            assert await (await runtime.get("b", doubling)).result() == 6
            await anyio.sleep(1.2)  # two sweeps
    for run_id in spoilt:
        assert caplog.text.count(f"run {run_id} is left as it is") == 1


LATER = {
    ("pipeline_run", "error"): "category",
    ("pipeline_run", "spending"): "requests",
    ("phase_execution", "error"): "category",
    ("phase_execution", "progress"): "done",
    ("dead_letter", "error"): "category",
    ("event", "data"): "category",
}
"""Texts with names and values, by where they stand, each with a name in it before which a later version writes another one."""


def test_what_a_later_version_wrote_beside_is_left_out(database: Callable[[], SqlStorage]) -> None:
    """One such row stopped lists and purges of its whole namespace, while versions ran side by side in an upgrade."""

    def add(access: Access) -> None:
        for (table, column), name in LATER.items():
            statement = (
                f"UPDATE phaseline_{table} SET {column} = replace({column}, ?, ?) WHERE {column} LIKE ?"  # noqa: S608  # names of ours
            )
            given = f'"{name}":', f'"hint":1,"{name}":', f'%"{name}":%'
            assert access.changed(storage.dialect.spell(statement), given) > 0, (table, column)

    def stored() -> object:
        runs, letters = storage.find(NAMESPACE, limit=9), storage.letters(NAMESPACE, limit=9)
        return everything(storage, "dead", ["a"]), runs, letters

    storage = database()
    storage.open()
    try:
        spending = Spending({"a": Usage(requests=1)}, (Reservation("a", 1, "key", Usage(requests=2)),))
        row = make_phase(state=PhaseState.FAILED, error=ERROR, progress=Progress(done=1, note="half"))
        event = PhaseFailed(
            run_id="dead", pipeline="pipeline", seq=1, at=NOW, phase="a", attempt=1, error=ERROR
        )
        unit = dead_run("dead")
        run = replace(unit.run, spending=spending, seq=1)
        write(storage, replace(unit, run=run, inserted=(row,), events=(event,)))
        before = stored()
        storage._write_transaction(add)
        assert stored() == before
        assert storage.purge(NAMESPACE, EVERY_RUN, 9) == ["dead"]
    finally:
        storage.close()
