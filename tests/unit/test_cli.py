"""What is wrong with what a command line was given, told by all commands alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from phaseline import Runtime, __version__, cli
from phaseline._values.texts import printable
from phaseline.cli.app import app
from phaseline.cli.codes import MEANINGS, ExitCode, code_of
from phaseline.cli.configuration import Configuration, ConfigurationError, configuration
from phaseline.cli.output import print_rows
from phaseline.errors import PhaselineError, RunNotFoundError, RuntimeUsageError, SchemaVersionError

HERE = {"PHASELINE_RUNTIME": None, "DATABASE_URL": None, "COLUMNS": "200", "TERMINAL_WIDTH": None}
"""An environment that says nothing."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the process."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, [*arguments], env={**HERE, **environment})


def test_without_the_extra_it_is_told_what_to_install(monkeypatch, capsys):
    """And nothing else, with the code of what cannot be used."""
    monkeypatch.setitem(sys.modules, "typer", None)
    assert ExitCode.UNUSABLE == cli.main(["worker", "shop:runtime"])
    assert "pip install 'phaseline[cli]'" in capsys.readouterr().err


def test_a_command_that_there_is_not(folder):
    """What was meant is guessed."""
    found = ask("worke")
    assert ExitCode.UNUSABLE == found.exit_code
    assert "Did you mean 'worker'?" in found.stderr


def test_nothing_says_which_runtime(folder):
    """All the ways to say it are told."""
    found = ask("doctor")
    assert ExitCode.UNUSABLE == found.exit_code
    told = ("MODULE:NAME", "--runtime", "PHASELINE_RUNTIME", "pyproject.toml", "DATABASE_URL")
    assert [] == [each for each in told if each not in found.stderr]


def test_every_command_takes_the_option(folder):
    """Also those to which the runtime is named by itself; what the environment says counts less, and two are one too many."""
    Runtime("sqlite:///runs.db")._storage.migrate()
    for elsewhere in ({}, {"PHASELINE_RUNTIME": "nowhere:runtime"}):
        for place in (["--runtime", "sqlite:///runs.db"], ["-r", "sqlite:///runs.db"], ["sqlite:///runs.db"]):
            found = ask("doctor", *place, **elsewhere)
            assert ExitCode.DONE == found.exit_code, found.stderr
    for command in ("doctor", "worker", "console"):
        twice = ask(command, "one:runtime", "--runtime", "other:runtime")
        assert ExitCode.UNUSABLE == twice.exit_code
        assert "the runtime is named twice" in " ".join(twice.stderr.replace("│", " ").split())
        told = ask(command, "--runtime", "nowhere:runtime")
        assert (ExitCode.UNUSABLE, True) == (told.exit_code, "no module 'nowhere'" in told.stderr)


def test_places_are_told_alike(folder):
    """A URL is one for all but a worker."""
    for command in ("doctor", "runs list", "run"):
        told = " ".join(ask(*command.split(), "--help").stdout.split())
        assert "MODULE:NAME, or the URL of a storage for what needs no code." in told
        assert "then DATABASE_URL." in told


