"""Permits through a broker of Dramatiq's, for workers on many machines."""

from __future__ import annotations

from importlib import import_module

from phaseline.errors import MissingExtraError

try:
    import_module("dramatiq")
except ImportError as _error:
    raise MissingExtraError("a queue on Dramatiq", "dramatiq") from _error

from phaseline.queues.dramatiq.queue import DramatiqQueue
from phaseline.queues.dramatiq.worker import worker_broker

__all__ = ["DramatiqQueue", "worker_broker"]
