"""What others have appended to a stream of Redis: read by a thread, from where it stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypeAlias

from phaseline.errors import WireError
from phaseline.transport import Heard, Missed
from phaseline.wire import all_from_json

log: Final = logging.getLogger("phaseline.transport")

BLOCK = 1.0
"""Seconds for which one read waits for the next entry."""
AT_ONCE = 500
"""Entries of one read."""
STOP_GRACE, WAKE_PAUSE = 1.0, 0.05
"""Seconds for which the end of the thread is waited for at the close, and between two tries to wake it."""
OUTAGE_PAUSE = 0.25
"""Seconds before it is tried again."""
MOST_SENDERS = 1_000
"""Senders of which the last number is remembered."""
DELAY = timedelta(seconds=10)
"""By how much a batch may come after what it tells: after its commit, and after a server that had to be given up."""
BEGINNING = (0, 0)
Connect: TypeAlias = Callable[[Callable[[Any], None] | None], Any]
"""Makes a client; what it is given is called with each new connection, and makes it ready."""


class Reader:
    """Reads a stream from its end on, and says when something may have been lost."""

    def __init__(self, connect: Connect, key: str, name: str, heard: Heard, missed: Missed) -> None:
        self._client = connect(self._connected)
        self._connections = self._known_connections = 0
        """How often it was connected, and how often when it was last looked for what may be gone: redis-py replaces a connection
        that broke between two commands, and says nothing."""
        self._key, self._name = key, name
        self._heard, self._missed = heard, missed
        self._last: tuple[int, int] | None = None
        """Id of the entry that was read last; None until the server was reached."""
        self._began = time.monotonic()
        # What follows is told in milliseconds of Redis' clock. Ours knows when a batch came, and not when it was sent: this
        # process may have been stopped in between.
        self._sound_at = 0
        """When what was read last came about: until then nothing is missing."""
        self._lost_since: int | None = None
        """From when on something may be missing of which nobody was told yet."""
        self._senders: dict[str, tuple[int, int]] = {}
        """By sender: the last number, and when that batch came about."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="phaseline-events-in", daemon=True)
        self.trouble: str | None = None
        """Why nothing can be heard; None if it can."""

    def start(self) -> None:
        """Find the end of the stream, if the server can be reached, and begin."""
        try:
            self._sound_at = self._now()
            self._last = self._look() or BEGINNING
        except Exception as error:  # noqa: BLE001  # as below
            self._note(error)
        self._thread.start()

    def stop(self) -> None:
        """Hear no more, and wait for the end of the thread, within a bound."""
        self._stopped.set()
        until = time.monotonic() + STOP_GRACE
        while True:
            # A read that is under way ends at once; again, for one may begin just now.
            with suppress(Exception):  # redis-py tidies up without a lock, which the thread may do as well
                self._client.connection_pool.disconnect()
            if not self._thread.is_alive() or time.monotonic() >= until:
                return
            self._thread.join(WAKE_PAUSE)

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                if self.trouble is not None or self._last is None:
                    self._begin_again()
                else:
                    self._read()
                self._tell_loss()
            except Exception as error:  # noqa: BLE001  # whatever the client raises: no run depends on it
                if not self._stopped.is_set():
                    self._note(error)
                # Also where the server answers, with an error: its name may lead to another one by now.
                with suppress(Exception):
                    self._client.connection_pool.disconnect()
                self._stopped.wait(OUTAGE_PAUSE)
        self._client.close()

    def _connected(self, connection: Any) -> None:
        connection.on_connect()
        self._connections += 1

    def _note(self, error: Exception) -> None:
        if self.trouble is None:
            log.warning(
                "events cannot be heard from Redis (%s: %s); what is missed is read from the storage once it is back",
                type(error).__name__, error,
            )  # fmt: skip
        self.trouble = f"{type(error).__name__}: {error}"

    def _begin_again(self) -> None:
        """Go on after an outage: the server may have lost what it held."""
        newest = self._look() or BEGINNING
        if self._last is None:
            self._sound_at = self._now() - round(1000 * (time.monotonic() - self._began))
            self._last = newest
        elif newest < self._last:
            self._last = BEGINNING
        self._lose(self._sound_at)
        if self.trouble is not None:
            log.info("events can be heard from Redis again")
        self.trouble = None

    def _look(self) -> tuple[int, int] | None:
        """Find the end of the stream; what breaks from here on is an outage."""
        newest = self._newest()
        self._known_connections = self._connections
        return newest

    def _read(self) -> None:
        assert self._last is not None  # noqa: S101  # it was found before
        found = self._client.xread({self._key: _text(self._last)}, count=AT_ONCE, block=round(BLOCK * 1000))
        if self._connections != self._known_connections:
            self._begin_again()  # and what was found is read once more
            return
        if not found:
            self._look_for_loss()
        for _, entries in found:
            if self._has_gap(self._last, entries):
                self._lose(self._sound_at)
            for id_, entry in entries:
                if self._stopped.is_set():
                    return
                self._last = _parsed(id_)
                self._take(entry, self._last[0])

    def _has_gap(self, last: tuple[int, int], entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> bool:
        """Whether some that came between may be gone: a stream that holds no more lets go of the oldest first."""
        if last == BEGINNING:  # it was empty: what comes first is the first batch of whoever sent it
            return entries[0][1].get(b"n") != b"1"
        if len(entries) == 1:  # it was waited for: had this reader been behind, more would be left
            return False
        return not self._client.xrange(self._key, _text(last), _text(last))

    def _look_for_loss(self) -> None:
        """See whether the stream ends before the place where this reader is: then it is another one."""
        newest = self._newest() or BEGINNING
        if self._last is not None and newest < self._last:
            self._last = BEGINNING
            self._lose(self._sound_at)

    def _newest(self) -> tuple[int, int] | None:
        found = self._client.xrevrange(self._key, count=1)
        return _parsed(found[0][0]) if found else None

    def _take(self, entry: Mapping[bytes, bytes], sent_at: int) -> None:
        """Hand a batch on, unless it is our own or was heard before."""
        sound_at, self._sound_at = self._sound_at, sent_at
        try:
            sender, number = entry[b"from"].decode(), int(entry[b"n"])
            if sender == self._name:
                return
            events = all_from_json(entry[b"events"])
        except (KeyError, ValueError, WireError) as error:
            log.warning("an entry of %s is none of ours, or of another version: %s", self._key, error)
            self._lose(sound_at)
            return
        if events:  # they may have waited for long until Redis could be reached, and what came next with them
            self._sound_at = min(sent_at, int(events[0].at.timestamp() * 1000))
        if self._is_new(sender, number) and events:
            self._heard(events)

    def _is_new(self, sender: str, number: int) -> bool:
        """Whether a batch was not heard yet; if some before it were not, either, that is told."""
        before, at = self._senders.pop(sender, (None, 0))
        is_new = before is None or number > before
        self._senders[sender] = (number if before is None else max(number, before)), self._sound_at
        if len(self._senders) > MOST_SENDERS:
            del self._senders[next(iter(self._senders))]
        if before is not None and number > before + 1:
            self._lose(at)
        return is_new

    def _lose(self, since: int) -> None:
        """Something may be missing from this moment of Redis' clock on."""
        self._lost_since = since if self._lost_since is None else min(since, self._lost_since)

    def _tell_loss(self) -> None:
        if self._lost_since is not None:
            self._missed(timedelta(milliseconds=self._now() - self._lost_since) + DELAY)
            self._lost_since = None

    def _now(self) -> int:
        """Ask Redis for the time."""
        seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _text(id_: tuple[int, int]) -> str:
    return "-".join(map(str, id_))


def _parsed(id_: bytes) -> tuple[int, int]:
    milliseconds, _, number = id_.decode().partition("-")
    return int(milliseconds), int(number)
