"""Hints between processes by LISTEN and NOTIFY: what was left for others, and which runs have come to an end.

Told on a connection of its own, after the commit: inside of it, NOTIFY would make the commits of all processes wait for each
other. Each side has a thread; both are hints and no more, for everything is found without them a little later.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from phaseline.abc import Nudge

if TYPE_CHECKING:
    import psycopg

log: Final = logging.getLogger("phaseline.storage")

RECONNECT_PAUSE = 1.0
"""Seconds between two looks whether a thread is to stop, and between two tries to connect it."""
GATHER_PAUSE = 0.002
"""Seconds between two notifications: what is told meanwhile goes into the second."""
FLUSH_GRACE = 1.0
"""Seconds that what was told has at the close to be sent."""
STOP_GRACE = 1.0
"""Seconds for which the end of a thread is waited for: beside that of its process it could bring this down, since what
OpenSSL keeps for each thread would be let go of by both at once."""
IDS, LONGEST = 100, 7_000
"""Ids of runs in a notification; and bytes of one, of which PostgreSQL takes 8 000."""

NOTIFY: Final = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) payload"

Connect = Callable[[], "psycopg.Connection[Any]"]


# --------------------------------------------------------------------- as text
def written(namespace: str, nudge: Nudge) -> Iterator[str]:
    """Write a nudge as payloads of notifications."""
    runs = sorted(nudge.runs)
    for ids in [runs[start : start + IDS] for start in range(0, max(len(runs), 1), IDS)]:
        found: dict[str, Any] = {
            "namespace": namespace,
            "queues": sorted(nudge.queues),
            "runs": ids,
            "awaited_by": sorted(nudge.awaited_by),
            "workers": sorted(nudge.workers),
        }
        text = json.dumps({name: value for name, value in found.items() if value}, separators=(",", ":"))
        if len(text) <= LONGEST:
            yield text


def read(payload: str) -> tuple[str, Nudge] | None:
    """Read the payload of a notification; None if it is not one of ours."""
    try:
        found = json.loads(payload)
        return str(found["namespace"]), Nudge(
            queues=frozenset(map(str, found.get("queues", ()))),
            runs=frozenset(map(str, found.get("runs", ()))),
            awaited_by=frozenset(map(str, found.get("awaited_by", ()))),
            workers=frozenset(map(str, found.get("workers", ()))),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _told(error: psycopg.Error) -> str:
    """What may be logged of an error: what the driver says of the parameters it was given may quote the password."""
    import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

    return type(error).__name__ if isinstance(error, psycopg.ProgrammingError) else str(error)


class _Outage:
    """Tells the log once that the server is out of reach, until it is there again."""

    def __init__(self, means: str) -> None:
        self._means = means
        self._is_told = False

    def began(self, error: psycopg.Error) -> None:
        if not self._is_told:
            log.info("%s: %s", self._means, _told(error))
        self._is_told = True

    def ended(self) -> None:
        self._is_told = False


# --------------------------------------------------------------------- the two sides
class Teller:
    """Sends nudges: gathers while one is under way, so that nobody waits and many are one."""

    def __init__(self, connect: Connect, channel: str) -> None:
        self._connect, self._channel = connect, channel
        self._outage = _Outage("other workers cannot be told of work, and find it by themselves")
        self._waiting: dict[str, Nudge] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = self._stopped = False

    def tell(self, namespace: str, nudge: Nudge) -> None:
        """Send a nudge soon; from any thread."""
        with self._changed:
            if self._stopped:
                return
            earlier = self._waiting.get(namespace)
            self._waiting[namespace] = nudge if earlier is None else earlier.joined(nudge)
            if self._thread is None:
                self._begin()
            self._changed.notify_all()

    def _begin(self) -> None:
        thread = threading.Thread(target=self._work, name="phaseline-teller", daemon=True)
        try:
            thread.start()
        except (
            RuntimeError
        ) as error:  # no more threads can be had: a commit that is done must not fail for that
            log.warning("other workers cannot be told of work, and find it by themselves: %s", error)
            self._waiting = {}
        else:
            self._thread = thread

    def stop(self) -> None:
        """Send what was told, within a bound, and end."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._busy or self._waiting), FLUSH_GRACE)
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_GRACE)

    def _work(self) -> None:
        import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        while not self._stopped:
            try:
                with self._connect() as connection:
                    self._send(connection)
            except psycopg.Error as error:
                self._outage.began(error)
                with self._changed:
                    self._waiting, self._busy = {}, False  # by now they have
                    self._changed.notify_all()
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, RECONNECT_PAUSE)

    def _send(self, connection: psycopg.Connection[Any]) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self._waiting)
                if self._stopped:
                    return
                batch, self._waiting, self._busy = self._waiting, {}, True
            payloads = [text for namespace, nudge in batch.items() for text in written(namespace, nudge)]
            connection.execute(NOTIFY, (self._channel, payloads))
            self._outage.ended()
            time.sleep(GATHER_PAUSE)


