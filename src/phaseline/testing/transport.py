"""The contract of ``phaseline.transport.Transport``.

One class and one fixture prove an adapter::

    class TestMine(TransportContract):
        @pytest.fixture
        def connect(self):
            return lambda: MyTransport("place")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from threading import Condition
from typing import Any

import pytest

from phaseline.events import Emitted, Event, PhaseFailed, PhaseProgress, PipelineStarted, Transition
from phaseline.rows import ErrorCategory, ErrorInfo
from phaseline.testing.queue import at_once
from phaseline.transport import Line, Transport

PATIENCE = 10.0
"""Seconds in which events must arrive."""
MANY = 2_000
AT = datetime(2030, 1, 1, 12, 30, 15, 123_456, tzinfo=UTC)


def numbered(seq: int, run_id: str = "run") -> Event:
    """Make an event of an application's own."""
    return Emitted(run_id=run_id, pipeline="p", seq=seq, at=AT, name="NUMBERED", payload={"n": seq})


class Ear:
    """Keeps the batches that come, from whichever thread."""

    def __init__(self) -> None:
        self._condition = Condition()
        self.batches: list[list[Event]] = []
        self.missed: list[timedelta] = []

    def hear(self, events: Sequence[Event]) -> None:
        """Take a batch."""
        with self._condition:
            self.batches.append(list(events))
            self._condition.notify_all()

    def miss(self, ago: timedelta) -> None:
        """Take note of a loss."""
        with self._condition:
            self.missed.append(ago)
            self._condition.notify_all()

    @property
    def events(self) -> list[Event]:
        """All that came, in order."""
        with self._condition:
            return [event for batch in self.batches for event in batch]

    def hears(self, event: Event) -> bool:
        """Wait until this very event has come; False if it did not in time."""
        with self._condition:
            return self._condition.wait_for(lambda: any(event in batch for batch in self.batches), PATIENCE)


class Lines:
    """Lines that a test joins; all are closed at its end."""

    def __init__(self, connect: Callable[[], Transport], stack: ExitStack) -> None:
        self._connect, self._stack = connect, stack

    def __call__(self, namespace: str = "default", transport: Transport | None = None) -> tuple[Line, Ear]:
        """Join a line, on a transport of its own unless one is given."""
        ear = Ear()
        line = (transport or self._connect()).join(namespace, ear.hear, ear.miss)
        self._stack.callback(line.close)
        return line, ear


