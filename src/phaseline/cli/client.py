"""A runtime opened for one command: it looks on and commands, and serves nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from phaseline.cli.places import Place, client_of, place_of
from phaseline.errors import PipelineNotRegisteredError, RuntimeUsageError
from phaseline.runtime import Runtime

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
