"""What a catalog holds: technologies, practices and kinds of tasks, each a table of a TOML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Template
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, field_validator

from phaseline.recipes.task_preparation.lexicon import Entry, PerCategory, Words, plan, split
from phaseline.recipes.task_preparation.models import Category, Line, Text

Source = Literal[
    "record", "action", "route", "concern",
    "data", "rule", "interface", "other", "everything",
    "limit", "exclusion",
]  # fmt: skip
"""What of a task a subtask has one requirement for each of."""

FIELDS: Final = frozenset(
    "purpose quoted formats with_language with_tests with_framework on_stack thing things a_thing records plurals actions path "
    "concerns database in_database container with_mapping with_migrations".split()
)
"""What the texts of a kind may name, each with a ``$`` before it."""

_WORD = re.compile(r"[.]?[^\W_]+(?:[.][^\W_]+)*[#+]*")


def _sign(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        msg = f"this is no regular expression: {error}"
        raise ValueError(msg) from error


def _names_fields(text: str) -> str:
    template = Template(text)
    if not template.is_valid():
        msg = "a $ stands before the name of a field; write $$ for a dollar sign"
        raise ValueError(msg)
    unknown = sorted(set(template.get_identifiers()) - FIELDS)
    if unknown:
        msg = f"there is no field ${unknown[0]}; the texts of a kind may name {', '.join(f'${name}' for name in sorted(FIELDS))}"
        raise ValueError(msg)
    return text


Filled = Annotated[Text, AfterValidator(_names_fields)]
"""A text in which fields stand, such as ``$quoted``."""


def words_of(name: str) -> tuple[str, ...]:
    """Take a name apart into lower-case words, keeping '.', '#' and '+' where they belong to a name."""
    return tuple(_WORD.findall(name.casefold()))


def _in_text(words: frozenset[str]) -> frozenset[str]:
    """Refuse what would never be found: no word of a text ends in a comma."""
    if any("," in word for word in words):
        msg = "divide the words by spaces alone, without commas"
        raise ValueError(msg)
    return frozenset(word.casefold() for word in words)


class Elsewhere(PerCategory):
    """What a technology asks for in tasks that are not about HTTP."""

    data_model: tuple[Text, ...] = ()
    service: tuple[Text, ...] = ()
    http_api: tuple[Text, ...] = ()
    testing: tuple[Text, ...] = ()


class Technology(PerCategory):
    """A technology that is known by name. See ``data/technologies.toml``."""

    name: Line
    """As texts write it."""
    role: Literal["framework", "database", "cache", "frontend", "language", "tool"]
    """A framework or frontend has a place in tasks about HTTP, a database or cache in those about stored records, a language or
    tool in all."""
    aliases: Annotated[tuple[Line, ...], BeforeValidator(split(", "))] = ()
    """What a name in a project's stack may begin with, beside ``name``; whatever its case."""
    in_text: Annotated[Words, AfterValidator(_in_text)] = frozenset()
    """Words distinctive enough to be recognised in running text; whatever their case."""
    in_context: tuple[re.Pattern[str], ...] = ()
    """Regular expressions, case-sensitive, for names that are common words as well."""
    documents: bool = False
    """Whether it is a database of documents."""
    orm: str = ""
    """What maps records to objects with it."""
    odm: str = ""
    """What maps documents to objects with it."""
    migrations: str = ""
    """What changes its tables."""
    tests: str = ""
    """What tests are written with."""
    data_model: tuple[Text, ...] = ()
    """What it asks for in work on the data model."""
    service: tuple[Text, ...] = ()
    """What it asks for in work on services."""
    http_api: tuple[Text, ...] = ()
    """What it asks for in work on the HTTP API."""
    testing: tuple[Text, ...] = ()
    """What it asks for in work on tests."""
    elsewhere: Elsewhere | None = None
    """What it asks for in tasks that are not about HTTP; None: the same."""


class Practice(Entry):
    """What holds for a category whatever the task."""

    marks: Words = frozenset()
    """Words by which a standard or a rule shows that it is about this category alone."""
    best_practices: tuple[Text, ...]
    guidelines: tuple[Text, ...]


class SubtaskTexts(Entry):
    """What a subtask says for tasks of one kind, before it is filled in."""

    title: Filled
    description: Filled
    requirements: tuple[Filled, ...]
    per: Annotated[tuple[Source, ...], BeforeValidator(split())] = ()


class KindPractice(Entry):
    """What holds for a category in tasks of one kind."""

    best_practices: tuple[Text, ...]
    guidelines: tuple[Text, ...]


class TaskKind(Entry):
    """A kind of task: the words that reveal it, and what its subtasks say. See ``data/kinds/web.toml``."""

    name: Line
    """By which it is known."""
    rank: int
    """Decides between kinds for which the words speak equally; the lower wins. The last one is that of tasks whose words
    reveal none."""
    enough: int = 3
    """The least score at which a task is taken to be of this kind."""
    surfaces: Words = frozenset()
    """Words for what is built in tasks of this kind."""
    signs: tuple[Annotated[re.Pattern[str], BeforeValidator(_sign)], ...] = ()
    """Regular expressions that reveal it, whatever the case."""
    hints: Words = frozenset()
    """Words that speak for it, a little."""
    deeds: Words = frozenset()
    """Verbs of what is done in tasks of this kind."""
    labels: Mapping[Category, Line]
    """What each category is called in tasks of this kind."""
    subtask: Mapping[str, SubtaskTexts]
    """By key of the slot; there is one for each slot."""
    practices: Mapping[Category, KindPractice] = {}
    """What holds for each category in tasks of this kind."""

    @field_validator("labels")
    @classmethod
    def _labels_each_category(cls, labels: Mapping[Category, str]) -> Mapping[Category, str]:
        if missing := [category.value for category in Category if category not in labels]:
            msg = f"a kind has a label for each category; missing: {', '.join(missing)}"
            raise ValueError(msg)
        return labels

    @field_validator("subtask")
    @classmethod
    def _fills_every_slot(cls, texts: Mapping[str, SubtaskTexts]) -> Mapping[str, SubtaskTexts]:
        keys = [slot.key for slot in plan().subtask]
        if set(keys) != set(texts):
            msg = f"a kind has texts for exactly these subtasks: {', '.join(keys)}"
            raise ValueError(msg)
        return texts
