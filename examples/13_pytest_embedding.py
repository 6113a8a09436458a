"""Tests of an application that embeds phaseline; run it with pytest. The two fixtures come with the package."""

# ruff: noqa: S101  # pytest works by assert

from __future__ import annotations

from datetime import timedelta

import pytest

from phaseline import Context, PhaseState, Pipeline, Retry, phase
from phaseline.testing import EventRecorder, FakeClock, OpenRuntime

pytestmark = pytest.mark.anyio  # the plugin of anyio runs the async tests


# --------------------------------------------------------------------- the application
@phase(retry=Retry(attempts=2, wait=timedelta(minutes=10)))
async def fetch(url: str, ctx: Context) -> str:
    if ctx.attempt == 1:
        msg = "no connection"
        raise OSError(msg)
    return f"page at {url}"


pages = Pipeline("pages", fetch)


# --------------------------------------------------------------------- its tests
@pytest.fixture
def anyio_backend() -> str:
    """Run the async tests on asyncio alone."""
    return "asyncio"


async def test_a_failed_fetch_is_repeated_after_ten_minutes(
    phaseline_runtime: OpenRuntime, phaseline_clock: FakeClock
) -> None:
    async with phaseline_runtime(pages) as runtime:
        with EventRecorder(runtime.bus) as recorder:
            handle = await runtime.start(pages, "example.org")
            await phaseline_clock.advance(timedelta(minutes=9))
            assert (await handle.run()).phases["fetch"].state is PhaseState.RETRYING
            await phaseline_clock.advance(timedelta(minutes=1))
            assert await handle.result() == "page at example.org"
    assert [event.phase for event in recorder.of("PHASE_RETRYING")] == ["fetch"]


def test_what_a_run_of_it_may_go_through() -> None:
    assert pages.transitions.allowed("FETCH") == {"COMPLETED", "FAILED", "PAUSED", "CANCELLED"}
