"""The texts and word lists that ship with the recipe, read once from the TOML files in ``data`` and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, field_validator

from phaseline.recipes.task_preparation.models import Category

_DATA = files("phaseline.recipes.task_preparation") / "data"

Words = Annotated[frozenset[str], BeforeValidator(str.split)]
"""Written in the file as one text with white space between the words."""


Source = Literal[
    "record", "action", "route", "concern",
    "data", "rule", "interface", "other", "everything",
    "limit", "exclusion",
]  # fmt: skip
"""What of a task a subtask has one requirement for each of."""


def _sign(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


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


class Concern(_PerCategory):
    """A matter that a task brings with it, such as payments."""

    name: str
    words: Words
    data_model: str
    service: str
    http_api: str
    testing: str


class Elsewhere(_PerCategory):
    """What a technology asks for in tasks that are not about HTTP."""

    data_model: tuple[str, ...]
    service: tuple[str, ...]
    http_api: tuple[str, ...]
    testing: tuple[str, ...]


class Technology(_PerCategory):
    """A technology that is known by name."""

    name: str
    role: Literal["framework", "database", "cache", "frontend", "language"]
    aliases: Annotated[tuple[str, ...], BeforeValidator(lambda text: text.split(", "))]
    in_text: Words
    """Words distinctive enough to be recognised in running text."""
    in_context: tuple[re.Pattern[str], ...] = ()
    """Regular expressions, case-sensitive, for names that are common words as well."""
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
    elsewhere: Elsewhere | None = None


class Slot(_Entry):
    """What one of the eight subtasks is whatever the kind of the task."""

    key: str
    category: Category
    needs: tuple[str, ...]
    hours: tuple[float, float]
    hours_per: tuple[float, float]


class Plan(_Entry):
    """The eight subtasks, each after those it needs, and the lines for what a task has several of."""

    lines: Mapping[str, str]
    subtask: tuple[Slot, ...]


class Clauses(_Entry):
    """How the sentences of a task are sorted."""

    topics: Mapping[str, Words]
    """Words in the singular, by what they speak of."""
    exclusions: Mapping[str, tuple[str, ...]]
    """Regular expressions of what a task may rule out, by surface."""
    formats: Mapping[Literal["names"], tuple[str, ...]]


class Practice(_Entry):
    """What holds for a category whatever the task."""

    marks: Words
    best_practices: tuple[str, ...]
    guidelines: tuple[str, ...]


class Practices(_Entry):
    """The practices of each category, and the guidelines of all."""

    by_category: Mapping[Category, Practice]
    guidelines: tuple[str, ...]


class SubtaskTexts(_Entry):
    """What a subtask says for tasks of one kind, before it is filled in."""

    title: str
    description: str
    requirements: tuple[str, ...]
    per: tuple[Source, ...] = ()

    @field_validator("per", mode="before")
    @classmethod
    def _split(cls, text: object) -> object:
        return text.split() if isinstance(text, str) else text


class KindPractice(_Entry):
    """What holds for a category in tasks of one kind."""

    best_practices: tuple[str, ...]
    guidelines: tuple[str, ...]


class TaskKind(_Entry):
    """A kind of task: the words that reveal it, and what its subtasks say. See ``data/kinds/web.toml``."""

    name: str
    rank: int
    """Decides between kinds for which the words speak equally; the lower wins."""
    enough: int = 3
    """The least score at which a task is taken to be of this kind."""
    surfaces: Words = frozenset()
    signs: tuple[Annotated[re.Pattern[str], BeforeValidator(_sign)], ...] = ()
    hints: Words = frozenset()
    deeds: Words = frozenset()
    labels: Mapping[Category, str]
    subtask: Mapping[str, SubtaskTexts]
    """By key of the slot; there is one for each slot."""
    practices: Mapping[Category, KindPractice] = {}

    @field_validator("subtask")
    @classmethod
    def _fills_every_slot(cls, texts: Mapping[str, SubtaskTexts]) -> Mapping[str, SubtaskTexts]:
        keys = [slot.key for slot in plan().subtask]
        if set(keys) != set(texts):
            msg = f"a kind has texts for exactly these subtasks: {', '.join(keys)}"
            raise ValueError(msg)
        return texts

    def practice(self, category: Category) -> KindPractice | Practice:
        """Give what holds for a category, by default what holds whatever the kind."""
        return self.practices.get(category) or practices().by_category[category]

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read a kind from a text like those in ``data/kinds``.

        Raises:
            tomllib.TOMLDecodeError: It is not TOML.
            pydantic.ValidationError: It does not describe a kind.
        """
        return cls.model_validate(tomllib.loads(text))


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
def plan() -> Plan:
    """Give the eight subtasks."""
    return Plan.model_validate(_read("subtasks"))


@cache
def clauses() -> Clauses:
    """Give what sorts the sentences of a task."""
    return Clauses.model_validate(_read("clauses"))


@cache
def task_kinds() -> tuple[TaskKind, ...]:
    """Give the kinds of tasks that ship with the recipe, by rank."""
    texts = [file.read_text("utf-8") for file in (_DATA / "kinds").iterdir() if file.name.endswith(".toml")]
    return tuple(sorted(map(TaskKind.from_toml, texts), key=lambda kind: kind.rank))


@cache
def practices() -> Practices:
    """Give what holds for each category."""
    return Practices.model_validate(_read("practices"))


def _read(name: str) -> dict[str, object]:
    return tomllib.loads((_DATA / f"{name}.toml").read_text("utf-8"))
