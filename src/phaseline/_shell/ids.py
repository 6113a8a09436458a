"""What nobody else may have: ids of runs, workers and commits, and the identity of this process and its host."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from random import Random

from phaseline.abc import WorkerRecord

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
"""Two digits of base 32 at a time; texts of one length are in the order of their numbers."""
_DIGIT_OF_BYTE = (_DIGITS * 8).encode()
_RANDOM_DIGITS = 11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_run_id(created_at: datetime) -> str:
    """22 digits and small letters, in the order of creation: 55 bits of microseconds since 1970, then 55 random bits.

    Not the 36 characters of a UUID: an id stands in each row and each key of its run.
    """
    return _time_digits(created_at) + _random_digits(_RANDOM_DIGITS)


def run_ids() -> Callable[[datetime], str]:
    """Give what draws ids as ``new_run_id`` does, for who draws many: seeded by the system, as with ``commit_ids``."""
    draw = Random().getrandbits  # noqa: S311  # no secret

    def new_id(created_at: datetime) -> str:
        drawn = draw(5 * _RANDOM_DIGITS)
        pairs = "".join([_PAIRS[drawn >> place & 1023] for place in range(5, 55, 10)])
        return f"{_time_digits(created_at)}{pairs}{_DIGITS[drawn & 31]}"

    return new_id


def first_id(created_at: datetime) -> str:
    """The least id that a run of this moment, or of a later one, may have."""
    return _time_digits(created_at) + "0" * _RANDOM_DIGITS


def new_worker_id() -> str:
    """A name that no worker had or will have, however often a process is restarted."""
    return f"w-{_random_digits(12)}"


def commit_ids() -> Callable[[], int]:
    """Give what draws ids of commits: random, and never negative in a column of 64 bits.

    Seeded by the system, and not drawn from it each time: that lets go of the interpreter's lock in the midst of a decision.
    """
    return partial(Random().getrandbits, 63)  # noqa: S311  # no secret


def _time_digits(moment: datetime) -> str:
    since = moment - _EPOCH
    micros = max(0, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    return f"{_early_digits(micros >> 20)}{_PAIRS[micros >> 10 & 1023]}{_PAIRS[micros & 1023]}"


@lru_cache(maxsize=1)  # they change once in a second
def _early_digits(number: int) -> str:
    return "".join([_DIGITS[number >> 5 * place & 31] for place in reversed(range(7))])


def _random_digits(count: int) -> str:
    return os.urandom(count).translate(_DIGIT_OF_BYTE).decode()


def host_identity() -> str:
    """Equal only for processes that can judge each other by pid: same boot of the same kernel, same pid namespace."""
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
        return f"{boot_id.read_text(encoding='ascii').strip()}/{namespace}"
    except OSError:  # not Linux: processes are never taken for dead by pid, leases decide
        return f"{socket.gethostname()}/{secrets.token_hex(8)}"


def process_started(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot; None if there is no such process here (proc(5), field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def is_gone(worker: WorkerRecord, host: str) -> bool:
    """Whether a worker's process is provably gone: it was on this host, and its pid is free or another's."""
    return worker.host == host and process_started(worker.pid) != worker.process_started
