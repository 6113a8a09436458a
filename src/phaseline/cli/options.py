"""What many commands may be given."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, TypeAlias

import typer

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw]?)")


def span(text: str | timedelta) -> timedelta:
    """Read a time: a number of seconds, or with a unit."""
    if isinstance(text, timedelta):  # a default
        return text
    found = _SPAN.fullmatch(text.strip())
    try:
        if found is not None:
            return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    except OverflowError:
        pass
    raise typer.BadParameter(f"{text!r} is no time: write a number of seconds, or 90s, 15m, 12h, 30d, 2w")


SPAN: Final = "TIME"

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RuntimePlace: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="MODULE:NAME",
        envvar="PHASELINE_RUNTIME",
        show_envvar=False,
        show_default=False,
        help="Where the runtime is, or a function that makes it: shop.worker:runtime. By default PHASELINE_RUNTIME, then "
        "runtime in [tool.phaseline] of pyproject.toml.",
    ),
]
