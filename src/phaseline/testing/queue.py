"""The contract of ``phaseline.abc.Queue``.

One class and one fixture prove an adapter::

    class TestMine(QueueContract):
        @pytest.fixture
        def queue(self):
            return MyQueue()
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Condition
from typing import ClassVar, TypeVar

import pytest

from phaseline.abc import Queue
from phaseline.errors import DefinitionError

PATIENCE = 5.0
"""Seconds in which a permit must arrive."""
MANY = 10_000
T = TypeVar("T")
USED = ("default", "early", "late", "first", "second", *(f"queue-{n}" for n in range(8)))
"""Names of queues that the tests use, which every queue must carry."""


class Listener:
    """Keeps the permits that it is woken with, from whichever thread."""

    def __init__(self) -> None:
        self._condition = Condition()
        self.heard: list[str] = []

    def wake(self, queue: str) -> bool:
        """Take a permit."""
        with self._condition:
            self.heard.append(queue)
            self._condition.notify_all()
        return True

    def hears(self, *queues: str) -> bool:
        """Wait until a permit for each of these has come; False if one did not in time."""
        with self._condition:
            return self._condition.wait_for(lambda: set(queues) <= set(self.heard), PATIENCE)


class QueueContract:
    """Tests that every queue passes. A subclass gives the fixture ``queue``: one that nobody listens to yet."""

    names: ClassVar[Sequence[str]] = ("default", "Default", "a b", "a/b:c", "größe", "x" * 200)
    """Names of queues to carry; a subclass names others where the queue refuses some of these."""
    refused: ClassVar[Sequence[str]] = ()
    """Names that it refuses."""

    @pytest.fixture
    def queue(self) -> Queue:
        """Give a queue; to be overridden."""
        raise NotImplementedError(
            f"{type(self).__name__} has no fixture 'queue'; write one that returns a new queue"
        )

    @pytest.fixture
    def listener(self) -> Listener:
        """Somebody who may listen."""
        return Listener()

    def test_a_permit_wakes_who_listens(self, queue: Queue, listener: Listener) -> None:
        """It tells the queue there may be work on."""
        queue.listen(listener.wake, USED)
        queue.put("default")
        assert listener.hears("default")
        assert set(listener.heard) == {"default"}

    def test_a_listener_hears_of_all_queues(self, queue: Queue, listener: Listener) -> None:
        """By the very names that were put."""
        queue.listen(listener.wake, self.names)
        for name in self.names:
            queue.check(name)
            queue.put(name)
        assert listener.hears(*self.names)
        assert set(listener.heard) == set(self.names)

    def test_a_name_that_it_cannot_carry_is_refused(self, queue: Queue, listener: Listener) -> None:
        """Before anybody relies on it."""
        for name in self.refused:
            with pytest.raises(DefinitionError, match=re.escape(repr(name))):
                queue.check(name)
            with pytest.raises(DefinitionError, match=re.escape(repr(name))):
                queue.listen(listener.wake, [name])

    def test_a_listener_hears_its_queues_alone(self, queue: Queue) -> None:
        """Permits for others go to others."""
        first, second = Listener(), Listener()
        queue.listen(first.wake, ["first"])
        queue.listen(second.wake, ["second"])
        queue.put("first")
        queue.put("second")
        assert first.hears("first")
        assert second.hears("second")
        assert "first" not in second.heard
        assert "second" not in first.heard

    def test_every_listener_is_woken(self, queue: Queue) -> None:
        """A permit is no message: it is not used up by the first who hears it."""
        listeners = [Listener() for _ in range(3)]
        for listener in listeners:
            queue.listen(listener.wake, USED)
        queue.put("default")
        assert [listener.hears("default") for listener in listeners] == [True] * len(listeners)

    def test_a_listener_may_come_late(self, queue: Queue, listener: Listener) -> None:
        """Who begins to listen hears what is put from then on, whatever went before."""
        queue.put("early")
        queue.listen(listener.wake, USED)
        queue.put("late")
        assert listener.hears("late")

    def test_any_thread_may_put(self, queue: Queue, listener: Listener) -> None:
        """Also several at once."""
        queue.listen(listener.wake, USED)
        names = [f"queue-{n}" for n in range(8)]
        at_once(*(lambda name=name: queue.put(name) for name in names))
        assert listener.hears(*names)

    def test_any_thread_may_listen(self, queue: Queue) -> None:
        """None of several that begin at once is forgotten, and none that end at once is woken again."""
        listeners = [Listener() for _ in range(8)]
        stops = at_once(*(lambda one=one: queue.listen(one.wake, USED) for one in listeners))
        queue.put("first")
        assert [listener.hears("first") for listener in listeners] == [True] * len(listeners)
        at_once(*stops)
        self._put_past(queue, "second")
        assert [listener for listener in listeners if "second" in listener.heard] == []

    def test_who_stopped_is_woken_no_more(self, queue: Queue, listener: Listener) -> None:
        """Others still are; stopping twice does no harm."""
        other = Listener()
        queue.listen(other.wake, USED)
        stop = queue.listen(listener.wake, USED)
        queue.put("first")
        assert listener.hears("first")
        assert other.hears("first")
        stop()
        stop()
        queue.put("second")
        assert other.hears("second")
        assert "second" not in listener.heard

    def test_stopping_ends_one_listening(self, queue: Queue, listener: Listener) -> None:
        """Who listens twice with one function goes on to listen until both are ended."""
        stop_first, stop_second = queue.listen(listener.wake, USED), queue.listen(listener.wake, USED)
        stop_first()
        stop_first()
        queue.put("first")
        assert listener.hears("first")
        stop_second()
        self._put_past(queue, "second")
        assert "second" not in listener.heard

    def test_a_listener_may_stop_when_it_is_woken(self, queue: Queue, listener: Listener) -> None:
        """Ending the listening from within it disturbs neither the queue nor the others."""
        once = Listener()

        def wake(name: str) -> bool:
            stop()
            return once.wake(name)

        stop = queue.listen(wake, USED)
        queue.listen(listener.wake, USED)
        queue.put("first")
        assert once.hears("first")
        assert listener.hears("first")
        queue.put("second")
        assert listener.hears("second")
        assert set(once.heard) == {"first"}

    def test_put_needs_no_listener(self, queue: Queue) -> None:
        """Permits that nobody hears are lost without a trace: ``put`` neither raises nor fills up and blocks."""
        with ThreadPoolExecutor(1) as thread:
            putting = thread.submit(lambda: [queue.put("default") for _ in range(MANY)])
            assert putting.result(12 * PATIENCE) == [None] * MANY

    def _put_past(self, queue: Queue, name: str) -> None:
        """Put a permit, and wait until somebody new has heard it, so that all others would have too."""
        witness = Listener()
        stop = queue.listen(witness.wake, USED)
        queue.put(name)
        assert witness.hears(name)
        stop()


def at_once(*works: Callable[[], T]) -> list[T]:
    """Do works at the same time, each in a thread."""
    start = Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))
