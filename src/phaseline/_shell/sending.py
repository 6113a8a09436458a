"""Signals, carried to the run from whichever process they are sent in."""

from __future__ import annotations

from phaseline._definition.signals import Signal
from phaseline._engine.commands import Receive
from phaseline._shell.controlling import commit_to
from phaseline._shell.live import LiveRun
from phaseline._shell.runner import Runner
from phaseline._shell.tracing import commanded
from phaseline._values.texts import storable_key, storable_text
from phaseline.errors import DefinitionError, InvalidSignalError, UnknownSignalError


async def send(
    runner: Runner,
    run_id: str,
    signal: object,
    value: object,
    *,
    key: str | None,
    id_: str | None,
    actor: str,
) -> LiveRun:
    """Commit a signal; gives the run as it is then.

    Raises:
        DefinitionError: What is given is no signal, or has no key where only items of a map wait for it.
        UnknownSignalError: Nothing in the pipeline waits for it.
        InvalidSignalError: The value is not what the pipeline waits for.
        SignalRefusedError: The run has ended, or keeps as many signals as it may.
        EncodeError: Key, id or actor is no text that can be stored.
        RunNotFoundError: There is no such run.
        StorageError: It is not known to be stored.
    """
    if not isinstance(signal, Signal):
        msg = (
            f"signal({signal!r}): a signal is sent by its token; give the Signal that the pipeline waits for"
        )
        raise DefinitionError(msg)
    name = signal.name
    key = None if key is None else storable_key(key, what=f"the key of signal {name!r}")
    id_ = None if id_ is None else storable_key(id_, what=f"the id of signal {name!r}")
    actor = storable_text(actor, what=f"the actor of signal {name!r}")

    async def received(live: LiveRun) -> Receive:
        doors = live.snapshot.plan.signals
        if name not in doors:
            raise UnknownSignalError(run_id, name, sorted(doors))
        if key is None and live.snapshot.plan.is_awaited_by_items(name):
            msg = (
                f"signal {name!r} to run {run_id}: only items of a map wait for it, each for its own; say which, by "
                "its place in the list: signal(..., key='0')"
            )
            raise DefinitionError(msg)
        text, _ = doors[name].encode(value, refuse=InvalidSignalError)
        return Receive(name, text, key, id_, actor)

    async with commanded(runner, run_id, "signal"):
        return await commit_to(runner, run_id, received)
