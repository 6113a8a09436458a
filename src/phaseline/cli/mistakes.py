"""A mistake in the application, as its author wants to see it."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import Final

_WAY: Final = ("phaseline.cli", "typer", "click", "importlib", "_frozen_importlib")
"""Modules through which a command comes to the application's code."""


def tell_mistake(error: BaseException) -> None:
    """Print a traceback without the way from the shell to the application's code; of a mistake on that way all of it."""
    at: TracebackType | None = error.__traceback__
    while at is not None and _is_on_the_way(at):
        at = at.tb_next
    traceback.print_exception(type(error), error, at or error.__traceback__, file=sys.stderr)


def _is_on_the_way(at: TracebackType) -> bool:
    name = str(at.tb_frame.f_globals.get("__name__", ""))
    return any(name == each or name.startswith(f"{each}.") for each in _WAY)
