"""What bodies did, written down outside of the library; and where a process is held, to be killed or stopped there.

Told by the environment: ``EFFECTS`` names the log; ``HOLD`` lists moments such as ``ship:begin``, or ``3:ship:begin``
for that of run number 3, divided by commas: whoever comes to one of them writes it down, and waits until the file
``RELEASE`` exists.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from phaseline import Context

LOG, RELEASE = Path(os.environ["EFFECTS"]), Path(os.environ["RELEASE"])
HOLD = os.environ["HOLD"].split(",")


def write(what: str, moment: str, ctx: Context | None = None, number: int | None = None) -> bool:
    """Add a line that survives the death of this process; gives whether it is to be held here."""
    line = {"what": f"{what}:{moment}", "pid": os.getpid(), "at": time.time()}
    if ctx is not None:
        line |= {"run": number if number is not None else ctx.run_id, "attempt": ctx.attempt}
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
    return line["what"] in HOLD or f"{number}:{line['what']}" in HOLD


def note(what: str, moment: str, ctx: Context | None = None, number: int | None = None) -> None:
    """Write a moment down; held, the thread waits."""
    if write(what, moment, ctx, number):
        while not RELEASE.exists():
            time.sleep(0.01)


async def note_async(what: str, moment: str, ctx: Context, number: int | None = None) -> None:
    """Write a moment down; held, the task waits, and others go on."""
    if write(what, moment, ctx, number):
        while not await anyio.Path(RELEASE).exists():  # noqa: ASYNC110  # another process makes the file
            await anyio.sleep(0.01)


@contextmanager
def noted(ctx: Context, number: int | None = None) -> Iterator[None]:
    """Write down begin and end of a body that runs in a thread."""
    note(ctx.phase, "begin", ctx, number)
    yield
    note(ctx.phase, "end", ctx, number)
