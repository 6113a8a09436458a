"""Ways of composing nodes beyond a chain."""

from __future__ import annotations

from collections.abc import Iterable
from types import GenericAlias
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, overload

from pydantic import BaseModel, ConfigDict

from phaseline.errors import DefinitionError
from phaseline.run import ErrorInfo
from phaseline.step import Node, node_from
from phaseline.texts import did_you_mean

A = TypeVar("A")
B = TypeVar("B")
OnError = Literal["fail", "collect"]


class Ok(BaseModel, Generic[B]):
    """An item of a collecting map that completed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    status: Literal["ok"] = "ok"
    value: B


class Err(BaseModel):
    """An item of a collecting map that failed for good."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    status: Literal["error"] = "error"
    category: str
    type: str
    message: str

    @classmethod
    def of(cls, error: ErrorInfo) -> Err:
        """Make one of a stored error."""
        return cls(category=error.category, type=error.type, message=error.message)


class Skipped(BaseModel):
    """An item of a collecting map that skipped itself."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    status: Literal["skipped"] = "skipped"
    reason: str


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