def test_a_file_that_is_not_there_is_not_made(folder):
    """Who mistypes a path is told so, rather than that all is well with an empty storage."""
    found = ask("doctor", "sqlite:///nothing.db")
    assert ExitCode.UNUSABLE == found.exit_code
    assert "there is no file 'nothing.db'" in found.stderr
    assert [] == [*folder.iterdir()]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("letters", "letters is a Pipeline, not a Runtime"),
        ("of", "of cannot be called to make a Runtime: missing a required argument: 'shop'"),
    ],
)
def test_what_is_no_runtime_is_told_in_a_sentence(folder, monkeypatch, name, told):
    """Also where it could be called, but for what it takes."""
    (folder / "places.py").write_text(
        "from phaseline import Pipeline, Runtime, phase\n"
        "@phase\nasync def write(text: str) -> str:\n    return text\n"
        "letters = Pipeline('letters', write)\n"
        "def of(shop):\n    return Runtime()\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(folder)
    for command in (["doctor"], ["console", "--port", "0"]):
        found = ask(*command, f"places:{name}")
        assert ExitCode.UNUSABLE == found.exit_code
        assert told in found.stderr
    del sys.modules["places"]


def test_a_mistake_within_what_makes_a_runtime_is_its_authors_to_see(folder, monkeypatch):
    """It is no matter of what it takes."""
    (folder / "broken_shop.py").write_text("def make():\n    return len(3)\n", "utf-8")
    monkeypatch.syspath_prepend(folder)
    assert isinstance(ask("doctor", "broken_shop:make").exception, TypeError)
    del sys.modules["broken_shop"]


def test_a_mistake_is_told_from_the_applications_code_on(folder, monkeypatch, capsys):
    """Without the way from the shell to it, and with the exit code that is said of it."""
    (folder / "broken_stall.py").write_text("def make():\n    return {}['stall']\n", "utf-8")
    monkeypatch.syspath_prepend(folder)
    assert ExitCode.FAILED == cli.main(["doctor", "broken_stall:make"])
    told = capsys.readouterr().err
    assert 'broken_stall.py", line 2, in make' in told
    assert told.endswith("KeyError: 'stall'\n")
    assert 1 == told.count("  File ")
    del sys.modules["broken_stall"]


def test_the_storage_of_the_environment_is_enough_where_no_code_is_needed(folder):
    """``DATABASE_URL``, with the other settings of a runtime."""
    Runtime("sqlite:///runs.db")._storage.migrate()
    found = ask("doctor", "--json", DATABASE_URL="sqlite:///runs.db")
    assert ExitCode.DONE == found.exit_code, found.stderr
    assert json.loads(found.stdout)["ok"]
    broken = ask("doctor", DATABASE_URL="sqlite:///runs.db", REDIS_PORT="many")
    assert (ExitCode.UNUSABLE, True) == (broken.exit_code, "REDIS_PORT" in broken.stderr)
    assert "a worker needs the pipelines too" in ask("worker", DATABASE_URL="sqlite:///runs.db").stderr


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("[tool.phaseline", None, "it is no TOML"),
        ("[tool.phaseline]\nruntim = 'a:b'", "tool.phaseline.runtim", "did you mean 'runtime'"),
        ("[tool.phaseline]\nruntime = 3", "tool.phaseline.runtime", "it is 3"),
        ("tool.phaseline = 3", "tool.phaseline", r"write \[tool.phaseline\]"),
    ],
)
def test_a_broken_settings_file_is_told_with_file_key_and_remedy(folder, text, key, problem):
    """And with the exit code of what cannot be used."""
    path = folder / "pyproject.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=problem) as caught:
        configuration(folder)
    assert (path, key) == (caught.value.path, caught.value.key)
    found = ask("doctor")
    assert (ExitCode.UNUSABLE, f"{caught.value}\n") == (found.exit_code, found.stderr)


def test_the_projects_file_is_found_from_below(folder):
    """Modules are looked for beside it; what says nothing of phaseline is none."""
    (folder / "pyproject.toml").write_text("[tool.phaseline]\nruntime = 'bakery:runtime'", "utf-8")
    (folder / "bakery.py").write_text("from phaseline import Runtime\nruntime = Runtime()", "utf-8")
    (below := folder / "src" / "deep").mkdir(parents=True)
    assert Configuration("bakery:runtime", folder / "pyproject.toml") == configuration(below)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        patch.setattr(sys, "path", [*sys.path])
        assert ExitCode.DONE == ask("doctor").exit_code
    sys.modules.pop("bakery")
    (folder / "src" / "pyproject.toml").write_text("[project]\nname = 'x'", "utf-8")
    assert configuration(below) is None


def test_a_storage_that_cannot_be_reached_is_told_without_its_password(folder):
    """Whatever the command."""
    found = ask("db", "check", "postgresql://ann:hush@127.0.0.1:1/shop")
    assert ExitCode.UNUSABLE == found.exit_code
    assert "127.0.0.1:1" in found.stderr
    assert "hush" not in found.output
    assert "\\t" not in found.stderr  # of the driver's words, which stand in several lines


def test_tables_that_are_behind_are_told_with_the_command_that_helps(folder):
    """It says to add the password only where the URL is shown without one."""
    behind = ask("db", "check", "sqlite:///new.db")
    assert "run 'phaseline db upgrade sqlite:///new.db', or" in behind.stderr
    assert "with the password in the URL" in str(SchemaVersionError("postgresql://ann:***@here/shop", 0, 1))


@pytest.mark.parametrize("command", ["upgrade", "check", "sql"])
def test_a_storage_that_is_no_database_of_ours_is_refused_in_a_sentence(folder, command):
    """As that of a plugin: with what has tables here, and what makes those of others."""
    found = ask("db", command, "acme://ann:hush@host/x")
    assert (ExitCode.UNUSABLE, "") == (found.exit_code, found.stdout)
    assert found.stderr.startswith("storage URL 'acme://ann:***@host/x': phaseline db serves sqlite:///")
    assert "Runtime.migrate()" in found.stderr


