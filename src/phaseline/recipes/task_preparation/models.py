"""What a task is, and what becomes of it: frozen values, checked where they enter."""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from graphlib import TopologicalSorter
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)

from phaseline.errors import DefinitionError


class Category(StrEnum):
    """The kinds of work in a task, in the order in which they are usually done."""

    DATA_MODEL = "DATA_MODEL"
    """Records and how they are stored."""
    SERVICE = "SERVICE"
    """Rules of the business."""
    HTTP_API = "HTTP_API"
    """What others call."""
    TESTING = "TESTING"
    """Tests of all that."""

    @property
    def label(self) -> str:
        """The name for people."""
        return {
            "DATA_MODEL": "Data model",
            "SERVICE": "Service",
            "HTTP_API": "HTTP API",
            "TESTING": "Testing",
        }[self]


def _not_blank(text: str) -> str:
    if not text.strip():
        msg = "the text is empty; say in words what is meant"
        raise ValueError(msg)
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
"""Any text with something in it, kept as it was written."""

Line = Annotated[str, AfterValidator(_not_blank), AfterValidator(lambda text: " ".join(text.split()))]
"""A text with something in it, with its white space collapsed."""


class Value(BaseModel):
    """A frozen value that knows its fields."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class ProjectContext(Value):
    """What holds in the project that a task belongs to."""

    tech_stack: tuple[Line, ...] = ()
    """Names as the project writes them, such as ``FastAPI`` or ``PostgreSQL 16``."""
    coding_standards: tuple[Line, ...] = ()
    """Names, or sentences."""
    project_rules: Mapping[Line, Line] = {}
    """By name."""
    custom_data: Mapping[str, JsonValue] = {}
    """Anything else that whoever does the work should see."""


class Task(Value):
    """A piece of software to build or change, in free words."""

    title: Line
    """In a line."""
    description: Text
    """What is wanted."""
    context: ProjectContext = ProjectContext()
    """What holds in its project."""
    id: str = Field(default="", validate_default=True)
    """By default derived from the content, so that the same task always has the same id."""

    @field_validator("id")
    @classmethod
    def _derive_id(cls, given: str, info: ValidationInfo) -> str:
        if given:
            return _not_blank(given)
        if not {"title", "description", "context"} <= info.data.keys():
            return given  # another field was refused, and that is what the error should speak of
        context: ProjectContext = info.data["context"]
        content = [info.data["title"], info.data["description"], context.model_dump(mode="json")]
        return "task-" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @classmethod
    def from_text(cls, text: str, *, title: str | None = None, context: ProjectContext | None = None) -> Task:
        """Make a task of one text; its title is the first line or sentence unless given.

        Raises:
            pydantic.ValidationError: The text or the title is empty or blank.
            DefinitionError: It is no text.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # for who runs no type checker
            raise DefinitionError(
                f"Task.from_text() was given a {type(text).__name__}; a task is a text in free words"
            )
        return cls(
            title=title_of(text) if title is None else title,
            description=text,
            context=context or ProjectContext(),
        )


_SENTENCE_END = re.compile(r"(?<=[\w)]{2}|[.]\d)[.!?](?=\s)")


def title_of(text: str, *, limit: int = 80) -> str:
    """Give the first sentence of a text, cut between words if it is longer than ``limit`` characters."""
    line = next((line for line in text.splitlines() if line.strip(" \t#*->")), text).strip(" \t#*->")
    line = _SENTENCE_END.split(line, maxsplit=1)[0].rstrip(".!?:;, ") or text.strip()
    return shortened(line, limit)


def shortened(line: str, limit: int) -> str:
    """Cut a line between words to about ``limit`` characters; a cut shows as '…'."""
    if len(line) <= limit:
        return line
    return (line[:limit].rpartition(" ")[0] or line[: limit - 1]) + "…"


