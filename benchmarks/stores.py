"""Where contenders store: for each an empty database of its own, a SQLite file or one on a PostgreSQL server."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import attrs
from tests.servers import postgres

SQLITE, POSTGRES = "sqlite", "postgres"
STORAGES = (SQLITE, POSTGRES)
DATABASE_URL = "PHASELINE_BENCH_URL"
"""Environment variable by which a worker is told its database."""


class Databases(ABC):
    """Gives out empty databases of one kind."""

    @abstractmethod
    def fresh(self, name: str) -> AbstractContextManager[str]:
        """Make an empty database and give its URL; it ends with the block."""


@attrs.frozen
class SqliteFiles(Databases):
    """Files in a directory that somebody else deletes."""

    directory: Path

    @contextmanager
    def fresh(self, name: str) -> Generator[str]:
        """Name a file that does not exist yet."""
        place = self.directory / f"{name}-{token_hex(4)}"
        place.mkdir()
        yield f"sqlite:///{place / 'bench.db'}"


@attrs.frozen
class PostgresDatabases(Databases):
    """Databases on one server, each dropped at its end."""

    url: str = attrs.field(repr=False)

    @contextmanager
    def fresh(self, name: str) -> Generator[str]:
        """Create a database whose name nobody has."""
        database = f"bench_{re.sub(r'[^a-z0-9]', '_', name)}_{token_hex(4)}"
        self._execute(f'CREATE DATABASE "{database}"')
        try:
            yield urlsplit(self.url)._replace(path=f"/{database}").geturl()
        finally:
            # forced: a contender that was killed may have left connections
            self._execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        import psycopg  # noqa: PLC0415  # only where a PostgreSQL is used

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def databases(storage: str, directory: Path) -> Generator[Databases]:
    """Prepare a kind of storage: files below ``directory``, or a server that keeps its data there.

    The server has PostgreSQL's defaults, so each commit is flushed. One that the environment names is used as it is.

    Raises:
        ServerError: No PostgreSQL can be had; the text says how to get one.
    """
    if storage == SQLITE:
        yield SqliteFiles(directory)
        return
    directory.chmod(0o711)  # where we are root the server is another user, who has to get to its own files
    with postgres(directory / "postgres") as server:
        yield PostgresDatabases(re.sub(r"^\w+(\+\w+)?:", "postgresql:", server.url))


def is_postgres(url: str) -> bool:
    """Whether a URL is one of a PostgreSQL database; else it is that of a file."""
    return url.startswith("postgresql:")


def path_of(url: str) -> str:
    """The file that the URL of a SQLite database names."""
    return url.removeprefix("sqlite:///")
