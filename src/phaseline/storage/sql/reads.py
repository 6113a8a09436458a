"""What is read of runs; each function is given the connection to ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from phaseline.events import Event
from phaseline.rows import INPUT, Checkpoint, PhaseRecord, RunRecord, SignalRecord
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access
from phaseline.unit_of_work import RunRows

RUN_COLUMNS = ", ".join(rows.RUN)
PHASE_COLUMNS = ", ".join(rows.PHASE_READ)
_NEWEST = (
    "(p.gone_in_epoch IS NULL OR NOT EXISTS (SELECT 1 FROM phaseline_phase_execution n "
    "WHERE n.namespace = p.namespace AND n.run_id = p.run_id AND n.path = p.path AND n.epoch > p.epoch))"
)
"""Of a phase that came up several times, the newest row."""
CHECKPOINT_COLUMNS = ", ".join(rows.CHECKPOINT)
EVENT_COLUMNS = ", ".join(rows.EVENT)
SIGNAL_COLUMNS = ", ".join(rows.SIGNAL)
_OUTPUT = (
    "CASE WHEN p.same_as IS NULL THEN p.output "  # noqa: S608  # names of ours
    f"WHEN p.same_as = '{INPUT}' THEN (SELECT r.input FROM phaseline_pipeline_run r "
    "WHERE r.namespace = p.namespace AND r.id = p.run_id) "
    # Of several times that the other phase ran, the one that this one was given: no later than it.
    "ELSE (SELECT o.output FROM phaseline_phase_execution o WHERE o.namespace = p.namespace AND o.run_id = p.run_id "
    "AND o.path = p.same_as AND o.epoch <= p.epoch ORDER BY o.epoch DESC LIMIT 1) END"
)
"""The output of a phase, whether it is in its own row or where the phase was given it."""


def load(ask: Access, namespace: str, run_id: str, since: int) -> RunRows | None:
    """Read a run with the phases that were written after a revision."""
    run = head(ask, namespace, run_id)
    return None if run is None else rows_of(ask, run, since)


def rows_of(ask: Access, run: RunRecord, since: int) -> RunRows:
    """Read what belongs to a run and was written after a revision."""
    return RunRows(run, phases(ask, run, since), since, signals(ask, run, since))


def head(ask: Access, namespace: str, run_id: str) -> RunRecord | None:
    """Read a run's own row."""
    run = ask.first(
        f"SELECT {RUN_COLUMNS} FROM phaseline_pipeline_run WHERE namespace = ? AND id = ?",  # noqa: S608  # names of ours
        (namespace, run_id),
    )
    return None if run is None else rows.run_from(run)


def lock(ask: Access, namespace: str, run_id: str) -> None:
    """Lock a run's row until the transaction ends."""
    patiently = ask.dialect.lock.removesuffix(" SKIP LOCKED")
    statement = f"SELECT id FROM phaseline_pipeline_run WHERE namespace = ? AND id = ?{patiently}"  # noqa: S608  # names of ours
    ask(statement, (namespace, run_id))


def lock_many(ask: Access, namespace: str, run_ids: Iterable[str]) -> Sequence[RunRecord]:
    """Lock the rows of runs in the order of their ids, waiting for who holds one; gives them as they are then."""
    listed, value = ask.dialect.among(run_ids)
    patiently = ask.dialect.lock.removesuffix(" SKIP LOCKED")
    found = ask(
        f"SELECT {RUN_COLUMNS} FROM phaseline_pipeline_run WHERE namespace = ? AND id {listed} ORDER BY id{patiently}",  # noqa: S608  # names of ours
        (namespace, value),
    )
    return [rows.run_from(row) for row in found]


def phases(ask: Access, run: RunRecord, since: int) -> Sequence[PhaseRecord]:
    """Read the phases of a run that were written after a revision."""
    if since >= run.revision:
        return ()
    found = ask(
        f"SELECT {PHASE_COLUMNS} FROM phaseline_phase_execution p WHERE namespace = ? AND run_id = ? AND revision > ? "  # noqa: S608  # names of ours
        f"AND {_NEWEST} ORDER BY position",
        (run.namespace, run.id, since),
    )
    return [rows.phase_from(row) for row in found]


