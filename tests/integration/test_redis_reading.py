"""Whoever reads a stream of Redis says what it may have missed, and since when, however late it reads."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import redis
from tests.servers import Server

from phaseline.events import Event
from phaseline.testing.transport import Ear, numbered
from phaseline.transports.redis import RedisTransport
from phaseline.transports.redis.transport import KEY
from phaseline.wire import all_to_json

PATIENCE = 20
MINUTE, NO_TIME = timedelta(minutes=1), timedelta(0)
Entry = Mapping[str, Any]


class Stream:
    """A stream to which a test appends what others would have sent, and when they would have, and a reader of it."""

    def __init__(self, url: str) -> None:
        self.client: Any = redis.Redis.from_url(url)
        self._transport, self._namespace = RedisTransport(url), secrets.token_hex(8)
        self.ear = Ear()

    def join(self) -> Any:
        """Begin to read."""
        return self._transport.join(self._namespace, self.ear.hear, self.ear.miss)

    def append(self, *entries: Entry, ago: timedelta = NO_TIME, kept: int = 1_000) -> None:
        """Append all in one moment, so that nobody reads any before the oldest are trimmed."""
        seconds, microseconds = self.client.time()
        sent_at = seconds * 1000 + microseconds // 1000 - round(ago.total_seconds() * 1000)
        key = f"{KEY}{self._namespace}"
        with self.client.pipeline(transaction=True) as pipe:
            for entry in entries:
                pipe.xadd(key, entry, id=f"{sent_at}-{entry['n']}")
            pipe.xtrim(key, kept, approximate=False)
            pipe.execute()

    def hears(self, number: int) -> None:
        """Wait until the event of this number was heard."""
        self._wait(lambda: any(event.seq == number for event in self.ear.events))

    def misses(self) -> timedelta:
        """Wait until something was missed; gives since how long ago."""
        self._wait(lambda: bool(self.ear.missed))
        return self.ear.missed[0]

    def awaits(self) -> None:
        """Wait until the reader waits for what comes next."""
        self._wait(lambda: any(client["cmd"] == "xread" for client in self.client.client_list()))

    def _wait(self, has_come: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not has_come():
            assert time.monotonic() < until, f"heard: {len(self.ear.events)}, missed: {self.ear.missed}"
            time.sleep(0.01)


@pytest.fixture
def stream(redis_server: Server) -> Iterator[Stream]:
    """A stream that is not there yet."""
    made = Stream(redis_server.url)
    with closing(made.client):
        yield made


def batch(number: int, sender: str = "known", event: Event | None = None) -> Entry:
    return {"from": sender, "n": number, "events": all_to_json([event or numbered(number)])}


def several(first: int, last: int, sender: str) -> list[Entry]:
    return [batch(number, sender) for number in range(first, last + 1)]


@pytest.mark.parametrize(
    "entry", [batch(9), {"n": 9, "of": "somebody else"}], ids=["a-jump", "what-nobody-can-read"]
)
def test_a_loss_began_when_what_came_before_was_sent(stream: Stream, entry: Entry) -> None:
    """And not when it was read: a process that was stopped meanwhile reads all in one moment."""
    with closing(stream.join()):
        stream.append(batch(1), ago=MINUTE)
        stream.hears(1)
        stream.append(entry)
        assert stream.misses() >= MINUTE


def test_a_loss_began_when_what_came_before_came_about(stream: Stream) -> None:
    """A sender that could not reach Redis sends late."""
    with closing(stream.join()):
        stream.append(batch(1, event=msgspec.structs.replace(numbered(1), at=datetime.now(UTC) - MINUTE)))
        stream.hears(1)
        stream.append(batch(9))
        assert stream.misses() >= MINUTE


def test_what_was_trimmed_before_it_was_read_is_missed(stream: Stream) -> None:
    """Also where it was of somebody of whom nothing was heard; it is told once."""
    with closing(stream.join()):
        stream.append(batch(1), ago=MINUTE)
        stream.hears(1)
        stream.append(*several(1, 9, "new"), *several(10, 12, "newer"), kept=2)
        assert stream.misses() >= MINUTE
        for number in (13, 14):
            stream.append(batch(number, "newer"))
            stream.hears(number)

    assert len(stream.ear.missed) == 1


def test_what_was_trimmed_before_anything_was_read_is_missed(stream: Stream) -> None:
    """The stream was not there yet when it was looked for its end."""
    with closing(stream.join()):
        stream.append(*several(1, 9, "new"), kept=2)
        assert stream.misses() < MINUTE


def test_whoever_reads_all_misses_nothing(stream: Stream) -> None:
    """Also of one who has sent much before, and where what was read before is trimmed soon afterwards."""
    stream.append(*several(1, 5, "known"))
    with closing(stream.join()):
        for first in (6, 9, 12):
            stream.append(*several(first, first + 2, "known"), kept=4)
            stream.hears(first + 2)
        stream.append(batch(15), kept=1)
        stream.hears(15)
        stream.append(batch(16))
        stream.hears(16)

    assert stream.ear.missed == []


def test_an_outage_began_when_the_last_batch_was_sent(stream: Stream) -> None:
    """What came after it may be gone with the connection."""
    with closing(stream.join()) as line:
        stream.append(batch(1), ago=MINUTE)
        stream.hears(1)
        stream.awaits()
        line._reader._client.connection_pool.disconnect()
        assert stream.misses() >= MINUTE


def test_a_connection_that_broke_between_two_reads_is_an_outage(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where redis-py finds it broken, it makes another one, and says nothing of it."""
    hear = stream.ear.hear

    def hear_and_break(events: Sequence[Event]) -> None:
        hear(events)
        if events[0].seq == 1:
            line._reader._client.connection_pool.disconnect()

    monkeypatch.setattr(stream.ear, "hear", hear_and_break)
    with closing(stream.join()) as line, caplog.at_level(logging.INFO, "phaseline"):
        stream.append(batch(1), ago=MINUTE)
        assert stream.misses() >= MINUTE
        stream.append(batch(2))
        stream.hears(2)

    assert len(stream.ear.missed) == 1
    assert not caplog.messages


def test_a_loss_is_told_although_redis_goes_away_just_then(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long ago it began is asked of Redis, once it is back."""
    time_of, refused = redis.Redis.time, list[Any]()

    def refuse_once(client: Any) -> Any:
        if client is not stream.client and not refused:
            refused.append(client)
            raise redis.ConnectionError("it went away")
        return time_of(client)

    with closing(stream.join()):
        stream.append(batch(1), ago=2 * MINUTE)
        stream.append(batch(2, "other"), ago=MINUTE)
        stream.hears(2)
        monkeypatch.setattr(redis.Redis, "time", refuse_once)
        stream.append(batch(9))
        assert stream.misses() >= 2 * MINUTE

    assert refused
