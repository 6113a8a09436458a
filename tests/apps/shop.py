"""An application with a worker: what ``phaseline worker`` and ``dramatiq`` are given. Told by the environment where to work."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from datetime import timedelta
from pathlib import Path

import anyio

from phaseline import Context, Pipeline, Runtime, phase, serving
from phaseline.queues.dramatiq import worker_broker
from phaseline.storage.sql.store import SqlStorage

FOLDER = Path(os.environ.get("SHOP_FOLDER", "."))
URL, SCHEMA = os.environ.get("SHOP_STORAGE", "sqlite:///shop.db"), os.environ.get("SHOP_SCHEMA", "phaseline")
DRAIN = timedelta(seconds=1)
BROKER = os.environ.get("SHOP_BROKER")
if "SHOP_CLOSING" in os.environ:
    serving.CLOSING = timedelta(seconds=float(os.environ["SHOP_CLOSING"]))


@phase
async def pack(order: str, ctx: Context) -> str:
    """Take half a second from the moment at which the worker is told to stop."""
    await anyio.Path(FOLDER, f"{order}.packing").touch()
    while not await anyio.Path(FOLDER, "stopping").exists():  # noqa: ASYNC110  # another process makes the file
        await anyio.sleep(0.01)
    await anyio.sleep(0.5)
    await anyio.Path(FOLDER, f"{order}.heap").write_text(f"{gc.get_threshold()[0]} {gc.get_freeze_count()}")
    return order


@phase
async def wait_for_stock(order: str) -> str:
    """Take longer than any worker has at its end."""
    await anyio.Path(FOLDER, f"{order}.waiting").touch()
    await anyio.sleep(600)
    return order


@phase
async def call(order: str) -> str:
    """Wait for something that has no bound of its own: a body that does not end, one that ends without its thread, or all others."""
    await anyio.Path(FOLDER, f"{order}.calling").touch()
    if order == "blocking":
        time.sleep(600)  # noqa: ASYNC251  # the commonest mistake
    elif order == "ending":
        await asyncio.to_thread(time.sleep, 600)
    else:
        await anyio.to_thread.run_sync(time.sleep, 600)
    return order


@phase(queue="billing")
async def bill(order: str) -> int:
    """Tell who did it."""
    return os.getpid()


packing = Pipeline("packing", pack)
waiting = Pipeline("waiting", wait_for_stock)
calling = Pipeline("calling", call)
billing = Pipeline("billing", bill)

runtime = Runtime(
    SqlStorage(URL, schema=SCHEMA),
    pipelines=[packing, waiting, calling, billing],
    queue=BROKER or "memory",
    drain=DRAIN,
)
broker = worker_broker(runtime) if BROKER else None


def make() -> Runtime:
    """Make a runtime, as an application may prefer."""
    return Runtime(
        SqlStorage(URL, schema=SCHEMA), pipelines=[packing, waiting, calling, billing], drain=DRAIN
    )


client = Runtime(SqlStorage(URL, schema=SCHEMA), serve=False)
