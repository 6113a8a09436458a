"""How runs begin: stored by the committer, in a transaction of the host's, or for the caller to drive."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
from msgspec.structs import replace

from phaseline._definition.plan import Plan
from phaseline._engine.commands import NO_OFFER, Start
from phaseline._engine.decide import fold
from phaseline._engine.draft import Draft
from phaseline._engine.snapshot import Snapshot
from phaseline._shell.committer import KeyTaken
from phaseline._shell.live import LiveRun
from phaseline._shell.tracing import starting
from phaseline._values.codec import same_json
from phaseline.errors import (
    DeadlinePassedError,
    DecodeError,
    EncodeError,
    KeyConflictError,
    PipelineNotRegisteredError,
    RunNotFoundError,
    StorageUnavailableError,
)
from phaseline.limits import Rate, joined, limit_text, limits_text
from phaseline.rows import INPUT, RunRecord, RunState
from phaseline.times import later
from phaseline.unit_of_work import Unit

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


@attrs.frozen
class Parent:
    """The phase that starts a run and waits for its end; nothing if it is the host that starts it."""

    run_id: str | None
    path: str | None
    generation: int | None


HOST = Parent(None, None, None)


@attrs.frozen(kw_only=True)
class StartOptions:
    """How a run is started."""

    priority: int = 100
    delay: timedelta = timedelta(0)
    key: str | None = None
    """Idempotency key: one run of the pipeline holds it."""
    while_open: bool = False
    """Whether the key is held only until the run ends."""
    marks: tuple[str, ...] = ()
    """Tags and attributes, as ``RunRecord.marks`` has them."""
    concurrency_key: str | None = None
    """What its phases share a limit under with those of other runs."""
    concurrency: int | None = None
    """How many of the bodies under this key may run at once; None: one, unless there is a rate."""
    rate: Rate | None = None
    """How many of them may be begun in a time."""
    timeout: timedelta | None = None
    """How long it may be active; None: what the pipeline says, else the runtime."""
    deadline: datetime | timedelta | None = None
    """When it must be over: an aware moment, or the time from its start."""
    parent: Parent = HOST
    """Who starts it."""


AT_ONCE = StartOptions()
KEY_TRIES = 10
"""Times a run is started anew because the one that held its key ended, or was purged, that very moment."""


class Found(NamedTuple):
    """A run that was started, or that was found in its place."""

    id: str
    live: LiveRun | None
    """What is known of it; None where its definition is not known here, for it may be of an earlier version, or is not committed yet."""
    is_new: bool
    """Whether it was started just now."""


async def start(runner: Runner, plan: Plan, value: object, options: StartOptions = AT_ONCE) -> Found:
    """Store a new run; its first body is called as soon as it is stored, if this process may call it at once.

    Gives the run, or that which holds its key.

    Raises:
        InvalidInputError: The value is not what the pipeline takes; nothing was stored.
        ValueError: The deadline is no moment to come; nothing was stored.
        KeyConflictError: The key stands for a run that was started with another input; nothing was stored.
        NamespaceFullError: The namespace has all that it may have; nothing was stored.
    """
    with starting(runner, plan.name) as span:
        await runner.quotas.check_start(plan.name, options.key)
        found = await _start(runner, plan, value, options)
        if span is not None:
            span.tell(run_id=found.id)
    return found


async def _start(runner: Runner, plan: Plan, value: object, options: StartOptions) -> Found:
    for _ in range(KEY_TRIES):
        live, command = new_run(runner, plan, value, options)
        try:
            await runner.committer.store(live, command)
        except KeyTaken:
            runner.live.pop(live.id, None)  # a sweep may have dropped it, as nothing is done with it
            run_id = await _run_of_key(runner, live)
            if run_id is not None:
                with suppress(RunNotFoundError):  # it was purged meanwhile, and has let go of the key
                    return await found_run(runner, run_id)
        except BaseException:
            if live.snapshot.run.revision == 0 and live.is_idle:
                runner.live.pop(live.id, None)  # it never was stored
            else:  # asyncio's own cancellation reaches through a shield, and the commit goes on
                runner.drop_if_idle(live)
            raise
        else:
            return Found(live.id, live, is_new=True)
    raise StorageUnavailableError(repr(runner.storage), f"the key {options.key!r} changes hands", "try again")


async def start_on(
    runner: Runner, connection: Any, plan: Plan, value: object, options: StartOptions
) -> Found:
    """Insert a run in a transaction of the host's; gives it, or the run that holds its key."""
    with starting(runner, plan.name) as span:
        unit, tell, same = await to_insert(runner, plan, value, options)
        run_id = await runner.storage.insert_on(connection, unit, tell, same)
        if span is not None:
            span.tell(run_id=run_id)
    return Found(run_id, None, is_new=run_id == unit.run.id)


async def to_insert(
    runner: Runner, plan: Plan, value: object, options: StartOptions
) -> tuple[Unit, Callable[[], None], Callable[[str, str], bool]]:
    """Make the unit that inserts a run in a transaction of the host's, what tells workers of it, and what compares inputs.

    The latter is asked of the run that holds its key, where there is one: of its stored input, and that of the unit.

    Raises:
        InvalidInputError: The value is not what the pipeline takes.
        NamespaceFullError: The namespace has all that it may have.
    """
    await runner.quotas.check_start(plan.name, options.key)
    live, _, unit = prepared(runner, plan, value, options)
    queues = {row.queue for row in unit.inserted}

    def tell() -> None:
        for queue in queues:
            runner.queue.put(queue)

    return unit, tell, partial(_same_input, live.snapshot.plan)


