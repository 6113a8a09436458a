"""The texts and word lists that ship with the recipe, read once from the TOML files in ``data`` and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from phaseline.recipes.task_preparation.models import Category

Words = Annotated[frozenset[str], BeforeValidator(str.split)]
"""Written in the file as one text with white space between the words."""


class _Entry(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class _PerCategory(_Entry):
    """Texts of which each category has its own."""

    def for_category(self, category: Category) -> tuple[str, ...]:
        """Give those of one category."""
        text: str | tuple[str, ...] = getattr(self, category.value.lower())
        return (text,) if isinstance(text, str) else text


class VerbClass(_Entry):
    """Verbs that ask for the same kind of work; its texts take the fields of an action."""

    name: str
    words: Words
    also_nouns: Words = frozenset()
    route: str
    requirement: str
    test: str


class Lexicon(_Entry):
    """The words by which a task is read."""

    stop: Words
    framing: Words
    generic: Words
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
    verbs: tuple[VerbClass, ...]


class Concern(_PerCategory):
    """A matter that a task brings with it, such as payments."""

    name: str
    words: Words
    data_model: str
    service: str
    http_api: str
    testing: str


class Technology(_PerCategory):
    """A technology that is known by name."""

    name: str
    role: Literal["framework", "database", "cache", "frontend", "language"]
    aliases: Annotated[tuple[str, ...], BeforeValidator(lambda text: text.split(", "))]
    in_text: Words
    """Words distinctive enough to be recognised in running text."""
    documents: bool = False
    """Whether it is a database of documents."""
    orm: str = ""
    odm: str = ""
    migrations: str = ""
    tests: str = ""
    data_model: tuple[str, ...]
    service: tuple[str, ...]
    http_api: tuple[str, ...]
    testing: tuple[str, ...]


class SubtaskTemplate(_Entry):
    """One of the eight subtasks before it is filled in."""

    key: str
    category: Category
    title: str
    description: str
    requirements: tuple[str, ...]
    per: tuple[Literal["record", "action", "route", "concern", "statement"], ...]
    needs: tuple[str, ...]
    hours: tuple[float, float]
    hours_per: tuple[float, float]


class SubtaskTemplates(_Entry):
    """The eight subtasks, each after those it needs, and the lines for what a task has several of."""

    record: str
    route: str
    statement: str
    subtask: tuple[SubtaskTemplate, ...]


class Practice(_Entry):
    """What holds for a category whatever the task."""

    marks: Words
    best_practices: tuple[str, ...]
    guidelines: tuple[str, ...]


class Practices(_Entry):
    """The practices of each category, and the guidelines of all."""

    by_category: Mapping[Category, Practice]
    guidelines: tuple[str, ...]


@cache
def lexicon() -> Lexicon:
    """Give the word lists."""
    return Lexicon.model_validate(_read("words"))


@cache
def concerns() -> tuple[Concern, ...]:
    """Give the known concerns."""
    return TypeAdapter(tuple[Concern, ...]).validate_python(_read("concerns")["concern"])


@cache
def technologies() -> tuple[Technology, ...]:
    """Give the known technologies."""
    return TypeAdapter(tuple[Technology, ...]).validate_python(_read("technologies")["technology"])


@cache
def subtask_templates() -> SubtaskTemplates:
    """Give the eight subtasks."""
    return SubtaskTemplates.model_validate(_read("subtasks"))


@cache
def practices() -> Practices:
    """Give what holds for each category."""
    return Practices.model_validate(_read("practices"))


def _read(name: str) -> dict[str, object]:
    folder = files("phaseline.recipes.task_preparation") / "data"
    return tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))
