"""Real RabbitMQ nodes for tests; see ``servers``.

``with rabbitmq() as server`` takes the first of: the node that ``PHASELINE_TEST_RABBITMQ_URL`` names, Debian's
``rabbitmq-server``, one on PATH. No wheel holds one: where there is none, tests say that they did not run.

A node of ours has a directory, a port mapper and a password of its own, and listens on loopback alone, also with what
Erlang's nodes reach each other by.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM

from tests.servers import (
    HOST,
    Account,
    Daemon,
    Dsn,
    Server,
    ServerMissingError,
    ServerUnreachableError,
    directory,
    free_port,
    running,
    within_reach,
)

RABBITMQ_URL = "PHASELINE_TEST_RABBITMQ_URL"
DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The program itself: the one that Debian puts on PATH wants to be root, and to become another user."""
PATIENCE = 90.0
"""Seconds for a node: on a busy machine it takes half a minute."""
HEADER, FIRST = b"AMQP\0\0\x09\x01", b"\x01"
"""What a client says first, and the first byte of the answer of a node that is up."""


@contextmanager
def rabbitmq() -> Generator[Server]:
    """Give a RabbitMQ node: the one named by the environment, or one of ours that ends with the block.

    Raises:
        ServerMissingError: There is nothing to start.
        ServerUnreachableError: The node named by the environment does not answer.
        ServerFailedError: Ours does not start; the end of its log is in the text.
    """
    if url := os.environ.get(RABBITMQ_URL):
        dsn = Dsn.parse(url, 5672)
        if not _answers(dsn):
            raise ServerUnreachableError(RABBITMQ_URL, "it does not speak AMQP")
        yield Server(url, dsn, RABBITMQ_URL)
        return
    origin, program = _program()
    account = Account.choose()
    with directory(account, None) as home, ExitStack() as stack:
        names = _port_mapper(account, home)
        stack.callback(names.stop)
        names.start()
        server = _node(account, within_reach(account, program, home), home, origin, names.command[-1])
        yield stack.enter_context(running(server))


def _program() -> tuple[str, Path]:
    if DEBIAN.exists():
        return f"Debian: {DEBIAN}", DEBIAN
    if found := shutil.which("rabbitmq-server"):
        return f"PATH: {found}", Path(found)
    raise ServerMissingError(
        "RabbitMQ",
        "apt-get install rabbitmq-server, or another one on PATH",
        f"set {RABBITMQ_URL}=amqp://user:password@host:5672, a node that tests may fill",
    )


def _port_mapper(account: Account, home: Path) -> Daemon:
    """Make the process by which Erlang's nodes find each other; else the node starts one that nobody ends."""
    program = shutil.which("epmd")
    if program is None:
        raise ServerMissingError("epmd (Erlang's port mapper)", "install Erlang wholly: epmd belongs to it")
    port = free_port()
    return Daemon(
        command=[program, "-address", HOST, "-port", str(port)],
        home=home,
        account=account,
        ready=lambda _: _listens(port),
        gracefully=SIGTERM,
        immediately=SIGKILL,
    )


def _node(account: Account, program: Path, home: Path, origin: str, names_port: str) -> Server:
    """Make a node with a password of its own; it is down yet."""
    port, password = free_port(), secrets.token_urlsafe(16)
    settings = {  # the password is not among them: any user sees the environment that env is given
        "HOME": home,  # where the cookie is kept
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": names_port,
        "RABBITMQ_NODENAME": f"phaseline-{port}@localhost",
        "RABBITMQ_DIST_PORT": free_port(),
        "RABBITMQ_CONFIG_FILE": home / "rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": home / "advanced.config",
        "RABBITMQ_CONF_ENV_FILE": home / "rabbitmq-env.conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": home / "enabled_plugins",
        "RABBITMQ_MNESIA_BASE": home / "data",
        "RABBITMQ_LOG_BASE": home / "log",
        "RABBITMQ_PID_FILE": home / "pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +S 1:1",
        "RUNNING_UNDER_SYSTEMD": 1,  # the node in place of the script, so that the pid is its own
    }
    account.write(
        home / "rabbitmq.conf",
        f"listeners.tcp.1 = {HOST}:{port}\ndefault_user = phaseline\ndefault_pass = {password}\n"
        "log.file = false\nlog.console = true\nlog.console.level = warning\n",
    )
    for absent in ("advanced.config", "rabbitmq-env.conf", "enabled_plugins"):
        account.write(home / absent, "[].\n" if absent == "advanced.config" else "")
    url = f"amqp://phaseline:{password}@{HOST}:{port}"
    dsn = Dsn.parse(url, port)
    daemon = Daemon(
        command=["/usr/bin/env", *(f"{name}={value}" for name, value in settings.items()), str(program)],
        home=home,
        account=account,
        ready=lambda _: _answers(dsn),
        gracefully=SIGTERM,
        immediately=SIGKILL,
        patience=PATIENCE,
    )
    return Server(url, dsn, origin, daemon)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _answers(dsn: Dsn) -> bool:
    """Whether a node takes clients: it is up some time before it does."""
    try:
        with socket.create_connection((dsn.host, dsn.port), 5) as line:
            line.sendall(HEADER)
            return line.recv(1) == FIRST
    except OSError:
        return False