def prepared(runner: Runner, plan: Plan, value: object, options: StartOptions) -> tuple[LiveRun, Draft, Unit]:
    """Make a run, and the unit that inserts it in a transaction with something else; nobody knows of it before that.

    Raises:
        InvalidInputError: The value is not what the pipeline takes.
    """
    live, command = new_run(runner, plan, value, options)
    del runner.live[live.id]
    draft, _ = fold(live.snapshot, (command,), runner.clock.now(), NO_OFFER)
    return live, draft, draft.unit(commit_id=runner.committer.new_commit_id(), input_text=live.input_text)


def new_run(runner: Runner, plan: Plan, value: object, options: StartOptions) -> tuple[LiveRun, Start]:
    """Make a run that is not stored yet, and the command that stores it."""
    plan = runner.plans[plan.definition]  # as it is carried out here
    text, copy = plan.input.encode_input(value)
    now = runner.clock.now()
    if options is AT_ONCE and runner.observers.tracing is None:
        record = replace(_blank(runner, plan), id=runner.new_run_id(now), created_at=now, updated_at=now)
    else:
        record = _record(runner, plan, options, now)
    live = LiveRun(Snapshot(plan, record), text)
    live.keep(INPUT, copy, text)
    runner.live[live.id] = live
    return live, Start(later(now, options.delay), len(copy) if plan.counts_input else None)


def _blank(runner: Runner, plan: Plan) -> RunRecord:
    """What the rows of all runs have in common that are started without options."""
    record = runner.blanks.get(plan.definition)
    if record is None:
        record = runner.blanks[plan.definition] = _record(runner, plan, AT_ONCE, runner.clock.now())
    return record


def _record(runner: Runner, plan: Plan, options: StartOptions, now: datetime) -> RunRecord:
    timeout = options.timeout or plan.timeout or runner.options.timeout
    of, tracing = options.parent, runner.observers.tracing
    return RunRecord(
        namespace=runner.options.namespace, id=runner.new_run_id(now), pipeline=plan.name, version=plan.version,
        fingerprint=plan.fingerprint, state=str(RunState.IDLE), revision=0, seq=0, priority=options.priority,
        key=options.key, while_open=options.while_open, marks=options.marks, timeout=timeout,
        deadline=_deadline(options.deadline, now), limits=_limits(runner, plan, options), created_at=now, updated_at=now,
        trace=None if tracing is None else tracing.carried(),
        parent_id=of.run_id, parent_path=of.path, parent_generation=of.generation,
    )  # fmt: skip


def _limits(runner: Runner, plan: Plan, options: StartOptions) -> str | None:
    """Give the limits that all phases of a run are under."""
    whole, rate, key = (
        runner.options.namespace_concurrency,
        runner.options.namespace_rate,
        options.concurrency_key,
    )
    if key is None:
        if whole is None and rate is None:
            return plan.limits
        own = None
    elif options.rate is None:
        own = limit_text(options.concurrency or 1, "key", key)
    else:
        own = limits_text(options.concurrency, options.rate, "key", key)
    return joined(limits_text(whole, rate, "namespace", ""), plan.limits, own)


def _deadline(given: datetime | timedelta | None, now: datetime) -> datetime | None:
    """Give the moment at which a run must be over."""
    if given is None:
        return None
    moment = later(now, given) if isinstance(given, timedelta) else given.astimezone(UTC)
    if moment <= now:
        raise DeadlinePassedError(given, now)
    return moment


async def found_run(runner: Runner, run_id: str) -> Found:
    """Give a run that is stored."""
    try:
        return Found(run_id, await runner.load(run_id), is_new=False)
    except PipelineNotRegisteredError:
        return Found(run_id, None, is_new=False)


async def _run_of_key(runner: Runner, live: LiveRun) -> str | None:
    """Give the id of the run that holds the key of one that was to be started; None if it ended, or was purged, and let go of it meanwhile."""
    run = live.snapshot.run
    assert run.key is not None  # noqa: S101  # else nobody could hold it
    run_id = await runner.read(partial(runner.storage.keyed, run.namespace, run.pipeline, run.key))
    if run_id is None:
        return None
    texts = await runner.read(partial(runner.storage.values, run.namespace, run_id, (INPUT,)))
    if INPUT not in texts:  # it was purged between the two
        return None
    if not _same_input(live.snapshot.plan, texts[INPUT], live.input_text or ""):
        raise KeyConflictError(run.key, run.pipeline, run_id)
    return run_id


def _same_input(plan: Plan, stored: str, given: str) -> bool:
    """Whether a run that is stored was started with this input, as far as the pipeline here can tell.

    Another version of the host may have stored it, whose type lacked a field that has a default here.
    """
    if same_json(stored, given):
        return True
    try:
        again, _ = plan.input.encode(plan.input.decode(stored))
    except (DecodeError, EncodeError):  # it fits no more: what was meant by it is unknown here
        return False
    return same_json(again, given)
