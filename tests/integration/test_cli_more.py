"""Dead letters, schedules, graphs and starts at a shell."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
from tests.apps.kiosk import letters

from phaseline import cli
from phaseline.cli.codes import ExitCode


# --------------------------------------------------------------------- starts
def test_a_run_is_carried_out_to_its_end(kiosk):
    """The output alone goes to stdout, how it goes on to stderr."""
    found = kiosk.ask("run", "letters", '"one two"')
    assert (ExitCode.DONE, "6\n") == (found.exit_code, found.stdout)
    assert "PHASE_COMPLETED measure[1]" in found.stderr
    assert re.match(r"run \w{22}\n\d\d:", found.stderr)
    whole = kiosk.ask("run", "letters", '"one"', "--key", "a", "--tag", "urgent", "--json")
    run = json.loads(whole.stdout)
    assert (3, "COMPLETED", ["urgent"], "a") == (run["output"], run["state"], run["tags"], run["key"])
    failed = kiosk.ask("run", "letters", '"endless"')
    assert (ExitCode.FAILED, "") == (failed.exit_code, failed.stdout)
    assert r"Abort: it has no end\x1b[31m" in failed.stderr


@pytest.mark.parametrize("command", ["list", "watch", "show"])
def test_what_a_terminal_cannot_write_is_escaped(kiosk, command, monkeypatch):
    """And JSON stays JSON."""
    run_id = kiosk.start(letters, "endless", tags=["größer"])
    monkeypatch.setenv("PHASELINE_RUNTIME", "tests.apps.kiosk:make")
    monkeypatch.setenv("KIOSK_STORAGE", kiosk.url)

    def told(*arguments: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
            cli.main(["runs", command, *([] if command == "list" else [run_id]), *arguments])
            sys.stdout.flush()
            return sys.stdout.buffer.getvalue().decode("ascii")

    assert run_id in told() or command == "watch"
    documents = told("--json")
    assert all(map(json.loads, documents.splitlines() if command == "watch" else [documents]))


@pytest.mark.parametrize(
    "command",
    [
        "run letters 'one' --detach",
        "schedules put nightly letters 'one' --every 1h",
        "runs list",
        "runs counts",
        "runs statistics",
        "runs purge --older-than 1d",
    ],
)
def test_an_attribute_without_a_value_is_refused(kiosk, command):
    """It is more likely a slip than the empty text, which can be written."""
    arguments = [part.replace("'", '"') for part in command.split()]
    found = kiosk.ask(*arguments, "--attribute", "shop")
    assert (ExitCode.UNUSABLE, "") == (found.exit_code, found.stdout)
    assert "'shop' has no value: write NAME=VALUE" in " ".join(found.stderr.split())
    assert ExitCode.DONE == kiosk.ask(*arguments, "--attribute", "shop=", "--attribute", "n=7").exit_code


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [
        (">&-", ExitCode.DONE, ""),
        (
            ">/dev/full",
            ExitCode.FAILED,
            "what was to be printed cannot be written: No space left on device\n",
        ),
        ("| true; exit ${PIPESTATUS[0]}", ExitCode.FAILED, ""),
    ],
    ids=["closed", "full", "left"],
)
def test_what_cannot_be_printed_is_told_in_a_sentence(kiosk, to, code, said):
    """Where nobody wants to hear it, nothing is; and whoever left has heard enough. It shows at the end, or line by line."""
    run_id = kiosk.start(letters, "one two")
    here = {**os.environ, "KIOSK_STORAGE": kiosk.url, "PHASELINE_RUNTIME": "tests.apps.kiosk:make"}
    for command, unbuffered in (("runs list", ""), (f"runs watch {run_id} --json", "1")):
        line = f"{sys.executable} -m phaseline.cli {command} {to}"
        done = subprocess.run(
            ["/bin/bash", "-c", line],
            env={**here, "PYTHONUNBUFFERED": unbuffered},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert (code, said) == (done.returncode, done.stderr)


def test_a_run_is_only_started(kiosk):
    """Where a worker takes it up; nothing is served."""
    begun = kiosk.data(
        "run", "letters", '"one"', "--detach", "--key", "a", "--delay", "1h", "--priority", "7"
    )
    assert "IDLE" == begun["state"]
    again = kiosk.ask("run", "letters", '"one"', "--detach", "--key", "a")
    assert (begun["id"], True) == (again.stdout.strip(), "was started before" in again.stderr)
    assert 7 == kiosk.data("runs", "show", begun["id"])["priority"]
    taken = kiosk.ask("run", "letters", '"two"', "--detach", "--key", "a")
    assert (ExitCode.REFUSED, True) == (taken.exit_code, "stands for run" in taken.stderr)


def test_what_is_begun_is_named_on_stdout_alone(kiosk):
    """For what is typed next: ``ID=$(phaseline run ... --detach)``."""
    kiosk.data("schedules", "put", "nightly", "letters", '"one"', "--every", "1h")
    run_id = kiosk.start(letters, "one")
    for command in (
        ("run", "letters", '"one"', "--detach"),
        ("schedules", "trigger", "nightly"),
        ("runs", "fork", run_id, "--at", "split"),
    ):
        found = kiosk.ask(*command)
        assert re.fullmatch(r"\w{22}\n", found.stdout), command
        assert f"{found.stdout.strip()} is " in found.stderr
        assert ExitCode.DONE == kiosk.ask("runs", "show", found.stdout.strip()).exit_code


def test_null_is_a_value(kiosk):
    """As what a pipeline takes that takes nothing; it counted as none, and was asked for."""
    run_id = kiosk.data("run", "asking", '"one"', "--detach")["id"]
    for command in (
        ("run", "letters", "null", "--detach"),
        ("runs", "signal", run_id, "approved", "null"),
        ("schedules", "put", "nightly", "letters", "null", "--every", "1h"),
    ):
        refused = kiosk.ask(*command)
        assert ExitCode.UNUSABLE == refused.exit_code
        assert "None" in refused.stderr, refused.stderr


def test_a_deadline_may_be_a_time_from_now_on(kiosk):
    """And not one that is past."""
    begun = kiosk.data("run", "letters", '"one"', "--detach", "--deadline", "15m")
    assert "IDLE" == begun["state"]
    exact = kiosk.data("run", "letters", '"one"', "--detach", "--deadline", "2126-11-28T09:00Z")
    assert "IDLE" == exact["state"]
    told = kiosk.data("runs", "show", exact["id"])
    assert "2126-11-28T09:00:00Z" == told["deadline"]
    assert re.search(r"^deadline: 2126-11-2", kiosk.ask("runs", "show", exact["id"]).stdout, re.MULTILINE)
    past = kiosk.ask("run", "letters", '"one"', "--detach", "--deadline", "2001-01-01")
    assert ExitCode.UNUSABLE == past.exit_code
    assert "from now on" in kiosk.ask("run", "letters", '"one"', "--deadline", "soon").stderr


def test_what_is_asked_and_begun_is_in_the_namespace_that_is_said(kiosk):
    """The runtime is used as it is there, pipelines and all; nothing is done in its own."""
    there = {"PHASELINE_NAMESPACE": "acme"}
    nightly = ("schedules", "put", "nightly", "letters", '"one"', "--every", "1h")
    assert "nightly" == kiosk.data(*nightly, **there)["name"]
    begun = kiosk.data("run", "letters", '"one"', "--detach", **there)["id"]
    assert "CANCELLED" == kiosk.data("runs", "cancel", begun, "--namespace", "acme")["done"][0]["state"]
    triggered = kiosk.data("schedules", "trigger", "nightly", **there)["id"]
    assert ExitCode.DONE == kiosk.ask("run", "letters", '"one two"', "--namespace", "acme").exit_code
    assert 3 == kiosk.data("runs", "counts", "--namespace", "acme")["total"]
    assert {begun, triggered} < {
        run["id"] for run in kiosk.data("runs", "list", place=kiosk.url, **there)["runs"]
    }
    assert (0, []) == (kiosk.data("runs", "counts")["total"], kiosk.data("schedules", "list")["schedules"])
    assert ExitCode.NOT_FOUND == kiosk.ask("runs", "show", begun).exit_code
    refused = kiosk.ask("runs", "list", "--namespace", "a\nb")
    assert (ExitCode.UNUSABLE, True) == (refused.exit_code, "printable text" in refused.stderr)


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


# --------------------------------------------------------------------- dead letters
def test_dead_letters_are_seen_to(kiosk):
    """Listed, tried again, let go of."""
    first, second = (kiosk.start(letters, "endless") for _ in range(2))
    listed = kiosk.ask("dead-letters", "list", place=kiosk.url)
    assert [second, first] == [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert r"Abort: it has no end\x1b[31m" in listed.stdout
    page = kiosk.data(
        "dead-letters", "list", "--limit", "1", "--category", "PROCESSING", "--pipeline", "letters"
    )
    assert [second] == [letter["run_id"] for letter in page["letters"]]
    rest = kiosk.ask("dead-letters", "list", "--ids", "--after", page["next"])
    assert f"{first}\n" == rest.stdout
    assert "no place to go on at" in kiosk.ask("dead-letters", "list", "--after", "x").stderr
    assert "FAILED" == kiosk.data("dead-letters", "discard", first)["done"][0]["state"]
    assert "FAILED" != kiosk.data("dead-letters", "requeue", second)["done"][0]["state"]
    assert [] == kiosk.data("dead-letters", "list")["letters"]
    again = kiosk.ask("dead-letters", "discard", first)
    assert (ExitCode.REFUSED, True) == (
        again.exit_code,
        "is FAILED, where discard is not possible" in again.stderr,
    )


# --------------------------------------------------------------------- schedules
def test_schedules_are_kept(kiosk):
    """Stored, listed, paused, triggered, filled in and deleted."""
    stored = kiosk.data(
        "schedules", "put", "nightly", "letters", '"one two"', "--cron", "30 2 * * *", "--tz", "Europe/Berlin"
    )
    assert ("letters", "Europe/Berlin", None) == (stored["pipeline"], stored["tz"], stored["every_seconds"])
    assert (
        3600 == kiosk.data("schedules", "put", "hourly", "letters", '"one"', "--every", "1h")["every_seconds"]
    )
    table = kiosk.ask("schedules", "list", place=kiosk.url).stdout.splitlines()
    assert ["NAME", "hourly", "nightly"] == [line.split()[0] for line in table]
    assert kiosk.data("schedules", "pause", "nightly", place=kiosk.url)["paused"]
    assert "paused" in kiosk.ask("schedules", "show", "nightly", place=kiosk.url).stdout
    assert not kiosk.data("schedules", "resume", "nightly", place=kiosk.url)["paused"]
    assert 2 == len(kiosk.data("schedules", "slots", "nightly", "--limit", "2", place=kiosk.url)["slots"])
    assert "02:30:00+0" in kiosk.ask("schedules", "slots", "nightly", place=kiosk.url).stdout
    triggered = kiosk.data("schedules", "trigger", "nightly")["id"]
    filled = kiosk.ask("schedules", "backfill", "hourly", "--since", "3h", "--until", "0s")
    assert 3 == len(filled.stdout.split())
    assert {triggered, *filled.stdout.split()} == {run["id"] for run in kiosk.data("runs", "list")["runs"]}
    assert {"deleted": "nightly"} == kiosk.data("schedules", "delete", "nightly", place=kiosk.url)
    gone = kiosk.ask("schedules", "show", "nightly")
    assert (ExitCode.NOT_FOUND, True) == (gone.exit_code, "known: 'hourly'" in gone.stderr)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["put", "x", "letters", '"one"'], "cron"),
        (["put", "x", "letters", '"one"', "--cron", "nightly"], "cron"),
        (["put", "x", "letters", "--every", "1h"], "input of pipeline 'letters'"),
        (["put", "x", "letters", '"one"', "--every", "1h", "--tz", "Mars/North"], "tz"),
        (["put", "x", "letters", '"one"', "--every", "1h", "--overlap", "maybe"], "--overlap"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(kiosk, arguments, problem):
    """Nothing is stored."""
    found = kiosk.ask("schedules", *arguments)
    assert (ExitCode.UNUSABLE, True) == (found.exit_code, problem in found.stderr), found.stderr
    assert [] == kiosk.data("schedules", "list")["schedules"]


# --------------------------------------------------------------------- graphs
def test_graphs_are_drawn(kiosk):
    """As a tree, as Mermaid, and as data."""
    tree = kiosk.ask("graph", "letters").stdout
    assert [
        "letters 1",
        "├── split  takes the input",
        "├── measure  map  takes split",
        "│   └── measure[]  takes an item",
        "└── total  takes measure",
    ] == [line.rstrip() for line in tree.splitlines()]
    assert kiosk.ask("graph", "letters", "--format", "mermaid").stdout == letters.to_mermaid()
    assert kiosk.ask("graph", "letters", "--format", "states").stdout == letters.transitions.to_mermaid()
    data = kiosk.data("graph", "letters")
    assert ({"type": "string"}, "letters") == (data["input_schema"], data["graph"]["name"])
    assert ["letters", "asking"] == [each["name"] for each in kiosk.data("pipelines")["pipelines"]]
    several = kiosk.ask("graph")
    assert (ExitCode.UNUSABLE, True) == (several.exit_code, "letters, asking" in several.stderr)
