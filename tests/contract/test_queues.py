"""Every queue passes the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dramatiq import Broker
from dramatiq import Worker as DramatiqWorker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from tests.servers import Server

from phaseline.queues.dramatiq import DramatiqQueue
from phaseline.queues.inprocess import InProcessQueue
from phaseline.testing import QueueContract

CARRIED = ("default", "Default", "_a.b-c", "x" * 200)
REFUSED = ("", "a b", "1st", "größe", "mails.DQ", "mails.XQ", "a\n")


class TestInProcess(QueueContract):
    @pytest.fixture
    def queue(self) -> InProcessQueue:
        return InProcessQueue()


class OnDramatiq(QueueContract):
    """A queue whose permits a Dramatiq worker of this process takes from the broker."""

    names = CARRIED
    refused = REFUSED

    @pytest.fixture
    def queue(self, broker: Broker) -> Iterator[DramatiqQueue]:
        worker = DramatiqWorker(broker, worker_threads=2, worker_timeout=20)
        worker.start()
        yield DramatiqQueue(broker)
        worker.stop()


class TestDramatiqStub(OnDramatiq):
    @pytest.fixture
    def broker(self) -> StubBroker:
        return StubBroker()


class TestDramatiqRedis(OnDramatiq):
    @pytest.fixture
    def broker(self, redis_server: Server) -> Iterator[RedisBroker]:
        broker = RedisBroker(url=redis_server.url)
        broker.client.flushall()
        yield broker
        broker.client.close()
