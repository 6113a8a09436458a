"""A chain of phases, as the rows of its commits."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

import attrs
from pydantic_core import to_json

from benchmarks.limit.group import GroupWriter
from benchmarks.limit.rows import WORKER, Row, Unit
from benchmarks.load import PAD

LEASE = 30_000_000
"""Microseconds."""
FENCE = 1
STARTED_DATA = f'{{"attempt":1,"fence":{FENCE},"worker":"{WORKER}"}}'

State = dict[str, Any]


@attrs.define
class Chain:
    """Makes runs of a chain."""

    phases: int
    writer: GroupWriter
    _ids: count[int] = attrs.field(factory=count, init=False)

    async def one_run(self) -> int:
        """Start a run and go through its phases; each ends with a commit."""
        run_id = f"{next(self._ids):036d}"
        state: State = {"n": 0, "pad": PAD}
        await self.writer.commit(_started(run_id, state))
        for number in range(self.phases):
            state = await _add_one(state)
            await self.writer.commit(_finished(run_id, number, state, is_last=number == self.phases - 1))
        return int(state["n"])


async def _add_one(state: State) -> State:
    return {"n": state["n"] + 1, "pad": state["pad"]}


def _started(run_id: str, state: State) -> Unit:
    at = _now()
    return [
        ("run_inserts", (run_id, "P0", 2, to_json(state).decode(), at)),
        ("phase_inserts", _phase(run_id, 0, at)),
        ("events", (run_id, 1, "PIPELINE_STARTED", None, "{}", at)),
        ("events", (run_id, 2, "PHASE_STARTED", "p0", STARTED_DATA, at)),
    ]


def _finished(run_id: str, number: int, state: State, *, is_last: bool) -> Unit:
    at, path, seq = _now(), f"p{number}", 3 * number + 2
    unit: list[tuple[str, Row]] = [
        ("phase_updates", (run_id, path, FENCE, to_json(state).decode(), at)),
        ("checkpoints", (run_id, seq + 2, path, at)),
        ("events", (run_id, seq + 1, "PHASE_COMPLETED", path, '{"attempt":1}', at)),
        ("events", (run_id, seq + 2, "CHECKPOINT_CREATED", path, f'{{"revision":{number + 2}}}', at)),
    ]
    if is_last:
        unit.append(("run_updates", (run_id, number + 1, "COMPLETED", seq + 3, at, at)))
        unit.append(("events", (run_id, seq + 3, "PIPELINE_COMPLETED", None, "{}", at)))
    else:
        following = f"p{number + 1}"
        unit.append(("run_updates", (run_id, number + 1, following.upper(), seq + 3, at, None)))
        unit.append(("phase_inserts", _phase(run_id, number + 1, at)))
        unit.append(("events", (run_id, seq + 3, "PHASE_STARTED", following, STARTED_DATA, at)))
    return unit


def _phase(run_id: str, number: int, at: int) -> Row:
    return (run_id, f"p{number}", number, at + LEASE, at)


def _now() -> int:
    return time.time_ns() // 1_000
