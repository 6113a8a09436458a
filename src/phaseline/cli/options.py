"""What many commands may be given."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import attrs
import typer
from pydantic_core import from_json

from phaseline import run_filter
from phaseline.rows import RunState
from phaseline.tags import Attribute, attribute_from

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
PLACE: Final = (
    "MODULE:NAME, or the URL of a storage for what needs no code. By default PHASELINE_RUNTIME, then runtime in "
    "[tool.phaseline] of pyproject.toml, then DATABASE_URL."
)
RuntimePlace: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="PLACE", show_default=False, help=PLACE)
]
RuntimeToo: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        "-r",
        metavar="PLACE",
        show_default=False,
        help="The same, as other commands take it.",
    ),
]


def named(argument: str | None, option: str | None) -> str | None:
    """Where the runtime is, of a command that may be told in two ways; else as the environment says."""
    if argument and option:
        raise typer.BadParameter(f"the runtime is named twice, {argument!r} and {option!r}: leave one out")
    return argument or option or os.environ.get("PHASELINE_RUNTIME")


def moment(text: str) -> datetime:
    """Read a moment: ISO 8601, local time where it has no zone, or how long ago it was."""
    if _SPAN.fullmatch(text.strip()) is not None:
        return datetime.now(UTC) - span(text)
    return _moment(text, "ago")


def moment_to_come(text: str) -> datetime | timedelta:
    """Read a moment: ISO 8601, local time where it has no zone, or how long it is until then."""
    return span(text) if _SPAN.fullmatch(text.strip()) is not None else _moment(text, "from now on")


def _moment(text: str, span_is: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no moment: write 2026-11-28T09:00+01:00, or how long {span_is}, as 90s, 15m, 12h, 30d, 2w"
        ) from None


@attrs.frozen
class Given:
    """A value that was given; ``null`` too, which by itself would count as none."""

    value: Any


def json_value(text: Any) -> Any:
    """Read a value, as ``Given``: JSON, or from a file, ``@order.json``, ``@-`` for the standard input."""
    if not isinstance(text, str):  # a default
        return text
    try:
        if text == "@-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{text[1:]!r} cannot be read: {error}") from None
    try:
        return Given(from_json(text, allow_inf_nan=False))
    except ValueError as error:
        raise typer.BadParameter(f"it is no JSON: {error}; a text stands in quotes, '\"text\"'") from None


def _attribute(text: str) -> tuple[str, Attribute]:
    try:
        return attribute_from(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _login() -> str:
    try:
        return f"user:{getuser()}"
    except (KeyError, OSError):  # the latter from 3.13 on: a container may run as a mere number
        return f"uid:{os.getuid()}"


Runtimes: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        "-r",
        metavar="PLACE",
        envvar="PHASELINE_RUNTIME",
        show_envvar=False,
        show_default=False,
        help=PLACE,
    ),
]
Namespace: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar="PHASELINE_NAMESPACE",
        show_envvar=False,
        show_default=False,
        help="In whose runs is looked; by default that of the runtime, of a URL default.",
    ),
]
Reason: TypeAlias = Annotated[str, typer.Option(help="Why, for the run's history.")]
Actor: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="PHASELINE_ACTOR",
        show_envvar=False,
        default_factory=_login,
        show_default="user:<login name>",
        help="Who does it, for the run's history.",
    ),
]
Pipelines: TypeAlias = Annotated[
    list[str], typer.Option("--pipeline", help="Name of a pipeline; may be repeated.")
]
Versions: TypeAlias = Annotated[
    list[str], typer.Option("--version", help="Of the pipeline; may be repeated.")
]
States: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--state",
        help="State: that of a run, or the label of a phase; may be repeated.",
        autocompletion=lambda: [str(state) for state in RunState],
    ),
]
Tags: TypeAlias = Annotated[list[str], typer.Option("--tag", help="Tag that they have; may be repeated.")]
Attributes: TypeAlias = Annotated[
    list[Any],  # a name and a value, which typer would take for two values
    typer.Option(
        "--attribute",
        metavar="NAME=VALUE",
        parser=_attribute,
        help="Attribute that they have; may be repeated.",
    ),
]
NewTags: TypeAlias = Annotated[
    list[str], typer.Option("--tag", help="Tag for what is begun; may be repeated.")
]
NewAttributes: TypeAlias = Annotated[
    list[Any],  # as above
    typer.Option(
        "--attribute",
        metavar="NAME=VALUE",
        parser=_attribute,
        help="Attribute for what is begun; may be repeated.",
    ),
]
Since: TypeAlias = Annotated[
    datetime | None,
    typer.Option(metavar="WHEN", parser=moment, help="From then on: ISO 8601, or how long ago, 2h."),
]
Until: TypeAlias = Annotated[
    datetime | None, typer.Option(metavar="WHEN", parser=moment, help="Before then.")
]
Order: TypeAlias = Annotated[run_filter.Order, typer.Option(help="Which come first.")]
Limit: TypeAlias = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
After: TypeAlias = Annotated[
    str | None, typer.Option(metavar="PLACE", help="Where to go on: next of the page before.")
]
