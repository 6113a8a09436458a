"""Writes the page of the tables from the migrations and from the docstrings of the records that are stored."""

from __future__ import annotations

import ast
import inspect
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from phaseline import abc, dead_letter, rows, timetable, unit_of_work
from phaseline.storage.sql.migrations import LATEST, statements

PAGE = Path(__file__).parents[1] / "reference/schema.md"

ABOUT = {
    "pipeline_run": "One row for each run.",
    "phase_execution": "One row for each phase of a run, for each map, and for each item of a map; one more for each time that it is done "
    "again after its commit. The outputs are here.",
    "event": "What has happened to runs, numbered within each run. Rows are never changed.",
    "checkpoint": "Places in runs to which a rollback, or a copy, may go.",
    "step_result": "Results of `ctx.step`, and what a body saved last by `ctx.save`, until its phase is committed.",
    "signal": "Signals that runs have received.",
    "dead_letter": "What is known of a failure, until somebody sees to it.",
    "message": "What runs tell each other, until it was heard: a child to its parent, a parent to its child.",
    "run_mark": "Tags and attributes, by which runs are found.",
    "schedule": "Schedules.",
    "rate_start": "What was started under rates, for as long as it counts.",
    "worker": "Processes that hold leases.",
    "migration": "Which versions of the tables were made, and when.",
}
"""Every table, in the order of the page."""

RECORDS: Mapping[str, type] = {
    "pipeline_run": rows.RunRecord,
    "phase_execution": rows.PhaseRecord,
    "checkpoint": rows.Checkpoint,
    "step_result": unit_of_work.StepResult,
    "signal": rows.SignalRecord,
    "dead_letter": dead_letter.DeadLetter,
    "message": unit_of_work.Message,
    "schedule": timetable.ScheduleRecord,
    "worker": abc.WorkerRecord,
}
"""Of what a row is; what a docstring says of an attribute is said of its column."""

OWN: Mapping[str, Mapping[str, str]] = {
    "pipeline_run": {
        "id": "Sorted by id, runs are in the order of their creation.",
        "marks": "Its tags and attributes, one a line.",
        "created_at": "When it was started.",
        "ended_at": "When it came to its end; NULL as long as it has none.",
        "outcome": "The state, once the run has ended: for an index. PostgreSQL only.",
        "input": "What it was started with, as JSON.",
    },
    "phase_execution": {
        "run_id": "Whose phase it is.",
        "state": "PENDING, RUNNING, COMPLETED, FAILED, SKIPPED or RETRYING.",
        "lane": "Where it waits for a worker, by definition, priority, queue and limits; NULL if it waits for none.",
        "revision": "Revision of the run when this row was last written.",
        "output": "What the phase returned, as JSON; NULL if there is none, or if `same_as` says where it is.",
        "ended_at": "When it came to its end.",
    },
    "event": {
        "run_id": "Whose event it is.",
        "seq": "Number within the run: 1, 2, 3, without a gap.",
        "at": "When it was committed.",
        "commit_id": "Random, and equal for the events of one commit: by it a commit is found whose answer was lost.",
        "type": "Such as `PHASE_COMPLETED`.",
        "phase": "Path of the phase that it is about; NULL if it is about the whole run.",
        "source": "State that the run left, if it moved.",
        "target": "State that the run came to.",
        "data": "The rest of it, as JSON.",
    },
    "checkpoint": {
        "run_id": "Whose checkpoint it is.",
        "seq": "Number of the event that tells of it.",
        "gone_in_epoch": "Epoch of the run that does without it; NULL as long as it can be used.",
        "created_at": "When it was made.",
        "id": "What `rollback` and `fork` take.",
    },
    "step_result": {
        "run_id": "Whose phase it is of.",
        "path": "Path of the phase.",
        "generation": "Generation of the phase, as in its row.",
        "key": "The name that the body gave to the step; empty for what it saved of itself.",
        "result": "As JSON.",
    },
    "signal": {
        "run_id": "Who received it.",
        "name": "Name of the `Signal`.",
        "received_at": "When it was received.",
        "revision": "Revision of the run when this row was last written.",
        "value": "As JSON; NULL once it was taken: then it is the output of the phase that took it.",
    },
    "dead_letter": {
        "run_id": "Which run failed.",
        "at": "When it failed.",
        "error": "What it failed with, as JSON.",
        "category": "Of the failure: VALIDATION, STATE, PROCESSING, TIMEOUT or SYSTEM.",
    },
    "message": {"kind": "`ended`, `closed` or `again`."},
    "run_mark": {
        "mark": "A tag, or an attribute with its value.",
        "run_id": "Which run has it.",
    },
    "schedule": {
        "name": "Unique within the namespace.",
        "pipeline": "Name of the pipeline that it starts.",
        "version": "Version of the pipeline.",
        "cron": "A cron text; NULL if `every` is given.",
        "every": "Distance between two slots; NULL if `cron` is given.",
        "zone": "Time zone of the cron text.",
        "overlap": "`skip`, `allow` or `queue`.",
        "catch_up": "`latest`, `all` or `none`.",
        "priority": "Priority of its runs.",
        "paused": "Whether it begins nothing for now.",
        "created_at": "When it was put for the first time.",
        "updated_at": "When it was last changed.",
    },
    "rate_start": {
        "name": "Of the rate.",
        "at": "When they were started.",
        "until": "How long they count.",
        "starts": "How many.",
    },
    "worker": {
        "pid": "Number of the process.",
        "seen_at": "When it last renewed its leases.",
    },
    "migration": {"version": "Of the tables.", "applied_at": "When."},
}
"""What a docstring does not say, or what is stored in another form."""

