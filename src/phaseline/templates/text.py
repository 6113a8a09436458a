"""The text of a template: read within bounds, and searched for where something stands once that is asked for."""

from __future__ import annotations

import json
import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeGuard

import attrs

from phaseline.errors import TemplateError, TemplateProblem
from phaseline.templates.places import Scanner, Where, too_deep

Format: TypeAlias = Literal["toml", "json"]
FORMATS: tuple[Format, ...] = ("toml", "json")

MOST_BYTES = 1_048_576
"""Size of a template; what is larger is not read."""
MOST_DEPTH = 64
"""How deep brackets may stand in brackets, and tables in tables."""
MOST_STEPS = 10_000
"""Steps of a template, all that stand in others included."""

_STEPS_IN = ("steps", "parallel", "each", "then", "else", "step")
"""Keys under which steps stand."""
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@attrs.frozen(slots=False)
class Source:
    """The text of one template."""

    name: str
    """How messages call it: the path of the file."""
    text: str
    format: Format

    # ------------------------------------------------------------------ what is wrong, and where
    def error(self, *problems: tuple[Where, str]) -> TemplateError:
        """Make an error of what is wrong where in the data; the first in the text comes first."""
        found = [TemplateProblem(*self.place_of(where), dotted(where), text) for where, text in problems]
        return TemplateError(self.name, sorted(found, key=lambda one: (one.line or 0, one.column or 0)))

    def place_of(self, where: Where) -> tuple[int | None, int | None]:
        """Line and column at which something stands, or what it is in."""
        for length in range(len(where), 0, -1):
            offset = self._offsets.get(where[:length])
            if offset is not None:
                return self._line_and_column(offset)
        return None, None

    @cached_property
    def _offsets(self) -> Mapping[Where, int]:
        """Where each value stands; searched for when it is first asked, for most templates are well."""
        scanner = Scanner(self.text)
        return scanner.toml() if self.format == "toml" else scanner.json()

    @cached_property
    def _lines(self) -> Sequence[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def _at_offset(self, offset: int, text: str) -> TemplateError:
        return TemplateError(self.name, [TemplateProblem(*self._line_and_column(offset), "", text)])

    # ------------------------------------------------------------------ from text to data
    def data(self) -> dict[str, Any]:
        """Read it.

        Raises:
            TemplateError: It is not of its format, or larger or deeper than any pipeline need be.
        """
        deep = too_deep(self.text, MOST_DEPTH, is_toml=self.format == "toml")
        if deep is not None:
            text = f"it is nested more than {MOST_DEPTH} deep; make what is inside a pipeline of its own, and register that"
            raise self._at_offset(deep, text)
        data = self._toml() if self.format == "toml" else self._json()
        if not is_table(data):
            raise self.error(((), f"a template is a table with keys, not {type(data).__name__}"))
        self._check_size(data)
        return data

    def _toml(self) -> Any:
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            found = _AT.search(message)
            place = (
                (int(found[1]), int(found[2]))
                if found and found[1]
                else self._line_and_column(len(self.text))
            )
            problem = TemplateProblem(*place, "", f"this is no TOML: {_AT.sub('', message)}")
            raise TemplateError(self.name, [problem]) from error
        except ValueError as error:
            raise self._no_data(error) from error

    def _json(self) -> Any:
        try:
            return json.loads(self.text, object_pairs_hook=_without_doubles, parse_constant=_no_number)
        except _DoubleKeyError as error:
            where, offset = Scanner(self.text).doubled()
            raise self._at_offset(offset, f"the key {where[-1]!r} stands twice in one object") from error
        except json.JSONDecodeError as error:
            problem = TemplateProblem(error.lineno, error.colno, "", f"this is no JSON: {error.msg}")
            raise TemplateError(self.name, [problem]) from error
        except ValueError as error:
            raise self._no_data(error) from error

    def _no_data(self, error: ValueError) -> TemplateError:
        """A number of too many digits, or none at all: Python does not tell where."""
        return _unreadable(self.name, f"this is no {self.format.upper()}: {error}")

    def _check_size(self, data: dict[str, Any]) -> None:
        """Count before anything is made of it."""
        todo, steps = [data], 0
        while todo:
            table = todo.pop()
            for found in _steps_in(table):
                steps += 1
                if is_table(found):
                    todo.append(found)
        if steps > MOST_STEPS:
            text = f"it has {steps:,} steps; at most {MOST_STEPS:,} are taken: give a list to each(), or split it"
            raise self.error((("steps",) if "steps" in data else ("graph",), text))


def read(path: Path) -> Source:
    """Read a file, but not a large one.

    Raises:
        TemplateError: Its name says neither TOML nor JSON, or it is too large, or no UTF-8.
        OSError: It cannot be read.
    """
    name, suffix = str(path), path.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise _unreadable(name, "the name of a template ends in .toml or .json")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise _too_large(name)
    try:
        return Source(name, content.decode("utf-8-sig"), suffix)
    except UnicodeDecodeError as error:
        raise _unreadable(name, f"it is not UTF-8: byte {error.start} cannot be read") from error


def given(text: str, format_: Format, name: str) -> Source:
    """Take a text, but not a large one.

    Raises:
        TemplateError: It is too large, or the format is none.
    """
    if format_ not in FORMATS:
        raise _unreadable(name, f"the format {format_!r} is not known; give 'toml' or 'json'")
    if len(text) > MOST_BYTES or len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise _too_large(name)
    return Source(name, text, format_)


def is_table(data: object) -> TypeGuard[dict[str, Any]]:
    """Whether it has keys: in data they are texts."""
    return isinstance(data, dict)


def is_list(data: object) -> TypeGuard[list[Any]]:
    """Whether it has items."""
    return isinstance(data, list)


def dotted(where: Where) -> str:
    """Write a place in the data as one would in code: ``steps[1].each``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


def _too_large(name: str) -> TemplateError:
    return _unreadable(
        name, f"it is larger than {MOST_BYTES:,} bytes, which no template need be; it was not read"
    )


def _unreadable(name: str, text: str) -> TemplateError:
    return TemplateError(name, [TemplateProblem(None, None, "", text)])


def _steps_in(table: Mapping[str, Any]) -> Iterator[Any]:
    """The steps that stand right in a table, also those of its graph."""
    todo: list[Any] = [table[key] for key in _STEPS_IN if key in table]
    graph = table.get("graph")
    nodes = graph.get("nodes") if is_table(graph) else None
    if is_table(nodes):
        todo.extend(nodes.values())
    while todo:
        found = todo.pop()
        if is_list(found):
            todo.extend(found)
        else:
            yield found


class _DoubleKeyError(Exception):
    """An object has two values under one key, of which Python would drop one in silence."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DoubleKeyError
    return found


def _no_number(constant: str) -> Any:
    msg = f"{constant} is no JSON"
    raise ValueError(msg)
