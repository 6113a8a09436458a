"""What a measure is given, and what it gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from benchmarks.stores import Databases


@attrs.frozen
class Sizes:
    """How large is large."""

    LEAST: ClassVar[Sizes]
    """With less, the long ones would be no longer than the short."""

    items: int
    """Of the map."""
    phases: int
    """Of the chain."""
    finished: int
    """Runs that have ended, in the tables."""
    rounds: int


Sizes.LEAST = Sizes(items=2_000, phases=400, finished=1, rounds=1)


@attrs.frozen
class Stage:
    """Where and how much to measure."""

    storage: str
    databases: Databases
    sizes: Sizes


@attrs.frozen
class Growth:
    """A factor: what the large costs, in units of the small. 1 is ideal; there is no peer in it."""

    name: str
    unit: str
    factor: float
    storage: str
    details: Mapping[str, Any]
    """What the factor was made of: plain numbers, and lists of them in order."""

    def as_json(self) -> str:
        """One JSON object on one line, shaped like those of the other benchmarks."""
        head = {"name": self.name, "unit": self.unit, "ours": digits(self.factor), "peers": {}, "ratio": {}}
        return json.dumps({**head, "storage": self.storage, **self.details})

    def as_text(self) -> str:
        """The same for people."""
        lines = [f"{self.name} on {self.storage}: {digits(self.factor):,.10g} {self.unit}"]
        lines += [f"  {key:<24}{_text(value)}" for key, value in self.details.items()]
        return "\n".join([*lines, ""])


def digits(value: float) -> float:
    """Four significant digits; the noise is in the third or before."""
    return float(f"{value:.4g}")


def _text(value: Any) -> str:
    return " ".join(f"{each:g}" for each in value) if isinstance(value, list) else f"{value:,.10g}"
