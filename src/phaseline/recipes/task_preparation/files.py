"""The TOML files of a catalog, and what is told of mistakes in them: file, line, entry and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import attrs

from phaseline import PhaselineError
from phaseline.templates.places import Scanner, Where

Table: TypeAlias = Mapping[str, Any]

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")


class CatalogProblem(NamedTuple):
    """One mistake in the files of a catalog."""

    file: str
    """Name of the file."""
    line: int | None
    """Counted from 1; None where it is about the whole."""
    entry: str
    """Such as ``technology 'Phoenix'``; empty where it is about the whole file."""
    key: str
    """Such as ``role``; empty where it is about the whole entry."""
    text: str
    """What is wrong, and how to mend it."""

    def __str__(self) -> str:
        """Write it for people."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        what = ", ".join(filter(None, (self.entry, f"key {self.key!r}" if self.key else "")))
        return ": ".join(filter(None, (place, what, self.text)))


class CatalogError(PhaselineError, ValueError):
    """The files of a catalog hold mistakes."""

    def __init__(self, problems: Iterable[CatalogProblem]) -> None:
        self.problems: tuple[CatalogProblem, ...] = tuple(problems)
        """All that is wrong, at least one."""
        super().__init__("\n".join(map(str, self.problems)))


@attrs.frozen(slots=False)
class Document:
    """A file that was read."""

    file: str
    text: str
    data: Table

    @classmethod
    def read(cls, file: Traversable) -> Document:
        """Read a file.

        Raises:
            CatalogError: It cannot be read, or is no TOML.
        """
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise _unreadable(file, None, f"it cannot be read: {error.strerror}") from error
        try:
            text = raw.decode("utf-8-sig")
            return cls(str(file), text, tomllib.loads(text))
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1  # without the mark of the byte order
            raise _unreadable(file, line, "this is no text in UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            found = _AT.search(str(error))
            line = int(found[1]) if found and found[1] else raw.rstrip().count(b"\n") + 1
            raise _unreadable(file, line, f"this is no TOML: {_AT.sub('', str(error))}") from error
        except (ValueError, RecursionError) as error:  # a number of too many digits, or brackets in brackets
            raise _unreadable(file, None, f"this is no TOML: {error}") from error

    def line_of(self, where: Where) -> int | None:
        """The line at which something stands, or what it is in."""
        for length in range(len(where), 0, -1):
            if (offset := self._offsets.get(where[:length])) is not None:
                return self.text.count("\n", 0, offset) + 1
        return None

    @cached_property
    def _offsets(self) -> Mapping[Where, int]:
        return Scanner(self.text).toml()


@attrs.frozen
class Origin:
    """Where an entry stands, or a part of one."""

    document: Document
    where: Where
    what: str
    """How messages call the entry."""

    @property
    def table(self) -> Mapping[str | int, Any]:
        """What stands there."""
        found: Any = self.document.data
        for part in self.where:
            found = found[part]
        table: Mapping[str | int, Any] = found
        return table

    def problem(self, loc: Sequence[str | int], text: str) -> CatalogProblem:
        """Say what is wrong at a key of it, or, without one, with all of it."""
        line = self.document.line_of((*self.where, *loc))
        return CatalogProblem(self.document.file, line, self.what, ".".join(map(str, loc)), text)


def is_table(value: object) -> TypeGuard[Table]:
    """Tell whether a value of a file is a table."""
    return isinstance(value, dict)


def tables_in(value: object) -> list[Table] | None:
    """Give an array of tables; None if it is none."""
    if not isinstance(value, list):
        return None
    listed: list[object] = value  # pyright: ignore[reportUnknownVariableType]  # isinstance cannot see type arguments
    tables = [item for item in listed if is_table(item)]
    return tables if len(tables) == len(listed) else None


def _unreadable(file: Traversable, line: int | None, text: str) -> CatalogError:
    return CatalogError([CatalogProblem(str(file), line, "", "", text)])
