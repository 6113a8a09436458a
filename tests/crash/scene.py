"""Where a crash takes place: a database, a journal, and the processes that work on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash.journal import Journal
from tests.crash.nursery import Child, Nursery
from tests.databases import Database

from phaseline.rows import RunRecord
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.checker import check


class Scene:
    """One scene."""

    def __init__(self, database: Database, nursery: Nursery, folder: Path) -> None:
        self.database = database
        self.journal = Journal(folder / "journal")
        self._folder, self._nursery = folder, nursery
        self._children: list[Child] = []

    def begin(self, *arguments: str) -> Child:
        """Start a process that carries orders out."""
        child = self._nursery.begin(
            self._folder,
            *arguments,
            *("--storage", self.database.url, "--schema", self.database.schema),
            *("--journal", str(self.journal.path)),
        )
        self._children.append(child)
        return child

    def ended(self, child: Child) -> Child:
        """Wait for the end of a process."""
        return self._nursery.ended(child)

    def run(self, *arguments: str) -> Child:
        """Start a process and wait for its end."""
        return self.ended(self.begin(*arguments))

    def clear_away(self) -> None:
        """End what still runs."""
        for child in self._children:
            if child.status is None:
                self._nursery.kill(child)
                self._nursery.ended(child)

    @contextmanager
    def storage(self) -> Iterator[SqlStorage]:
        """The storage, opened here."""
        storage = self.database.storage()
        storage.open()
        try:
            yield storage
        finally:
            storage.close()

    def check(self) -> list[RunRecord]:
        """Have everything checked that is stored; gives the runs."""
        effects, replies = self.journal.read()
        with self.storage() as storage:
            check(storage, effects=effects, replies=replies)
            return list(storage.find("default", limit=1_000))

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        with self.storage() as storage, storage._reading() as ask:
            return [tuple(row) for row in ask(statement)]
