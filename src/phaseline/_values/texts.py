"""Texts that users and bodies give, checked before they can reach a storage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from phaseline.errors import EncodeError

LONGEST_KEY = 500
"""Characters of a text by which something is found again; databases bound what they index."""
LONGEST_TEXT = 2_000
"""Characters of a text that is only read; what is longer is cut, unless it is all that is told."""


def storable_text(value: object, *, what: str) -> str:
    """Give a text as every storage takes it, cut to ``LONGEST_TEXT`` characters.

    Raises:
        EncodeError: It is no text, or has a NUL character or half a surrogate pair in it.
    """
    text = _checked(value, what)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"


def storable_key(value: object, *, what: str, longest: int = LONGEST_KEY) -> str:
    """Do as ``storable_text`` does for a text that is never cut, as one by which something is found again.

    Raises:
        EncodeError: It is also empty, or too long.
    """
    text = _checked(value, what)
    if not 0 < len(text) <= longest:
        raise EncodeError(what, [f"it has {len(text):,} characters; 1 to {longest:,} are allowed"])
    return text


def printable(text: str, *, lines: bool = False) -> str:
    """Show a text that somebody else wrote: what cannot be printed is escaped, so that it cannot command a terminal.

    Args:
        text: The text.
        lines: Whether it may have several.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or (lines and each == "\n") else each.encode("unicode_escape").decode()
        for each in text
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give a question after what was meant, or nothing where no known word is near."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {str(near[0])!r}?" if near else ""


def _checked(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise EncodeError(what, [f"expected text, got {type(value).__name__}; give a str"])
    if "\0" in value:
        raise EncodeError(what, ["the NUL character cannot be stored; remove it"])
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            problem = "a lone surrogate is no text; decode the bytes it came from with errors='replace'"
            raise EncodeError(what, [problem]) from error
    return value if type(value) is str else str.__str__(value)  # drivers know no subclasses


def snake(name: str) -> str:
    """Give a name in CamelCase as snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def upper_snake(name: str) -> str:
    """Give a name as UPPER_SNAKE, with everything that is no letter or digit as ``_``."""
    return re.sub(r"[^A-Za-z0-9]+", "_", snake(name)).upper()
