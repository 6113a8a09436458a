"""How long a run is active, as the engine counts it; and that runs without a time pay nothing for it."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.engine import LEASE, NOON, PLENTY

from phaseline import Pipeline, each, phase
from phaseline._engine import timing
from phaseline._engine.commands import Begin, Command, Expire, Fail, Offer, Pause, Resume, Start, Succeed
from phaseline._engine.decide import fold
from phaseline._engine.snapshot import Snapshot
from phaseline.rows import (
    WAITING_PHASES,
    ErrorCategory,
    ErrorInfo,
    PhaseRecord,
    PhaseState,
    RunRecord,
    RunState,
)
from phaseline.testing.storage.build import make_phase, make_run, make_wait
from phaseline.unit_of_work import Unit

SECOND = timedelta(seconds=1)
BOOM = ErrorInfo(category=ErrorCategory.PROCESSING, type="Boom", message="boom")


def waiting(seconds: float, state: PhaseState = PhaseState.PENDING) -> PhaseRecord:
    """A phase that may start so many seconds after noon."""
    return make_phase("waits", state, available_at=NOON + seconds * SECOND)


RUNS = make_phase("runs", PhaseState.RUNNING)
MAP = make_phase("map", PhaseState.RUNNING, total=3)
ENDED = make_phase("ended", PhaseState.COMPLETED)
SIGNAL = make_wait("signal")


@pytest.mark.parametrize(
    ("rows", "since"),
    [
        ([], None),
        ([ENDED, MAP, SIGNAL], None),
        ([ENDED, RUNS, waiting(9)], 0),
        ([waiting(9), RUNS], 0),
        ([MAP, waiting(0)], 0),
        ([waiting(-5, PhaseState.RETRYING)], 0),
        ([SIGNAL, waiting(9), waiting(4, PhaseState.RETRYING)], 4),
    ],
)
def test_a_run_is_active_while_a_phase_runs_or_could(rows: list[PhaseRecord], since: float | None) -> None:
    """Or from the moment on at which the first one could; what waits for a signal, and a map itself, does not count."""
    run = make_run(timeout=10 * SECOND)
    found = timing.times(run, "A", rows, NOON)
    begin = None if since is None else NOON + since * SECOND
    expires = None if begin is None else begin + 10 * SECOND
    assert found == {"active_ms": 0, "active_since": begin, "expires_at": expires}


@pytest.mark.parametrize("state", [*RunState])
def test_what_stands_is_not_active_and_a_deadline_holds_in_a_pause(state: RunState) -> None:
    """What has ended, or is being rolled back, does not expire."""
    run = make_run(
        timeout=10 * SECOND, deadline=NOON + 20 * SECOND, active_ms=2_000, active_since=NOON - 3 * SECOND
    )
    found = timing.times(run, state, [RUNS], NOON)
    if state in ("IDLE", "INITIALIZING"):
        since = NOON - 3 * SECOND
        assert found == {"active_ms": 2_000, "active_since": since, "expires_at": NOON + 5 * SECOND}
    else:
        expires = run.deadline if state == "PAUSED" else None
        assert found == {"active_ms": 5_000, "active_since": None, "expires_at": expires}
    late = timing.overdue(run, state, NOON + 30 * SECOND)
    assert (late is not None) == (state in ("IDLE", "INITIALIZING", "PAUSED"))


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    """Processes' clocks may differ a little: a run is never active for less than nothing."""
    run = make_run(timeout=10 * SECOND, active_ms=500, active_since=NOON)
    assert timing.times(run, "PAUSED", [], NOON - SECOND)["active_ms"] == 500
    assert timing.overdue(run, "A", NOON - SECOND) is None


@phase
async def one(number: int) -> list[int]:
    return [number]


@phase
async def two(number: int) -> int:
    return number


PLAN = Pipeline("timed", one >> each(two, limit=2)).plan


