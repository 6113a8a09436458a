from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator

import anyio
import dramatiq
import pytest
from anyio import to_thread
from dramatiq import Broker, Message
from dramatiq import Worker as DramatiqWorker
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.servers import free_port
from tests.waiting import PATIENCE, until

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import DefinitionError, MissingExtraError, QueueUnavailableError, RuntimeUsageError
from phaseline.queues.dramatiq import DramatiqQueue
from phaseline.queues.dramatiq import queue as module
from phaseline.testing.queue import Listener


@phase(queue="mails.DQ")
async def misnamed(number: int) -> int:
    return number


@phase
async def echo(number: int) -> int:
    return number


@pytest.fixture
def broker() -> StubBroker:
    """A broker of the host's, without a worker."""
    return StubBroker()


@pytest.fixture
def working(broker: StubBroker) -> Iterator[StubBroker]:
    """A broker with a worker on it."""
    worker = DramatiqWorker(broker, worker_threads=1, worker_timeout=10)
    worker.start()
    yield broker
    worker.stop()


def permits(broker: StubBroker, queue: str) -> list[Message[object]]:
    """Take what waits in a queue."""
    found = broker.queues[queue]
    return [Message.decode(found.get_nowait()) for _ in range(found.qsize())]


class Busy(Listener):
    """Hears permits, and has no room for work."""

    def wake(self, queue: str) -> bool:
        super().wake(queue)
        return False


# --------------------------------------------------------------------- the host's broker
def test_nothing_of_the_hosts_is_changed_before_somebody_listens(broker):
    """Not the broker, and never what all of Dramatiq shares in a process."""
    encoder = dramatiq.get_encoder()
    queue = DramatiqQueue(broker)
    queue.put("default")
    queue.flush(PATIENCE)

    assert ({}, {}, set()) == (broker.actors, broker.queues, broker.delay_queues)
    assert (None, encoder) == (dramatiq.broker.global_broker, dramatiq.get_encoder())


def test_there_is_one_actor_that_is_not_retried(broker):
    """However many queues are served, and however often."""
    queue = DramatiqQueue(broker)
    queue.listen(Listener().wake, ["one", "two"])
    queue.listen(Listener().wake, ["two", "three"])

    assert {"one", "two", "three"} == broker.get_declared_queues() - broker.delay_queues
    assert ["phaseline.wake"] == list(broker.actors)
    assert {"max_retries": 0} == broker.actors["phaseline.wake"].options


def test_sending_declares_nothing_that_a_worker_would_serve():
    """On RabbitMQ to send is to declare, and a worker takes in what is declared on its broker."""
    declared: list[str] = []

    class Witness(Middleware):
        def after_declare_queue(self, broker: Broker, queue_name: str) -> None:
            declared.append(queue_name)

    broker = RabbitmqBroker(host="127.0.0.1", middleware=[Witness()])
    queue = DramatiqQueue(broker)
    queue._outlet.declare_queue("elsewhere")

    assert ([], set(), set()) == (declared, broker.queues, broker.queues_pending)


def test_a_permit_says_which_queue_and_no_more(broker):
    """Beside its version, and how often it was handed on."""
    broker.declare_queue("default")
    queue = DramatiqQueue(broker)
    queue.put("default")
    queue.flush(PATIENCE)
    (permit,) = permits(broker, "default")

    assert ("phaseline.wake", ("default",), {"v": 1, "hops": 0}, {}) == (
        permit.actor_name,
        permit.args,
        permit.kwargs,
        permit.options,
    )


def test_permits_that_nobody_takes_do_not_pile_up(broker, monkeypatch):
    """They all say the same."""
    monkeypatch.setattr(module, "ENOUGH", 3)
    monkeypatch.setattr(module, "COUNTING", 0)
    broker.declare_queue("default")
    queue = DramatiqQueue(broker)
    for _ in range(10):
        queue.put("default")
        queue.flush(PATIENCE)

    assert 3 == len(permits(broker, "default"))


# --------------------------------------------------------------------- who has room
def test_a_permit_that_finds_no_room_is_handed_on_once(working):
    """To a process that may have some; and then it is dropped, since all of them may be full."""
    queue, busy = DramatiqQueue(working), Busy()
    queue.listen(busy.wake, ["default"])
    queue.put("default")

    assert until(lambda: len(busy.heard) == 2)
    working.join("default")
    time.sleep(0.05)
    assert ["default", "default"] == busy.heard


