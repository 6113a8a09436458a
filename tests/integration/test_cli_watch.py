"""A run watched while it goes on: in a script, and at a shell beside a worker."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from rich.console import Console
from tests.apps.kiosk import asking, letters
from tests.loops import BOTH_LOOPS, anyio_backend  # noqa: F401  # a fixture

from phaseline import Context, Pipeline, Runtime, phase
from phaseline.cli import unserved
from phaseline.cli.codes import ExitCode
from phaseline.console import watch
from phaseline.errors import RuntimeNotOpenError

ROOT = Path(__file__).parents[2]


def terminal(**options: object) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=None, width=40, height=20, **options)


def drawn(console: Console) -> str:
    return console.file.getvalue()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, which somebody else brings about."""
    with anyio.fail_after(20):
        while not holds():  # noqa: ASYNC110  # a screen tells nobody
            await anyio.sleep(0.01)


@BOTH_LOOPS
async def test_a_run_is_drawn_until_it_ends():
    """What its bodies tell of themselves moves too; at the end all of it stands there, and the cursor is back."""
    is_drawn, go_on = anyio.Event(), anyio.Event()

    @phase
    async def bake(text: str, ctx: Context) -> str:
        await is_drawn.wait()
        ctx.progress(3, 7, note="loaves")
        await go_on.wait()
        return text

    @phase
    async def sell(text: str) -> str:
        return text

    bread = Pipeline("bread", bake >> sell)
    console = terminal()
    async with Runtime(pipelines=[bread]) as runtime, anyio.create_task_group() as tasks:
        handle = await runtime.start(bread, "rye")

        async def look() -> None:
            run = await watch(handle, console=console)
            assert "rye" == run.output

        tasks.start_soon(look)
        await until(lambda: "● bake" in drawn(console) and "○ sell" in drawn(console))
        is_drawn.set()
        await until(lambda: "3 of 7" in drawn(console) and "━" in drawn(console))
        go_on.set()
    assert "✓ sell" in drawn(console).rpartition("bread COMPLETED")[2]
    assert drawn(console).rstrip().endswith("\x1b[?25h")


@BOTH_LOOPS
@pytest.mark.parametrize(
    "console",
    [
        pytest.param(Console(file=io.StringIO()), id="no terminal"),
        pytest.param(terminal(_environ={"TERM": "dumb"}), id="one that cannot move its cursor"),
    ],
)
async def test_where_nothing_can_be_drawn_each_event_is_a_line(console):
    """Without colours, and without what could command a terminal."""
    console.file = io.StringIO()
    async with Runtime(pipelines=[letters]) as runtime:
        run = await watch(await runtime.start(letters, "one endless"), console=console)
    lines = [line.split(" ", 1)[1] for line in drawn(console).splitlines()]
    assert "FAILED" == run.state
    assert "PHASE_COMPLETED split SPLIT -> MEASURE" in lines
    assert any(line.startswith("PHASE_FAILED measure[1]") for line in lines)
    assert "\x1b" not in drawn(console)


async def test_a_runtime_that_closes_ends_the_watching():
    """With the error as it is."""
    async with anyio.create_task_group() as tasks, Runtime(pipelines=[asking]) as runtime:
        handle, console = await runtime.start(asking, "may I"), terminal()
        raised: list[Exception] = []

        async def look() -> None:
            try:
                await watch(handle, console=console)
            except RuntimeNotOpenError as error:
                raised.append(error)

        tasks.start_soon(look)
        await until(lambda: "waits for" in drawn(console))
    assert 1 == len(raised)
    assert drawn(console).rstrip().endswith("\x1b[?25h")


