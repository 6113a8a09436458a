"""Where each value of a TOML or JSON text stands; the readers of the standard library do not tell.

The text has been read already, so it is known to be well-formed, and only as much is looked at as tells values apart.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import TypeAlias

Where: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""

# Possessive (``*+``), and content with an open end: no text takes more than one look at each character.
_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*+(?:"{3,5})?'
    r"|"
    r"'''(?:[^']|'(?!''))*+(?:'{3,5})?"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[^\s=.:\[\]{},\"'#]+")
_PLAIN = re.compile(r"[^,\]}\n#]+")
"""A number, a truth value, a time: up to what may follow a value."""
_BLANK = re.compile(r"(?:\s|#[^\n]*)*+")
_NESTING = re.compile(_STRING.pattern + r"|#[^\n]*+|[\[\]{}.,=\n]", re.DOTALL)
_JSON_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def too_deep(text: str, most: int, *, is_toml: bool) -> int | None:
    """Offset of the first bracket that stands in too many others, or of a key of too many parts; of any text."""
    depth = dots = 0
    for token in (_NESTING if is_toml else _JSON_NESTING).finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case ".":
                dots += 1
            case "=" | "," | "\n":
                dots = 0
            case _:
                pass
        if depth > most or dots > most:
            return token.start()
    return None


class Scanner:
    """Walks over a text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[Where, int] = {}
        self._doubles: list[tuple[Where, int]] = []
        self._tables: dict[Where, int] = {}
        """How many tables each array of tables has so far."""
        self._is_toml = True

    def json(self) -> Mapping[Where, int]:
        """Offsets of all values, by where they stand in the data; of an object's value that of its key."""
        self._is_toml = False
        self._blank()
        self._value(())
        return self._found

    def doubled(self) -> tuple[Where, int]:
        """The first key of a JSON text that stands twice in one object."""
        self.json()
        return self._doubles[0]

    def toml(self) -> Mapping[Where, int]:
        """As ``json``."""
        table: Where = ()
        self._blank()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._blank()
        return self._found

    # ------------------------------------------------------------------ the parts of a text
    def _header(self) -> Where:
        """``[a.b]`` or ``[[a.b]]``: the table that what follows stands in."""
        begin = self._at
        is_array = self._text.startswith("[[", begin)
        self._at += 1 + is_array
        *outer, last = self._keys("]")
        self._at += 1 + is_array
        table = self._inside(tuple(outer))
        for length in range(1, len(table) + 1):
            self._found.setdefault(table[:length], begin)
        table = (*table, last)
        if is_array:
            self._found.setdefault(table, begin)
            count = self._tables[table] = self._tables.get(table, 0) + 1
            table = (*table, count - 1)
        self._found.setdefault(table, begin)
        return table

    def _inside(self, keys: Where) -> Where:
        """The last table of each array of tables on the way."""
        table: Where = ()
        for key in keys:
            table = (*table, key)
            if table in self._tables:
                table = (*table, self._tables[table] - 1)
        return table

    def _pair(self, table: Where) -> None:
        begin = self._at
        keys = self._keys("=" if self._is_toml else ":")
        self._at += 1
        for length in range(1, len(keys)):
            self._found.setdefault((*table, *keys[:length]), begin)
        where = (*table, *keys)
        if where in self._found:
            self._doubles.append((where, begin))
        self._found[where] = begin
        self._blank()
        self._value(where)

    def _keys(self, end: str) -> tuple[str, ...]:
        keys: list[str] = []
        self._blank()
        while self._text[self._at] != end:
            found = _STRING.match(self._text, self._at) or _BARE_KEY.match(self._text, self._at)
            assert found is not None  # noqa: S101  # the text is well-formed
            keys.append(self._key(found[0]))
            self._at = found.end()
            self._blank()
            if self._text[self._at] == ".":
                self._at += 1
                self._blank()
        return tuple(keys)

    def _value(self, where: Where) -> None:
        self._found.setdefault(where, self._at)
        match self._text[self._at]:
            case "[":
                self._list(where)
            case "{":
                self._object(where)
            case _:
                found = _STRING.match(self._text, self._at) or _PLAIN.match(self._text, self._at)
                assert found is not None  # noqa: S101  # the text is well-formed
                self._at = found.end()

    def _list(self, where: Where) -> None:
        index = 0
        self._at += 1
        self._blank()
        while self._text[self._at] != "]":
            self._value((*where, index))
            index += 1
            self._comma()
        self._at += 1

    def _object(self, where: Where) -> None:
        self._at += 1
        self._blank()
        while self._text[self._at] != "}":
            self._pair(where)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        self._blank()
        if self._text[self._at] == ",":
            self._at += 1
            self._blank()

    def _blank(self) -> None:
        found = _BLANK.match(self._text, self._at)
        assert found is not None  # noqa: S101  # it matches the empty text
        self._at = found.end()

    def _key(self, key: str) -> str:
        """What a key is without its quotes."""
        if key[0] not in "\"'":
            return key
        if "\\" not in key or key[0] == "'":
            return key[1:-1]
        return str(tomllib.loads(f"key = {key}")["key"] if self._is_toml else json.loads(key))
