"""Runs on a terminal, drawn with rich (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final

from phaseline.errors import MissingExtraError

try:
    import_module("rich")
except ImportError as _error:
    raise MissingExtraError("phaseline.console", "cli") from _error

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from phaseline.outline import Entry, outline
from phaseline.pipeline import Pipeline
from phaseline.run import ENDED_STATES, PhaseRecord, PhaseState, Run, RunState
from phaseline.texts import printable

__all__ = ["picture"]

STYLES: Final = {
    PhaseState.PENDING: "dim", PhaseState.RUNNING: "cyan", PhaseState.COMPLETED: "green", PhaseState.FAILED: "red",
    PhaseState.SKIPPED: "dim", PhaseState.RETRYING: "yellow",
}  # fmt: skip
SIGNS: Final = {
    PhaseState.PENDING: "○", PhaseState.RUNNING: "●", PhaseState.COMPLETED: "✓", PhaseState.FAILED: "✗",
    PhaseState.SKIPPED: "-", PhaseState.RETRYING: "↻",
}  # fmt: skip
ASCII_SIGNS: Final = {
    PhaseState.PENDING: ".", PhaseState.RUNNING: "*", PhaseState.COMPLETED: "+", PhaseState.FAILED: "x",
    PhaseState.SKIPPED: "-", PhaseState.RETRYING: "~",
}  # fmt: skip
"""For terminals that know no more."""
BAR: Final = 20
"""Columns of a bar, where there is room."""


def style_of(state: str) -> str:
    """The colour of a run's state."""
    ends = {
        RunState.COMPLETED: "green", RunState.FAILED: "red", RunState.CANCELLED: "magenta",
        RunState.ROLLED_BACK: "magenta", RunState.PAUSED: "yellow",
    }  # fmt: skip
    return next((style for known, style in ends.items() if known == state), "cyan")


def picture(
    run: Run[Any],
    pipeline: Pipeline[Any, Any] | None = None,
    *,
    now: datetime | None = None,
    ascii_only: bool = False,
) -> RenderableType:
    """Draw a run: what it is, and its phases as a tree, with bars of those that tell how far they are.

    Args:
        run: The run.
        pipeline: Its pipeline: what is yet to come is drawn too.
        now: The time that running phases are measured by; None leaves their times out.
        ascii_only: Use no signs that only newer terminals know.
    """
    signs = ASCII_SIGNS if ascii_only else SIGNS
    tree = Tree(_head(run, now), guide_style="dim")
    planned = () if pipeline is None else [node.path for node in pipeline.plan.nodes]
    _hang(tree, outline(run.phases, planned), signs, now)
    if run.error is None or run.state != RunState.FAILED:
        return tree
    return Group(tree, Text(f"{run.error.type}: {printable(run.error.message)}", style="red"))


def _head(run: Run[Any], now: datetime | None) -> Text:
    took = _between(run.started_at, run.ended_at if run.state in ENDED_STATES else now)
    return Text.assemble(
        f"{run.pipeline} ",
        (run.state, f"bold {style_of(run.state)}"),
        f" {took}" if took else "",
        f" {run.id}",
    )


def _hang(tree: Tree, entries: Sequence[Entry], signs: dict[PhaseState, str], now: datetime | None) -> None:
    for entry in entries:
        branch = tree.add(_label(entry, signs[entry.state], now))
        _hang(branch, entry.inner, signs, now)
        if entry.left_out:
            branch.add(Text(f"and {entry.left_out:,} more", style="dim"))


def _label(entry: Entry, sign: str, now: datetime | None) -> RenderableType:
    text = Text.assemble((f"{sign} {printable(entry.name)}", STYLES[entry.state]))
    for part in _facts(entry, now):
        text.append(f"  {part}", "dim" if entry.state is not PhaseState.FAILED else "red")
    if entry.done is None or entry.state is not PhaseState.RUNNING:
        return text
    grid = Table.grid(padding=(0, 1))
    grid.add_column(overflow="fold")
    grid.add_column(width=BAR)
    grid.add_row(
        text, ProgressBar(total=entry.total, completed=entry.done, width=BAR, pulse=entry.total is None)
    )
    return grid


def _facts(entry: Entry, now: datetime | None) -> Iterator[str]:
    """What is told of a phase beside its name."""
    row = entry.row
    if entry.done is not None:
        yield f"{entry.done:g}" if entry.total is None else f"{entry.done:g} of {entry.total:g}"
    if row is None:
        return
    if row.progress is not None and row.progress.note and entry.state is PhaseState.RUNNING:
        yield printable(row.progress.note)
    if row.wait_kind is not None and entry.state is PhaseState.RUNNING:
        yield f"waits for {_awaited(row)}"
    if row.attempt > 1:
        yield f"attempt {row.attempt}"
    if row.is_taken_over:
        yield "taken over"
    if entry.state in {PhaseState.FAILED, PhaseState.RETRYING} and row.error is not None:
        yield f"{row.error.type}: {printable(row.error.message)}"
    elif row.reason and entry.state in {PhaseState.SKIPPED, PhaseState.RETRYING}:
        yield printable(row.reason)
    took = _between(row.started_at, row.ended_at if row.ended_at is not None else now)
    if took:
        yield took


def _awaited(row: PhaseRecord) -> str:
    until = "" if row.due_at is None else f" until {row.due_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"a {row.wait_kind}{until}"


def _between(begin: datetime | None, end: datetime | None) -> str:
    return "" if begin is None or end is None else took(end - begin)


def took(span: timedelta) -> str:
    """A time as people read it: ``1.2 s``, ``3:05``, ``2:10:00``."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def print_picture(run: Run[Any], pipeline: Pipeline[Any, Any] | None, console: Console) -> None:
    """Print how a run is."""
    console.print(picture(run, pipeline, now=datetime.now(UTC), ascii_only=console.options.ascii_only))
