"""The clients, in a process of their own: ``python -m benchmarks.events.socket_clients PORT``.

They speak RFC 6455 by themselves, as thin as can be, so that ten thousand of them fit into one process beside the server's.
Standard input has one JSON object: for each client, what it subscribes to. ``ready`` is printed once all are subscribed. Of
each event that tells when it was sent, the delay is kept; the next line of input asks for what was kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from base64 import b64encode
from collections.abc import Sequence

HOST, PATH = "127.0.0.1", "/live"
AT_ONCE = 100
"""Connections that are made at once."""
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
SHORT, MEDIUM = 126, 1 << 16
SENT = re.compile(rb'"note":"sent ([0-9]+)"')


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, port: int, says: str, delays: list[int]) -> None:
        self._port, self._says, self._delays = port, says.encode(), delays
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_open = False
        self._kept = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            f"GET {PATH} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Take apart what came."""
        data = self._kept + data
        if not self._is_open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._kept = data
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self._fail(head.decode(errors="replace"))
                return
            self._is_open, data = True, rest
            self._send(TEXT, self._says)
        at = 0
        while (end := _frame_end(data, at)) is not None:
            start, stop = end
            self._take(data[at] & 0x0F, data[start:stop])
            at = stop
        self._kept = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is to be lost while it is measured."""
        self._fail(f"the server closed a connection: {exc}")

    def _take(self, kind: int, text: bytes) -> None:
        if kind == PING:
            self._send(PONG, text)
        elif kind == CLOSE:
            self._fail(f"closed: {text!r}")
        elif text.startswith(b'{"type":"event"'):
            if sent := SENT.search(text):
                self._delays.append(time.time_ns() - int(sent[1]))
        elif b'"subscribed"' in text:
            self.subscribed.set_result(None)
        elif b'"error"' in text:
            self._fail(text.decode())

    def _fail(self, why: str) -> None:
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError(why))
        else:
            sys.exit(why)

    def _send(self, kind: int, text: bytes) -> None:
        size = len(text)  # masked with zeros: only a proxy could tell the difference
        length = bytes([0x80 | size]) if size < SHORT else bytes([0x80 | SHORT]) + size.to_bytes(2)
        self._transport.write(bytes([0x80 | kind]) + length + bytes(4) + text)


def _frame_end(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the text of the frame begins and ends that begins here; None if it is not there wholly."""
    if len(data) < at + 2:
        return None
    start, size = at + 2, data[at + 1] & 0x7F
    if size >= SHORT:
        width = 2 if size == SHORT else 8
        start += width
        if len(data) < start:
            return None
        size = int.from_bytes(data[start - width : start])
    return (start, start + size) if len(data) >= start + size else None


async def run(port: int, wishes: Sequence[str]) -> None:
    """Connect all, then answer what standard input asks."""
    loop, delays, clients = asyncio.get_running_loop(), list[int](), list[Client]()
    for first in range(0, len(wishes), AT_ONCE):
        made = [
            loop.create_connection(lambda says=says: Client(port, says, delays), HOST, port)
            for says in wishes[first : first + AT_ONCE]
        ]
        new = [client for _, client in await asyncio.gather(*made)]
        await asyncio.gather(*(client.subscribed for client in new))
        clients += new
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(delays), flush=True)
        delays.clear()
    os._exit(0)  # as a page that is closed: nobody says goodbye


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), json.loads(sys.stdin.readline())))
