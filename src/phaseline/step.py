"""What can stand in a pipeline, and the first way to compose it: one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from phaseline.errors import DefinitionError, TypeMismatchError
from phaseline.retry import Retry
from phaseline.signature import accepts, type_name

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
Next = TypeVar("Next")


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


def parts_of(node: Node[Any, Any]) -> tuple[Node[Any, Any], ...]:
    """The members of a chain, or the node itself."""
    return node.parts if isinstance(node, Chain) else (node,)


def node_from(candidate: object) -> Node[Any, Any]:
    """Refuse what is not a node, and say how to make it one."""
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
        advice = "decorate the function with @phase"
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
