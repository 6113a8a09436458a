"""Every transport passes the contract."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from tests.servers import Server

from phaseline.testing import TransportContract
from phaseline.transport import Transport
from phaseline.transports.memory import MemoryTransport
from phaseline.transports.redis import RedisTransport


class TestMemory(TransportContract):
    @pytest.fixture
    def connect(self) -> Callable[[], Transport]:
        transport = MemoryTransport()
        return lambda: transport


class TestRedis(TransportContract):
    @pytest.fixture
    def connect(self, redis_server: Server) -> Callable[[], Transport]:
        database = secrets.randbelow(16)  # what earlier tests left in it is to be no matter
        url = f"{redis_server.url.rpartition('/')[0]}/{database}"
        return lambda: RedisTransport(url)
