"""The queue on Dramatiq beside real brokers: what Dramatiq's own stub cannot show."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import anyio
import pytest
import redis
from anyio import to_thread
from dramatiq import Broker, Message
from dramatiq import Worker as DramatiqWorker
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from tests.on_dramatiq import CARRIED, OnDramatiq
from tests.servers import Server, free_port
from tests.waiting import PATIENCE, until

from phaseline import Pipeline, Runtime, phase
from phaseline.queues.dramatiq import DramatiqQueue
from phaseline.queues.dramatiq import queue as module
from phaseline.queues.dramatiq.queue import broker_of, waiting
from phaseline.queues.dramatiq.watchdog import Watchdog
from phaseline.testing.queue import USED, Listener

pytestmark = pytest.mark.timeout(150)  # a node of RabbitMQ's may be slow to come up

LONG = 30.0
PROOF = "proof"


@phase
async def echo(number: int) -> int:
    return number


echoing = Pipeline("echoing", echo)
PERMITTED = ("default", PROOF)


def _write_raw(broker: Any, queue: str, body: bytes) -> None:
    """Put bytes into a queue, as somebody may who does not know Dramatiq."""
    if hasattr(broker, "client"):
        broker.client.hset(f"dramatiq:{queue}.msgs", "forged", body)
        broker.client.rpush(f"dramatiq:{queue}", "forged")
    else:
        broker.declare_queue(queue, ensure=True)
        broker.channel.basic_publish(exchange="", routing_key=queue, body=body)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker that the queue makes from a URL, empty."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    made: Any = broker_of(server.url)
    if request.param == "redis":
        made.client.flushall()
        yield made
        made.client.connection_pool.disconnect()
        return
    yield made
    _clear(made, PERMITTED)


def _clear(broker: Any, queues: Iterable[str]) -> None:
    """Leave nothing to the next test on this node."""
    for name in queues:
        for each in (name, f"{name}.DQ", f"{name}.XQ"):
            broker.channel.queue_delete(each)
    broker.close()


@pytest.fixture
def queue(broker: Broker) -> Iterator[DramatiqQueue]:
    """A queue on it."""
    made = DramatiqQueue(broker)
    yield made
    made.close()


@pytest.fixture
def working(broker: Broker) -> Iterator[Broker]:
    """The broker, with a worker of Dramatiq's on it."""
    worker = DramatiqWorker(broker, worker_threads=1, worker_timeout=20)
    worker.start()
    yield broker
    worker.stop()


def test_permits_that_nobody_takes_do_not_pile_up(broker, queue, monkeypatch):
    """They all say the same, whatever counts them."""
    monkeypatch.setattr(module, "ENOUGH", 3)
    monkeypatch.setattr(module, "COUNTING", 0)
    for _ in range(10):
        queue.put("default")
        queue.flush(PATIENCE)

    assert until(lambda: waiting(broker, "default") == 3)


def test_a_queue_that_is_somebody_elses_holds_back_no_other(rabbitmq_server):
    """RabbitMQ refuses to have it in another shape, and closes the channel; permits for others are sent all the same."""
    host: Any = broker_of(rabbitmq_server.url)
    host.channel.queue_declare("orders", durable=True)
    with closing(DramatiqQueue(rabbitmq_server.url)) as queue:
        queue.put("orders")
        queue.put("default")
        queue.flush(PATIENCE)
        assert ({"orders"}, None) == (queue._sender.refused.keys(), queue._sender.trouble)
    assert waiting(host, "default") == 1
    _clear(host, ("orders", "default"))


def test_a_queue_that_was_named_leaves_no_connection(redis_server):
    """What it made of a URL is its own: nobody else would close it, and Python warns of each one at its end."""
    with closing(redis.Redis.from_url(redis_server.url)) as probe:
        ids = lambda: {each["id"] for each in probe.client_list()}  # noqa: E731
        before = ids()
        queue = DramatiqQueue(redis_server.url)
        queue.put("default")
        queue.flush(PATIENCE)
        assert ids() - before
        queue.close()
        assert until(lambda: not ids() - before)
        probe.flushall()


def test_a_redis_that_only_reads_any_more_is_left_for_the_new_primary(failing_over, monkeypatch):
    """After a failover the old one may live on as a replica: permits are sent, and taken, where the name leads by then."""
    monkeypatch.setattr("phaseline.queues.dramatiq.sending.OUTAGE_PAUSE", 0.1)
    queue = DramatiqQueue(failing_over.url)
    queue.put("default")
    queue.flush(PATIENCE)
    assert queue._sender.trouble is None
    failing_over.demote(is_of_use=True)
    queue.put("default")
    assert until(lambda: queue._sender.trouble is not None)
    failing_over.lead_to_new()
    assert until(lambda: queue._sender.trouble is None)
    assert waiting(queue._outlet, "default") == 1
    queue.close()


