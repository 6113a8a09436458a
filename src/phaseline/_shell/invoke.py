"""Call one body, and make a command of whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sized
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from phaseline._definition.compose import Question
from phaseline._definition.control_flow import Abort, Again, Finish, Skip
from phaseline._engine.commands import (
    Command,
    Fail,
    FinishRun,
    Judge,
    Postpone,
    Release,
    SkipPhase,
    Succeed,
    Unfold,
)
from phaseline._engine.draft import Draft
from phaseline._shell.children import begin_child
from phaseline._shell.context import BodyContext
from phaseline._shell.failure import NEVER_RETRIED, info_of
from phaseline._shell.live import Interruption, Job
from phaseline._shell.outage import patiently
from phaseline._shell.transact import transact
from phaseline._values.nothing import NOTHING
from phaseline._values.signature import accepts
from phaseline.errors import CodecError, DefinitionError, EncodeError, RuntimeNotOpenError, StorageError
from phaseline.event_loop import is_meant_for_us
from phaseline.logs import called
from phaseline.rows import ErrorCategory
from phaseline.times import later

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

NO_COPY = (NOTHING, None)
MAX_POSTPONED = 1_000
"""Times a phase may ask to be called again."""


async def invoke(runner: Runner, job: Job) -> Command | Draft:  # noqa: C901, PLR0912  # flat: another call would cost each phase
    """Call the body of a granted phase; gives the command to commit, or, of a transactional phase, what is committed.

    It raises nothing but a cancellation that is meant for us, or Ctrl-C.
    """
    binding, row, live = job.binding, job.row, job.live
    if binding.phase is None:
        return await _look(runner, job)
    call = binding.call
    context = None
    value: Any
    value, job.given = NO_COPY if binding.takes is None else live.copies.pop(binding.takes, NO_COPY)
    handed_on = 0
    token = called.set(job)
    try:
        if value is NOTHING:
            value = await patiently(runner.clock, partial(runner.values.for_job, job))
        if binding.is_counted:  # of what was stored: the body may change its copy
            handed_on = _length(value)
        values = value if binding.is_spread else (value,)
        if call.context is None and call.is_async:
            output = await call.body(*values)
        elif call.context is None:
            output = await runner.call_in_thread(partial(call.body, *values))
        else:
            context = BodyContext(runner, job, _deadline(runner, job))
            body: Callable[[], Any] = partial(call.body, *values, **{call.context: context})
            if binding.is_transactional:
                return await transact(runner, job, context, body)
            if row.attempt > 1 or row.epoch:
                await context.recall()
            output = await body() if call.is_async else await runner.call_in_thread(body)
        text, copy = binding.output.encode(output)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a body raises is data from here on
        if is_meant_for_us(error):
            raise
        return _command_for(runner, job, context, error, handed_on)
    finally:
        called.reset(token)
    if binding.hands_on:
        job.copy, job.text = copy, text
    length = len(copy) if binding.is_counted else None
    same_as = None if job.given is None else job.same_as(text)
    if context is None:
        return Succeed(row.path, row.fence, text, length, same_as=same_as)
    emitted, progress = context.take_emitted(), context.take_progress()
    saved, spent = context.has_saved, job.used()
    return Succeed(row.path, row.fence, text, length, emitted, progress, same_as, saved, spent)


def timeout_of(runner: Runner, job: Job) -> timedelta | None:
    """The bound of one attempt."""
    binding = job.binding
    if binding.timeout is None and binding.is_transactional:
        return runner.storage.transaction_limit
    return binding.timeout


def _deadline(runner: Runner, job: Job) -> datetime | None:
    """When the attempt is over at the latest: by its own timeout, or because the run's time is over."""
    timeout, over = timeout_of(runner, job), job.live.snapshot.run.expires_at
    if timeout is None:
        return over
    attempt_over = later(runner.clock.now(), timeout)
    return attempt_over if over is None else min(attempt_over, over)


def _length(value: object) -> int:
    return len(value) if isinstance(value, Sized) else 0


