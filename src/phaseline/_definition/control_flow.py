"""What a body may raise to say how its phase, or its run, is to go on: wishes, not errors."""

from __future__ import annotations

from datetime import timedelta

from phaseline._definition.options import check_pause
from phaseline._values.nothing import NOTHING
from phaseline._values.spans import LONGEST
from phaseline._values.texts import storable_text


class Again(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to be called again later; this counts as no failure."""

    def __init__(self, after: timedelta, reason: str = "") -> None:
        """Wish for another call.

        Raises:
            DefinitionError: The pause is none.
            EncodeError: The reason is no text that can be stored.
        """
        check_pause(after, "Again")
        self.after: timedelta = min(after, LONGEST)
        """How long to wait before the next call."""
        self.reason: str = storable_text(reason, what="the reason of Again")
        """What it waits for, in words."""
        super().__init__(f"again in {after}" + (f": {reason}" if reason else ""))


class RetryAfter(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to fail this attempt and say how soon the next one may come, if the retry policy allows one.

    Any exception with an attribute ``retry_after``, a timedelta or a number of seconds, is read in the same way.
    """

    def __init__(self, delay: timedelta, reason: str = "") -> None:
        """Fail this attempt.

        Raises:
            DefinitionError: The delay is none.
            EncodeError: The reason is no text that can be stored.
        """
        check_pause(delay, "RetryAfter")
        self.retry_after: timedelta = min(delay, LONGEST)
        """How soon the next attempt may come."""
        self.reason: str = storable_text(reason, what="the reason of RetryAfter")
        """Why this one failed."""
        super().__init__(self.reason or f"try again in {delay}")


class Abort(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to fail for good, whatever the retry policy says."""

    def __init__(self, reason: str) -> None:
        """Give up.

        Raises:
            EncodeError: The reason is no text that can be stored.
        """
        self.reason: str = storable_text(reason, what="the reason of Abort")
        """Why it is given up."""
        super().__init__(self.reason)


class Skip(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to end the phase as SKIPPED.

    ``output`` is handed on in its place. Without one the phase's input is handed on if the declared output takes it,
    else nothing is, and phases that need its value are skipped too.
    """

    def __init__(self, reason: str, *, output: object = NOTHING) -> None:
        """End without a body's output.

        Raises:
            EncodeError: The reason is no text that can be stored.
        """
        self.reason: str = storable_text(reason, what="the reason of Skip")
        """Why there is nothing to do."""
        self.output = output
        """What is handed on in place of an output, if anything is."""
        super().__init__(self.reason)


class Finish(Exception):  # noqa: N818  # a wish, not an error
    """Raise it in a body to end the whole run, COMPLETED, with ``output`` as the run's output.

    Everything unfinished is SKIPPED in the same commit. The phase must be declared with ``may_finish=True``, so that
    the state machine of the pipeline shows it; the output must be of the type that the pipeline gives.
    """

    def __init__(self, output: object) -> None:
        self.output = output
        """The output of the whole run."""
        super().__init__("the run is finished")
