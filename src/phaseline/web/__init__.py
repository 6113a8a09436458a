"""A surface for the network, to be mounted in a host's own application: nothing is open to anybody whom it does not name."""

from __future__ import annotations

from importlib import import_module

from phaseline.errors import MissingExtraError

try:
    import_module("starlette")
except ImportError as _error:
    raise MissingExtraError("phaseline.web", "web") from _error

from phaseline.web.access import Access, Action, Authorize, allow_all, everything

__all__ = ["Access", "Action", "Authorize", "allow_all", "everything"]
