"""Permits through a broker of Dramatiq's, for workers on many machines."""

from __future__ import annotations

from phaseline.errors import MissingExtraError

try:
    import dramatiq as _dramatiq
except ImportError as error:
    raise MissingExtraError("a queue on Dramatiq", "dramatiq") from error

from phaseline.queues.dramatiq.queue import DramatiqQueue
from phaseline.queues.dramatiq.worker import worker_broker

del _dramatiq

__all__ = ["DramatiqQueue", "worker_broker"]
