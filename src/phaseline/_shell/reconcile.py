"""One run is put right, as a sweep finds that it needs it; what is wrong with one stops none of the others."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from phaseline._engine.commands import Command
from phaseline.errors import LeaseLostError, RunNotFoundError, StorageUnavailableError

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.worker")

LEFT: Final = "run %s is left as it is for a while, and then tried again"


async def reconcile(runner: Runner, run_id: str, command: Command) -> None:
    """Commit a command of a run that nobody here need be busy with, and of which the storage knows more than this process.

    Args:
        runner: Whose storage holds it.
        run_id: Its id.
        command: What is to be done.

    Raises:
        StorageUnavailableError: No run can be put right at the moment.
    """
    if run_id in runner.quarantine:
        return
    known = runner.live.get(run_id)
    try:
        live = await runner.hold(run_id)
        if runner.storage.shared and live is known:
            # By what is known here there may be nothing to do, and then nothing would be written that could turn out stale.
            live.doubted = True
        try:
            with suppress(LeaseLostError):  # it has ended meanwhile
                await runner.submit(live, command)
        finally:
            runner.drop_if_idle(live)
    except RunNotFoundError:
        pass  # it was purged meanwhile
    except StorageUnavailableError as error:
        if not error.busy:  # else it is this run alone that cannot be written
            raise
        log.warning(LEFT, run_id, exc_info=error, extra={"run_id": run_id})
        runner.quarantine.add((run_id,))
    except Exception:
        log.exception(LEFT, run_id, extra={"run_id": run_id})
        runner.quarantine.add((run_id,))
