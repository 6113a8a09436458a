"""How a run looks on a terminal."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from importlib import reload

import attrs
import pytest
from rich.console import Console

import phaseline.console
from phaseline import Pipeline, Retry, each, phase
from phaseline.console import Picture, shown_span
from phaseline.errors import MissingExtraError
from phaseline.events import PhaseProgress, PipelineCompleted, Transition
from phaseline.outline import outline
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseRecord, PhaseState, Progress, RunRecord, WaitKind
from phaseline.run import Run

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@phase
async def split(text: str) -> list[str]:
    return text.split()


@phase
async def clean(word: str) -> str:
    return word


@phase
async def measure(word: str) -> int:
    return len(word)


@phase
async def total(lengths: list[int]) -> int:
    return sum(lengths)


letters = Pipeline("letters", split >> each(Pipeline("word", clean >> measure)) >> total)
PLANNED = [node.path for node in letters.plan.nodes]


def row(path: str, state: PhaseState = PhaseState.COMPLETED, **more: object) -> PhaseRecord:
    ended = NOW if state in {PhaseState.COMPLETED, PhaseState.FAILED} else None
    given = {
        "queue": "default",
        "priority": 100,
        "available_at": NOW,
        "started_at": NOW - timedelta(seconds=2),
    }
    return PhaseRecord(path=path, state=state, ended_at=ended, **{**given, **more})


def of(*rows: PhaseRecord, state: str = "WORD", error: ErrorInfo | None = None) -> Run[int]:
    record = RunRecord(
        namespace="default", id="1j1bpti4l334vq0sg87ck0", pipeline="letters", version="1", fingerprint="", state=state,
        revision=1, seq=0, created_at=NOW, updated_at=NOW, started_at=NOW - timedelta(seconds=3), error=error,
    )  # fmt: skip
    return Run(record=record, phases={each.path: each for each in rows})


def drawn(run: Run[int], *, width: int = 100, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
    )
    console.print(Picture(run, letters, NOW))
    return console.file.getvalue()


def test_what_is_to_come_stands_in_the_order_of_the_plan():
    """And what an item of a map has yet to go through, with it."""
    split_, map_, total_ = outline({"split": row("split"), "word": row("word", PhaseState.RUNNING, total=2), "word[0]/clean": row("word[0]/clean"),
                                    "word[1]/clean": row("word[1]/clean"), "word[1]/measure": row("word[1]/measure")}, PLANNED)  # fmt: skip
    assert ("split", "word", "total") == (split_.name, map_.name, total_.name)
    assert (PhaseState.PENDING, None) == (total_.state, total_.row)
    assert (1, 2) == (map_.done, map_.total)
    (first,) = map_.inner
    assert ("[0]", PhaseState.RUNNING, ["clean", "measure"]) == (
        first.name,
        first.state,
        [each.name for each in first.inner],
    )


def test_of_a_large_map_only_what_matters_is_listed():
    """However many items there are."""
    items = [row(f"enrich[{i}]", PhaseState.RUNNING if i % 2 else PhaseState.COMPLETED) for i in range(2_000)]
    (map_,) = outline({each.path: each for each in [row("enrich", PhaseState.RUNNING, total=3_000), *items]})
    assert (1_000, 3_000, 8, 992) == (map_.done, map_.total, len(map_.inner), map_.left_out)


def test_a_run_is_drawn_as_a_tree():
    """With bars, waits, failures and progress."""
    error = ErrorInfo(category=ErrorCategory.PROCESSING, type="ValueError", message="no \x1b[31m length")
    told = drawn(
        of(
            row("split"),
            row("word", PhaseState.RUNNING, total=3),
            row("word[0]/clean", PhaseState.RETRYING, attempt=2, error=error),
            row("word[1]/clean", PhaseState.RUNNING, progress=Progress(done=3, note="a\x1b[2J")),
            row("word[2]/clean", PhaseState.RUNNING, wait_kind=WaitKind.SIGNAL, due_at=NOW),
            row("total", PhaseState.SKIPPED, reason="nothing to sum"),
        ),
        width=120,
    )
    assert "letters WORD 3.0 s 1j1bpti4l334vq0sg87ck0" in told
    assert "✓ split  2.0 s" in told
    assert (
        r"↻ clean  attempt 2  ValueError: no \x1b[31m length  again at 2026-11-28 12:00:00 UTC  2.0 s" in told
    )
    assert r"● clean  3  a\x1b[2J  2.0 s" in told
    assert "waits for a signal until 2026-11-28 12:00:00 UTC" in told
    assert "- total  nothing to sum" in told
    assert "0 of 3" in told
    assert "━" in told
    assert "\x1b" not in told


def test_what_a_run_failed_with_that_was_rolled_back_is_told():
    """Its phases are to come again, and say nothing of it."""
    error = ErrorInfo(category=ErrorCategory.PROCESSING, type="LookupError", message="no mug is left")
    run = attrs.evolve(of(row("split", PhaseState.PENDING), state="ROLLED_BACK"), taken_back=error)
    assert "LookupError: no mug is left" in drawn(run)


def test_of_a_delayed_run_it_is_told_when_it_begins():
    """And not of one that waits for a worker alone."""
    put_off = row("split", PhaseState.PENDING, available_at=NOW + timedelta(hours=1), started_at=None)
    assert "○ split  not before 2026-11-28 13:00:00 UTC" in drawn(of(put_off, state="IDLE"))
    assert "not before" not in drawn(of(row("split", PhaseState.PENDING, started_at=None), state="IDLE"))


def test_what_is_over_is_not_told_by_its_progress():
    """A body need not tell of its end, nor is a retry where the attempt before it came to; of a map all is counted."""
    at = Progress(done=5, total=6, note="pages")
    told = drawn(
        of(
            row("split", progress=at),
            row("word", total=0),
            row("total", PhaseState.RETRYING, progress=at),
        ),
        width=120,
    )
    assert "✓ split  2.0 s" in told
    assert "0 of 0" in told
    assert "5 of 6" not in told


@pytest.mark.parametrize(
    ("state", "attempt", "counts", "told"),
    [
        (PhaseState.RETRYING, 1, {"failures": 1}, "attempt 1 of 4  again"),
        (PhaseState.RETRYING, 3, {"failures": 1, "crashes": 2}, "attempt 3 of 6  again"),
        (PhaseState.RETRYING, 1, {"postponed": 1}, "attempt 1 of 5  again"),
        (PhaseState.RUNNING, 2, {"failures": 1}, "attempt 2 of 4  "),
        (PhaseState.RUNNING, 4, {"failures": 1, "crashes": 2}, "attempt 4 of 6  "),
        (PhaseState.COMPLETED, 2, {"failures": 1}, "attempt 2  "),
    ],
)
def test_of_how_many_attempts_it_is(state, attempt, counts, told):
    """By the policy of the phase, else that of the runtime; what is no failure is not counted by it."""

    @phase(retry=Retry(attempts=4))
    async def fetch(address: str) -> str:
        return address

    for name, body, policy in (("fetch", fetch, Retry(attempts=9)), ("clean", clean, Retry(attempts=4))):
        console = Console(file=io.StringIO(), width=100)
        run = of(row(name, state, attempt=attempt, **counts))
        console.print(Picture(run, Pipeline("fetching", body), NOW, policy))
        assert told in console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40])
def test_a_narrow_terminal_is_enough(width):
    """Nothing is wider than it, and nothing is cut off or told twice."""
    error = ErrorInfo(category=ErrorCategory.PROCESSING, type="ValueError", message="a long text " * 5)
    run = of(row("split"), row("word", PhaseState.RUNNING, total=3), row("total", PhaseState.FAILED, error=error),
             state="FAILED", error=error)  # fmt: skip
    told = drawn(run, width=width)
    assert width >= max(map(len, told.splitlines()))
    assert 5 == sum(line.count("long") for line in told.splitlines())


def test_a_terminal_that_knows_only_ascii_is_enough():
    """Signs and guides are others."""
    text = io.TextIOWrapper(io.BytesIO(), "ascii")
    console = Console(file=text, width=80)
    run = of(row("split"), row("word", PhaseState.RUNNING, total=3))
    console.print(Picture(run, letters, NOW))
    text.flush()
    assert b"+ split" in text.buffer.getvalue()


def test_colours_are_for_terminals(monkeypatch):
    """That were not asked to be without."""
    assert "\x1b[" in drawn(of(row("split")), terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in drawn(of(row("split")), terminal=True)


async def test_what_is_told_live_does_not_come_after_the_end():
    """It may be overtaken by what is stored, and would look as if the run went on."""
    told = {"run_id": "1j1bpti4l334vq0sg87ck0", "pipeline": "letters", "at": NOW}
    progress = PhaseProgress(seq=None, phase="split", done=1, **told)
    events = (
        progress,
        PipelineCompleted(seq=7, transition=Transition("TOTAL", "COMPLETED"), **told),
        progress,
    )

    class Handle:
        async def events(self):
            for event in events:
                yield event

        async def run(self):
            return None

    target = io.StringIO()
    await phaseline.console.watch(Handle(), console=Console(file=target))
    assert ["PHASE_PROGRESS", "PIPELINE_COMPLETED"] == [
        line.split()[1] for line in target.getvalue().splitlines()
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (185, "3:05"), (7_800, "2:10:00"), (-1, "0.0 s")]
)
def test_times_are_told_as_people_read_them(seconds, text):
    """Tenths of seconds, minutes, hours."""
    assert text == shown_span(timedelta(seconds=seconds))


def test_without_the_extra_it_is_told_what_to_install(monkeypatch):
    """On import."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rich", None)
        with pytest.raises(MissingExtraError, match=r"phaseline\[cli\]"):
            reload(phaseline.console)
    reload(phaseline.console)
