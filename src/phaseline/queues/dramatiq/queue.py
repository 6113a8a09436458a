"""The queue on Dramatiq: what is sent is a permit, and all it says is that there may be work on a queue."""

from __future__ import annotations

import copy
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final

from dramatiq import Actor, Broker, Message
from dramatiq.errors import QueueNotFound

from phaseline.abc import Queue
from phaseline.errors import (
    DefinitionError,
    MissingExtraError,
    QueueUnavailableError,
    QueueURLError,
    RuntimeUsageError,
)
from phaseline.queues.dramatiq.sending import Sender
from phaseline.schemes import RABBITMQ, REDIS_BROKER, scheme_of

log: Final = logging.getLogger("phaseline.queue")

ACTOR = "phaseline.wake"
"""The one actor: never renamed, since a worker that does not know a name throws its messages away."""
FORMAT = 1
"""Of a permit. A later one may say more, and means the same to whoever reads no more than the queue."""
HOPS = 1
"""Times a permit that found no room is handed on to another worker."""
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9._-]*")
RESERVED = (".DQ", ".XQ")
"""Dramatiq's own queues beside each."""
ENOUGH = 1_000
"""Permits that wait in a broker at which no more are sent: nobody takes them, and they all say the same."""
COUNTING = 1.0
"""Seconds between two looks at how many wait."""

Wake = Callable[[str], bool]


class DramatiqQueue(Queue):
    """Sends permits through a broker, and hears those that a Dramatiq worker of this process takes from it."""

    crosses_processes: ClassVar[bool] = True
    """Permits go through the broker."""

    def __init__(self, broker: Broker | str) -> None:
        """Use a broker; nothing is connected, declared or changed on it yet.

        Neither Dramatiq's global broker nor its process-wide encoder is touched.

        Args:
            broker: One of the host's. Or the URL of a broker to make, without middleware: ``redis://host:6379/0``,
                ``unix:///run/redis.sock``, ``amqp://user:password@host:5672``.

        Raises:
            RuntimeUsageError: It is no broker.
            QueueURLError: It is a URL that names none.
            MissingExtraError: What the URL needs is not installed.
        """
        made: Any = broker_of(broker) if isinstance(broker, str) else broker
        if not isinstance(made, Broker):
            msg = (
                f"DramatiqQueue({broker!r}): a broker of Dramatiq's is needed, such as "
                "RedisBroker(url='redis://localhost:6379/0'), or its URL"
            )
            raise RuntimeUsageError(msg)
        self.broker: Broker = made
        """That of the host, or the one that was made of a URL."""
        untyped: Any = made
        self._actors: dict[str, Actor[..., Any]] = untyped.actors
        self._outlet: Any = _outlet(made)
        self._let_go: Callable[[], None] = partial(disconnect, self._outlet, whole=isinstance(broker, str))
        self._sender = Sender(self._send, self._let_go)
        self._lock = threading.Lock()
        self._listeners: dict[object, tuple[Wake, frozenset[str]]] = {}
        self._counted: dict[str, tuple[float, bool]] = {}
        """By queue: when permits were counted last, and whether there were enough."""
        self._heard: Counter[str] = Counter()
        """Permits that have come in, by queue."""
        self._said: set[str] = set()

    def __repr__(self) -> str:
        return f"DramatiqQueue({type(self.broker).__name__})"

    # ------------------------------------------------------------------ sending
    def check(self, queue: str) -> None:
        if NAME.fullmatch(queue) is None or queue.endswith(RESERVED):
            msg = (
                f"Dramatiq takes no queue named {queue!r}: a letter or _ first, then letters, digits, '.', '_' and '-', "
                "and not .DQ or .XQ at the end; rename it where phases name it: @phase(queue=...)"
            )
            raise DefinitionError(msg)

    def put(self, queue: str) -> None:
        self._sender.put(queue)

    def flush(self, seconds: float) -> None:
        self._sender.flush(seconds)

    def close(self) -> None:
        self._sender.stop()
        self._let_go()

    def ping(self) -> None:
        try:
            waiting(self._outlet, next(iter(self.broker.get_declared_queues()), "default"))
        except Exception as error:
            raise QueueUnavailableError(repr(self), f"{type(error).__name__}: {error}") from error
        finally:
            disconnect(self._outlet)  # this thread is not ours

    def _send(self, queue: str, hops: int) -> None:
        try:
            self._send_unless_enough(queue, hops)
        except Exception:
            reconnect(self._outlet)
            raise

    def _send_unless_enough(self, queue: str, hops: int) -> None:
        if self._has_enough(queue):
            return
        permit: Message[None] = Message(
            queue_name=queue, actor_name=ACTOR, args=(queue,), kwargs={"v": FORMAT, "hops": hops}, options={}
        )  # fmt: skip
        with suppress(QueueNotFound):  # the StubBroker knows that nobody listens
            self._outlet.enqueue(permit)

    def _has_enough(self, queue: str) -> bool:
        counted, enough = self._counted.get(queue, (-COUNTING, False))
        now = time.monotonic()
        if now - counted >= COUNTING:
            try:
                enough = waiting(self._outlet, queue) >= ENOUGH
            except Exception:
                disconnect(self._outlet)
                raise
            self._counted[queue] = now, enough
        return enough

    # ------------------------------------------------------------------ hearing
    def listen(self, wake: Wake, queues: Iterable[str]) -> Callable[[], None]:
        names = frozenset(queues)
        for name in names:
            self.check(name)
        key = object()
        with self._lock:
            self._listeners[key] = wake, names
            self._declare(names)

        def stop() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return stop

    @property
    def served(self) -> frozenset[str]:
        """Queues of which somebody here listens to the permits."""
        return frozenset[str]().union(*(names for _, names in tuple(self._listeners.values())))

    def traffic(self, queue: str) -> tuple[int, int]:
        """Count the permits that wait in the broker, and those that have come here so far; may raise what clients do."""
        try:
            return waiting(self._outlet, queue), self._heard[queue]
        except Exception:
            disconnect(self._outlet)
            raise

    def _declare(self, queues: Iterable[str]) -> None:
        """Have a Dramatiq worker of this process take permits from these queues, and from no others."""
        for queue in sorted(queues):
            if ACTOR not in self._actors:
                options = {"max_retries": 0} if "max_retries" in self.broker.actor_options else {}
                Actor(
                    self._wake,
                    broker=self.broker,
                    actor_name=ACTOR,
                    queue_name=queue,
                    priority=0,
                    options=options,
                )
            elif self._actors[ACTOR].fn != self._wake:
                msg = f"another DramatiqQueue uses this broker already; give all runtimes on it the same one: {self!r}"
                raise RuntimeUsageError(msg)
            self.broker.declare_queue(queue)

    def _wake(
        self, queue: object = None, *_: object, v: object = FORMAT, hops: object = 0, **__: object
    ) -> None:
        """Take a permit, whoever wrote it: it can be wrong in any way, and does no more than make somebody look."""
        if not isinstance(queue, str):
            self._say_once("nothing", "a permit that names no queue was dropped: %r", queue)
            return
        if v != FORMAT:
            self._say_once("format", "permits of another version come in (%r): they wake as ours do", v)
        self._heard[queue] += 1
        took = [wake(queue) for wake, names in tuple(self._listeners.values()) if queue in names]
        # Of several that listen each serves another namespace, and it does not say whose work it is for.
        if not (took and all(took)) and isinstance(hops, int) and 0 <= hops < HOPS:
            self._sender.put(queue, hops + 1)

    def _say_once(self, topic: str, message: str, *values: object) -> None:
        if topic not in self._said:
            self._said.add(topic)
            log.warning(message, *values)


