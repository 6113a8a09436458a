"""Processes for fault tests, by the hundred: forked from one that has imported everything already.

Starting Python and importing takes 1.5 s of a processor, forking some milliseconds. What is forked is a process like any
other, with a pid, files and connections of its own: it opens them after the fork.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]
PATIENCE = 45
"""Seconds that a process may take, or the nursery an answer."""


@attrs.define
class Child:
    """A process that was started."""

    pid: int
    out: Path
    err: Path
    status: int | None = None
    """Once it has ended, as ``Popen.returncode``."""

    @property
    def told(self) -> str:
        """What it wrote to stderr."""
        return self.err.read_text()

    def answer(self) -> Any:
        """The JSON that it printed, having ended well."""
        assert self.status == 0, self.told
        return json.loads(self.out.read_text())


class Nursery:
    """Starts processes that do what ``tests.crash.orders`` does."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._number = 0
        self._children: list[Child] = []

    def begin(self, folder: Path, *arguments: str) -> Child:
        """Start a process; what it prints goes to files in the folder."""
        self._number += 1
        out, err = folder / f"out.{self._number}", folder / f"err.{self._number}"
        pid = self._ask({"begin": arguments, "out": str(out), "err": str(err)})
        child = Child(pid, out, err)
        self._children.append(child)
        return child

    def kill_the_rest(self) -> None:
        """Kill what nobody has waited for: a test that fails leaves its processes behind."""
        for child in self._children:
            if child.status is None:  # so the process that forked it keeps its number
                self.kill(child)

    def ended(self, child: Child) -> Child:
        """Wait for the end of a process; fails where it does not come."""
        if child.status is None:
            try:
                child.status = self._ask({"wait": child.pid})
            except TimeoutError:
                self.kill(child)
                child.status = self._ask(None)
                raise AssertionError(f"the process did not end within {PATIENCE} s:\n{child.told}") from None
        return child

    @staticmethod
    def kill(child: Child) -> None:
        """Kill a process that has not been waited for."""
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)

    def _ask(self, order: dict[str, Any] | None) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if order is not None:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        if not ready:
            raise TimeoutError
        return int(self._process.stdout.readline())


@contextmanager
def nursery() -> Generator[Nursery]:
    """Open one; it ends with the block, its processes having been waited for or killed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.nursery"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        nursery = Nursery(process)
        try:
            yield nursery
        finally:
            nursery.kill_the_rest()
            assert process.stdin is not None
            process.stdin.close()  # it ends by itself


# --------------------------------------------------------------------- the process that forks
LOADED_LATE = (
    "anyio._backends._asyncio", "psycopg", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite",
    "tenacity",
)  # fmt: skip
"""What the program would import while it runs, once in each process."""


def serve() -> None:
    """Carry out orders, one a line, until there are no more."""
    from tests.crash.orders import command_line  # noqa: PLC0415  # what takes so long; the tests need none of it

    for module in LOADED_LATE:
        import_module(module)
    # A process that ends in order looks through all that was ever made, and so has each page of it copied: three quarters of
    # what it costs. What is frozen is passed over.
    gc.collect()
    gc.freeze()

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            number = os.waitstatus_to_exitcode(status)
        else:
            number = os.fork()
            if number == 0:
                _become(Path(order["out"]), Path(order["err"]))
                command_line(order["begin"])
                return
        print(number, file=answers, flush=True)


def _become(out: Path, err: Path) -> None:
    """Let go of what the parent has open."""
    for number, target in enumerate([Path(os.devnull), out, err]):
        file = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)


if __name__ == "__main__":
    serve()
