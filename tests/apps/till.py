"""An application whose phases fail, are tried again and are undone, as operators see it. Told by the environment where to work."""

from __future__ import annotations

import os
from datetime import timedelta

from phaseline import Pipeline, Retry, Runtime, phase


async def give_back(_amount: int, _receipt: int) -> None:
    """Undo a charge."""


@phase(compensate=give_back)
async def charge(amount: int) -> int:
    """Give a receipt."""
    return amount


@phase(compensate=give_back)
async def ship(receipt: int) -> int:
    """Give the number of a parcel."""
    return receipt


@phase(retry=Retry(attempts=4, wait=timedelta(hours=1)))
async def ring(number: int) -> int:
    """Fail."""
    raise ConnectionError("nobody is there")


sales = Pipeline("sales", charge >> ship)
calls = Pipeline("calls", ring)
PIPELINES = [sales, calls]


def make() -> Runtime:
    """Make the runtime."""
    return Runtime(os.environ["KIOSK_STORAGE"], pipelines=PIPELINES)
