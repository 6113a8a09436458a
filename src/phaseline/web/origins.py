"""Where a browser's request comes from: a page of somebody else must not act with its reader's cookies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from starlette.requests import HTTPConnection

from phaseline.errors import DefinitionError

ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@]+")


def checked_origins(origins: Any) -> frozenset[str]:
    """Refuse what no browser would ever send.

    Raises:
        DefinitionError: It is no list of origins.
    """
    if isinstance(origins, str) or not hasattr(origins, "__iter__"):
        raise DefinitionError(f"origins={origins!r}: a list is needed, such as ['https://app.example']")
    given: Iterable[object] = origins
    return frozenset(map(_checked, given))


def _checked(origin: object) -> str:
    if not isinstance(origin, str) or not ORIGIN.fullmatch(origin):
        raise DefinitionError(
            f"origins=[{origin!r}]: an origin is scheme, host and port, as 'https://app.example' or 'http://localhost:3000'"
        )
    return origin.lower()


def comes_from(connection: HTTPConnection, origins: frozenset[str]) -> bool:
    """Whether a request comes from no page of a browser, from one of this very host, or from one of the origins.

    The scheme is not compared with ours: behind a proxy we do not know it.
    """
    origin = connection.headers.get("origin")
    if origin is None:  # browsers send it with all that changes something, and with each WebSocket
        return True
    origin = origin.lower()
    return origin in origins or origin.partition("://")[2] == connection.headers.get("host", "").lower() != ""
