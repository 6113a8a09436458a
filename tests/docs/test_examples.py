"""Every file in ``examples`` runs as a reader would run it, and says what the ``.out`` file beside it says."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from tests.servers import Server

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*.ipynb")])
HOSTS = sorted((FOLDER / "hosts").glob("*.py"))
"""What is wired to another framework takes more lines."""
SUITE = FOLDER / "13_pytest_embedding.py"
SERVED = FOLDER / "08_postgres_dramatiq.py"
NOTEBOOK = FOLDER / "14_notebook.ipynb"
SCRIPTS = [example for example in (*EXAMPLES, *HOSTS) if example not in {SUITE, SERVED, NOTEBOOK}]
INDEX = FOLDER / "README.md"
MOST_LINES = 60
FAILED_PHASE = re.compile(
    r"phase '\S+' of run \w+(: attempt \d+ failed| failed for good in attempt \d+) with \w+[;,] "
)
"""What phaseline logs of each, which Python prints where nothing else is set up."""
BIN = Path(sys.executable).parent


def run(
    directory: Path, *command: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a directory of its own, where an example may leave files."""
    return subprocess.run(
        command,
        cwd=directory,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def expected(example: Path) -> str:
    """What the example is to print."""
    return example.with_suffix(".out").read_text("utf-8")


@pytest.mark.parametrize("example", SCRIPTS, ids=lambda example: example.stem)
def test_script_prints_what_is_written_beside_it(example, tmp_path):
    """A script ends well, prints its expected output, and complains of nothing but of phases that it has fail."""
    done = run(tmp_path, sys.executable, "-X", "utf8", "-W", "error", example)
    complaints = [line for line in done.stderr.splitlines() if not FAILED_PHASE.match(line)]
    assert (0, expected(example), []) == (done.returncode, done.stdout, complaints)


def test_suite_passes_where_a_reader_copies_it_to(tmp_path):
    """A test file passes by itself, outside this tree and its settings; of the report, the times are left out."""
    shutil.copy(SUITE, tmp_path)
    done = run(tmp_path, sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, SUITE.name)
    outcome = done.stdout.strip().rpartition("\n")[2].partition(" in ")[0]
    assert (expected(SUITE).strip(), 0) == (outcome, done.returncode), done.stdout + done.stderr


# --------------------------------------------------------------------- on servers
@pytest.fixture
def servers(postgres_server: Server, redis_server: Server) -> Iterator[dict[str, str]]:
    """The variables that the example reads: an empty database of its own, and Redis."""
    name = f"example_{os.getpid()}"
    engine = create_engine(
        postgres_server.url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))  # a name of ours
    url = make_url(postgres_server.url).set(database=name).render_as_string(hide_password=False)
    yield {"DATABASE_URL": url, "REDIS_URL": redis_server.url}
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@contextmanager
def working(directory: Path, *command: str | Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Have a worker beside; it ends well when it is told to."""
    log = directory / "worker.log"
    with log.open("w", encoding="utf-8") as told:
        worker = subprocess.Popen(
            command,
            cwd=directory,
            env=os.environ | environment,
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    try:
        yield
        worker.send_signal(SIGTERM)
        assert 0 == worker.wait(60), log.read_text("utf-8")
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.timeout(180)  # six processes start one after another
def test_what_the_top_of_the_example_on_servers_says_is_done_as_it_stands(servers, tmp_path):
    """Each of its commands, in their order, on real servers."""
    shutil.copy(SERVED, tmp_path)
    says = ast.get_docstring(ast.parse(SERVED.read_text("utf-8")), clean=False) or ""
    typed = [
        [servers[word[1:]] if word.startswith("$") else word for word in shlex.split(line, comments=True)]
        for line in says.splitlines()
        if line.startswith("    ")
    ]
    install, export, upgrade, worker, begin = typed
    assert ("pip", "export") == (install[0], export[0])
    assert [*servers] == [word.partition("=")[0] for word in export[1:]]
    upgraded = run(tmp_path, BIN / upgrade[0], *upgrade[1:])
    assert 0 == upgraded.returncode, upgraded.stderr
    with working(tmp_path, BIN / worker[0], *worker[1:], environment=servers):
        done = run(tmp_path, BIN / begin[0], "-W", "error", *begin[1:], environment=servers)
    assert (0, expected(SERVED), "") == (done.returncode, done.stdout, done.stderr)


# --------------------------------------------------------------------- in a notebook
def told_by(notebook: Path) -> list[tuple[str, str]]:
    """What stands below each cell of code: what it printed, and its value."""
    return [
        (
            "".join("".join(output["text"]) for output in cell["outputs"] if "text" in output),
            "".join("".join(output["data"]["text/plain"]) for output in cell["outputs"] if "data" in output),
        )
        for cell in cells_of(notebook)
    ]


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    """Its cells of code."""
    cells: list[dict[str, Any]] = json.loads(notebook.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_notebook_prints_what_stands_below_its_cells(tmp_path):
    """A kernel of Jupyter's executes it, whose event loop runs all the while."""
    shutil.copy(NOTEBOOK, tmp_path)
    places = {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "1"}
    done = run(tmp_path, BIN / "jupyter-execute", "--inplace", NOTEBOOK.name, environment=places)
    assert 0 == done.returncode, done.stderr
    told = told_by(tmp_path / NOTEBOOK.name)
    assert told_by(NOTEBOOK) == told
    assert all(printed or value for printed, value in told)


# --------------------------------------------------------------------- all of them
def lines_of(example: Path) -> int:
    """How many lines a reader reads."""
    if example.suffix == ".ipynb":
        return sum(len("".join(cell["source"]).splitlines()) for cell in cells_of(example))
    return len(example.read_text("utf-8").splitlines())


def test_examples_are_short():
    """An example fits two screens."""
    package = sorted((FOLDER / "plugin" / "src").rglob("*.py"))
    assert package
    lengths = {example.name: lines_of(example) for example in (*EXAMPLES, *package)}
    assert {} == {name: length for name, length in lengths.items() if length > MOST_LINES}


def test_index_names_each_example_in_order():
    """A reader finds all of them in the index, and what it links to is there."""
    linked = re.findall(r"^\| \[(.+?)\]\((.+?)\) \|", INDEX.read_text("utf-8"), re.MULTILINE)
    assert [] == [link for _, link in linked if not (FOLDER / link).is_file()]
    folders = [
        folder.name
        for folder in FOLDER.iterdir()
        if folder.is_dir() and folder.name not in {"hosts", "__pycache__"}
    ]
    there = [*(example.name for example in EXAMPLES), *(f"hosts/{host.name}" for host in HOSTS), *folders]
    assert sorted(there) == sorted(name for name, _ in linked)
    numbered = [name for name, _ in linked if name[0].isdigit()]
    assert sorted(numbered) == numbered
    assert [f"{number:02}" for number in range(1, len(numbered) + 1)] == [name[:2] for name in numbered]