class Effort(Value):
    """An estimate of the work."""

    min_hours: float = Field(gt=0, allow_inf_nan=False)
    """At least."""
    max_hours: float = Field(gt=0, allow_inf_nan=False)
    """At most."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_hours > self.max_hours:
            msg = f"the least effort ({self.min_hours:g} h) is more than the most ({self.max_hours:g} h)"
            raise ValueError(msg)
        return self

    def __str__(self) -> str:
        """Write it for people."""
        if self.min_hours == self.max_hours:
            return f"{self.min_hours:g} h"
        return f"{self.min_hours:g}-{self.max_hours:g} h"

    def __add__(self, other: Effort) -> Effort:
        """Give the effort of both."""
        return Effort(min_hours=self.min_hours + other.min_hours, max_hours=self.max_hours + other.max_hours)


class Subtask(Value):
    """A part of a task that one person can finish in one go."""

    category: Category
    """Kind of work."""
    title: Line
    """Unique within its plan."""
    description: Text
    """What is to be done."""
    requirements: tuple[Text, ...] = ()
    """What must hold when it is done."""
    dependencies: tuple[Line, ...] = ()
    """Titles of the subtasks of the same plan that must be done before."""
    estimated_effort: Effort
    """How long it may take."""
    priority: int = Field(ge=1)
    """1 goes first."""


class EnrichedSubtask(Subtask):
    """A subtask with what its project and its kind of work add to it."""

    tech_requirements: tuple[Text, ...] = ()
    """What the technologies of the project ask for."""
    coding_standards: tuple[Line, ...] = ()
    """Those of the project that apply to this kind of work."""
    project_rules: Mapping[Line, Line] = {}
    """Those of the project that apply to this kind of work."""
    best_practices: tuple[Text, ...] = ()
    """What holds for this kind of work whatever the task."""


class Prompt(Value):
    """Instructions for one category of a task, ready to be given to whoever writes the code."""

    category: Category
    """Kind of work."""
    title: Line
    """In a line."""
    text: Text
    """Markdown."""


AnySubtask = TypeVar("AnySubtask", bound=Subtask)


def in_dependency_order(subtasks: Iterable[AnySubtask]) -> list[AnySubtask]:
    """Put each subtask after those it depends on; among those that could be next, by priority, then as given.

    Dependencies on titles that are not among ``subtasks`` are taken as done.
    """
    by_title = {subtask.title: subtask for subtask in subtasks}
    place = {title: (subtask.priority, index) for index, (title, subtask) in enumerate(by_title.items())}
    sorter = dependency_sorter(by_title.values())
    sorter.prepare()
    ready: list[tuple[tuple[int, int], str]] = []
    order: list[AnySubtask] = []
    while sorter.is_active():
        for title in sorter.get_ready():
            heapq.heappush(ready, (place.get(title, (0, 0)), title))
        _, title = heapq.heappop(ready)
        sorter.done(title)
        if title in by_title:
            order.append(by_title[title])
    return order


def categories_in_order(subtasks: Iterable[Subtask]) -> list[Category]:
    """Put each category after those its subtasks depend on.

    Two categories may need each other although no two subtasks do; then the one that waits for fewer goes first.
    """
    listed = list(subtasks)
    category_of = {subtask.title: subtask.category for subtask in listed}
    needs: dict[Category, set[Category]] = {c: set() for c in Category if c in category_of.values()}
    for subtask in listed:
        known = {category_of[title] for title in subtask.dependencies if title in category_of}
        needs[subtask.category] |= known - {subtask.category}
    order: list[Category] = []
    while needs:
        following = min(needs, key=lambda category: len(needs[category] & needs.keys()))
        del needs[following]
        order.append(following)
    return order


def dependency_sorter(subtasks: Iterable[Subtask]) -> TopologicalSorter[str]:
    """Give the graph of titles, each with those it depends on."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for subtask in subtasks:
        sorter.add(subtask.title, *subtask.dependencies)
    return sorter