async def _look(runner: Runner, job: Job) -> Command:
    """Look at a value where no body is called: ask a test, count the list of a map, or start a run with it."""
    row, question = job.row, job.binding.source
    token = called.set(job)
    try:
        value: Any = await runner.values.for_node(job.live, job.node, job.items)
        if job.binding.child is not None:
            return await begin_child(runner, job, job.binding.child, value)
        if not isinstance(question, Question):
            return Unfold(row.path, row.fence, len(value))
        verdict = question.ask(value)
        if not isinstance(verdict, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody runs a type checker
            raise EncodeError(job.binding.what, [f"expected True or False, got {type(verdict).__name__}"])  # noqa: TRY301  # treated like what a test raises
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a test raises is data from here on
        if is_meant_for_us(error):
            raise
        return _failed(runner, job, None, error)
    finally:
        called.reset(token)
    return Judge(row.path, row.fence, verdict)


def interrupted(runner: Runner, job: Job) -> Command | None:
    """Make a command of a body that was stopped from outside; None if its result is wanted no more."""
    match job.interruption:
        case Interruption.TIMED_OUT:
            seconds = (timeout_of(runner, job) or timedelta()).total_seconds()
            error = TimeoutError(f"phase {job.row.path!r} did not return within {seconds:g} s")
            return _failed(runner, job, None, error)
        case Interruption.SILENT:
            seconds = (job.binding.heartbeat or timedelta()).total_seconds()
            error = TimeoutError(f"phase {job.row.path!r} gave no sign of life for {seconds:g} s")
            return _failed(runner, job, None, error)
        case Interruption.CANCELLED:
            msg = f"the body of phase {job.row.path!r} cancelled the task that it runs in"
            return _failed(runner, job, None, RuntimeError(msg))
        case Interruption.HANDED_OVER:
            return Release(job.row.path, job.row.fence, job.saved, job.used())
        case _:
            return None


def _taken(context: BodyContext | None) -> tuple[Any, Any]:
    return ((), None) if context is None else (context.take_emitted(), context.take_progress())


def _command_for(
    runner: Runner, job: Job, context: BodyContext | None, error: BaseException, handed_on: int
) -> Command:
    row = job.row
    match error:
        case Again():
            emitted, progress = _taken(context)
            again_at = later(runner.clock.now(), error.after)
            reason, saved, spent = error.reason, job.saved, job.used()
            return Postpone(
                row.path, row.fence, again_at, reason, MAX_POSTPONED, emitted, progress, saved, spent
            )
        case Skip():
            return _skipped(runner, job, context, error, handed_on)
        case Finish():
            return _finished(runner, job, context, error)
        case RuntimeNotOpenError() | BaseExceptionGroup() if runner.draining and _is_refused(error):
            # It asked for something of a runtime that closes: no fault of its own, and elsewhere, or later, it is answered.
            return Release(row.path, row.fence, job.saved, job.used())
        case _:
            return _failed(runner, job, context, error)


def _is_refused(error: BaseException) -> bool:
    """Whether that is all: also where task groups of the body have wrapped it."""
    if not isinstance(error, BaseExceptionGroup):
        return isinstance(error, RuntimeNotOpenError)
    group = cast("BaseExceptionGroup[BaseException]", error)  # what is in one is not known from its class
    return group.split(RuntimeNotOpenError)[1] is None


def _skipped(runner: Runner, job: Job, context: BodyContext | None, skip: Skip, handed_on: int) -> Command:
    row, binding = job.row, job.binding
    emitted, progress = _taken(context)
    has_saved = context is not None and context.has_saved
    if binding.undoes:  # there was nothing to undo
        return Succeed(row.path, row.fence, "null", None, emitted, progress, None, has_saved, job.used())
    if skip.output is NOTHING:
        passes = accepts(binding.output_type, binding.call.input_type)
        length = handed_on if passes and binding.is_counted else None
        return SkipPhase(
            row.path, row.fence, skip.reason, None, passes, length, emitted, None, has_saved, job.used()
        )
    try:
        text, copy = binding.output.encode(skip.output)
    except CodecError as error:
        return _failed(runner, job, context, error)
    return SkipPhase(
        row.path,
        row.fence,
        skip.reason,
        text,
        passes_input=False,
        length=len(copy) if binding.is_counted else None,
        emitted=emitted,
        same_as=job.same_as(text),
        has_saved=has_saved,
        spent=job.used(),
    )


def _finished(runner: Runner, job: Job, context: BodyContext | None, finish: Finish) -> Command:
    row = job.row
    try:
        if not job.node.may_finish:
            msg = f"phase {row.path!r} raised Finish, but is not declared to; declare it with may_finish=True"
            raise DefinitionError(msg)  # noqa: TRY301  # fails the phase, like an output that does not fit
        text, _ = job.live.snapshot.plan.whole.encode(finish.output)
    except (CodecError, DefinitionError) as error:
        return _failed(runner, job, context, error)
    has_saved = context is not None and context.has_saved
    return FinishRun(row.path, row.fence, text, *_taken(context), job.same_as(text), has_saved, job.used())


def _failed(runner: Runner, job: Job, context: BodyContext | None, error: BaseException) -> Command:
    path, progress = job.row.path, None if context is None else context.take_progress()
    traceback = runner.options.tracebacks
    info = info_of(error, path, runner.options.classify, traceback=traceback)
    final = isinstance(error, Abort | DefinitionError)  # another attempt would come to the same
    try:
        again_at = None if final else _again_at(runner, job, error, info.category)
    except KeyboardInterrupt:
        raise
    except BaseException as broken:  # noqa: BLE001  # a policy of the user's own may raise anything
        broken.__context__ = error
        again_at, error, info = None, broken, info_of(broken, path, traceback=traceback)
    if again_at is None:
        job.live.cause = error
    if traceback:
        job.raised = error
    cut_off = job.interruption is not None
    return Fail(path, job.row.fence, info, again_at, progress, job.saved, job.used(), cut_off)


def unstorable(runner: Runner, job: Job, error: StorageError) -> Fail:
    """Make a command of a result that the storage does not take."""
    job.live.cause = error
    traceback = runner.options.tracebacks
    info = info_of(error, job.row.path, runner.options.classify, traceback=traceback)
    return Fail(job.row.path, job.row.fence, info, None, spent=job.used())


def _again_at(runner: Runner, job: Job, error: BaseException, category: ErrorCategory) -> datetime | None:
    retry, row = job.binding.retry or runner.options.retry, job.row
    if category in NEVER_RETRIED and retry.retry is None:
        return None
    now = runner.clock.now()
    elapsed = now - (row.first_started_at or now)
    delay = retry.delay(row.failures + 1, error, elapsed=elapsed)
    return None if delay is None else later(now, delay)
