"""What commands print: texts for people, without what could command their terminal, and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def plain(text: str, *, lines: bool = False) -> str:
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


def print_json(data: BaseModel | Mapping[str, Any]) -> None:
    """Print one document."""
    found = data.model_dump(mode="json", by_alias=True) if isinstance(data, BaseModel) else data
    print(json.dumps(found, indent=2, ensure_ascii=False))
