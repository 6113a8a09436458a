"""``phaseline console``: the pages of the console for who is at this machine, of what is stored in a file."""

from __future__ import annotations

import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from tests.counted import doubled
from tests.integration.conftest import Kiosk

from phaseline import Pipeline, Runtime, cli
from phaseline.cli.codes import ExitCode

doubling = Pipeline("doubling", doubled)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a run that waits."""
    path = tmp_path / "runs.db"

    async def fill() -> None:
        async with Runtime(f"sqlite:///{path}", pipelines=[doubling], serve=False) as runtime:
            await runtime.start(doubling, 5)

    anyio.run(fill)
    return path


@contextmanager
def shown(*arguments: str) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """A console in a process of its own, and its address."""
    command = [sys.executable, "-m", "phaseline.cli", "console", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], 60)
            assert readable, "it printed nothing"
            url, told = process.stdout.readline().strip(), process.stdout.readline()
            assert told.startswith("Ctrl-C ends it")
            assert ("--read-only" in arguments) == ("nothing can be changed" in told)
            yield url, process
        finally:
            process.kill()


def test_runs_are_shown_and_commanded(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    """To who has the address, under his name; Ctrl-C ends it in order."""
    monkeypatch.setenv("KIOSK_STORAGE", kiosk.url)
    run_id = kiosk.data("run", "letters", '"one"', "--detach", "--delay", "1h")["id"]
    with shown("tests.apps.kiosk:make", "--port", "0", "--actor", "user:ann") as (url, process):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", url)
        assert "phaseline" in httpx2.get(url).text
        assert [run_id] == [run["id"] for run in httpx2.get(f"{url}api/runs").json()["runs"]]
        told = httpx2.post(f"{url}api/runs/{run_id}/cancel", json={"reason": "not needed"})
        assert (200, "CANCELLED") == (told.status_code, told.json()["state"])
        (event,) = httpx2.get(f"{url}api/runs/{run_id}/events?type=PIPELINE_CANCELLED").json()["events"]
        assert ("user:ann", "not needed") == (event["data"]["actor"], event["data"]["reason"])
        bare = f"http://{urlsplit(url).netloc}"
        assert [404, 404] == [httpx2.get(f"{bare}{path}").status_code for path in ("/", "/api/runs")]
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=20)
    assert (ExitCode.INTERRUPTED, "", "") == (process.returncode, rest, complaints)


def test_read_only_changes_nothing(file: Path) -> None:
    """And says so; SIGTERM ends it as well."""
    with shown(str(file), "--port", "0", "--read-only") as (url, process):
        runs = httpx2.get(f"{url}api/runs").json()["runs"]
        assert 404 == httpx2.post(f"{url}api/runs/{runs[0]['id']}/cancel", json={}).status_code
        assert 403 == httpx2.post(f"{url}api/runs/cancel", json={}).status_code
        process.send_signal(signal.SIGTERM)
        rest, complaints = process.communicate(timeout=20)
    assert (0, "", "") == (process.returncode, rest, complaints)


def test_what_is_missing_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The extra, the port, and the file."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert ExitCode.UNUSABLE == cli.main(["console", str(file), "--port", port])
    assert "--port 0 takes a free one" in " ".join(capsys.readouterr().err.split())
    for place, told in (
        (f"sqlite:///{file.parent / 'other.db'}", "there is no file"), ("nowhere.db", "there is no file"),
        (str(file.parent), "is a directory: name the file"),
    ):  # fmt: skip
        assert ExitCode.UNUSABLE == cli.main(["console", place, "--port", "0"])
        assert told in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "phaseline.web.pages.alone")
    assert ExitCode.UNUSABLE == cli.main(["console", str(file)])
    assert "pip install 'phaseline[console]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["console", "PLACE", "--port", "0"], ["runs", "list", "--runtime", "sqlite:///PLACE"]]
)
def test_a_file_of_somebody_else_is_left_as_it_is(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A runtime on it would make tables there."""
    place = tmp_path / "other.db"
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("CREATE TABLE invoices (id integer)")
        connection.commit()
    before = place.read_bytes()
    assert ExitCode.UNUSABLE == cli.main([word.replace("PLACE", str(place)) for word in command])
    assert "holds no runs of phaseline's" in capsys.readouterr().err
    assert before == place.read_bytes()
    assert [place] == [*tmp_path.iterdir()]
