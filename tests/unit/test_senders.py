"""Who sends from a thread of its own does no harm to a commit where no thread can be had, nor to others where one is refused."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Self, cast

import psycopg
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from pika.exceptions import ChannelClosedByBroker, StreamLostError
from tests.waiting import until

from phaseline.abc import Nudge
from phaseline.queues.dramatiq.sending import Sender, is_refusal
from phaseline.storage.sql import notices
from phaseline.storage.sql.notices import Hearer, Teller

PATIENCE = 20


class Entered:
    """What is needed of a connection that is used by ``with``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Threads:
    """Lets no thread begin, as a process that has too many, until ``are_there``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.are_there = False
        self.refused = 0
        start = threading.Thread.start

        def begin(thread: threading.Thread) -> None:
            if not self.are_there:
                self.refused += 1
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", begin)


def test_a_permit_waits_for_a_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and the next permit begins one, which sends both."""
    threads, sent, done = Threads(monkeypatch), list[str](), threading.Event()

    def send(queue: str, hops: int) -> None:
        sent.append(queue)

    sender = Sender(send, done.set)
    sender.put("first")
    assert sender.flush(PATIENCE)
    assert isinstance(sender.trouble, RuntimeError)
    threads.are_there = True
    sender.put("second")
    with sender._changed:
        assert sender._changed.wait_for(lambda: len(sent) == 2, PATIENCE)
    sender.stop()
    assert done.wait(PATIENCE)
    assert ({"first", "second"}, None, 1) == (set(sent), sender.trouble, threads.refused)
    assert caplog.text.count("can't start new thread") == 1


class Refusing:
    """Sends permits, of which those for some queues are refused; for ``gone`` no broker answers at all."""

    def __init__(self) -> None:
        self.refuses, self.tried = {"bad", "worse"}, list[str]()

    def send(self, queue: str, hops: int) -> None:
        self.tried.append(queue)
        if queue in self.refuses:
            raise (
                ConnectionError("away")
                if queue == "gone"
                else ChannelClosedByBroker(406, "PRECONDITION_FAILED")
            )


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Refusing, Sender]]:
    """What refuses, and who sends by it, with short rests in an outage."""
    monkeypatch.setattr("phaseline.queues.dramatiq.sending.OUTAGE_PAUSE", 0.05)
    by = Refusing()
    sender = Sender(by.send, lambda: None)
    yield by, sender
    sender.stop()


def test_a_queue_that_is_refused_holds_back_no_other(
    refusing: tuple[Refusing, Sender], caplog: pytest.LogCaptureFixture
) -> None:
    """Each one is told of once, and tried again, with rests; and its permit is sent once it may be."""
    caplog.set_level(logging.INFO, "phaseline.queue")
    by, sender = refusing
    for queue in ("bad", "good", "worse", "other"):
        sender.put(queue)
    assert sender.flush(PATIENCE)
    assert {"good", "other"} <= set(by.tried)
    assert ({"bad", "worse"}, None) == (sender.refused.keys(), sender.trouble)
    for _ in range(5):
        sender.put("bad")
        sender.put("good")
        assert sender.flush(PATIENCE)
    assert (1, True) == (by.tried.count("bad"), by.tried.count("good") > 2)
    sender.refused["bad"] = 0  # its rest is over
    sender.put("good")
    assert until(lambda: by.tried.count("bad") == 2)
    by.refuses.clear()
    sender.refused.update(bad=0, worse=0)
    sender.put("good")
    assert until(lambda: len(caplog.records) == 4)  # told of after it is noted
    assert not sender.refused
    said = sorted(record.getMessage()[:41] for record in caplog.records)
    assert [
        "permits for queue 'bad' can be sent again",
        "permits for queue 'bad' cannot be sent (C",
        "permits for queue 'worse' can be sent aga",
        "permits for queue 'worse' cannot be sent ",
    ] == said


def test_a_broker_that_is_away_is_not_tried_for_each_queue(
    refusing: tuple[Refusing, Sender], caplog: pytest.LogCaptureFixture
) -> None:
    """Each time may be a long one; and yet what it was tried for holds back no other, should it be the only one after all."""
    by, sender = refusing
    by.refuses = {"gone"}
    with sender._changed:  # one batch
        for queue in ("gone", "good", "other"):
            sender.put(queue)
    assert sender.flush(PATIENCE)
    assert until(lambda: by.tried[:4] == ["gone", "good", "other", "gone"])
    assert not sender.refused
    assert caplog.text.count("cannot be sent") <= 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(111, "refused"), False),
        (socket.gaierror(-2, "unknown name"), False),
        (TimeoutError("slow"), False),
        (redis.ConnectionError("gone"), False),
        (redis.TimeoutError("slow"), False),
        (redis.ResponseError("Error running script: -READONLY You can't write"), False),
        (redis.ReadOnlyError("You can't write against a read only replica."), False),
        (redis.ResponseError("MISCONF Redis is configured to save"), False),
        (redis.ResponseError("WRONGTYPE Operation against a key"), True),
        (StreamLostError("gone"), False),
        (ConnectionClosed(StreamLostError("gone")), False),
        (ChannelClosedByBroker(406, "PRECONDITION_FAILED"), True),
        (ConnectionClosed(ChannelClosedByBroker(406, "PRECONDITION_FAILED")), True),
        (ValueError("whatever"), False),
    ],
)
def test_a_refusal_is_told_from_an_outage(error: Exception, expected: bool) -> None:
    """By what clients raise, also where Dramatiq wraps it."""
    assert expected == is_refusal(error)


