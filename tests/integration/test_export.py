"""Runs as documents: whole, bounded, without secrets, and read back as what they were; on every storage."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import anyio
import pytest
from markdown_it import MarkdownIt
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Context, CustomEvent, Pipeline, Retry, RunHandle, Runtime, each, exports, phase
from phaseline._shell import exporting
from phaseline.abc import Storage
from phaseline.events import Event
from phaseline.exports import RunExport
from phaseline.testing import FakeClock

__all__ = ["anyio_backend"]
READER = MarkdownIt("commonmark").enable("table")
EVIL = "`|\n# <b>evil</b> [x](http://evil) \u202e"
failing: set[str] = set()


class Seen(CustomEvent):
    word: str


@phase
async def words(text: str) -> list[str]:
    return text.split(",")


@phase(retry=Retry(attempts=3, wait=timedelta(0)))
async def shout(word: str, ctx: Context) -> str:
    ctx.emit(Seen(word=word))
    if word == "b" and ctx.attempt == 1:
        raise OSError(EVIL)
    return word.upper()


@phase
async def same(found: list[str]) -> list[str]:
    return found


@phase
async def joined(found: list[str], ctx: Context) -> str:
    if ctx.phase in failing:
        raise ValueError("secret of a traceback")
    return "".join(found)


shouting = Pipeline("shouting", words >> each(shout) >> same >> joined)


@pytest.fixture(autouse=True)
def mended() -> None:
    """Nothing fails unless the test says so."""
    failing.clear()


async def ended(runtime: Runtime, text: str = "a,b", **options: Any) -> RunHandle[str]:
    """Give a run once it is over."""
    handle = await runtime.start(shouting, text, **options)
    await handle.wait()
    return handle


def block(document: str) -> list[str]:
    """The headings of a document, as a reader of Markdown finds them."""
    tokens = READER.parse(document)
    return [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]


# --------------------------------------------------------------------- what is in it
@BOTH_LOOPS
async def test_all_of_a_run_is_in_its_export(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Each field as the run itself tells it; phases with their attempts, also those that failed."""
    async with open_runtime(shouting) as runtime:
        handle = await ended(
            runtime, key="order 7", tags=["urgent"], attributes={"customer": 42}, priority=7, timeout=timedelta(hours=1)
        )  # fmt: skip
        await handle.annotate("seen", actor="ada")
        export, run = await handle.export(), await handle.run()
        events = [event async for event in handle.events()]
    assert (export.schema_version, export.id, export.pipeline, export.version) == (1, run.id, "shouting", "1")
    assert (export.state, export.key, export.priority, export.timeout_seconds) == (
        "COMPLETED",
        "order 7",
        7,
        3600,
    )
    assert (export.tags, dict(export.attributes), export.forked_from) == (("urgent",), {"customer": 42}, None)
    assert (export.exported_at, export.created_at, export.ended_at) == (
        clock.now(),
        run.created_at,
        run.ended_at,
    )
    assert (export.input.value, export.output and export.output.value) == ("a,b", "AB")
    assert [(move.source, move.target, move.at) for move in export.history] == [
        (move.source, move.target, move.at) for move in run.history
    ]
    assert [point.id for point in export.checkpoints] == [point.id for point in run.checkpoints]
    assert [(e.seq, e.type, e.phase, dict(e.data)) for e in export.events] == [
        (e.seq, e.type, e.phase, e.data) for e in events
    ]
    phases = {phase.path: phase for phase in export.phases}
    assert set(phases) == {"words", "shout", "shout[0]", "shout[1]", "same", "joined"}
    outputs = {path: each.output.value for path, each in phases.items() if each.output is not None}
    assert outputs == {
        "words": ["a", "b"], "shout[0]": "A", "shout[1]": "B", "same": ["A", "B"], "joined": "AB",
    }  # fmt: skip
    attempts = [(a.attempt, a.outcome, a.reason) for a in phases["shout[1]"].attempts]
    assert attempts == [(1, "retrying", "failed"), (2, "completed", "")]
    assert phases["shout[1]"].attempts[0].error is not None
    assert all(a.ended_at is not None for each in export.phases for a in each.attempts)
    assert export.left_out.phases == export.left_out.events == 0


async def test_an_export_is_read_back_as_what_it_was(open_runtime: OpenRuntime) -> None:
    """By the model that has its JSON schema."""
    async with open_runtime(shouting) as runtime:
        export = await (await ended(runtime)).export()
    for indent in (None, 2):
        assert RunExport.model_validate_json(export.to_json(indent=indent)) == export
    assert json.loads(export.to_json())["schema_version"] == 1
    assert set(RunExport.model_json_schema()["properties"]) == set(json.loads(export.to_json()))


async def test_a_run_that_goes_on_is_exported_as_far_as_it_is(open_runtime: OpenRuntime) -> None:
    """So is one that failed."""
    failing.add("joined")
    async with open_runtime(shouting, tracebacks=True) as runtime:
        waiting = await runtime.start(shouting, "a", delay=timedelta(hours=1))
        early = await waiting.export()
        failed = await (await ended(runtime)).export()
    assert (early.state, early.output, [each.attempts for each in early.phases]) == ("IDLE", None, [()])
    assert (failed.state, failed.output) == ("FAILED", None)
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ValueError", "secret of a traceback")
    assert failed.phases[-1].attempts[-1].outcome == "failed"


