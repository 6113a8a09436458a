"""Which texts of a record pass a codec, on their way in and on their way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from phaseline._values.codec import from_json_text, to_json_text
from phaseline.errors import CodecError
from phaseline.events import Emitted, ErrorOccurred, Event, PhaseFailed, PhaseRetrying, PipelineFailed
from phaseline.rows import ErrorInfo, PhaseRecord, RunRecord
from phaseline.unit_of_work import RunRows, Unit

PAYLOAD: Final = "encoded"
"""Name under which an event's payload stands, which is an object."""
Row = TypeVar("Row", RunRecord, PhaseRecord)


class Texts:
    """Encodes and decodes the texts in records."""

    def __init__(self, coded: Callable[[str], str], plain: Callable[[str], str]) -> None:
        self.coded = coded
        self.plain = plain

    # ------------------------------------------------------------------ on the way in
    def written(self, unit: Unit) -> Unit:
        """The unit as it is stored."""
        coded = self.coded
        return replace(
            unit,
            run=self.with_error(unit.run, coded),
            input=coded(unit.input) if unit.input else unit.input,  # a copy takes over that of its origin
            inserted=[self._phase(row, coded) for row in unit.inserted],
            updated=[(self._phase(row, coded), fence) for row, fence in unit.updated],
            dropped=[(self._phase(row, coded), fence) for row, fence in unit.dropped],
            outputs={path: coded(text) for path, text in unit.outputs.items()},
            events=[self._event_written(event) for event in unit.events],
            steps=[replace(step, result=coded(step.result)) for step in unit.steps],
            saved=[
                each if each.value is None else replace(each, value=coded(each.value)) for each in unit.saved
            ],
            signals=[
                each if each.value is None else replace(each, value=coded(each.value))
                for each in unit.signals
            ],
            letter=None
            if unit.letter is None
            else replace(unit.letter, error=self.error(unit.letter.error, coded)),
            begins=[self.written(begun) for begun in unit.begins],
        )

    def _event_written(self, event: Event) -> Event:
        if isinstance(event, Emitted):
            text = self.coded(to_json_text(dict(event.payload), what="the payload of an event"))
            return replace(event, payload={PAYLOAD: text})
        return self._told(event, self.coded)

    # ------------------------------------------------------------------ on the way out
    def read(self, rows: RunRows) -> RunRows:
        """Rows as they were given to ``written``."""
        plain = self.plain
        return replace(
            rows,
            run=self.with_error(rows.run, plain),
            phases=[self._phase(row, plain) for row in rows.phases],
            signals=[
                each if each.value is None else replace(each, value=plain(each.value))
                for each in rows.signals
            ],
            input=None if rows.input is None else plain(rows.input),
        )

    def phase_read(self, row: PhaseRecord) -> PhaseRecord:
        """A phase's row as it was given to ``written``."""
        return self._phase(row, self.plain)

    def event_read(self, event: Event) -> Event:
        """An event as it was given to ``written``."""
        if isinstance(event, Emitted):
            return replace(event, payload=from_json_text(self._payload_read(event.payload)))
        return self._told(event, self.plain)

    def _payload_read(self, payload: Mapping[str, Any]) -> str:
        text = payload.get(PAYLOAD)
        if len(payload) == 1 and isinstance(text, str):
            plain = self.plain(text)
            if plain != text:  # else it is the text of an event that has a field of this very name
                return plain
        # It was stored before there was a codec: whether such texts are read is the codec's to say.
        return self.plain(to_json_text(dict(payload), what="the payload of an event"))

    def all_plain(self, texts: Mapping[str, str]) -> Mapping[str, str]:
        """Texts by name."""
        return {name: self.plain(text) for name, text in texts.items()}

    def shown(self, text: str) -> str:
        """A text as a list shows it: where one cannot be read, the others can be, and why is said in its place."""
        try:
            return self.plain(text)
        except CodecError as error:
            return f"({error})"

    # ------------------------------------------------------------------ both ways
    def error(self, error: ErrorInfo, change: Callable[[str], str]) -> ErrorInfo:
        """An error with other words."""
        traceback = None if error.traceback is None else change(error.traceback)
        return replace(error, message=change(error.message), traceback=traceback)

    def with_error(self, row: Row, change: Callable[[str], str]) -> Row:
        """A row whose error has other words."""
        return row if row.error is None else replace(row, error=self.error(row.error, change))

    def _phase(self, row: PhaseRecord, change: Callable[[str], str]) -> PhaseRecord:
        row = self.with_error(row, change)
        if row.progress is None or not row.progress.note:
            return row
        return replace(row, progress=replace(row.progress, note=change(row.progress.note)))

    def _told(self, event: Event, change: Callable[[str], str]) -> Event:
        if isinstance(event, PipelineFailed | PhaseFailed | ErrorOccurred):
            return replace(event, error=self.error(event.error, change))
        if isinstance(event, PhaseRetrying):
            error = None if event.error is None else self.error(event.error, change)
            return replace(event, error=error, note=change(event.note) if event.note else "")
        return event
