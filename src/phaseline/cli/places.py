"""Where a runtime is, on the command line: ``module:name``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from phaseline.runtime import Runtime


class NoRuntimeError(Exception):
    """What the command line names is no runtime that can be served."""


def runtime_at(place: str) -> Runtime:
    """Import the runtime that ``module:name`` names, from the directory of the process too.

    Raises:
        NoRuntimeError: There is none.
    """
    module_name, colon, name = place.partition(":")
    if not (colon and module_name and name):
        raise NoRuntimeError(
            f"{place!r} does not name a runtime; write MODULE:NAME, such as shop.worker:runtime"
        )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a mistake inside of it
        raise NoRuntimeError(
            f"there is no module {error.name!r} in {here} or among what is installed"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise NoRuntimeError(f"the module {module_name!r} has no {name!r}")
        found = getattr(found, part)
    if not isinstance(found, Runtime) and callable(found):
        found = found()
    if not isinstance(found, Runtime):
        raise NoRuntimeError(
            f"{place} is a {type(found).__name__}, not a Runtime or a function that makes one"
        )
    return found
