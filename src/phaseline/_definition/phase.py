"""Phases: as classes and as functions, with their options."""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import (
    Any,
    ClassVar,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    get_args,
    get_origin,
    overload,
)

import attrs
from typing_extensions import TypedDict, Unpack, get_original_bases

from phaseline._definition.context import Context
from phaseline._definition.deps import Dep
from phaseline._definition.options import (
    check_bool,
    check_compensate,
    check_concurrency,
    check_function,
    check_label,
    check_name,
    check_no_method,
    check_options,
    check_rate,
    check_requires,
    check_retry,
    check_sla,
    check_span,
    check_spelling,
    option_kinds,
)
from phaseline._definition.step import Node
from phaseline._values.signature import Signature, accepts, signature_of, type_name
from phaseline._values.texts import snake, upper_snake
from phaseline.errors import DefinitionError
from phaseline.limits import Rate
from phaseline.retry import Retry

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")
In = TypeVar("In")
Out = TypeVar("Out")

DEFAULT_QUEUE = "pipeline"


class Options(TypedDict, total=False):
    """How a phase is run, as keyword arguments; as with ``@phase``."""

    name: str
    queue: str
    label: str | None
    retry: Retry | None
    timeout: timedelta | None
    heartbeat: timedelta | None
    sla: timedelta | None
    concurrency: int | None
    rate: Rate | None
    requires: tuple[Dep[Any], ...]
    transactional: bool
    may_finish: bool
    compensate: Callable[..., Any] | None


