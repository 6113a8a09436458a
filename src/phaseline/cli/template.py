"""``phaseline template``: pipelines as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from phaseline.cli.options import Json
from phaseline.cli.output import print_json

app: typer.Typer = typer.Typer(help="Pipelines as TOML or JSON.", no_args_is_help=True)


@app.command()
def schema() -> None:
    """Print the JSON schema of templates, for an editor."""
    from phaseline import templates

    print(json.dumps(templates.json_schema(), indent=2))


@app.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="Its name ends in .toml or .json."),
    ],
    as_json: Json = False,
) -> None:
    """Say whether a template is one, of phases that installed plugins offer."""
    from phaseline import templates

    plan = templates.load(str(file)).plan
    if as_json:
        print_json({"pipeline": plan.name, "version": plan.version, "fingerprint": plan.fingerprint})
        return
    print(f"{file}: pipeline {plan.name!r}, version {plan.version!r}, fingerprint {plan.fingerprint}")
