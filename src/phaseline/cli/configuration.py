"""What a project says of its runtime: ``[tool.phaseline]`` in its ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import attrs

from phaseline._values.texts import did_you_mean

FILE: Final = "pyproject.toml"
KEYS: Final = ("runtime",)


class ConfigurationError(Exception):
    """A file of the project cannot be read as settings."""

    def __init__(self, path: Path, key: str | None, problem: str) -> None:
        """Say what is wrong.

        Args:
            path: The file.
            key: What in it is at fault; None for the whole.
            problem: What is wrong, and what to do.
        """
        self.path = path
        self.key = key
        self.problem = problem
        super().__init__(": ".join(part for part in (str(path), key, problem) if part))


@attrs.frozen
class Configuration:
    """What the file says."""

    runtime: str
    """Where the runtime is."""
    path: Path
    """The file."""


def configuration(folder: Path) -> Configuration | None:
    """Read the nearest file, in the folder or one above it; None where it says nothing of phaseline.

    Raises:
        ConfigurationError: It cannot be read, or says what nobody understands.
    """
    path = next((found for each in (folder, *folder.parents) if (found := each / FILE).is_file()), None)
    if path is None:
        return None
    told = _table(path)
    if told is None:
        return None
    for key in told:
        if key not in KEYS:
            meant = did_you_mean(key, KEYS)
            raise ConfigurationError(
                path, f"tool.phaseline.{key}", f"there is no such key{meant}; known: {', '.join(KEYS)}"
            )
    runtime = told.get("runtime")
    if runtime is None:
        return None
    if not isinstance(runtime, str) or not runtime:
        raise ConfigurationError(
            path, "tool.phaseline.runtime", f'write a text, as "shop.worker:runtime"; it is {runtime!r}'
        )
    return Configuration(runtime, path)


def _table(path: Path) -> Mapping[str, Any] | None:
    advice = "correct it, or name the runtime by --runtime"
    try:
        whole = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(path, None, f"it is no TOML: {error}; {advice}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(path, None, f"it cannot be read: {error}; {advice}") from error
    tools: object = whole.get("tool", {})
    found: object = cast("dict[str, object]", tools).get("phaseline") if isinstance(tools, dict) else None
    if found is None or isinstance(found, dict):
        return cast("Mapping[str, Any] | None", found)  # keys of TOML are texts
    raise ConfigurationError(path, "tool.phaseline", "it is no table; write [tool.phaseline]")
