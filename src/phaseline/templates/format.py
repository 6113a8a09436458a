"""What a template looks like: the models by which one is checked, and from which its JSON schema is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from phaseline._definition.children import ClosePolicy
from phaseline._definition.compose import OnError

NAME, SEQUENCE = "<name>", "<steps>"
"""How a step that is a text, and one that is a list, are told apart from the tables."""
KINDS: Final = (
    "phase",
    "parallel",
    "each",
    "when",
    "branch",
    "pipeline",
    "wait_for",
    "sleep_for",
    "start_child",
)
"""Keys by which the kinds of table are told apart; a table has one of them."""
INPUT: Final = "input"
"""How the steps of a graph name what the graph was given."""


class Table(BaseModel):
    """Anything with keys; a key that is not known is refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


def _is_duration(value: object) -> object:
    if isinstance(value, str):
        return value
    raise PydanticCustomError("duration", "a duration is a text with its unit, as 'PT30S' or 'PT1H30M'")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Duration: TypeAlias = Annotated[timedelta, Field(strict=False), BeforeValidator(_is_duration, str)]
Keys: TypeAlias = Annotated[list[str], BeforeValidator(_as_list, str | list[str])]


class RetryTable(Table):
    """How often and how soon a phase that failed is tried again."""

    attempts: int = 3
    """Attempts in all, the first one included."""
    wait: Duration | None = None
    """Pause before the next attempt, as an ISO 8601 duration; by default 1 s, doubled each time."""


class RateTable(Table):
    """How many bodies may be begun in a time, in all processes together."""

    starts: int
    per: Duration
    """That time, as an ISO 8601 duration."""


class SequenceStep(RootModel[Any]):
    """Steps one after another."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, strict=True)

    root: list[Step]


class PhaseStep(Table):
    """A registered phase with options."""

    phase: str
    """Its registered name."""
    arguments: Annotated[dict[str, Any], Field(alias="with")] = Field(default_factory=dict)
    """What a phase that is registered as a class is made with, as keyword arguments."""
    name: str | None = None
    """Its path in the pipeline; by default its own name."""
    queue: str | None = None
    """Where workers take it up."""
    label: str | None = None
    """State of the run while it is at this phase, in UPPER_SNAKE."""
    retry: RetryTable | None = None
    timeout: Duration | None = None
    """Bound of one attempt, as an ISO 8601 duration."""
    heartbeat: Duration | None = None
    """How long an attempt may give no sign of life."""
    concurrency: int | None = None
    """How many of its bodies may run at once, in all processes together."""
    rate: RateTable | None = None


class ParallelStep(Table):
    """Steps side by side on the same value."""

    parallel: list[Step]


class EachStep(Table):
    """A step for every item of a list."""

    each: Step
    limit: int | None = None
    """How many items may run at once."""
    on_error: OnError = "fail"


class WhenStep(Table):
    """A step that is taken if a test holds; otherwise the value is handed on."""

    when: str
    """Registered name of the test."""
    then: Step


class BranchStep(Table):
    """One of two steps."""

    branch: str
    """Registered name of the test."""
    then: Step
    otherwise: Annotated[Step, Field(alias="else")]


class WaitStep(Table):
    """A wait for a signal."""

    wait_for: str
    """Registered name of the signal."""
    keep: bool = False
    """Hand on a pair: the value that comes to it, and what is sent. Else what is sent takes the place of the value."""
    timeout: Duration | None = None
    """How long at most, as an ISO 8601 duration."""
    default: Any = None
    """Handed on where the timeout passes; if it is not given, the wait fails then."""
    key: str | None = None
    """Only a signal that is sent with this key."""
    name: str | None = None
    """Its path in the pipeline; by default ``wait_for_`` and the name of the signal."""


class SleepStep(Table):
    """A wait for a while, after which the value that comes to it is handed on."""

    sleep_for: Duration
    """How long, as an ISO 8601 duration."""
    name: str | None = None
    """Its path in the pipeline; by default ``sleep``."""


class ChildStep(Table):
    """A run of another pipeline, whose end is waited for."""

    start_child: str
    """Registered name of the pipeline."""
    close: ClosePolicy = "cancel"
    """What becomes of it if it is not waited for any more."""
    name: str | None = None
    """Its path in the pipeline; by default the name of the child's pipeline."""
    queue: str | None = None
    """Where workers take up the start."""


