"""``phaseline dead-letters``: runs that failed, until somebody sees to them."""

from __future__ import annotations

from typing import Annotated

import typer

from phaseline.cli.client import why_none, with_client
from phaseline.cli.commands import Ids, command_each
from phaseline.cli.options import (
    Actor,
    After,
    Json,
    Limit,
    Namespace,
    Order,
    Pipelines,
    Reason,
    Runtimes,
    Since,
    Until,
)
from phaseline.cli.output import print_json, print_rows, when
from phaseline.control import SUMMARIES, Verb
from phaseline.inspection import state_of
from phaseline.rows import ErrorCategory
from phaseline.runtime import Runtime
from phaseline.views import LettersView, LetterView, StateView

app: typer.Typer = typer.Typer(help="Runs that failed, until somebody sees to them.", no_args_is_help=True)


@app.command("list")
def list_letters(
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    pipeline: Pipelines = [],
    category: Annotated[list[ErrorCategory], typer.Option(help="Of the cause; may be repeated.")] = [],
    phase: Annotated[str | None, typer.Option(help="Path of the phase that failed.")] = None,
    since: Since = None,
    until: Until = None,
    order: Order = "newest",
    limit: Limit = 100,
    after: After = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="Print only ids of runs, one a line, for xargs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List dead letters, page by page."""

    async def page(client: Runtime) -> tuple[LettersView, str]:
        found = await client.dead_letters.find(
            pipeline=pipeline or None, category=category or None, phase=phase, since=since, until=until, order=order,
            limit=limit, after=after,
        )  # fmt: skip
        view = LettersView(letters=tuple(map(LetterView.of, found.letters)), next=found.next)
        return view, "" if found.letters else await why_none(client, "letter")

    found, empty = with_client(runtime, namespace, page)
    if as_json:
        print_json(found)
    elif ids:
        for letter in found.letters:
            print(letter.run_id)
    else:
        rows = (
            (
                letter.run_id, letter.pipeline, letter.phase or "", letter.error.category, str(letter.attempts), when(letter.at),
                f"{letter.error.type}: {letter.error.message}",
            )
            for letter in found.letters
        )  # fmt: skip
        columns = ("run", "pipeline", "phase", "category", "attempts", "at", "error")
        print_rows(columns, rows, empty)
        if found.next is not None:
            typer.echo(f"there are more: --after {found.next}", err=True)


@app.command("requeue", help="Take the run of a dead letter up again where it failed.")
def requeue(
    ids: Ids,
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    reason: Reason = "",
    actor: Actor,
    as_json: Json = False,
) -> None:
    """Carry out the command."""

    async def again(client: Runtime, run_id: str) -> StateView:
        await client.dead_letters.requeue(run_id, reason=reason, actor=actor)
        return await state_of(client, run_id)

    command_each(ids, runtime, namespace, again, as_json=as_json)


@app.command("discard", help=SUMMARIES[Verb.DISCARD])
def discard(
    ids: Ids,
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    reason: Reason = "",
    actor: Actor,
    as_json: Json = False,
) -> None:
    """Carry out the command."""

    async def let_go(client: Runtime, run_id: str) -> StateView:
        await client.dead_letters.discard(run_id, reason=reason, actor=actor)
        return await state_of(client, run_id)

    command_each(ids, runtime, namespace, let_go, as_json=as_json)
