from __future__ import annotations

import json

import anyio
import pytest

from phaseline import Pipeline, Runtime, cli, phase


@phase(queue="mails")
async def mail(number: int) -> int:
    return number


mailing = Pipeline("mailing", mail)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A module with runtimes, in the directory of the process."""
    (tmp_path / "shops.py").write_text(
        "from phaseline import Runtime\n"
        f"runtime = Runtime('sqlite:///{tmp_path}/runs.db')\n"
        f"away = Runtime('sqlite:///{tmp_path}/nowhere/runs.db')\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "shops", raising=False)
    return tmp_path


def _start(folder) -> None:
    async def start() -> None:
        async with Runtime(f"sqlite:///{folder}/runs.db", pipelines=[mailing], serve=False) as client:
            await client.start(mailing, 1)

    anyio.run(start)


def test_all_is_well(place, capsys):
    """With exit code 0."""
    assert 0 == cli.main(["doctor", "shops:runtime"])
    told = capsys.readouterr().out
    assert "storage: answers" in told
    assert "all is well" in told


def test_a_problem_is_told_in_words_and_by_the_exit_code(place, capsys):
    """Which is 1."""
    _start(place)
    assert 1 == cli.main(["doctor", "shops:runtime", "--patience", "0"])
    told = capsys.readouterr().out
    assert "not well:\n  on queue 'mails' a phase waits for a worker since" in told
    assert "  of mailing 1 (" in told
    assert "which is not registered here: left to a worker that has it" in told


def test_what_waits_for_less_than_the_patience_is_told_with_it(place, capsys):
    """So that phases that wait and that all is well are no contradiction."""
    _start(place)
    assert 0 == cli.main(["doctor", "shops:runtime", "--patience", "2m"])
    told = capsys.readouterr().out
    assert "all is well: nothing has waited for longer than 120 s" == told.splitlines()[-1]


@pytest.mark.parametrize("said_by", ["option", "environment"])
@pytest.mark.parametrize("named_by", ["url", "module"])
def test_a_namespace_in_which_there_is_nothing_may_be_the_wrong_one(
    place, capsys, monkeypatch, said_by, named_by
):
    """It is looked at as in other commands."""
    _start(place)
    option = ["--namespace", "acme"] if said_by == "option" else []
    if not option:
        monkeypatch.setenv("PHASELINE_NAMESPACE", "acme")
    named = f"sqlite:///{place}/runs.db" if named_by == "url" else "shops:runtime"
    assert 0 == cli.main(["doctor", named, *option])
    assert "there is no run in namespace 'acme'; if another one is meant" in capsys.readouterr().out
    monkeypatch.delenv("PHASELINE_NAMESPACE", raising=False)
    assert 0 == cli.main(["doctor", named])
    assert "there is no run" not in capsys.readouterr().out


def test_all_of_it_is_told_as_json(place, capsys):
    """For who watches by a program."""
    _start(place)
    assert 0 == cli.main(["doctor", "shops:runtime", "--json"])
    found = json.loads(capsys.readouterr().out)
    (queue,) = found["queues"]
    assert ("mails", [], None, True) == (queue["queue"], found["problems"], found["storage"], found["ok"])
    assert ["mailing"] == [each["pipeline"] for each in found["unknown"]]


def test_a_storage_that_does_not_answer_has_a_code_of_its_own(place, capsys):
    """Which is 2."""
    assert 2 == cli.main(["doctor", "shops:away"])
    assert "the storage does not answer" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["-1", "soon", "nan", "inf"])
def test_a_patience_that_is_none_is_refused(place, given, capsys):
    """Before anything is asked."""
    assert 2 == cli.main(["doctor", "shops:runtime", f"--patience={given}"])
    assert "is no time: write a number of seconds" in capsys.readouterr().err
