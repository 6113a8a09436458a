"""What is shown of a run at a shell: what failed in it, what is tried again, and what was undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.apps.kiosk import letters
from tests.apps.till import PIPELINES, calls, sales
from tests.kiosk import Kiosk

from phaseline import Runtime
from phaseline.abc import Storage
from phaseline.cli.codes import ExitCode
from phaseline.errors import RunNotFoundError
from phaseline.inspection import detail_of, outline_of
from phaseline.rows import PhaseState
from phaseline.testing import FakeClock

TILL = "tests.apps.till:make"


def test_what_is_tried_again_says_when(kiosk: Kiosk) -> None:
    """And how many attempts there may be."""

    async def begun() -> tuple[str, str]:
        async with Runtime(kiosk.url, pipelines=PIPELINES) as runtime:
            handle = await runtime.start(calls, 1)
            async for event in handle.events():
                if event.type == "PHASE_RETRYING":
                    break
            row = (await handle.run()).phases["ring"]
            assert PhaseState.RETRYING == row.state
            return handle.id, f"{row.available_at:%Y-%m-%d %H:%M:%S} UTC"

    run_id, again_at = anyio.run(begun)
    told = kiosk.ask("runs", "show", run_id, place=TILL).stdout
    assert f"↻ ring  attempt 1 of 4  ConnectionError: nobody is there  again at {again_at}" in told


def test_who_cancelled_a_run_is_shown(kiosk: Kiosk) -> None:
    """And why, in words and as data."""
    run_id = kiosk.start(letters, "one two", serve=False)
    kiosk.ask("runs", "cancel", run_id, "--reason", "too late")
    assert "commanded: CANCELLED by user:ann: too late\n" in kiosk.ask("runs", "show", run_id).stdout
    last = kiosk.data("runs", "show", run_id)["history"][-1]
    assert ("CANCELLED", "too late", "user:ann") == (last["target"], last["reason"], last["actor"])


def test_what_was_undone_is_shown(kiosk: Kiosk) -> None:
    """In that order; only that of the rollback after which the run stands."""

    async def begun() -> str:
        async with Runtime(kiosk.url, pipelines=PIPELINES) as runtime:
            handle = await runtime.start(sales, 1)
            await handle.result()
            await handle.rollback()
            await handle.wait(timedelta(seconds=30))
            return handle.id

    run_id = anyio.run(begun)
    shown = kiosk.ask("runs", "show", run_id, place=TILL)
    assert "sales ROLLED_BACK" in shown.stdout
    assert "\nundone: ship~ charge~\n" in shown.stdout
    rows_alone = kiosk.ask("runs", "show", run_id, place=kiosk.url).stdout
    assert "\nundone: ship~ charge~\n" in rows_alone
    assert "✓" not in rows_alone

    async def again() -> None:
        async with Runtime(kiosk.url, pipelines=PIPELINES) as runtime:
            handle = await runtime.get(run_id, sales)
            await handle.restart()
            await handle.result()

    anyio.run(again)
    assert "undone" not in kiosk.ask("runs", "show", run_id, place=TILL).stdout

    async def partly() -> None:
        async with Runtime(kiosk.url, pipelines=PIPELINES) as runtime:
            handle = await runtime.get(run_id, sales)
            await handle.rollback("charge")
            await handle.wait(timedelta(seconds=30))

    anyio.run(partly)
    assert "\nundone: ship~\n" in kiosk.ask("runs", "show", run_id, place=TILL).stdout


def test_of_the_storage_alone_what_stands_in_the_rows_is_shown(kiosk: Kiosk) -> None:
    """And said that the rest needs code; also as JSON, in the same words."""
    run_id = kiosk.start(letters, "one endless", tags=["urgent"])
    found = kiosk.ask("runs", "show", run_id, place=kiosk.url)
    assert ExitCode.DONE == found.exit_code, found.stderr
    tree = [line.strip("│├└─ ").split("  ")[0] for line in found.stdout.splitlines()[1:4]]
    assert ["✓ split", "✗ measure", "✗ [1]"] == tree
    assert ("tags: urgent" in found.stdout, "commands:" in found.stdout) == (True, False)
    assert "pipeline 'letters' is not registered here" in found.stderr
    assert "name the runtime that has it: --runtime MODULE:NAME" in found.stderr
    told = kiosk.ask("runs", "show", run_id, "--json", place=kiosk.url)
    outline, whole = json.loads(told.stdout), kiosk.data("runs", "show", run_id)
    assert {**whole, "allowed": []} == outline
    missing = kiosk.ask("runs", "show", "nobody", place=kiosk.url)
    assert (ExitCode.NOT_FOUND, True) == (missing.exit_code, "no run 'nobody'" in missing.stderr)


async def test_the_rows_of_a_run_are_read_without_its_pipeline(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """On each database: the same as with it, but for what is to be obeyed and the output."""
    async with Runtime(database(), pipelines=PIPELINES, clock=clock) as runtime:
        run = await runtime.run(sales, 1)
        whole = await detail_of(runtime, run.id)
    async with Runtime(database(), serve=False, clock=clock) as runtime:
        told, same = await outline_of(runtime, run.id)
        with pytest.raises(RunNotFoundError):
            await outline_of(runtime, "nobody")
    assert whole.model_copy(update={"allowed": (), "output": None}) == told
    assert (run.phases, run.history, run.checkpoints) == (same.phases, same.history, same.checkpoints)


def test_a_file_that_is_named_as_a_runtime_is_told_as_a_url(
    kiosk: Kiosk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is a database; another file is none."""
    kiosk.start(letters, "one")
    monkeypatch.chdir(tmp_path)
    found = kiosk.ask("runs", "list", "-r", "runs.db")
    assert ExitCode.UNUSABLE == found.exit_code
    assert "'runs.db' is a file, and names no runtime: write sqlite:///runs.db\n" == found.stderr
    assert ExitCode.DONE == kiosk.ask("runs", "list", "-r", "sqlite:///runs.db").exit_code
    (tmp_path / "shop.py").write_text("runtime = None")
    for other in ("shop.py", "nothing.db"):
        assert f"{other!r} does not name a runtime; write MODULE:NAME" in (
            kiosk.ask("runs", "list", "-r", other).stderr
        )
