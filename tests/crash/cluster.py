"""Worker processes under a supervisor, and brokers that can be ill-treated."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dramatiq import Message
from tests.servers import Server

from phaseline.queues.dramatiq.queue import broker_of

ROOT = Path(__file__).parents[2]
COMMAND = [
    *(sys.executable, "-m", "dramatiq", "tests.apps.depot:broker"),
    *("--processes", "1", "--threads", "2", "--worker-shutdown-timeout", "15000"),
]
PAUSE = 1.0
"""Seconds after which a command that has ended is started again."""
READY = "Worker process is ready for action"
"""What a command says once it serves."""
ENDING = 30.0
QUEUE = "pipeline"


class Supervisor:
    """Starts commands and starts them again when they end, as systemd does with ``Restart=always`` and ``RestartSec=1``."""

    def __init__(self, count: int, environment: Mapping[str, str], folder: Path) -> None:
        self._environment, self._folder = os.environ | environment, folder
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._keep, args=(number,)) for number in range(count)]
        self.starts = self.restarts = 0
        self.ends: list[int] = []
        """Exit codes at the end."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * ENDING)

    def _keep(self, number: int) -> None:
        log = self._folder / f"worker-{number}.log"
        while not self._stopping.is_set():
            with log.open("ab") as told:
                started = subprocess.Popen(
                    COMMAND, cwd=ROOT, env=self._environment, stdout=told, stderr=told, start_new_session=True
                )
            self.starts += 1
            self._wait(started)
            if self._stopping.is_set():
                self.ends.append(started.returncode)
                return
            self.restarts += 1
            self._stopping.wait(PAUSE)

    def _wait(self, started: subprocess.Popen[bytes]) -> None:
        while started.poll() is None:
            if self._stopping.wait(0.1):
                started.send_signal(signal.SIGTERM)  # once: told twice, Dramatiq ends without any order
                with suppress(subprocess.TimeoutExpired):
                    started.wait(ENDING)
                break
        with suppress(ProcessLookupError):  # children of one that died
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()

    def await_ready(self, starts: int) -> None:
        """Wait until all serve, and so many were started: one that is stopped as it starts does not end in order."""
        until = time.monotonic() + ENDING
        while self.starts < starts or self.told.count(READY) < self.starts:
            assert time.monotonic() < until, self.told
            time.sleep(0.1)

    @property
    def told(self) -> str:
        """What the commands said."""
        return "\n".join(log.read_text(errors="replace") for log in sorted(self._folder.glob("worker-*.log")))


class Mischief(ABC):
    """What can be done to a broker."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.broker: Any = broker_of(server.url)
        self.chance = random.Random(server.dsn.port)  # no secret

    def resend(self, captured: list[Message[Any]], times: int) -> int:
        """Send permits that were seen on their way again, in any order."""
        again = captured * times
        self.chance.shuffle(again)
        for message in again:
            self.broker.enqueue(message)
        return len(again)

    def forge(self) -> int:
        """Send what is no permit, but is a message."""
        forged: list[Message[Any]] = [
            Message(QUEUE, "phaseline.wake", (), {}, {}),
            Message(QUEUE, "phaseline.wake", ({"queue": QUEUE},), {"v": 1, "hops": -1}, {}),
            Message(QUEUE, "phaseline.wake", ("no such queue",), {"v": 1, "hops": 0}, {}),
            Message(
                QUEUE, "phaseline.wake", (QUEUE, "run 7 is done"), {"v": 99, "hops": 0, "state": "DONE"}, {}
            ),
            Message(QUEUE, "somebody.elses", (QUEUE,), {}, {}),
        ]
        for message in forged:
            self.broker.enqueue(message)
        for body in (b"", b"\xff\xfe", b"[]", b"null"):
            self.send_raw(body)
        return len(forged) + 4

    @abstractmethod
    def send_raw(self, body: bytes) -> None:
        """Send what is no message."""

    @abstractmethod
    def flush(self) -> None:
        """Take everything away that waits."""

    def crash(self) -> None:
        """End the broker at once, and lose what it had."""
        self.close()
        self.server.stop(immediate=True)

    def restart(self) -> None:
        """Start it again."""
        self.server.start()
        self.broker = broker_of(self.server.url)

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


class RedisMischief(Mischief):
    """To Redis."""

    def send_raw(self, body: bytes) -> None:
        key = f"forged-{self.chance.random()}"
        self.broker.client.hset(f"dramatiq:{QUEUE}.msgs", key, body)
        self.broker.client.rpush(f"dramatiq:{QUEUE}", key)

    def flush(self) -> None:
        self.broker.client.flushall()

    def crash(self) -> None:
        super().crash()
        for snapshot in self.server.ours.home.glob("dump.rdb"):
            snapshot.unlink()

    def close(self) -> None:
        self.broker.client.connection_pool.disconnect()


class RabbitmqMischief(Mischief):
    """To RabbitMQ."""

    def send_raw(self, body: bytes) -> None:
        self.broker.declare_queue(QUEUE, ensure=True)
        self.broker.channel.basic_publish(exchange="", routing_key=QUEUE, body=body)

    def flush(self) -> None:
        self.broker.flush(QUEUE)

    def close(self) -> None:
        self.broker.close()
