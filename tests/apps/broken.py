"""An application whose runtime cannot be opened, by a mistake that no waiting mends."""

from __future__ import annotations

import os

from phaseline import Runtime
from phaseline.queues.dramatiq import worker_broker
from phaseline.storage.sql.store import SqlStorage


class Broken(SqlStorage):
    """Has a mistake in it."""

    def open(self) -> None:
        raise LookupError("a mistake in the storage")


broker = worker_broker(Runtime(Broken("sqlite:///never.db"), queue=os.environ["SHOP_BROKER"]))
