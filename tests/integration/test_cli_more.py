"""Dead letters, schedules, graphs and starts at a shell."""

from __future__ import annotations

import json

import pytest

from phaseline.cli.codes import ExitCode


# --------------------------------------------------------------------- starts
def test_a_run_is_carried_out_to_its_end(kiosk):
    """The output alone goes to stdout, how it goes on to stderr."""
    found = kiosk.ask("run", "letters", '"one two"')
    assert (ExitCode.DONE, "6\n") == (found.exit_code, found.stdout)
    assert "PHASE_COMPLETED measure[1]" in found.stderr
    whole = kiosk.ask("run", "letters", '"one"', "--key", "a", "--tag", "urgent", "--json")
    run = json.loads(whole.stdout)
    assert (3, "COMPLETED", ["urgent"], "a") == (run["output"], run["state"], run["tags"], run["key"])
    failed = kiosk.ask("run", "letters", '"endless"')
    assert (ExitCode.FAILED, "null\n") == (failed.exit_code, failed.stdout)
    assert r"Abort: it has no end\x1b[31m" in failed.stderr


def test_a_run_is_only_started(kiosk):
    """Where a worker takes it up; nothing is served."""
    begun = kiosk.data(
        "run", "letters", '"one"', "--detach", "--key", "a", "--delay", "1h", "--priority", "7"
    )
    assert "IDLE" == begun["state"]
    assert begun["id"] == kiosk.data("run", "letters", '"one"', "--detach", "--key", "a")["id"]
    assert 7 == kiosk.data("runs", "show", begun["id"])["priority"]
    taken = kiosk.ask("run", "letters", '"two"', "--detach", "--key", "a")
    assert (ExitCode.REFUSED, True) == (taken.exit_code, "stands for run" in taken.stderr)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["letters", "3"], ExitCode.UNUSABLE, "input of pipeline 'letters'"),
        (["letters", "three"], ExitCode.UNUSABLE, "it is no JSON"),
        (["leters", '"one"'], ExitCode.NOT_FOUND, "'leters' is not registered"),
        (["letters", '"one"', "--version", "2"], ExitCode.NOT_FOUND, "version '2'"),
        (["letters", '"one"', "-r", "sqlite:///x.db"], ExitCode.UNUSABLE, "needs its pipeline"),
        (["letters", '"one"', "--timeout", "0"], ExitCode.UNUSABLE, "timeout"),
    ],
)
def test_what_cannot_be_started_is_told(kiosk, arguments, code, problem):
    """And nothing is stored."""
    found = kiosk.ask("run", *arguments)
    assert (code, "") == (found.exit_code, found.stdout)
    assert problem in found.stderr
    assert 0 == kiosk.data("runs", "counts")["total"]
