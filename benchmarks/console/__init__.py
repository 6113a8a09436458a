"""How soon pages of the console are drawn where there is much to show: in a real browser, from the click to the picture."""

from __future__ import annotations

from benchmarks.console.measures import MEASURES, Stage, measure

__all__ = ["MEASURES", "Stage", "measure"]