class Phase(Node[In, Out], ABC):
    """A phase as a class: subclass it with its two types, and write ``run`` with the same in its annotations.

    Class attributes are its options; one that looks like a misspelt option is refused. ``run`` may be ``async def`` or plain ``def``; a plain one runs in a thread.
    """

    name: ClassVar[str | None] = None
    """Its path in the pipeline; by default the class name in snake_case."""
    queue: ClassVar[str] = DEFAULT_QUEUE
    """Where workers take it up."""
    label: ClassVar[str | None] = None
    """State of the run while it is at this phase, in UPPER_SNAKE; by default it is made of the name."""
    retry: ClassVar[Retry | None] = None
    """None: what the pipeline says, else the runtime, else one attempt."""
    timeout: ClassVar[timedelta | None] = None
    """Bound of one attempt, at most ten years; None for none."""
    heartbeat: ClassVar[timedelta | None] = None
    """Longest time without a sign of life (``ctx.heartbeat()``, ``ctx.progress(...)``, a step that ended); None for any."""
    sla: ClassVar[timedelta | None] = None
    """Within what time it should be over, waiting and all attempts included; what takes longer is told, and goes on. None: any."""
    concurrency: ClassVar[int | None] = None
    """How many of its bodies may run at once, in all processes together; None for any number."""
    rate: ClassVar[Rate | None] = None
    """How many of them may be begun in a time, in all processes together; None for any number."""
    requires: ClassVar[tuple[Dep[Any], ...]] = ()
    """Dependencies that must be provided before a run starts."""
    transactional: ClassVar[bool] = False
    """Whether ``ctx.connection`` is in a transaction that is committed with the phase; for a plain ``def run``."""
    may_finish: ClassVar[bool] = False
    """Whether it may end the whole run with ``Finish``."""

    _localns: Mapping[str, Any] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the names of an enclosing function, where the annotations of ``run`` may come from.

        Raises:
            DefinitionError: An attribute is a misspelt option.
        """
        super().__init_subclass__(**kwargs)
        check_spelling(cls, option_kinds(Phase))
        function, is_local, _ = cls.__qualname__.rpartition(".<locals>.")
        frame = sys._getframe(1) if is_local else None  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to a caller's local types
        while frame is not None and frame.f_code.co_qualname != function:  # metaclasses stand between
            frame = frame.f_back
        if frame is not None:
            cls._localns = {**(cls._localns or {}), **frame.f_locals}

    @abstractmethod
    def run(self, value: In, ctx: Context, /) -> Out | Awaitable[Out]:
        """Do the work."""

    def compensate(self, value: In, output: Out, ctx: Context, /) -> Awaitable[None] | None:
        """Undo what ``run`` did, when the run is taken back to before it; override it where there is something to undo.

        Args:
            value: What ``run`` took.
            output: What it gave; where it ended the run with ``Finish``, the output of that.
            ctx: Of the attempt.
        """
        raise NotImplementedError

    @property
    def names(self) -> Mapping[str, Any] | None:
        """Names of an enclosing function that its annotations may use."""
        return self._localns

    @cached_property
    def options(self) -> PhaseOptions:
        """Its options with the defaults filled in."""
        given: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in attrs.fields(PhaseOptions)
        }
        if type(self).compensate is Phase[Any, Any].compensate:
            given["compensate"] = None
        given["name"] = self.name or snake(type(self).__name__)
        return PhaseOptions(**given)

    @cached_property
    def signature(self) -> Signature:
        """The types of ``run``.

        Raises:
            DefinitionError: They are missing or cannot be resolved.
        """
        what = f"{self.title}.run"
        signature = signature_of(self.body, context_type=Context, what=what, localns=self._localns)
        _check_declared(type(self), _one_value(signature, self.options))
        return signature

    def with_options(self, **options: Unpack[Options]) -> Self:
        """Give a copy with other options, as for a second place in a pipeline: ``enrich.with_options(name="again")``.

        Args:
            **options: As with ``@phase``; what is left out stays as it is.

        Raises:
            DefinitionError: An option is none.
        """
        check_options(options, option_names(), f"phase {self.title!r}")
        other = copy.copy(self)
        vars(other).update(options=attrs.evolve(self.options, **options))
        vars(other).pop("signature", None)  # it is checked against the options
        return other

    @property
    def body(self) -> Callable[..., Any]:
        """What is called."""
        return self.run

    @property
    def title(self) -> str:
        return self.options.name

    @property
    def input_type(self) -> Any:
        return self.signature.inputs[0]

    @property
    def output_type(self) -> Any:
        return self.signature.output


def option_names() -> tuple[str, ...]:
    """The options of phases that are given as keyword arguments."""
    return (*option_kinds(Phase), "compensate")


class FunctionPhase(Phase[In, Out]):
    """A phase made of a function by ``@phase``; calling it calls the bare function."""

    def __init__(
        self, fn: Callable[..., Any], options: PhaseOptions, localns: Mapping[str, Any] | None
    ) -> None:
        self._fn: Callable[..., Out | Awaitable[Out]] = fn
        self._options, self._localns = options, localns
        self.__doc__ = fn.__doc__

    @cached_property
    def options(self) -> PhaseOptions:
        return self._options

    @cached_property
    def signature(self) -> Signature:
        return _one_value(
            signature_of(self._fn, context_type=Context, what=self.title, localns=self._localns), self.options
        )

    @property
    def body(self) -> Callable[..., Any]:
        return self._fn

    def run(self, value: In, ctx: Context, /) -> Out | Awaitable[Out]:
        """Call the function the way the engine does."""
        named = self.signature.context
        return self._fn(value, **{named: ctx}) if named else self._fn(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the bare function, as a unit test does."""
        return self._fn(*args, **kwargs)


