"""Reads the folders of a catalog, one after another: later ones add to what earlier ones have, or take its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from typing import Any, Final, TypeVar

import attrs
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phaseline.recipes.task_preparation.content import (
    KindPractice,
    Practice,
    SubtaskTexts,
    TaskKind,
    Technology,
)
from phaseline.recipes.task_preparation.files import (
    CatalogError,
    CatalogProblem,
    Document,
    Origin,
    Table,
    is_table,
    tables_in,
)
from phaseline.recipes.task_preparation.models import Category

Model = TypeVar("Model", bound=BaseModel)

TECHNOLOGIES: Final = "technologies.toml"
PRACTICES: Final = "practices.toml"
KINDS: Final = "kinds"
"""A folder, with one file for each kind."""

_JOINED: Final = {"aliases": ", "} | dict.fromkeys(
    ("in_text", "marks", "hints", "deeds", "surfaces", "per"), " "
)
"""Lists that stand in a file as one text, and what is between their items."""

_KEYS: Final = {
    key
    for model in (Technology, Practice, TaskKind, SubtaskTexts, KindPractice)
    for key in model.model_fields
}


@attrs.frozen
class Entry:
    """A table, put together of those of the same name."""

    data: Table
    origins: tuple[Origin, ...]
    """The last one first."""

    def problem(self, loc: Sequence[str | int], text: str) -> CatalogProblem:
        """Say what is wrong with a part of it: where the last origin that has the part stands."""
        for origin in self.origins:
            if not loc or loc[0] not in origin.table:
                continue
            if len(loc) == 1 or not isinstance(loc[1], int):
                return origin.problem(loc, text)
            index = loc[1] - self._length_before(origin, loc[0])
            if index >= 0:
                return origin.problem((loc[0], index, *loc[2:]), text)
        return self.origins[0].problem(loc, text)

    def _length_before(self, origin: Origin, key: str | int) -> int:
        """Count the items of a list that came from origins before this one."""
        length = 0
        for earlier in self.origins[self.origins.index(origin) + 1 :]:
            items: list[Any] | str | None = earlier.table.get(key)
            length += len(items) if isinstance(items, list) else 0
        return length


class Folders:
    """What stands in the folders of a catalog, by name."""

    def __init__(self) -> None:
        self.technologies: dict[str, Entry] = {}
        self.practices: dict[str, Entry] = {}
        """By category; what holds for all of them under the empty name."""
        self.kinds: dict[str, Entry] = {}
        self.problems: list[CatalogProblem] = []

    def add(self, folder: Traversable, *, strict: bool = True) -> None:
        """Read a folder.

        Args:
            folder: Where the files are; each may be missing.
            strict: Whether a TOML file that is none of a catalog is a mistake.
        """
        if not folder.is_dir():
            self.problems.append(CatalogProblem(str(folder), None, "", "", "there is no such folder"))
            return
        kinds = folder / KINDS
        for file in _toml_files(folder):
            if file.name == TECHNOLOGIES:
                self._add_technologies(file)
            elif file.name == PRACTICES:
                self._add_practices(file)
            elif strict:
                text = f"no file of a catalog has this name: they are {TECHNOLOGIES}, {PRACTICES} and {KINDS}/*.toml"
                self.problems.append(CatalogProblem(str(file), None, "", "", text))
        self._add_kinds(_toml_files(kinds) if kinds.is_dir() else [])

    def models(self, entries: Mapping[str, Entry], model: type[Model]) -> dict[str, Model]:
        """Make models of entries; what cannot be made one is noted."""
        made: dict[str, Model] = {}
        for name, entry in entries.items():
            try:
                made[name] = model.model_validate(entry.data)
            except ValidationError as error:
                for details in error.errors(include_url=False, include_input=False):
                    loc = tuple(part for part in details["loc"] if part != "[key]")
                    self.problems.append(entry.problem(loc, _text_of(details)))
        return made

    # ------------------------------------------------------------------ files
    def _add_technologies(self, file: Traversable) -> None:
        document = self._read(file)
        if document is None:
            return
        self._check_keys(document, {"technology"})
        tables = tables_in(document.data.get("technology", []))
        if tables is None:
            self._tell(
                document, "technology", "technologies are written as [[technology]], each with its keys"
            )
            return
        here = set[str]()
        for index, table in enumerate(tables):
            where = ("technology", index)
            if (name := _name_of(table)) is None:
                origin = Origin(document, where, f"technology {index + 1}")
                self.problems.append(origin.problem(("name",), "a technology needs a name, which is a text"))
                continue
            origin = Origin(document, where, f"technology {name!r}")
            if name in here:
                self.problems.append(origin.problem(("name",), "this file has it twice; keep one of them"))
            here.add(name)
            self._put(self.technologies, name, table, origin)

    def _add_practices(self, file: Traversable) -> None:
        document = self._read(file)
        if document is None:
            return
        self._check_keys(document, {"by_category", "guidelines", "extend"})
        if "guidelines" in document.data:
            table = {key: value for key, value in document.data.items() if key != "by_category"}
            self._put(self.practices, "", table, Origin(document, (), "practices"))
        tables = document.data.get("by_category", {})
        if not is_table(tables):
            self._tell(
                document, "by_category", "practices are written as [by_category.SERVICE], with their keys"
            )
            return
        for category, table in tables.items():
            origin = Origin(document, ("by_category", category), f"practices of {category}")
            if category not in set(Category):
                text = f"there is no such category; there are {', '.join(Category)}"
                self.problems.append(origin.problem((), text))
            elif not is_table(table):
                self.problems.append(
                    origin.problem((), f"write it as [by_category.{category}], with its keys")
                )
            else:
                self._put(self.practices, category, table, origin)

    def _add_kinds(self, files: Sequence[Traversable]) -> None:
        here: dict[str, str] = {}
        for document in filter(None, map(self._read, files)):
            if (name := _name_of(document.data)) is None:
                self._tell(document, "name", "a kind needs a name, which is a text")
                continue
            if name in here:
                self._tell(document, "name", f"{here[name]} has a kind {name!r} too; keep one of them")
            here[name] = document.file
            self._put(self.kinds, name, document.data, Origin(document, (), f"kind {name!r}"))

    # ------------------------------------------------------------------ what is in them
    def _put(self, entries: dict[str, Entry], name: str, table: Table, origin: Origin) -> None:
        """Put an entry in the place of one of the same name, or add to that."""
        data = {key: value for key, value in table.items() if key != "extend"}
        extend, known = table.get("extend", False), entries.get(name)
        if not isinstance(extend, bool):
            self.problems.append(origin.problem(("extend",), "it is true or false"))
        elif not extend:
            entries[name] = Entry(data, (origin,))
        elif known is None:
            text = "there is nothing of this name to extend; leave it out, or mend the name"
            self.problems.append(origin.problem(("extend",), text))
        else:
            entries[name] = Entry(_merged(known.data, data), (origin, *known.origins))

    def _read(self, file: Traversable) -> Document | None:
        try:
            return Document.read(file)
        except CatalogError as error:
            self.problems += error.problems
            return None

    def _check_keys(self, document: Document, known: set[str]) -> None:
        for key in sorted(document.data.keys() - known):
            self._tell(document, key, f"this key is not known here{_near(key, known)}")

    def _tell(self, document: Document, key: str, text: str) -> None:
        self.problems.append(Origin(document, (), "").problem((key,), text))


def _merged(old: Table, new: Table) -> dict[str, Any]:
    """Add one table to another: lists grow, tables are merged, and other values take the place of the old ones."""
    merged = dict(old)
    for key, value in new.items():
        there = merged.get(key)
        if is_table(there) and is_table(value):
            merged[key] = _merged(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            merged[key] = [*there, *value]
        elif key in _JOINED and isinstance(there, str) and isinstance(value, str):
            merged[key] = f"{there}{_JOINED[key]}{value}"
        else:
            merged[key] = value
    return merged


def _toml_files(folder: Traversable) -> list[Traversable]:
    return sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name
    )


def _name_of(table: Table) -> str | None:
    name = table.get("name")
    return name if isinstance(name, str) and name.strip() else None


def _text_of(details: ErrorDetails) -> str:
    match details["type"]:
        case "missing":
            return "this key is missing"
        case "tuple_type":
            return 'write a list, such as ["…"]'
        case "extra_forbidden":
            near = get_close_matches(str(details["loc"][-1]), _KEYS, n=1)
            return "this key is not known here" + (f"; did you mean {near[0]!r}?" if near else "")
        case _:
            text = details["msg"].removeprefix("Value error, ")
            return text[:1].lower() + text[1:]


def _near(key: str, known: set[str]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
