"""For tests: a clock to be moved by hand, a recorder of events, a checker of what is stored, contracts for adapters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeAlias

from phaseline.runtime import Runtime
from phaseline.testing.clock import FakeClock
from phaseline.testing.recorder import EventRecorder

if TYPE_CHECKING:
    from phaseline.testing.queue import QueueContract
    from phaseline.testing.storage import StorageContract
    from phaseline.testing.transport import TransportContract

__all__ = [
    "EventRecorder",
    "FakeClock",
    "OpenRuntime",
    "QueueContract",
    "StorageContract",
    "TransportContract",
]

OpenRuntime: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
"""What the fixture ``phaseline_runtime`` gives: a function of pipelines, and by keyword ``storage`` and what else ``Runtime`` takes."""


def __getattr__(name: str) -> object:
    """Load a contract when it is asked for: contracts need pytest, the rest does not."""
    if name == "QueueContract":
        from phaseline.testing.queue import QueueContract  # noqa: PLC0415  # see above

        return QueueContract
    if name == "StorageContract":
        from phaseline.testing.storage import StorageContract  # noqa: PLC0415  # see above

        return StorageContract
    if name == "TransportContract":
        from phaseline.testing.transport import TransportContract  # noqa: PLC0415  # see above

        return TransportContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
