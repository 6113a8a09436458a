"""``phaseline worker``: a process that serves a runtime until it is told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable

import anyio

from phaseline.cli.codes import EXIT_CODES, OK
from phaseline.cli.places import NoRuntimeError, runtime_at
from phaseline.runtime import Runtime
from phaseline.serving import serve

STOPPING = (signal.SIGTERM, signal.SIGINT)


def add_to(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    worker = add_parser(
        "worker",
        help="serve a runtime until SIGTERM or Ctrl-C, then drain it",
        description="Serve a runtime: its storage is polled, and on PostgreSQL notifications make it quick. SIGTERM or "
        "Ctrl-C drains it: bodies may go on for Runtime(drain=...), what is left is handed over. A second one ends the "
        "process at once.",
        epilog=EXIT_CODES,
    )
    worker.add_argument(
        "runtime",
        metavar="MODULE:NAME",
        help="where the runtime is, or a function that makes it: shop.worker:runtime",
    )
    worker.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help="default asyncio")
    worker.add_argument(
        "--log",
        metavar="LEVEL",
        default="INFO",
        type=_level,
        help="of what is written to stderr (default INFO)",
    )
    worker.set_defaults(do=_work)


def _level(name: str) -> str:
    if name.upper() not in logging.getLevelNamesMapping():
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(logging.getLevelNamesMapping())}")
    return name.upper()


def _work(given: argparse.Namespace) -> int:
    logging.basicConfig(level=given.log, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    runtime = runtime_at(given.runtime)
    if not runtime.serves:
        msg = f"{given.runtime} was made with serve=False, or with no queues: it would do nothing"
        raise NoRuntimeError(msg)
    anyio.run(_serve, runtime, backend=given.backend)
    return OK


async def _serve(runtime: Runtime) -> None:
    stopped = anyio.Event()
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(*STOPPING) as signals:
            tasks.start_soon(_heed, signals, stopped)
            await serve(runtime, stopped, lambda: None)
        tasks.cancel_scope.cancel()


async def _heed(signals: AsyncIterator[signal.Signals], stopped: anyio.Event) -> None:
    async for number in signals:
        if stopped.is_set():
            os._exit(128 + number)  # told twice: others take over what it held
        logging.getLogger("phaseline.worker").info(
            "told to stop: bodies may end, what is left is handed over"
        )
        stopped.set()
