"""A name that leads to one server and then to another, as that of a managed one does after a failover."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import attrs
import pytest
import redis
from tests.servers import Server
from tests.servers_redis import REDIS_URL
from tests.servers_redis import redis as start_redis

HOST = "127.0.0.1"


class Name:
    """A port of this machine; whoever connects to it gets to the server that it leads to in that moment."""

    def __init__(self, leads_to: int) -> None:
        self.leads_to = leads_to
        """Port of that server; those who are connected stay where they are."""
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self.leads_to))
                self._ends += (client, server)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=ends, daemon=True).start()

    def close(self) -> None:
        """Lead nowhere any more, and cut whoever is connected."""
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@attrs.frozen
class FailingOver:
    """Two servers of Redis with one password, and a name that leads to the first, until it is led to the other."""

    name: Name
    old: Server
    new: Server

    @property
    def url(self) -> str:
        """Of the name."""
        return self._url(self.name.port)

    @property
    def url_of_new(self) -> str:
        """Of the server that is the primary after the failover."""
        return self._url(self.new.dsn.port)

    def demote(self, *, is_of_use: bool) -> None:
        """Make the old primary a replica, which those who are connected, and the name, go on to lead to.

        Args:
            is_of_use: Whether it hears from the new primary, and gives what it has; else it gives errors alone.
        """
        with closing(redis.Redis.from_url(self.old.url)) as client:
            if is_of_use:
                client.config_set("masterauth", self.old.dsn.password)
            else:
                client.config_set("replica-serve-stale-data", "no")
            client.replicaof(HOST, self.new.dsn.port)

    def lead_to_new(self) -> None:
        """Have the name lead to the new primary; those who are connected stay where they are."""
        self.name.leads_to = self.new.dsn.port

    def _url(self, port: int) -> str:
        return f"redis://:{self.old.dsn.password}@{HOST}:{port}/0"


@contextmanager
def failing_over() -> Iterator[FailingOver]:
    """Start them; a server that is somebody else's is made no replica."""
    if os.environ.get(REDIS_URL):
        pytest.skip("the tests were given one server, which is not ours")
    with start_redis() as old, start_redis() as new, closing(Name(old.dsn.port)) as name:
        with closing(redis.Redis.from_url(new.url)) as client:
            client.config_set("requirepass", old.dsn.password)
        yield FailingOver(name, old, new)
