"""What follows from a commit beside the run itself: who is told, and who has to look, now or at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from phaseline._engine.draft import NO_EXTRAS, Draft
from phaseline._shell.live import LiveRun
from phaseline._shell.tracing import tell_of_commit
from phaseline.rows import ENDED_STATES, SETTLED_STATES, PhaseRecord, PhaseState
from phaseline.unit_of_work import Unit

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


def tell(runner: Runner, live: LiveRun, draft: Draft) -> None:
    """Tell of a commit: observers, those who wait, and whoever has to look now or at a time."""
    before = draft.before
    if before.ended_at is not None or draft.run.ended_at is not None:
        runner.went_over_ends += 1
    if draft.run.epoch != before.epoch:
        live.forget_values()
        if before.ended_at is not None:
            live.cause = None
    if draft.events:
        runner.publish(draft.events)
        if runner.observers.on_commit:
            tell_of_commit(runner, draft.run, draft.events, draft.rows)
    if draft.waits:
        _nudge(runner, draft.all_rows() if draft.extras.opens else draft.rows.values(), draft.now)
    if draft.extras is not NO_EXTRAS:
        _tell_of_extras(runner, draft)
    if runner.storage.nudges and draft.run.state in SETTLED_STATES:
        runner.nudges.ended(live.id)
    if live.jobs and (draft.cuts or draft.run.state in ENDED_STATES):
        live.interrupt_fenced()


def _tell_of_extras(runner: Runner, draft: Draft) -> None:
    """Take note of the runs that a commit has begun, which nobody here holds yet, of what was told to others, of times."""
    extras = draft.extras
    if extras.begins or extras.messages:
        _tell_of_others(runner, extras.begins, draft.now)
    if extras.expires_at is not None or extras.level_at is not None:
        _note_times(runner, extras.expires_at, extras.level_at)


def _tell_of_others(runner: Runner, begins: Sequence[Unit], now: datetime) -> None:
    for unit in begins:
        if unit.events:
            runner.publish(unit.events)
            tell_of_commit(runner, unit.run, unit.events, {row.path: row for row in unit.inserted})
        _nudge(runner, unit.inserted, now)
        levels = (unit.run.sla_at, *(row.sla_at for row in unit.inserted))
        level_at = min((each for each in levels if each is not None), default=None)
        _note_times(runner, unit.run.expires_at, level_at)
    if runner.on_message is not None:  # also a run that was started may have: one that had nothing to do
        runner.on_message()


def _note_times(runner: Runner, expires_at: datetime | None, level_at: datetime | None) -> None:
    """See to it that somebody looks when a run must be over, and when something should be."""
    if expires_at is not None and runner.on_expiry is not None:
        runner.on_expiry(expires_at)
    if level_at is not None and runner.on_level is not None:
        runner.on_level(level_at)


def _nudge(runner: Runner, rows: Iterable[PhaseRecord], now: datetime) -> None:
    """See to it that somebody takes up what a commit left waiting."""
    queues: set[str] = set()
    for row in rows:
        if row.state is PhaseState.PENDING or row.state is PhaseState.RETRYING:
            if runner.on_waiting is not None:
                runner.on_waiting(row.available_at)
            if row.available_at <= now:
                queues.add(row.queue)
                runner.waiting = row.priority if runner.waiting is None else min(runner.waiting, row.priority)
        elif row.due_at is not None and row.state is PhaseState.RUNNING and runner.on_due is not None:
            runner.on_due(row.due_at)
    if queues:
        _tell_others(runner, frozenset(queues))


def _tell_others(runner: Runner, queues: frozenset[str]) -> None:
    """Send permits and nudges, unless this process takes it up at once, or is the only one."""
    has_room = runner.seats > 0 and runner.free_threads > 0 and not runner.draining and not runner.alone
    if runner.nudges.has_peers and not (
        has_room and runner.on_waiting is not None and queues <= runner.served
    ):
        runner.nudges.work(queues)
    elif runner.queue.crosses_processes:
        return
    for queue in queues:
        runner.queue.put(queue)


def tell_of_slot(runner: Runner, queue: str) -> None:
    """Have looked for what waited for a slot that is free now, here and elsewhere."""
    if runner.on_waiting is not None:
        runner.on_waiting(runner.clock.now())
    if runner.nudges.has_peers:
        runner.nudges.work(frozenset({queue}))
