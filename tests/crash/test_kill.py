"""Real processes are killed with SIGKILL, or stopped past their lease; a second one goes on with the same file.

Each process is held at a known moment, so that the fault strikes there; what bodies did is read from a log that
the processes write outside of the library (see ``effects.py``).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.databases import Database

from phaseline.recipes.task_preparation import ProjectContext, Task, task_preparation_pipeline
from phaseline.storage.sql.dialect import qualified

HERE = Path(__file__).parent
PATIENCE = 45
"""Seconds until something that must happen is taken not to happen."""
TAKEOVER = 2
"""Seconds from the opening of a runtime until it has taken over what a dead one left; the lease is 30 s, and nobody waits
for it where the process is provably dead."""
TEXT = "Build an expense approval workflow. Employees submit expenses; managers approve or reject each."
COMMAND = ("-m", "phaseline.recipes.task_preparation")
NOTED_COMMAND = (str(HERE / "prepare.py"),)
PROGRAM = (str(HERE / "program.py"),)


class Bench:
    """A database, a log of effects, and the processes that work on them."""

    def __init__(self, folder: Path, server: Database | None = None) -> None:
        self.folder = folder
        self.file = folder / "runs.db"
        self.server = server
        self.where = ["--storage", f"sqlite:///{self.file}"]
        if server is not None:
            self.where = ["--storage", server.url, "--schema", server.schema]
        self.effects = folder / "effects.log"
        self.processes: list[subprocess.Popen[bytes]] = []

    # ------------------------------------------------------------------ processes
    def begin(self, *arguments: str, hold: str = "", stderr: int | None = None) -> subprocess.Popen[bytes]:
        """Start a process that is held at some moments."""
        number = len(self.processes)
        environment = {
            "EFFECTS": str(self.effects), "HOLD": hold, "RELEASE": str(self.folder / f"release.{number}"),
        }  # fmt: skip
        with (
            (self.folder / f"out.{number}").open("wb") as out,
            (self.folder / f"err.{number}").open("wb") as err,
        ):
            process = subprocess.Popen(
                [sys.executable, *arguments, *self.where],
                env=os.environ | environment,
                stdout=out,
                stderr=err if stderr is None else stderr,
            )
        self.processes.append(process)
        return process

    def release(self, process: subprocess.Popen[bytes]) -> None:
        """Let a process go on that is held."""
        (self.folder / f"release.{self.processes.index(process)}").touch()

    def told(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has written to stderr."""
        return (self.folder / f"err.{self.processes.index(process)}").read_text()

    def ended(self, process: subprocess.Popen[bytes]) -> Any:
        """Wait until a process is done; gives the JSON that it printed."""
        assert process.wait(PATIENCE) == 0, self.told(process)
        return json.loads((self.folder / f"out.{self.processes.index(process)}").read_text())

    def resume(self, *arguments: str) -> Any:
        """Go on with the runs in a process of its own, to their ends; gives the JSON that it printed."""
        return self.ended(self.begin(*arguments, "--resume", *self.run_ids))

    # ------------------------------------------------------------------ what can be seen from outside
    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that the processes are to bring about."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            told = "\n".join(self.told(process) for process in self.processes)
            assert time.monotonic() < deadline, f"{what} did not happen\n{told}"
            time.sleep(0.01)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The effects so far."""
        written = self.effects.read_text() if self.effects.exists() else ""
        return [json.loads(line) for line in written.splitlines(keepends=True) if line.endswith("\n")]

    def moments(self, process: subprocess.Popen[bytes] | None = None, run: int | None = None) -> list[str]:
        """What bodies did: those of one process, and those of one run by its number, or of all."""
        return [
            line["what"]
            for line in self.lines
            if "run" in line
            and (process is None or process.pid == line["pid"])
            and run in (None, line["run"])
        ]

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database itself; nothing as long as there are no tables."""
        if self.server is not None:
            with psycopg.connect(self.server.url) as server:
                return server.execute(qualified(statement, self.server.schema)).fetchall()
        if not self.file.exists():
            return []
        # Read-only: the last one to close a file cleans up after a crash, and that is left to phaseline.
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=5)) as connection:
            if not connection.execute(
                "SELECT * FROM sqlite_master WHERE name = 'phaseline_worker'"
            ).fetchone():
                return []
            return connection.execute(statement).fetchall()

    @property
    def run_ids(self) -> list[str]:
        """The ids of the runs in the database, in the order of their starts."""
        return [
            run_id for (run_id,) in self.select("SELECT id FROM phaseline_pipeline_run ORDER BY created_at")
        ]

    @property
    def committed(self) -> set[str]:
        """Paths of the phases whose completion is stored."""
        return {
            path
            for (path,) in self.select("SELECT phase FROM phaseline_event WHERE type = 'PHASE_COMPLETED'")
        }


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty file and log; no process outlives the test."""
    with cleared(Bench(tmp_path)) as bench:
        yield bench


@pytest.fixture(params=["sqlite", "postgres"])
def any_bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An empty database of each kind, and log; no process outlives the test."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    with cleared(Bench(tmp_path, server)) as bench:
        yield bench


@contextmanager
def cleared(bench: Bench) -> Iterator[Bench]:
    """End what still runs afterwards."""
    yield bench
    for process in bench.processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process; fails if it had ended by itself, for then there was no fault."""
    assert process.poll() is None, "the process ended before it could be killed"
    process.kill()
    assert process.wait(PATIENCE) == -signal.SIGKILL


