"""Runs that ended long ago are purged: when somebody asks, or by and by in the background."""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import attrs
from anyio.lowlevel import checkpoint

from phaseline._shell.background import survived
from phaseline._shell.ids import first_id
from phaseline.run_filter import EVERY_RUN, RunFilter

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log = logging.getLogger("phaseline.retention")

BATCH = 100
"""Runs that are purged in one transaction."""
PARTS = 20
"""The background looks so often in the time for which runs are kept; but never more often than once in a second, and at
least once in an hour."""
FIRST_REST = timedelta(minutes=1)
"""At most so long is rested before the first look: a process need not live for hours to purge, and those that crash again and
again do not look each time they begin."""


async def purge(runner: Runner, wanted: RunFilter) -> int:
    """Purge what is wanted, batch by batch, each in a transaction of its own; gives how many runs that were."""
    purged = 0
    while True:
        batch = partial(runner.storage.purge, runner.options.namespace, wanted, BATCH)
        gone = await runner.off_loop(batch)
        if not gone:
            return purged
        purged += len(gone)
        wanted = attrs.evolve(
            wanted, from_id=gone[-1]
        )  # what stands before it is kept: it need not be read again
        await checkpoint()


def older_than(runner: Runner, age: timedelta, wanted: RunFilter = EVERY_RUN) -> RunFilter:
    """Of the runs that are wanted, mean those that ended so long ago."""
    try:
        moment = runner.clock.now() - age
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC)
    # What ended before it was created before it: later ids need not be read.
    return attrs.evolve(wanted, ended=True, ended_before=moment, to_id=first_id(moment))


async def keep_for(runner: Runner, age: timedelta) -> None:
    """Purge, again and again, the runs that ended so long ago."""
    pause = min(max(age / PARTS, timedelta(seconds=1)), timedelta(hours=1))
    # Processes that were started together do not look together.
    rest = min(pause, FIRST_REST) * random.random()  # noqa: S311  # no secret
    while True:
        await runner.clock.rest(rest)
        rest = pause * random.uniform(0.8, 1)  # noqa: S311  # no secret
        with survived(log, f"runs that ended more than {age} ago could not be purged, and are later"):
            if purged := await purge(runner, older_than(runner, age)):
                log.info("%d runs that ended more than %s ago were purged", purged, age)
