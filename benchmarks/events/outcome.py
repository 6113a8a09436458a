"""What a measure of events is given, and what it gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.growth.outcome import digits


class EventBenchmarkError(Exception):
    """Something was not heard, so that there is nothing to measure."""


@attrs.frozen
class Stage:
    """Where and how much to measure."""

    directory: Path
    """An empty one, on disk."""
    samples: int
    """Commits of which it is measured how soon their event is heard."""
    rate: float
    """Commits a second of these."""
    events: int
    """Events that are told as fast as they can be."""


@attrs.frozen
class Line:
    """One figure, and what it is made of."""

    name: str
    unit: str
    ours: float
    details: Mapping[str, Any]

    def as_json(self) -> str:
        """One JSON object on one line, shaped like those of the other benchmarks."""
        head = {"name": self.name, "unit": self.unit, "ours": digits(self.ours), "peers": {}, "ratio": {}}
        return json.dumps({**head, **self.details})

    def as_text(self) -> str:
        """The same for people."""
        rows = [f"{self.name}: {digits(self.ours):,.10g} {self.unit}"]
        return "\n".join([*rows, *(f"  {key:<24}{value}" for key, value in self.details.items()), ""])


def latency(name: str, seconds: Sequence[float], **details: Any) -> Line:
    """Make the line of how long something took each time: its figure is the 99th percentile."""
    ascending = sorted(seconds)
    at = {
        percent: ascending[min(len(ascending) - 1, len(ascending) * percent // 100)] for percent in (50, 99)
    }
    figures = {
        "p50_ms": digits(at[50] * 1e3),
        "p99_ms": digits(at[99] * 1e3),
        "max_ms": digits(ascending[-1] * 1e3),
    }
    return Line(name, "ms, p99", at[99] * 1e3, {**figures, "samples": len(ascending), **details})
