"""A body that kills its process is given up after a number of crashes, and takes nobody with it."""

from __future__ import annotations

import signal

import anyio
import pytest
from tests.crash.journal import Journal
from tests.crash.orders import JOURNAL, PIPELINES
from tests.crash.scene import Scene

from phaseline import Runtime
from phaseline._shell.options import RunnerOptions
from phaseline.dead_letter import DeadLetter
from phaseline.testing.checker import check

RUNS = 4
LIMIT = RunnerOptions().crash_limit


@pytest.mark.timeout(120)
def test_poison(scene: Scene) -> None:
    """Its run fails once it has crashed more often than the limit allows; the other runs complete.

    What is kept of it is a dead letter that tells of the crashes. It is taken up again by that with its crashes counted anew: one
    more does not end it, and once its cause is mended it completes.
    """
    deaths = 0
    while (child := scene.run("bomb", "--runs", str(RUNS))).status != 0:
        assert child.status == -signal.SIGKILL, child.told
        deaths += 1
        assert deaths <= LIMIT + 1, "it is never given up"
    found = child.answer()["found"]
    assert found == [["FAILED", None], *(["COMPLETED", number] for number in range(1, RUNS))]
    assert deaths == LIMIT + 1
    errors = [run.error.type for run in scene.check() if run.error is not None]
    assert errors == ["WorkerLost"]

    letter = anyio.run(requeue_all, scene)
    assert scene.run("bomb", "--runs", str(RUNS)).status == -signal.SIGKILL, (
        "its crashes are not counted anew"
    )
    scene.journal.mending.touch()
    assert (letter.phase, letter.input) == ("explode", "")
    assert (letter.category, letter.error.type) == ("SYSTEM", "WorkerLost")
    assert (letter.attempts, letter.crashes) == (deaths, deaths)
    found = scene.run("bomb", "--runs", str(RUNS)).answer()["found"]
    assert found == [["COMPLETED", number] for number in range(RUNS)]
    with scene.storage() as storage:
        check(storage)  # without what its callers were told: that it had failed was true then


async def requeue_all(scene: Scene) -> DeadLetter:
    """Command all dead letters from a process that carries nothing out itself; gives the one that there is."""
    async with Runtime(
        scene.database.storage(),
        pipelines=[PIPELINES["bomb"]],
        deps={JOURNAL: Journal(scene.journal.path)},
        serve=False,
    ) as runtime:
        (letter,) = (await runtime.dead_letters.find()).letters
        handled = await runtime.dead_letters.find(category="SYSTEM").requeue(
            reason="to be mended", actor="ada"
        )
        assert (handled.done, handled.refused) == ((letter.run_id,), {})
        assert (await runtime.dead_letters.find()).letters == ()
        return letter
