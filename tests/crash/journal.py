"""A file in which bodies write down what they did, and callers what they were told, by processes that may die."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from phaseline import Context
from phaseline.testing.accounts import Effect, Moment, Reply, from_lines, to_line


class Journal:
    """Appends a line at a time: whole, in the order of time, and kept by the system when its writer is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, account: Effect | Reply) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, to_line(account))
        finally:
            os.close(file)

    def note(self, ctx: Context, moment: Moment, step: str | None = None) -> None:
        """Write down what a body does."""
        self.write(
            Effect(
                run_id=ctx.run_id, phase=ctx.phase, attempt=ctx.attempt, moment=moment, at=datetime.now(UTC), step=step,
                key=ctx.idempotency_key,
            )
        )  # fmt: skip

    @contextmanager
    def noted(self, ctx: Context) -> Iterator[None]:
        """Write down begin and end of a body."""
        self.note(ctx, Moment.BEGIN)
        yield
        self.note(ctx, Moment.END)

    @property
    def mending(self) -> Path:
        """A file that is there once what killed its processes is mended."""
        return self.path.with_suffix(".mended")

    def arrive(self) -> None:
        """Write down that this process is about to open its runtime."""
        with self._arrivals.open("ab") as file:
            file.write(b".")

    @property
    def arrived(self) -> int:
        """Processes that are."""
        return self._arrivals.stat().st_size

    @property
    def _arrivals(self) -> Path:
        return self.path.with_suffix(".arrivals")

    @property
    def counts(self) -> Path:
        return self.path.with_suffix(".counts")

    def count(self, sign: str) -> None:
        """Write down that this process does one thing more, or less, at once."""
        file = os.open(self.counts, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, f"{time.monotonic_ns()} {os.getpid()} {sign}\n".encode())
        finally:
            os.close(file)

    def read(self) -> tuple[list[Effect], list[Reply]]:
        return from_lines(self.path.read_bytes() if self.path.exists() else b"")
