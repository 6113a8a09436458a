"""What bodies need from their host: tokens, and the values that stand under them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from phaseline.errors import DefinitionError, MissingDependencyError

if TYPE_CHECKING:
    from phaseline._definition.plan import Plan

T = TypeVar("T")


@attrs.frozen(eq=False)
class Dep(Generic[T]):
    """Typed token of something a body needs from its host; works for protocols and for two of one type.

    A token is told apart by itself and not by its name, which is for messages alone: make it once, in a module, and import
    it where it is asked for and where it is provided.
    """

    name: str
    """As which messages name it."""

    def __attrs_post_init__(self) -> None:
        """Refuse what is no name."""
        if not isinstance(self.name, str) or not self.name:  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody runs a type checker
            raise DefinitionError(
                f"Dep({self.name!r}) has no name by which messages could name it; write Dep[Type]('name')"
            )


def checked_deps(deps: Mapping[Dep[Any], Any] | None) -> Mapping[Dep[Any], Any] | None:
    """Refuse dependencies that no phase could ever ask for, since they stand under no token.

    Raises:
        DefinitionError: They are no mapping, or a key is no ``Dep``.
    """
    keys: Any = () if deps is None else deps
    if deps is not None and not isinstance(deps, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody runs a type checker
        raise DefinitionError(f"deps={deps!r} is no mapping; write deps={{TOKEN: value}}")
    for key in keys:
        if not isinstance(key, Dep):
            name = key if isinstance(key, str) else "name"
            raise DefinitionError(
                f"deps={{{key!r}: ...}}: a dependency stands under its token, and {key!r} is none; write "
                f"TOKEN = Dep[Type]({name!r}) once, and deps={{TOKEN: value}}"
            )
    return deps


def missing(token: Dep[Any], phase: str, deps: Mapping[Dep[Any], Any]) -> MissingDependencyError:
    """Tell that nobody provided what a phase asks for."""
    has_namesake = any(known.name == token.name for known in deps)
    return MissingDependencyError(token.name, phase, has_namesake=has_namesake)


def check_provided(
    plans: Iterable[Plan], deps: Mapping[Dep[Any], Any], queues: frozenset[str] | None = None
) -> None:
    """Refuse to call bodies that declare dependencies which nobody provided.

    Args:
        plans: Of the pipelines; those that they start runs of are looked at, too.
        deps: What was provided.
        queues: On which phases are served; None for all.

    Raises:
        MissingDependencyError: A phase needs something that was not provided.
    """
    for plan in plans:
        for member in plan.family:
            for dep, node in member.requires:
                if dep not in deps and (queues is None or node.queue in queues):
                    raise missing(dep, node.path, deps)
