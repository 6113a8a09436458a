"""What is shown of a run at a shell: what failed in it, what is tried again, and what was undone."""

from __future__ import annotations

from datetime import timedelta

import anyio
from tests.apps.till import PIPELINES, calls, sales
from tests.kiosk import Kiosk

from phaseline import Runtime
from phaseline.rows import PhaseState

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
