"""What is done in the background again and again, and must outlive its own mistakes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from logging import Logger

from phaseline.errors import PhaselineError


@contextmanager
def survived(log: Logger, problem: str, missed: Callable[[], object] = object) -> Generator[None]:
    """Tell what goes wrong within, and no more: it is done again, and is no reason to end the runtime.

    Args:
        log: Where to tell it.
        problem: What did not come about, and when it is tried again.
        missed: Called then.
    """
    try:
        yield
    except PhaselineError as error:  # an outage, most likely, and its text says all
        log.warning("%s: %s", problem, error)
        missed()
    except Exception:  # a mistake of ours
        log.exception("%s", problem)
        missed()
