"""``phaseline worker``: a process that serves a runtime until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Annotated, Final, Literal, NamedTuple

import anyio
import typer

from phaseline.cli.codes import ExitCode
from phaseline.cli.options import RuntimeToo, named
from phaseline.cli.places import NoRuntimeError, place_of, runtime_of
from phaseline.errors import RuntimeNotOpenError
from phaseline.event_loop import loop_post
from phaseline.runtime import Runtime
from phaseline.serving import closed_within, end_process, serve, settle_heap

log: Final = logging.getLogger("phaseline.worker")

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
ECHO: Final = 1.0
"""Seconds within which further signals are the same order as the first: ``timeout`` and other wrappers tell a process, and then
the group that it is in."""
LAST_WORDS: Final = 1.0
"""Seconds that the log may take before the end by force."""


def _level(name: str) -> str:
    if name.upper() not in logging.getLevelNamesMapping():
        raise typer.BadParameter(f"{name!r} is none of {', '.join(logging.getLevelNamesMapping())}")
    return name.upper()


def worker(
    runtime: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:NAME",
            show_default=False,
            help="Where the runtime is, or a function that makes it: shop.worker:runtime. By default PHASELINE_RUNTIME, then "
            "runtime in [tool.phaseline] of pyproject.toml.",
        ),
    ] = None,
    *,
    also: RuntimeToo = None,
    backend: Annotated[Literal["asyncio", "trio"], typer.Option(help="The event loop.")] = "asyncio",
    level: Annotated[
        str,
        typer.Option(
            "--log",
            metavar="LEVEL",
            parser=_level,
            help="Of what is written to stderr; does nothing where the module sets up logging itself.",
        ),
    ] = "INFO",
) -> None:
    """Serve a runtime until SIGTERM or Ctrl-C, then drain it.

    Its storage is polled, and on PostgreSQL notifications make it quick. Draining: bodies may go on for Runtime(drain=...),
    what is left is handed over. The process ends then: by force after 15 seconds, if a body does not, and at once at a second
    signal; those within a second of the first are the same one. The exit code is 0 after SIGTERM, 130 after Ctrl-C, and 143 after SIGTERM where it was ended by force.
    """
    place = place_of(named(runtime, also))
    if place.is_url:
        raise NoRuntimeError(
            "a worker needs the pipelines too: write MODULE:NAME, such as shop.worker:runtime"
        )
    found = runtime_of(place)
    # After the application's module: where that has given the root logger a handler, this does nothing.
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if not found.serves:
        raise NoRuntimeError(
            f"{place.text} was made with serve=False, or with no queues: it would do nothing"
        )
    if anyio.run(_serve, found, backend=backend) == signal.SIGINT:
        raise typer.Exit(ExitCode.INTERRUPTED)


async def _serve(runtime: Runtime) -> int | None:
    """Serve it until told to stop; gives by which signal."""
    stopped = anyio.Event()
    post = loop_post()
    stop, patience = partial(post, stopped.set), closed_within(runtime.drain)
    orders = Orders(stop, patience, partial(_bodies_of, runtime))
    with orders.heeded():
        await serve(runtime, stopped, settle_heap)
    return orders.first


def _bodies_of(runtime: Runtime) -> int | None:
    """How many bodies are called; None where it is not open. From any thread."""
    try:
        runners = runtime.runners
    except RuntimeNotOpenError:
        return None
    return sum(len(live.jobs) for runner in runners for live in [*runner.live.values()])


class Order(NamedTuple):
    """A signal that came."""

    number: int
    at: float
    """When, by the monotonic clock."""


class Orders:
    """Orders to stop, heeded in a thread: the event loop may be blocked by the very body that is to be ended."""

    def __init__(
        self, stop: Callable[[], object], patience: timedelta, bodies: Callable[[], int | None]
    ) -> None:
        self._stop, self._patience, self._bodies = stop, patience.total_seconds(), bodies
        self._given: SimpleQueue[Order] = SimpleQueue()  # what a signal handler may put something into
        self.first: int | None = None
        """The signal that the process was told to stop by."""

    @contextmanager
    def heeded(self) -> Generator[None]:
        """Heed signals within, as long as this process is left to us."""
        threading.Thread(target=self._heed, name="phaseline-orders", daemon=True).start()
        before = {number: signal.signal(number, self._take) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, _: object) -> None:
        self._given.put(Order(number, monotonic()))

    def _heed(self) -> None:
        first = self._given.get()
        self.first = first.number
        log.info("told to stop: bodies may end, what is left is handed over")
        self._stop()
        second = self._second(first)
        if second is None:
            end_process(128 + first.number)
        # Beside this thread: a body that is stuck may hold what a handler of the log waits for.
        teller = threading.Thread(target=self._tell_of_force, daemon=True)
        teller.start()
        teller.join(LAST_WORDS)
        os._exit(128 + second.number)  # told twice: others take over what it held

    def _second(self, first: Order) -> Order | None:
        """Wait for another order, within the bound of the close; one that comes with the first is the same one."""
        over = first.at + self._patience
        while True:
            try:
                order = self._given.get(timeout=max(0.0, over - monotonic()))
            except Empty:
                return None
            if order.at - first.at >= ECHO:
                return order

    def _tell_of_force(self) -> None:
        bodies = self._bodies()
        lost = "" if bodies is None else f"; bodies that are lost, and called again elsewhere: {bodies}"
        log.critical("second signal: ended by force%s", lost)