EVERYWHERE = {"namespace": "Where it lives: nothing of one namespace is seen in another."}

INTRO = f"""\
# Tables

The tables of version {LATEST}, as `phaseline db upgrade` makes them. On PostgreSQL they are in a schema of their own, `phaseline`; in a SQLite
file their names begin with `phaseline_`. This page is written by the code, and a test holds it to that.

You may read them. Write only by phaseline: a row that is changed by hand is a decision that nobody has made. Columns may be added and
changed from one version to the next; what stays the same is the [API](phaseline.md) and [events as JSON](wire.md).

- Times and durations are whole microseconds, times since 1970 in UTC; `active_ms` is milliseconds.
- Texts named as JSON are what the codec wrote: with [encryption](../how-to/encrypt.md) they cannot be read here.
- **Bold** columns are the primary key. The namespace leads every key.
"""


class Column(NamedTuple):
    """A column on both kinds of database."""

    name: str
    postgres: str
    sqlite: str | None
    nullable: bool
    in_key: bool


def tables() -> dict[str, list[Column]]:
    """The columns of each table, in the order of PostgreSQL."""
    found: dict[str, list[Column]] = {}
    with closing(sqlite3.connect(":memory:")) as database:
        for statement in _all("sqlite"):
            database.execute(statement)
        for statement in _all("postgres"):
            if table := re.match(r"CREATE TABLE phaseline_(\w+) \((.*)\)", statement, re.DOTALL):
                asked = database.execute(f"PRAGMA table_xinfo(phaseline_{table[1]})")
                found[table[1]] = list(_columns(table[2], {row[1]: row[2] for row in asked}))
    return found


def _columns(text: str, of_sqlite: Mapping[str, str]) -> Iterator[Column]:
    keys = re.search(r"PRIMARY KEY \((.+)\)", text)
    key = set(keys[1].split(", ")) if keys else set()
    for name, kind, rest in re.findall(
        r"^    ([a-z_]+) (bigint|integer|boolean|text|timestamptz)\b(.*)", text, re.MULTILINE
    ):
        in_key = name in key or "PRIMARY KEY" in rest
        is_required = in_key or "NOT NULL" in re.split("GENERATED|CHECK|--", rest)[0]
        yield Column(name, kind, of_sqlite.get(name), not is_required, in_key)


def _all(dialect: str) -> list[str]:
    return [statement for version in range(1, LATEST + 1) for statement in statements(dialect, version)]


def indexes() -> dict[str, list[str]]:
    """Of each table what its indexes are made of, on PostgreSQL."""
    found: dict[str, list[str]] = {}
    for statement in _all("postgres"):
        if index := re.match(
            r"CREATE (UNIQUE )?INDEX (\w+) ON phaseline_(\w+) \((.+?)\)(?:\s+WHERE (.+))?$",
            statement,
            re.DOTALL,
        ):
            unique, name, table, columns, where = index.groups()
            told = f"`{name}` on {columns}{', unique' if unique else ''}{f', where `{_flat(where)}`' if where else ''}"
            found.setdefault(table, []).append(told)
    return found


def _flat(text: str) -> str:
    return " ".join(text.split())


def told(record: type) -> dict[str, str]:
    """What the docstrings of a class say of its attributes."""
    (body,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(body, ast.ClassDef)
    return {
        attribute.target.id: re.sub(r"\bNone\b", "NULL", _flat(text.value.value).replace("``", "`"))
        for attribute, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name)
        if isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def texts(table: str) -> dict[str, str]:
    """What is said of the columns of a table."""
    record = RECORDS.get(table)
    return {**EVERYWHERE, **(told(record) if record else {}), **OWN.get(table, {})}


def page() -> str:
    """The page.

    Raises:
        LookupError: Nothing is said of a table or a column, or something of one that is not there.
    """
    found, known = tables(), indexes()
    if set(found) != set(ABOUT):
        raise LookupError(
            f"ABOUT in docs/tools/schema.py and the migrations differ in {sorted(set(found) ^ set(ABOUT))}"
        )
    return "\n".join([INTRO, *(_section(table, found[table], known.get(table, [])) for table in ABOUT)])


def _section(table: str, columns: list[Column], known: list[str]) -> str:
    said = texts(table)
    silent = [column.name for column in columns if column.name not in said]
    extra = set(OWN.get(table, {})) - {column.name for column in columns}
    if silent or extra:
        where = f"OWN[{table!r}] in docs/tools/schema.py"
        raise LookupError(
            f"columns of {table} of which nothing is said: {silent}; {where} speaks of {sorted(extra)}, which are not there"
        )
    lines = [
        f"## {table}",
        "",
        ABOUT[table],
        "",
        "| column | PostgreSQL | SQLite | NULL | what it holds |",
        "|---|---|---|---|---|",
    ]
    for column in sorted(columns, key=lambda column: not column.in_key):
        name = f"**`{column.name}`**" if column.in_key else f"`{column.name}`"
        holds = said[column.name].replace("|", "\\|")
        lines.append(
            f"| {name} | {column.postgres} | {column.sqlite or '—'} | {'yes' if column.nullable else ''} | {holds} |"
        )
    if known:
        lines += ["", "Indexes on PostgreSQL: " + "; ".join(known) + "."]
    return "\n".join([*lines, ""])
