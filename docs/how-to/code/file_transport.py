"""Events between processes of one machine, over a file to which all append."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue

from phaseline.events import Event
from phaseline.transport import Heard, Line, Missed, Transport
from phaseline.wire import all_from_json, all_to_json

PAUSE = 0.01
"""Seconds between two looks at the file."""


class FileTransport(Transport):
    """Give each process the same file."""

    def __init__(self, url: str) -> None:
        self._path = Path(url.partition("://")[2])

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        """Take part from the end of the file on."""
        return _FileLine(self._path, namespace, heard, missed)


class _FileLine(Line):
    def __init__(self, path: Path, namespace: str, heard: Heard, missed: Missed) -> None:
        self._path, self._namespace, self._heard, self._missed = path, namespace, heard, missed
        self._name = secrets.token_hex(8)
        self._waiting = SimpleQueue[Sequence[Event]]()
        self._closing = threading.Event()
        self._trouble: str | None = None
        path.touch()
        self._read_to = path.stat().st_size  # what is there already was sent before we joined
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def send(self, events: Sequence[Event]) -> None:
        if not self._closing.is_set():
            self._waiting.put(events)  # the thread writes: this is called on an event loop

    @property
    def trouble(self) -> str | None:
        return self._trouble

    def close(self) -> None:
        self._closing.set()
        self._thread.join(1.0)

    def _work(self) -> None:
        sound_at = time.monotonic()
        while not self._closing.wait(PAUSE):
            try:
                self._write()
                self._read()
            except OSError as error:
                self._trouble = str(error)
            else:
                if self._trouble is not None:  # others may have sent what we did not see
                    self._missed(timedelta(seconds=time.monotonic() - sound_at))
                self._trouble, sound_at = None, time.monotonic()
        self._write()

    def _write(self) -> None:
        """Append what waits, each batch as one line in one call: on a local disk such calls do not mix."""
        with self._path.open("ab", buffering=0) as file:
            while True:
                try:
                    events = self._waiting.get_nowait()
                except Empty:
                    return
                head = json.dumps([self._name, self._namespace]).encode()
                os.write(file.fileno(), head + b"\t" + all_to_json(events) + b"\n")

    def _read(self) -> None:
        """Hand on the whole lines that are new, but for our own and those of other namespaces."""
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            head, _, events = line.partition(b"\t")
            name, namespace = json.loads(head)
            if name != self._name and namespace == self._namespace:
                self._heard(all_from_json(events))
