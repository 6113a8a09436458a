"""The ``phaseline`` command (extra ``cli``): runs looked at, commanded and served, from a shell."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from phaseline.cli.codes import ExitCode
from phaseline.cli.mistakes import tell_mistake
from phaseline.cli.streams import closed_ones_replaced, give_up, is_unwritable
from phaseline.errors import MissingExtraError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    try:
        for name in ("typer", "rich"):
            import_module(name)
    except ImportError:
        print(MissingExtraError("the command phaseline", "cli"), file=sys.stderr)
        return ExitCode.UNUSABLE
    with closed_ones_replaced():
        try:
            code = _carried_out(arguments)
            sys.stdout.flush()
        except OSError as error:
            if not is_unwritable(error):
                raise
            give_up(error)
            return ExitCode.FAILED
    return code


def _carried_out(arguments: Sequence[str] | None) -> int:
    from phaseline.cli.app import app

    reconfigure = getattr(sys.stdout, "reconfigure", None)  # what a host put there may have none
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")  # rather an escape than no answer
    try:
        app(args=None if arguments is None else [*arguments], prog_name="phaseline")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.UNUSABLE
    except Exception as error:  # it is the application's
        if isinstance(error, OSError) and is_unwritable(error):
            raise
        tell_mistake(error)
        return ExitCode.FAILED
    raise AssertionError  # a command ends by its exit code
