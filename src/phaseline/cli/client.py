"""A runtime opened for one command: it looks on and commands, and serves nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio
import typer

from phaseline._values.texts import did_you_mean
from phaseline.cli.places import Place, client_of, place_of
from phaseline.errors import PipelineNotRegisteredError, RuntimeUsageError
from phaseline.rows import RunState
from phaseline.runs import Runs
from phaseline.runtime import Runtime
from phaseline.tags import Attribute

T = TypeVar("T")

NAME_CODE = "; on the command line, name the runtime that has it: --runtime MODULE:NAME"


def told(error: Exception) -> str:
    """What an error says, with what to do at a shell."""
    return f"{error}{NAME_CODE}" if isinstance(error, PipelineNotRegisteredError) else str(error)


def with_client(place: str | None, namespace: str | None, do: Callable[[Runtime], Awaitable[T]]) -> T:
    """Open the runtime that is named, do something with it, and close it.

    Raises:
        NoRuntimeError: There is none, or nothing can be seen of its runs from another process.
        PhaselineError: What it was asked for cannot be done.
    """
    found: Place = place_of(place)
    client = client_of(found, namespace=namespace)

    async def opened() -> T:
        async with client:
            if not client.runner.storage.shared:
                raise RuntimeUsageError(
                    f"{client!r} keeps its runs in the memory of its own process: nothing is seen of them from here; "
                    "give it a database"
                )
            return await do(client)

    return anyio.run(opened)


async def why_none(client: Runtime, what: str = "run", states: Sequence[str] = ()) -> str:
    """What is said where nothing fulfils what was asked for: another namespace, or another state, may be meant."""
    known = {*RunState, *(state for pipeline in client.pipelines for state in pipeline.transitions.states)}
    meant = "".join(did_you_mean(state, known) for state in states if state not in known)
    return await empty(client) or f"no {what} fulfils that{meant}"


async def empty(client: Runtime) -> str | None:
    """What is said of a namespace without any run, for another one may be meant; None where there are some."""
    if (await client.find(limit=1)).runs:
        return None
    return (
        f"there is no run in namespace {client.namespace!r}; if another one is meant, say --namespace NAME, or name a runtime "
        "that is in it"
    )


def runs_of(
    client: Runtime,
    *,
    pipeline: Sequence[str],
    version: Sequence[str],
    state: Sequence[str],
    tag: Sequence[str],
    attribute: Sequence[tuple[str, Attribute]],
    **more: Any,
) -> Runs:
    """Ask for runs by what options say; an option that was not given is an empty list.

    Raises:
        BadParameter: An option makes no sense.
    """
    try:
        return client.find(
            pipeline=pipeline or None, version=version or None, state=state or None, tags=tag,
            attributes=dict(attribute), **more,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
