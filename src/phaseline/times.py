"""Moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def later(moment: datetime, delta: timedelta) -> datetime:
    """Give the moment after a time, or the last one there is."""
    try:
        return moment + delta
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
