"""Dead letters: what is kept of a run that failed, until somebody sees to it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

import attrs
import msgspec

from phaseline.errors import DefinitionError
from phaseline.query_arguments import check_asked, check_moment, listed
from phaseline.rows import ErrorCategory, ErrorInfo

LetterKey: TypeAlias = tuple[datetime, str]
"""Where a letter stands in the order of all: when it was written, and the id of its run."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What tells of a run that failed and that nobody has seen to: at most one for each run."""

    run_id: str
    pipeline: str
    """Name of the pipeline."""
    seq: int
    """Number of the event that tells of it."""
    phase: str | None
    """Path of the phase that failed; None if the run's time was over."""
    error: ErrorInfo
    """The cause, with its category."""
    attempts: int
    """Times that a worker took the phase up."""
    crashes: int
    """Attempts of it whose worker was lost."""
    input: str | None
    """Where what the phase was given is stored: the path of another phase, or ``""`` for the run's input. None if that is
    no single value."""
    at: datetime

    @property
    def category(self) -> ErrorCategory:
        """That of the cause."""
        return self.error.category

    @property
    def key(self) -> LetterKey:
        """Where it stands in the order of all."""
        return self.at, self.run_id


@attrs.frozen(kw_only=True)
class LetterFilter:
    """Which letters are meant; None where it does not matter."""

    pipelines: frozenset[str] | None = None
    categories: frozenset[str] | None = None
    phase: str | None = None
    """Path of the phase that failed."""
    since: datetime | None = None
    """Written at this moment or later."""
    until: datetime | None = None
    """Written before this moment."""

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant: what every storage has to find."""
        return (
            (self.pipelines is None or letter.pipeline in self.pipelines)
            and (self.categories is None or letter.category in self.categories)
            and (self.phase is None or letter.phase == self.phase)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )


EVERY_LETTER = LetterFilter()


@attrs.frozen
class LetterPage:
    """Some of the letters that were asked for."""

    letters: tuple[DeadLetter, ...]
    next: str | None
    """To be given as ``after`` for the next page; None if this was the last."""


def letter_filter(
    *,
    pipelines: frozenset[str] | None = None,
    category: str | Iterable[str] | None = None,
    phase: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> LetterFilter:
    """Make a filter of what a caller gives.

    Raises:
        DefinitionError: A time is not aware, or there is no such category.
    """
    check_moment(since, "since")
    check_moment(until, "until")
    check_asked(phase, "phase")
    categories = None
    if category is not None:
        named = listed(category)
        known = [str(each) for each in ErrorCategory]
        unknown = [str(each) for each in named if each not in known]
        if unknown:
            msg = f"there is no category {', '.join(unknown)} (known: {', '.join(known)})"
            raise DefinitionError(msg)
        categories = frozenset(str(each) for each in named)
    return LetterFilter(pipelines=pipelines, categories=categories, phase=phase, since=since, until=until)
