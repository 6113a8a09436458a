"""What a body may raise to say how its phase, or its run, is to go on: wishes, not errors."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum


class Again(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to be called again later; this counts as no failure."""

    def __init__(self, after: timedelta, reason: str = "") -> None:
        if after < timedelta(0):
            msg = f"Again(after={after}): a pause cannot be negative"
            raise ValueError(msg)
        self.after = after
        self.reason = reason
        super().__init__(f"again in {after}" + (f": {reason}" if reason else ""))


class Abort(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to fail for good, whatever the retry policy says."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Nothing(Enum):
    """The type of ``NOTHING``, which stands where None would be a value."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


class Skip(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to end the phase as SKIPPED.

    ``output`` is handed on in its place. Without one the phase's input is handed on if the declared output takes it,
    else nothing is, and phases that need its value are skipped too.
    """

    def __init__(self, reason: str, *, output: object = NOTHING) -> None:
        self.reason = reason
        self.output = output
        super().__init__(reason)


class Finish(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to end the whole run, COMPLETED, with ``output`` as the run's output.

    Everything unfinished is SKIPPED in the same commit. The phase must be declared with ``may_finish=True``, so that
    the state machine of the pipeline shows it; the output must be of the type that the pipeline gives.
    """

    def __init__(self, output: object) -> None:
        self.output = output
        super().__init__("the run is finished")