class TransportContract:
    """Tests that every transport passes. A subclass gives the fixture ``connect``: it makes one more transport of one place."""

    @pytest.fixture
    def connect(self) -> Callable[[], Transport]:
        """Give what makes transports of the same place; to be overridden."""
        raise NotImplementedError(
            f"{type(self).__name__} has no fixture 'connect'; write one that gives a function that makes a transport"
        )

    @pytest.fixture
    def lines(self, connect: Callable[[], Transport]) -> Iterator[Lines]:
        """Join lines."""
        with ExitStack() as stack:
            yield Lines(connect, stack)

    def test_all_others_hear_what_one_sends(self, lines: Lines) -> None:
        """Batch by batch, in order, and the very events; who sent them does not."""
        (first, own), (second, ear), (_, other) = lines(), lines(), lines()
        batches = [[numbered(1), numbered(2)], [numbered(3)], [numbered(1, "another")]]
        for batch in batches:
            first.send(batch)
        assert ear.hears(batches[-1][-1])
        assert other.hears(batches[-1][-1])
        assert ear.batches == batches
        assert other.batches == batches
        second.send([numbered(4)])
        assert own.hears(numbered(4))
        assert own.batches == [[numbered(4)]]

    def test_events_of_every_kind_arrive_as_they_were(self, lines: Lines) -> None:
        """Also those that are told live only, and what an error has."""
        (line, _), (_, ear) = lines(), lines()
        head: dict[str, Any] = {"run_id": "größe \u2028", "pipeline": "p", "at": AT}
        error = ErrorInfo(category=ErrorCategory.SYSTEM, type="E", message="m", phase="a", traceback="t")
        events: list[Event] = [
            PipelineStarted(**head, seq=1, transition=Transition("IDLE", "INITIALIZING")),
            PhaseProgress(**head, seq=None, phase="a[1]", done=1.5, total=3, note="on it"),
            PhaseFailed(**head, seq=2, phase="a", attempt=3, error=error),
            Emitted(
                **head, seq=3, name="OWN", payload={"": [None, 1, -2.5, {"deep": '"'}], "x": "y" * 100_000}
            ),
        ]
        for event in events:
            line.send([event])
        assert ear.hears(events[-1])
        assert ear.events == events

    def test_namespaces_are_apart(self, lines: Lines) -> None:
        """Whatever they are named, nobody hears of another one."""
        names = ("default", "Default", "a:b", "a", "größe", "*")
        joined = [lines(name) for name in names]
        speakers = [lines(name)[0] for name in names]
        for number, speaker in enumerate(speakers, 1):
            speaker.send([numbered(number)])
        for number, (_, ear) in enumerate(joined, 1):
            assert ear.hears(numbered(number))
        assert [ear.events for _, ear in joined] == [[numbered(n)] for n in range(1, len(names) + 1)]

    def test_who_joins_hears_what_is_sent_from_then_on(self, lines: Lines) -> None:
        """And nothing of what was before."""
        (line, _), (_, witness) = lines(), lines()
        line.send([numbered(1)])
        assert witness.hears(numbered(1))
        _, late = lines()
        line.send([numbered(2)])
        assert late.hears(numbered(2))
        assert late.events == [numbered(2)]

    def test_who_left_hears_no_more(self, lines: Lines) -> None:
        """Others still do; what it sends then is dropped; leaving twice does no harm."""
        (line, _), (gone, ear), (_, witness) = lines(), lines(), lines()
        line.send([numbered(1)])
        assert ear.hears(numbered(1))
        gone.close()
        gone.close()
        line.send([numbered(2)])
        gone.send([numbered(3)])
        line.send([numbered(4)])
        assert witness.hears(numbered(4))
        assert ear.events == [numbered(1)]
        assert witness.events == [numbered(1), numbered(2), numbered(4)]

    def test_what_was_sent_before_leaving_arrives(self, lines: Lines) -> None:
        """A process may end right after its last commit."""
        (line, _), (_, ear) = lines(), lines()
        for number in range(1, 201):
            line.send([numbered(number)])
        line.close()
        assert ear.hears(numbered(200))
        assert ear.events == [numbered(number) for number in range(1, 201)]

    def test_several_lines_of_one_transport_hear_each_other(
        self, lines: Lines, connect: Callable[[], Transport]
    ) -> None:
        """A process may have several runtimes."""
        transport = connect()
        (line, own), (_, ear) = lines(transport=transport), lines(transport=transport)
        line.send([numbered(1)])
        assert ear.hears(numbered(1))
        assert own.events == []

    def test_many_from_several_threads_all_arrive(self, lines: Lines) -> None:
        """Of each thread in its order; nobody is told that some were missed."""
        (line, _), (_, ear) = lines(), lines()

        def send(run_id: str) -> None:
            for number in range(1, MANY // 4 + 1):
                line.send([numbered(number, run_id)])

        at_once(*(lambda run_id=f"run-{n}": send(run_id) for n in range(4)))
        for n in range(4):
            assert ear.hears(numbered(MANY // 4, f"run-{n}"))
        for n in range(4):
            mine = [event.seq for event in ear.events if event.run_id == f"run-{n}"]
            assert mine == list(range(1, MANY // 4 + 1))
        assert ear.missed == []

    def test_sending_needs_nobody_who_hears(self, lines: Lines) -> None:
        """It neither raises nor fills up and blocks."""
        line, _ = lines()
        for number in range(1, MANY + 1):
            line.send([numbered(number)])