class Hearer:
    """Hears nudges, of however many namespaces on one connection; its thread starts with the first one that is listened to."""

    def __init__(self, connect: Connect, channel: str) -> None:
        self._connect, self._channel = connect, channel
        self._listeners: tuple[tuple[str, Callable[[Nudge], object]], ...] = ()
        self._changing = threading.Lock()
        self._outage = _Outage("what others tell of work cannot be heard, and is found a little later")
        self._stopped = threading.Event()
        self._in_use = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        """On which the thread waits."""
        self._thread: threading.Thread | None = None

    def listen(self, namespace: str, heard: Callable[[Nudge], object]) -> Callable[[], None]:
        """Call ``heard`` for the nudges of a namespace, on the thread; gives a function that ends this, and blocks for nothing."""
        listener = namespace, heard
        with self._changing:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="phaseline-listener", daemon=True)
                thread.start()
                self._thread = thread
            self._listeners = (*self._listeners, listener)

        def end() -> None:
            with self._changing:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return end

    def stop(self) -> None:
        """Hear no more; blocks for nothing."""
        self._stopped.set()
        with self._in_use:
            if self._connection is not None:
                self._wake(self._connection)

    def join(self) -> None:
        """Wait for the end of the thread, once it was stopped, within a bound."""
        if self._thread is not None:
            self._thread.join(STOP_GRACE)

    @staticmethod
    def _wake(connection: psycopg.Connection[Any]) -> None:
        from phaseline.storage.sql import wire  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        wire.cut(connection)

    def _work(self) -> None:
        import psycopg  # noqa: PLC0415  # as above
        from psycopg.sql import SQL, Identifier  # noqa: PLC0415  # as above

        while not self._stopped.is_set():
            try:
                with self._connect() as connection, self._waited_on(connection):
                    if not self._stopped.is_set():  # from here on whoever stops this has the connection cut
                        connection.execute(SQL("LISTEN {}").format(Identifier(self._channel)))
                        self._outage.ended()
                        self._hear(connection)
            except psycopg.Error as error:
                if not self._stopped.is_set():
                    self._outage.began(error)
            except Exception:  # there is one such thread for all namespaces, and nobody would begin it anew
                log.exception("what others tell of work was not heard, and is heard again in a moment")
            self._stopped.wait(RECONNECT_PAUSE)

    @contextmanager
    def _waited_on(self, connection: psycopg.Connection[Any]) -> Generator[None]:
        with self._in_use:
            self._connection = connection
        try:
            yield
        finally:
            with self._in_use:
                self._connection = None

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        while not self._stopped.is_set():
            for notice in connection.notifies(timeout=RECONNECT_PAUSE):
                if self._stopped.is_set():
                    return
                found = read(notice.payload)
                if found is not None:
                    self._pass_on(*found)

    def _pass_on(self, namespace: str, nudge: Nudge) -> None:
        for listened_to, heard in self._listeners:
            if listened_to == namespace:
                try:
                    heard(nudge)
                except Exception:  # the others are to be told
                    log.exception("what others tell of work was not heeded, and is found a little later")
