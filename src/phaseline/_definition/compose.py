"""Ways of composing nodes beyond a chain."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType, GenericAlias
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, overload

import attrs
from pydantic import BaseModel, ConfigDict

from phaseline._definition.context import Context
from phaseline._definition.step import Node, node_from
from phaseline._values.signature import accepts, common_type, signature_of, type_name
from phaseline._values.texts import did_you_mean
from phaseline.errors import DefinitionError, NoCommonInputError, TypeMismatchError
from phaseline.rows import ErrorInfo

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
In = TypeVar("In")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
OnError = Literal["fail", "collect"]


class Ok(BaseModel, Generic[B]):
    """An item of a collecting map that completed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    status: Literal["ok"] = "ok"
    """Tells the three apart in JSON."""
    value: B
    """The output of the item."""


class Err(BaseModel):
    """An item of a collecting map that failed for good."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    status: Literal["error"] = "error"
    """Tells the three apart in JSON."""
    category: str
    """Why it failed."""
    type: str
    """Name of the exception's class."""
    message: str
    """Its text, bounded in length."""

    @classmethod
    def of(cls, error: ErrorInfo) -> Err:
        """Make one of a stored error."""
        return cls(category=error.category, type=error.type, message=error.message)


class Skipped(BaseModel):
    """An item of a collecting map that skipped itself."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    status: Literal["skipped"] = "skipped"
    """Tells the three apart in JSON."""
    reason: str
    """Why it was skipped."""


class Each(Node[Iterable[A], list[B]]):
    """What ``each`` makes."""

    def __init__(self, step: Node[A, Any], limit: int | None, on_error: OnError) -> None:
        if on_error not in get_args(OnError):
            raise DefinitionError(
                f"each({step.title}, on_error={on_error!r}): known are 'fail' and 'collect'"
                + did_you_mean(str(on_error), get_args(OnError))
            )
        if limit is not None and type(limit) is not int:
            raise DefinitionError(f"each({step.title}, limit={limit!r}): the limit is an int; write limit=8")
        if limit is not None and limit < 1:
            msg = f"each({step.title}, limit={limit}): at least one item must be allowed to run"
            raise DefinitionError(msg)
        self.step = step
        self.limit = limit
        self.on_error: OnError = on_error

    @property
    def title(self) -> str:
        return f"each({self.step.title})"

    @property
    def input_type(self) -> Any:
        return GenericAlias(Iterable, (self.step.input_type,))  # Iterable[...] would be read as an annotation

    @property
    def output_type(self) -> Any:
        item: Any = self.step.output_type
        if self.on_error == "collect":
            ok: Any = Ok  # Ok[item] would be read as an annotation
            item = ok[item] | Err | Skipped
        return GenericAlias(list, (item,))


@overload
def each(
    step: Node[A, B], /, *, limit: int | None = None, on_error: Literal["fail"] = "fail"
) -> Each[A, B]: ...
@overload
def each(
    step: Node[A, B], /, *, limit: int | None = None, on_error: Literal["collect"]
) -> Each[A, Ok[B] | Err | Skipped]: ...
def each(step: Node[Any, Any], /, *, limit: int | None = None, on_error: OnError = "fail") -> Each[Any, Any]:
    """Run a step once for each item of a list; the outputs come back as a list in input order.

    Each item has its own row (``enrich[3]``), attempts and retries; a set is taken apart in the order in which it is stored.

    Args:
        step: A phase, or a named pipeline.
        limit: How many items may run at once, over all workers; None for no limit.
        on_error: ``fail``: the first item that fails for good fails the run, and an item that skips itself is left
            out of the list. ``collect``: the list holds an ``Ok``, ``Err`` or ``Skipped`` for each item.

    Raises:
        DefinitionError: The step is no node, the limit is below one, or ``on_error`` is neither of the two.
    """
    return Each(node_from(step), limit, on_error)


# --------------------------------------------------------------------- side by side
class Parallel(Node[In_contra, Out_co]):
    """What ``parallel`` makes."""

    def __init__(self, steps: Sequence[Node[Any, Any]]) -> None:
        self.steps: tuple[Node[Any, Any], ...] = tuple(node_from(step) for step in steps)
        if len(self.steps) < 2:  # noqa: PLR2004  # one has nothing beside it
            msg = f"{self.title}: there is nothing to run side by side; give it two steps or more"
            raise DefinitionError(msg)
        self._input = shared_input([(step.title, step.input_type) for step in self.steps])

    @property
    def title(self) -> str:
        return f"parallel({', '.join(step.title for step in self.steps)})"

    @property
    def input_type(self) -> Any:
        return self._input

    @property
    def output_type(self) -> Any:
        return GenericAlias(tuple, tuple(step.output_type for step in self.steps))


@overload
def parallel(a: Node[In, A], b: Node[In, B], /) -> Parallel[In, tuple[A, B]]: ...
@overload
def parallel(a: Node[In, A], b: Node[In, B], c: Node[In, C], /) -> Parallel[In, tuple[A, B, C]]: ...
@overload
def parallel(
    a: Node[In, A], b: Node[In, B], c: Node[In, C], d: Node[In, D], /
) -> Parallel[In, tuple[A, B, C, D]]: ...
@overload
def parallel(
    a: Node[In, A], b: Node[In, B], c: Node[In, C], d: Node[In, D], e: Node[In, E], /
) -> Parallel[In, tuple[A, B, C, D, E]]: ...
@overload
def parallel(
    a: Node[In, A], b: Node[In, B], c: Node[In, C], d: Node[In, D], e: Node[In, E], f: Node[In, F], /
) -> Parallel[In, tuple[A, B, C, D, E, F]]: ...
@overload
def parallel(
    a: Node[In, A],
    b: Node[In, B],
    c: Node[In, C],
    d: Node[In, D],
    e: Node[In, E],
    f: Node[In, F],
    g: Node[In, G],
    /,
) -> Parallel[In, tuple[A, B, C, D, E, F, G]]: ...
@overload
def parallel(
    a: Node[In, A],
    b: Node[In, B],
    c: Node[In, C],
    d: Node[In, D],
    e: Node[In, E],
    f: Node[In, F],
    g: Node[In, G],
    h: Node[In, H],
    /,
) -> Parallel[In, tuple[A, B, C, D, E, F, G, H]]: ...
@overload
def parallel(*steps: Node[In, A]) -> Parallel[In, tuple[A, ...]]: ...
def parallel(*steps: Node[Any, Any]) -> Parallel[Any, Any]:
    """Run steps side by side on the same value; their outputs come as a tuple, in the order of the steps.

    If one of them hands nothing on, neither does the whole; unless what follows takes ``X | None`` in its place.

    Raises:
        DefinitionError: There are less than two.
        NoCommonInputError: There is no type that all of them take.
    """
    return Parallel(steps)


# --------------------------------------------------------------------- one way or another
@attrs.frozen(eq=False)
class Question(Generic[A]):
    """The test of a ``when`` or ``branch``: a named, typed, plain function of the value, without effects."""

    ask: Callable[[A], bool]
    title: str
    input_type: Any


class When(Node[A, A]):
    """What ``when`` makes."""

    def __init__(self, question: Question[A], step: Node[A, A]) -> None:
        self.question: Question[A] = question
        self.step: Node[A, A] = step
        self._input = shared_input([(question.title, question.input_type), (step.title, step.input_type)])
        if not accepts(
            self._input, step.output_type
        ):  # the value that is handed on otherwise is of that type
            raise TypeMismatchError(
                step.title, type_name(step.output_type), self.title, type_name(self._input)
            )

    @property
    def title(self) -> str:
        return f"when({self.question.title}, {self.step.title})"

    @property
    def input_type(self) -> Any:
        return self._input

    @property
    def output_type(self) -> Any:
        return self._input


class Branch(Node[In_contra, Out_co]):
    """What ``branch`` makes."""

    def __init__(self, question: Question[Any], then: Node[Any, Any], otherwise: Node[Any, Any]) -> None:
        self.question: Question[Any] = question
        self.if_holds: Node[Any, Any] = then
        self.if_not: Node[Any, Any] = otherwise
        members = (question, then, otherwise)
        self._input = shared_input([(member.title, member.input_type) for member in members])

    @property
    def title(self) -> str:
        return f"branch({self.question.title}, {self.if_holds.title}, {self.if_not.title})"

    @property
    def input_type(self) -> Any:
        return self._input

    @property
    def output_type(self) -> Any:
        return Union[self.if_holds.output_type, self.if_not.output_type]  # noqa: UP007  # of types known at run time only


def when(test: Callable[[A], bool], step: Node[A, A], /) -> When[A]:
    """Run a step if the test holds; otherwise it is SKIPPED, and the value is handed on unchanged.

    Args:
        test: A named function with annotations, not async and without effects. Its verdict is stored and never asked
            for again; if it raises, the run fails as with a phase. In a run it appears at the path ``name?``.
        step: What takes the value and gives one of the same type.

    Raises:
        DefinitionError: The test has no name, no types, is async, or returns something else than a bool.
        TypeMismatchError: The step gives another type than it takes.
    """
    return When(_question(test, sys._getframe(1)), node_from(step))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to a caller's local types


def branch(test: Callable[[In], bool], then: Node[In, A], otherwise: Node[In, B], /) -> Branch[In, A | B]:
    """Run one of two steps; the other one is SKIPPED and hands nothing on.

    Args:
        test: As with ``when``.
        then: Taken if the test holds.
        otherwise: Taken if it does not.

    Raises:
        DefinitionError: The test has no name, no types, is async, or returns something else than a bool.
        NoCommonInputError: There is no type that the test and both steps take.
    """
    question = _question(test, sys._getframe(1))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to a caller's local types
    return Branch(question, node_from(then), node_from(otherwise))


def _question(test: Callable[[Any], bool], caller: FrameType) -> Question[Any]:
    title = getattr(test, "__name__", type(test).__name__)
    what = f"the test {title!r}"
    nested = "<locals>" in getattr(test, "__qualname__", "")
    names: Mapping[str, Any] | None = dict(caller.f_locals) if nested else None
    signature = signature_of(test, context_type=Context, what=what, localns=names)
    if signature.is_async or signature.context is not None or len(signature.inputs) != 1:
        msg = (
            f"{what} must be a plain function of one value, (value) -> bool, without a context and not async"
        )
        raise DefinitionError(msg)
    if not accepts(bool, signature.output):
        msg = f"{what} returns {type_name(signature.output)}; a test returns bool"
        raise DefinitionError(msg)
    return Question(test, title, signature.inputs[0])


def shared_input(members: Sequence[tuple[str, Any]]) -> Any:
    """The type of what all members can take.

    Raises:
        NoCommonInputError: There is none.
    """
    shared = common_type([type_ for _, type_ in members])
    if shared is None:
        raise NoCommonInputError([(title, type_name(type_)) for title, type_ in members])
    return shared
