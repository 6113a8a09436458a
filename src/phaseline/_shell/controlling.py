"""Commands of people and programs, carried to the run from whichever process they are given in."""

from __future__ import annotations

from collections.abc import Mapping

from phaseline._engine.commands import Cancel, Order, Pause, Resume
from phaseline._shell.live import LiveRun
from phaseline._shell.runner import Runner
from phaseline.control import Verb
from phaseline.errors import DefinitionError
from phaseline.texts import did_you_mean, storable_text

_ORDERS: Mapping[Verb, type[Order]] = {Verb.PAUSE: Pause, Verb.RESUME: Resume, Verb.CANCEL: Cancel}


def order_of(verb: str, reason: str = "", actor: str = "") -> Order:
    """Make the command of a verb, and check what is told of it before anything is done.

    Raises:
        DefinitionError: There is no such verb.
        EncodeError: Reason or actor is no text that can be stored.
    """
    if verb not in _ORDERS:
        msg = f"there is no command {verb!r}{did_you_mean(verb, _ORDERS)} (known: {', '.join(_ORDERS)})"
        raise DefinitionError(msg)
    return _ORDERS[Verb(verb)](
        storable_text(reason, what=f"the reason of {verb}"), storable_text(actor, what=f"the actor of {verb}")
    )


async def carry_out(runner: Runner, run_id: str, order: Order) -> LiveRun:
    """Commit a command; gives the run as it is then.

    Raises:
        RunNotFoundError: There is no such run.
        CommandRefusedError: The run does not obey it in its state; nothing was stored.
        StorageError: It is not known to be stored.
    """
    known = runner.live.get(run_id)
    live = await runner.hold(run_id)
    if runner.storage.shared and live is known:
        live.doubted = True  # others may have moved it on
    try:
        await runner.committer.store(live, order)
    finally:
        runner.drop_if_idle(live)
    return live
