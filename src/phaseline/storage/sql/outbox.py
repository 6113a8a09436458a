"""What runs have told each other, until it was heard."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

from phaseline.rows import Definition
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.parts import is_of
from phaseline.unit_of_work import Message

_COLUMNS = ", ".join(f"m.{name}" for name in rows.MESSAGE)
ALL_HEARD = (
    "NOT EXISTS (SELECT 1 FROM phaseline_message m JOIN phaseline_pipeline_run t ON t.namespace = m.namespace "
    "AND t.id = m.run_id WHERE m.namespace = r.namespace AND m.sender = r.id)"
)
"""Of a run ``r``: nothing that it told another one, which is there, is left to be heard."""


def unheard(
    ask: Access, namespace: str, definitions: Collection[Definition], limit: int
) -> Sequence[Message]:
    """Read messages to runs of these definitions; the table is nearly always empty."""
    if not definitions:
        return ()
    found = ask(
        f"SELECT {_COLUMNS} FROM phaseline_message m "  # noqa: S608  # names of ours
        "JOIN phaseline_pipeline_run r ON r.namespace = m.namespace AND r.id = m.run_id "
        f"WHERE m.namespace = ? AND {is_of(definitions)} LIMIT ?",
        (namespace, *chain(*definitions), limit),
    )
    return [rows.message_from(row) for row in found]


def heard(ask: Access, *, namespace: str, messages: Sequence[Message]) -> None:
    """Delete messages."""
    statement = "DELETE FROM phaseline_message WHERE namespace = ? AND sender = ? AND seq = ? AND run_id = ? AND kind = ?"
    for message in messages:
        ask.changed(statement, (namespace, *rows.message_row(message)))
