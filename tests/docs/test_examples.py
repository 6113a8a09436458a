"""Every file in ``examples`` runs as a reader would run it, and says what the ``.out`` file beside it says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
HOSTS = sorted((FOLDER / "hosts").glob("*.py"))
"""What is wired to another framework takes more lines."""
SCRIPTS = [*(example for example in EXAMPLES if "pytest" not in example.name), *HOSTS]
SUITES = [example for example in EXAMPLES if "pytest" in example.name]
MOST_LINES = 60


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a directory of its own, where an example may leave files."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )


def expected(example: Path) -> str:
    """What the example is to print."""
    return example.with_suffix(".out").read_text("utf-8")


@pytest.mark.parametrize("example", SCRIPTS, ids=lambda example: example.stem)
def test_script_prints_what_is_written_beside_it(example, tmp_path):
    """A script ends well, prints its expected output, and complains of nothing."""
    done = run(tmp_path, "-X", "utf8", "-W", "error", str(example))
    assert (0, expected(example), "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("example", SUITES, ids=lambda example: example.stem)
def test_suite_passes_where_a_reader_copies_it_to(example, tmp_path):
    """A test file passes by itself, outside this tree and its settings; of the report, the times are left out."""
    shutil.copy(example, tmp_path)
    done = run(tmp_path, "-m", "pytest", "-q", "--rootdir", str(tmp_path), example.name)
    outcome = done.stdout.strip().rpartition("\n")[2].partition(" in ")[0]
    assert (expected(example).strip(), 0) == (outcome, done.returncode), done.stdout + done.stderr


def test_examples_are_short():
    """An example fits two screens."""
    lengths = {example.name: len(example.read_text("utf-8").splitlines()) for example in EXAMPLES}
    assert {} == {name: length for name, length in lengths.items() if length > MOST_LINES}