def test_a_permit_goes_on_unless_all_who_listen_have_room(working):
    """Each serves a namespace of its own, and the permit does not say whose work it is for."""
    queue, busy, free = DramatiqQueue(working), Busy(), Listener()
    stop = queue.listen(busy.wake, ["default"])
    queue.listen(free.wake, ["default"])
    queue.put("default")

    assert until(lambda: len(busy.heard) == 2)
    working.join("default")
    time.sleep(0.05)
    assert (["default"] * 2, ["default"] * 2) == (busy.heard, free.heard)
    stop()
    queue.put("default")
    assert until(lambda: len(free.heard) == 3)
    working.join("default")
    time.sleep(0.05)
    assert len(free.heard) == 3


# --------------------------------------------------------------------- permits of others
@pytest.mark.parametrize(
    ("args", "kwargs", "warns"),
    [
        pytest.param(("default",), {"v": 2, "hops": 0, "color": "red"}, "another version", id="newer"),
        pytest.param(("default", "more"), {"v": 2}, "another version", id="newer, with more"),
        pytest.param((), {}, "names no queue", id="empty"),
        pytest.param((["default"],), {"v": 1}, "names no queue", id="of a wrong type"),
        pytest.param(("unheard of",), {"v": 1, "hops": 1}, None, id="of an unknown queue"),
        pytest.param(("default",), {"v": 1, "hops": "many"}, None, id="with nonsense for a number"),
    ],
)
def test_a_permit_can_do_no_harm(working, caplog, args, kwargs, warns):
    """Whoever wrote it, and whatever it says: the next one is heard, and nothing is thrown away as failed."""
    queue, listener = DramatiqQueue(working), Listener()
    queue.listen(listener.wake, ["default", "proof"])
    for _ in range(2):
        working.enqueue(Message("default", "phaseline.wake", args, kwargs, {}))
    working.join("default")
    queue.put("proof")

    assert listener.hears("proof", *(["default"] if args[:1] == ("default",) else []))
    assert [] == working.dead_letters
    assert [warns] * bool(warns) == [warns for record in caplog.records if warns and warns in record.message]


# --------------------------------------------------------------------- a broker that is away
def test_an_unreachable_broker_delays_nobody_and_is_told_once(caplog):
    """Runs are in the storage, and found without permits."""
    queue = DramatiqQueue(RedisBroker(port=free_port(), retry=Retry(NoBackoff(), 0)))
    with caplog.at_level(logging.WARNING):
        started = time.monotonic()
        for _ in range(100):
            queue.put("default")
        assert time.monotonic() - started < 1
        assert until(lambda: queue._sender.trouble is not None)
        queue.put("default")
        queue.flush(PATIENCE)

    assert ["permits cannot be sent"] == [record.message[:22] for record in caplog.records]
    with pytest.raises(QueueUnavailableError, match="Connection refused"):
        queue.ping()
    queue.close()  # else its thread would go on trying, and the client draws random numbers, which hypothesis forbids


def test_permits_are_sent_once_the_broker_is_back(broker, caplog, monkeypatch):
    """What could not be sent is not forgotten."""
    monkeypatch.setattr("phaseline.queues.dramatiq.sending.OUTAGE_PAUSE", 0.01)
    broker.declare_queue("default")
    queue = DramatiqQueue(broker)
    away = [True]

    def enqueue(message: Message[object]) -> None:
        if away:
            raise ConnectionError("away")
        broker.enqueue(message)

    monkeypatch.setattr(queue._outlet, "enqueue", enqueue)
    queue.put("default")
    assert until(lambda: queue._sender.trouble is not None)
    away.clear()

    assert until(lambda: queue._sender.trouble is None)
    assert 1 == len(permits(broker, "default"))


# --------------------------------------------------------------------- the thread that sends
def senders() -> set[threading.Thread]:
    """Give the threads that send permits."""
    return {thread for thread in threading.enumerate() if thread.name == "phaseline-permits"}


def test_the_thread_that_sends_ends_with_the_runtime(broker, tmp_path):
    """And a runtime that is opened later has one again."""
    queue = DramatiqQueue(broker)

    async def open_and_close() -> None:
        runtime = Runtime(
            f"sqlite:///{tmp_path}/runs.db", pipelines=[Pipeline("echo", echo)], queue=queue, serve=False
        )
        async with runtime:
            queue.put("default")
            assert await to_thread.run_sync(until, lambda: len(senders() - before) == 1)
        assert senders() <= before

    before = senders()
    for _ in range(2):
        anyio.run(open_and_close)


