"""The contract of queues, for the one on Dramatiq."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dramatiq import Broker
from dramatiq import Worker as DramatiqWorker

from phaseline.queues.dramatiq import DramatiqQueue
from phaseline.testing import QueueContract

CARRIED = ("default", "Default", "_a.b-c", "x" * 200)
REFUSED = ("", "a b", "1st", "größe", "mails.DQ", "mails.XQ", "a\n")


class OnDramatiq(QueueContract):
    """A queue whose permits a Dramatiq worker of this process takes from the broker."""

    names = CARRIED
    refused = REFUSED

    @pytest.fixture
    def queue(self, broker: Broker) -> Iterator[DramatiqQueue]:
        """The queue, with a worker."""
        worker = DramatiqWorker(broker, worker_threads=2, worker_timeout=20)
        worker.start()
        queue = DramatiqQueue(broker)
        yield queue
        queue.close()
        worker.stop()