def phases_of_many(ask: Access, namespace: str, run_ids: Iterable[str]) -> Mapping[str, list[rows.Row]]:
    """Read all phases of several runs, by run, as rows of ``PHASE_READ``."""
    listed, value = ask.dialect.among(run_ids)
    found = ask(
        f"SELECT run_id, {PHASE_COLUMNS} FROM phaseline_phase_execution p WHERE namespace = ? AND run_id {listed} "  # noqa: S608  # names of ours
        f"AND {_NEWEST} ORDER BY run_id, position",
        (namespace, value),
    )
    by_run: dict[str, list[rows.Row]] = {}
    for row in found:
        by_run.setdefault(row[0], []).append(row[1:])
    return by_run


def signals(ask: Access, run: RunRecord, since: int) -> Sequence[SignalRecord]:
    """Read the signals of a run that were written after a revision; most runs have none, and are not asked."""
    if since >= run.revision or not run.signals:
        return ()
    found = ask(
        f"SELECT {SIGNAL_COLUMNS} FROM phaseline_signal WHERE namespace = ? AND run_id = ? AND revision > ? "  # noqa: S608  # names of ours
        "ORDER BY seq",
        (run.namespace, run.id, since),
    )
    return [rows.signal_from(row) for row in found]


def keyed(ask: Access, namespace: str, pipeline: str, key: str) -> str | None:
    """Read the id of the run that holds a key."""
    found: str | None = ask.value(
        "SELECT id FROM phaseline_pipeline_run WHERE namespace = ? AND pipeline = ? AND key = ? "
        "AND (NOT while_open OR ended_at IS NULL)",
        (namespace, pipeline, key),
    )
    return found


def is_committed(ask: Access, namespace: str, run_id: str, commit_id: int) -> bool:
    """Look for an event of a unit."""
    found = ask(
        "SELECT 1 FROM phaseline_event WHERE namespace = ? AND run_id = ? AND commit_id = ? LIMIT 1",
        (namespace, run_id, commit_id),
    )
    return bool(found)


def values(ask: Access, namespace: str, run_id: str, paths: Iterable[str]) -> Mapping[str, str]:
    """Read outputs, and the input of the run."""
    wanted = list(paths)
    outputs = [path for path in wanted if path != INPUT]
    found: dict[str, str] = {}
    if len(outputs) < len(wanted):
        statement = "SELECT input FROM phaseline_pipeline_run WHERE namespace = ? AND id = ?"
        for (text,) in ask(statement, (namespace, run_id)):
            found[INPUT] = text
    if outputs:
        # One value for all paths, for the number of values is limited. A path alone is looked up by key: a plan for a list that
        # was made while the tables were small, and is kept, reads all phases of the run.
        listed, value = ("= ?", outputs[0]) if len(outputs) == 1 else ask.dialect.among(outputs)
        statement = (
            f"SELECT path, {_OUTPUT} FROM phaseline_phase_execution p WHERE namespace = ? AND run_id = ? "  # noqa: S608  # names of ours
            f"AND path {listed} AND gone_in_epoch IS NULL AND (output IS NOT NULL OR same_as IS NOT NULL)"
        )
        found.update(_pairs(ask(statement, (namespace, run_id, value))))
    return found


def steps(ask: Access, namespace: str, run_id: str, path: str, generation: int) -> Mapping[str, str]:
    """Read the results of a phase's steps by key."""
    statement = (
        "SELECT key, result FROM phaseline_step_result "
        "WHERE namespace = ? AND run_id = ? AND path = ? AND generation = ?"
    )
    return _pairs(ask(statement, (namespace, run_id, path, generation)))


def checkpoints(ask: Access, namespace: str, run_id: str) -> Sequence[Checkpoint]:
    """Read the checkpoints of a run."""
    statement = (
        f"SELECT {CHECKPOINT_COLUMNS} FROM phaseline_checkpoint "  # noqa: S608  # names of ours
        "WHERE namespace = ? AND run_id = ? AND gone_in_epoch IS NULL ORDER BY seq"
    )
    return [rows.checkpoint_from(row) for row in ask(statement, (namespace, run_id))]


def events(ask: Access, namespace: str, run_id: str, after: int, limit: int) -> Sequence[Event]:
    """Read a page of a run's events."""
    statement = (
        "SELECT (SELECT pipeline FROM phaseline_pipeline_run WHERE namespace = ? AND id = ?), "  # noqa: S608  # names of ours
        f"{EVENT_COLUMNS} FROM phaseline_event "
        "WHERE namespace = ? AND run_id = ? AND seq > ? ORDER BY seq LIMIT ?"
    )
    found = ask(statement, (namespace, run_id, namespace, run_id, after, limit))
    return [rows.event_from(run_id, row) for row in found]


def _pairs(found: Iterable[Any]) -> dict[str, str]:
    return dict(found)
