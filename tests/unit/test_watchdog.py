from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from dramatiq import Worker as DramatiqWorker
from dramatiq.brokers.stub import StubBroker
from tests.waiting import until

from phaseline.queues.dramatiq import DramatiqQueue
from phaseline.queues.dramatiq.watchdog import Watchdog
from phaseline.testing.queue import Listener


@pytest.fixture
def queue() -> Iterator[DramatiqQueue]:
    """A queue on Dramatiq's stub."""
    made = DramatiqQueue(StubBroker())
    yield made
    made.close()


@pytest.fixture
def worker(queue: DramatiqQueue) -> Iterator[DramatiqWorker]:
    """A worker on the same broker."""
    worker = DramatiqWorker(queue.broker, worker_threads=1, worker_timeout=10)
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def listener(queue: DramatiqQueue, worker: DramatiqWorker) -> Listener:
    """Somebody by whom the worker takes permits from the queue "default"."""
    listener = Listener()
    queue.listen(listener.wake, ["default"])
    assert "default" in worker.consumers
    return listener


@pytest.fixture
def watchdog(worker: DramatiqWorker, queue: DramatiqQueue) -> Watchdog:
    """Looks when it is told to."""
    return Watchdog(worker, lambda: queue.served, queue.traffic)


def test_a_consumer_whose_thread_has_ended_is_begun_anew(worker, queue, listener, watchdog, caplog):
    """As when its connection could not even be closed after an error."""
    ended = worker.consumers["default"]
    ended.stop()
    ended.join(5)
    queue.put("default")
    queue.flush(5)
    assert [] == listener.heard

    with caplog.at_level(logging.WARNING, "phaseline.queue"):
        watchdog.look()
    assert listener.hears("default")
    assert "the consumer of queue 'default' is begun anew: its thread has ended" in caplog.text


def test_one_that_lives_and_takes_nothing_is_begun_anew(worker, queue, listener, watchdog, caplog):
    """After two looks between which nothing came."""
    deaf = worker.consumers["default"]
    deaf.pause()
    assert until(deaf.paused_event.is_set)
    queue.put("default")
    queue.flush(5)

    watchdog.look()
    assert worker.consumers["default"] is deaf
    watchdog.look()
    assert worker.consumers["default"] is not deaf
    assert listener.hears("default")
    assert "none was taken" in caplog.text


@pytest.mark.parametrize("traffic", [[(0, 5), (0, 5)], [(3, 5), (3, 6)], [(3, 5), (0, 5), (3, 5)]])
def test_one_that_takes_what_comes_is_left_alone(worker, queue, listener, traffic):
    """Or that has nothing to take."""
    told = iter(traffic)
    watchdog = Watchdog(worker, lambda: queue.served, lambda _: next(told))
    before = worker.consumers["default"]
    for _ in traffic:
        watchdog.look()
    assert worker.consumers["default"] is before


def test_one_whose_threads_are_busy_is_left_alone(worker, queue, listener):
    """What it has taken waits for them: it may take no more."""
    for thread in worker.workers:
        thread.pause()
    assert all(until(thread.paused_event.is_set) for thread in worker.workers)
    queue.put("default")
    assert until(lambda: worker.work_queue.qsize() == 1)
    watchdog = Watchdog(worker, lambda: queue.served, lambda _: (3, 5))
    before = worker.consumers["default"]
    for _ in range(3):
        watchdog.look()
    assert worker.consumers["default"] is before
    for thread in worker.workers:
        thread.resume()
    assert listener.hears("default")


def test_a_broker_that_is_away_is_waited_for(worker, queue, listener):
    """Dramatiq connects again by itself."""

    def away(_: str) -> tuple[int, int]:
        raise ConnectionError("away")

    watchdog, before = Watchdog(worker, lambda: queue.served, away), worker.consumers["default"]
    for _ in range(3):
        watchdog.look()
    assert worker.consumers["default"] is before


def test_queues_that_the_worker_was_not_given_are_left_alone(worker, listener):
    """The command line may choose: -Q."""
    watchdog = Watchdog(worker, lambda: frozenset({"default", "elsewhere"}), lambda _: (3, 5))
    for _ in range(3):
        watchdog.look()
    assert "elsewhere" not in worker.consumers


def test_its_thread_ends_with_it(watchdog):
    """Though its next look is far off."""
    watchdog.start()
    assert "phaseline-watchdog" in {thread.name for thread in threading.enumerate()}
    watchdog.stop()
    assert "phaseline-watchdog" not in {thread.name for thread in threading.enumerate()}
