"""One contender in a process of its own: it prepares and warms up, then measures a round each time it is told to.

Each line on stdin asks for one round, each line on stdout is one JSON object: first ``{"ready": …}``, then a round per
line read, or ``{"error": …}`` and the end. End of input ends it. By hand, for a profiler:
``echo go | python -m cProfile -o memory.prof -m benchmarks.worker memory ours``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TextIO, cast

import attrs

from benchmarks.cases import CASES, MODULES, Case
from benchmarks.load import OneRun, Setting, closed_loop
from benchmarks.stores import DATABASE_URL, SQLITE, STORAGES, databases

WARM_UP = 0.5
"""Seconds of load before the first round, at most; a round shorter than this is also the warm-up's length."""

Prepare = Callable[[Setting], AbstractAsyncContextManager[OneRun]]


async def measure(case: Case, contender: str, setting: Setting, seconds: float, answers: TextIO) -> None:
    """Answer each line of stdin with a round, until it ends."""
    # a module attribute is untyped; each module's own functions are checked where they are written
    prepare = cast("Prepare", getattr(importlib.import_module(MODULES[contender]), case.function))
    async with prepare(setting) as one_run:
        await closed_loop(one_run, setting, min(seconds, WARM_UP))
        _answer(answers, {"ready": contender})
        # in a thread: the contender's event loop stays alive while it waits, as in an application
        while await asyncio.to_thread(sys.stdin.readline):
            gc.collect()
            _answer(answers, attrs.asdict(await closed_loop(one_run, setting, seconds)))


def _answer(answers: TextIO, message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _own_stdout() -> TextIO:
    """Keep stdout for answers; whatever a contender prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


@contextmanager
def _database(case: Case, storage: str) -> Generator[str | None]:
    """Give the database that the parent made, which is the parent's to end; by hand, one of our own."""
    given = os.environ.get(DATABASE_URL)
    if given or not case.is_durable:
        yield given
        return
    with (
        tempfile.TemporaryDirectory(prefix="phaseline-bench-") as directory,
        databases(storage, Path(directory)) as made,
        made.fresh("worker") as url,
    ):
        yield url


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("contender", choices=MODULES)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--storage", choices=STORAGES, default=SQLITE, help=f"if {DATABASE_URL} is not set")
    options = parser.parse_args()
    case = CASES[options.case]
    if options.contender not in case.contenders:
        parser.error(f"{options.contender} does not do {case.name}; these do: {', '.join(case.contenders)}")
    answers = _own_stdout()
    with _database(case, options.storage) as url:
        setting = Setting(case.phases, options.runs, url)
        try:
            asyncio.run(measure(case, options.contender, setting, options.seconds, answers))
        except Exception as error:  # noqa: BLE001  # whatever it is: the parent is told, and ends the benchmark
            traceback.print_exc()
            _answer(answers, {"error": f"{type(error).__name__}: {error}"})
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
