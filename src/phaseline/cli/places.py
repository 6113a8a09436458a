"""Where a runtime is, on the command line: ``MODULE:NAME``, or the URL of a storage for what needs no code."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import attrs

from phaseline.arguments import meant
from phaseline.cli.configuration import FILE, configuration
from phaseline.errors import PhaselineError, PipelineNotRegisteredError
from phaseline.pipeline import Pipeline
from phaseline.runtime import Runtime
from phaseline.settings import Settings

SQLITE: Final = "sqlite:///"
_MADE_BY_SQLITE: Final = b"SQLite format 3\0"
HOW: Final = (
    "write MODULE:NAME, such as shop.worker:runtime, or the URL of its storage for what needs no code"
)


class NoRuntimeError(Exception):
    """What the command line names is no runtime that can be used."""


@attrs.frozen
class Place:
    """What was said of where the runtime is."""

    text: str = attrs.field(repr=False)
    """``MODULE:NAME``, or a URL, which may hold a password."""
    folder: Path
    """Where modules are looked for too."""
    settings: Settings | None = None
    """Of the environment, where that names the storage."""

    @property
    def is_url(self) -> bool:
        """Whether only the storage is known, and no pipeline."""
        return "://" in self.text or self.text == "memory"


def place_of(given: str | None, folder: Path | None = None) -> Place:
    """Find out where the runtime is: as given, else as the project's file says, else the storage of the environment.

    Raises:
        NoRuntimeError: Nothing says it.
        ConfigurationError: The file cannot be read.
        SettingsError: The environment cannot be.
    """
    here = folder or Path.cwd()
    if given:
        return Place(given, here)
    told = configuration(here)
    if told is not None:
        return Place(told.runtime, told.path.parent)
    settings = Settings.from_env()
    if settings.database_url is not None:
        return Place(settings.database_url, here, settings)
    raise NoRuntimeError(
        f"nothing says which runtime is meant: {HOW}, as --runtime, in PHASELINE_RUNTIME, or as runtime in "
        f"[tool.phaseline] of {FILE}; DATABASE_URL names a storage too"
    )


def runtime_of(place: Place) -> Runtime:
    """Give the runtime that is named; of a URL, one that knows no pipeline and serves nothing.

    Raises:
        NoRuntimeError: There is none.
        StorageURLError: The URL names no storage.
    """
    if not place.is_url:
        return runtime_at(place.text, place.folder)
    if place.text.lower().startswith(SQLITE):
        _check_file(place.text)
    return Runtime(place.text, settings=place.settings, serve=False)


def _check_file(url: str) -> None:
    """Leave a file alone that is another's: a runtime would make its tables in it."""
    from phaseline.storage.sql.store import SqlStorage

    path = url[len(SQLITE) :].partition("?")[0]
    if Path(path).is_dir():
        raise NoRuntimeError(f"{path!r} is a directory: name the file in it that holds the runs")
    if not Path(path).is_file():
        raise NoRuntimeError(
            f"there is no file {path!r}: check the path; whoever opens a runtime on it makes it"
        )
    if not SqlStorage(url).schema_version():
        raise NoRuntimeError(
            f"the file {path!r} holds no runs of phaseline's: check the path; phaseline db upgrade {url} would make the tables"
        )


def client_of(place: Place, *, namespace: str | None = None) -> Runtime:
    """Give the runtime that is named, serving nothing, as one that looks on and commands, in a namespace if one is said.

    Raises:
        NoRuntimeError, StorageURLError: As ``runtime_of``.
        DefinitionError: It is no name of a namespace.
    """
    return runtime_of(place).client(namespace=namespace)


def pipeline_in(runtime: Runtime, name: str | None, version: str | None) -> Pipeline[Any, Any]:
    """Give the pipeline that is named; where the runtime has only one, it need not be, and of several versions the first is meant.

    Raises:
        PipelineNotRegisteredError: There is no such pipeline.
        NoRuntimeError: It is not said which of several.
    """
    found = meant(runtime.pipelines, name, version)
    if len(found) == 1:
        return found[0]
    if name is None:
        known = ", ".join(dict.fromkeys(each.name for each in found)) or "none"
        raise NoRuntimeError(f"say the pipeline: {known}")
    raise PipelineNotRegisteredError(name, repr(runtime), runtime.names, version=version)


def _is_database(path: Path) -> bool:
    """Whether SQLite made the file; one that cannot be read is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MADE_BY_SQLITE)) == _MADE_BY_SQLITE
    except (OSError, ValueError):
        return False


def runtime_at(place: str, folder: Path | None = None) -> Runtime:
    """Import the runtime that ``module:name`` names, from a folder too: by default that of the process.

    Raises:
        NoRuntimeError: There is none.
    """
    module_name, colon, name = place.partition(":")
    if not colon and _is_database(Path(place)):
        raise NoRuntimeError(f"{place!r} is a file, and names no runtime: write {SQLITE}{place}")
    if not (colon and module_name and name):
        raise NoRuntimeError(f"{place!r} does not name a runtime; {HOW}")
    if (here := str(folder or Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a mistake inside of it
        raise NoRuntimeError(
            f"there is no module {error.name!r} in {here} or among what is installed"
        ) from error
    except PhaselineError:
        traceback.print_exc()  # a mistake inside of it: its author wants to see where
        raise
    for part in name.split("."):
        if not hasattr(found, part):
            raise NoRuntimeError(f"the module {module_name!r} has no {name!r}")
        found = getattr(found, part)
    found = _made(found, place)
    if not isinstance(found, Runtime):
        raise NoRuntimeError(
            f"{place} is a {type(found).__name__}, not a Runtime or a function that makes one"
        )
    return found


def _made(found: object, place: str) -> object:
    """Call a function that makes a runtime; what it raises itself is its author's to see."""
    if issubclass(type(found), Runtime | Pipeline) or not callable(found):  # a pipeline can be called, too
        return found
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise NoRuntimeError(
            f"{place} cannot be called to make a Runtime: {error}; name a Runtime, or a function that takes nothing"
        ) from error
    except ValueError:  # nobody knows what it takes
        pass
    return found()
