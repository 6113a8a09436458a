"""Step 5: tests of the shop. No database, no waiting: ``pytest test_shop.py``."""

from datetime import timedelta

import pytest
from parcels import parcels
from refunds import APPROVED, refunds
from shop import add_up, orders

pytestmark = pytest.mark.anyio  # anyio came with phaseline; its plugin runs tests that are async


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_phase_is_a_function():
    assert add_up(["tea", "tea"]) == 8


def test_a_pipeline_runs_in_memory():
    run = orders.run_sync(["tea"])
    assert run.output == "Thank you! Here is your receipt for 4 euros."


async def test_a_delivery_is_tried_again(phaseline_runtime, phaseline_clock):
    async with phaseline_runtime(parcels) as runtime:
        handle = await runtime.start(parcels, ["mug"])
        await phaseline_clock.advance(timedelta(seconds=1))  # the second passes at once
        assert await handle.result() == 1


async def test_a_refund_can_be_refused(phaseline_runtime):
    async with phaseline_runtime(refunds) as runtime:
        handle = await runtime.start(refunds, "I changed my mind")
        await handle.signal(APPROVED, False)
        assert await handle.result() == "refund, because I changed my mind: refused"
