"""A surface for the network, to be mounted in a host's own application: nothing is open to anybody whom it does not name."""

from __future__ import annotations

from importlib import import_module

from phaseline.errors import MissingExtraError

try:
    for _name in ("starlette", "limits"):
        import_module(_name)
except ImportError as _error:
    raise MissingExtraError("phaseline.web", "web") from _error

from phaseline.web.access import Access, Action, Authorize, Resource, allow_all, everything
from phaseline.web.app import asgi_app
from phaseline.web.fastapi import fastapi_router
from phaseline.web.pages.app import console
from phaseline.web.problems import problem_of

__all__ = [
    "Access",
    "Action",
    "Authorize",
    "Resource",
    "allow_all",
    "asgi_app",
    "console",
    "everything",
    "fastapi_router",
    "problem_of",
]
