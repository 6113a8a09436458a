"""Runs that have ended are deleted, each as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from phaseline.rows import RunRecord
from phaseline.run_filter import RunFilter
from phaseline.storage.sql import finding, outbox, reads, schema
from phaseline.storage.sql.access import Access

_BY_RUN = [name for name, columns in schema.TABLES.items() if "run_id" in columns and name != "run_mark"]
"""Tables whose keys begin with the namespace and the id of a run."""


def purge(namespace: str, wanted: RunFilter, limit: int, ask: Access) -> Sequence[str]:
    """Inside a transaction: delete the first runs that are wanted; gives their ids."""
    runs = _locked(ask, namespace, wanted, limit)
    ids = [run.id for run in runs]
    if not ids:
        return ids
    listed, value = ask.dialect.among(ids)
    for table in _BY_RUN:
        statement = f"DELETE FROM phaseline_{table} WHERE namespace = ? AND run_id {listed}"  # noqa: S608  # names of ours
        ask.changed(statement, (namespace, value))
    ask.changed(f"DELETE FROM phaseline_message WHERE namespace = ? AND sender {listed}", (namespace, value))  # noqa: S608  # as above
    marks = {mark for run in runs for mark in run.marks}
    if marks:
        marked, names = ask.dialect.among(marks)
        ask.changed(
            f"DELETE FROM phaseline_run_mark WHERE namespace = ? AND mark {marked} AND run_id {listed}",  # noqa: S608  # as above
            (namespace, names, value),
        )
    ask.changed(f"DELETE FROM phaseline_pipeline_run WHERE namespace = ? AND id {listed}", (namespace, value))  # noqa: S608  # as above
    return ids


def _locked(ask: Access, namespace: str, wanted: RunFilter, limit: int) -> Sequence[RunRecord]:
    """Find runs, and lock those that are still wanted when they are; looks again where all were taken by others."""
    while found := finding.find(
        ask, namespace, wanted, after=None, limit=limit, newest_first=False, besides=outbox.ALL_HEARD
    ):
        locked = reads.lock_many(ask, namespace, [run.id for run in found])
        if still := [run for run in locked if wanted.matches(run)]:
            return still
    return ()
