"""The application of ``tests.apps.kiosk`` on a database, and the command line beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
from tests.apps.kiosk import asking, letters
from typer.testing import CliRunner, Result

from phaseline import Pipeline, Runtime
from phaseline.cli.app import app


class Kiosk:
    """A database, and the command line beside it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/runs.db"

    def start(
        self,
        pipeline: Pipeline[Any, Any],
        value: object,
        *,
        serve: bool = True,
        tracebacks: bool = False,
        **options: Any,
    ) -> str:
        """Begin a run, and have it served until it stands; gives its id."""

        async def begun() -> str:
            known = [letters, asking]
            async with Runtime(self.url, pipelines=known, serve=serve, tracebacks=tracebacks) as runtime:
                handle = await runtime.start(pipeline, value, **options)
                if serve:
                    async for event in handle.events():
                        if event.type == "PHASE_STARTED" and event.phase == "wait_for_approved":
                            break
                return handle.id

        return anyio.run(begun)

    def serve(self) -> None:
        """Have all runs come to their ends."""

        async def served() -> None:
            async with Runtime(self.url, pipelines=[letters, asking]) as runtime:
                async for run in runtime.find(ended=False):
                    await (await runtime.get(run.id)).wait()

        anyio.run(served)

    def ask(self, *arguments: str, place: str = "tests.apps.kiosk:make", **environment: str) -> Result:
        """Give the command line."""
        here = {"KIOSK_STORAGE": self.url, "PHASELINE_RUNTIME": place, "PHASELINE_ACTOR": "user:ann"}
        return CliRunner().invoke(app, [*arguments], env={**here, **environment})

    def data(self, *arguments: str, **given: str) -> Any:
        """Give it, with --json; gives the one document."""
        found = self.ask(*arguments, "--json", **given)
        assert "" == found.stderr
        return json.loads(found.stdout)
