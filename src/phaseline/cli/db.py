"""``phaseline db``: the tables of a storage."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

from phaseline.cli.codes import EXIT_CODES, OK
from phaseline.errors import SchemaVersionError


def add_to(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    db = add_parser("db", help="the tables of a storage", epilog=EXIT_CODES)
    verbs = db.add_subparsers(required=True, metavar="VERB")
    for name, do, text in (
        ("upgrade", _upgrade, "bring the tables up to date; safe to run from several places at once"),
        ("check", _check, "say whether the tables are up to date"),
        ("sql", _sql, "print the statements that an upgrade would run, for somebody else to run"),
    ):
        verb = verbs.add_parser(name, help=text, epilog=EXIT_CODES)
        verb.add_argument(
            "url", metavar="URL", help="postgresql://user:password@host/database, or sqlite:///path"
        )
        verb.add_argument(
            "--schema", default="phaseline", help="schema of the tables in PostgreSQL (default phaseline)"
        )
        verb.set_defaults(do=do)


def _upgrade(given: argparse.Namespace) -> int:
    from phaseline.storage.sql import migrations
    from phaseline.storage.sql.store import SqlStorage

    storage = SqlStorage(given.url, schema=given.schema)
    found = storage.migrate()
    done = "is up to date" if found == migrations.LATEST else f"was brought from version {found} up"
    print(f"{storage!r} {done}: version {migrations.LATEST}")
    return OK


def _check(given: argparse.Namespace) -> int:
    from phaseline.storage.sql import migrations
    from phaseline.storage.sql.store import SqlStorage

    storage = SqlStorage(given.url, schema=given.schema)
    found = storage.schema_version()
    if found != migrations.LATEST:
        raise SchemaVersionError(repr(storage), found, migrations.LATEST)
    print(f"{storage!r} is up to date: version {found}")
    return OK


def _sql(given: argparse.Namespace) -> int:
    from phaseline.storage.sql.store import SqlStorage

    storage = SqlStorage(given.url, schema=given.schema)
    for statement in _statements(storage.upgrade_statements()):
        print(statement)
    return OK


def _statements(texts: Sequence[str]) -> Iterator[str]:
    yield "BEGIN;"
    for text in texts:
        yield f"{text};"
    yield "COMMIT;"