class GraphNode(Table):
    """One step of a graph."""

    step: Step | None = None
    """What it is; by default the phase that is registered under the key of this node."""
    takes: Keys
    """Keys of the nodes whose outputs it takes, in the order of its parameters; ``input`` is what the graph was given."""
    after: Keys = Field(default_factory=list)
    """Keys of nodes that must have ended before."""
    join: Literal["all", "any"] = "all"
    """``any``: it takes one value, the first of these that comes."""
    cancel_rest: bool = False
    """With ``any``: once it has its value, what serves the others alone is ended."""


class GraphTable(Table):
    """Steps in any order that their edges allow."""

    nodes: dict[str, GraphNode]
    output: str
    """Key of the node whose output is the graph's."""
    also: Keys = Field(default_factory=list)
    """Keys of nodes that are there for their effect."""


class Body(Table):
    """Steps one after another, or a graph: one of the two."""

    steps: list[Step] | None = None
    graph: GraphTable | None = None
    retry: RetryTable | None = None
    """For phases that say nothing themselves."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.steps is None) is (self.graph is None):
            raise PydanticCustomError(
                "body", "a pipeline has either 'steps', one after another, or a 'graph'"
            )
        return self


class PipelineStep(Body):
    """A pipeline inside of the pipeline; the paths of its phases begin with its name."""

    pipeline: str
    """Its name."""


class Template(Body):
    """A pipeline as data."""

    schema_url: Annotated[str | None, Field(alias="$schema")] = None
    """For editors; not looked at."""
    format: Literal[1] = 1
    """Version of this format."""
    name: str
    version: str = "1"
    """Tells definitions of the same name apart."""
    description: str = ""
    """For readers."""
    concurrency: int | None = None
    """How many bodies of its runs may run at once, in all processes together."""
    rate: RateTable | None = None


def _kind_of(step: object) -> str | None:
    if isinstance(step, str):
        return NAME
    if isinstance(step, list):
        return SEQUENCE
    if isinstance(step, Mapping):
        return next((f"<{kind}>" for kind in KINDS if kind in step), None)
    kind = type(step).__name__.removesuffix("Step").lower()
    kind = f"{kind}_for" if kind in ("wait", "sleep") else "start_child" if kind == "child" else kind
    return f"<{kind}>" if kind in KINDS else None


Step = TypeAliasType(
    "Step",
    Annotated[
        Annotated[str, Tag(NAME)]
        | Annotated[SequenceStep, Tag(SEQUENCE)]
        | Annotated[PhaseStep, Tag("<phase>")]
        | Annotated[ParallelStep, Tag("<parallel>")]
        | Annotated[EachStep, Tag("<each>")]
        | Annotated[WhenStep, Tag("<when>")]
        | Annotated[BranchStep, Tag("<branch>")]
        | Annotated[PipelineStep, Tag("<pipeline>")]
        | Annotated[WaitStep, Tag("<wait_for>")]
        | Annotated[SleepStep, Tag("<sleep_for>")]
        | Annotated[ChildStep, Tag("<start_child>")],
        Discriminator(
            _kind_of,
            custom_error_type="step",
            custom_error_message="a step is the name of a phase, a list of steps, or a table with one of these keys: "
            + ", ".join(KINDS),
        ),
    ],
)
"""The name of a registered phase; a list of steps, one after another; or one of the tables."""

TABLES: tuple[type[Table], ...] = (
    Template, PhaseStep, ParallelStep, EachStep, WhenStep, BranchStep, PipelineStep, WaitStep, SleepStep, ChildStep, GraphTable, GraphNode, RetryTable, RateTable, Body,
)  # fmt: skip
SequenceStep.model_rebuild()
for _table in TABLES:
    _table.model_rebuild()  # now that there are steps