async def test_attempts_of_all_epochs_are_told(open_runtime: OpenRuntime) -> None:
    """Each with its epoch, for they are counted anew; and a copy says what it took over."""
    failing.add("joined")
    async with open_runtime(shouting) as runtime:
        handle = await ended(runtime)
        failing.clear()
        await handle.retry()
        await handle.result()
        again = await handle.export()
        copy = await handle.fork("same")
        await copy.result()
        copied = await copy.export()
    assert [(a.epoch, a.attempt, a.outcome) for a in again.phases[-1].attempts] == [
        (0, 1, "failed"), (1, 1, "completed"),
    ]  # fmt: skip
    assert copied.forked_from == handle.id
    assert [each.path for each in copied.phases if not each.taken_over] == ["joined"]
    assert copied.phases[0].output is not None
    assert copied.phases[0].output.value == ["a", "b"]


@phase
async def lasting(number: int) -> int:
    if number:
        await anyio.sleep_forever()
    raise ValueError


@phase
async def numbers(count: int) -> list[int]:
    return [*range(count)]


wide = Pipeline("wide", numbers >> each(lasting))


async def test_no_attempt_goes_on_in_what_has_ended(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A run or an epoch, however many ended at once with it: events name a hundred of them."""
    async with open_runtime(wide, concurrency=200) as runtime:
        handle = await runtime.start(wide, 150)
        await handle.wait()
        failed = await handle.export()
        await clock.advance(timedelta(hours=1))
        await handle.retry()
        await handle.wait()
        again = await handle.export()
    first, second = [("skipped", "cancelled", each.ended_at) for each in (failed, again)]
    assert first != second
    for export, expected in ((failed, (first,)), (again, (first, second))):
        ends = {tuple((a.outcome, a.reason, a.ended_at) for a in each.attempts) for each in export.phases[3:]}
        assert ends == {expected}


async def test_how_an_attempt_ended_is_told_where_the_event_is_left_out(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the row of its phase, which is of the latest one; of those before nothing more is known."""
    async with open_runtime(wide) as runtime:
        handle = await runtime.start(wide, 2)
        await handle.wait()
        whole = await handle.export()
        left_out = {"numbers": "PHASE_COMPLETED", "lasting[0]": "PHASE_FAILED", "lasting[1]": "PHASE_SKIPPED"}
        for path, type_ in left_out.items():
            ends = next(event.seq for event in whole.events if event.type == type_)
            monkeypatch.setattr(exporting, "MOST_EVENTS", ends - 1)
            cut = await handle.export()
            expected = [each.attempts for each in whole.phases if each.path == path]
            assert [each.attempts for each in cut.phases if each.path == path] == expected
        await handle.retry()
        await handle.wait()
        earlier = await handle.export()
    assert [(a.epoch, a.outcome) for a in earlier.phases[-1].attempts] == [(0, "running")]


# --------------------------------------------------------------------- what is not
async def test_tracebacks_are_never_exported(open_runtime: OpenRuntime) -> None:
    """Wherever they are stored: of the run, a phase, an attempt, an event."""
    failing.add("joined")
    async with open_runtime(shouting, tracebacks=True) as runtime:
        handle = await ended(runtime)
        run, export = await handle.run(), await handle.export()
    assert run.error is not None
    assert "test_export.py" in (run.error.traceback or "")
    for document in (export.to_json(), export.to_markdown()):
        assert "traceback" not in document.replace("secret of a traceback", "")
        assert "test_export.py" not in document


async def test_values_are_left_out_on_demand(open_runtime: OpenRuntime) -> None:
    """Input, outputs and what the application emitted; the rest is told."""
    async with open_runtime(shouting) as runtime:
        export = await (await ended(runtime, "s3cret,b")).export(values=False)
    assert export.input.left_out == "values were not asked for"
    assert all(each.output is None or each.output.value is None for each in export.phases)
    assert {e.left_out for e in export.events if e.type == "SEEN"} == {"values were not asked for"}
    for document in (export.to_json(), export.to_markdown()):
        assert "s3cret" not in document
        assert "S3CRET" not in document


async def test_large_values_are_left_out_and_said_to_be(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too large, and all of them once there are too many; what was handed on is shown once."""
    large = ",".join(f"{n:09}" for n in range(400))
    async with open_runtime(shouting) as runtime:
        handle = await ended(runtime, large)
        whole = await handle.export()
        monkeypatch.setattr(exporting, "LARGEST_VALUE", 2_000)
        small = await handle.export()
        monkeypatch.setattr(exporting, "LARGEST_VALUE", 64 << 10)
        monkeypatch.setattr(exporting, "LARGEST_EXPORT", 9_000)
        full = await handle.export()
    phases = {each.path: each.output for each in whole.phases}
    assert phases["same"] is not None
    assert len(phases["same"].value) == 400
    assert small.input.left_out == f"{len(large) + 2:,} characters, more than 2,000"
    assert full.input.left_out is None
    assert {each.output.left_out for each in full.phases if each.output} >= {"the export is full"}
    assert len(full.to_json()) < len(whole.to_json())


async def test_long_runs_are_cut_and_said_to_be(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first phases and events are listed, the others counted; the history is whole."""
    monkeypatch.setattr(exporting, "MOST_PHASES", 3)
    monkeypatch.setattr(exporting, "MOST_EVENTS", 5)
    async with open_runtime(shouting) as runtime:
        handle = await ended(runtime)
        export, run = await handle.export(), await handle.run()
        seq = (await runtime.runner.record_of(handle.id)).seq
    assert (len(export.phases), len(export.events)) == (3, 5)
    assert (export.left_out.phases, export.left_out.events) == (len(run.phases) - 3, seq - 5)
    assert export.history[-1].target == "COMPLETED"


async def test_markdown_lists_less_than_there_is(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says how much more there is."""
    monkeypatch.setattr(exports, "SHOWN_PHASES", 2)
    monkeypatch.setattr(exports, "SHOWN_EVENTS", 4)
    monkeypatch.setattr(exports, "SHOWN_VALUE", 10)
    async with open_runtime(shouting) as runtime:
        export = await (await ended(runtime, "a,b,c,d,e,f,g,h")).export()
    document = export.to_markdown()
    assert f"… and {len(export.phases) - 2} phases more" in document
    assert f"… and {len(export.events) - 4} events more" in document
    assert "characters more)" in document


# --------------------------------------------------------------------- for readers
async def test_markdown_has_what_a_reader_looks_for(open_runtime: OpenRuntime) -> None:
    """Sections with tables; values as JSON."""
    async with open_runtime(shouting) as runtime:
        handle = await ended(runtime)
        document = (await handle.export()).to_markdown()
    assert block(document) == [
        f"Run {handle.id} of shouting: COMPLETED", "Input", "Output", "History", "Phases", "words",
        "shout\\[0\\]", "shout\\[1\\]", "same", "joined", "Checkpoints", "Events",
    ]  # fmt: skip
    assert '```json\n"a,b"\n```' in document
    assert "| 1 |" in document


async def test_texts_of_users_stay_in_their_frames(open_runtime: OpenRuntime) -> None:
    """Whatever is in inputs, errors, reasons, notes, tags: no heading, link or markup comes of it."""
    async with open_runtime(shouting) as runtime:
        quiet = await ended(runtime, "a,b")
        handle = await ended(runtime, f"b,{EVIL}", tags=["<b>evil</b>"], key="# [x](http://evil)|")
        for each in (quiet, handle):
            await each.annotate(EVIL if each is handle else "x", reason=EVIL if each is handle else "x")
        document, calm = [(await each.export()).to_markdown() for each in (handle, quiet)]
    kinds = [
        {token.type for top in READER.parse(text) for token in [top, *(top.children or [])]} for text in (document, calm)
    ]  # fmt: skip
    assert kinds[0] <= kinds[1]
    assert len(block(document)) == len(block(calm))
    assert "\u202e" not in document


@phase(name="joined")
async def counted(found: list[str]) -> dict[str, int]:
    return {word: len(word) for word in found}


async def test_what_is_stored_in_another_shape_is_told_with_all_the_rest(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """The pipeline gives something else by now; what a run came to can still be looked at."""
    changed = Pipeline("shouting", words >> each(shout) >> same >> counted)
    opened = storage()
    async with Runtime(opened, pipelines=[shouting], clock=clock) as runtime:
        run = await runtime.run(shouting, "a,c")
    async with Runtime(
        opened if not opened.shared else storage(), pipelines=[changed], clock=clock
    ) as runtime:
        export = await (await runtime.get(run.id)).export()
    assert export.output is not None
    assert (export.output.left_out or "").startswith("it cannot be read: the stored output of phase 'joined'")
    assert [move.target for move in export.history] == list(run.states[1:])
    assert {point.id for point in export.checkpoints} == {point.id for point in run.checkpoints}
    assert [each.output.value for each in export.phases if each.output is not None][-1] == "AC"


async def test_events_of_a_document_are_read_once(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What moved the run's state is among them."""
    async with open_runtime(shouting) as runtime:
        run = await runtime.run(shouting, "a,c")
        storage, asked = runtime.runner.storage, list[int]()
        events = storage.events

        def note(namespace: str, run_id: str, after: int, limit: int) -> Sequence[Event]:
            asked.append(after)
            return events(namespace, run_id, after, limit)

        monkeypatch.setattr(storage, "events", note)
        export = await (await runtime.get(run.id)).export()
    assert asked == [0]
    assert len(export.history) == len(run.history)


async def test_markdown_shows_what_events_tell_as_json(open_runtime: OpenRuntime) -> None:
    """And not as Python has it."""
    async with open_runtime(shouting) as runtime:
        document = (await (await ended(runtime, "a,b")).export()).to_markdown()
    told = [line for line in document.splitlines() if r"PHASE\_RETRYING" in line]
    assert len(told) == 1
    assert '"category":"SYSTEM"' in told[0].replace("\\", "")