def test_tables_are_told_as_json(folder):
    """One document for each command; that they are behind is told by the exit code too."""
    url = "sqlite:///runs.db"
    assert ExitCode.FAILED == (found := ask("db", "check", url, "--json")).exit_code
    assert 0 == json.loads(found.stdout)["found"]
    assert "CREATE TABLE" in " ".join(json.loads(ask("db", "sql", url, "--json").stdout)["statements"])
    upgraded = json.loads(ask("db", "upgrade", "--json", DATABASE_URL=url).stdout)
    assert json.loads(ask("db", "check", url, "--json").stdout)["found"] == upgraded["version"]


def test_each_error_has_a_code():
    """Whatever is not told otherwise is something that could not be asked."""
    assert (ExitCode.NOT_FOUND, ExitCode.FAILED) == (
        code_of(RunNotFoundError("x")),
        code_of(SchemaVersionError("here", 1, 2)),
    )
    assert ExitCode.UNUSABLE == code_of(PhaselineError())
    assert set(ExitCode) == set(MEANINGS)


def test_texts_of_others_cannot_command_a_terminal():
    """What cannot be printed is escaped."""
    assert r"red \x1b[31m\x07 one\ntwo é" == printable("red \x1b[31m\x07 one\ntwo é")
    assert "one\ntwo" == printable("one\ntwo", lines=True)


def test_a_mistake_in_the_application_is_told_with_its_place(folder, monkeypatch):
    """Be it one that phaseline finds, or another."""
    monkeypatch.syspath_prepend(folder)
    (folder / "mistaken.py").write_text(
        "from phaseline import Runtime\nruntime = Runtime(concurrency=0)", "utf-8"
    )
    found = ask("doctor", "mistaken:runtime")
    assert ExitCode.UNUSABLE == found.exit_code
    assert 'mistaken.py", line 2' in found.stderr
    (folder / "broken.py").write_text("import nowhere_at_all", "utf-8")
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        CliRunner().invoke(app, ["doctor", "broken:runtime"], catch_exceptions=False)


def test_the_version_is_told():
    """Without a runtime."""
    assert (ExitCode.DONE, f"phaseline {__version__}\n") == (
        ask("--version").exit_code,
        ask("--version").stdout,
    )


@pytest.mark.parametrize(
    ("words", "meant"),
    [("phaseline ru", "runs"), ("phaseline runs pa", "pause"), ("phaseline runs list --state PA", "PAUSED")],
)
def test_a_shell_completes_commands_options_and_states(words, meant):
    """As bash asks for it."""
    asked = {
        "_PHASELINE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    found = CliRunner().invoke(app, [], env={**HERE, **asked}, prog_name="phaseline")
    assert meant in found.stdout.split()


def test_a_table_that_is_too_wide_for_a_terminal_is_told_in_lines(monkeypatch, capsys):
    """In a pipe it stays a table, however wide."""
    rows = [("1j1bpti4l334vq0sg87ck0", "letters", "PAUSED", "a\x1b[31m" * 9, ""), ("x", "y", "z", "", "")]
    columns = ("id", "pipeline", "state", "about", "more")
    print_rows(columns, rows, "none")
    assert ["ID", "1j1bpti4l334vq0sg87ck0", "x"] == [
        line.split()[0] for line in capsys.readouterr().out.splitlines()
    ]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_rows(columns, rows, "none")
    first, second, _ = capsys.readouterr().out.split("\n\n")
    assert "id: 1j1bpti4l334vq0sg87ck0\npipeline: letters\nstate: PAUSED\n" == first.partition("about")[0]
    assert "id: x\npipeline: y\nstate: z" == second
    assert "\x1b" not in first
    print_rows(columns, [], "none")
    assert ("", "none\n") == capsys.readouterr()


def test_a_database_that_is_away_is_told_without_its_password(folder):
    """By what looks at runs too."""
    found = ask("runs", "list", "-r", "postgresql://ann:hush@127.0.0.1:1/shop")
    assert (ExitCode.UNUSABLE, "") == (found.exit_code, found.stdout)
    assert "127.0.0.1:1" in found.stderr
    assert "hush" not in found.stderr


async def test_a_client_serves_nothing():
    """It is the same runtime otherwise, and cannot be made of an open one."""
    runtime = Runtime(namespace="acme")
    client = runtime.client()
    assert (True, False, "acme") == (runtime.serves, client.serves, client.namespace)
    async with client:
        assert {} == await client.find().count()
        with pytest.raises(RuntimeUsageError, match="is open and serves"):
            client.client()
    async with runtime:
        assert runtime.serves
