"""What stands where None would be a value."""

from __future__ import annotations

from enum import Enum


class Nothing(Enum):
    """The type of ``NOTHING``."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING
