"""Runs that cross processes: how many a worker process does, how soon it begins, and what a second one adds."""

from __future__ import annotations

from benchmarks.queue.measures import measure

__all__ = ["measure"]
