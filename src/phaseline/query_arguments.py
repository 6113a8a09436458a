"""By what callers may ask for runs, letters and schedules: what could find nothing is refused, with what to ask instead."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from phaseline._definition.options import LABEL
from phaseline._values.texts import did_you_mean
from phaseline.errors import DefinitionError, RunNotFoundError
from phaseline.rows import RunState

MOST_LISTED = 1_000_000_000


AGO = "an aware datetime: datetime.now(UTC) - timedelta(days=1)"
TO_COME = "an aware datetime that is to come: datetime.now(UTC) + timedelta(days=1)"
SPAN_OR_TO_COME = "a timedelta from now on, such as timedelta(minutes=5), or " + TO_COME


def check_moment(moment: object, option: str, example: str = AGO) -> None:
    """Refuse what is no moment that means the same everywhere, with an example of what to give instead."""
    if moment is None:
        return
    if not isinstance(moment, datetime):
        raise DefinitionError(f"{option}={moment!r} is no moment; give {example}")
    if moment.tzinfo is None:
        raise DefinitionError(f"{option}={moment.isoformat()} has no time zone; give {example}")


def check_page(order: object, limit: object, what: str) -> None:
    """Refuse what says neither how a list is sorted nor how long it is."""
    if order not in ("newest", "oldest"):
        raise DefinitionError(f"order={order!r}: {what} come 'newest' or 'oldest' first")
    if limit is not None and not (type(limit) is int and 1 <= limit <= MOST_LISTED):
        raise DefinitionError(
            f"limit={limit!r}: ask for 1 to {MOST_LISTED:,} {what}, or leave it out for all"
        )


def check_asked(text: object, option: str) -> None:
    """Refuse a text by which nothing can be found, since nothing can be stored that has it."""
    if text is not None and not (isinstance(text, str) and text.isprintable()):
        raise DefinitionError(f"{option}={text!r} is no text that can be printed")


def listed(given: Any) -> list[Any]:
    """Give what may be one or several as a list; a value of another kind is one, to be refused as such."""
    return [*given] if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def check_state(state: str) -> None:
    """Refuse what no run's state is named, rather than find nothing."""
    if not LABEL.match(state):
        meant = did_you_mean(state.upper(), RunState.__members__)
        raise DefinitionError(f"state={state!r} is no name of a state: capitals, digits and '_'{meant}")


def check_run_id(run_id: object, what: str) -> None:
    """Refuse what is no id of a run, or could be none: with half a surrogate it could not even be asked for.

    Raises:
        DefinitionError: It is no text.
        RunNotFoundError: No run has such an id.
    """
    if not isinstance(run_id, str):
        raise DefinitionError(f"{what}({run_id!r}): the id of a run is a text; give handle.id or run.id")
    if not run_id.isprintable():
        raise RunNotFoundError(run_id)


def check_seq(seq: object, verb: str) -> None:
    """Refuse what is no number of an event, nor 0.

    Raises:
        DefinitionError: It is none.
    """
    if type(seq) is not int or seq < 0:
        raise DefinitionError(
            f"{verb}(after={seq!r}): the number of an event is needed, or 0 for all of them"
        )
