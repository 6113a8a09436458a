"""Commands to runs: each is a call of ``Runtime.control``, for one id or several."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeAlias

import typer

from phaseline._values.texts import printable
from phaseline.cli.client import told, with_client
from phaseline.cli.codes import code_of
from phaseline.cli.options import Actor, Json, Namespace, Reason, Runtimes, json_value
from phaseline.cli.output import print_json
from phaseline.control import OF_ONE_RUN, PLAIN, SUMMARIES, Verb
from phaseline.errors import PhaselineError
from phaseline.inspection import send, state_of
from phaseline.runtime import Runtime
from phaseline.views import StateView

Ids: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="ID", help="Id of the run, or several.", show_default=False)
]
Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="Id of the run.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add all of them."""
    for verb in PLAIN:
        app.command(verb.value, help=SUMMARIES[verb])(_plain(verb))
    app.command("rerun-from", help=SUMMARIES[Verb.RERUN_FROM])(rerun_from)
    app.command("rollback", help=SUMMARIES[Verb.ROLLBACK])(rollback)
    app.command("annotate", help=SUMMARIES[Verb.ANNOTATE])(annotate)
    app.command("fork", help=SUMMARIES[Verb.FORK])(fork)
    app.command("signal", help="Send a run what it waits for.")(signal)


def _plain(verb: Verb) -> Callable[..., None]:
    def command(
        ids: Ids,
        runtime: Runtimes = None,
        *,
        namespace: Namespace = None,
        reason: Reason = "",
        actor: Actor,
        as_json: Json = False,
    ) -> None:
        _command(verb, ids, runtime, namespace, as_json, reason=reason, actor=actor)

    return command


def rerun_from(
    ids: Ids,
    runtime: Runtimes = None,
    *,
    phase: Annotated[str, typer.Option(help="Path of the phase that it begins with.", show_default=False)],
    namespace: Namespace = None,
    reason: Reason = "",
    actor: Actor,
    as_json: Json = False,
) -> None:
    """Carry out the command."""
    _command(Verb.RERUN_FROM, ids, runtime, namespace, as_json, reason=reason, actor=actor, phase=phase)


def rollback(
    ids: Ids,
    runtime: Runtimes = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(help="Path of a phase, or id of a checkpoint; without it to before the first phase."),
    ] = None,
    namespace: Namespace = None,
    reason: Reason = "",
    actor: Actor,
    as_json: Json = False,
) -> None:
    """Carry out the command."""
    _command(Verb.ROLLBACK, ids, runtime, namespace, as_json, reason=reason, actor=actor, to=to)


def annotate(
    ids: Ids,
    runtime: Runtimes = None,
    *,
    note: Annotated[str, typer.Option(help="What is written.", show_default=False)],
    namespace: Namespace = None,
    reason: Reason = "",
    actor: Actor,
    as_json: Json = False,
) -> None:
    """Carry out the command."""
    _command(Verb.ANNOTATE, ids, runtime, namespace, as_json, reason=reason, actor=actor, note=note)


def fork(
    run_id: Id,
    runtime: Runtimes = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(help="Path of a phase, or id of a checkpoint; without it all that is committed."),
    ] = None,
    namespace: Namespace = None,
    reason: Reason = "",
    actor: Actor,
    as_json: Json = False,
) -> None:
    """Carry out the command."""

    async def copied(client: Runtime) -> StateView:
        copy = await (await client.get(run_id)).fork(at, reason=reason, actor=actor)
        return await state_of(client, copy.id)

    print_begun(with_client(runtime, namespace, copied), as_json=as_json)


def signal(
    run_id: Id,
    name: Annotated[str, typer.Argument(metavar="SIGNAL", help="Name of the signal.", show_default=False)],
    value: Annotated[
        Any,
        typer.Argument(
            metavar="JSON",
            parser=json_value,
            show_default=False,
            help="What is sent; @FILE reads it, @- from stdin.",
        ),
    ],
    runtime: Runtimes = None,
    *,
    key: Annotated[str | None, typer.Option(help="Which of several waits it is for.")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="By which a second sending is known, and does nothing.")
    ] = None,
    actor: Actor,
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """Carry out the command."""

    async def sent(client: Runtime) -> StateView:
        await send(client, run_id, name, value.value, key=key, id_=id_, actor=actor)
        return await state_of(client, run_id)

    print_state(with_client(runtime, namespace, sent), as_json=as_json)


def print_state(view: StateView, *, as_json: bool) -> None:
    """Print where a run is."""
    if as_json:
        print_json(view)
    else:
        print(f"{view.id} is {view.state}")


def print_begun(view: StateView, *, as_json: bool) -> None:
    """Print the id of a run that is new, alone, for ``ID=$(...)``; where it is goes to stderr."""
    if as_json:
        print_json(view)
    else:
        print(f"{view.id} is {view.state}", file=sys.stderr)
        print(view.id)


def _command(
    verb: Verb,
    ids: Sequence[str],
    runtime: str | None,
    namespace: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Command some runs, one after another, and print what came of it."""

    async def obeyed(client: Runtime, run_id: str) -> StateView:
        await client.control(run_id, verb, **given)
        return await state_of(client, run_id)

    command_each(ids, runtime, namespace, obeyed, as_json=as_json)


def command_each(
    ids: Sequence[str],
    runtime: str | None,
    namespace: str | None,
    command: Callable[[Runtime, str], Awaitable[StateView]],
    *,
    as_json: bool,
) -> None:
    """Do something to some runs, one after another, and print what came of it; one that refuses stops no other."""
    done: list[StateView] = []
    refused: dict[str, PhaselineError] = {}

    async def each(client: Runtime) -> None:
        for run_id in dict.fromkeys(ids):
            try:
                done.append(await command(client, run_id))
            except OF_ONE_RUN as error:
                refused[run_id] = error

    with_client(runtime, namespace, each)
    if as_json:
        why = {run_id: told(error) for run_id, error in refused.items()}
        print_json({"done": [view.model_dump(mode="json") for view in done], "refused": why})
    else:
        for view in done:
            print_state(view, as_json=False)
    for error in refused.values():
        print(printable(told(error), lines=True), file=sys.stderr)
    if refused:
        raise typer.Exit(code_of(next(iter(refused.values()))))
