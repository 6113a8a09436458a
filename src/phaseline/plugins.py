"""What installed packages add: entry points, read when somebody first asks, each imported when it is asked for.

A package declares in its ``pyproject.toml`` what it adds, by name:

    [project.entry-points."phaseline.storage"]
    acme = "acme_phaseline:open_storage"
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

import attrs

from phaseline.errors import PhaselineError, PluginClashError, PluginError, UnknownPluginError
from phaseline.schemes import base_of, scheme_of

T = TypeVar("T")

PHASES = "phaseline.phases"
"""Phases, phase classes, tests and functions that templates may name."""
STORAGE = "phaseline.storage"
"""By the scheme of a URL: what takes the URL and gives a ``phaseline.abc.Storage``."""
QUEUES = "phaseline.queues"
"""By the scheme of a URL: what takes the URL and gives a ``phaseline.abc.Queue``."""
TRANSPORTS = "phaseline.transports"
"""By the scheme of a URL: what takes the URL and gives a ``phaseline.transport.Transport``."""


@attrs.frozen
class Plugin:
    """One entry point of an installed package; nothing of it is imported yet."""

    group: str
    """Group of entry points that it is offered in."""
    name: str
    """Name that it is offered under."""
    package: str
    """Name of the distribution that declares it."""
    version: str
    """Version of the package that offers it."""
    target: str
    """What it stands for: ``module:attribute``."""

    def load(self) -> Any:
        """Import it.

        Raises:
            PluginError: The import failed; it names package and entry point, ``__cause__`` is what happened.
        """
        try:
            return EntryPoint(self.name, self.target, self.group).load()
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever the code of another package does
            raise PluginError(self.group, self.name, self.package, self.target, error) from error


@attrs.frozen
class Loaded:
    """All plugins of a group, imported: those that work and, for the others, what is wrong with them."""

    members: Mapping[str, Any]
    """What could be loaded, by name."""
    errors: tuple[PluginError | PluginClashError, ...]
    """Why others could not be."""


class Plugins(Mapping[str, Any]):
    """The plugins of one group, by name. To ask for one imports it, and no other."""

    def __init__(self, group: str, *, taken: Iterable[str] = ()) -> None:
        """Name a group; what is installed is read when it is first asked for.

        Args:
            group: One of those above.
            taken: Names that phaseline itself has in this group, so that no plugin can have them.
        """
        self.group = group
        """Group of entry points that it holds."""
        self.taken: frozenset[str] = frozenset(taken)
        """Names that phaseline itself has in this group."""

    def __repr__(self) -> str:
        return f"Plugins({self.group!r})"

    @cached_property
    def installed(self) -> Mapping[str, tuple[Plugin, ...]]:
        """What is installed under each name, in order of the names; more than one clash."""
        found: dict[str, list[Plugin]] = {}
        for point in entry_points(group=self.group):
            package, version = (point.dist.name, point.dist.version) if point.dist else ("(unknown)", "")
            plugin = Plugin(self.group, point.name, package, version, point.value)
            found.setdefault(point.name, []).append(plugin)
        return {name: tuple(found[name]) for name in sorted(found)}

    def __getitem__(self, name: str) -> Any:
        """Import the plugin of that name.

        Raises:
            UnknownPluginError: None is installed; it is a KeyError too.
            PluginClashError: Several packages have the name, or phaseline itself.
            PluginError: The import failed.
        """
        plugins = self.installed.get(name)
        if plugins is None:
            raise UnknownPluginError(self.group, name, self.installed)
        packages = [plugin.package for plugin in plugins]
        if name in self.taken:
            packages.insert(0, "phaseline")
        if len(packages) > 1:
            raise PluginClashError(self.group, name, packages)
        return plugins[0].load()

    def __contains__(self, name: object) -> bool:
        """Whether one is installed; nothing is imported."""
        return name in self.installed

    def __iter__(self) -> Iterator[str]:
        return iter(self.installed)

    def __len__(self) -> int:
        return len(self.installed)

    def __or__(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """Both, where one's own go before what is installed; what nobody asks for is not imported."""
        return ChainMap({**own}, cast("MutableMapping[str, Any]", self))  # only the first one is ever written

    def load(self) -> Loaded:
        """Import all of them; one that fails is told with its error, and the others are there."""
        members: dict[str, Any] = {}
        errors: list[PluginError | PluginClashError] = []
        for name in self:
            try:
                members[name] = self[name]
            except (PluginError, PluginClashError) as error:
                errors.append(error)
        return Loaded(members, tuple(errors))


def phases() -> Plugins:
    """Phases, tests and functions of installed packages, to be given to ``phaseline.templates.load``."""
    return Plugins(PHASES)


def made(plugins: Plugins, url: str, kind: type[T]) -> T | None:
    """Have the plugin that the scheme of a URL names make something of it; None if there is no such plugin.

    ``acme+tls://`` is made by ``acme`` where ``acme+tls`` is not installed.

    Raises:
        PluginError: The plugin cannot be imported, or raised, or made something else.
        PluginClashError: Several packages have the name.
    """
    name = next((name for name in (scheme_of(url), base_of(url)) if name in plugins), None)
    if name is None:
        return None
    factory = plugins[name]
    (plugin,) = plugins.installed[name]
    try:
        given = factory(url)
    except PhaselineError:
        raise
    except Exception as error:  # whatever the code of another package raises
        raise PluginError(plugin.group, plugin.name, plugin.package, plugin.target, error) from error
    if not isinstance(given, kind):
        problem = TypeError(f"it gave {given!r}, which is no {kind.__module__}.{kind.__qualname__}")
        raise PluginError(plugin.group, plugin.name, plugin.package, plugin.target, problem) from problem
    return given
