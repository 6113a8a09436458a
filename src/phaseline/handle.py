"""A handle on one run: what callers ask of it, and wait for."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import anyio

from phaseline._definition.signals import Signal
from phaseline._definition.step import Node
from phaseline._shell.controlling import carry_out, command_of, fork
from phaseline._shell.describing import describe
from phaseline._shell.live import LiveRun
from phaseline._shell.outage import patiently
from phaseline._shell.results import result_of
from phaseline._shell.runner import Runner
from phaseline._shell.sending import send
from phaseline._shell.waiting import ended_run, follow, raise_unless_completed
from phaseline._values.spans import check_unit
from phaseline.control import Verb
from phaseline.errors import ResultTimeoutError, RunNotFoundError, RunNotVisibleError
from phaseline.events import Event
from phaseline.query_arguments import check_seq
from phaseline.rows import ENDED_STATES, SETTLED_STATES, Checkpoint
from phaseline.run import Run

if TYPE_CHECKING:
    from phaseline.exports import RunExport
    from phaseline.runtime import Runtime

T = TypeVar("T")
Out_co = TypeVar("Out_co", covariant=True)

VISIBLE_POLL = 0.05
"""Seconds between two looks for a run whose transaction is not committed yet."""


class RunHandle(Generic[Out_co]):
    """A run, wherever it is carried forward."""

    def __init__(self, runtime: Runtime, run_id: str, live: LiveRun | None, is_new: bool = False) -> None:
        self.id: str = run_id
        """Id of the run."""
        self.is_new: bool = is_new
        """Whether the call that gave this handle began the run: not if that found it by its key, or got it by its id."""
        self._runtime = runtime
        self._live: LiveRun | None = None
        """What is known of the run; None until it can be seen."""
        self._is_told = False
        """Whether an end of it is known already: it may have gone on since."""
        if live is not None:
            self._note(live)
        self._ends_known = runtime.runner.went_over_ends

    def __repr__(self) -> str:
        return f"RunHandle({self.id!r})"

    @property
    def runtime(self) -> Runtime:
        """Where it was got."""
        return self._runtime

    async def state(self) -> str:
        """The state it is in now."""
        await self._seen()
        return (await self._runner.record_of(self.id)).state

    async def run(self) -> Run[Out_co]:
        """All that is known of it now."""
        await self._seen()
        return await describe(self._runner, await self._runner.load(self.id))

    @overload
    async def result_of(self, phase: Node[Any, T], /) -> T: ...
    @overload
    async def result_of(self, phase: str, /) -> object: ...
    async def result_of(self, phase: Node[Any, Any] | str, /) -> object:
        """Give what a phase gave, as it is stored now; the twin of ``ctx.result_of``, from outside.

        Of a phase that ended the run with ``Finish`` that is the output of the run, whatever the phase's own type.

        Args:
            phase: A phase, chain or pipeline that stands in the run's pipeline once, outside of maps; or the path of one, also
                of an item: ``"enrich[3]"``. Only the former has a type.

        Raises:
            DefinitionError: It does not stand in the pipeline so.
            UnknownPhaseError: There is no such path.
            NoResultError: It has not come up, goes on, or ended without an output.
            DecodeError: What is stored does not fit the type of its output any more.
            RunNotVisibleError: The run was started in a transaction that is not committed yet.
            StorageError: It cannot be read.
        """
        await self._seen()
        live = await self._runner.load(self.id)
        return await result_of(self._runner.values, live, phase)

    async def export(self, *, values: bool = True) -> RunExport:
        """All that is stored of it, as a document: ``(await handle.export()).to_json()``, or ``to_markdown()``.

        Bounded in size: the first 10,000 phases and 20,000 events, values of up to 64 Ki characters, 8 Mi of them in all;
        what is left out says so. Tracebacks are never in it.

        Args:
            values: False leaves out input, outputs, and what the application put into events of its own: they may be
                secret.

        Raises:
            RunNotVisibleError: It was started in a transaction that is not committed yet.
            StorageError: It cannot be read.
        """
        from phaseline._shell.exporting import export  # noqa: PLC0415  # models of a document: only where one is made

        await self._seen()
        return await export(self._runner, self.id, values=values)

    async def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Its checkpoints, oldest first; those of what was undone since are gone.

        Raises:
            RunNotFoundError: It was purged.
            RunNotVisibleError: It was started in a transaction that is not committed yet.
            StorageError: They cannot be read.
        """
        await self._seen()
        runner = self._runner
        run = await runner.record_of(self.id)
        return tuple(await runner.read(partial(runner.storage.checkpoints, run.namespace, run.id)))

    @property
    def is_visible(self) -> bool:
        """Whether the run was seen: not before the commit of the caller's transaction, and never where its definition is not known."""
        return self._live is not None

    async def _seen(self) -> LiveRun:
        """Give the run as this handle knows it.

        Raises:
            RunNotVisibleError: It was started in a transaction that is not committed yet.
        """
        if self._live is None:
            try:
                return self._note(await self._runner.load(self.id))
            except RunNotFoundError as error:
                raise RunNotVisibleError(self.id) from error
        return self._live

    def _note(self, live: LiveRun) -> LiveRun:
        """Take note of the run as it was read, or came to be by a command."""
        self._live = live
        self._is_told = self._is_told or live.snapshot.run.state in ENDED_STATES
        return live

    async def _awaited(self) -> LiveRun:
        """Wait until the run can be seen."""
        while True:
            try:
                return await patiently(self._runner.clock, self._seen)
            except RunNotVisibleError:
                await anyio.sleep(VISIBLE_POLL)

    async def result(self, timeout: timedelta | None = None) -> Out_co:
        """Wait for the end, through pauses, waits and retries, and give the output.

        Raises:
            PipelineFailedError: A phase failed for good.
            PipelineCancelledError: It was cancelled.
            PipelineRolledBackError: It was rolled back.
            NoOutputError: It completed, but the phase that gives the output was skipped.
            ResultTimeoutError: It was not over in time; it goes on.
            DefinitionError: The timeout is no timedelta.
        """
        with self._bounded(timeout, "result"):
            live = await self._until(ENDED_STATES)
            run: Run[Out_co] = await patiently(self._runner.clock, partial(describe, self._runner, live))
        raise_unless_completed(run, live.cause)
        return run.output

    async def _until(self, states: frozenset[str]) -> LiveRun:
        """Wait until it is in one of the states."""
        anew = self._is_told or self._ends_known != self._runner.went_over_ends
        before = await self._awaited()
        self._live = await ended_run(self._runner, before, states, anew=anew)
        if before.cause is not None and self._live.snapshot.run.epoch == before.snapshot.run.epoch:
            self._live.cause = before.cause  # it was read anew, and is the same failure
        self._is_told = True
        return self._live

    async def wait(self, timeout: timedelta | None = None) -> Run[Out_co]:
        """Wait until it is settled (ended, or paused), and give it; raises nothing for how it ended.

        Raises:
            ResultTimeoutError: It was not settled in time; it goes on.
            DefinitionError: The timeout is no timedelta.
        """
        with self._bounded(timeout, "wait"):
            live = await self._until(SETTLED_STATES)
            return await patiently(self._runner.clock, partial(describe, self._runner, live))

    # ------------------------------------------------------------------ commands
    async def pause(self, *, reason: str = "", actor: str = "") -> None:
        """Have no phase start from now on; what runs may end, and is committed. ``resume`` goes on.

        Args:
            reason: Why, for the run's history: at most 2,000 characters are kept.
            actor: Who commands it, for the run's history.

        Raises:
            CommandRefusedError: The run has ended, or is paused already.
            RunNotVisibleError: It was started in a transaction that is not committed yet.
            EncodeError: Reason or actor is no text that can be stored.
            StorageError: It is not known to be stored.
        """
        await self._command(Verb.PAUSE, reason, actor)

    async def resume(self, *, reason: str = "", actor: str = "") -> None:
        """Go on with a run that is PAUSED, or with one that is ROLLED_BACK from where it was taken back to.

        Raises:
            CommandRefusedError: It is neither.
            RunNotVisibleError, EncodeError, StorageError: As ``pause``.
        """
        await self._command(Verb.RESUME, reason, actor)

    async def cancel(self, *, reason: str = "", actor: str = "") -> None:
        """End the run for good, at once, with all that runs and waits in it.

        When this returns the run is CANCELLED, whatever its bodies do: each gets a cancellation, and what one gives all
        the same is refused.

        Raises:
            CommandRefusedError: It has ended already.
            RunNotVisibleError, EncodeError, StorageError: As ``pause``.
        """
        await self._command(Verb.CANCEL, reason, actor)

    async def retry(self, *, reason: str = "", actor: str = "") -> None:
        """Take a FAILED run up again where it failed.

        What completed stays, with the steps that failed phases stored, and idempotency keys are as before. What was ended
        by the failure comes up again, with a new count of attempts.

        Raises:
            CommandRefusedError: It has not failed.
            RunNotVisibleError, EncodeError, StorageError: As ``pause``.
        """
        await self._command(Verb.RETRY, reason, actor)

    async def rerun_from(self, phase: str, /, *, reason: str = "", actor: str = "") -> None:
        """Do a phase, and all that comes after it in the graph, once more; for a run that has ended.

        Idempotency keys of phases that had completed, and of those that take what they give, are new ones. Nothing is
        compensated.

        Args:
            phase: Path of a phase or map outside of maps, which has ended.
            reason: As ``pause``.
            actor: As ``pause``.

        Raises:
            UnknownPhaseError: There is no such phase.
            CommandRefusedError: The run goes on, or was cancelled; or the phase has not come up yet.
            RunNotVisibleError, EncodeError, StorageError: As ``pause``.
        """
        await self._command(Verb.RERUN_FROM, reason, actor, phase=phase)

    async def restart(self, *, reason: str = "", actor: str = "") -> None:
        """Do everything once more, with the same input; for a run that has ended. Idempotency keys are as with ``rerun_from``.

        Raises:
            CommandRefusedError: It goes on, or was cancelled.
            RunNotVisibleError, EncodeError, StorageError: As ``pause``.
        """
        await self._command(Verb.RESTART, reason, actor)

    async def rollback(self, to: str | None = None, /, *, reason: str = "", actor: str = "") -> None:
        """Take the run back to where it was after a phase, and leave it ROLLED_BACK; ``resume`` goes on from there.

        What runs is fenced off and ended. What was committed after that phase is undone: it stays in the history, is no
        part of the run any more, and bears a new idempotency key when it is done once more.

        Args:
            to: Path of a phase or map outside of maps, or the id of a checkpoint; None: to before the first phase.
            reason: As ``pause``.
            actor: As ``pause``.

        Raises:
            UnknownCheckpointError: There is no such phase, and no such checkpoint of this run.
            CommandRefusedError: The run is CANCELLED or ROLLED_BACK, the phase is not committed, or nothing comes after it.
            RunNotVisibleError, EncodeError, StorageError: As ``pause``.
        """
        await self._command(Verb.ROLLBACK, reason, actor, to=to)

    async def fork(self, at: str | None = None, *, reason: str = "", actor: str = "") -> RunHandle[Out_co]:
        """Begin another run as a copy of this one up to a place; it goes on from there by itself, at once.

        The copy has the input, and the outputs of what was committed up to there; what comes after it is done anew, under
        idempotency keys of the new run. This run goes on, or stays, as it is. Both tell of it as ``PIPELINE_FORKED``.

        Args:
            at: Path of a phase or map outside of maps, or the id of a checkpoint: the copy goes on after it. None: it has all
                that is committed.
            reason: As ``pause``.
            actor: As ``pause``.

        Returns:
            A handle on the copy.

        Raises:
            UnknownCheckpointError: There is no such phase, and no such checkpoint of this run.
            CommandRefusedError: The phase is not committed, nothing would be left to do, or a rollback is unfinished.
            RunNotVisibleError, EncodeError, StorageError: As ``pause``.
        """
        await self._seen()
        live = await fork(self._runner, self.id, at, reason, actor)
        return RunHandle(self._runtime, live.id, live, is_new=True)

    async def annotate(self, note: str, /, *, reason: str = "", actor: str = "") -> None:
        """Write something into the run's history, in whatever state it is.

        Args:
            note: What is written: 1 to 2,000 characters.
            reason: As for ``pause``.
            actor: As for ``pause``.

        Raises:
            EncodeError: The note is empty, too long, or no text that can be stored.
            RunNotVisibleError, StorageError: As ``pause``.
        """
        await self._command(Verb.ANNOTATE, reason, actor, note=note)

    async def signal(
        self,
        signal: Signal[T],
        value: T,
        /,
        *,
        key: str | None = None,
        id: str | None = None,  # noqa: A002  # the word that users look for
        actor: str = "",
    ) -> None:
        """Send what the run waits for, or will wait for: it is stored, and taken by one wait, the first come first.

        When this returns, the wait that took it has ended. A run that is PAUSED keeps it until it goes on.

        Args:
            signal: The token by which the pipeline waits for it.
            value: What is sent.
            key: Which of several waits for this signal it is for: of an item of a map, its index, ``"3"``.
            id: By which a second sending of the same is known, and does nothing.
            actor: Who sends it, for the history.

        Raises:
            DefinitionError: What is given is no ``Signal``.
            InvalidSignalError: The value is not what the pipeline waits for.
            UnknownSignalError: Nothing in the pipeline waits for it.
            SignalRefusedError: The run has ended, or all in it that waits for this; or it keeps 1,000 signals that nothing has taken.
            RunNotVisibleError: It was started in a transaction that is not committed yet.
            EncodeError: Key, id or actor is no text that can be stored.
            StorageError: It is not known to be stored.
        """
        await self._seen()
        self._note(await send(self._runner, self.id, signal, value, key=key, id_=id, actor=actor))

    async def _command(self, verb: Verb, reason: str, actor: str, **details: str | None) -> None:
        command = command_of(verb, reason, actor, **details)
        await self._seen()
        self._note(await carry_out(self._runner, self.id, command))

    def events(self, *, after: int = 0) -> AsyncIterator[Event]:
        """Its events numbered above ``after``: those that are stored, then each as it comes, until the run ends.

        Raises:
            DefinitionError: ``after`` is no number of an event.
            RunNotVisibleError: It was started in a transaction that is not committed yet.
        """
        check_seq(after, "handle.events")
        return self._events(after)

    async def _events(self, after: int) -> AsyncGenerator[Event]:
        await self._seen()
        async with aclosing(follow(self._runner, self.id, after)) as events:
            async for event in events:
                yield event

    @property
    def _runner(self) -> Runner:
        return self._runtime.runner

    def _bounded(self, timeout: timedelta | None, verb: str) -> _Bound:
        if timeout is not None:
            check_unit(timeout, "timeout", f"handle.{verb}()")
        return _Bound(self, timeout)


class _Bound:
    """A bounded wait whose end is an error of ours."""

    def __init__(self, handle: RunHandle[Any], timeout: timedelta | None) -> None:
        self._handle, self._seconds = handle, math.inf if timeout is None else timeout.total_seconds()
        self._scope = anyio.fail_after(self._seconds)

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._scope.__exit__(kind, error, trace)
        except TimeoutError as late:
            if not self._handle.is_visible:
                raise RunNotVisibleError(self._handle.id) from late
            raise ResultTimeoutError(self._handle.id, self._seconds) from late
