"""Every check of the project, each in an environment of its own: ``python -m nox -s NAME``.

Needs ``pip install nox uv`` and the Python that runs it, nothing else.
The package is installed as a built wheel, not editable, so that a session sees what a user gets:
a file that is missing from the wheel fails here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import nox

# Tests start Python hundreds of times: without what it has compiled each start takes twice as long.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["tests", "crash", "lint", "types", "imports", "api", "docs", "plugin", "demo"]

LEAST_BRANCHES = 95
"""Percent of the branches that the suite takes."""
DECISIONS = ["*/_engine/*", "*/machine.py", "*/retry.py"]
"""Modules of which it takes every one."""
TASK = "Users can reset a forgotten password by e-mail; the link expires after one hour"


def install(session: nox.Session, *groups: str) -> None:
    """Install the wheel of this tree, built anew, with the given dependency groups."""
    chosen = [argument for group in groups for argument in ("--group", group)]
    session.install("--reinstall-package", "phaseline", *chosen, ".")


@nox.session
def demo(session: nox.Session) -> None:
    """Prepare one real task on a SQLite file: progress as it goes, the prompts at the end."""
    install(session)
    database = Path(session.create_tmp()).resolve() / "demo.db"
    session.run(
        "python",
        "-m",
        "phaseline.recipes.task_preparation",
        *(session.posargs or [TASK]),
        *("--tech-stack", "FastAPI,PostgreSQL"),
        *("--standard", "Clean Code"),
        *("--rule", "naming=snake_case"),
        *("--storage", f"sqlite:///{database}"),
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Run the suite on asyncio and trio. Arguments go to pytest."""
    install(session, "test")
    session.run("pytest", "-n", "3", *session.posargs)  # more than processors: many tests wait for processes


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the suite, and fail where tests miss a decision of the engine or more than a twentieth of all branches.

    By itself, for it takes twice as long as the suite alone.
    """
    install(session, "test")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-n", "3", "--timeout", "300", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", f"--fail-under={LEAST_BRANCHES}")
    session.run("coverage", "report", "--fail-under=100", f"--include={','.join(DECISIONS)}")
    summary = Path(session.create_tmp()) / "coverage.json"
    session.run("coverage", "json", "--quiet", "-o", str(summary))
    share = json.loads(summary.read_text("utf-8"))["totals"]["percent_branches_covered"]
    session.log(f"{share:.2f} % of branches alone")
    if share < LEAST_BRANCHES:
        session.error(f"tests take {share:.2f} % of the branches; at least {LEAST_BRANCHES} % are asked")


@nox.session
def crash(session: nox.Session) -> None:
    """Kill a process at every passing of every fault point, and try many sequences of all that can befall runs."""
    install(session, "test")
    # More at once than processors: most of the time is waiting for what a killed process left.
    session.run(
        "pytest",
        "-n",
        "4",
        "tests/crash/every_hit.py",
        "tests/crash/every_sequence.py",
        "tests/crash/many_runs.py",
        *session.posargs,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("--group", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types as the author (src), as a user (tests/typing, and what the pages show), and that none is missing."""
    install(session, "types")
    session.run("pyright")
    session.run("mypy")
    session.run("python", "-m", "docs.tools.typed")
    # Away from the tree, so that the installed package is judged and not src.
    session.chdir(session.create_tmp())
    session.run("pyright", "--verifytypes", "phaseline", "--ignoreexternal")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports point one way."""
    install(session, "imports")
    session.run("lint-imports")


@nox.session
def api(session: nox.Session) -> None:
    """Compare the public names with those of the last release; ``-- --write`` writes these anew, at a release."""
    session.install("--group", "api")
    session.run("python", "-m", "tests.public_names", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a broken link or reference fails, and whatever is loaded from elsewhere."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict", "--clean")
    session.run("python", "-m", "docs.tools.site", "site")


@nox.session
def plugin(session: nox.Session) -> None:
    """Install the example of a plugin beside the package, and run its own tests."""
    # Both anew: their version numbers do not tell that they have changed.
    session.install(
        *("--reinstall-package", "phaseline", "--reinstall-package", "phaseline-redact"),
        *(".", "./examples/plugin", "pytest>=9.2"),
    )
    session.chdir("examples/plugin")
    session.run("pytest", "-p", "no:cacheprovider", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure phaseline beside its peers, quickly; with arguments exactly those: ``-- memory --json``."""
    install(session, "bench")
    quickly = ["--rounds", "2", "--seconds", "0.5"]
    small = ["--rounds", "1", "--items", "2000", "--phases", "400", "--finished", "10000"]
    cases = [["memory", *quickly]]
    for storage in ("sqlite", "postgres"):
        cases.append(["durable", "--storage", storage, "--runs", "1,64", *quickly])
        cases.append(["growth", "--storage", storage, *small])
    cases.append(["graph", "--rounds", "2"])
    for case in [session.posargs] if session.posargs else cases:
        session.run("python", "-m", "benchmarks", *case)
