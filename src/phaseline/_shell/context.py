"""The context that a body gets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from inspect import isawaitable
from operator import index
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from phaseline._definition.context import BlockingContext, Context, CustomEvent
from phaseline._definition.deps import Dep, missing
from phaseline._definition.step import Node
from phaseline._engine.commands import Emission, RecordStep, Reserve, Save
from phaseline._shell.live import Job
from phaseline._shell.outage import patiently
from phaseline._shell.tracing import UNTRACED
from phaseline._shell.upstream import upstream
from phaseline._values.codec import ValueCodec, any_codec, from_json_text, plain_codec, to_json_text
from phaseline._values.signature import returned_type
from phaseline._values.texts import storable_key, storable_text
from phaseline.abc import Transaction
from phaseline.errors import (
    DefinitionError,
    EncodeError,
    LeaseLostError,
    RunningLoopError,
    RuntimeUsageError,
    StorageRefusedError,
)
from phaseline.event_loop import Post, loop_post
from phaseline.events import PhaseProgress
from phaseline.rows import Progress
from phaseline.tags import Attribute, attributes_of, tags_of
from phaseline.unit_of_work import KEPT
from phaseline.usage import Budget, Spent, Usage, check_recordable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from phaseline._shell.runner import Runner

T = TypeVar("T")
_MOST = 2**53
"""What readers in other languages take for a whole number."""
PROGRESS_INTERVAL = timedelta(milliseconds=100)
"""Progress is told at most once in this time, but for its first and its last word."""


class BodyContext(Context):
    """One attempt of one phase, as its body sees it."""

    def __init__(self, runner: Runner, job: Job, deadline: datetime | None) -> None:
        run, row = job.live.snapshot.run, job.row
        self._runner, self._job = runner, job
        self.namespace, self.run_id, self.pipeline = run.namespace, run.id, run.pipeline
        self.phase, self.attempt = row.path, row.attempt
        self.item = job.items[-1] if job.items else None
        self.idempotency_key = f"{run.id}:{row.path}:{row.generation}"
        self.deadline = deadline
        self._emitted: list[Emission] = []
        self._progress: Progress | None = None
        self._told_at: datetime | None = None
        self._steps: dict[str, str] | None = None
        self._keys: set[str] = set()
        self._saved: str | None = None
        self._saved_at: datetime | None = None
        self._token: EventLoopToken = current_token()
        self._post: Post = loop_post()
        self._loop_thread = get_ident()
        self.transaction: Transaction | None = None
        """What a transactional phase writes in."""

    # ------------------------------------------------------------------ what it knows
    @property
    def tags(self) -> tuple[str, ...]:
        return tags_of(self._job.live.snapshot.run.marks)

    @property
    def attributes(self) -> dict[str, Attribute]:
        return attributes_of(self._job.live.snapshot.run.marks)

    @property
    def cancelled(self) -> bool:
        return self._job.interruption is not None or self._runner.lease_is_over(self._job.row)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        logger = logging.getLogger(f"phaseline.phase.{self._job.node.path}")
        return logging.LoggerAdapter(logger, self._job.log_fields)

    @property
    def blocking(self) -> BlockingContext:
        return _Blocking(self, self._token)

    def begin(self, transaction: Transaction) -> None:
        """Begin anew in a transaction; what was told in an earlier one went with it."""
        self.transaction = transaction
        self.take_emitted()

    def now(self) -> datetime:
        return self._runner.clock.now()

    @property
    def connection(self) -> Connection:
        if self.transaction is None:
            msg = f"phase {self.phase!r} asks for ctx.connection, but is not transactional: @phase(transactional=True)"
            raise RuntimeUsageError(msg)
        if self._job.is_interrupted():  # where only its lease is over, nobody may have taken it
            msg = f"the transaction of phase {self.phase!r} is over: its attempt was timed out or taken over"
            raise RuntimeUsageError(msg)
        connection: Connection = self.transaction.connection
        return connection

    def dep(self, token: Dep[T], /) -> T:
        deps: Mapping[Dep[Any], Any] = self._runner.deps
        if token not in deps:
            raise missing(token, self.phase, deps)
        found: T = deps[token]
        return found

    @property
    def in_loop(self) -> bool:
        """Whether the caller is on the event loop, where nothing may block, and not in a thread."""
        return get_ident() == self._loop_thread

    def _check_loop(self, verb: str) -> None:
        """Refuse to make a coroutine for somebody who cannot await it."""
        if not self.in_loop:
            raise RuntimeUsageError(
                f"ctx.{verb}() of phase {self.phase!r} was called in a thread, where nothing can await it; "
                f"a body that is a plain 'def' calls ctx.blocking.{verb}(...)"
            )

    def result_of(self, phase: Node[Any, T], /) -> Coroutine[Any, Any, T]:
        self._check_loop("result_of")
        return self.find_result(phase)

    async def find_result(self, phase: Node[Any, T]) -> T:
        """Do as ``result_of`` does."""
        plan = self._job.live.snapshot.plan
        node = upstream(plan, self._job.node, phase, who=self.phase)
        items = self._job.items[: len(plan.scopes_of(node))]
        result: T = await self._runner.values.result_of(self._job.live, node, items)
        return result

    def run_input(self, type_: type[T], /) -> Coroutine[Any, Any, T]:
        self._check_loop("run_input")
        return self.read_input(type_)

    async def read_input(self, type_: type[T]) -> T:
        """Do as ``run_input`` does."""
        plan = self._job.live.snapshot.plan
        codec: ValueCodec[T] = plan.input
        if type_ is not plan.input_type:
            codec = ValueCodec(type_, what=plan.input.what)
        return await self._runner.values.run_input(self._job.live, codec)

    # ------------------------------------------------------------------ what it tells
    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        what = f"progress of phase {self.phase!r}"
        done, total = _number(done, what), None if total is None else _number(total, what)
        note = storable_text(note, what=f"the note in the {what}")
        if self._job.is_over:  # another attempt may be telling its own
            return
        self._progress = Progress(done=done, total=total, note=note)
        now = self._job.alive_at = self._runner.clock.now()
        if self._told_at is None or now - self._told_at >= PROGRESS_INTERVAL or done == total:
            self._told_at = now
            event = PhaseProgress(
                run_id=self.run_id,
                pipeline=self.pipeline,
                seq=None,
                at=now,
                phase=self.phase,
                done=done,
                total=total,
                note=note,
            )
            self._tell(event)

    def heartbeat(self) -> None:
        self._job.alive_at = self._runner.clock.now()

    def _tell(self, event: PhaseProgress) -> None:
        """Tell an event on the event loop: what observes there is not made for threads."""
        if self.in_loop:
            self._runner.tell_live(event)
            return
        self._post(partial(self._runner.tell_live, event))

    def emit(self, event: CustomEvent, /) -> None:
        _check_event(event, self.phase)
        what = f"event {event.wire_name} of phase {self.phase!r}"
        payload = from_json_text(to_json_text(event, what=what))
        if not isinstance(payload, dict):
            raise EncodeError(what, ["a serializer made something else of it than an object with its fields"])
        self._emitted.append((event.wire_name, payload))  # pyright: ignore[reportUnknownArgumentType]  # keys of JSON objects are text

    def take_emitted(self) -> tuple[Emission, ...]:
        """Give what was emitted since the last commit."""
        emitted, self._emitted = tuple(self._emitted), []
        return emitted

    def take_progress(self) -> Progress | None:
        """Give the latest progress that is not stored yet."""
        progress, self._progress = self._progress, None
        return progress

    # ------------------------------------------------------------------ steps
    def step(
        self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        self._check_loop("step")
        return self._step(key, fn, *args, **kwargs)

    async def _step(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        with self.opened(key, fn) as codec:
            stored = await self.stored_step(key)
            if stored is not None:
                return codec.decode(stored)
            with self.traced_step(key):
                result = fn(*args, **kwargs)
                return await self.store_step(key, codec, await result if isawaitable(result) else result)

    def traced_step(self, key: str) -> AbstractContextManager[object]:
        """Open the span of a step that is carried out."""
        tracing = self._runner.observers.tracing
        return UNTRACED if tracing is None else tracing.step(self._job.live.snapshot.run, self.phase, key)

    def has_step(self, key: str, /) -> bool:
        return key in (self._steps or ())

    @contextmanager
    def opened(self, key: str, fn: Callable[..., Any]) -> Generator[ValueCodec[Any]]:
        """Give the door for a step's result, and keep others from taking its key."""
        codec = step_codec(self.phase, key, fn)
        self._job.check_not_over()
        if key in self._keys:
            raise DefinitionError(
                f"phase {self.phase!r} has two steps with the key {key!r} in one attempt, and one would get the "
                "other's result; give each a key of its own"
            )
        self._keys.add(key)
        try:
            yield codec
        except BaseException:
            self._keys.discard(key)  # nothing was stored: the body may try once more
            raise

    async def stored_step(self, key: str) -> str | None:
        """Give the encoded result that an earlier attempt stored."""
        if self.transaction is not None:
            msg = f"step {key!r} of phase {self.phase!r}: a transactional phase stores everything at once, at its end"
            raise RuntimeUsageError(msg)
        if self._steps is None:  # the first attempt of all
            self._steps = {}
        return self._steps.get(key)

    async def recall(self) -> None:
        """Read what earlier attempts stored: the results of steps, and what the body saved."""
        run, row = self._job.live.snapshot.run, self._job.row
        read = partial(self._runner.storage.steps, run.namespace, run.id, row.path, row.generation)
        self._steps = dict(await patiently(self._runner.clock, partial(self._runner.read, read)))
        self._saved = self._steps.pop(KEPT, None)

    async def store_step(self, key: str, codec: ValueCodec[Any], result: object) -> Any:
        """Commit a step's result together with what was emitted before it."""
        text, copy = codec.encode(result)
        row = self._job.row
        spent, self._job.spent = self._job.spent, []
        command = RecordStep(
            row.path, row.fence, key, text, self.take_emitted(), self.take_progress(), tuple(spent)
        )
        try:
            await self._runner.submit(self._job.live, command)
        except StorageRefusedError:  # it was used all the same
            self._job.spent = [*spent, *self._job.spent]
            raise
        self.heartbeat()
        assert self._steps is not None  # noqa: S101  # looked up before
        self._steps[key] = text
        return copy

    # ------------------------------------------------------------------ what it uses
    def spend(self, key: str, usage: Usage, /) -> None:
        key = storable_key(key, what=f"the name of what phase {self.phase!r} used")
        check_recordable(usage, f"what phase {self.phase!r} used for {key!r}")
        self._job.spent.append(Spent(key, usage))

    @property
    def budget(self) -> Budget | None:
        return self._job.live.snapshot.plan.budget

    def reserve(self, key: str, at_most: Usage, /) -> Coroutine[Any, Any, None]:
        self._check_loop("reserve")
        return self.keep_of_budget(key, at_most)

    async def keep_of_budget(self, key: str, at_most: Usage) -> None:
        """Do as ``reserve`` does."""
        key = storable_key(key, what=f"the name of what phase {self.phase!r} is about to use")
        check_recordable(at_most, f"what phase {self.phase!r} is about to use for {key!r}")
        if self.transaction is not None:
            msg = f"phase {self.phase!r} is transactional and stores everything at once, at its end: it cannot reserve"
            raise RuntimeUsageError(msg)
        await self._runner.quotas.check_use(at_most)
        self._job.check_not_over()  # who is allowed goes on to use it
        if self.budget is not None:
            row, live = self._job.row, self._job.live
            live.doubted = (
                live.doubted or self._runner.storage.shared
            )  # others may have let go of what they reserved
            await self._runner.submit(live, Reserve(row.path, row.fence, key, at_most))

    # ------------------------------------------------------------------ what it saves of itself
    @property
    def saved(self) -> Any:
        return None if self._saved is None else from_json_text(self._saved, what=self._what_is_saved)

    def saved_as(self, type_: type[T], /) -> T | None:
        codec = ValueCodec(type_, what=self._what_is_saved)
        return None if self._saved is None else codec.decode(self._saved)

    @property
    def _what_is_saved(self) -> str:
        return f"what phase {self.phase!r} saved"

    @property
    def has_saved(self) -> bool:
        """Whether something is stored that this attempt, or one before it, has saved."""
        return self._saved is not None or self._saved_at is not None

    def save(self, value: object, /) -> Coroutine[Any, Any, bool]:
        self._check_loop("save")
        return self.store_saved(value)

    async def store_saved(self, value: object) -> bool:
        """Commit what the body saves; what comes too soon after the one before is kept for the end of the attempt."""
        if self.transaction is not None:
            msg = f"phase {self.phase!r} is transactional and stores everything at once, at its end: it cannot save"
            raise RuntimeUsageError(msg)
        text, _ = any_codec(self._what_is_saved).encode(value)
        job, now = self._job, self._runner.clock.now()
        if not job.is_called:
            raise LeaseLostError(job.live.id, job.row.path, job.row.fence)
        self.heartbeat()
        if self._saved_at is not None and now - self._saved_at < self._runner.options.checkpoint_interval:
            job.saved = text
            return False
        kept, job.saved, self._saved_at = job.saved, None, now
        try:
            await self._runner.submit(job.live, Save(job.row.path, job.row.fence, text))
        except StorageRefusedError:  # what was kept before is still to be stored
            job.saved = job.saved or kept
            raise
        return True


