"""A runtime that was open when its process was forked: the child has a copy that does nothing, and is told so."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import multiprocessing
import anyio
from phaseline import Pipeline, Runtime, phase
from phaseline.errors import RuntimeUsageError

@phase
def double(number: int) -> int:
    return 2 * number

known, unknown = Pipeline("known", double), Pipeline("unknown", double)
open_in_parent = []

def call(how: str) -> str:
    try:
        match how:
            case "known":
                return str(known.run_sync(1).output)
            case "given":
                return str(unknown.run_sync(1, runtime=open_in_parent[0]).output)
            case "unknown":
                return str(unknown.run_sync(1).output)
            case _:
                return str(anyio.run(on_its_own))
    except RuntimeUsageError as error:
        return f"{type(error).__name__}: {error}"

async def on_its_own() -> int:
    async with Runtime(pipelines=[known]):
        return (await known.run(2)).output

@phase
def fork(ways: list[str]) -> list[str]:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.map_async(call, ways).get(20)

forking = Pipeline("forking", fork)

async def main() -> None:
    async with Runtime(pipelines=[known, forking]) as runtime:
        open_in_parent.append(runtime)
        for answer in (await forking.run(["known", "given", "unknown", "own"])).output:
            print(answer)

anyio.run(main)
"""


def test_a_child_is_told_that_a_runtime_lives_in_its_parent() -> None:
    """It hung for ever: its call was posted to a loop that runs in the other process. One that it opens itself is used."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=True
    )
    known, given, unknown, own = done.stdout.splitlines()
    for answer in (known, given):
        assert answer.startswith("RuntimeUsageError: Runtime(memory) lives in process ")
        assert "of which this one is a fork" in answer
    assert (unknown, own) == ("2", "4"), (
        "none that registered it was open: in memory; then on the child's own"
    )
