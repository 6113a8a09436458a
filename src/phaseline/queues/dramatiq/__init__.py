"""Permits through a broker of Dramatiq's, for workers on many machines."""

from __future__ import annotations

from phaseline.errors import MissingExtraError

try:
    import dramatiq  # noqa: F401  # before anything of it is used
except ImportError as error:
    raise MissingExtraError("a queue on Dramatiq", "dramatiq") from error

from phaseline.queues.dramatiq.queue import DramatiqQueue
from phaseline.queues.dramatiq.worker import worker_broker

__all__ = ["DramatiqQueue", "worker_broker"]
