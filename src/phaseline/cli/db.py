"""``phaseline db``: the tables of a storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from phaseline.backends import DATABASES
from phaseline.cli.options import Json
from phaseline.cli.output import print_json
from phaseline.errors import SchemaVersionError, StorageURLError
from phaseline.schemes import base_of

if TYPE_CHECKING:
    from phaseline.storage.sql.store import SqlStorage

app: typer.Typer = typer.Typer(help="The tables of a storage.", no_args_is_help=True)

Url: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        envvar="DATABASE_URL",
        show_default=False,
        help="postgresql://user:password@host/database, or sqlite:///path.",
    ),
]
Schema: TypeAlias = Annotated[str, typer.Option(help="Schema of the tables in PostgreSQL.")]


@app.command()
def upgrade(url: Url, schema: Schema = "phaseline", as_json: Json = False) -> None:
    """Bring the tables up to date; safe to run from several places at once."""
    from phaseline.storage.sql import migrations

    storage = _storage(url, schema)
    found = storage.migrate()
    if as_json:
        print_json({"storage": repr(storage), "found": found, "version": migrations.LATEST})
        return
    done = "is up to date" if found == migrations.LATEST else f"was brought from version {found} up"
    print(f"{storage!r} {done}: version {migrations.LATEST}")


@app.command()
def check(url: Url, schema: Schema = "phaseline", as_json: Json = False) -> None:
    """Say whether the tables are up to date; exit code 1 if they are of another version."""
    from phaseline.storage.sql import migrations

    storage = _storage(url, schema)
    found = storage.schema_version()
    if as_json:
        print_json({"storage": repr(storage), "found": found, "version": migrations.LATEST})
    if found != migrations.LATEST:
        raise SchemaVersionError(repr(storage), found, migrations.LATEST)
    if not as_json:
        print(f"{storage!r} is up to date: version {found}")


@app.command()
def sql(url: Url, schema: Schema = "phaseline", as_json: Json = False) -> None:
    """Print the statements that an upgrade would run, for somebody else to run."""
    statements = [*_statements(_storage(url, schema).upgrade_statements())]
    if as_json:
        print_json({"statements": statements})
        return
    for statement in statements:
        print(statement)


def _storage(url: str, schema: str) -> SqlStorage:
    from phaseline.storage.sql.store import SqlStorage

    if base_of(url) not in DATABASES:
        raise StorageURLError(
            url,
            "phaseline db serves sqlite:///path/to/file.db and postgresql://user:password@host/database; another storage makes "
            "what it needs itself, in Runtime.migrate() or when a runtime opens it",
        )
    return SqlStorage(url, schema=schema)


def _statements(texts: Sequence[str]) -> Iterator[str]:
    yield "BEGIN;"
    for text in texts:
        yield f"{text};"
    yield "COMMIT;"
