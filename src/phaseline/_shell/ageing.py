"""What waits for long goes first, so that strict priorities starve nobody."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from phaseline._shell.background import survived

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.ageing")

PAGE: Final = 500
PARTS: Final = 20
"""The background looks so often in the time after which what waits goes first; but never more often than the sweep, and at
least once in an hour."""


async def age(runner: Runner, age_after: timedelta) -> None:
    """Have, again and again, go first what has waited for so long."""
    pause = min(max(age_after / PARTS, runner.options.sweep_interval), timedelta(hours=1))
    while True:
        await runner.clock.rest(pause)
        with survived(log, f"what has waited for {age_after} could not be put first, and is later"):
            if await _age(runner, age_after) and runner.on_waiting is not None:
                runner.on_waiting(runner.clock.now())  # what is best among all that waits is another row now


async def _age(runner: Runner, age_after: timedelta) -> int:
    moved = 0
    while True:
        move = partial(runner.storage.age, runner.options.namespace, runner.clock.sql_now(), age_after, PAGE)
        found = await runner.off_loop(move)
        moved += found
        if found < PAGE:
            return moved
