"""Permits between the processes of one machine, as datagrams that all of them hear."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from phaseline.abc import Queue

EVERYBODY = "127.255.255.255"
"""Whoever listens on this machine: the broadcast address of its loopback."""
LOOK = 0.1
"""Seconds after which a thread that hears nothing looks whether it is to end."""


class UdpQueue(Queue):
    """Give each process the same port."""

    crosses_processes = True

    def __init__(self, url: str) -> None:
        self._place = EVERYBODY, int(url.rpartition(":")[2])

    def put(self, queue: str) -> None:
        """Send it; where there is no room for it the permit is lost, which it may be."""
        with suppress(OSError), _socket() as sender:
            sender.setblocking(False)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(queue.encode(), self._place)

    def listen(self, wake: Callable[[str], bool], queues: Iterable[str]) -> Callable[[], None]:
        """Hear in a thread of its own."""
        receiver = _socket()
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # others listen on this port too
        receiver.bind(self._place)  # from here on the system keeps what comes
        receiver.settimeout(LOOK)
        ended = threading.Event()
        hear = threading.Thread(target=_hear, args=(receiver, wake, frozenset(queues), ended), daemon=True)
        hear.start()
        return ended.set


def _socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _hear(
    receiver: socket.socket, wake: Callable[[str], bool], queues: frozenset[str], ended: threading.Event
) -> None:
    with receiver:
        while not ended.is_set():
            with suppress(TimeoutError):
                queue = receiver.recv(2_000).decode(errors="replace")
                if queue in queues and not ended.is_set():
                    wake(queue)
