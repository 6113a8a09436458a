"""A proxy on loopback in front of PostgreSQL that cuts a connection on one side of a commit or the other."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

import attrs

PREPARED_BATCH = re.compile(rb"P.{4}(_pg3_\d+|phaseline_\w+)\0WITH run_", re.DOTALL)
"""The statement that writes a batch is prepared (Parse), under a name."""
BOUND = re.compile(rb"B.{4}\0(_pg3_\d+|phaseline_\w+)\0", re.DOTALL)
"""Values are sent to a prepared statement (Bind), with the command to execute it."""
COMMITTED = b"SELECT 1\0"
"""In the answer: the batch was carried out, and since it is one statement, it is committed."""


class Side(Enum):
    """Where a connection is cut."""

    BEFORE = "before the batch reaches the server"
    AFTER = "after the server has committed the batch, before its answer comes back"


@attrs.define
class _Line:
    """One connection through the proxy."""

    client: socket.socket
    server: socket.socket
    batches: set[bytes] = attrs.field(factory=set)
    is_doomed: bool = False

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Cuts a connection at every n-th batch, so many times."""

    def __init__(self, host: str, port: int, side: Side, *, every: int, times: int) -> None:
        self.struck = 0
        """Connections that were cut at a batch."""
        self._target, self._side, self._every, self._times = (host, port), side, every, times
        self._seen = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> None:
        """Take connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                line = _Line(client, socket.create_connection(self._target))
                for pump in (self._up, self._down):
                    threading.Thread(target=pump, args=(line,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _up(self, line: _Line) -> None:
        with suppress(OSError):
            while data := line.client.recv(1 << 20):
                line.batches.update(PREPARED_BATCH.findall(data))
                if self._is_due(line, data):
                    if self._side is Side.BEFORE:
                        self.struck += 1
                        break
                    line.is_doomed = True
                line.server.sendall(data)
        line.cut()

    def _is_due(self, line: _Line, data: bytes) -> bool:
        if not line.batches.intersection(BOUND.findall(data)):
            return False
        self._seen += 1
        return self._seen % self._every == 0 and self._seen <= self._every * self._times

    def _down(self, line: _Line) -> None:
        with suppress(OSError):
            while data := line.server.recv(1 << 20):
                if line.is_doomed:
                    self.struck += COMMITTED in data
                    break
                line.client.sendall(data)
        line.cut()


@contextmanager
def proxy(host: str, port: int, side: Side, *, every: int, times: int) -> Iterator[Proxy]:
    """Put a proxy in front of a server."""
    opened = Proxy(host, port, side, every=every, times=times)
    threading.Thread(target=opened.accept, daemon=True).start()
    try:
        yield opened
    finally:
        opened.close()
