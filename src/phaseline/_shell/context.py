"""The context that a body gets."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from phaseline._engine.commands import Emission, RecordStep
from phaseline._shell.live import Job
from phaseline.abc import Transaction
from phaseline.codec import ValueCodec, from_json_text, to_json_text
from phaseline.errors import DefinitionError, MissingDependencyError, RuntimeUsageError
from phaseline.events import PhaseProgress
from phaseline.phase import BlockingContext, Context, CustomEvent, Dep
from phaseline.run import Progress
from phaseline.step import Node

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from phaseline._shell.runner import Runner
    from phaseline.plan import PlanNode

T = TypeVar("T")
PROGRESS_INTERVAL = timedelta(milliseconds=100)
"""Progress is told at most once in this time, but for its first and its last word."""


class BodyContext(Context):
    """One attempt of one phase, as its body sees it."""

    def __init__(self, runner: Runner, job: Job, deadline: datetime | None) -> None:
        run, row = job.live.snapshot.run, job.row
        self._runner, self._job = runner, job
        self.run_id, self.pipeline = run.id, run.pipeline
        self.phase, self.attempt = row.path, row.attempt
        self.item = job.items[-1] if job.items else None
        self.idempotency_key = f"{run.id}:{row.path}:{row.generation}"
        self.deadline = deadline
        self._emitted: list[Emission] = []
        self._progress: Progress | None = None
        self._told_at: datetime | None = None
        self._steps: dict[str, str] | None = None
        self._token: EventLoopToken = current_token()
        self.transaction: Transaction | None = None
        """What a transactional phase writes in."""

    # ------------------------------------------------------------------ what it knows
    @property
    def cancelled(self) -> bool:
        return self._job.interruption is not None

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        extra = {
            "run_id": self.run_id,
            "pipeline": self.pipeline,
            "phase": self.phase,
            "attempt": self.attempt,
        }
        return logging.LoggerAdapter(logging.getLogger(f"phaseline.phase.{self._job.node.path}"), extra)

    @property
    def blocking(self) -> BlockingContext:
        return _Blocking(self, self._token)

    def now(self) -> datetime:
        """The time of facts."""
        return self._runner.clock.now()

    @property
    def connection(self) -> Connection:
        if self.transaction is None:
            msg = f"phase {self.phase!r} asks for ctx.connection, but is not transactional: @phase(transactional=True)"
            raise RuntimeUsageError(msg)
        if self.cancelled:
            msg = f"the transaction of phase {self.phase!r} is over: its attempt was timed out or taken over"
            raise RuntimeUsageError(msg)
        connection: Connection = self.transaction.connection
        return connection

    def dep(self, token: Dep[T], /) -> T:
        deps: Mapping[Dep[Any], Any] = self._runner.deps
        if token not in deps:
            raise MissingDependencyError(token.name, self.phase)
        found: T = deps[token]
        return found

    async def result_of(self, phase: Node[Any, T], /) -> T:
        plan = self._job.live.snapshot.plan
        node = self._upstream(phase)
        items = self._job.items[: len(plan.scopes_of(node))]
        value: T = await self._runner.values.of_node(self._job.live, node, items)
        return value

    def _upstream(self, phase: Node[Any, Any]) -> PlanNode:
        """Find the one node upstream of this one that was made of ``phase``."""
        plan, here = self._job.live.snapshot.plan, self._job.node
        named = getattr(phase, "title", repr(phase))
        around = (None, *plan.scopes_of(here))
        found = [
            node
            for node, binding in zip(plan.nodes, plan.bindings, strict=True)
            if binding.source is phase and node.scope in around
        ]
        if len(found) != 1:
            what = "does not stand upstream" if not found else f"stands {len(found)} times"
            msg = f"{self.phase!r} asks for the result of {named!r}, which {what} in pipeline {plan.name!r}"
            raise DefinitionError(msg)
        node = found[0]
        todo, seen = [here.index, *plan.scopes_of(here)], set[int]()
        while todo:
            parents = plan.nodes[todo.pop()].parents
            if node.index in parents:
                return node
            todo.extend(parent for parent in parents if parent not in seen)
            seen.update(parents)
        msg = f"{self.phase!r} asks for the result of {named!r}, which is not upstream of it in pipeline {plan.name!r}"
        raise DefinitionError(msg)

    async def run_input(self, type_: type[T], /) -> T:
        plan = self._job.live.snapshot.plan
        codec: ValueCodec[T] = plan.input
        if type_ is not plan.input_type:
            codec = ValueCodec(type_, what=plan.input.what)
        return await self._runner.values.run_input(self._job.live, codec)

    # ------------------------------------------------------------------ what it tells
    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        self._progress = Progress(done=done, total=total, note=note)
        now = self._runner.clock.now()
        if self._told_at is None or now - self._told_at >= PROGRESS_INTERVAL or done == total:
            self._told_at = now
            event = PhaseProgress(
                run_id=self.run_id, seq=None, at=now, phase=self.phase, done=done, total=total, note=note
            )
            self._runner.tell_live(event)

    def emit(self, event: CustomEvent, /) -> None:
        payload = from_json_text(to_json_text(event, what=f"event {event.wire_name} of phase {self.phase!r}"))
        self._emitted.append((event.wire_name, payload))

    def take_emitted(self) -> tuple[Emission, ...]:
        """Give what was emitted since the last commit."""
        emitted, self._emitted = tuple(self._emitted), []
        return emitted

    def take_progress(self) -> Progress | None:
        """Give the latest progress that is not stored yet."""
        progress, self._progress = self._progress, None
        return progress

    # ------------------------------------------------------------------ steps
    async def step(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        codec = step_codec(self.phase, key, fn)
        stored = await self.stored_step(key)
        if stored is not None:
            return codec.decode(stored)
        result = fn(*args, **kwargs)
        return await self.store_step(key, codec, await result if inspect.isawaitable(result) else result)

    async def stored_step(self, key: str) -> str | None:
        """Give the encoded result that an earlier attempt stored."""
        if self.transaction is not None:
            msg = f"step {key!r} of phase {self.phase!r}: a transactional phase stores everything at once, at its end"
            raise RuntimeUsageError(msg)
        if self._steps is None:
            run, row = self._job.live.snapshot.run, self._job.row
            if row.attempt == 1:
                self._steps = {}
            else:
                storage = self._runner.storage
                read = partial(storage.steps, run.namespace, run.id, row.path, row.generation)
                self._steps = dict(await self._runner.values.call(read))
        return self._steps.get(key)

    async def store_step(self, key: str, codec: ValueCodec[Any], result: object) -> Any:
        """Commit a step's result together with what was emitted before it."""
        text, copy = codec.encode(result)
        row = self._job.row
        command = RecordStep(row.path, row.fence, key, text, self.take_emitted(), self.take_progress())
        await self._runner.submit(self._job.live, command)
        assert self._steps is not None  # noqa: S101  # looked up before
        self._steps[key] = text
        return copy


