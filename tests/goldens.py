"""Golden files of the recipe's texts: ``python -m tests.goldens`` writes them anew, and the diff shows what a change does.

Tests only read them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phaseline.recipes.task_preparation import (
    PreparedTask,
    ProjectContext,
    Task,
    enrich_subtask,
    write_prompts,
)
from phaseline.recipes.task_preparation.templates import decompose

DATA = Path(__file__).with_name("task_preparation")
TASKS = DATA / "tasks.toml"
GOLDEN = {name: DATA / f"{name}.md" for name in ("clinic", "login-loop", "rename")}
"""The files by the name of their task."""


def task_of(described: Mapping[str, Any]) -> Task:
    """Make a task of its description in the file."""
    context = ProjectContext(
        tech_stack=described.get("tech_stack", ()),
        coding_standards=described.get("coding_standards", ()),
        project_rules=described.get("project_rules", {}),
    )
    return Task.from_text(described["text"], context=context)


def golden_text(name: str) -> str:
    """What the recipe makes of a task, as one document."""
    task = task_of(tomllib.loads(TASKS.read_text("utf-8"))["task"][name])
    plan = decompose(task)
    prompts = write_prompts(task, [enrich_subtask(subtask, task) for subtask in plan])
    return PreparedTask(run_id=name, subtasks=tuple(plan), prompts=tuple(prompts)).to_markdown()


def write(folder: Path = DATA) -> None:
    """Write the files anew.

    Raises:
        SystemExit: This is CI, where nobody would look at what changed.
    """
    if os.environ.get("CI"):
        message = (
            "golden files are not written where CI is set: write them on your machine, and look at the diff"
        )
        raise SystemExit(message)
    for name, file in GOLDEN.items():
        (folder / file.name).write_text(golden_text(name), "utf-8")


if __name__ == "__main__":
    write()
