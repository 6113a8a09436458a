"""An application as operators see it: what the command line is given. Told by the environment where to work."""

from __future__ import annotations

import os
from datetime import timedelta

from phaseline import Abort, Context, Pipeline, Retry, Runtime, Signal, each, phase

APPROVED = Signal[bool]("approved")


@phase
async def split(text: str) -> list[str]:
    """Give the words."""
    return text.split()


@phase
async def measure(word: str, ctx: Context) -> int:
    """Fail for a word that cannot be measured."""
    ctx.progress(1, 2, note="looking \x1b[31m")
    if word == "endless":
        raise Abort("it has no end\x1b[31m")
    return len(word)


@phase
async def total(lengths: list[int]) -> int:
    """Give the sum."""
    return sum(lengths)


letters = Pipeline("letters", split >> each(measure) >> total, retry=Retry(attempts=1))
asking = Pipeline("asking", split.wait_for(APPROVED))


def make() -> Runtime:
    """Make the runtime."""
    return Runtime(os.environ["KIOSK_STORAGE"], pipelines=[letters, asking], drain=timedelta(seconds=1))
