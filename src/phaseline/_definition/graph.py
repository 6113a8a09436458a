"""Any graph: edges are values, and a ``Ref`` is the only way to name what stands upstream."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from types import FrameType, GenericAlias
from typing import Any, Final, Generic, Literal, TypeVar, cast, overload

import attrs
from typing_extensions import Unpack

from phaseline._definition.context import Context
from phaseline._definition.options import check_name, check_options
from phaseline._definition.phase import FunctionPhase, Options, PhaseOptions, option_names, with_needs
from phaseline._definition.signals import Signal
from phaseline._definition.step import Node, Wait, node_from
from phaseline._values.nothing import NOTHING
from phaseline._values.signature import Signature, accepts, signature_of, type_name
from phaseline._values.texts import did_you_mean
from phaseline.errors import DefinitionError, TypeMismatchError

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


@attrs.frozen(eq=False)
class Ref(Generic[Out_co]):
    """A value that will be there when a run has come so far."""

    owner: object
    """The graph in which it stands."""
    index: int
    """Position of what gives it among what was added; -1 is the graph's input."""
    title: str
    """As which messages name it."""
    type: Any
    """The type of its value."""


@attrs.frozen(eq=False)
class Added:
    """One step of a graph and what it takes."""

    step: Node[Any, Any]
    takes: tuple[int, ...]
    after: tuple[int, ...]
    join: Literal["all", "any"]
    cancel_rest: bool

    @property
    def is_spread(self) -> bool:
        """Whether it takes its values as several arguments."""
        return isinstance(self.step, FunctionOfMany)


_PLAIN: Final = "; only a function of two to six values is given to add() as it is"


class FunctionOfMany(FunctionPhase[Any, Any]):
    """A phase made of a function of several values; its value is their tuple."""

    @cached_property
    def signature(self) -> Signature:
        signature = signature_of(self._fn, context_type=Context, what=self.title, localns=self._localns)
        return with_needs(signature, self.options)

    @property
    def input_type(self) -> Any:
        return GenericAlias(tuple, self.signature.inputs)

    def run(self, value: Any, ctx: Context, /) -> Any:
        """Call the function the way the engine does."""
        named = self.signature.context
        return self._fn(*value, **{named: ctx}) if named else self._fn(*value)


class Graph(Node[In_contra, Out_co]):
    """Steps in any order that their references allow; what a ``Dag`` is built to."""

    def __init__(self, name: str, input_type: Any, steps: tuple[Added, ...], output: int) -> None:
        self.name: str = name
        self.steps: tuple[Added, ...] = steps
        self.output: int = output
        self._input_type = input_type

    @property
    def title(self) -> str:
        return self.name

    @property
    def input_type(self) -> Any:
        return self._input_type

    @property
    def output_type(self) -> Any:
        return self.steps[self.output].step.output_type


