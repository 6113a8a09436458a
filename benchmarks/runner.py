"""Rounds of all contenders, interleaved: each one in its own process, one of them measuring at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from benchmarks.cases import Case
from benchmarks.load import Round
from benchmarks.stores import DATABASE_URL, Databases

PATIENCE = 60.0
"""Seconds, on top of a round's length, after which a contender that says nothing is ended."""
ENDING = 10.0
"""Seconds that a contender has to end by itself when it is no longer needed."""
INSTALL = "python -m pip install -e . --group bench"


class BenchmarkError(Exception):
    """A contender could not be started or measured; without it there is no comparison, so the benchmark ends."""

    def __init__(self, case: str, contender: str, reason: str) -> None:
        self.case, self.contender, self.reason = case, contender, reason
        super().__init__(
            f"{case}: {contender} cannot be measured: {reason}\n"
            f"If something is not installed: {INSTALL} (pip 25.1 or later, in the root of the project). "
            f"To see it alone, with its traceback: python -m benchmarks.worker {case} {contender}"
        )


@attrs.frozen
class Plan:
    """How to measure a case."""

    case: Case
    runs: int
    """Runs at once."""
    contenders: tuple[str, ...]
    rounds: int
    seconds: float
    """Length of a round."""
    directory: Path
    """Where what contenders say on stderr is kept."""
    storage: str | None = None
    """The kind of database that contenders store in."""
    databases: Databases | None = None
    """Gives each contender one."""


@attrs.frozen
class Outcome:
    """A plan and each contender's rounds, in order."""

    plan: Plan
    rounds: dict[str, list[Round]]

    def values(self, contender: str) -> list[float]:
        """A contender's figure in each round, in the case's unit."""
        return [self.plan.case.figure(each.runs_per_second) for each in self.rounds[contender]]


def measure(plan: Plan) -> Outcome:
    """Start the contenders, then let them measure in turn, round by round.

    Raises:
        BenchmarkError: A contender is not installed, did not start, or failed.
    """
    rounds: dict[str, list[Round]] = {name: [] for name in plan.contenders}
    with ExitStack() as stack:
        contenders = [stack.enter_context(Contender(plan, name)) for name in plan.contenders]
        for number in range(plan.rounds):
            # turned round each time, so that nobody always comes after the same neighbour
            for contender in _turned(contenders, number):
                rounds[contender.name].append(contender.round())
    return Outcome(plan, rounds)


class Contender:
    """A worker process, ready to measure while the context is open."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.name = name
        self._plan = plan
        self._held = ExitStack()
        self._log = plan.directory / f"{plan.case.name}-{plan.runs}-{name}.log"

    def __enter__(self) -> Self:
        plan = self._plan
        command = [sys.executable, "-m", "benchmarks.worker", plan.case.name, self.name]
        command += ["--runs", str(plan.runs), "--seconds", str(plan.seconds)]
        with self._held as made, self._log.open("wb") as log:
            environment = dict(os.environ)
            if plan.databases is not None:
                # not on the command line, where others could read the password in it
                environment[DATABASE_URL] = made.enter_context(plan.databases.fresh(self.name))
            pipe = subprocess.PIPE
            # S603: the command is our own interpreter and the options that argparse has checked
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment
            )
            made.callback(self._end)
            self._answer()
            self._held = made.pop_all()  # all is well: it goes on after this block
        return self

    def round(self) -> Round:
        """Measure one round."""
        assert self._process.stdin is not None, "opened as a pipe"
        with suppress(BrokenPipeError):  # it has ended: the missing answer tells
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        return Round(**self._answer())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None, "opened as a pipe"
        limit = self._plan.seconds + PATIENCE
        timer = threading.Timer(limit, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise self._error(f"its process ended, or said nothing for {limit:g} s. Its last words:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._error(answer["error"])
        return answer

    def _error(self, reason: str) -> BenchmarkError:
        return BenchmarkError(self._plan.case.name, self.name, reason)

    def _end(self) -> None:
        try:
            self._process.communicate(timeout=ENDING)
        except subprocess.TimeoutExpired:
            # a peer's own threads may outlive its work; the figures are already here
            self._process.kill()
            self._process.communicate()


def _turned(contenders: Sequence[Contender], number: int) -> list[Contender]:
    start = number % len(contenders)
    return [*contenders[start:], *contenders[:start]]
