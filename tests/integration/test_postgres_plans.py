"""What PostgreSQL reads to claim, to write and to find runs: what it is about, however much there is, and whenever it was planned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import psycopg
import pytest
from tests.databases import fresh_schema
from tests.servers import Server

from phaseline.abc import ClaimRequest
from phaseline.errors import StorageUnavailableError
from phaseline.run_filter import RunFilter
from phaseline.storage.sql import claims, finding
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.finding import FEW
from phaseline.storage.sql.postgres import PostgresDialect
from phaseline.storage.sql.rows import Row
from phaseline.storage.sql.statements import SECTIONS, STATEMENTS, Statements
from phaseline.storage.sql.store import FIRST_PLANS, SqlStorage
from phaseline.testing.storage.base import write
from phaseline.testing.storage.build import DEFINITION, NAMESPACE, NOW, decline, make_phase, new_run

RUNS, LIMIT = 300, 8
REQUEST = ClaimRequest(NAMESPACE, None, frozenset({DEFINITION}), LIMIT, NOW)
READ = (
    "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables "
    "WHERE relid = '{schema}.pipeline_run'::regclass"
)
AS_IF_EMPTY = (
    "UPDATE pg_class SET reltuples = 0, relpages = 500 WHERE relnamespace = '{schema}'::regnamespace"
)


@pytest.fixture
def storage(postgres_server: Server) -> Iterator[SqlStorage]:
    """A storage on tables that have never held anything."""
    with fresh_schema(postgres_server.url, "never_used") as database:
        opened = database.storage()
        opened.open()
        yield opened
        opened.close()


def fill(storage: SqlStorage, first: int, last: int) -> None:
    """Have runs wait, all with a mark."""
    write(
        storage, *(new_run(f"run-{number:04d}", make_phase(), marks=("#a",)) for number in range(first, last))
    )


def test_a_claim_looks_up_the_runs_that_it_is_about(storage: SqlStorage) -> None:
    """Also where its statements were planned, once and for all, while there was one run."""
    fill(storage, 0, 1)
    for _ in range(10):  # from then on they are prepared on the server
        storage.claim(REQUEST, decline)
    fill(storage, 1, RUNS)

    def look(ask: Access) -> tuple[int, int]:
        statement = READ.format(schema=storage.dialect.schema_name)
        ask.control("BEGIN")
        before = ask.value(statement)
        found = claims.candidates(ask, REQUEST)
        read = ask.value(statement) - before
        ask.control("ROLLBACK")
        return len(found.rows), read

    assert storage._on_writer(look) == (LIMIT + 1, LIMIT + 1)


def test_a_batch_looks_up_each_row_also_where_tables_are_taken_for_empty(storage: SqlStorage) -> None:
    """As after autovacuum looked at tables of which every row was purged: what each row is joined with is one other, not all."""
    joins = [name for name, statement in STATEMENTS.items() if not statement.startswith("INSERT")]
    statement = Statements(storage.dialect.spell)._written(tuple((name, 0) for name in joins))
    values = [None] * (sum(len(SECTIONS[name]) for name in joins) + statement.count(b"count(*)"))

    def plan(ask: Access) -> str:
        take_for_empty(ask)
        return "\n".join(
            line for (line,) in psycopg.RawCursor(ask.driver).execute(b"EXPLAIN " + statement, values)
        )

    found = storage._on_writer(plan)
    assert len(re.findall(r"Update on|Delete on", found)) == len(joins)
    assert found.count("Nested Loop") == len(joins), found
    assert "Join Filter" not in found, found


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each statement that reads runs is carried out, from its first use on."""
    noted: list[str] = []
    rows = PostgresDialect.rows

    def note(self: PostgresDialect, driver: Any, statement: str, values: Sequence[Any]) -> list[Row]:
        if "phaseline_pipeline_run" in statement:
            explain = f"EXPLAIN {self.spell(statement)}".encode()
            noted.append("\n".join(line for (line,) in psycopg.RawCursor(driver).execute(explain, values)))
        return rows(self, driver, statement, values)

    monkeypatch.setattr(PostgresDialect, "rows", note)
    return noted


def test_runs_of_a_schedule_that_go_on_are_read_from_an_index_of_their_own(
    storage: SqlStorage, plans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many runs go on, and however many of the schedule have ended, once these are many."""
    monkeypatch.setattr(finding, "FEW", 0)
    fill(storage, 0, RUNS)
    storage.find(NAMESPACE, RunFilter(marks=('schedule="a"',), ended=False), limit=1)
    assert len(plans) == 1
    assert "Index Scan using pipeline_run_scheduled" in plans[0], plans[0]
    assert "Nested Loop" not in plans[0], plans[0]


def test_runs_that_go_on_are_counted_by_an_index_alone(storage: SqlStorage, plans: list[str]) -> None:
    """However many they are: it may be asked with each start."""
    fill(storage, 0, RUNS)
    assert storage.open_runs(NAMESPACE, LIMIT) == LIMIT
    assert len(plans) == 1
    assert "Index Only Scan using pipeline_run_open" in plans[0], plans[0]


@pytest.mark.parametrize("few", [0, FEW])
def test_runs_with_a_mark_that_go_on_are_looked_up_one_by_one(
    storage: SqlStorage, plans: list[str], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Or the mark of each that goes on; a join that is planned for small tables compares all with all."""
    monkeypatch.setattr(finding, "FEW", few)
    fill(storage, 0, RUNS)
    storage.find(NAMESPACE, RunFilter(marks=("#a",), ended=False), limit=1)
    assert len(plans) == 1
    looked_up = "(id = m.run_id)" if few else "(run_id = r.id)"
    assert looked_up in plans[0], plans[0]
    assert "Join Filter" not in plans[0], plans[0]


@pytest.mark.parametrize("mark", ["#a", 'schedule="a"'])
def test_all_runs_with_a_mark_are_joined_and_those_of_a_page_looked_up(
    storage: SqlStorage, mark: str
) -> None:
    """Who counts or adds up reads all of them, for which a join of tables that are known is several times as fast."""
    wanted = RunFilter(marks=(mark,), ended=False)
    with storage._reading() as ask:
        (page,) = finding.ranges(ask, NAMESPACE, wanted)
        (whole,) = finding.ranges(ask, NAMESPACE, wanted, apart=True)
    assert ("LATERAL" in page.source, "LATERAL" in whole.source) == (True, False)


def take_for_empty(ask: Access) -> None:
    """As autovacuum may leave tables behind."""
    ask.control(AS_IF_EMPTY.format(schema=ask.dialect.schema_name))


def test_statements_are_planned_anew_while_tables_grow(
    storage: SqlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sizes that they have then, less and less often; a new connection begins anew."""
    anew: list[int] = []
    uses: list[int] = []

    control = PostgresDialect.control

    def note(self: PostgresDialect, driver: Any, statement: str) -> None:
        if statement == "DISCARD PLANS":
            anew.append(len(uses))
        control(self, driver, statement)

    monkeypatch.setattr(PostgresDialect, "control", note)
    for _ in range(2):
        uses.clear()
        for number in range(5 * FIRST_PLANS):
            storage.claim(attrs.evolve(REQUEST, namespace="empty"), decline)  # one look at nothing
            uses.append(number)
        assert anew == [FIRST_PLANS, 2 * FIRST_PLANS, 4 * FIRST_PLANS]
        anew.clear()
        with pytest.raises(StorageUnavailableError):
            storage._on_writer(end_connection)


def end_connection(ask: Access) -> None:
    """As an administrator does."""
    ask("SELECT pg_terminate_backend(pg_backend_pid())")
