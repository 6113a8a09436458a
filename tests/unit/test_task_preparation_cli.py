"""The command line of task preparation."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from itertools import pairwise

import anyio
import pytest

from phaseline import Runtime
from phaseline.recipes.task_preparation import PreparedTask, Task, task_preparation_pipeline
from phaseline.recipes.task_preparation.__main__ import main

TEXT = (
    "Build an expense approval workflow. Employees submit expenses; managers approve or reject each expense."
)
REVIEWED = ("--resume", "some", "--storage", "sqlite:///{tmp}/runs.db")
STATES = ["IDLE", "INITIALIZING", "DECOMPOSING", "ENRICHING", "GENERATING_PROMPTS", "COMPLETED"]


@pytest.fixture
def database(tmp_path):
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'runs.db'}"


def test_json_is_one_object(capsys, database):
    """With --json, standard output holds one JSON object with all of the run, and the id comes early on stderr."""
    options = [
        "--tech-stack",
        "FastAPI,PostgreSQL",
        "--standard",
        "Clean Code",
        "--rule",
        "naming=snake_case",
    ]
    code = main([TEXT, *options, "--storage", database, "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)

    assert 0 == code
    assert ["run_id", "state", "history", "subtasks", "prompts", "checkpoints", "events"] == list(found)
    assert ("COMPLETED", STATES) == (found["state"], found["history"])
    assert f"run {found['run_id']} (if it is cut off: --resume {found['run_id']})\n" == err
    assert (8, 4) == (len(found["subtasks"]), len(found["prompts"]))
    for prompt in found["prompts"]:
        for part in (TEXT, "- FastAPI", "- PostgreSQL", "- Clean Code", "- naming: snake_case"):
            assert part in prompt["text"]
    assert ["decompose", "enrich", "generate_prompts"] == [c["phase"] for c in found["checkpoints"]]
    assert list(range(1, len(found["events"]) + 1)) == [event["seq"] for event in found["events"]]


def test_history_is_that_of_the_events(capsys):
    """The states are those that the events' transitions lead through."""
    main([TEXT, "--json"])
    found = json.loads(capsys.readouterr().out)
    moves = [event["transition"] for event in found["events"] if event["transition"]]

    assert list(pairwise(STATES)) == [(move["from"], move["to"]) for move in moves]


def test_text_shows_progress_and_prompts(capsys):
    """Without --json, phases and subtasks are told on stderr as they come, and stdout holds the prompts alone."""
    assert 0 == main([TEXT, "--title", "Expenses"])
    out, err = capsys.readouterr()
    told = [line.partition(" ")[2] for line in err.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)]

    for phase in ("decompose", "enrich", "enrich[7]", "generate_prompts"):
        assert told.index(f"{phase} started") < told.index(f"{phase} completed")
    assert 8 == sum(line.startswith("subtask ") for line in told)
    assert out.startswith("# Data model: Expenses\n")
    assert not re.search(r"^\d\d:\d\d:\d\d ", out, re.MULTILINE)
    headings = [line for line in out.splitlines() if line.startswith("# ")]
    assert [f"# {name}: Expenses" for name in ("Data model", "Service", "HTTP API", "Testing")] == headings


def test_finished_run_can_be_asked_again(capsys, database):
    """--resume of a run that is done prints the same object and runs nothing."""
    main([TEXT, "--storage", database, "--json"])
    first = capsys.readouterr().out
    code = main(["--storage", database, "--json", "--resume", json.loads(first)["run_id"]])

    assert 0 == code
    assert first == capsys.readouterr().out


def test_task_is_read_from_standard_input(capsys, monkeypatch):
    """The text "-" stands for what comes in a pipe, and stays as it is."""
    monkeypatch.setattr("sys.stdin", io.StringIO("Sell tea.\n\nAnd cups.\n"))
    assert 0 == main(["-"])

    assert "\nSell tea.\n\nAnd cups.\n\n```" in capsys.readouterr().out


def test_input_that_is_no_text_is_refused(capsys, monkeypatch):
    """Bytes on standard input that are no UTF-8 end with code 2."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Sell \xff tea"), encoding="utf-8"))
    with pytest.raises(SystemExit) as caught:
        main(["-"])

    assert 2 == caught.value.code
    assert "standard input is no text" in capsys.readouterr().err


def test_prompts_go_to_files(capsys, tmp_path):
    """With --output, each prompt is a file, in order, and stdout stays empty."""
    main([TEXT])
    printed = capsys.readouterr().out
    assert 0 == main([TEXT, "--output", str(tmp_path / "new" / "prompts")])
    files = sorted((tmp_path / "new" / "prompts").iterdir())

    assert ["1-data-model.md", "2-service.md", "3-http-api.md", "4-testing.md"] == [
        file.name for file in files
    ]
    assert printed == "\n".join(file.read_text("utf-8") for file in files)
    assert "" == capsys.readouterr().out


def test_what_standard_output_cannot_show_is_escaped(monkeypatch):
    """A run that has ended in memory is not lost for a character that a terminal does not know."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["Bäume pflanzen"]) == 0
    assert b"B\\xe4ume pflanzen" in written.getvalue()


