"""Every queue passes the contract; the one on RabbitMQ in ``integration``, for a node is slow to come up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from tests.on_dramatiq import OnDramatiq
from tests.servers import Server

from phaseline.queues.inprocess import InProcessQueue
from phaseline.testing import QueueContract


class TestInProcess(QueueContract):
    @pytest.fixture
    def queue(self) -> InProcessQueue:
        return InProcessQueue()


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
        broker.client.connection_pool.disconnect()
