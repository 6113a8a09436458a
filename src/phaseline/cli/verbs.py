"""What operators do, as one table: its name in the API, on the command line, and over the network."""

from __future__ import annotations

from typing import Final, NamedTuple


class Deed(NamedTuple):
    """Something that operators do; empty where it has no such name."""

    api: str
    """Of ``phaseline``: a method or property."""
    command: str
    routes: tuple[str, ...] = ()
    needs_code: bool = True
    """Whether the storage alone is not enough."""


DEEDS: Final = (
    Deed("Runtime.start", "run", ("POST /pipeline/start",)),
    Deed("Runtime.find", "runs list", ("GET /runs",), needs_code=False),
    Deed("Runs.count", "runs counts", ("GET /runs/counts", "GET /pipeline/stats"), needs_code=False),
    Deed(
        "Runs.statistics", "runs statistics", ("GET /runs/statistics", "GET /runs/series"), needs_code=False
    ),
    Deed(
        "RunHandle.run",
        "runs show",
        (
            "GET /runs/{id}",
            "GET /runs/{id}/outline",
            "GET /runs/{id}/phases",
            "GET /runs/{id}/value",
            "GET /runs/{id}/value/file",
            "GET /pipeline/{id}/state",
            "GET /pipeline/{id}/checkpoints",
        ),
        needs_code=False,
    ),
    Deed("RunHandle.events", "runs watch", ("GET /runs/{id}/stream", "GET /runs/{id}/events")),
    Deed(
        "RunHandle.pause",
        "runs pause",
        ("POST /runs/{id}/pause", "POST /runs/pause", "PATCH /pipeline/pause"),
    ),
    Deed(
        "RunHandle.resume",
        "runs resume",
        ("POST /runs/{id}/resume", "POST /runs/resume", "PATCH /pipeline/resume"),
    ),
    Deed("RunHandle.cancel", "runs cancel", ("POST /runs/{id}/cancel", "POST /runs/cancel")),
    Deed("RunHandle.retry", "runs retry", ("POST /runs/{id}/retry", "POST /runs/retry")),
    Deed("RunHandle.rerun_from", "runs rerun-from", ("POST /runs/{id}/rerun-from",)),
    Deed("RunHandle.restart", "runs restart", ("POST /runs/{id}/restart", "POST /runs/restart")),
    Deed("RunHandle.rollback", "runs rollback", ("POST /runs/{id}/rollback", "POST /pipeline/rollback")),
    Deed("RunHandle.fork", "runs fork", ("POST /runs/{id}/fork",)),
    Deed("RunHandle.annotate", "runs annotate", ("POST /runs/{id}/annotate",)),
    Deed("RunHandle.signal", "runs signal", ("POST /runs/{id}/signal",)),
    Deed("RunHandle.export", "runs export"),
    Deed("Runtime.purge", "runs purge", needs_code=False),
    Deed("DeadLetters.find", "dead-letters list", ("GET /dead-letters",), needs_code=False),
    Deed(
        "DeadLetters.requeue",
        "dead-letters requeue",
        ("POST /dead-letters/{id}/requeue", "POST /dead-letters/requeue"),
    ),
    Deed(
        "DeadLetters.discard",
        "dead-letters discard",
        ("POST /dead-letters/{id}/discard", "POST /dead-letters/discard"),
    ),
    Deed("Schedules.list", "schedules list", ("GET /schedules",), needs_code=False),
    Deed("Schedules.get", "schedules show", ("GET /schedules/{name}",), needs_code=False),
    Deed("Schedules.upcoming", "schedules slots", ("GET /schedules/{name}/slots",), needs_code=False),
    Deed("Schedules.put", "schedules put", ("PUT /schedules/{name}",)),
    Deed("Schedules.pause", "schedules pause", ("POST /schedules/{name}/pause",), needs_code=False),
    Deed("Schedules.resume", "schedules resume", ("POST /schedules/{name}/resume",), needs_code=False),
    Deed("Schedules.trigger", "schedules trigger", ("POST /schedules/{name}/trigger",)),
    Deed("Schedules.backfill", "schedules backfill"),
    Deed("Schedules.delete", "schedules delete", ("DELETE /schedules/{name}",), needs_code=False),
    Deed("Runtime.pipelines", "pipelines", ("GET /pipelines",)),
    Deed("Pipeline.to_mermaid", "graph", ("GET /pipelines/{name}/graph", "GET /pipelines/{name}")),
    Deed("Runtime.health", "doctor", ("GET /health", "GET /work"), needs_code=False),
    Deed("Runtime.migrate", "db upgrade", needs_code=False),
    Deed("", "db check", needs_code=False),
    Deed("", "db sql", needs_code=False),
    Deed("", "worker"),
    Deed("", "console", needs_code=False),
    Deed("templates.json_schema", "template schema", needs_code=False),
    Deed("templates.load", "template check", needs_code=False),
)


def to_markdown() -> str:
    """The table for readers."""
    lines = ["| command | in the API | over HTTP | needs code |", "|---|---|---|---|"]
    for deed in DEEDS:
        api = f"`{deed.api}`" if deed.api else ""
        routes = ", ".join(f"`{route}`" for route in deed.routes)
        lines.append(f"| `{deed.command}` | {api} | {routes} | {'yes' if deed.needs_code else ''} |")
    return "\n".join(lines) + "\n"
