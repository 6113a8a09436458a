"""Every queue passes the contract."""

from __future__ import annotations

import pytest

from phaseline.queues.inprocess import InProcessQueue
from phaseline.testing import QueueContract


class TestInProcess(QueueContract):
    @pytest.fixture
    def queue(self) -> InProcessQueue:
        return InProcessQueue()
