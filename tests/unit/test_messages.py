"""What errors and values say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from phaseline import Dep, ErrorCategory, Phase, Pipeline, Run, each, phase
from phaseline._definition.context import Context
from phaseline._definition.deps import checked_deps
from phaseline._shell.failure import info_of
from phaseline.errors import (
    DefinitionError,
    PipelineCancelledError,
    PipelineFailedError,
    PipelineRolledBackError,
    RunNotSettledError,
    StorageURLError,
)
from phaseline.rows import ErrorInfo, RunRecord


@phase
async def one(value: int) -> int:
    return value


class Two(Phase[int, int]):
    async def run(self, value: int, ctx: Context) -> int:
        return value


class Wrong(Two):
    name = "9"


# --------------------------------------------------------------------- short texts
@pytest.mark.parametrize(
    ("node", "text"),
    [
        (one, "FunctionPhase('one')"),
        (Two(), "Two('two')"),
        (one >> Two(), "Chain('one >> two')"),
        (each(one), "Each('each(one)')"),
        (Pipeline("p", one), "Pipeline('p', version='1')"),
        (Wrong(), "Wrong(...)"),
    ],
    ids=range(6),
)
def test_nodes_are_shown_by_name(node: Any, text: str) -> None:
    """In a traceback or a debugger one sees which it is; to show it never raises."""
    assert text == repr(node)


NOW = datetime(2026, 1, 2, tzinfo=UTC)


def run_in(state: str, *, error: ErrorInfo | None = None, **more: Any) -> Run[Any]:
    record = RunRecord(
        namespace="default", id="r1", pipeline="p", version="1", fingerprint="", state=state, revision=1, seq=0,
        created_at=NOW, updated_at=NOW, error=error,
    )  # fmt: skip
    return Run(record=record, phases={}, **more)


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (run_in("COMPLETED", output=9), "Run('r1', pipeline='p', state='COMPLETED', output=9)"),
        (run_in("COMPLETED", output="a" * 99), "Run('r1', pipeline='p', state='COMPLETED', output=...)"),
        (run_in("COMPLETED", output=Unprintable()), "Run('r1', pipeline='p', state='COMPLETED', output=...)"),
        (run_in("COMPLETED", missing="why"), "Run('r1', pipeline='p', state='COMPLETED')"),
        (run_in("PAUSED"), "Run('r1', pipeline='p', state='PAUSED')"),
    ],
    ids=range(5),
)
def test_runs_are_shown_in_a_line(run: Run[Any], text: str) -> None:
    """A run with thousands of phases too."""
    assert text == repr(run)


# --------------------------------------------------------------------- outputs that are not there
FAILURE = ErrorInfo(category=ErrorCategory.PROCESSING, type="KeyError", message="'a'", phase="one")


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ("FAILED", PipelineFailedError, "run r1 of 'p' failed in phase 'one': KeyError: 'a'"),
        ("CANCELLED", PipelineCancelledError, "run r1 of 'p' was cancelled"),
        ("ROLLED_BACK", PipelineRolledBackError, "run r1 of 'p' was rolled back"),
        ("ONE", RunNotSettledError, "run r1 is ONE and has no output yet; await handle.result() instead"),
    ],
)
def test_why_there_is_no_output(state: str, error: type[Exception], text: str) -> None:
    """Whoever asks a run for its output is told how it ended, and to wait only where that helps."""
    run = run_in(state, error=FAILURE if state == "FAILED" else None)
    with pytest.raises(error) as caught:
        _ = run.output

    assert text == str(caught.value)


# --------------------------------------------------------------------- secrets
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://bob:hunter2@h/db", "postgresql://bob:***@h/db"),
        ("postgresql+psycopg://bob:hun@ter/2@h:1/db", "postgresql+psycopg://bob:***@h:1/db"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("postgresql://h/db?user=bob&password=hunter2&x=1", "postgresql://h/db?user=bob&password=***&x=1"),
        ("postgresql://h/db?sslpassword=hunter2", "postgresql://h/db?sslpassword=***"),
        ("foo://bob:hun ter2@h/db?api_key=hunter2", "foo://bob:***@h/db?api_key=***"),
        ("foo://bob:h@un ter2@h/db?passphrase=a b&x=1", "foo://bob:***@h/db?passphrase=***&x=1"),
        ("mysql://bo b:hunter2@h/db", "mysql://bo b:***@h/db"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("sqlite:///C:/runs@home.db", "sqlite:///C:/runs@home.db"),
        ("nonsense", "nonsense"),
    ],
    ids=range(11),
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    """A message may end in any log, and so may the attributes of an error."""
    error = StorageURLError(url, "no")

    assert (f"storage URL {shown!r}: no", shown) == (str(error), error.url)


# --------------------------------------------------------------------- dependencies
def test_dependencies_stand_under_tokens() -> None:
    """A text is no token, though it looks like one's name."""
    deps: Any = {"rates": 1}
    with pytest.raises(DefinitionError, match=r"TOKEN = Dep\[Type\]\('rates'\)"):
        checked_deps(deps)

    fine: Any = {Dep[int]("rates"): 1}
    assert (fine, None) == (checked_deps(fine), checked_deps(None))


async def test_a_pipeline_checks_its_dependencies() -> None:
    """It does so before it runs."""
    deps: Any = {"rates": 1}
    with pytest.raises(DefinitionError, match="'rates'"):
        await Pipeline("p", one).run(0, deps=deps)


# --------------------------------------------------------------------- exceptions as data
class MuteError(Exception):
    def __str__(self) -> str:
        raise KeyError


class OddError(Exception):
    def __str__(self) -> Any:
        return 3  # noqa: PLE0307  # that is the test


class LeavingError(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LeavingError(), "(it has no text: its __str__ raised SystemExit)"),
        (MuteError(), "(it has no text: its __str__ raised KeyError)"),
        (OddError(), "(it has no text: its __str__ raised TypeError)"),
        (ValueError("\ud800\0"), "?\ufffd"),
        (ValueError("a" * 9_999), "a" * 2_000 + "… (9999 characters)"),
        (type("X" * 999, (Exception,), {})("a"), "a"),
    ],
    ids=range(6),
)
def test_every_exception_can_be_told(error: Exception, message: str) -> None:
    """Whatever it does when it is asked for its text, its phase fails with what can be said of it."""
    told = info_of(error, "one")

    assert (message, None, "one") == (told.message, told.traceback, told.phase)
    assert (True, True) == (len(told.type) <= 200, told.type.isprintable())


@pytest.mark.parametrize("error", [MuteError(), ValueError("\ud800" + "a" * 9_999)], ids=range(2))
def test_a_traceback_is_kept_where_it_is_asked_for(error: Exception) -> None:
    """It is bounded, and can be stored."""
    with pytest.raises(type(error)) as caught:
        raise error
    trace = info_of(caught.value, "one", traceback=True).traceback

    assert trace is not None
    assert (True, trace) == (0 < len(trace) <= 4_000, trace.encode().decode())
