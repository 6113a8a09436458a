"""The servers, the worker processes and the clients of a round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import redis
from tests.servers import Server

from benchmarks.queue import tally
from benchmarks.queue.contenders import Contender
from benchmarks.stores import Databases

PATIENCE = 120.0
ENDING = 20.0


class QueueBenchmarkError(Exception):
    """A contender could not be measured."""


@attrs.frozen
class Place:
    """Where a round takes place: an empty database, and a Redis that was flushed."""

    environment: Mapping[str, str]
    tally: Any
    log: Path

    @classmethod
    @contextmanager
    def fresh(
        cls, contender: Contender, redis_server: Server, databases: Databases, directory: Path
    ) -> Generator[Place]:
        """Make one."""
        url = redis_server.url.removesuffix("/0") + "/2"
        with redis.Redis.from_url(url) as client, databases.fresh(contender.name) as database:
            client.flushall()
            environment = {
                tally.BROKER: redis_server.url, tally.TALLY: url, tally.DATABASE: database, **contender.environment,
            }  # fmt: skip
            yield cls(os.environ | environment, client, directory / f"queue-{contender.name}.log")

    def ask(self, contender: Contender, *order: str) -> str:
        """Have a client do something, and wait for its end."""
        environment = {name: value for name, value in self.environment.items() if name != "BENCH_SERVE"}
        command = [sys.executable, "-m", "benchmarks.queue.fill", contender.module, *order]
        with self.log.open("ab") as log:
            done = subprocess.run(  # noqa: S603  # our own interpreter and names of ours
                command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, check=False
            )
        if done.returncode != 0:
            raise self.failed(contender, f"the client ended with {done.returncode}")
        return done.stdout

    @contextmanager
    def worker(self, contender: Contender) -> Generator[subprocess.Popen[bytes]]:
        """Have a worker process serve while the block lasts."""
        with self.log.open("ab") as log:
            # S603: as above
            started = subprocess.Popen(  # noqa: S603
                contender.worker, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield started
        finally:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
            try:
                started.wait(ENDING)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()

    def counted(self) -> int:
        """How many jobs were counted so far, in steps."""
        return int(self.tally.get(tally.DONE) or 0)

    def wait_until_counted(self, contender: Contender, steps: int, worker: subprocess.Popen[bytes]) -> float:
        """Wait for the count, and give the time at which it was reached."""
        deadline = time.monotonic() + PATIENCE
        while self.counted() < steps:
            if worker.poll() is not None or time.monotonic() > deadline:
                raise self.failed(contender, f"{self.counted() * tally.STEP} jobs were done, then nothing")
            time.sleep(0.002)
        return time.perf_counter()

    def wait_until_waited(self, contender: Contender, samples: int, worker: subprocess.Popen[bytes]) -> None:
        """Wait until as many jobs have told how long they waited."""
        deadline = time.monotonic() + PATIENCE
        while self.tally.llen(tally.WAITED) < samples:
            if worker.poll() is not None or time.monotonic() > deadline:
                raise self.failed(contender, "what was sent to the idle worker was not done")
            time.sleep(0.01)

    def failed(self, contender: Contender, reason: str) -> QueueBenchmarkError:
        """Make the error that tells what a contender said."""
        told = self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""
        return QueueBenchmarkError(
            f"queue: {contender.label} cannot be measured: {reason}. Its last words:\n{told}"
        )
