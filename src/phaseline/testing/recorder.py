"""Keeps what a bus tells."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from phaseline.bus import EventBus
from phaseline.events import Event


class EventRecorder:
    """Records the events of a bus, from the moment it is entered until it is left.

    ``with EventRecorder(runtime.bus) as recorder: await pipeline.run(value)``, and then ``recorder.types``.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.events: list[Event] = []
        """In the order in which they were heard."""

    def __enter__(self) -> Self:
        self._bus.observe(self.events.extend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.unobserve(self.events.extend)

    @property
    def types(self) -> list[str]:
        """Wire names in the order in which they were told."""
        return [event.type for event in self.events]

    def of(self, *types: str) -> list[Event]:
        """The events of these wire names."""
        return [event for event in self.events if event.type in types]

    def transitions(self, run_id: str) -> list[tuple[str, str]]:
        """Moves of a run's state machine, as (source, target)."""
        return [
            (e.transition.source, e.transition.target)
            for e in self.events
            if e.run_id == run_id and e.transition
        ]
