"""How soon, and how fast, events reach those who listen. Each measure is a function that gives its lines; add yours below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.events import handlers
from benchmarks.events.outcome import Line, Stage

MEASURES: Mapping[str, Callable[[Stage], Iterator[Line]]] = {
    "in_process": handlers.in_process,
    "redis": handlers.through_redis,
    "throughput": handlers.throughput,
}
"""By the name that ``--only`` takes."""
