"""Every transport passes the contract."""

from __future__ import annotations

import runpy
import secrets
from collections.abc import Callable
from pathlib import Path

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


class TestFile(TransportContract):
    """The example of the guide on how to write one."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], Transport]:
        code = Path(__file__).parents[2] / "docs/how-to/code/file_transport.py"
        make: type[Transport] = runpy.run_path(str(code))["FileTransport"]
        return lambda: make(f"file://{tmp_path / 'events'}")


class TestRedis(TransportContract):
    @pytest.fixture
    def connect(self, redis_server: Server) -> Callable[[], Transport]:
        database = secrets.randbelow(16)  # what earlier tests left in it is to be no matter
        url = f"{redis_server.url.rpartition('/')[0]}/{database}"
        return lambda: RedisTransport(url)
