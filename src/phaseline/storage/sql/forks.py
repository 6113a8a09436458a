"""What a copy of a run has of it: values that go from row to row within the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phaseline.unit_of_work import KEPT

INPUT = (
    "UPDATE phaseline_pipeline_run AS f SET input = (SELECT o.input FROM phaseline_pipeline_run o "
    "WHERE o.namespace = f.namespace AND o.id = ?) WHERE f.namespace = ? AND f.id = ?"
)
OUTPUTS = (
    "UPDATE phaseline_phase_execution AS f SET output = (SELECT o.output FROM phaseline_phase_execution o "
    "WHERE o.namespace = f.namespace AND o.run_id = ? AND o.path = f.path AND o.gone_in_epoch IS NULL) "
    "WHERE f.namespace = ? AND f.run_id = ? AND f.decided <= 0"
)
OWN = (
    "INSERT INTO phaseline_step_result (namespace, run_id, path, generation, key, result) "
    "SELECT o.namespace, f.run_id, o.path, o.generation, o.key, o.result "
    "FROM phaseline_step_result o JOIN phaseline_phase_execution f "
    "ON f.namespace = o.namespace AND f.path = o.path AND f.generation = o.generation "
    "WHERE o.run_id = ? AND f.namespace = ? AND f.run_id = ? AND f.decided <= 0 AND o.key = ?"
)


def copies(namespace: str, origin: str, fork: str) -> Sequence[tuple[str, tuple[Any, ...]]]:
    """Statements that copy values to a run whose rows are there, each with what it is given."""
    given = (origin, namespace, fork)
    return ((INPUT, given), (OUTPUTS, given), (OWN, (*given, KEPT)))