@attrs.frozen
class PhaseOptions:
    """How a phase is run."""

    name: str
    queue: str = DEFAULT_QUEUE
    label: str | None = None
    retry: Retry | None = None
    timeout: timedelta | None = None
    requires: tuple[Dep[Any], ...] = ()
    transactional: bool = False
    may_finish: bool = False
    heartbeat: timedelta | None = None
    concurrency: int | None = None
    rate: Rate | None = None
    compensate: Callable[..., Any] | None = None
    sla: timedelta | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse options that cannot work."""
        check_name(self.name, "a phase")
        check_name(self.queue, f"the queue of phase {self.name!r}")
        check_label(self.label, self.name)
        check_retry(self.retry, f"phase {self.name!r}")
        check_span(self.timeout, "timeout", f"phase {self.name!r}")
        check_span(self.heartbeat, "heartbeat", f"phase {self.name!r}")
        check_sla(self.sla, f"phase {self.name!r}")
        check_concurrency(self.concurrency, "concurrency", f"phase {self.name!r}")
        check_rate(self.rate, "rate", f"phase {self.name!r}")
        check_requires(self.requires, self.name)
        check_bool(self.transactional, "transactional", f"phase {self.name!r}")
        check_bool(self.may_finish, "may_finish", f"phase {self.name!r}")
        check_compensate(self.compensate, self.name)

    @property
    def state_label(self) -> str:
        """The state of the run while it is at this phase."""
        return self.label or upper_snake(self.name)


class _PhaseDecorator(Protocol):
    @overload
    def __call__(self, fn: Callable[[A, Context], Awaitable[B]], /) -> FunctionPhase[A, B]: ...
    @overload
    def __call__(self, fn: Callable[[A], Awaitable[B]], /) -> FunctionPhase[A, B]: ...
    @overload
    def __call__(self, fn: Callable[[A, Context], B], /) -> FunctionPhase[A, B]: ...
    @overload
    def __call__(self, fn: Callable[[A], B], /) -> FunctionPhase[A, B]: ...


@overload
def phase(fn: Callable[[A, Context], Awaitable[B]], /) -> FunctionPhase[A, B]: ...
@overload
def phase(fn: Callable[[A], Awaitable[B]], /) -> FunctionPhase[A, B]: ...
@overload
def phase(fn: Callable[[A, Context], B], /) -> FunctionPhase[A, B]: ...
@overload
def phase(fn: Callable[[A], B], /) -> FunctionPhase[A, B]: ...
@overload
def phase(
    *,
    name: str | None = None,
    queue: str = DEFAULT_QUEUE,
    label: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    heartbeat: timedelta | None = None,
    sla: timedelta | None = None,
    concurrency: int | None = None,
    rate: Rate | None = None,
    requires: tuple[Dep[Any], ...] = (),
    transactional: bool = False,
    may_finish: bool = False,
    compensate: Callable[..., Any] | None = None,
) -> _PhaseDecorator: ...
def phase(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    queue: str = DEFAULT_QUEUE,
    label: str | None = None,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    heartbeat: timedelta | None = None,
    sla: timedelta | None = None,
    concurrency: int | None = None,
    rate: Rate | None = None,
    requires: tuple[Dep[Any], ...] = (),
    transactional: bool = False,
    may_finish: bool = False,
    compensate: Callable[..., Any] | None = None,
) -> Any:
    """Make a phase of a function ``(value)`` or ``(value, ctx: Context)``, sync or async.

    Args:
        fn: The function; a sync one runs in a thread.
        name: Its path in the pipeline; by default the function's name.
        queue: Where workers take it up.
        label: State of the run while it is at this phase, in UPPER_SNAKE; by default it is made of the name.
        retry: When to try again; by default what the pipeline says, else the runtime, else one attempt.
        timeout: Bound of one attempt, at most ten years; None for none.
        heartbeat: Longest time without a sign of life from the body: ``ctx.heartbeat()``, ``ctx.progress(...)``, or a step
            that ended. An attempt that is silent for longer fails with TIMEOUT. None for any.
        sla: Within what time it should be over, from when it could begin to its end, waiting and all attempts included. What
            takes longer is told, once, by ``SLA_BREACHED``, and goes on all the same. None: however long it takes.
        concurrency: How many of its bodies may run at once, in all processes together; None for any number.
        rate: How many of them may be begun in a time, each attempt by itself: ``Rate(10, per=timedelta(minutes=1))``.
        requires: Dependencies without which a runtime that serves the phase's queue does not open, and no run in memory begins.
        transactional: Whether ``ctx.connection`` is in a transaction of the runtime's database that is committed with
            the phase: the body's own rows and the phase's output are stored together, or neither. For a plain ``def``.
        may_finish: Whether it may end the whole run with ``Finish``.
        compensate: A function ``(value, output)`` or ``(value, output, ctx: Context)``, sync or async, that undoes what the
            phase did when its run is taken back; what it returns is taken by nobody. Where the phase ended the run with
            ``Finish``, ``output`` is that of the run.

    Raises:
        DefinitionError: It is a lambda, or an option is none; what is missing in its annotations is told by what it
            is composed with.
    """
    check_function(fn)
    locals_ = sys._getframe(1).f_locals  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to a caller's local types

    def decorate(function: Callable[..., Any]) -> FunctionPhase[Any, Any]:
        own = getattr(function, "__name__", type(function).__name__)
        if own == "<lambda>":
            msg = "a lambda cannot be a phase: it has no name and no types; write 'def' with annotations"
            raise DefinitionError(msg)
        check_no_method(function)
        nested = "<locals>" in getattr(function, "__qualname__", "")
        options = PhaseOptions(
            name or own,
            queue,
            label,
            retry,
            timeout,
            requires,
            transactional,
            may_finish,
            heartbeat,
            concurrency,
            rate,
            compensate,
            sla,
        )
        return FunctionPhase(function, options, dict(locals_) if nested else None)

    return decorate if fn is None else decorate(fn)


def _one_value(signature: Signature, options: PhaseOptions) -> Signature:
    """Refuse what a chain cannot call."""
    if len(signature.inputs) != 1:
        msg = f"phase {options.name!r} takes {len(signature.inputs)} values; a phase of a chain takes one, plus a Context"
        advice = (
            "put them in one dataclass, model or tuple, or leave @phase off and give the function to a Dag, whose add() takes one "
            "reference for each"
            if signature.inputs
            else "add one, such as '_: None'"
        )
        raise DefinitionError(f"{msg}; {advice}")
    return with_needs(signature, options)


def with_needs(signature: Signature, options: PhaseOptions) -> Signature:
    """Refuse a phase whose body could not do what its options ask for: use its connection, or give signs of life."""
    if options.heartbeat is not None and signature.context is None:
        msg = f"phase {options.name!r} has a heartbeat, but takes no Context, by which it would give signs of life: (value, ctx: Context)"
        raise DefinitionError(msg)
    if options.transactional and signature.is_async:
        msg = (
            f"phase {options.name!r} is transactional and async; its connection blocks, so make it a plain def, which runs "
            "in a thread"
        )
        raise DefinitionError(msg)
    if options.transactional and signature.context is None:
        msg = f"phase {options.name!r} is transactional, but takes no Context, where its connection is: (value, ctx: Context)"
        raise DefinitionError(msg)
    return signature


def _check_declared(cls: type, signature: Signature) -> None:
    """Refuse a ``run`` whose annotations are not the types in ``Phase[In, Out]``."""
    for base in (base for known in cls.__mro__ for base in get_original_bases(known)):
        if get_origin(base) is not Phase:
            continue
        takes, gives = get_args(base)
        if not accepts(signature.inputs[0], takes):
            annotated = type_name(signature.inputs[0])
            told = f"takes {type_name(takes)}, but its run() takes {annotated}"
        elif not accepts(gives, signature.output):
            annotated = type_name(signature.output)
            told = f"gives {type_name(gives)}, but its run() gives {annotated}"
        else:
            return
        written = f"Phase[{type_name(takes)}, {type_name(gives)}]"
        raise DefinitionError(f"{cls.__name__}, as a {written}, {told}; make the two agree")
