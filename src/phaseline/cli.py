"""The ``phaseline`` command: the tables of a storage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from phaseline.errors import MissingExtraError, SchemaVersionError, StorageError

OK, BEHIND, UNUSABLE = 0, 1, 2
EXIT_CODES = f"""exit codes: {OK} done, or up to date; {BEHIND} the tables are of another version; {UNUSABLE} the storage cannot
be reached, or the command line is wrong"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = _parser().parse_args(arguments)
    try:
        code: int = given.do(given)
    except SchemaVersionError as error:
        print(error, file=sys.stderr)
        return BEHIND
    except (StorageError, MissingExtraError) as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="phaseline", description=__doc__, epilog=EXIT_CODES)
    areas = parser.add_subparsers(required=True, metavar="AREA")
    db = areas.add_parser("db", help="the tables of a storage", epilog=EXIT_CODES)
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
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
