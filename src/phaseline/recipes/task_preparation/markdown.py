"""Puts texts of others into Markdown so that none of them ends the frame it stands in."""

from __future__ import annotations

import re

_RUNS = re.compile(r"`+")
_MARKUP = re.compile(r"[`*<>\[\]\\|~]|&#?\w+;|__|(?<!\w)_|_(?!\w)|\A(?:[-+=#]|\d+[.)](?:\s|\Z))|\s#+\Z")
_SPAN = re.compile(r"(?<!`)`[^`]+`(?!`)")
_ORDERED = re.compile(r"\A(\d+)([.)])(?=\s|\Z)")
_BLOCK_START = re.compile(
    r"\A(?:[-+*](?:\s|\Z)|[-*_=\s]+\Z|#{1,6}(?:\s|\Z)|[>=<|]|~{3}|`{3,}[^`]*\Z|\[[^\]]*\]:)"
)


def fence(text: str, language: str = "text") -> str:
    """Give a code block with the text exactly as it is, behind a fence longer than any in it."""
    marks = "`" * max(3, _longest_run(text) + 1)
    return f"{marks}{language}\n{text}\n{marks}"


def inline(text: str) -> str:
    """Give a text of a user on one line; a code span if Markdown could read anything in it as markup."""
    line = " ".join(text.split())
    if not _MARKUP.search(line):
        return line
    marks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{marks}{pad}{line}{pad}{marks}"


def quoted(text: str) -> str:
    """Give a text of a user as it is quoted in a line: code spans in it stay, and what else may be markup makes it one."""
    line = " ".join(text.split())
    return inline(line) if _MARKUP.search(_SPAN.sub("", line)) else line


def item(text: str) -> str:
    """Give a list item on one line; code spans in it stay, and nothing in it begins a block of its own."""
    return "- " + paragraph(text)


def paragraph(text: str) -> str:
    """Give a paragraph on one line; code spans in it stay, and nothing in it begins a block of its own."""
    line = _ORDERED.sub(r"\1\\\2", " ".join(text.split()))
    return "\\" + line if _BLOCK_START.match(line) else line


def _longest_run(text: str) -> int:
    return max(map(len, _RUNS.findall(text)), default=0)
