"""Whatever operators do has its name in the API, on the command line, and over the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from inspect import signature

import pytest
import typer

import phaseline
from phaseline import templates
from phaseline.cli.app import app
from phaseline.cli.verbs import DEEDS
from phaseline.control import Verb
from phaseline.dead_letters import DeadLetters
from phaseline.web.routes import ROUTES

NO_DOCUMENT = {"worker", "console", "template schema"}
"""Commands that print none, or nothing else."""


def callbacks(of: typer.Typer, before: str = "") -> Iterator[tuple[str, Callable[..., object]]]:
    for command in of.registered_commands:
        assert command.callback is not None
        yield before + (command.name or command.callback.__name__), command.callback
    for group in of.registered_groups:
        yield from callbacks(group.typer_instance, f"{before}{group.name} ")


COMMANDS = dict(callbacks(app))


def test_each_command_can_answer_a_program():
    """With one JSON document."""
    assert NO_DOCUMENT == {
        name for name, call in COMMANDS.items() if "as_json" not in signature(call).parameters
    }


def test_what_looks_at_runs_takes_a_namespace():
    """What knows of none, and a worker, which serves that of its runtime, take none."""
    takes = {name for name, call in COMMANDS.items() if "namespace" in signature(call).parameters}
    without = {"pipelines", "graph", "worker"}
    assert without == {name for name in set(COMMANDS) - takes if not name.startswith(("db ", "template "))}


def test_each_command_stands_in_the_table():
    """Once; and the table has no other."""
    assert sorted(COMMANDS) == sorted(deed.command for deed in DEEDS)


def test_each_route_stands_in_the_table():
    """Whatever can be done over the network, by who has the right, can be done at a shell."""
    assert sorted(f"{route.method} {route.path}" for route in ROUTES if route.action is not None) == sorted(
        route for deed in DEEDS for route in deed.routes
    )


@pytest.mark.parametrize("deed", DEEDS, ids=[deed.command for deed in DEEDS])
def test_each_name_in_the_api_is_one(deed):
    """And has the words of the command."""
    if deed.api:
        where = {**vars(phaseline), "DeadLetters": DeadLetters, "templates": templates}
        first, *rest = deed.api.split(".")
        assert reduce(getattr, rest, where[first]) is not None


def test_each_verb_has_its_command():
    """Under its own name."""
    known = {deed.command.rpartition(" ")[2].replace("-", "_") for deed in DEEDS}
    assert {str(verb) for verb in Verb} <= known
