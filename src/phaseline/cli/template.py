"""``phaseline template``: pipelines as data."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from phaseline.cli.codes import EXIT_CODES, OK, UNUSABLE


def add_to(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    template = add_parser("template", help="pipelines as TOML or JSON", epilog=EXIT_CODES)
    verbs = template.add_subparsers(required=True, metavar="VERB")
    schema = verbs.add_parser("schema", help="print the JSON schema of templates, for an editor")
    schema.set_defaults(do=_schema)
    text = "say whether a template is one, of phases that installed plugins offer"
    check = verbs.add_parser("check", help=text, epilog=EXIT_CODES)
    check.add_argument("file", metavar="FILE", help="its name ends in .toml or .json")
    check.set_defaults(do=_check)


def _schema(given: argparse.Namespace) -> int:  # noqa: ARG001  # as of every verb
    from phaseline import templates

    print(json.dumps(templates.json_schema(), indent=2))
    return OK


def _check(given: argparse.Namespace) -> int:
    from phaseline import templates

    try:
        plan = templates.load(given.file).plan
    except OSError as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    print(f"{given.file}: pipeline {plan.name!r}, version {plan.version!r}, fingerprint {plan.fingerprint}")
    return OK
