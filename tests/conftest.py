"""What holds for every test: both event loops, no blocking call on one, hypothesis without a clock."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings
from tests.databases import Database, fresh_schema
from tests.leading import FailingOver
from tests.leading import failing_over as start_failing_over
from tests.servers import Server, ServerMissingError
from tests.servers import postgres as start_postgres
from tests.servers_rabbitmq import rabbitmq as start_rabbitmq
from tests.servers_redis import redis as start_redis

import phaseline

# Random also where CI is set (hypothesis would be deterministic there); a busy machine fails no deadline.
settings.register_profile("phaseline", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("phaseline")

NOT_TESTED = "NOT TESTED: "


def pytest_configure() -> None:
    """Heed SIGINT, and have all that is started here do so: whatever a script begins with ``&`` ignores it, with its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server, for all tests of this process."""
    with start_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_schema(postgres_server: Server) -> Iterator[Database]:
    """Our tables in a schema of this process's own."""
    with fresh_schema(postgres_server.url, f"test_{os.getpid()}") as database:
        yield database


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis server, for all tests of this process."""
    with start_redis() as server:
        yield server


@pytest.fixture
def failing_over() -> Iterator[FailingOver]:
    """A Redis of this test's own, of which another one may take the place."""
    with start_failing_over() as servers:
        yield servers


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[Server]:
    """A RabbitMQ node, for all tests of this process; where there is none, the last line of the run says so."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(start_rabbitmq())
        except ServerMissingError:
            pytest.skip(f"{NOT_TESTED}rabbitmq")
        yield server


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Say in the very last line what could not be tested here; nothing else is ever skipped."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput"):
        reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", ())]
        absent = sorted(
            {found[1] for reason in reasons if (found := re.search(rf"{NOT_TESTED}(\w+)", reason))}
        )
        if absent:
            reporter.write_line(NOT_TESTED + ", ".join(absent))


@pytest.fixture
def postgres(postgres_schema: Database) -> Database:
    """Our tables, empty."""
    postgres_schema.clear()
    return postgres_schema


@pytest.fixture(
    scope="session",
    params=[pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("trio", {}), id="trio")],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Run each async test once on asyncio and once on trio."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail a test whose event loop is blocked from code of the package or of a test.

    The detector asks asyncio for a running loop, so it sees asyncio alone: under trio it stays silent.
    The code is the same on both.
    """
    tests = ModuleType("tests")
    tests.__path__ = [str(Path(__file__).parent)]
    with blockbuster_ctx([phaseline, tests]) as detector:
        # The tracer's own lock is taken wherever a file is first seen, on the event loop too.
        detector.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        # Where a server imports an application in its loop, opening a runtime on a thread of its own waits for that.
        for waits in ("wait_until_open", "close"):
            detector.functions["threading.Lock.acquire"].can_block_in(
                "phaseline/_shell/loop_thread.py", waits
            )
        for function in detector.functions.values():
            # Once, where a plugin is first asked for: it reads what is installed, as an import does.
            function.can_block_in("phaseline/plugins.py", "installed")
        yield detector