class _Blocking(BlockingContext):
    """The awaitable verbs for a body in a thread: each is carried out on the event loop."""

    def __init__(self, context: BodyContext, token: EventLoopToken) -> None:
        self._context, self._token = context, token

    def step(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        codec = step_codec(self._context.phase, key, fn)
        stored = self._await(partial(self._context.stored_step, key))
        if stored is not None:
            return codec.decode(stored)
        result = fn(*args, **kwargs)
        if inspect.isawaitable(result):
            result = self._await(partial(_awaited, result))
        return self._await(partial(self._context.store_step, key, codec, result))

    def result_of(self, phase: Node[Any, T], /) -> T:
        return self._await(partial(self._context.result_of, phase))

    def run_input(self, type_: type[T], /) -> T:
        return self._await(partial(self._context.run_input, type_))

    def _await(self, verb: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return from_thread.run(verb, token=self._token)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def step_codec(phase: str, key: str, fn: Callable[..., Any]) -> ValueCodec[Any]:
    """The door for a step's result, by the return annotation of its function."""
    if not key:
        msg = f"a step of phase {phase!r} has an empty key; name it"
        raise DefinitionError(msg)
    try:
        returned = get_type_hints(fn).get("return", Any)
    except (
        NameError,
        TypeError,
    ):  # no annotations to read, as with a builtin or a name that is local to a function
        returned = Any
    return ValueCodec(
        type(None) if returned is None else returned, what=f"result of step {key!r} of phase {phase!r}"
    )