class _Blocking(BlockingContext):
    """The awaitable verbs for a body in a thread: each is carried out on the event loop."""

    def __init__(self, context: BodyContext, token: EventLoopToken) -> None:
        self._context, self._token = context, token

    def step(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check_thread("step")
        with self._context.opened(key, fn) as codec:
            stored = self._await(partial(self._context.stored_step, key))
            if stored is not None:
                return codec.decode(stored)
            with self._context.traced_step(key):
                result = fn(*args, **kwargs)
                if isawaitable(result):
                    result = self._await(partial(_awaited, result))
                return self._await(partial(self._context.store_step, key, codec, result))

    def save(self, value: object, /) -> bool:
        self._check_thread("save")
        return self._await(partial(self._context.store_saved, value))

    def reserve(self, key: str, at_most: Usage, /) -> None:
        self._check_thread("reserve")
        self._await(partial(self._context.keep_of_budget, key, at_most))

    def result_of(self, phase: Node[Any, T], /) -> T:
        self._check_thread("result_of")
        return self._await(partial(self._context.find_result, phase))

    def run_input(self, type_: type[T], /) -> T:
        self._check_thread("run_input")
        return self._await(partial(self._context.read_input, type_))

    def _check_thread(self, verb: str) -> None:
        """Refuse to block the event loop, which would then never do what is waited for."""
        if self._context.in_loop:
            raise RunningLoopError(f"ctx.blocking.{verb}()", f"await ctx.{verb}(...)")

    def _await(self, verb: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return from_thread.run(verb, token=self._token)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def step_codec(phase: str, key: str, fn: Callable[..., Any]) -> ValueCodec[Any]:
    """The door for a step's result, by the return annotation of its function."""
    what = f"result of step {storable_key(key, what=f'the key of a step of phase {phase!r}')!r} of phase {phase!r}"
    returned = returned_type(fn, what=what)
    return ValueCodec(returned, what=what) if returned is not None else plain_codec(what)


def _check_event(event: object, phase: str) -> None:
    if not isinstance(event, CustomEvent):
        problem = f"expected a CustomEvent, got {type(event).__name__}; subclass CustomEvent"
        raise EncodeError(f"what phase {phase!r} emits", [problem])


def _number(value: Any, what: str) -> float:
    """Give a plain number for what counts as one, as numpy's do."""
    number: float | None = None
    if hasattr(value, "__index__"):
        number = index(value)
    elif hasattr(value, "__float__"):
        number = float(value)
    if number is None:
        raise EncodeError(what, [f"expected a number, got {type(value).__name__}"])
    if not -_MOST <= number <= _MOST:
        raise EncodeError(
            what, [f"a number of {type(value).__name__} is not finite or beyond 2 to the power of 53"]
        )
    return number
