"""Runs on a terminal, drawn with rich (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any, Final, Generic, TypeVar

from phaseline.errors import MissingExtraError

try:
    import_module("rich")
except ImportError as _error:
    raise MissingExtraError("phaseline.console", "cli") from _error

import anyio
import attrs
from anyio import to_thread
from msgspec.structs import replace
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from phaseline._values.texts import printable
from phaseline.events import Event, PhaseProgress
from phaseline.handle import RunHandle
from phaseline.inspection import pipeline_of
from phaseline.outline import Entry, outline
from phaseline.pipeline import Pipeline
from phaseline.retry import Retry
from phaseline.rows import ENDED_STATES, ErrorInfo, PhaseRecord, PhaseState, Progress, RunState
from phaseline.run import Run

__all__ = ["watch", "Picture"]

Out = TypeVar("Out")

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
_GOES_ON: Final = frozenset({PhaseState.RUNNING, PhaseState.RETRYING})
MOMENT: Final = "%Y-%m-%d %H:%M:%S UTC"
BAR: Final = 20
"""Columns of a bar, where there is room."""
PACE: Final = 5
"""How many times as long as reading and drawing took the pause is until this is done again."""
SHORTEST: Final = 0.1
TICK: Final = 0.5
"""Seconds between two looks at a run of which there is news, at least, and between two drawings of one of which there is none."""


def style_of(state: str) -> str:
    """The colour of a run's state."""
    ends = {
        RunState.COMPLETED: "green", RunState.FAILED: "red", RunState.CANCELLED: "magenta",
        RunState.ROLLED_BACK: "magenta", RunState.PAUSED: "yellow",
    }  # fmt: skip
    return next((style for known, style in ends.items() if known == state), "cyan")


