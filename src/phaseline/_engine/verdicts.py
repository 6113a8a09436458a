"""What becomes of a command that is not carried out."""

from __future__ import annotations

from collections.abc import Collection


class Refused(Exception):  # noqa: N818  # a verdict: the shell makes an error of it
    """The run does not obey this command now."""

    def __init__(self, verb: str, state: str, reason: str = "", barred: Collection[str] = ()) -> None:
        super().__init__(verb, state, reason)
        self.verb, self.state, self.reason = verb, state, reason
        self.barred = barred
        """What else this run does not obey now, though others do in its state."""


class OverBudget(Refused):
    """The budget of the run does not allow what a body is about to use."""

    def __init__(self, state: str, bounds: Collection[str]) -> None:
        super().__init__("reserve", state)
        self.bounds = tuple(bounds)
        """Names of those that it would pass."""


class Fenced(Exception):  # noqa: N818  # a verdict: the shell makes LeaseLostError of it
    """The phase is not held under the fence that the command carries."""
