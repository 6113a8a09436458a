"""When phases under rates were started: some rows for each rate, as many at most as it lets be started in its time.

Written in the transactions of claims alone, which take turns where limits are: nobody else waits for these rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from phaseline.limits import Limit, Starts, counted_from
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access

_NOTE = (
    "INSERT INTO phaseline_rate_start AS known (namespace, name, at, until, starts) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (namespace, name, at) DO UPDATE SET starts = known.starts + excluded.starts, "
    "until = CASE WHEN known.until > excluded.until THEN known.until ELSE excluded.until END"
)


def read(ask: Access, namespace: str, names: Collection[str]) -> Starts:
    """Read what was started under rates of these names."""
    listed, value = ask.dialect.among(names)
    found = ask(
        f"SELECT name, at, starts, until FROM phaseline_rate_start WHERE namespace = ? AND name {listed}",  # noqa: S608  # names of ours
        (namespace, value),
    )
    return Starts((name, rows.time_of(at), number, rows.time_of(until)) for name, at, number, until in found)


def write(ask: Access, namespace: str, begun: Mapping[Limit, int], now: datetime) -> None:
    """Note what is started now, by rate, and forget what counts no more."""
    if not begun:
        return
    ask.changed(
        "DELETE FROM phaseline_rate_start WHERE namespace = ? AND until <= ?", (namespace, rows.micros(now))
    )
    for rate, number in sorted(begun.items(), key=lambda each: each[0].name):
        assert rate.per is not None  # noqa: S101  # nothing else is begun
        at = counted_from(rate, now)
        ask.changed(_NOTE, (namespace, rate.name, rows.micros(at), rows.micros(at + rate.per), number))