@attrs.frozen
class Picture:
    """A run as rich draws it: what it is, and its phases as a tree, with bars of those that tell how far they are."""

    run: Run[Any]
    """As it was last read."""
    pipeline: Pipeline[Any, Any] | None = None
    """Its pipeline: what is yet to come is drawn too."""
    now: datetime | None = None
    """The time that running phases are measured by; None leaves their times out."""
    retry: Retry | None = None
    """The policy of the runtime, by which a phase is tried again that has none of its own."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it, as wide as there is room, and with no signs that the terminal does not know."""
        run = self.run
        signs, bar = ASCII_SIGNS if options.ascii_only else SIGNS, min(BAR, options.max_width // 4)
        look = _Look(signs, self.now, bar, self._most)
        planned = () if self.pipeline is None else [node.path for node in self.pipeline.plan.nodes]
        tree = Tree(_head(run, self.now), guide_style="dim")
        look.hang(tree, outline(run.phases, planned))
        yield tree
        if run.error is not None and not self._shows(run.error):
            yield Text(f"{run.error.type}: {printable(run.error.message)}", style="red")

    def _most(self, row: PhaseRecord) -> int | None:
        """How many attempts a phase that goes on will have had at most, as things stand; None where that is not bounded."""
        if self.pipeline is None:
            return None
        plan = self.pipeline.plan
        policy = plan.binding_of(plan.locate(row.path)[0]).retry or self.retry
        if policy is None or policy.most is None:
            return None
        # Attempts that ended otherwise, such as by the loss of their worker, are not counted by a policy.
        begun = row.attempt if row.state is PhaseState.RETRYING else row.attempt - 1
        return policy.most + begun - row.failures

    def _shows(self, error: ErrorInfo) -> bool:
        """Whether an error stands beside its phase already."""
        return any(row.state is PhaseState.FAILED and row.error == error for row in self.run.phases.values())


def _head(run: Run[Any], now: datetime | None) -> Text:
    took = _between(run.started_at, run.ended_at if run.state in ENDED_STATES else now)
    return Text.assemble(
        f"{run.pipeline} ",
        (run.state, f"bold {style_of(run.state)}"),
        f" {took}" if took else "",
        f" {run.id}",
    )


@attrs.frozen
class _Look:
    """How phases are drawn."""

    signs: Mapping[PhaseState, str]
    now: datetime | None
    bar: int
    """Columns of a bar."""
    most: Callable[[PhaseRecord], int | None]
    """Gives how many attempts a phase will have at most."""

    def hang(self, tree: Tree, entries: Sequence[Entry]) -> None:
        """Hang phases into a tree."""
        for entry in entries:
            branch = tree.add(self._label(entry))
            self.hang(branch, entry.inner)
            if entry.left_out:
                branch.add(Text(f"and {entry.left_out:,} more", style="dim"))

    def _label(self, entry: Entry) -> RenderableType:
        text = Text.assemble((f"{self.signs[entry.state]} {printable(entry.name)}", STYLES[entry.state]))
        for part in _facts(entry, self):
            text.append(f"  {part}", "dim" if entry.state is not PhaseState.FAILED else "red")
        if entry.done is None or entry.state is not PhaseState.RUNNING:
            return text
        grid = Table.grid(padding=(0, 1))
        grid.add_column(overflow="fold")
        grid.add_column(width=self.bar)
        grid.add_row(
            text,
            ProgressBar(total=entry.total, completed=entry.done, width=self.bar, pulse=entry.total is None),
        )
        return grid


def _facts(entry: Entry, look: _Look) -> Iterator[str]:
    """What is told of a phase beside its name."""
    row, now = entry.row, look.now
    if entry.done is not None:
        yield f"{entry.done:g}" if entry.total is None else f"{entry.done:g} of {entry.total:g}"
    if row is None:
        return
    if row.progress is not None and row.progress.note and entry.state is PhaseState.RUNNING:
        yield printable(row.progress.note)
    if row.wait_kind is not None and entry.state is PhaseState.RUNNING:
        yield f"waits for {_awaited(row)}"
    if row.attempt > 1 or entry.state is PhaseState.RETRYING:
        most = look.most(row) if entry.state in _GOES_ON else None
        yield f"attempt {row.attempt}" + ("" if most is None else f" of {most}")
    if row.is_taken_over:
        yield "taken over"
    yield from _why(row)
    if row.state is PhaseState.PENDING and now is not None and row.available_at > now:
        yield f"not before {row.available_at:{MOMENT}}"
    took = _between(row.started_at, row.ended_at if row.ended_at is not None else now)
    if took:
        yield took


def _why(row: PhaseRecord) -> Iterator[str]:
    """What a phase failed with, or was skipped or is called again for; and when that is."""
    if row.state in {PhaseState.FAILED, PhaseState.RETRYING} and row.error is not None:
        yield f"{row.error.type}: {printable(row.error.message)}"
    elif row.reason and row.state in {PhaseState.SKIPPED, PhaseState.RETRYING}:
        yield printable(row.reason)
    if row.state is PhaseState.RETRYING:
        yield f"again at {row.available_at:{MOMENT}}"


def _awaited(row: PhaseRecord) -> str:
    until = "" if row.due_at is None else f" until {row.due_at:{MOMENT}}"
    return f"a {row.wait_kind}{until}"


def _between(begin: datetime | None, end: datetime | None) -> str:
    return "" if begin is None or end is None else shown_span(end - begin)


def shown_span(span: timedelta) -> str:
    """A time as people read it: ``1.2 s``, ``3:05``, ``2:10:00``."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


async def watch(handle: RunHandle[Out], *, console: Console | None = None) -> Run[Out]:
    """Show a run while it goes on, until it ends, and give it.

    On a terminal its phases are drawn as a tree that moves: bars, attempts, what is waited for. Where there is none, or one
    that cannot move its cursor, each event is a line. What another process does is seen a moment later.

    Args:
        handle: On the run.
        console: Where to draw: a ``rich.console.Console``; by default the standard output.

    Raises:
        RunNotVisibleError: It was started in a transaction that is not committed yet.
        RuntimeNotOpenError: The runtime was closed before the run had ended.
        StorageError: It cannot be read.
    """
    target = console or Console(highlight=False, markup=False)
    if target.is_terminal and not target.is_dumb_terminal:
        return await _Screen(handle, target).show()
    is_over = False
    async for event in handle.events():
        if event.transition is not None:
            is_over = event.transition.target in ENDED_STATES
        if is_over and event.seq is None:
            continue  # told live, and overtaken by the end that was stored after it
        await to_thread.run_sync(partial(target.print, line_of(event), soft_wrap=True))
    return await handle.run()


class _Screen(Generic[Out]):
    """A run on a terminal: drawn when something is new, and, as times go on, twice a second."""

    def __init__(self, handle: RunHandle[Out], console: Console) -> None:
        self._handle, self._console = handle, console
        self._news: anyio.Event = anyio.Event()
        self._told: dict[str, Progress] = {}
        """What bodies told of themselves since the latest commit."""
        self._is_over = False
        self._failed: Exception | None = None

    async def show(self) -> Run[Out]:
        """Draw until the run has ended."""
        # Drawn in a thread: a terminal that is slow holds up nobody else.
        live = Live(console=self._console, auto_refresh=False)
        run: Run[Out] | None = None
        await to_thread.run_sync(live.start)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow)
                try:
                    run = await self._draw(live)
                except Exception as error:  # noqa: BLE001  # as in _follow
                    self._failed = self._failed or error
                tasks.cancel_scope.cancel()
        finally:
            live.stop()
        if self._failed is not None:
            raise self._failed
        assert run is not None  # noqa: S101  # else there was an error
        return run

    async def _follow(self) -> None:
        try:
            async for event in self._handle.events():
                if isinstance(event, PhaseProgress) and event.phase is not None:
                    self._told[event.phase] = Progress(done=event.done, total=event.total, note=event.note)
                self._news.set()
        except Exception as error:  # noqa: BLE001  # raised by show(), so that no task group wraps it
            self._failed = error
        self._is_over = True
        self._news.set()

    async def _draw(self, live: Live) -> Run[Out]:
        while True:
            is_over, self._news = self._is_over, anyio.Event()
            began = anyio.current_time()
            run = await self._handle.run()
            pipeline = pipeline_of(self._handle.runtime, run)
            await self._put(live, run, pipeline)
            if is_over:
                return run
            took = anyio.current_time() - began
            await anyio.sleep(max(SHORTEST, PACE * took))  # a large run is not read all the time
            while not self._news.is_set():
                with anyio.move_on_after(max(TICK, PACE * took)):
                    await self._news.wait()
                if not self._news.is_set():
                    await self._put(live, run, pipeline)

    async def _put(self, live: Live, run: Run[Out], pipeline: Pipeline[Any, Any]) -> None:
        shown = attrs.evolve(run, phases={path: self._newest(path, row) for path, row in run.phases.items()})
        retry = self._handle.runtime.runner.options.retry
        drawn = Picture(shown, pipeline, datetime.now(UTC), retry)
        await to_thread.run_sync(partial(live.update, drawn, refresh=True))

    def _newest(self, path: str, row: PhaseRecord) -> PhaseRecord:
        """A row with what its body told since it was stored."""
        told = self._told.get(path)
        return row if told is None or row.state is not PhaseState.RUNNING else replace(row, progress=told)


def line_of(event: Event) -> Text:
    """An event as a line of text."""
    parts = [f"{event.at.astimezone():%H:%M:%S}", printable(event.type), printable(event.phase or "")]
    if event.transition is not None:
        parts.append(f"{event.transition.source} -> {event.transition.target}")
    error: object = getattr(event, "error", None)
    if isinstance(error, ErrorInfo):
        parts.append(f"{error.type}: {printable(error.message)}")
    elif isinstance(event, PhaseProgress):
        parts.append(f"{event.done:g}" + ("" if event.total is None else f" of {event.total:g}"))
        parts.append(printable(event.note))
    elif (reason := getattr(event, "reason", "")) and isinstance(reason, str):
        parts.append(printable(reason))
    return Text(" ".join(part for part in parts if part))