class Played:
    """A run that is carried on by chance, while its clock moves."""

    def __init__(self, seed: int, **fields: Any) -> None:
        self.chance, self.now = Random(seed), NOON  # no secret
        run = RunRecord(
            namespace="default", id="r1", pipeline="timed", version="1", fingerprint=PLAN.fingerprint, state="IDLE",
            revision=0, seq=0, created_at=NOON, updated_at=NOON, **fields,
        )  # fmt: skip
        self.snapshot = Snapshot(PLAN, run)
        self.units: list[Unit] = []
        self.active = timedelta(0)
        """Counted by hand, moment by moment."""

    def play(self) -> None:
        self.do(Start(NOON + self.chance.choice((0, 3)) * SECOND))
        while self.snapshot.run.state not in ("COMPLETED", "FAILED"):
            for _ in range(self.chance.randrange(4)):
                self.active += self.is_active * SECOND
                self.now += SECOND
            self.do(self.command())

    @property
    def is_active(self) -> bool:
        """Whether a phase runs or could run at this moment."""
        if self.snapshot.run.state == "PAUSED":
            return False
        return any(
            row.worker is not None
            or (row.state in (PhaseState.PENDING, PhaseState.RETRYING) and row.available_at <= self.now)
            for row in self.snapshot.rows.values()
        )

    def do(self, command: Command) -> None:
        offer = Offer("w", self.now + LEASE, self.chance.choice((0, PLENTY)))
        draft, _ = fold(self.snapshot, (command,), self.now, offer)
        if not draft.is_empty:
            self.units.append(draft.unit(input_text="1"))
            self.snapshot.absorb(draft)

    def command(self) -> Command:
        run, rows, chance = self.snapshot.run, [*self.snapshot.rows.values()], self.chance
        held = [row for row in rows if row.worker is not None]
        if run.state == "PAUSED":
            return Resume()
        if chance.randrange(8) == 0:
            return Pause()
        if not held or chance.randrange(3) == 0:
            return Begin(tuple(row.path for row in rows if row.state in WAITING_PHASES))
        row = chance.choice(held)
        if chance.randrange(4) == 0 and row.failures < 3:
            return Fail(row.path, row.fence, BOOM, self.now + chance.choice((0, 2, 5)) * SECOND)
        return Succeed(row.path, row.fence, "[1,2,3]", 3 if row.path == "one" else None)


@given(st.integers(0, 2**32))
def test_what_is_stored_is_what_a_stopwatch_would_show(seed: int) -> None:
    """Whatever befalls a run: pauses, retries that are put off, phases side by side, and nobody to start them."""
    played = Played(seed, timeout=timedelta(days=1))
    played.play()
    assert timedelta(milliseconds=played.snapshot.run.active_ms) == played.active


@given(st.integers(0, 2**32))
def test_a_run_without_a_time_is_never_amended(seed: int) -> None:
    """So its commits write what they wrote before there were timeouts."""
    played = Played(seed)
    played.play()
    assert not any(unit.amended for unit in played.units)


@given(st.integers(0, 2**32))
def test_a_timed_run_is_amended_where_it_becomes_active_or_stops_to_be(seed: int) -> None:
    """And by no other commit of its phases."""
    played = Played(seed, timeout=timedelta(days=1))
    played.play()
    rows = [unit.run for unit in played.units]
    for before, unit in zip(rows, played.units[1:], strict=False):
        times = (unit.run.active_ms, unit.run.active_since, unit.run.expires_at)
        assert unit.amended == (times != (before.active_ms, before.active_since, before.expires_at))


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_a_run_expires_at_the_moment_that_its_row_names(seed: int, seconds: int) -> None:
    """Not a microsecond before: what the sweep finds is what the engine then ends."""
    played = Played(seed, timeout=seconds * SECOND)
    while played.snapshot.run.state not in ("COMPLETED", "FAILED") and len(played.units) < 20:
        played.do(Start(NOON) if not played.units else played.command())
        run = played.snapshot.run
        if run.expires_at is not None:
            just_before = run.expires_at - timedelta(microseconds=1)
            assert timing.overdue(run, run.state, run.expires_at) is not None
            if run.active_ms * timing.MILLISECOND < seconds * SECOND:  # else it was paused when it was over
                assert timing.overdue(run, run.state, just_before) is None
        played.now += SECOND


def test_a_run_whose_time_is_over_fails_with_all_that_is_left_of_it() -> None:
    """In one unit; a second order to do so does nothing."""
    played = Played(1, timeout=SECOND)
    played.do(Start(NOON))
    draft, _ = fold(played.snapshot, (Expire(),), NOON, Offer("w", NOON, 0))
    assert draft.is_empty
    late = NOON + SECOND
    draft, _ = fold(played.snapshot, (Expire(), Expire()), late, Offer("w", late, 0))
    unit = draft.unit()
    assert (unit.run.state, unit.run.expires_at, unit.run.ended_at) == ("FAILED", None, late)
    assert unit.run.error == replace(
        BOOM, category=ErrorCategory.TIMEOUT, type="TimeoutError", message=unit.run.error.message
    )  # type: ignore[union-attr]  # it is there, or they differ
    assert [event.type for event in unit.events] == [
        "PHASE_SKIPPED", "ERROR_OCCURRED", "PHASE_DEAD_LETTERED", "PIPELINE_FAILED",
    ]  # fmt: skip
