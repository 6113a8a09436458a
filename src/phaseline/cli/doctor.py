"""``phaseline doctor``: how a runtime and what it depends on are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import anyio

from phaseline.cli.codes import EXIT_CODES, FAILED, OK, UNUSABLE
from phaseline.cli.places import runtime_at
from phaseline.health import PATIENCE, Health


def add_to(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    doctor = add_parser(
        "doctor",
        help="say whether storage, broker, queues and workers of a runtime are well",
        description="Look at what the workers of a runtime share; nothing is served and nothing changed. The threads of a "
        "worker are known to its own process alone: runtime.health().",
        epilog=EXIT_CODES,
    )
    doctor.add_argument(
        "runtime",
        metavar="MODULE:NAME",
        help="where the runtime is, or a function that makes it: shop.worker:runtime",
    )
    doctor.add_argument("--json", action="store_true", help="print all that was found as one JSON object")
    doctor.add_argument(
        "--patience",
        metavar="SECONDS",
        type=_seconds,
        default=PATIENCE,
        help=f"how long a phase may wait for a worker (default {PATIENCE.total_seconds():g})",
    )
    doctor.set_defaults(do=_examine)


def _seconds(text: str) -> timedelta:
    try:
        found = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        found = timedelta(-1)
    if found < timedelta(0):
        msg = f"{text!r} is no number of seconds"
        raise argparse.ArgumentTypeError(msg)
    return found


def _examine(given: argparse.Namespace) -> int:
    runtime = runtime_at(given.runtime)

    async def examine() -> Health:
        return await runtime.health(patience=given.patience)

    health = anyio.run(examine)
    print(json.dumps(health.to_dict(), indent=2) if given.json else "\n".join(_text(health)))
    if health.storage is not None:
        return UNUSABLE
    return OK if health.ok else FAILED


def _text(health: Health) -> Iterator[str]:
    alive = sum(worker.alive for worker in health.workers)
    yield f"storage: {health.storage or 'answers'}"
    yield f"broker: {health.broker or 'answers, or is none'}"
    if health.at is not None:
        yield f"workers: {alive} alive, of {len(health.workers)} on the list of namespace {health.namespace!r}"
        yield f"queues on which phases wait: {len(health.queues)}"
    for queue in health.queues:
        yield f"  {queue.queue}: for {queue.waited.total_seconds():.1f} s"
    for definition in health.unknown:
        yield f"left alone, for it is not registered: {definition.pipeline} {definition.version} ({definition.fingerprint:.12})"
    yield "all is well" if health.ok else "not well:"
    for problem in health.problems:
        yield f"  {problem}"