def check_events(found: dict[str, Any], crashed: set[str]) -> None:
    """Every run's events: without a gap, each phase completed once, attempts as many as crashes explain."""
    events = found["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    completed = Counter(event["phase"] for event in events if event["type"] == "PHASE_COMPLETED")
    assert set(completed.values()) == {1}
    lost = [event["phase"] for event in events if event["type"] == "PHASE_RETRYING"]
    assert sorted(crashed) == sorted(lost)
    assert {event["data"]["reason"] for event in events if event["type"] == "PHASE_RETRYING"} <= {"lost"}
    attempts = {
        event["phase"]: event["data"]["attempt"] for event in events if event["type"] == "PHASE_STARTED"
    }
    assert {path: 2 if path in crashed else 1 for path in completed} == attempts
    fences = {event["phase"]: event["data"]["fence"] for event in events if event["type"] == "PHASE_STARTED"}
    assert attempts == fences


def test_a_process_that_ended_by_itself_is_no_fault() -> None:
    """The tests of this file fail if their fault struck nobody."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(AssertionError, match="ended before"):
        kill(process)


# --------------------------------------------------------------------- the product
@pytest.fixture(scope="module")
def prompts() -> list[dict[str, Any]]:
    """What a run of the recipe gives that nobody disturbs."""
    task = Task.from_text(TEXT, context=ProjectContext(tech_stack=("FastAPI",)))
    return [prompt.model_dump(mode="json") for prompt in task_preparation_pipeline().run_sync(task).output]


STATES = ["IDLE", "INITIALIZING", "DECOMPOSING", "ENRICHING", "GENERATING_PROMPTS", "COMPLETED"]
REQUEST = (TEXT, "--tech-stack", "FastAPI", "--json")


@pytest.mark.parametrize("resumer", [COMMAND, NOTED_COMMAND], ids=["command", "noted"])
def test_recipe_killed_in_the_middle_of_its_map(
    bench: Bench, prompts: list[dict[str, Any]], resumer: tuple[str, ...]
) -> None:
    """The same command with --resume finishes; only the two items that ran at the kill run again."""
    running = {"enrich[2]", "enrich[5]"}
    process = bench.begin(*NOTED_COMMAND, *REQUEST, hold=",".join(f"{path}:begin" for path in running))
    finished = {"decompose", *(f"enrich[{item}]" for item in range(8))} - running
    bench.until(lambda: bench.committed == finished, "the commit of all other items")
    bench.until(lambda: {f"{path}:begin" for path in running} <= set(bench.moments()), "the begin of the two")
    kill(process)
    assert bench.committed == finished

    found = bench.resume(*resumer, "--json")

    assert (found["state"], found["history"], found["prompts"]) == ("COMPLETED", STATES, prompts)
    check_events(found, crashed=running)
    again = running | {"generate_prompts"} if resumer == NOTED_COMMAND else set()
    assert {f"{path}:{moment}" for path in again for moment in ("begin", "end")} == set(
        bench.moments(bench.processes[1])
    )
    times = Counter(bench.moments())
    assert {f"{path}:begin": 1 for path in finished} == {
        f"{path}:begin": times[f"{path}:begin"] for path in finished
    }


def test_command_killed_as_soon_as_its_run_is_stored(bench: Bench, prompts: list[dict[str, Any]]) -> None:
    """Killed while it tells the id of its run, before any body was called, the command goes on with --resume."""
    reader, writer = os.pipe2(os.O_DIRECT)  # each write is one packet, and takes up a page
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, os.sysconf("SC_PAGESIZE"))
        os.write(writer, b"full")  # so that the command waits in the midst of telling the id
        process = bench.begin(*COMMAND, *REQUEST, stderr=writer)
        bench.until(lambda: bench.select("SELECT 1 FROM phaseline_pipeline_run"), "the run")
        kill(process)
    finally:
        os.close(reader)
        os.close(writer)
    assert bench.committed == set()

    found = bench.resume(*COMMAND, "--json")

    assert (found["state"], found["history"], found["prompts"]) == ("COMPLETED", STATES, prompts)
    check_events(found, crashed={"decompose"})


@pytest.mark.parametrize("held", ["decompose:begin", "generate_prompts:end"])
def test_recipe_killed_outside_of_its_map(bench: Bench, prompts: list[dict[str, Any]], held: str) -> None:
    """Wherever it was killed, the recipe gives what it gives undisturbed, and nothing that was committed runs again."""
    process = bench.begin(*NOTED_COMMAND, *REQUEST, hold=held)
    bench.until(lambda: held in bench.moments(), held)
    kill(process)
    before = bench.committed

    found = bench.resume(*NOTED_COMMAND, "--json")

    assert (found["state"], found["history"], found["prompts"]) == ("COMPLETED", STATES, prompts)
    check_events(found, crashed={held.partition(":")[0]})
    ran = {moment.partition(":")[0] for moment in bench.moments(bench.processes[1])}
    assert not ran & before
    assert len(ran) == {"decompose": 10, "generate_prompts": 1}[held.partition(":")[0]]


# --------------------------------------------------------------------- between any two moments
MOMENTS = [
    "reserve:begin", "reserve:end", "charge:begin", "pay:begin", "mail:begin", "charge:end", "ship:begin", "ship:end",
]  # fmt: skip
"""Of an order, in their order: pay and mail are steps inside of charge."""
AFTER = {
    "reserve:begin": ("reserve", MOMENTS),
    "reserve:end": ("reserve", MOMENTS),
    "charge:begin": ("charge", MOMENTS[2:]),
    "pay:begin": ("charge", MOMENTS[2:]),
    "mail:begin": ("charge", ["charge:begin", *MOMENTS[4:]]),
    "charge:end": ("charge", ["charge:begin", *MOMENTS[5:]]),
    "ship:begin": ("ship", MOMENTS[6:]),
    "ship:end": ("ship", MOMENTS[6:]),
}
"""For each place of the kill: the phase that ran there, and what is done afterwards."""


def check_order(found: dict[str, Any], number: int, crashed: str) -> None:
    """An order that was disturbed ends like one that was not."""
    assert (found["state"], found["output"]) == ("COMPLETED", f"receipt {number}, mailed, shipped")
    assert found["history"] == ["IDLE", "INITIALIZING", "RESERVE", "CHARGE", "SHIP", "COMPLETED"]
    check_events(found, crashed={crashed})


@pytest.mark.parametrize(("backend", "other"), [("asyncio", "trio"), ("trio", "asyncio")])
def test_killed_at_any_moment(bench: Bench, backend: str, other: str) -> None:
    """What was committed, phases and steps, is not done again; the rest is, without waiting for a lease to run out.

    Eight runs stand at eight different moments when their process is killed.
    """
    hold = ",".join(f"{number}:{moment}" for number, moment in enumerate(MOMENTS))
    first = bench.begin(*PROGRAM, "order", "--runs", str(len(MOMENTS)), "--backend", backend, hold=hold)
    before = [MOMENTS[: number + 1] for number in range(len(MOMENTS))]
    bench.until(
        lambda: before == [bench.moments(run=number) for number in range(len(MOMENTS))], "all moments"
    )
    kill(first)
    assert before == [bench.moments(run=number) for number in range(len(MOMENTS))]

    found = bench.resume(*PROGRAM, "order", "--backend", other)

    second = bench.processes[1]
    opened = next(line["at"] for line in bench.lines if line["pid"] == second.pid)
    for number, moment in enumerate(MOMENTS):
        crashed, after = AFTER[moment]
        check_order(found[number], number, crashed)
        assert after == bench.moments(second, run=number)
        taken_over = next(
            line["at"] for line in bench.lines if line["pid"] == second.pid and line.get("run") == number
        )
        assert taken_over - opened < TAKEOVER


def test_killed_before_any_body_was_called(bench: Bench) -> None:
    """A run whose first phase was granted, but not begun, is taken over like any other."""
    process = bench.begin(*PROGRAM, "order", "--die", "commit.end:1")
    assert process.wait(PATIENCE) == -signal.SIGKILL, bench.told(process)
    assert bench.moments() == []

    (found,) = bench.resume(*PROGRAM, "order")

    check_order(found, 0, crashed="reserve")
    assert bench.moments() == MOMENTS


def test_killed_again_and_again(bench: Bench) -> None:
    """Each crash is one more attempt, and changes nothing else."""
    for crashes in range(2):
        resume = ("--resume", *bench.run_ids) if crashes else ()
        process = bench.begin(*PROGRAM, "order", *resume, hold="mail:begin")
        bench.until(lambda seen=crashes: bench.moments().count("mail:begin") > seen, "the mail")
        kill(process)

    (found,) = bench.resume(*PROGRAM, "order")

    assert found["output"] == "receipt 0, mailed, shipped"
    assert Counter(MOMENTS) + Counter({"charge:begin": 2, "mail:begin": 2}) == Counter(bench.moments())
    (row,) = bench.select(
        "SELECT attempt, crashes, fence, failures FROM phaseline_phase_execution WHERE path = 'charge'"
    )
    assert row == (3, 2, 3, 0)


@pytest.mark.parametrize(
    ("any_bench", "backend"), [("sqlite", "trio"), ("postgres", "asyncio")], indirect=["any_bench"]
)
def test_killed_after_a_save(any_bench: Bench, backend: str) -> None:
    """The next attempt begins with what was saved last, and nothing of it stays when the phase is committed."""
    bench = any_bench
    process = bench.begin(*PROGRAM, "count", "--backend", backend, hold="page 2:begin")
    bench.until(lambda: "page 2:begin" in bench.moments(), "the third page")
    kill(process)
    assert bench.select("SELECT result FROM phaseline_step_result") == [("[0,1]",)]

    (found,) = bench.resume(*PROGRAM, "count", "--backend", backend)

    assert found["output"] == [0, 1, 2, 3]
    assert bench.moments(bench.processes[1]) == ["page 2:begin", "page 3:begin"]
    check_events(found, crashed={"count"})
    assert bench.select("SELECT result FROM phaseline_step_result") == []


# --------------------------------------------------------------------- stopped, not dead
@pytest.mark.parametrize(
    ("any_bench", "backend"),
    [("sqlite", "asyncio"), ("sqlite", "trio"), ("postgres", "asyncio")],
    indirect=["any_bench"],
)
def test_stopped_past_its_lease(any_bench: Bench, backend: str) -> None:
    """Another one takes the phase; the first one, awake again, is refused, and nothing of it is stored."""
    bench = any_bench
    first = bench.begin(*PROGRAM, "work", "--lease", "1", "--backend", backend, hold="work:begin")
    bench.until(lambda: bench.moments(first) == ["work:begin"], "the first attempt")
    first.send_signal(signal.SIGSTOP)
    bench.until(lambda: _process_state(first) == "T", "the stop")
    second = bench.begin(
        *PROGRAM, "work", "--backend", backend, "--resume", *bench.run_ids, hold="work:begin"
    )
    bench.until(lambda: bench.moments(second) == ["work:begin"], "the second attempt")

    bench.release(first)
    assert first.poll() is None
    first.send_signal(signal.SIGCONT)
    refusal = f"phase 'work' of run {bench.run_ids[0]} was taken over or ended while this worker held fence 1"
    bench.until(lambda: refusal in bench.told(first), "the refusal")
    assert bench.select("SELECT state, fence, output FROM phaseline_phase_execution") == [
        ("RUNNING", 2, None)
    ]

    bench.release(second)
    (found,) = bench.ended(second)
    assert found["output"] == second.pid
    check_events(found, crashed={"work"})
    assert bench.moments() == ["work:begin"] * 2
    assert bench.ended(first) == [found]


def _process_state(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