# --------------------------------------------------------------------- brokers
def broker_of(url: str) -> Broker:
    """Make the broker that a URL names; without middleware, which permits need none of.

    Raises:
        QueueURLError: It names none.
        MissingExtraError: What it needs is not installed.
    """
    scheme = scheme_of(url) if "://" in url else ""
    options: dict[str, Any] = {"url": url, "middleware": []}
    make: Any
    if scheme in REDIS_BROKER:
        try:
            from dramatiq.brokers.redis import RedisBroker as make  # noqa: N813, PLC0415  # an extra
        except ImportError as error:
            raise MissingExtraError("a broker on Redis", "redis") from error
    elif scheme in RABBITMQ:
        try:
            from dramatiq.brokers.rabbitmq import RabbitmqBroker as make  # noqa: N813, PLC0415  # an extra
        except ImportError as error:
            raise MissingExtraError("a broker on RabbitMQ", "rabbitmq") from error
        options["confirm_delivery"] = True
    else:
        raise QueueURLError(url, "known are redis://host:6379/0 and amqp://user:password@host:5672")
    try:
        made: Broker = make(**options)
    except ValueError as error:
        raise QueueURLError(url, f"it cannot be read: {error}; write redis://host:6379/0") from error
    return made


def _outlet(broker: Broker) -> Broker:
    """Give a second face of a broker, to send by.

    To send is to declare, where the broker is RabbitMQ, and what is declared on a broker is taken in by the workers on
    it: they would swallow permits for queues that nobody serves there. So this face has no middleware, by which workers
    hear of queues, and sets of names of its own.
    """
    outlet = copy.copy(broker)
    outlet.middleware = []
    for name in ("queues", "queues_pending", "delay_queues"):
        if isinstance(getattr(outlet, name, None), set):
            setattr(outlet, name, copy.copy(getattr(outlet, name)))
    return outlet


def waiting(broker: Any, queue: str) -> int:
    """Count the messages that wait in a queue, as each kind of broker lets us; 0 where none does."""
    if hasattr(broker, "do_qsize"):  # Redis; its own count has those in it that were taken and cannot be read
        return int(broker.client.llen(f"{broker.namespace}:{queue}"))
    if _is_rabbitmq(broker):
        return int(broker.get_queue_message_counts(queue)[0])
    queues: Any = broker.queues  # the StubBroker's
    return int(queues[queue].qsize()) if queue in queues and hasattr(queues, "keys") else 0


def disconnect(broker: Any, *, whole: bool = False) -> None:
    """Let go of this thread's connection, of which RabbitMQ's broker holds one for each thread; ``whole``: of all of a Redis's."""
    if _is_rabbitmq(broker):
        del broker.connection
    elif whole and hasattr(broker, "client"):
        # It connects again by itself. The client's own close() leaves a pool open that it was given, as Dramatiq does.
        broker.client.connection_pool.disconnect()


def reconnect(broker: Any) -> None:
    """Have a Redis be found anew by its name, with the next command, by whoever does not wait for an answer now.

    One that was the primary and lives on as a replica answers: that it only reads. Its connections would stay for ever.
    """
    if (pool := getattr(getattr(broker, "client", None), "connection_pool", None)) is not None:
        with suppress(Exception):
            pool.disconnect(inuse_connections=False)


def _is_rabbitmq(broker: Any) -> bool:
    return hasattr(broker, "get_queue_message_counts")
