"""Events as JSON: what is written, and what is taken for one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from phaseline.errors import WireError
from phaseline.events import Emitted, Event, PhaseFailed, PhaseProgress, PipelineStarted, Transition
from phaseline.rows import ErrorCategory, ErrorInfo
from phaseline.testing.storage.reads import every_kind_of_event
from phaseline.wire import from_json, to_json, to_wire

AT = datetime(2030, 1, 1, 12, 30, 15, 120_000, tzinfo=UTC)
HEAD: dict[str, Any] = {"run_id": "run", "pipeline": "prepare", "at": AT}
PROGRESS = PhaseProgress(**HEAD, seq=None, phase="a[3]", done=1.5, total=3, note="on it")
FAILED = PhaseFailed(
    **HEAD,
    seq=3,
    attempt=1,
    error=ErrorInfo(category=ErrorCategory.SYSTEM, type="E", message="m", traceback="secret"),
)


@pytest.mark.parametrize("event", [*every_kind_of_event(), PROGRESS], ids=repr)
def test_every_event_is_read_as_what_was_written(event: Event) -> None:
    """Nothing of it is lost, if its traceback is written too."""
    assert event == from_json(to_json(event, tracebacks=True))


def test_all_members_are_always_there() -> None:
    """A client need not ask whether one is; what there is not, is null."""
    started = PipelineStarted(**HEAD, seq=1, transition=Transition("IDLE", "INITIALIZING"))
    head = {"run_id": "run", "pipeline": "prepare", "at": "2030-01-01T12:30:15.120000Z"}

    assert {
        "type": "PIPELINE_STARTED", **head, "seq": 1, "phase": None,
        "transition": {"from": "IDLE", "to": "INITIALIZING"}, "data": {},
    } == to_wire(started)  # fmt: skip
    assert {
        "type": "PHASE_PROGRESS", **head, "seq": None, "phase": "a[3]", "transition": None,
        "data": {"done": 1.5, "total": 3, "note": "on it"},
    } == to_wire(PROGRESS)  # fmt: skip
    assert json.loads(to_json(PROGRESS)) == to_wire(PROGRESS)


def test_tracebacks_are_left_out() -> None:
    """Unless somebody asks for them."""
    assert "secret" not in to_json(FAILED)
    assert "secret" in to_json(FAILED, tracebacks=True)


def test_what_an_application_calls_an_error_is_its_own() -> None:
    """Its data are not looked into."""
    event = Emitted(**HEAD, seq=1, name="OWN", payload={"error": {"traceback": "mine"}})

    assert {"error": {"traceback": "mine"}} == to_wire(event)["data"]


def broken(**members: Any) -> str:
    return json.dumps(to_wire(FAILED) | members)


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "{", b"\xff", broken(seq="1"), broken(at="2030-01-01T12:30:15"), broken(at=None), broken(data=None),
        broken(data={}), broken(data={"attempt": 1, "error": {}}), broken(data={"attempt": 1, "error": None}),
        broken(data={"attempt": 1, "error": {"category": "?", "type": "", "message": ""}}), broken(transition={"from": "a"}),
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_event_is_refused(text: str | bytes) -> None:
    """Anybody may send anything: it is one error, that says so."""
    with pytest.raises(WireError, match="no event"):
        from_json(text)


def test_members_that_nobody_knows_are_passed_over() -> None:
    """A later version may write more."""
    assert (
        FAILED.attempt
        == from_json(broken(more=1, data=to_wire(FAILED)["data"] | {"more": 2})).data["attempt"]
    )
    error = {**to_wire(FAILED)["data"]["error"], "hint": "look there"}
    later = from_json(broken(data=to_wire(FAILED)["data"] | {"error": error}))
    assert later.data["error"] == to_wire(FAILED)["data"]["error"]
