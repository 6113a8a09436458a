"""``phaseline graph`` and ``phaseline pipelines``: what a runtime runs, looked at without opening it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import typer
from rich.text import Text
from rich.tree import Tree

from phaseline._definition.edges import edges_of, takes_given
from phaseline._definition.phase import DEFAULT_QUEUE
from phaseline._definition.plan import NodeKind, Plan, PlanNode
from phaseline.cli.options import Json, Runtimes
from phaseline.cli.output import console, print_json, print_rows
from phaseline.cli.places import pipeline_in, place_of, runtime_of
from phaseline.views import PipelineName, PipelinesView, PipelineView


def pipelines(runtime: Runtimes = None, *, as_json: Json = False) -> None:
    """List the pipelines of a runtime."""
    found = runtime_of(place_of(runtime)).pipelines
    if as_json:
        names = (PipelineName(name=each.name, version=each.version) for each in found)
        print_json(PipelinesView(pipelines=tuple(names)))
    else:
        print_rows(
            ("name", "version"), [(each.name, each.version) for each in found], "no pipeline is registered"
        )


def graph(
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="PIPELINE", help="Its name, where there are several.", show_default=False),
    ] = None,
    runtime: Runtimes = None,
    *,
    version: Annotated[str | None, typer.Option(help="Of the pipeline, where there are several.")] = None,
    form: Annotated[
        Literal["tree", "mermaid", "states"],
        typer.Option(
            "--format", help="A picture for the terminal, a Mermaid flowchart, or one of the run's states."
        ),
    ] = "tree",
    as_json: Json = False,
) -> None:
    """Draw the graph of a pipeline; with --json its JSON schemas too."""
    found = pipeline_in(runtime_of(place_of(runtime)), pipeline, version)
    if as_json:
        print_json(PipelineView.of(found))
    elif form == "mermaid":
        print(found.to_mermaid(), end="")
    elif form == "states":
        print(found.transitions.to_mermaid(), end="")
    else:
        console().print(_picture(found.plan))


def _picture(plan: Plan) -> Tree:
    """Draw the nodes in their order, inside of maps what an item goes through, each with where its value comes from."""
    tree = Tree(Text(f"{plan.name} {plan.version}", "bold"), guide_style="dim")
    _hang(tree, plan, None)
    return tree


def _hang(tree: Tree, plan: Plan, scope: int | None) -> None:
    for node in plan.members.get(scope, ()):
        kind = "" if node.kind is NodeKind.PHASE else f"  {node.kind}"
        label = Text.assemble(node.path, (kind, "cyan"), ("  " + "; ".join(_facts(plan, node)), "dim"))
        _hang(tree.add(label), plan, node.index)


def _facts(plan: Plan, node: PlanNode) -> Iterator[str]:
    """What is told of a node beside its path."""
    given = "the input" if node.scope is None else "an item"
    sources = dict.fromkeys(plan.nodes[edge.node].path for edge in edges_of(node.source))
    takes = [given, *sources] if takes_given(node.source) else [*sources]
    yield f"takes {'the first of ' if node.is_race else ''}{', '.join(takes)}"
    if node.after:
        yield f"after {', '.join(plan.nodes[index].path for index in node.after)}"
    if node.queue != DEFAULT_QUEUE:
        yield f"queue {node.queue}"