def test_it_ends_while_the_broker_is_away():
    """What it could not send is dropped: it stands in the storage."""
    before = senders()
    queue = DramatiqQueue(RedisBroker(port=free_port(), retry=Retry(NoBackoff(), 0)))
    queue.put("default")
    assert until(lambda: queue._sender.trouble is not None)
    queue.close()
    assert until(lambda: senders() <= before)
    assert {} == queue._sender._waiting


def test_nobody_is_at_work_on_a_broker_when_the_queue_on_it_is_closed(broker, monkeypatch):
    """A host closes its broker next; that of RabbitMQ cannot be while another thread takes a connection of it."""
    queue, sending, done = DramatiqQueue(broker), threading.Event(), threading.Event()

    def enqueue(_: Message[object]) -> None:
        closing.start()
        sending.set()
        assert until(lambda: queue._sender._thread is None)  # it is being closed
        time.sleep(0.05)  # as long as a server may take, whatever is waited for
        done.set()

    closing = threading.Thread(target=lambda: (queue.close(), closed.append(done.is_set())))
    closed: list[bool] = []
    monkeypatch.setattr(queue._outlet, "enqueue", enqueue)
    queue.put("default")
    assert sending.wait(PATIENCE)
    closing.join(PATIENCE)
    assert [True] == closed


def test_it_ends_when_there_is_nothing_to_send(broker, monkeypatch):
    """With its connection, which a broker would take for dead one day."""
    monkeypatch.setattr("phaseline.queues.dramatiq.sending.LINGER", 0.01)
    before, queue = senders(), DramatiqQueue(broker)
    broker.declare_queue("default")
    for number in (1, 2):
        queue.put("default")
        queue.flush(PATIENCE)
        assert until(lambda: senders() <= before)  # those of other tests may still linger
        assert number == broker.queues["default"].qsize()


# --------------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    "given", [None, 5, "redis", "kafka://host", "redis://:secret@host:port/0", StubBroker]
)
def test_what_is_no_broker_is_refused(given):
    """With what would be one."""
    with pytest.raises(RuntimeUsageError, match="redis://") as refusal:
        DramatiqQueue(given)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(("url", "extra"), [("redis://host/0", "redis"), ("amqp://host", "rabbitmq")])
def test_a_broker_whose_client_is_not_installed_is_told_with_the_remedy(url, extra, monkeypatch):
    """The extra's name."""
    monkeypatch.setitem(sys.modules, f"dramatiq.brokers.{extra}", None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'phaseline\[{extra}\]'"):
        DramatiqQueue(url)


def test_a_runtime_takes_the_url_of_a_broker(tmp_path):
    """One line more than without."""
    runtime = Runtime(f"sqlite:///{tmp_path}/runs.db", queue="redis://localhost:6379/0")
    assert "DramatiqQueue(RedisBroker)" == repr(runtime._queue)


def test_storage_of_one_process_is_refused(broker):
    """Its runs cannot be seen by those whom the queue wakes."""
    with pytest.raises(RuntimeUsageError, match="use a database"):
        Runtime("memory", queue=DramatiqQueue(broker))


def test_a_queue_that_dramatiq_refuses_is_told_when_the_runtime_is_made(broker, tmp_path):
    """Not when the first permit is sent."""
    with pytest.raises(DefinitionError, match=r"'mails.DQ'.*rename it"):
        Runtime(
            f"sqlite:///{tmp_path}/runs.db",
            pipelines=[Pipeline("p", misnamed)],
            queue=DramatiqQueue(broker),
        )
    with pytest.raises(DefinitionError, match="'a b'"):
        Runtime(f"sqlite:///{tmp_path}/runs.db", queue=DramatiqQueue(broker), queues=["a b"])


def test_one_broker_has_one_queue_in_a_process(broker):
    """Two would answer to the same actor."""
    DramatiqQueue(broker).listen(Listener().wake, ["default"])
    with pytest.raises(RuntimeUsageError, match="give all runtimes on it the same one"):
        DramatiqQueue(broker).listen(Listener().wake, ["default"])