def test_a_consumer_follows_the_name_of_its_redis(failing_over):
    """It is begun anew since permits wait that it does not take, and finds the new primary."""
    queue = DramatiqQueue(failing_over.url)
    worker = DramatiqWorker(queue.broker, worker_threads=1, worker_timeout=20)
    worker.start()
    listener = Listener()
    queue.listen(listener.wake, PERMITTED)
    _put_at(failing_over.url, "default")
    assert listener.hears("default")
    failing_over.demote(is_of_use=True)
    failing_over.lead_to_new()
    _put_at(failing_over.url_of_new, PROOF)
    watchdog = Watchdog(worker, lambda: queue.served, queue.traffic)
    watchdog._restart(PROOF, "permits wait")

    def heard() -> bool:
        """Look as it does: a connection that another consumer had in use may have come back to the pool, and been taken."""
        if until(lambda: PROOF in listener.heard, within=1):
            return True
        watchdog.look()
        return False

    assert until(heard)
    worker.stop()
    queue.close()


def _put_at(url: str, name: str) -> None:
    """Send a permit from another process, as it were."""
    with closing(DramatiqQueue(url)) as queue:
        queue.put(name)
        queue.flush(PATIENCE)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe no JSON", b"[]", b"{}", b'{"queue_name": "default"}'])
def test_what_is_no_message_does_no_harm(working, queue, body):
    """Dramatiq may leave it where it is; the permits after it are heard."""
    listener = Listener()
    queue.listen(listener.wake, PERMITTED)
    _write_raw(working, "default", body)
    _write_raw(working, PROOF, body)
    # It is taken, and the consumer begins anew, which Dramatiq does after some seconds.
    assert until(lambda: waiting(queue._outlet, PROOF) == 0, LONG)

    def is_heard() -> (
        bool
    ):  # what was taken in one draught with it is lost until Dramatiq looks for it after a minute
        for name in PERMITTED:
            queue.put(name)
        return set(PERMITTED) == set(listener.heard)

    assert until(is_heard, LONG)


def test_a_message_for_an_actor_of_others_does_no_harm(working, queue):
    """It is thrown away by Dramatiq, as a permit for a worker that does not know the actor would be."""
    listener = Listener()
    queue.listen(listener.wake, PERMITTED)
    working.enqueue(Message("default", "somebody.elses", ("default",), {}, {}))
    queue.put("default")
    assert listener.hears("default")
    assert ["default"] == listener.heard


def test_the_thread_that_sends_leaves_no_connection(broker, queue, monkeypatch):
    """When there was nothing to send for a while, it ends, and what it sent by is closed."""
    monkeypatch.setattr("phaseline.queues.dramatiq.sending.LINGER", 0.01)
    before = _senders()
    for _ in range(2):
        queue.put("default")
        queue.flush(PATIENCE)
        assert until(lambda: _senders() == before)
        assert set() == getattr(broker, "connections", set())


def _senders() -> int:
    return sum(thread.name == "phaseline-permits" for thread in threading.enumerate())


def test_a_broker_that_answers_is_reached(broker, queue):
    """And asking leaves no connection in the caller's thread."""
    queue.ping()
    assert set() == getattr(broker, "connections", set())


def test_runs_are_started_while_the_broker_is_away(tmp_path, caplog):
    """The storage has them, and a warning says so once."""
    runtime = Runtime(
        f"sqlite:///{tmp_path}/runs.db",
        pipelines=[echoing],
        queue=f"redis://127.0.0.1:{free_port()}/0",
        serve=False,
    )

    async def start_some() -> list[str]:
        async with runtime:
            handles = [await runtime.start(echoing, number) for number in range(20)]
            assert await to_thread.run_sync(until, lambda: bool(caplog.records), LONG)
            return [await handle.state() for handle in handles]

    with caplog.at_level(logging.WARNING, "phaseline.queue"):
        assert ["IDLE"] * 20 == anyio.run(start_some)
    assert ["permits cannot be sent"] == [record.message[:22] for record in caplog.records]


class TestDramatiqRabbitmq(OnDramatiq):
    """The whole contract on RabbitMQ; the one on Redis is among the others."""

    @pytest.fixture
    def broker(self, rabbitmq_server: Server) -> Iterator[RabbitmqBroker]:
        broker = RabbitmqBroker(url=rabbitmq_server.url, confirm_delivery=True)
        yield broker
        _clear(broker, broker.get_declared_queues() | {*CARRIED, *USED})
