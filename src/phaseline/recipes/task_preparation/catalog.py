"""The technologies, practices and kinds of tasks that the templates of the recipe know: those that ship with it, and one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path

import attrs

from phaseline.errors import DefinitionError
from phaseline.recipes.task_preparation.content import KindPractice, Practice, TaskKind, Technology, words_of
from phaseline.recipes.task_preparation.files import CatalogError, CatalogProblem
from phaseline.recipes.task_preparation.folders import Entry, Folders
from phaseline.recipes.task_preparation.lexicon import DATA
from phaseline.recipes.task_preparation.lexicon import Entry as Table
from phaseline.recipes.task_preparation.models import Category, Text


class _Guidelines(Table):
    guidelines: tuple[Text, ...]


@attrs.frozen(slots=False, eq=False)
class Catalog:
    """What the templates know. ``Catalog.read()`` is what ships with the recipe."""

    technologies: tuple[Technology, ...]
    """Those that are known by name."""
    practices: Mapping[Category, Practice]
    """What holds for each category whatever the task."""
    guidelines: tuple[str, ...]
    """What closes each prompt."""
    kinds: tuple[TaskKind, ...]
    """By rank; the last one is that of tasks whose words reveal none."""

    @classmethod
    def read(cls, *folders: str | os.PathLike[str], shipped: bool = True) -> Catalog:
        """Read a catalog from folders, each with some of ``technologies.toml``, ``practices.toml`` and ``kinds/*.toml``.

        An entry takes the place of an earlier one of the same name; with ``extend = true`` it adds to that.

        Args:
            *folders: Where the files are, in the order in which they add to each other.
            shipped: Whether they add to what ships with the recipe, or stand alone.

        Raises:
            CatalogError: Files hold mistakes; each is told with file, line, entry and key.
            DefinitionError: A folder is no path.
        """
        for folder in folders:
            if not isinstance(folder, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]  # for who runs no type checker
                raise DefinitionError(
                    f"Catalog.read({folder!r}): a folder is given by its path, such as 'our-catalog'"
                )
        return _shipped() if shipped and not folders else _read(*map(Path, folders), shipped=shipped)

    def practice(self, kind: TaskKind, category: Category) -> KindPractice | Practice:
        """Give what holds for a category in tasks of a kind, by default what holds whatever the kind."""
        return kind.practices.get(category) or self.practices[category]

    @cached_property
    def by_alias(self) -> Mapping[tuple[str, ...], Technology]:
        """The technologies by the words of the names that they go by."""
        return {alias: technology for technology in self.technologies for alias in _aliases(technology)}

    @cached_property
    def by_word(self) -> Mapping[str, Technology]:
        """The technologies by words that name them in running text."""
        return {word: technology for technology in self.technologies for word in technology.in_text}


@cache
def _shipped() -> Catalog:
    return _read(shipped=True)


def _read(*folders: Path, shipped: bool) -> Catalog:
    found = Folders()
    if shipped:
        found.add(DATA, strict=False)
    for folder in folders:
        found.add(folder)
    technologies = found.models(found.technologies, Technology)
    practices = found.models({name: e for name, e in found.practices.items() if name}, Practice)
    guidelines = found.models({name: e for name, e in found.practices.items() if not name}, _Guidelines)
    kinds = found.models(found.kinds, TaskKind)
    problems = [*found.problems, *_doubles(technologies, found.technologies)]
    if not problems:
        problems += _missing(", ".join(map(str, folders)), practices, kinds)
    if problems:
        raise CatalogError(problems)
    return Catalog(
        tuple(technologies.values()),
        {category: practices[category] for category in Category},
        tuple(text for part in guidelines.values() for text in part.guidelines),
        tuple(sorted(kinds.values(), key=lambda kind: kind.rank)),
    )


def _aliases(technology: Technology) -> Iterator[tuple[str, ...]]:
    yield from map(words_of, (technology.name, *technology.aliases))


def _doubles(
    technologies: Mapping[str, Technology], entries: Mapping[str, Entry]
) -> Iterator[CatalogProblem]:
    """Tell where two technologies go by one name."""
    owner: dict[tuple[str, ...] | str, str] = {}
    for name, technology in technologies.items():
        for key, names in (("aliases", _aliases(technology)), ("in_text", technology.in_text)):
            for word in names:
                other = owner.setdefault(word, name)
                if other != name:
                    said = word if isinstance(word, str) else " ".join(word)
                    text = f"{other!r} goes by {said!r} too; take another name, or replace that entry by one of its name"
                    yield entries[name].problem((key,), text)


def _missing(
    folders: str, practices: Mapping[str, Practice], kinds: Mapping[str, TaskKind]
) -> Iterator[CatalogProblem]:
    """Tell what a catalog that stands alone cannot do without."""
    for category in Category:
        if category not in practices:
            yield CatalogProblem(
                folders,
                None,
                "practices",
                category,
                "a catalog that stands alone has practices of each category",
            )
    if not kinds:
        yield CatalogProblem(
            folders, None, "kinds", "", "a catalog that stands alone has a kind of tasks at least"
        )
