"""``phaseline console``: runs looked at, and commanded, in a browser on this machine."""

from __future__ import annotations

import signal
import socket
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from phaseline.cli.client import with_client
from phaseline.cli.codes import ExitCode
from phaseline.cli.options import Actor, Namespace, RuntimeToo, named
from phaseline.cli.places import SQLITE
from phaseline.errors import MissingExtraError

HOST: Final = "127.0.0.1"
"""Nobody else's machine reaches it: for others, mount the console in an application that knows who they are."""
PORT: Final = 8321


def console(
    runtime: Annotated[
        str | None,
        typer.Argument(
            metavar="PLACE",
            show_default=False,
            help="A SQLite file, the URL of a storage, or MODULE:NAME. By default PHASELINE_RUNTIME, then runtime in "
            "[tool.phaseline] of pyproject.toml, then DATABASE_URL.",
        ),
    ] = None,
    *,
    also: RuntimeToo = None,
    namespace: Namespace = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="On 127.0.0.1; 0 takes a free one.")] = PORT,
    read_only: Annotated[bool, typer.Option("--read-only", help="Change nothing.")] = False,
    actor: Actor,
) -> None:
    """Show runs in a browser on this machine until SIGTERM or Ctrl-C; nothing is served but the pages.

    The address that is printed holds a secret, which is another one each time: others who are logged in to this machine do not
    know it. Graphs, starts and most commands need the pipelines too, so name the runtime by MODULE:NAME.
    """
    try:
        from phaseline.web.pages.alone import show
    except ImportError as error:
        raise MissingExtraError("phaseline console", "console") from error

    def ready(url: str) -> None:
        print(url, "Ctrl-C ends it" + ("; nothing can be changed" if read_only else ""), sep="\n", flush=True)

    given = named(runtime, also)
    is_file = given is not None and given != "memory" and (":" not in given or Path(given).is_file())
    place = f"{SQLITE}{given}" if is_file else given
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # without the address again
        raise typer.BadParameter(
            f"nothing can listen on {HOST}:{port}: {why}; --port 0 takes a free one"
        ) from error
    with listening:
        shown = partial(show, listening=listening, actor=actor, read_only=read_only, ready=ready)
        if with_client(place, namespace, shown) == signal.SIGINT:
            raise typer.Exit(ExitCode.INTERRUPTED)
