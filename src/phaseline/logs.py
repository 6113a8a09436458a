"""What a log record tells of the run that it was made in: a filter for the handlers of the host, which sets neither handler nor level."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, Protocol

FIELDS: Final = ("run_id", "pipeline", "phase", "attempt")
"""Attributes that records get."""


class Called(Protocol):
    """An attempt of a phase, while its body is called."""

    @property
    def namespace(self) -> str:
        """That of its run."""
        ...

    @property
    def log_fields(self) -> Mapping[str, object]:
        """The values of ``FIELDS``."""
        ...


called: ContextVar[Called | None] = ContextVar("phaseline_called", default=None)
"""The attempt in whose body the code runs; it goes with it into threads and tasks."""


class RunContext(logging.Filter):
    """Adds ``run_id``, ``pipeline``, ``phase`` and ``attempt`` to records: ``handler.addFilter(RunContext())``.

    To whichever logger a body, or a library that it calls, writes; outside of a body they are None. What a record has
    already stays: so what phaseline logs of a run by itself has its ``run_id``. It lets every record through.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing."""
        at = called.get()
        fields: Mapping[str, object] = {} if at is None else at.log_fields
        if getattr(record, "run_id", None) not in (None, fields.get("run_id")):
            fields = {}  # it is about another run than the one in whose body it was made
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, fields.get(name))
        return True
