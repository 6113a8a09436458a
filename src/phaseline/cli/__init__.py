"""The ``phaseline`` command: the tables of a storage, the worker of a runtime and how all is, templates of pipelines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from phaseline.cli import db, doctor, template, worker
from phaseline.cli.codes import EXIT_CODES, FAILED, UNUSABLE
from phaseline.cli.places import NoRuntimeError
from phaseline.errors import MissingExtraError, SchemaVersionError, StorageError, TemplateError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = _parser().parse_args(arguments)
    try:
        code: int = given.do(given)
    except SchemaVersionError as error:
        print(error, file=sys.stderr)
        return FAILED
    except (StorageError, MissingExtraError, TemplateError, NoRuntimeError) as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="phaseline", description=__doc__, epilog=EXIT_CODES)
    areas = parser.add_subparsers(required=True, metavar="AREA")
    db.add_to(areas.add_parser)
    worker.add_to(areas.add_parser)
    doctor.add_to(areas.add_parser)
    template.add_to(areas.add_parser)
    return parser
