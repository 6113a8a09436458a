"""The commands that serve a runtime, as processes of their own."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from tests.apps.shop import billing, calling, packing, waiting
from tests.databases import Database
from tests.servers import Server

from phaseline import Runtime, cli
from phaseline.cli.worker import ECHO
from phaseline.rows import PhaseState, RunState
from phaseline.serving import YOUNG, settle_heap

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-m"]
DRAMATIQ = ["dramatiq", "tests.apps.shop:broker", "--processes", "1", "--threads", "1"]
BY_COMMAND = {
    "phaseline": [*PYTHON, "phaseline.cli", "worker", "tests.apps.shop:runtime"],
    "phaseline on trio": [*PYTHON, "phaseline.cli", "worker", "tests.apps.shop:make", "--backend", "trio"],
    "dramatiq": [*PYTHON, *DRAMATIQ],
}
COMMANDS = [
    *(pytest.param(command, "redis", id=name) for name, command in BY_COMMAND.items()),
    pytest.param(
        BY_COMMAND["dramatiq"], "rabbitmq", id="dramatiq on rabbitmq", marks=pytest.mark.timeout(150)
    ),
]


@contextmanager
def process(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command; what still runs at the end is killed."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)


def heard(started: subprocess.Popen[str], text: str) -> bool:
    """Read what a process says until it says this."""
    assert started.stderr is not None
    return any(text in line for line in started.stderr)


async def seen(path: Path) -> None:
    """Wait for a file."""
    with anyio.fail_after(20):
        while not await anyio.Path(path).exists():  # noqa: ASYNC110  # another process makes it
            await anyio.sleep(0.01)


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> str:
    """The URL of a broker, on Redis where the test names none."""
    server: Server = request.getfixturevalue(f"{getattr(request, 'param', 'redis')}_server")
    return server.url


@pytest.fixture
def shop(postgres: Database, broker: str, tmp_path: Path) -> dict[str, str]:
    """Where the application works."""
    return {
        "SHOP_STORAGE": postgres.url,
        "SHOP_SCHEMA": postgres.schema,
        "SHOP_BROKER": broker,
        "SHOP_FOLDER": str(tmp_path),
    }


@pytest.mark.parametrize(("command", "broker"), COMMANDS, indirect=["broker"])
def test_told_to_stop_a_worker_ends_what_it_can_and_hands_over_the_rest(
    command, broker, shop, postgres, tmp_path
):
    """Nothing of it is a failure, no lease is left, and another worker goes on."""
    runtime = Runtime(postgres.storage(), pipelines=[packing, waiting], queue=broker, serve=False)

    async def scenario() -> None:
        async with runtime as client:
            short = await client.start(packing, "short")
            long = await client.start(waiting, "long")
            await seen(tmp_path / "short.packing")
            await seen(tmp_path / "long.waiting")
            worker.send_signal(signal.SIGTERM)
            await anyio.Path(tmp_path / "stopping").touch()
            assert 0 == await to_thread.run_sync(worker.wait)

            assert RunState.COMPLETED == (await short.wait()).state
            threshold, frozen = (await anyio.Path(tmp_path / "short.heap").read_text()).split()
            assert int(threshold) == YOUNG
            assert int(frozen) > 10_000  # all that was imported
            (record,) = (await long.run()).phases.values()
            left = (record.state, record.reason, record.failures, record.crashes, record.worker)
            assert (PhaseState.RETRYING, "handed_over", 0, 0, None) == left
            assert [] == await client.runner.read(lambda: runtime._storage.workers("default"))

    with process(command, shop) as worker:
        anyio.run(scenario)


@pytest.mark.parametrize(
    ("command", "order", "code"),
    [
        ("phaseline", "one", 143),
        ("phaseline", "ending", 143),
        ("phaseline on trio", "one", 143),
        ("dramatiq", "one", 0),  # no thread that the loop's has started keeps the process
        ("dramatiq", "ending", 143),
    ],
)
def test_a_body_that_does_not_end_keeps_no_process(command, order, code, shop, postgres):
    """What it holds is handed over, and the process ends, by force if need be."""
    runtime = Runtime(postgres.storage(), pipelines=[calling], queue=shop["SHOP_BROKER"], serve=False)

    async def scenario() -> None:
        async with runtime as client:
            handle = await client.start(calling, order)
            await seen(Path(shop["SHOP_FOLDER"], f"{order}.calling"))
            worker.send_signal(signal.SIGTERM)
            with anyio.fail_after(60):
                assert code == await to_thread.run_sync(worker.wait, abandon_on_cancel=True)
            (record,) = (await handle.run()).phases.values()
            left = (record.state, record.reason, record.failures, record.crashes, record.worker)
            assert (PhaseState.RETRYING, "handed_over", 0, 0, None) == left
            assert [] == await client.runner.read(lambda: runtime._storage.workers("default"))

    with process(BY_COMMAND[command], shop | {"SHOP_CLOSING": "6"}) as worker:
        anyio.run(scenario)


@pytest.mark.parametrize(
    ("command", "closing", "signals"),
    [("phaseline", 1, 1), ("phaseline on trio", 1, 1), ("phaseline", 600, 2), ("dramatiq", 1, 1)],
)
def test_a_body_that_blocks_the_event_loop_keeps_no_process(command, closing, signals, shop, postgres):
    """A signal is heeded beside the loop, and the second one at once; others take over what the process held."""
    code = 0 if command == "dramatiq" else 143  # as above
    runtime = Runtime(postgres.storage(), pipelines=[calling], queue=shop["SHOP_BROKER"], serve=False)

    async def scenario() -> None:
        async with runtime as client:
            await client.start(calling, "blocking")
            await seen(Path(shop["SHOP_FOLDER"], "blocking.calling"))
            for _ in range(signals):
                worker.send_signal(signal.SIGTERM)
                await anyio.sleep(ECHO + 0.2)  # else they are one order
            with anyio.fail_after(60):
                assert code == await to_thread.run_sync(worker.wait, abandon_on_cancel=True)

    with process(BY_COMMAND[command], shop | {"SHOP_CLOSING": str(closing)}) as worker:
        anyio.run(scenario)
        said = (worker.stderr or io.StringIO()).read()
    force = "second signal: ended by force; bodies that are lost, and called again elsewhere: 1\n"
    assert (signals == 2) == (force in said)


@pytest.mark.parametrize("command", ["phaseline", "phaseline on trio"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_come_together_are_one_order(command, second, shop, postgres, tmp_path):
    """As ``timeout`` gives it: to the process, and to the group that it is in. The worker drains."""
    runtime = Runtime(postgres.storage(), pipelines=[packing], queue=shop["SHOP_BROKER"], serve=False)

    async def scenario() -> None:
        async with runtime as client:
            handle = await client.start(packing, "short")
            await seen(tmp_path / "short.packing")
            for number in (signal.SIGTERM, second, second):
                worker.send_signal(number)
                await anyio.sleep(0.1)  # else the system may make one of them
            await anyio.Path(tmp_path / "stopping").touch()
            with anyio.fail_after(60):
                assert 0 == await to_thread.run_sync(worker.wait, abandon_on_cancel=True)
            (record,) = (await handle.run()).phases.values()
            assert (PhaseState.COMPLETED, 1) == (record.state, record.attempt)

    with process(BY_COMMAND[command], shop) as worker:
        anyio.run(scenario)


def test_a_worker_waits_for_a_storage_that_is_away(shop, tmp_path):
    """It is started before its database, and goes on by itself once that is there."""
    database = f"sqlite:///{tmp_path}/later/shop.db"

    async def scenario() -> None:
        async with Runtime(database, pipelines=[billing], serve=False) as client:
            handle = await client.start(billing, "one")
            await handle.result(timedelta(seconds=20))

    with process(BY_COMMAND["dramatiq"], shop | {"SHOP_STORAGE": database}) as worker:
        assert heard(worker, "cannot be opened and is tried again")
        (tmp_path / "later").mkdir()
        anyio.run(scenario)


def test_a_worker_that_cannot_be_served_ends_at_once(shop):
    """With the reason, and an exit code by which it is started again."""
    command = [*PYTHON, "dramatiq", "tests.apps.broken:broker", "--processes", "1", "--threads", "1"]
    with process(command, shop) as worker:
        _, told = worker.communicate(timeout=20)
    assert 1 == worker.returncode
    assert "LookupError: a mistake in the storage" in told


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("tests.apps.shop", "write MODULE:NAME"),
        ("tests.apps.nothing:runtime", "there is no module 'tests.apps.nothing'"),
        ("tests.apps.shop:nothing", "has no 'nothing'"),
        ("tests.apps.shop:FOLDER", "is a PosixPath, not a Runtime"),
        ("tests.apps.shop:client", "made with serve=False"),
    ],
)
def test_what_is_no_runtime_to_serve_is_told(place, problem, capsys, monkeypatch):
    """With the exit code of a command line that is wrong."""
    monkeypatch.chdir(ROOT)
    assert 2 == cli.main(["worker", place])
    assert re.search(problem, capsys.readouterr().err)


def test_an_application_that_sets_up_logging_is_left_alone(tmp_path):
    """Its handler of the root logger is the one there is; where there is none, lines are written to stderr."""
    plain = "from phaseline import Pipeline, Runtime, phase\n@phase\ndef a(x: int) -> int:\n    return x\nruntime = Runtime(pipelines=[Pipeline('a', a)])\n"
    own = "import logging, sys\nlogging.basicConfig(level='INFO', format='{%(name)s}', stream=sys.stderr)\n"
    for name, text, line in (
        ("own", own + plain, "{phaseline.serving}"),
        ("plain", plain, " INFO phaseline.serving: "),
    ):
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        command = [*PYTHON, "phaseline.cli", "worker", f"{name}:runtime"]
        with process(command, {"PYTHONPATH": str(tmp_path)}) as worker:
            assert worker.stderr is not None
            assert line in worker.stderr.readline()
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=20)
            assert 0 == worker.returncode


@pytest.mark.parametrize("chosen", [(0, 10, 10), (YOUNG, 20, 30)])
def test_what_a_host_has_said_of_the_collector_stays(chosen):
    """Also that it is off, by a threshold or by name."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        gc.set_threshold(*chosen)
        settle_heap()
        assert chosen == gc.get_threshold()
        gc.set_threshold(*before)
        gc.disable()
        settle_heap()
        assert before == gc.get_threshold()
        assert frozen == gc.get_freeze_count()
    finally:
        gc.enable()
        gc.set_threshold(*before)
