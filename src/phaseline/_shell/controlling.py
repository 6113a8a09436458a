"""Commands of people and programs, carried to the run from whichever process they are given in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from phaseline._engine.commands import (
    Annotate,
    Cancel,
    Command,
    Discard,
    Fork,
    Pause,
    RerunFrom,
    Restart,
    Resume,
    Retry,
    RollBack,
    RunCommand,
)
from phaseline._engine.control import verb_of
from phaseline._shell.committer import KeyTaken
from phaseline._shell.live import LiveRun
from phaseline._shell.tracing import commanded
from phaseline._values.texts import LONGEST_TEXT, did_you_mean, storable_key, storable_text
from phaseline.control import OF_ONE_RUN, Verb, allowed_in
from phaseline.errors import (
    CommandRefusedError,
    DefinitionError,
    PhaselineError,
    UnknownCheckpointError,
    UnknownPhaseError,
)

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

_PLAIN: Mapping[Verb, type[Pause | Resume | Cancel | Retry | Restart | Discard]] = {
    Verb.PAUSE: Pause, Verb.RESUME: Resume, Verb.CANCEL: Cancel, Verb.RETRY: Retry, Verb.RESTART: Restart,
    Verb.DISCARD: Discard,
}  # fmt: skip
"""Those of ``PLAIN``, and what dead letters are commanded with no more than a reason."""
_LEAVES_ENDED = frozenset({Verb.FORK, Verb.ANNOTATE, Verb.DISCARD})
"""Verbs by which a run that has ended does not go on."""


def command_of(
    verb: str,
    reason: str = "",
    actor: str = "",
    *,
    phase: str | None = None,
    to: str | None = None,
    note: str | None = None,
) -> RunCommand:
    """Make the command of a verb, and check what is told of it before anything is done.

    Raises:
        DefinitionError: There is no such verb, it is ``fork``, or what it needs is missing.
        EncodeError: A text cannot be stored, or a note is empty or too long.
    """
    if verb == Verb.FORK:
        msg = "fork gives another run, and is no command without an answer; use (await runtime.get(run_id)).fork()"
        raise DefinitionError(msg)
    verbs = [str(known) for known in Verb if known is not Verb.FORK]
    if verb not in verbs:
        msg = f"there is no command {verb!r}{did_you_mean(str(verb), verbs)} (known: {', '.join(verbs)})"
        raise DefinitionError(msg)
    reason, actor = _said(verb, reason, actor)
    plain = _PLAIN.get(Verb(verb))
    if plain is not None:
        return plain(reason, actor)
    if verb == Verb.ROLLBACK:
        return RollBack(to if to is None else _given(verb, "to", to), None, reason, actor)
    if verb == Verb.RERUN_FROM:
        return RerunFrom(_given(verb, "phase", phase), reason, actor)
    note = storable_key(_given(verb, "note", note), what="a note", longest=LONGEST_TEXT)
    return Annotate(note, reason, actor)


def _said(verb: str, reason: str, actor: str) -> tuple[str, str]:
    return storable_text(reason, what=f"the reason of {verb}"), storable_text(
        actor, what=f"the actor of {verb}"
    )


def _given(verb: str, name: str, value: str | None) -> str:
    if not isinstance(value, str):
        msg = f"{verb} needs {name}=..., a text; got {value!r}"
        raise DefinitionError(msg)
    return value


async def carry_out(runner: Runner, run_id: str, command: RunCommand) -> LiveRun:
    """Commit a command; gives the run as it is then.

    Raises:
        RunNotFoundError: There is no such run.
        UnknownPhaseError: The command names a phase that its pipeline does not have outside of maps.
        UnknownCheckpointError: It names a checkpoint that the run does not have.
        CommandRefusedError: The run does not obey it in its state; nothing was stored.
        StorageError: It is not known to be stored.
    """

    async def checked(live: LiveRun) -> RunCommand:
        if isinstance(command, RerunFrom):
            _check_phase(live, command.phase)
        if isinstance(command, RollBack):
            path, epoch = await _located(runner, live, command.to)
            return replace(command, to=path, epoch=epoch)
        if isinstance(command, Fork):
            path, epoch = await _located(runner, live, command.at)
            return replace(command, at=path, epoch=epoch)
        return command

    try:
        async with commanded(runner, run_id, str(verb_of(command))):
            return await commit_to(runner, run_id, checked)
    except KeyTaken:
        live = await runner.load(run_id)
        raise await _key_taken(runner, live, command) from None


async def each_of(
    run_ids: Iterable[str], command: Callable[[str], Awaitable[object]]
) -> Mapping[str, PhaselineError]:
    """Command runs side by side, so that their commits share batches; gives who refused, and why.

    Raises:
        PhaselineError: What keeps more than one run from obeying, such as a StorageError: the first of them, as it is; the
            others have their answers.
    """
    refused: dict[str, PhaselineError] = {}
    failed: list[PhaselineError] = []

    async def one(run_id: str) -> None:
        try:
            await command(run_id)
        except OF_ONE_RUN as error:
            refused[run_id] = error
        except PhaselineError as error:  # else the task group would wrap it, and nobody know it
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        for run_id in run_ids:
            tasks.start_soon(one, run_id)
    if failed:
        raise failed[0]
    return refused


async def fork(runner: Runner, run_id: str, at: str | None, reason: str, actor: str) -> LiveRun:
    """Have a copy of a run begin; gives the copy.

    Raises:
        DefinitionError: The place is no text.
        EncodeError: A text cannot be stored.
        RunNotFoundError, UnknownCheckpointError, CommandRefusedError, StorageError: As ``carry_out``.
    """
    reason, actor = _said(Verb.FORK, reason, actor)
    place = None if at is None else _given(Verb.FORK, "at", at)
    copy = runner.new_run_id(runner.clock.now())
    await carry_out(runner, run_id, Fork(copy, place, None, reason, actor))
    return await runner.load(copy)


async def commit_to(runner: Runner, run_id: str, make: Callable[[LiveRun], Awaitable[Command]]) -> LiveRun:
    """Commit a command that comes from outside of a run; gives the run as it is then.

    Args:
        runner: Of this process.
        run_id: The run's id.
        make: Makes the command, once the run was read; what it raises is raised.

    Raises:
        RunNotFoundError: There is no such run.
        KeyTaken, CommandRefusedError, SignalRefusedError, StorageError: As ``Committer.store``.
    """
    known = runner.live.get(run_id)
    live = await runner.hold(run_id)
    try:
        command = await make(live)
        if live is known:  # others may have moved it on
            live.doubted = runner.storage.shared or live.doubted
            live.stale = live.stale or runner.shares_memory
        await runner.committer.store(live, command)
    finally:
        runner.drop_if_idle(live)
    return live


def _check_phase(live: LiveRun, phase: str) -> None:
    plan = live.snapshot.plan
    known = [node.path for node in plan.order]
    if phase not in known:
        raise UnknownPhaseError(live.id, phase, known)


async def _located(runner: Runner, live: LiveRun, to: str | None) -> tuple[str | None, int | None]:
    """Find the phase that is named, or after which the checkpoint stands that is, and of that the epoch."""
    run, phases = live.snapshot.run, [node.path for node in live.snapshot.plan.order]
    if to is None or to in phases:
        return to, None
    points = await runner.read(partial(runner.storage.checkpoints, run.namespace, run.id))
    found = next((point for point in points if point.id == to), None)
    if found is None:
        raise UnknownCheckpointError(run.id, to, [point.id for point in points], phases)
    return found.phase, found.epoch


async def _key_taken(runner: Runner, live: LiveRun, command: RunCommand) -> CommandRefusedError:
    """Say that a run let go of its key at its end, and that another one holds it."""
    run = live.snapshot.run
    read = partial(runner.storage.keyed, run.namespace, run.pipeline, run.key or "")
    holder = await runner.read(read)
    reason = f"its key {run.key!r} is held by run {holder} until that has ended"
    ends = _LEAVES_ENDED if live.snapshot.plan.undos else {*_LEAVES_ENDED, Verb.ROLLBACK}
    allowed = [str(verb) for verb in allowed_in(run.state) if verb in ends]
    return CommandRefusedError(run.id, verb_of(command), run.state, allowed, reason)