# --------------------------------------------------------------------- at a shell
@contextmanager
def phaseline(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Begin a command; what still runs at the end is killed."""
    environment = {
        **os.environ, "KIOSK_STORAGE": f"sqlite:///{folder}/runs.db", "PHASELINE_RUNTIME": "tests.apps.kiosk:make",
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "phaseline.cli", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as begun:
        try:
            yield begun
        finally:
            if begun.poll() is None:
                begun.kill()


def heard(stream: io.TextIOBase | None, text: str) -> bool:
    assert stream is not None
    return any(text in line for line in stream)


def test_a_run_is_watched_beside_a_worker(tmp_path):
    """From another process, each event once; Ctrl-C ends whoever watches, and then the worker, in order."""

    async def started() -> list[str]:
        async with Runtime(
            f"sqlite:///{tmp_path}/runs.db", pipelines=[letters, asking], serve=False
        ) as client:
            return [(await client.start(letters, "one two")).id, (await client.start(asking, "may I")).id]

    short, waiting = anyio.run(started)
    with (
        phaseline(tmp_path, "worker") as worker,
        phaseline(tmp_path, "runs", "watch", short, "--json") as watcher,
    ):
        told = [json.loads(line) for line in watcher.stdout or ()]
        assert (0, "") == (watcher.wait(20), (watcher.stderr or io.StringIO()).read())
        stored = [event["seq"] for event in told if event["seq"] is not None]
        assert (list(range(1, len(stored) + 1)), "PIPELINE_COMPLETED") == (stored, told[-1]["type"])
        with phaseline(tmp_path, "runs", "watch", waiting) as other:
            assert heard(other.stdout, "PHASE_STARTED wait_for_approved")
            other.send_signal(signal.SIGINT)
            _, said = other.communicate(timeout=20)
            assert (ExitCode.INTERRUPTED, "") == (other.returncode, said)
        worker.send_signal(signal.SIGINT)
        assert ExitCode.INTERRUPTED == worker.wait(20)


def test_who_watches_a_run_that_nobody_serves_is_told(tmp_path):
    """Once; and sees it to its end when a worker comes."""

    async def started() -> str:
        async with Runtime(f"sqlite:///{tmp_path}/runs.db", pipelines=[letters], serve=False) as client:
            return (await client.start(letters, "one two")).id

    with phaseline(tmp_path, "runs", "watch", anyio.run(started)) as watcher:
        said = [(watcher.stderr or io.StringIO()).readline() for _ in range(2)]
        assert "on queue 'pipeline' a phase waits for a worker since" in said[0]
        assert "no worker is alive; phaseline worker MODULE:NAME starts one" in said[1]
        with phaseline(tmp_path, "worker"):
            out, more = watcher.communicate(timeout=20)
    assert (0, "") == (watcher.returncode, more)
    assert "PIPELINE_COMPLETED" in out


async def test_who_watches_a_run_that_is_carried_out_is_not_told_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That another run of the pipeline waits, for a slot say, is no news to him; that his own does is."""
    monkeypatch.setattr(unserved, "UNSERVED", timedelta(seconds=0.1))
    begun, held = anyio.Event(), anyio.Event()

    @phase(concurrency=1)
    async def hold(number: int) -> int:
        begun.set()
        await held.wait()
        return number

    holding = Pipeline("holding", hold)

    async def a_second() -> None:
        await anyio.sleep(1)

    async with Runtime(f"sqlite:///{tmp_path}/runs.db", pipelines=[holding]) as runtime:
        first = await runtime.start(holding, 1)
        await begun.wait()
        second = await runtime.start(holding, 2)
        await unserved.telling_if_unserved(first, a_second)
        assert "" == capsys.readouterr().err
        await unserved.telling_if_unserved(second, a_second)
        assert 1 == capsys.readouterr().err.count("on queue 'pipeline' a phase waits for a worker")
        held.set()
        await second.result()


def test_ctrl_c_while_a_run_is_carried_out_says_how_to_go_on(tmp_path):
    """It is not lost."""
    with phaseline(tmp_path, "run", "asking", '"may I"') as begun:
        assert heard(begun.stderr, "PHASE_STARTED wait_for_approved")
        begun.send_signal(signal.SIGINT)
        out, said = begun.communicate(timeout=20)
    assert (ExitCode.INTERRUPTED, "") == (begun.returncode, out)
    assert "goes on where a worker takes it up: phaseline runs watch" in said
    assert "Traceback" not in said
