"""Many callers in several processes start a run under one idempotency key, at the same moment."""

from __future__ import annotations

from pathlib import Path

from tests.crash.nursery import Child
from tests.crash.scene import Scene

PROCESSES, TASKS = 4, 5
KEY = "k"


def at_once(scene: Scene, go: Path, inputs: list[int]) -> list[str]:
    """Have each process start a run with its input, from all of its tasks; gives what each task got."""
    share = ("order", "--key", KEY, "--runs", str(TASKS), "--go", str(go))
    children: list[Child] = [scene.begin(*share, "--input", str(value)) for value in inputs]
    go.touch()
    return [told for child in children for told in scene.ended(child).answer()["found"]]


def test_one_key_one_run(scene: Scene, tmp_path: Path) -> None:
    """Whoever comes first starts the run, and all get it, with its result."""
    told = at_once(scene, tmp_path / "go", [1] * PROCESSES)
    (run,) = scene.check()
    assert [run.id] * PROCESSES * TASKS == told
    assert (run.state, run.key) == ("COMPLETED", KEY)


def test_another_input_is_refused(scene: Scene, tmp_path: Path) -> None:
    """Those with the input of whoever came first get the run, the others an error that names it."""
    told = at_once(scene, tmp_path / "go", [1, 2, 1, 2])
    (run,) = scene.check()
    with scene.storage() as storage:
        first = int(storage.values(run.namespace, run.id, [""])[""])
    got, refused = [run.id] * TASKS, [f"conflict with {run.id}"] * TASKS
    assert told == ([*got, *refused] * 2 if first == 1 else [*refused, *got] * 2)
