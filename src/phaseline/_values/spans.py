"""Spans of time that users give: what is none is refused, with how to write one."""

from __future__ import annotations

from datetime import timedelta

from phaseline.errors import DefinitionError

LONGEST = timedelta(days=3_652)
"""The longest pause or timeout: ten years. A moment this far off can still be computed and stored."""


def check_unit(span: object, option: str, what: str) -> timedelta:
    """Refuse what is no span of time."""
    if isinstance(span, timedelta):
        return span
    number = span if isinstance(span, int | float) and not isinstance(span, bool) else "..."
    raise DefinitionError(
        f"{what}: {option}={span!r} has no unit; write {option}=timedelta(seconds={number})"
    )


def check_per(per: object, what: str) -> None:
    """Refuse what is no time in which something could be counted."""
    if not timedelta(0) < check_unit(per, "per", what) <= LONGEST:
        raise DefinitionError(
            f"{what}: per={per} is no time of up to ten years in which something could be counted"
        )
