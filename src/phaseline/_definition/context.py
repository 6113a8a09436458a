"""What a body sees of its run, and the events of an application."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Protocol, TypeVar, overload

from pydantic import BaseModel, ConfigDict

from phaseline._definition.deps import Dep
from phaseline._definition.step import Node
from phaseline._values.texts import upper_snake
from phaseline.errors import DefinitionError
from phaseline.events import ENGINE_EVENTS
from phaseline.tags import Attribute
from phaseline.usage import Budget, Usage

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")
P = ParamSpec("P")


class CustomEvent(BaseModel):
    """Base of an application's own events; ``class ItemShipped(CustomEvent)`` is ``ITEM_SHIPPED`` on the wire."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    wire_name: ClassVar[str] = "CUSTOM_EVENT"
    """The name under which it is stored and told; by default the class name in UPPER_SNAKE."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Derive the wire name, and keep it apart from the engine's own."""
        super().__pydantic_init_subclass__(**kwargs)
        if "wire_name" not in cls.__dict__:
            cls.wire_name = upper_snake(cls.__name__)
        if cls.wire_name in ENGINE_EVENTS:
            msg = f"{cls.__name__}: {cls.wire_name} is an event of the engine's own; call it something else"
            raise DefinitionError(msg)


class BlockingContext(Protocol):
    """The awaitable verbs of a context, for bodies that run in a thread."""

    @overload
    def step(self, key: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def step(self, key: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def step(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Do as ``Context.step`` does."""
        ...

    def save(self, value: object, /) -> bool:
        """Do as ``Context.save`` does."""
        ...

    def reserve(self, key: str, at_most: Usage, /) -> None:
        """Do as ``Context.reserve`` does."""
        ...

    def result_of(self, phase: Node[Any, T], /) -> T:
        """Do as ``Context.result_of`` does."""
        ...

    def run_input(self, type_: type[T], /) -> T:
        """Do as ``Context.run_input`` does."""
        ...


class Context(ABC):
    """What a body knows of its run and may do to it."""

    namespace: str
    """Where the run is: whose it is, where each tenant has one."""
    run_id: str
    """Id of the run."""
    pipeline: str
    """Name of the pipeline."""
    phase: str
    """Path of the phase; of an item ``path[index]``."""
    item: int | None
    """Index in the map, for an item of one."""
    attempt: int
    """1 for the first attempt."""
    idempotency_key: str
    """Equal across attempts, crashes and retries: give it to outside services so that an effect happens once."""
    deadline: datetime | None
    """When the attempt will be timed out, or the run's time is over, whichever is earlier."""

    @property
    @abstractmethod
    def tags(self) -> tuple[str, ...]:
        """The tags of the run, as it was started with them."""

    @property
    @abstractmethod
    def attributes(self) -> Mapping[str, Attribute]:
        """The attributes of the run, as it was started with them; a copy."""

    @abstractmethod
    def now(self) -> datetime:
        """The time, aware, by the clock of the runtime: in a test, with a ``FakeClock``, that of the test."""

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """Whether the result of this body will be refused: it was timed out, cancelled or taken over."""

    @property
    @abstractmethod
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that adds run, phase and attempt to each record."""

    @property
    @abstractmethod
    def blocking(self) -> BlockingContext:
        """The awaitable verbs for bodies that are plain functions."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """A SQLAlchemy connection to the runtime's database, in the transaction that commits this phase.

        What is written on it is stored with the phase's output, or not at all. It is committed by phaseline; a
        ``Session(bind=ctx.connection)`` may be used. On SQLite nothing else is written from its first use to the end of
        the body, so be quick.

        Raises:
            RuntimeUsageError: The phase is not transactional.
        """

    @abstractmethod
    def dep(self, token: Dep[T], /) -> T:
        """Give what the host provided for the token.

        Raises:
            MissingDependencyError: Nobody provided it.
        """

    @overload
    def step(
        self, key: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self, key: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    @abstractmethod
    def step(
        self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Call ``fn`` and store its result at once; a later attempt of this phase gets it without the call.

        Args:
            key: Names the step within the phase: 1 to 500 characters, each time another one.
            fn: Sync or async. Its return annotation says how the result is decoded; without one, as with a lambda, the
                result must be plain JSON data.
            *args: Passed on.
            **kwargs: Passed on.

        Raises:
            DefinitionError: The key was used in this attempt, or the annotation cannot be read.
            EncodeError: The key is no text that can be stored; the result is not of the declared type, or would come
                back as something else.
            RuntimeUsageError: It was called in a thread; a body that is a plain function has ``ctx.blocking.step``.
            LeaseLostError: This worker no longer holds the phase, or the attempt is over; where that is known before, ``fn``
                is not called.
        """

    @abstractmethod
    def has_step(self, key: str, /) -> bool:
        """Whether the result of a step is stored, by this attempt or one before it, so that it will not be called."""

    @abstractmethod
    def save(self, value: object, /) -> Coroutine[Any, Any, bool]:
        """Save how far the body is, for the next attempt of this phase; the newest takes the place of what was saved before.

        At most one is stored in each ``Runtime(checkpoint_interval=)``, 60 seconds by default, of an attempt. What comes
        sooner is kept, and stored when the attempt ends without an output, unless its process dies. When the phase
        commits, nothing of it stays.

        Args:
            value: Whatever pydantic can write as JSON.

        Returns:
            Whether it is stored now.

        Raises:
            EncodeError: It cannot be stored.
            RuntimeUsageError: The phase is transactional; or it was called in a thread, where a body that is a plain
                function has ``ctx.blocking.save``.
            LeaseLostError: This worker no longer holds the phase; nothing was stored.
        """

    @abstractmethod
    def spend(self, key: str, usage: Usage, /) -> None:
        """Record what was used of something that is paid for; stored with the next commit of the attempt, however it ends.

        Inside of a step it is stored with the step's result, so that a step which is not called again uses nothing again. What
        a body used since its last step cannot be stored any more where its run was cancelled, or another worker took over.

        Args:
            key: Name for it: that of the step, where it is used in one; 1 to 500 characters.
            usage: How much.

        Raises:
            EncodeError: The key is no text that can be stored, or more was used than can be meant: 10 to the power of 12
                tokens or requests, a million of cost.
        """

    @abstractmethod
    def reserve(self, key: str, at_most: Usage, /) -> Coroutine[Any, Any, None]:
        """Ask whether the run's budget allows so much, and keep it for what is used next: calls beside it count it, too.

        Without a budget this does nothing. Ask inside of the step, which is not called again once it is stored. ``spend``
        with this key lets go of it, and so does the end of the attempt; to reserve once more under it takes the place of what was
        reserved, so calls side by side need a key each. Where the body is stopped in between, as by its timeout, or its process
        dies, nobody knows what was used: it stays reserved for as long as the run is there.

        Args:
            key: As with ``spend``.
            at_most: What the call cannot go beyond.

        Raises:
            BudgetExceededError: The budget does not allow it; left alone, it fails the run.
            EncodeError: As with ``spend``.
            RuntimeUsageError: The phase is transactional; or it was called in a thread, where a body that is a plain
                function has ``ctx.blocking.reserve``.
            LeaseLostError: This worker no longer holds the phase, or the attempt is over.
        """

    @property
    @abstractmethod
    def budget(self) -> Budget | None:
        """What the run may use at most; None: as much as it likes."""

    @property
    @abstractmethod
    def saved(self) -> Any:
        """What an earlier attempt of this phase saved last, as plain JSON data; None if there is nothing.

        As steps are, it is kept across failures, crashes, pauses and retries; a phase that is done once more after a
        rollback past its commit, ``rerun_from`` or ``restart`` finds nothing.
        """

    @abstractmethod
    def saved_as(self, type_: type[T], /) -> T | None:
        """Give what ``saved`` gives, validated as ``type_``.

        Raises:
            DefinitionError: Values of this type cannot be stored.
            DecodeError: What was saved is of another type.
        """

    @abstractmethod
    def result_of(self, phase: Node[Any, T], /) -> Coroutine[Any, Any, T]:
        """Give the output of an upstream phase; of a chain or a pipeline, that of its last phase.

        Raises:
            DefinitionError: It is not upstream of this one, or stands in the pipeline more than once.
        """

    @abstractmethod
    def run_input(self, type_: type[T], /) -> Coroutine[Any, Any, T]:
        """Give the input of the run, validated as ``type_``."""

    @abstractmethod
    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far the body is. Live only and throttled; the latest value is stored with the next commit.

        Of an attempt that is over, whose thread goes on, nothing is told.

        Args:
            done: Any finite number; of another library, it becomes a plain one.
            total: Where it ends, if that is known.
            note: For readers; what is over 2,000 characters is cut.

        Raises:
            EncodeError: A number is none, or the note is no text that can be stored.
        """

    @abstractmethod
    def heartbeat(self) -> None:
        """Give a sign of life, as a phase with ``heartbeat=`` must; from any thread. It costs next to nothing."""

    @abstractmethod
    def emit(self, event: CustomEvent, /) -> None:
        """Tell an event of the application; stored with what its body commits next, and only then told.

        That is a step, what it saves, or its output. What an attempt told since, and then failed, is told to nobody.

        Raises:
            EncodeError: It cannot be stored.
        """