def test_all_goes_to_one_file(capsys, tmp_path):
    """--output with a name that ends in .md or .json writes plan and prompts as one document; it may be repeated."""
    files = tmp_path / "new" / "prompts.md", tmp_path / "prompts.json"
    assert 0 == main([TEXT, *(part for file in files for part in ("--output", str(file)))])
    out, err = capsys.readouterr()
    markdown, made = (
        files[0].read_text("utf-8"),
        PreparedTask.model_validate_json(files[1].read_text("utf-8")),
    )

    assert ("", [f"wrote {file}" for file in files]) == (out, err.splitlines()[-2:])
    assert made.to_markdown() == markdown
    assert markdown.startswith("# Plan\n")
    assert all(prompt.text in markdown for prompt in made.prompts)


def test_folder_that_cannot_be_written_is_named(capsys, tmp_path):
    """An --output that is a file ends with code 1 and one line that names it."""
    (tmp_path / "taken").write_text("")

    assert 1 == main([TEXT, "--output", str(tmp_path / "taken")])
    assert "taken" in capsys.readouterr().err.splitlines()[-1]


def test_catalog_of_ones_own(capsys, tmp_path):
    """--catalog adds a folder to what ships; a mistake in it ends with code 2 and its place, before anything runs."""
    file = tmp_path / "practices.toml"
    file.write_text('extend = true\nguidelines = ["Sign it."]\n')
    assert 0 == main([TEXT, "--catalog", str(tmp_path)])
    assert capsys.readouterr().out.endswith("\n- Sign it.\n")
    file.write_text('extend = true\nguidelines = ["Sign it.", 7]\n')
    assert 2 == main([TEXT, "--catalog", str(tmp_path), "--json"])

    text = "key 'guidelines.1': input should be a valid string"
    assert ("", f"error: {file}:2: practices, {text}\n") == tuple(capsys.readouterr())


def test_plan_waits_for_approval(capsys, tmp_path, database):
    """--approval prints the plan and ends with code 3; a bad edit is refused, and a good one gives its prompts."""
    assert 3 == main([TEXT, "--storage", database, "--approval"])
    out, err = capsys.readouterr()
    plan = json.loads(out)
    run_id = err.splitlines()[0].split()[1]
    resume, file = ["--storage", database, "--resume", run_id], tmp_path / "plan.json"
    assert err.endswith(f"the plan waits: --resume {run_id} with --approve, --refuse REASON or --edit FILE\n")

    assert 3 == main([*resume, "--json"])
    assert plan == json.loads(capsys.readouterr().out)["subtasks"]

    file.write_text(json.dumps(plan[1:]))
    assert 2 == main([*resume, "--edit", str(file)])
    assert "which is no title of the plan" in capsys.readouterr().err

    file.write_text(json.dumps([{**plan[0], "requirements": ["Only this."]}, *plan[1:]]))
    assert 0 == main([*resume, "--edit", str(file), "--by", "ada"])
    assert "\n- Only this.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("review", "code", "end"),
    [
        (["--approve"], 0, " pipeline completed\n"),
        (["--refuse", "we buy it", "--by", "ada"], 1, "was refused by ada: we buy it"),
    ],
)
def test_plan_is_approved_or_refused(capsys, database, review, code, end):
    """What a person says of the plan that waits decides how the command ends."""
    main([TEXT, "--storage", database, "--approval"])
    run_id = capsys.readouterr().err.splitlines()[0].split()[1]

    assert code == main(["--storage", database, "--resume", run_id, *review])
    err = capsys.readouterr().err
    assert (True, False) == (end in err, "--retry" in err)


def test_plan_that_nobody_has_seen_is_not_reviewed(capsys, database, monkeypatch):
    """A review that comes before the plan ends with code 2, and is not kept for it."""

    async def never(task, ctx):
        await anyio.sleep_forever()

    def pipeline(*_, approval):
        return task_preparation_pipeline(never, approval=approval)

    async def begin():
        gated = pipeline(approval=True)
        async with Runtime(database, pipelines=[gated], serve=False) as runtime:
            return (await runtime.start(gated, Task.from_text(TEXT))).id

    run_id = anyio.run(begin)
    resume = ["--storage", database, "--resume", run_id]
    with monkeypatch.context() as patched:
        patched.setattr("phaseline.recipes.task_preparation.__main__._pipeline", pipeline)
        assert 2 == main([*resume, "--approve"])
    assert f"error: no plan of run {run_id} waits for a review" in capsys.readouterr().err
    assert 3 == main(resume)


def test_reader_that_leaves_early_is_no_error():
    """A pipe that is closed before the prompts come ends the command quietly."""
    command = [sys.executable, "-m", "phaseline.recipes.task_preparation", TEXT]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        told = process.stderr.read()

    assert 0 == process.returncode
    assert told.endswith(" pipeline completed\n")


