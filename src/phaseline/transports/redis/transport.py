"""A transport on streams of Redis: one for each namespace, to which all append and which all read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from phaseline.errors import DefinitionError, MissingExtraError, TransportURLError
from phaseline.events import Event
from phaseline.schemes import REDIS, scheme_of
from phaseline.transport import Heard, Line, Missed, Transport
from phaseline.transports.redis.reading import Connect, Reader
from phaseline.transports.redis.sending import Sender

KEY = "phaseline:events:"
KEPT = 10_000
"""Batches that a stream holds, about: a reader that is further behind reads the storage."""
PATIENCE = 5.0
"""Seconds after which a server that says nothing is given up."""


class RedisTransport(Transport):
    """Carries events over Redis, with a thread for sending and one for hearing in each runtime.

    Whoever can write to that Redis can tell events that never happened: protect it as you protect the database.
    """

    def __init__(self, url: str, *, kept: int = KEPT) -> None:
        """Use a server; nothing is connected yet.

        Args:
            url: ``redis://user:password@host:6379/0``, or ``rediss://…`` with TLS.
            kept: Batches of events that the server holds for each namespace, about.

        Raises:
            TransportURLError: It is no such URL.
            DefinitionError: ``kept`` is no number from 1.
            MissingExtraError: redis-py is not installed.
        """
        if type(kept) is not int or kept < 1:
            raise DefinitionError(f"RedisTransport(kept={kept!r}): a whole number from 1 is needed")
        self._connect, self._where = _connector(url)
        self._kept = kept

    def __repr__(self) -> str:
        return f"RedisTransport({self._where})"

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        return _RedisLine(self._connect, f"{KEY}{namespace}", self._kept, heard, missed)


class _RedisLine(Line):
    def __init__(self, connect: Connect, key: str, kept: int, heard: Heard, missed: Missed) -> None:
        name = secrets.token_hex(8)
        self._sender = Sender(connect, key, name, kept)
        self._reader = Reader(connect, key, name, heard, missed)
        self._reader.start()
        try:
            self._sender.start()
        except BaseException:
            self._reader.stop()
            raise

    def send(self, events: Sequence[Event]) -> None:
        self._sender.put(events)

    @property
    def trouble(self) -> str | None:
        return self._reader.trouble or self._sender.trouble

    def close(self) -> None:
        self._reader.stop()
        self._sender.stop()


def _connector(url: object) -> tuple[Connect, str]:
    """Give what makes a client, and the server's name without a password.

    Raises:
        TransportURLError: The URL names no server.
        MissingExtraError: redis-py is not installed.
    """
    try:
        from redis import Redis  # noqa: PLC0415  # an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415  # as above
        from redis.retry import Retry  # noqa: PLC0415  # as above
    except ImportError as error:
        raise MissingExtraError("events over Redis", "redis") from error
    if not isinstance(url, str) or scheme_of(url) not in REDIS:
        raise TransportURLError(str(url), "known are redis://host:6379/0 and rediss://host:6379/0")

    def connect(connected: Callable[[Any], None] | None) -> Any:
        # Our threads try again by themselves, and tell of it.
        return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]  # its options have no types
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=connected,
        )

    try:
        options = connect(None).connection_pool.connection_kwargs
    except ValueError as error:
        raise TransportURLError(url, f"it cannot be read: {error}; write redis://host:6379/0") from error
    return connect, f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
