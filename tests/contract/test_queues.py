"""Every queue passes the contract; the one on RabbitMQ in ``integration``, for a node is slow to come up."""

from __future__ import annotations

import runpy
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from tests.on_dramatiq import OnDramatiq
from tests.servers import Server

from phaseline.abc import Queue
from phaseline.queues.inprocess import InProcessQueue
from phaseline.testing import QueueContract


class TestInProcess(QueueContract):
    @pytest.fixture
    def queue(self) -> InProcessQueue:
        return InProcessQueue()


class TestUdp(QueueContract):
    """The example of the guide on how to write one."""

    @pytest.fixture
    def queue(self) -> Queue:
        code = Path(__file__).parents[2] / "docs/how-to/code/udp_queue.py"
        make: type[Queue] = runpy.run_path(str(code))["UdpQueue"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return make(f"udp://127.0.0.1:{port}")


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
