"""How soon, and how fast, events reach those who listen. Each measure is a function that gives its lines; add yours below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.events import handlers, sockets
from benchmarks.events.outcome import Line, Stage

MEASURES: Mapping[str, Callable[[Stage], Iterator[Line]]] = {
    "in_process": handlers.in_process,
    "redis": handlers.through_redis,
    "throughput": handlers.throughput,
    "websocket": sockets.own_runs,
    "websocket_all": sockets.to_all,
    "websocket_idle": sockets.idle,
}
"""By the name that ``--only`` takes."""
