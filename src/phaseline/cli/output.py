"""What commands print: texts for people, without what could command their terminal, and JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

from pydantic import BaseModel
from rich.console import Console

from phaseline._values.texts import printable

UNBOUNDED: Final = 200
"""Columns of what is drawn where there is no terminal."""


def print_json(data: BaseModel | Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Print one document; without an indent, on one line."""
    found = data.model_dump(mode="json", by_alias=True) if isinstance(data, BaseModel) else data
    print(json.dumps(found, indent=indent, ensure_ascii=not _knows_all(sys.stdout)), flush=indent is None)


def _knows_all(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def console(*, stderr: bool = False) -> Console:
    """Where texts are printed: in colour on a terminal, and as wide as they are elsewhere."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, markup=False, width=None if stream.isatty() else UNBOUNDED)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print a table in aligned columns; each row as lines of its own where the terminal is too narrow for that.

    Args:
        columns: What stands in each.
        rows: The cells, as texts that may be of others.
        empty: What is said instead, to people, where there are none.
    """
    table = [[printable(cell) for cell in row] for row in rows]
    if not table:
        print(empty, file=sys.stderr)
        return
    widths = [max(len(row[place]) for row in [columns, *table]) for place in range(len(columns))]
    narrow = sum(widths) + 2 * len(widths) > shutil.get_terminal_size().columns and sys.stdout.isatty()
    if narrow:
        for row in table:
            print(
                "\n".join(f"{name}: {cell}" for name, cell in zip(columns, row, strict=True) if cell),
                end="\n\n",
            )
        return
    for row in [[name.upper() for name in columns], *table]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def when(moment: datetime | None) -> str:
    """A moment, in local time."""
    return "" if moment is None else moment.astimezone().isoformat(sep=" ", timespec="seconds")
