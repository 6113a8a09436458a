"""Markdown in which the texts of others stay what they are: none of them is read as markup, or ends the frame it stands in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

_RUNS = re.compile(r"`+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$^:@.])")
"""Markdown takes a backslash before any of them; with a colon, an at sign or a dot also bare links begin."""


def escaped(text: str) -> str:
    """Give a text on one line, for a paragraph or a cell of a table."""
    return _SPECIAL.sub(r"\\\1", _visible(" ".join(text.split())))


def fenced(text: str, language: str = "") -> str:
    """Give a code block, behind a fence longer than any in it."""
    lines = "\n".join(_visible(line) for line in text.split("\n"))
    marks = "`" * max(3, max(map(len, _RUNS.findall(lines)), default=0) + 1)
    return f"{marks}{language}\n{lines}\n{marks}"


def of_json(value: Any, most: int) -> str:
    """Give a code block of JSON data, cut to so many characters."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    left = len(text) - most
    return fenced(text if left <= 0 else f"{text[:most]}\n… ({left:,} characters more)", "json")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table; cells are Markdown already."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _visible(text: str) -> str:
    """Write by its number what cannot be seen, or turns the direction of what can."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _named(letter) for letter in text)


def _named(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
