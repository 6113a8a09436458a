"""Signals: what a run waits for, and somebody sends it."""

from __future__ import annotations

from typing import Any, ForwardRef, Generic, TypeVar, get_args

from phaseline._definition.options import check_name
from phaseline.errors import DefinitionError

T = TypeVar("T")


class Signal(Generic[T]):
    """Typed name of something that a run waits for, and that is sent to it: ``APPROVED = Signal[bool]("approved")``.

    The same token stands in the pipeline, ``wait_for(APPROVED)``, and where it is sent,
    ``handle.signal(APPROVED, True)``.
    """

    def __init__(self, name: str) -> None:
        """Name it: letters, digits, ``_``, ``-`` and ``.``.

        Raises:
            DefinitionError: The name is none.
        """
        check_name(name, "a signal")
        self.name: str = name
        """By which it is sent."""

    def __repr__(self) -> str:
        return f"Signal({self.name!r})"

    @property
    def type(self) -> Any:
        """The declared type of what is sent.

        Raises:
            DefinitionError: It was made without one.
        """
        # What typing notes at the instance of a generic class; there is no other way to the T of Signal[T]("name").
        made_of = get_args(getattr(self, "__orig_class__", None))
        if len(made_of) != 1 or isinstance(made_of[0], TypeVar | ForwardRef):
            msg = f"the signal {self.name!r} does not say what is sent with it; write Signal[Type]({self.name!r})"
            raise DefinitionError(msg)
        return made_of[0]
