"""Schemes of URLs: one tuple for each backend that phaseline speaks to by itself, and how a scheme is read."""

from __future__ import annotations

from typing import Final

SQLITE: Final = ("sqlite",)
POSTGRES: Final = ("postgresql", "postgres")
"""Also with the name of a driver after a ``+``: which one there may be, the storage says."""
REDIS: Final = ("redis", "rediss")
REDIS_BROKER: Final = (*REDIS, "unix")
"""Those of Dramatiq's broker, which reaches a Redis through the file of a socket too."""
RABBITMQ: Final = ("amqp", "amqps")


def scheme_of(url: str) -> str:
    """The part of a URL before its colon, in lower case; of a text without one, nothing."""
    scheme, colon, _ = url.partition(":")
    return scheme.lower() if colon else ""


def base_of(url: str) -> str:
    """The scheme of a URL without what stands after a ``+`` in it."""
    return scheme_of(url).partition("+")[0]