class Wires(Generic[In]):
    """The part of a ``Dag`` that knows nothing of pipelines: it collects steps and checks each as it comes."""

    def __init__(self, name: str, input_type: type[In]) -> None:
        """Begin with nothing but an input.

        Args:
            name: Of the pipeline that it is built to.
            input_type: What a run of it takes.

        Raises:
            DefinitionError: The name is none.
        """
        check_name(name, "a graph")
        self.name = name
        self._input_type: Any = input_type
        self._steps: list[Added] = []
        self.input: Ref[In] = Ref(self, -1, f"the input of {name!r}", input_type)
        """The value that a run is given."""

    @overload
    def add(self, step: Node[A, T], ref: Ref[A], /, *, after: Sequence[Ref[Any]] = ()) -> Ref[T]: ...
    @overload
    def add(
        self,
        step: Node[A, T],
        /,
        *refs: Ref[A],
        join: Literal["any"],
        cancel_rest: bool = False,
        after: Sequence[Ref[Any]] = (),
    ) -> Ref[T]: ...
    # fmt: off
    @overload
    def add(self, step: Callable[[A, B, Context], Awaitable[T]], a: Ref[A], b: Ref[B], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, Context], T], a: Ref[A], b: Ref[B], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B], Awaitable[T]], a: Ref[A], b: Ref[B], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B], T], a: Ref[A], b: Ref[B], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, Context], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, Context], T], a: Ref[A], b: Ref[B], c: Ref[C], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C], T], a: Ref[A], b: Ref[B], c: Ref[C], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, Context], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, Context], T], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D], T], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E, Context], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E, Context], T], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E], T], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E, F, Context], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], f: Ref[F], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E, F, Context], T], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], f: Ref[F], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E, F], Awaitable[T]], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], f: Ref[F], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    @overload
    def add(self, step: Callable[[A, B, C, D, E, F], T], a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], e: Ref[E], f: Ref[F], /, *, after: Sequence[Ref[Any]] = (), **options: Unpack[Options]) -> Ref[T]: ...
    # fmt: on
    def add(
        self,
        step: Node[Any, Any] | Callable[..., Any],
        /,
        *refs: Ref[Any],
        after: Sequence[Ref[Any]] = (),
        join: Literal["all", "any"] = "all",
        cancel_rest: bool = False,
        **options: Unpack[Options],
    ) -> Ref[Any]:
        """Add a step, and give a reference on what it hands on.

        Args:
            step: A phase, a combinator or a pipeline, with one reference; or a plain function of two to six values
                (and a ``Context``), sync or async, with as many.
            *refs: What it takes, in the order of its parameters. A parameter ``X | None`` gets None for a reference
                that hands nothing on; without it the step is skipped.
            after: What must have ended before, whatever it handed on.
            join: ``any``: the step takes one value, the first of these that comes.
            cancel_rest: With ``join="any"``: once it has its value, what serves the other references alone is ended.
            **options: As with ``@phase``, for a plain function; a phase has its own.

        Raises:
            DefinitionError: A reference stands in another graph, or their number is not that of the parameters.
            TypeMismatchError: A reference is not of the type of its parameter.
        """
        self._check_kinds(refs, after, "after")
        self._check_join(join, refs, cancel_rest=cancel_rest)
        if join == "all" and not isinstance(step, Node) and callable(step) and len(refs) > 1:
            node: Node[Any, Any] = _function(step, options, sys._getframe(1))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to a caller's local types
        else:
            node = node_from(step, _PLAIN)  # pyright: ignore[reportUnknownArgumentType]  # isinstance cannot see type arguments
            self._check_use(node, len(refs), join, options)
        for ref in (*refs, *after):
            self._check_own(ref, node)
        wanted = node.signature.inputs if isinstance(node, FunctionOfMany) else (node.input_type,) * len(refs)
        if len(wanted) != len(refs):
            msg = f"{node.title!r} takes {len(wanted)} values, but {len(refs)} references were given"
            raise DefinitionError(msg)
        for ref, type_ in zip(refs, wanted, strict=True):
            if not accepts(type_, ref.type):
                raise TypeMismatchError(ref.title, type_name(ref.type), node.title, type_name(type_))
        takes, before = tuple(ref.index for ref in refs), tuple(ref.index for ref in after)
        self._steps.append(Added(node, takes, before, join, cancel_rest))
        return Ref(self, len(self._steps) - 1, node.title, node.output_type)

    @overload
    def wait_for(
        self,
        signal: Signal[T],
        /,
        *,
        after: Sequence[Ref[Any]] = (),
        timeout: timedelta | None = None,
        key: str | None = None,
        name: str | None = None,
    ) -> Ref[T]: ...
    @overload
    def wait_for(
        self,
        signal: Signal[T],
        /,
        *,
        after: Sequence[Ref[Any]] = (),
        timeout: timedelta,
        default: T,
        key: str | None = None,
        name: str | None = None,
    ) -> Ref[T]: ...
    def wait_for(
        self,
        signal: Signal[Any],
        /,
        *,
        after: Sequence[Ref[Any]] = (),
        timeout: timedelta | None = None,
        default: Any = NOTHING,
        key: str | None = None,
        name: str | None = None,
    ) -> Ref[Any]:
        """Add a wait for a signal, and give a reference on what is sent.

        Args:
            signal: As with the function ``wait_for``.
            after: What must have ended before it waits, whatever it handed on; without any it waits from the beginning.
            timeout: As there.
            default: As there.
            key: As there.
            name: As there.

        Raises:
            DefinitionError: As there, or a reference stands in another graph.
        """
        wait: Wait[object, Any] = Wait(signal, timeout, default=default, key=key, name=name)
        return self.add(wait, self.input, after=after)

    def sleep_for(
        self, span: timedelta, ref: Ref[A], /, *, after: Sequence[Ref[Any]] = (), name: str | None = None
    ) -> Ref[A]:
        """Add a wait for a while, and give a reference on the same value as it comes after that.

        Args:
            span: As with the method of a chain.
            ref: What is handed on; the time begins when it is there.
            after: What must have ended before the time begins.
            name: As with the method of a chain.

        Raises:
            DefinitionError: As there, or a reference stands in another graph.
        """
        wait: Wait[A, A] = Wait(None, span, name=name, kept=ref.type)
        return self.add(wait, ref, after=after)

    def output(self, ref: Ref[Out], *, also: Sequence[Ref[Any]] = ()) -> Graph[In, Out]:
        """Close the graph: what ``ref`` refers to is its output.

        Args:
            ref: The output.
            also: Steps whose output nobody takes, because they are there for their effect.

        Raises:
            DefinitionError: A step leads nowhere, or a reference stands in another graph.
        """
        self._check_kinds((ref,), also, "also")
        for wanted in (ref, *also):
            self._check_own(wanted, None)
        if ref.index < 0:
            msg = f"graph {self.name!r}: its output is its input; add a step"
            raise DefinitionError(msg)
        self._check_used({ref.index, *(side.index for side in also)})
        return Graph(self.name, self._input_type, tuple(self._steps), ref.index)

    # ------------------------------------------------------------------ what is refused
    def _check_kinds(self, refs: Sequence[object], more: object, argument: str) -> None:
        """What stands upstream is named by references, and by nothing else."""
        if not isinstance(more, Collection) or isinstance(more, str):
            msg = f"graph {self.name!r}: {argument}={more!r} is no list; write {argument}=[ref]"
            raise DefinitionError(msg)
        for given in (*refs, *cast("Collection[object]", more)):  # isinstance cannot see type arguments
            if not isinstance(given, Ref):
                msg = f"graph {self.name!r}: {given!r} is no reference; give what add() gave for the step, or .input"
                raise DefinitionError(msg)

    def _check_join(self, join: str, refs: Iterable[Ref[Any]], *, cancel_rest: bool) -> None:
        problem = None
        if join not in ("all", "any"):  # it may be what no set takes
            problem = f"join={join!r}: known are 'all' and 'any'{did_you_mean(str(join), ('all', 'any'))}"
        elif cancel_rest and join == "all":
            problem = "a step that takes all its values has no rest: cancel_rest goes with join='any'"
        elif cancel_rest and any(ref.index < 0 for ref in refs):
            problem = "cancel_rest=True ends what comes later than the graph's input, before it begins: take the input alone"
        if problem is not None:
            msg = f"graph {self.name!r}: {problem}"
            raise DefinitionError(msg)

    def _check_use(self, node: Node[Any, Any], count: int, join: str, options: Mapping[str, Any]) -> None:
        problem = None
        if options:
            problem = f"has options of its own; give {', '.join(options)} to it and not to add()"
        elif join == "any" and count < 2:  # noqa: PLR2004  # one is the first of itself
            problem = "is to take the first of several values; give two references or more"
        elif join == "all" and count != 1:
            several = "a plain function may take several: leave @phase off, and give its options to add()"
            problem = f"takes one value, but {count} references were given; {several}"
        if problem is not None:
            msg = f"graph {self.name!r}: {node.title!r} {problem}"
            raise DefinitionError(msg)

    def _check_own(self, ref: Ref[Any], user: Node[Any, Any] | None) -> None:
        if ref.owner is not self:
            whose = "its output" if user is None else f"{user.title!r}"
            other = getattr(ref.owner, "name", ref.owner)
            msg = f"graph {self.name!r}: {whose} refers to {ref.title!r}, which stands in another graph, {other!r}"
            raise DefinitionError(msg)

    def _check_used(self, wanted: set[int]) -> None:
        """Every step must lead to the output, or to one that is there for its effect."""
        for index in range(len(self._steps) - 1, -1, -1):
            if index in wanted:
                wanted.update(self._steps[index].takes, self._steps[index].after)
        unused = [step.step.title for index, step in enumerate(self._steps) if index not in wanted]
        if unused:
            msg = (
                f"graph {self.name!r}: nothing takes what {', '.join(map(repr, unused))} hands on; "
                "drop it, or name it in also= if it is there for its effect"
            )
            raise DefinitionError(msg)


def _function(fn: Callable[..., Any], options: Options, caller: FrameType) -> FunctionOfMany:
    own = getattr(fn, "__name__", type(fn).__name__)
    nested = "<locals>" in getattr(fn, "__qualname__", "")
    named: dict[str, Any] = {"name": own, **options}
    if own == "<lambda>":
        msg = "a lambda cannot be a phase: it has no name and no types; write 'def' with annotations"
        raise DefinitionError(msg)
    check_options(options, option_names(), f"{own!r}")
    return FunctionOfMany(fn, PhaseOptions(**named), dict(caller.f_locals) if nested else None)