def test_help_says_what_is_needed(capsys):
    """--help shows an example and the exit codes, and says what the default is and how it is replaced."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    shown = capsys.readouterr().out

    assert 0 == caught.value.code
    for part in ("> prompts.md", "exit codes: 0 done, 1", "rules, word lists and templates", "Decomposer"):
        assert part in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the text of the task is empty"),
        ([" \n"], "the text of the task is empty"),
        ([TEXT, "--title", " "], "title: the text is empty"),
        ([TEXT, "--standard", ""], r"coding_standards\.0: the text is empty"),
        ([TEXT, "--rule", "naming"], "'naming' is not of the form NAME=TEXT"),
        ([TEXT, "--rule", "=x"], "'=x' is not of the form NAME=TEXT"),
        ([TEXT, "--rule", "a=1", "--rule", "a=2"], "the rule 'a' is given twice"),
        ([TEXT, "--resume", "some"], "--resume needs the --storage"),
        (["--resume", "some", "--storage", "sqlite:///{tmp}/typo.db"], r"there is no file '.*typo\.db'"),
        ([TEXT, "--resume", "some", "--storage", "sqlite:///{tmp}/typo.db"], "leave out TEXT"),
        (
            ["--rule", "a=1", "--resume", "some", "--storage", "sqlite:///{tmp}/typo.db"],
            "leave out TEXT and what",
        ),
        ([TEXT, "--unknown"], "unrecognized arguments: --unknown"),
        ([TEXT, "--approval"], "--approval needs a --storage in which the plan can wait"),
        ([TEXT, "--approve"], "reviewed of a run that waits: say which by --resume"),
        ([TEXT, "--retry"], "takes up a run that failed: say which by --resume"),
        ([*REVIEWED, "--refuse", " "], "--refuse: .*a refusal says why"),
        ([*REVIEWED, "--edit", "{tmp}/none.json"], r"--edit: .*none\.json cannot be read: No such file"),
        ([*REVIEWED, "--edit", "{tmp}"], "cannot be read: Is a directory"),
        ([*REVIEWED, "--approve", "--refuse", "x"], "not allowed with argument --approve"),
    ],
)
def test_bad_arguments_are_refused(capsys, tmp_path, arguments, message):
    """A mistake on the command line ends with code 2, says what to change, and creates nothing."""
    with pytest.raises(SystemExit) as caught:
        main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments])

    assert 2 == caught.value.code
    assert [] == list(tmp_path.iterdir())
    assert re.search(message, capsys.readouterr().err)


def test_unknown_run_is_named(capsys, database):
    """An id that the storage does not hold ends with code 2."""
    main([TEXT, "--storage", database])
    capsys.readouterr()
    assert 2 == main(["--storage", database, "--resume", "nobody"])
    out, err = capsys.readouterr()

    assert "" == out
    assert err.startswith("error: there is no run 'nobody' here")


@pytest.mark.parametrize(
    "url", ["bogus://x", "sqlite://", "sqlite:///{tmp}/no/such/folder/runs.db", "sqlite:///{tmp}/text.db"]
)
def test_storage_that_cannot_be_used_is_named(capsys, tmp_path, url):
    """A storage that cannot be opened ends with code 2 and one line on stderr."""
    (tmp_path / "text.db").write_text("this is no database\n" * 100)

    assert 2 == main([TEXT, "--storage", url.format(tmp=tmp_path)])
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("error: storage ")
    assert 1 == len(err.splitlines())


def test_text_that_cannot_be_stored_is_refused(capsys):
    """Bytes that are no text end with code 2 before a run exists."""
    assert 2 == main(["Sell \udcff tea"])
    assert "a lone surrogate is no text" in capsys.readouterr().err


def test_failed_run_ends_with_one(capsys, monkeypatch):
    """A run that fails ends with code 1, prints its object without prompts, and says why on stderr."""
    monkeypatch.setattr("phaseline.recipes.task_preparation.templates.decompose", lambda *_: [])
    code = main([TEXT, "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)

    assert 1 == code
    assert ("FAILED", []) == (found["state"], found["prompts"])
    assert "is FAILED: InvalidPlanError: " in err


def test_failed_run_is_taken_up_again(capsys, monkeypatch, database):
    """--resume alone tells of a run that failed, and how to go on; with --retry it does, and one that is done refuses."""
    with monkeypatch.context() as broken:
        broken.setattr("phaseline.recipes.task_preparation.templates.decompose", lambda *_: [])
        assert 1 == main([TEXT, "--storage", database])
    err = capsys.readouterr().err
    resume = ["--storage", database, "--resume", err.split()[1]]
    assert f"--resume {err.split()[1]} --retry" in err.splitlines()[-1]

    assert 1 == main(resume)
    assert "" == capsys.readouterr().out
    assert 0 == main([*resume, "--retry"])
    out, err = capsys.readouterr()
    assert ("# Data model", " pipeline completed\n") == (out[:12], err[-20:])
    assert 2 == main([*resume, "--retry"])
    assert "is COMPLETED, where retry is not possible" in capsys.readouterr().err
