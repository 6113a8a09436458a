"""What can stand in a pipeline, and the first ways to compose it: one after another, and with a wait between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from phaseline._definition.options import check_key, check_name, check_span
from phaseline._definition.signals import Signal
from phaseline._values.nothing import NOTHING
from phaseline._values.signature import accepts, type_name
from phaseline.errors import DefinitionError, TypeMismatchError
from phaseline.retry import Retry

if TYPE_CHECKING:
    from phaseline._definition.plan import Plan

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
Next = TypeVar("Next")
T = TypeVar("T")


class Node(ABC, Generic[In_contra, Out_co]):
    """Anything that takes a value and hands one on: a phase, a combinator, a pipeline."""

    @property
    @abstractmethod
    def title(self) -> str:
        """How messages name it."""

    @property
    @abstractmethod
    def input_type(self) -> Any:
        """The declared type of the value it takes."""

    @property
    @abstractmethod
    def output_type(self) -> Any:
        """The declared type of the value it hands on."""

    def __repr__(self) -> str:
        try:
            return f"{type(self).__name__}({self.title!r})"
        except DefinitionError:  # an option is wrong, and the error tells which
            return f"{type(self).__name__}(...)"

    def __rshift__(self, following: Node[Out_co, Next]) -> Chain[In_contra, Next]:
        """Compose: the output of this one is the input of ``following``.

        Raises:
            TypeMismatchError: ``following`` does not take what this one returns.
        """
        return Chain(self, following)

    def then(self, following: Node[Out_co, Next]) -> Chain[In_contra, Next]:
        """Do as ``>>`` does."""
        return self >> following

    @overload
    def wait_for(
        self,
        signal: Signal[T],
        /,
        *,
        timeout: timedelta | None = None,
        key: str | None = None,
        name: str | None = None,
    ) -> Chain[In_contra, tuple[Out_co, T]]: ...
    @overload
    def wait_for(
        self,
        signal: Signal[T],
        /,
        *,
        timeout: timedelta,
        default: T,
        key: str | None = None,
        name: str | None = None,
    ) -> Chain[In_contra, tuple[Out_co, T]]: ...
    def wait_for(
        self,
        signal: Signal[Any],
        /,
        *,
        timeout: timedelta | None = None,
        default: Any = NOTHING,
        key: str | None = None,
        name: str | None = None,
    ) -> Chain[In_contra, Any]:
        """Wait for a signal, and hand on a pair: the value, and what was sent.

        Args:
            signal: As with the function ``wait_for``.
            timeout: As there.
            default: As there.
            key: As there.
            name: As there.

        Raises:
            DefinitionError: As there.
        """
        kept = self.output_type
        wait: Wait[Any, Any] = Wait(signal, timeout, default=default, key=key, name=name, kept=kept)
        return Chain(self, wait)

    def sleep_for(self, span: timedelta, /, *, name: str | None = None) -> Chain[In_contra, Out_co]:
        """Wait for a while, and hand the value on.

        Args:
            span: How long, at most ten years; it is stored when the wait begins, and goes on while nothing runs.
            name: Its path in the pipeline; by default ``sleep``.

        Raises:
            DefinitionError: One of these is none.
        """
        wait: Wait[Any, Any] = Wait(None, span, name=name, kept=self.output_type)
        return Chain(self, wait)


class Chain(Node[In_contra, Out_co]):
    """Nodes one after another; what ``>>`` makes."""

    def __init__(self, first: Node[In_contra, Any], second: Node[Any, Out_co]) -> None:
        second = node_from(second)
        check_fit(first, second)
        self.parts: tuple[Node[Any, Any], ...] = (*parts_of(first), *parts_of(second))

    @property
    def title(self) -> str:
        return " >> ".join(part.title for part in self.parts)

    @property
    def input_type(self) -> Any:
        return self.parts[0].input_type

    @property
    def output_type(self) -> Any:
        return self.parts[-1].output_type


class Wait(Node[In_contra, Out_co]):
    """A place where a run waits, for a signal or for a time; what ``wait_for`` and ``sleep_for`` make."""

    def __init__(
        self,
        signal: Signal[Any] | None,
        span: timedelta | None,
        *,
        default: object = NOTHING,
        key: str | None = None,
        name: str | None = None,
        kept: Any = NOTHING,
    ) -> None:
        """Make one.

        Args:
            signal: What is waited for; None: for the time alone.
            span: How long at most, or, without a signal, how long.
            default: What stands for the signal where it does not come in time.
            key: Which signal it must be, of several of this name.
            name: Its path.
            kept: Type of the value that comes and is handed on; without one, what is sent takes its place.

        Raises:
            DefinitionError: One of these is none.
        """
        self.signal: Signal[Any] | None = _checked_signal(signal)
        self.span: timedelta | None = span
        self.default: object = default
        self.key: str | None = key
        self.name: str | None = name
        self.kept: Any = kept
        if name is not None:
            check_name(name, "a wait")
        if key is not None:
            check_key(key, f"the key of {self.title}")
        check_span(span, "timeout" if signal is not None else "span", self.title)
        if signal is None and span is None:
            msg = "sleep_for(None) would never end; write sleep_for(timedelta(hours=1))"
            raise DefinitionError(msg)
        if default is not NOTHING and span is None:
            msg = f"{self.title}: a default stands for a signal that does not come in time; give the timeout too"
            raise DefinitionError(msg)

    @property
    def keeps_both(self) -> bool:
        """Whether it hands on a pair: the value that it was handed, and what was sent."""
        return self.signal is not None and self.kept is not NOTHING

    @property
    def title(self) -> str:
        return f"sleep_for({self.span})" if self.signal is None else f"wait_for({self.signal.name})"

    @property
    def input_type(self) -> Any:
        return object if self.kept is NOTHING else self.kept

    @property
    def output_type(self) -> Any:
        if self.signal is None:
            return self.kept
        return (
            self.signal.type if self.kept is NOTHING else GenericAlias(tuple, (self.kept, self.signal.type))
        )


@overload
def wait_for(
    signal: Signal[T], /, *, timeout: timedelta | None = None, key: str | None = None, name: str | None = None
) -> Wait[object, T]: ...
@overload
def wait_for(
    signal: Signal[T], /, *, timeout: timedelta, default: T, key: str | None = None, name: str | None = None
) -> Wait[object, T]: ...
def wait_for(
    signal: Signal[Any],
    /,
    *,
    timeout: timedelta | None = None,
    default: Any = NOTHING,
    key: str | None = None,
    name: str | None = None,
) -> Wait[object, Any]:
    """Wait until somebody sends a signal, and hand on what was sent; what was handed to it is dropped.

    While a run waits nothing of it is kept in a process, and no worker is busy with it. A signal that came before is
    taken at once. ``step.wait_for(SIGNAL)`` keeps the value and hands on both.

    Args:
        signal: The token by which it is sent: ``handle.signal(SIGNAL, value)``.
        timeout: How long at most, up to ten years; None for ever. It then fails, with the category TIMEOUT.
        default: Handed on in place of the signal, where the timeout passes.
        key: Only a signal that was sent with this key. Without one, an item of a map takes those whose key is its index,
            ``"3"``, in a map in a map ``"3.0"``; elsewhere it takes those without a key.
        name: Its path in the pipeline, and the state of the run while it waits; by default ``wait_for_`` and the name of
            the signal.

    Raises:
        DefinitionError: One of these is none, or there is a default without a timeout.
    """
    return Wait(signal, timeout, default=default, key=key, name=name)


def _checked_signal(signal: object) -> Signal[Any] | None:
    """Refuse what is no token."""
    if signal is None:
        return None
    if isinstance(signal, Signal):
        token: Signal[Any] = signal  # pyright: ignore[reportUnknownVariableType]  # isinstance cannot see type arguments
        if token.type is not None:  # to ask is to have it told that there is none
            return token
    name = signal if isinstance(signal, str) else "name"
    raise DefinitionError(
        f"wait_for({signal!r}): a signal is waited for by its token; write SIGNAL = Signal[Type]({name!r}) once, and "
        "wait_for(SIGNAL)"
    )


def parts_of(node: Node[Any, Any]) -> tuple[Node[Any, Any], ...]:
    """The members of a chain, or the node itself."""
    return node.parts if isinstance(node, Chain) else (node,)


def node_from(candidate: object, aside: str = "") -> Node[Any, Any]:
    """Refuse what is not a node, and say how to make it one; of a function with what else is to be said there."""
    if isinstance(candidate, Node):
        return candidate  # pyright: ignore[reportUnknownVariableType]  # isinstance cannot see type arguments
    name = getattr(candidate, "__name__", repr(candidate))
    if name == "<lambda>":
        advice = "a lambda has no name and no types: write 'def' and decorate it with @phase"
    elif not callable(candidate):
        advice = "a phase, a combinator or a pipeline is needed here"
    elif isinstance(candidate, type) and issubclass(candidate, Node):
        advice = f"make an instance of it: {name}()"
    else:
        advice = f"decorate the function with @phase{aside}"
    msg = f"{name} cannot stand in a pipeline: {advice}"
    raise DefinitionError(msg)


def check_fit(first: Node[Any, Any], second: Node[Any, Any]) -> None:
    """Repeat the type checker's work for those who do not run one."""
    if not accepts(second.input_type, first.output_type):
        last, following = parts_of(first)[-1].title, parts_of(second)[0].title
        raise TypeMismatchError(last, type_name(first.output_type), following, type_name(second.input_type))


class Subgraph(Node[In_contra, Out_co]):
    """Nodes under a name of their own: inside another pipeline their paths begin with it."""

    retry: Retry | None = None
    """For phases in it that say nothing themselves, also where it stands inside another one."""
    plan: Plan
    """What it is compiled to, for runs of its own."""

    def __init__(self, name: str, body: Node[In_contra, Out_co]) -> None:
        self.name = name
        self.body: Node[In_contra, Out_co] = node_from(body)

    @property
    def title(self) -> str:
        return self.name

    @property
    def input_type(self) -> Any:
        return self.body.input_type

    @property
    def output_type(self) -> Any:
        return self.body.output_type


def advice_on(given: object) -> str:
    """Say what is the matter with something that was given in place of a pipeline."""
    if isinstance(given, Node):
        return f"is no pipeline yet; make one of it, once: Pipeline('name', {given.title})"
    return (
        "is only a name; give the pipeline itself"
        if isinstance(given, str)
        else "is no pipeline; give a Pipeline"
    )
