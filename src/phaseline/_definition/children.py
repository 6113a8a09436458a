"""Runs that a run starts: a pipeline as a node that has a run of its own."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar, get_args

from phaseline._definition.options import check_name
from phaseline._definition.step import Node, Subgraph, advice_on
from phaseline._values.texts import did_you_mean
from phaseline.errors import DefinitionError

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
ClosePolicy: TypeAlias = Literal["cancel", "abandon"]
"""What becomes of a child run whose parent does not wait for it any more."""


class StartedRun(Node[In_contra, Out_co]):
    """A place where a run starts another one and waits for its end; what ``start_child`` makes."""

    def __init__(
        self, pipeline: Subgraph[In_contra, Out_co], close: ClosePolicy, name: str | None, queue: str | None
    ) -> None:
        self.pipeline: Subgraph[In_contra, Out_co] = _checked_pipeline(pipeline)
        if close not in get_args(ClosePolicy):
            raise DefinitionError(
                f"start_child({pipeline.name}, close={close!r}): known are 'cancel' and 'abandon'"
                + did_you_mean(str(close), get_args(ClosePolicy))
            )
        if name is not None:
            check_name(name, "a child run")
        if queue is not None:
            check_name(queue, "a queue")
        self.close: ClosePolicy = close
        self.name: str = name or pipeline.name
        self.queue: str | None = queue

    @property
    def title(self) -> str:
        return f"start_child({self.pipeline.name})"

    @property
    def input_type(self) -> Any:
        return self.pipeline.input_type

    @property
    def output_type(self) -> Any:
        return self.pipeline.output_type


def start_child(
    pipeline: Subgraph[In, Out],
    /,
    *,
    close: ClosePolicy = "cancel",
    name: str | None = None,
    queue: str | None = None,
) -> StartedRun[In, Out]:
    """Start a run of another pipeline, wait for its end, and hand on its output.

    The child has an id, a history, checkpoints and retries of its own, and is commanded by itself; it lives in the namespace
    of its parent and has its priority. While the parent waits nothing of it is kept in a process. If the child ends without
    an output, the phase fails with the category PROCESSING. A retry of the parent retries a child that failed, takes the
    output of one that has completed meanwhile, and starts another one in place of one that was cancelled or rolled back.

    Args:
        pipeline: It must be registered wherever the parent is.
        close: What becomes of the child if the parent ends, or goes another way, while it waits: ``"cancel"`` has it
            cancelled, ``"abandon"`` lets it go on by itself. A parent that is paused still waits.
        name: Its path in the pipeline; by default the name of the child's pipeline.
        queue: Where workers take up the start; by default that of the phase before it.

    Raises:
        DefinitionError: What is given is no pipeline, or one of the others makes no sense.
    """
    return StartedRun(pipeline, close, name, queue)


def _checked_pipeline(pipeline: object) -> Subgraph[Any, Any]:
    """Refuse what has no runs."""
    if isinstance(pipeline, Subgraph):
        return pipeline  # pyright: ignore[reportUnknownVariableType]  # isinstance cannot see type arguments
    raise DefinitionError(f"start_child({pipeline!r}): this {advice_on(pipeline)}")
