"""Who is measured, in which settings, and how the worker process of each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

from benchmarks.queue.bullmq_peer import PLACE, SCRIPT

PYTHON = (sys.executable, "-m")
DRAMATIQ = (*PYTHON, "dramatiq", "--processes", "1")


@attrs.frozen
class Contender:
    """A queue in one setting."""

    name: str
    setting: str
    module: str
    worker: tuple[str, ...]
    """Command of one worker process."""
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @property
    def label(self) -> str:
        """By what it is told from the others."""
        return f"{self.name}, {self.setting}"


OURS = Contender(
    "phaseline",
    "default",
    "ours",
    (*DRAMATIQ, "--threads", "8", "benchmarks.queue.ours:broker"),
    {"BENCH_SERVE": "1"},
)
_BARE = (*DRAMATIQ, "benchmarks.queue.bare_dramatiq:broker", "--threads")
_PROCRASTINATE = (*PYTHON, "benchmarks.queue.procrastinate_peer")
PEERS = (
    Contender("dramatiq", "default", "bare_dramatiq", (*_BARE, "8")),
    Contender(
        "dramatiq",
        "8 threads, prefetch 256",
        "bare_dramatiq",
        (*_BARE, "8"),
        {"dramatiq_queue_prefetch": "256"},
    ),
    Contender("procrastinate", "default", "procrastinate_peer", (*_PROCRASTINATE, "1")),
    Contender("procrastinate", "concurrency 64", "procrastinate_peer", (*_PROCRASTINATE, "64")),
)


def bullmq(directory: Path) -> tuple[Contender, ...]:
    """BullMQ as it is installed in a directory."""
    return tuple(
        Contender(
            "bullmq",
            setting,
            "bullmq_peer",
            ("node", str(SCRIPT), "worker", concurrency),
            {PLACE: str(directory)},
        )
        for setting, concurrency in (("default", "1"), ("concurrency 64", "64"))
    )
