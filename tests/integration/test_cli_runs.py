"""Runs looked at and commanded at a shell."""

from __future__ import annotations

import json
import os

import pytest
from tests.apps.kiosk import asking, letters

from phaseline.cli.codes import ExitCode
from phaseline.exports import RunExport


def test_runs_are_listed_by_their_storage_alone(kiosk):
    """As a table, as ids for other programs, and as JSON; page by page."""
    first = kiosk.start(letters, "one two", tags=["urgent"], attributes={"shop": 7})
    second = kiosk.start(letters, "endless")
    listed = kiosk.ask("runs", "list", place=kiosk.url)
    assert ["ID", "PIPELINE", "STATE", "CREATED", "ABOUT"] == listed.stdout.splitlines()[0].split()
    assert [second, first] == [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert "#urgent shop=7" in listed.stdout
    assert r"Abort: it has no end\x1b[31m" in listed.stdout
    assert f"{first}\n" == kiosk.ask("runs", "list", "--ids", "--attribute", "shop=7").stdout
    page = kiosk.data("runs", "list", "--limit", "1", "--order", "oldest")
    assert ([first], first) == ([run["id"] for run in page["runs"]], page["next"])
    rest = kiosk.data(
        "runs", "list", "--order", "oldest", "--after", page["next"], "--since", "1h", "--ended"
    )
    assert ([second], None) == ([run["id"] for run in rest["runs"]], rest["next"])
    assert {"counts": {"COMPLETED": 1, "FAILED": 1}, "total": 2} == kiosk.data("runs", "counts")
    (group,) = kiosk.data("runs", "statistics", place=kiosk.url)["groups"]
    assert ("letters", 0.5, {"COMPLETED": 1, "FAILED": 1}) == (
        group["group"],
        group["success_rate"],
        group["states"],
    )
    phases = kiosk.ask("runs", "statistics", "--by", "phase").stdout.splitlines()
    assert ["PHASE", "letters/measure", "letters/split", "letters/total"] == [
        line.split()[0] for line in phases
    ]
    assert [] == kiosk.data("runs", "list", "--stage", "waiting")["runs"]
    none = kiosk.ask("runs", "list", "--state", "PAUSED")
    assert (ExitCode.DONE, "", "no run fulfils that\n") == (none.exit_code, none.stdout, none.stderr)
    for command in ("list", "counts", "statistics"):
        told = kiosk.ask("runs", command, "--state", "FAILDE", "--pipeline", "letters")
        assert (ExitCode.DONE, "no run fulfils that; did you mean 'FAILED'?\n") == (
            told.exit_code,
            told.stderr,
        )
    assert (
        "no run fulfils that; did you mean 'MEASURE'?\n"
        == kiosk.ask("runs", "list", "--state", "MEASUR").stderr
    )
    assert "no run fulfils that\n" == kiosk.ask("runs", "list", "--state", "TOTAL").stderr
    for command in (("runs", "list"), ("runs", "counts"), ("runs", "statistics"), ("dead-letters", "list")):
        elsewhere = kiosk.ask(*command, "--namespace", "nowhere", place=kiosk.url)
        assert (ExitCode.DONE, "") == (elsewhere.exit_code, elsewhere.stdout)
        assert "there is no run in namespace 'nowhere'; if another one is meant" in elsewhere.stderr


def test_a_run_is_shown_with_its_phases(kiosk):
    """As a tree, and as JSON in the words of the HTTP surface."""
    run_id = kiosk.start(letters, "one endless")
    shown = kiosk.ask("runs", "show", run_id)
    assert ExitCode.DONE == shown.exit_code, shown.stderr
    assert "letters FAILED" in shown.stdout
    assert "\x1b" not in shown.stdout
    tree = [line.strip("│├└─ ").split("  ")[0] for line in shown.stdout.splitlines()[1:5]]
    assert ["✓ split", "✗ measure", "✗ [1]", "○ total"] == tree
    assert "commands: retry rerun-from restart rollback fork annotate discard" in shown.stdout
    data = kiosk.data("runs", "show", run_id)
    assert ("FAILED", "measure[1]", None) == (data["state"], data["error"]["phase"], data["output"])
    done = kiosk.start(letters, "one two")
    assert json.loads(kiosk.ask("runs", "show", done).stdout.partition("annotate\n")[2]) == {"output": 6}


def test_where_it_was_raised_is_shown_if_that_was_kept(kiosk):
    """Escaped, as all that is written by others; and never in what is for programs."""
    kept = kiosk.start(letters, "endless", tracebacks=True)
    shown = kiosk.ask("runs", "show", kept).stdout
    assert "Traceback (most recent call last):\n" in shown
    assert r"Abort: it has no end\x1b[31m" in shown.partition("Traceback")[2]
    assert "Traceback" not in kiosk.ask("runs", "show", kept, "--json").stdout
    assert "Traceback" not in kiosk.ask("runs", "show", kiosk.start(letters, "endless")).stdout


def test_runs_are_commanded(kiosk):
    """In the words of the API; who did it, and why, stands in their history."""
    run_id = kiosk.start(letters, "one", serve=False)
    paused = kiosk.ask("runs", "pause", run_id, "--reason", "lunch")
    assert (ExitCode.DONE, f"{run_id} is PAUSED\n") == (paused.exit_code, paused.stdout)
    assert "PAUSED" != kiosk.data("runs", "resume", run_id)["done"][0]["state"]
    kiosk.data("runs", "annotate", run_id, "--note", "late")
    kiosk.serve()
    assert "ROLLED_BACK" == kiosk.data("runs", "rollback", run_id, "--to", "split")["done"][0]["state"]
    copy = kiosk.data("runs", "fork", run_id, "--at", "split")["id"]
    kiosk.data("runs", "restart", run_id)
    kiosk.serve()
    kiosk.data("runs", "rerun-from", run_id, "--phase", "measure")
    kiosk.data("runs", "cancel", run_id)
    export = RunExport.model_validate_json(kiosk.ask("runs", "export", run_id, "--json").stdout)
    told = [
        (event.type, event.data.get("reason"), event.data["actor"])
        for event in export.events
        if "actor" in event.data
    ]
    assert ("PIPELINE_PAUSED", "lunch", "user:ann") == told[0]
    assert {"user:ann"} == {actor for _, _, actor in told}
    assert run_id == kiosk.data("runs", "show", copy)["forked_from"]


@pytest.mark.parametrize("error", [KeyError, OSError], ids=["before-3.13", "since"])
def test_who_has_no_name_is_told_by_number(kiosk, monkeypatch, error):
    """A container may run as a user that stands in no list."""

    def nobody(uid: int) -> None:
        raise error(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    run_id = kiosk.start(letters, "one", serve=False)
    nameless = dict.fromkeys(("PHASELINE_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME"), "")
    assert ExitCode.DONE == kiosk.ask("runs", "pause", run_id, **nameless).exit_code
    export = RunExport.model_validate_json(kiosk.ask("runs", "export", run_id, "--json").stdout)
    assert [f"uid:{os.getuid()}"] == [event.data["actor"] for event in export.events if "actor" in event.data]


def test_a_signal_is_sent(kiosk, tmp_path):
    """As JSON, of a file too."""
    run_id = kiosk.start(asking, "may I")
    wrong = kiosk.ask("runs", "signal", run_id, "approved", '"perhaps"')
    assert (ExitCode.UNUSABLE, True) == (wrong.exit_code, "does not fit" in wrong.stderr)
    assert ExitCode.NOT_FOUND == kiosk.ask("runs", "signal", run_id, "aproved", "true").exit_code
    assert "it is no JSON" in kiosk.ask("runs", "signal", run_id, "approved", "yes").stderr
    assert "cannot be read" in kiosk.ask("runs", "signal", run_id, "approved", "@nothing.json").stderr
    (tmp_path / "yes.json").write_text("true")
    assert (
        run_id == kiosk.data("runs", "signal", run_id, "approved", f"@{tmp_path}/yes.json", "--id", "1")["id"]
    )
    kiosk.serve()
    assert [["may", "I"], True] == kiosk.data("runs", "show", run_id)["output"]
    export = RunExport.model_validate_json(kiosk.ask("runs", "export", run_id, "--json").stdout)
    sent = [event.data for event in export.events if event.type == "SIGNAL_RECEIVED"]
    assert [{"signal": "approved", "id": "1", "actor": "user:ann"}] == sent


def test_what_is_refused_is_told_with_the_state(kiosk):
    """And stops none of the others; the exit code says of what kind the first refusal is."""
    done, failed = kiosk.start(letters, "one"), kiosk.start(letters, "endless")
    found = kiosk.ask("runs", "retry", done, failed)
    assert ExitCode.REFUSED == found.exit_code
    assert f"run {done} is COMPLETED, where retry is not possible" in found.stderr
    assert f"{failed} is " in found.stdout
    missing = kiosk.ask("runs", "cancel", "nobody", "--json")
    assert ExitCode.NOT_FOUND == missing.exit_code
    document = json.loads(missing.stdout)
    assert ([], ["nobody"]) == (document["done"], [*document["refused"]])
    assert ExitCode.NOT_FOUND == kiosk.ask("runs", "rerun-from", done, "--phase", "nowhere").exit_code
    assert ExitCode.NOT_FOUND == kiosk.ask("runs", "rollback", done, "--to", "nowhere").exit_code
    for command in ("show", "export"):
        unknown = kiosk.ask("runs", command, "nobody")
        assert (ExitCode.NOT_FOUND, True) == (unknown.exit_code, "no run 'nobody'" in unknown.stderr)


def test_what_needs_code_says_so(kiosk):
    """Where only the storage is named."""
    run_id = kiosk.start(letters, "one")
    for command in ("export", "pause"):
        found = kiosk.ask("runs", command, run_id, place=kiosk.url)
        assert ExitCode.NOT_FOUND == found.exit_code
        assert "name the runtime that has it: --runtime MODULE:NAME" in found.stderr


def test_a_runtime_in_memory_is_not_seen_from_outside(kiosk):
    """Rather than that it has no runs."""
    found = kiosk.ask("runs", "list", KIOSK_STORAGE="memory")
    assert (ExitCode.UNUSABLE, True) == (found.exit_code, "in the memory of its own process" in found.stderr)


def test_runs_are_exported(kiosk, tmp_path):
    """As Markdown, or as JSON, to a file or not."""
    run_id = kiosk.start(letters, "one two")
    assert kiosk.ask("runs", "export", run_id).stdout.startswith("# Run ")
    path = tmp_path / "run.json"
    assert (
        ExitCode.DONE
        == kiosk.ask("runs", "export", run_id, "--json", "--no-values", "-o", str(path)).exit_code
    )
    assert RunExport.model_validate_json(path.read_text()).input.value is None


def test_an_export_that_cannot_be_written_is_told_with_the_reason(kiosk, monkeypatch, tmp_path):
    """Where it shows before the run is read, then."""
    made = tmp_path / "made"

    def told(run_id: str, file: object) -> str:
        found = kiosk.ask("runs", "export", run_id, "-o", str(file))
        assert (ExitCode.UNUSABLE, "", True) == (found.exit_code, found.stdout, "--output" in found.stderr)
        return found.stderr

    assert f"the directory '{made}' is not there" in told("not read", made / "run.md")
    made.mkdir()
    with monkeypatch.context() as others:
        others.setattr("os.access", lambda path, mode: path == made and mode == os.F_OK)
        assert f"the directory '{made}' may not be written to" in told("not read", made / "run.md")
    full = told(kiosk.start(letters, "one"), "/dev/full")
    assert "'/dev/full' cannot be written: No space left on device" in full


def test_runs_are_purged_only_when_it_is_said(kiosk):
    """Without --yes they are counted."""
    kiosk.start(letters, "one")
    assert {"runs": 1, "deleted": False} == kiosk.data("runs", "purge", "--older-than", "0")
    assert {"runs": 0, "deleted": True} == kiosk.data("runs", "purge", "--older-than", "1d", "--yes")
    assert {"runs": 1, "deleted": True} == kiosk.data("runs", "purge", "--older-than", "0s", "--yes")
    going = kiosk.ask("runs", "purge", "--older-than", "0", "--state", "PAUSED")
    assert (ExitCode.UNUSABLE, True) == (going.exit_code, "has not ended" in going.stderr)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["list", "--since", "yesterday"], "is no moment"),
        (["list", "--state", "paused"], "did you mean 'PAUSED'"),
        (["list", "--attribute", "=1"], "an attribute named"),
        (["list", "--limit", "0"], "--limit"),
        (["list", "--text", "x" * 201], "longer than 200 characters"),
        (["counts", "--tag", ""], "a tag"),
        (["list", "--sate", "PAUSED"], "No such option"),
        (["purge"], "--older-than"),
        (["pause"], "ID"),
        (["rerun-from", "x"], "--phase"),
        (["annotate", "x", "--note", ""], "a note cannot be stored: it has 0 characters; 1 to 2,000 are allowed"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(kiosk, arguments, problem):
    """With the code of a command line that is wrong."""
    found = kiosk.ask("runs", *arguments)
    assert (ExitCode.UNUSABLE, "") == (found.exit_code, found.stdout)
    assert problem in found.stderr
