"""What can be measured, and by whom."""

from __future__ import annotations

import attrs

OURS = "ours"
MODULES = {
    OURS: "benchmarks.ours",
    "pydantic-graph": "benchmarks.peers.pydantic_graph",
    "langgraph": "benchmarks.peers.langgraph",
    "dbos": "benchmarks.peers.dbos",
    "limit": "benchmarks.limit",
}
"""Contender to module; the module has one async context manager per case, of the case's function name."""


@attrs.frozen
class Case:
    """One kind of work and the contenders that do it."""

    name: str
    function: str
    """What a contender's module calls it."""
    unit: str
    is_cost: bool
    """Whether the figure is microseconds per phase, so that less is better; else it is phases per second."""
    phases: int
    """Phases of a run."""
    contenders: tuple[str, ...]
    is_durable: bool = False
    """Whether its contenders store in a database; else in memory, or not at all."""

    def figure(self, runs_per_second: float) -> float:
        """A rate of runs in the case's unit."""
        rate = runs_per_second * self.phases
        return 1e6 / rate if self.is_cost else rate

    def ratio(self, ours: float, peer: float) -> float:
        """How many times better than the peer we are: above 1 is ahead, whichever way the unit runs."""
        return peer / ours if self.is_cost else ours / peer


MEMORY = Case("memory", "memory", "us/phase", True, 10, (OURS, "pydantic-graph", "langgraph"))
QUEUE = Case("memory.queue", "queue", "runs/s", False, 1, (OURS,))
DURABLE = Case(
    "durable", "durable", "phases/s", False, 5, (OURS, "dbos", "langgraph", "limit"), is_durable=True
)
CASES = {case.name: case for case in (MEMORY, QUEUE, DURABLE)}
