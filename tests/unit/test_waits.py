"""Waits as a part of a definition: drawn, listed, told apart by the fingerprint, written as data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from phaseline import Dag, Pipeline, Signal, each, phase, templates, wait_for
from phaseline.errors import TemplateError

APPROVED = Signal[bool]("approved")
OTHER = Signal[bool]("other")
HOUR = timedelta(hours=1)


@phase
async def draft(number: int) -> str:
    return f"{number}"


@phase
async def publish(decided: tuple[str, bool]) -> str:
    return f"{decided}"


@phase
async def show(approved: bool) -> str:
    return f"{approved}"


documents = Pipeline(
    "documents", draft.wait_for(APPROVED, timeout=HOUR, default=False).sleep_for(HOUR) >> publish
)


def test_waits_are_drawn_as_hexagons() -> None:
    """With the value that goes past the signal."""
    assert documents.to_mermaid() == (
        'flowchart TD\n    input(["input"])\n    n0["draft"]\n    n1{{"wait_for_approved"}}\n    n2{{"sleep"}}\n    n3["publish"]\n'
        '    output(["output"])\n    input --> n0\n    n0 --> n1\n    n0 --> n2\n    n1 --> n2\n    n2 --> n3\n    n3 --> output\n'
    )


def test_waits_are_listed_with_what_ends_them() -> None:
    """As plain data; the label is a state of the run."""
    nodes = {node["path"]: node for node in documents.to_dict()["nodes"]}
    wait, sleep = nodes["wait_for_approved"], nodes["sleep"]
    own = ("kind", "label", "signal", "key", "span", "has_default")
    assert [wait[name] for name in own] == ["wait", "WAIT_FOR_APPROVED", "approved", None, 3600.0, True]
    assert [sleep[name] for name in own] == ["wait", "SLEEP", None, None, 3600.0, False]
    assert nodes["publish"]["source"] == "sleep"
    assert sleep["source"] == {"all": ["draft", "wait_for_approved"]}
    assert documents.signal_schemas() == {"approved": {"type": "boolean"}}


def print_of(wait: Callable[[], Any]) -> str:
    """The fingerprint of a pipeline with this wait."""
    return Pipeline("x", wait()).plan.fingerprint


def test_the_fingerprint_tells_waits_apart_by_what_they_wait_for() -> None:
    """Not by how long, or what stands for what does not come."""
    same = [
        lambda: draft.wait_for(APPROVED, name="w"),
        lambda: draft.wait_for(APPROVED, name="w", timeout=HOUR),
        lambda: draft.wait_for(APPROVED, name="w", timeout=2 * HOUR, default=True),
    ]
    others = [
        lambda: draft.wait_for(OTHER, name="w"),
        lambda: draft.wait_for(APPROVED, name="w", key="k"),
        lambda: draft.wait_for(APPROVED, name="v"),
        lambda: draft >> wait_for(APPROVED, name="w"),
        lambda: draft.sleep_for(HOUR, name="w"),
        lambda: draft,
    ]
    assert len({print_of(wait) for wait in same}) == 1
    assert len({print_of(wait) for wait in (*others, same[0])}) == len(others) + 1
    assert print_of(lambda: draft.sleep_for(HOUR)) == print_of(lambda: draft.sleep_for(2 * HOUR))


def test_waits_without_a_name_are_numbered() -> None:
    """Each has a path and a label of its own."""
    pipeline = Pipeline("naps", draft.sleep_for(HOUR).sleep_for(HOUR))
    assert [(node.path, node.label) for node in pipeline.plan.order] == [
        ("draft", "DRAFT"), ("sleep", "SLEEP"), ("sleep2", "SLEEP2"),
    ]  # fmt: skip


def test_a_wait_is_taken_up_where_the_phases_around_it_are() -> None:
    """A worker that serves their queue alone must be able to begin it."""
    there = show.with_options(queue="there")
    first = Pipeline("first", wait_for(APPROVED) >> wait_for(OTHER) >> there)
    after = Pipeline("after", each(Pipeline("one", there.sleep_for(HOUR))))
    dag = Dag("dag", bool)
    graph = dag.build(
        dag.add(show.with_options(name="last"), dag.wait_for(OTHER, after=[dag.add(there, dag.input)]))
    )
    waits = [node for plan in (first.plan, after.plan, graph.plan) for node in plan.nodes if node.awaits]
    assert [node.queue for node in waits] == ["there"] * 4


# --------------------------------------------------------------------- as data
REGISTERED = [draft, publish, show, APPROVED]


def test_a_template_waits_as_code_does() -> None:
    """The same pipeline, so that runs go on when one takes the place of the other."""
    text = """
name = "documents"
steps = [
  "draft",
  { wait_for = "approved", keep = true, timeout = "PT1H", default = false },
  { sleep_for = "PT1H" },
  "publish",
]
"""
    pipeline = templates.loads(text, phases=REGISTERED, input=int, output=str)
    assert pipeline.to_dict() == documents.to_dict()
    graph = """
name = "dag"
[graph]
output = "show"
[graph.nodes]
draft = { takes = "input" }
asked = { step = { wait_for = "approved", name = "asked" }, takes = "input", after = "draft" }
show = { takes = "asked" }
"""
    dag = Dag("dag", int)
    asked = dag.wait_for(APPROVED, name="asked", after=[dag.add(draft, dag.input)])
    assert templates.loads(graph, phases=REGISTERED).to_dict() == dag.build(dag.add(show, asked)).to_dict()


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ('{ wait_for = "aproved" }', "did you mean 'approved'?"),
        ('{ wait_for = "draft" }', "'draft' is no signal"),
        ('"approved"', "write {wait_for = 'approved'}"),
        ('{ wait_for = "approved", default = true }', "give the timeout too"),
        (
            '{ wait_for = "approved", timeout = "PT1H", default = "maybe" }',
            "steps[1].default: the default of signal 'approved'",
        ),
        ('{ wait_for = "approved", timeout = 5 }', "a duration is a text"),
        ('{ sleep_for = "PT0S" }', "would end it before it began"),
        ('[{ sleep_for = "PT1H" }]', "put it behind one"),
        ('{ wait_for = "approved", keep = true }, "show"', "returns tuple[str, bool]"),
    ],
)
def test_a_template_that_waits_wrongly_is_told_where(step: str, told: str) -> None:
    """With the line, as every other mistake."""
    with pytest.raises(TemplateError) as caught:
        templates.loads(f'name = "x"\nsteps = [\n"draft",\n{step},\n]', phases=REGISTERED)
    assert told in str(caught.value)
    assert caught.value.line == 4


def test_the_schema_of_templates_knows_waits() -> None:
    """For editors."""
    definitions = templates.json_schema()["$defs"]
    assert set(definitions["WaitStep"]["required"]) == {"wait_for"}
    assert set(definitions["SleepStep"]["required"]) == {"sleep_for"}
