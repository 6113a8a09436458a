"""The word lists by which a task is read, and the plan that its kind fills in: from the TOML files in ``data``, read once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from phaseline.recipes.task_preparation.models import Category

DATA: Final[Traversable] = files("phaseline.recipes.task_preparation") / "data"


def split(by: str | None = None) -> Callable[[object], object]:
    """Have a list stand in a file as one text."""
    return lambda given: given.split(by) if isinstance(given, str) else given


Words = Annotated[frozenset[str], BeforeValidator(split())]
"""Written in the file as one text with white space between the words."""


class Entry(BaseModel):
    """A table of a file."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class PerCategory(Entry):
    """Texts of which each category has its own."""

    def for_category(self, category: Category) -> tuple[str, ...]:
        """Give those of one category."""
        text: str | tuple[str, ...] = getattr(self, category.value.lower())
        return (text,) if isinstance(text, str) else text


class VerbClass(Entry):
    """Verbs that ask for the same kind of work; its texts take the fields of an action."""

    name: str
    words: Words
    also_nouns: Words = frozenset()
    route: str
    requirement: str
    test: str


class Lexicon(Entry):
    """The words by which a task is read."""

    stop: Words
    framing: Words
    generic: Words
    tools: Words
    domain_beside: Mapping[str, Words]
    """Words of software that are words of the domain where one of these words is in the text."""
    foreign: Words
    verbs_only: Words
    abstract: Words
    adjectives: Words
    people: Words
    nouns_in_ing: Words
    uncountable: Words
    irregular: Mapping[str, str]
    """Singular by plural."""
    nominal: Mapping[str, str]
    """Verb by the noun of its action."""
    participles: Mapping[str, str]
    """Verb by irregular participle."""
    results: Mapping[str, str]
    """What is stored when something is done, by verb."""
    verbs: tuple[VerbClass, ...]


class Concern(PerCategory):
    """A matter that a task brings with it, such as payments."""

    name: str
    words: Words
    data_model: str
    service: str
    http_api: str
    testing: str


class Slot(Entry):
    """What one of the eight subtasks is whatever the kind of the task."""

    key: str
    category: Category
    needs: tuple[str, ...]
    hours: tuple[float, float]
    hours_per: tuple[float, float]


class Plan(Entry):
    """The eight subtasks, each after those it needs, and the lines for what a task has several of."""

    lines: Mapping[str, str]
    subtask: tuple[Slot, ...]


class Clauses(Entry):
    """How the sentences of a task are sorted."""

    topics: Mapping[str, Words]
    """Words in the singular, by what they speak of."""
    exclusions: Mapping[str, tuple[str, ...]]
    """Regular expressions of what a task may rule out, by surface."""
    formats: Mapping[Literal["names"], tuple[str, ...]]


@cache
def lexicon() -> Lexicon:
    """Give the word lists."""
    return Lexicon.model_validate(_read("words"))


@cache
def concerns() -> tuple[Concern, ...]:
    """Give the known concerns."""
    return TypeAdapter(tuple[Concern, ...]).validate_python(_read("concerns")["concern"])


@cache
def plan() -> Plan:
    """Give the eight subtasks."""
    return Plan.model_validate(_read("subtasks"))


@cache
def clauses() -> Clauses:
    """Give what sorts the sentences of a task."""
    return Clauses.model_validate(_read("clauses"))


def _read(name: str) -> dict[str, object]:
    return tomllib.loads((DATA / f"{name}.toml").read_text("utf-8"))