def test_a_nudge_without_a_thread_is_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others find the work by themselves; the next nudge begins one."""
    threads, connected = Threads(monkeypatch), threading.Event()

    def connect() -> psycopg.Connection[Any]:
        connected.set()
        raise psycopg.OperationalError("away")

    teller = Teller(connect, "channel")
    teller.tell("default", Nudge(queues=frozenset({"default"})))
    assert "can't start new thread" in caplog.text
    threads.are_there = True
    teller.tell("default", Nudge(queues=frozenset({"default"})))
    assert connected.wait(PATIENCE)
    teller.stop()
    assert threads.refused == 1


def test_a_hearer_that_cannot_connect_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in each outage, however often it tries again, and without what the driver says of its parameters."""
    monkeypatch.setattr(notices, "RECONNECT_PAUSE", 0.001)
    caplog.set_level(logging.INFO)
    outages, tries = list[int](), threading.Semaphore(0)

    class Connection(Entered):
        def execute(self, statement: object) -> None:
            pass

        def notifies(self, **_: object) -> None:
            raise psycopg.OperationalError("cut")

    def connect() -> psycopg.Connection[Any]:
        outages.append(1)
        tries.release()
        if len(outages) == 5:
            return cast("psycopg.Connection[Any]", Connection())  # what is needed of one
        raise psycopg.ProgrammingError("invalid connection option: hunter2")

    hearer = Hearer(connect, "channel")
    hearer.listen("default", print)
    for _ in range(10):
        assert tries.acquire(timeout=PATIENCE)
    hearer.stop()
    hearer.join()
    said = [record.getMessage() for record in caplog.records if record.name == "phaseline.storage"]
    assert ["ProgrammingError", "cut"] == [text.rpartition(": ")[2] for text in said]
    assert all("cannot be heard" in text for text in said)


def test_a_hearer_outlives_what_it_cannot_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may connect to the database can send it anything; all hints to this process come by its one thread."""
    monkeypatch.setattr(notices, "RECONNECT_PAUSE", 0.001)
    assert notices.read("[" * 7_900) is None
    reads, tries = iter([MemoryError("a mistake of ours"), None]), threading.Semaphore(0)

    class Connection(Entered):
        def execute(self, statement: object) -> None:
            tries.release()

        def notifies(self, **_: object) -> Iterator[object]:
            error = next(reads, None)
            if error is not None:
                raise error
            time.sleep(0.001)
            return iter(())

    monkeypatch.setattr(Hearer, "_wake", lambda *_: None)
    hearer = Hearer(lambda: cast("psycopg.Connection[Any]", Connection()), "channel")  # what is needed of one
    hearer.listen("default", print)
    for _ in range(2):
        assert tries.acquire(timeout=PATIENCE)
    hearer.stop()
    hearer.join()
    assert "was not heard" in caplog.text


def test_a_hearer_that_is_stopped_while_it_connects_hears_nothing() -> None:
    """Nobody could wake it any more, should the server say nothing from then on."""
    going_on, asked = threading.Event(), list[str]()

    class Connection(Entered):
        def __exit__(self, *_: object) -> None:
            asked.append("closed")

        def execute(self, statement: object) -> None:
            asked.append(str(statement))

    def connect() -> psycopg.Connection[Any]:
        assert going_on.wait(PATIENCE)
        return cast("psycopg.Connection[Any]", Connection())  # what is needed of one

    hearer = Hearer(connect, "channel")
    hearer.listen("default", asked.append)
    hearer.stop()
    going_on.set()
    hearer.join()
    assert asked == ["closed"]
    assert hearer._thread is not None
    assert not hearer._thread.is_alive()


def test_one_listener_that_raises_makes_no_other_deaf(caplog: pytest.LogCaptureFixture) -> None:
    """What he raises is logged."""
    hearer, heard = Hearer(object, "channel"), list[Nudge]()  # type: ignore[arg-type]  # nothing is connected
    hearer._thread = threading.current_thread()

    def broken(_: Nudge) -> None:
        raise ZeroDivisionError

    hearer.listen("default", broken)
    end = hearer.listen("default", heard.append)
    hearer.listen("acme", heard.append)
    nudge = Nudge(queues=frozenset({"pipeline"}))
    hearer._pass_on("default", nudge)
    assert heard == [nudge]
    assert "was not heeded" in caplog.text
    end()
    hearer._pass_on("default", nudge)
    assert heard == [nudge]
