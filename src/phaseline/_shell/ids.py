"""The only caller of random numbers: ids of runs, identity of this process."""

from __future__ import annotations

import secrets
import socket
import time
from pathlib import Path


def new_run_id() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of time in milliseconds, then 74 random bits."""
    millis = time.time_ns() // 1_000_000
    chance = int.from_bytes(secrets.token_bytes(10), "big")
    high = (millis << 16) | 0x7000 | (chance >> 68)
    low = (0b10 << 62) | (chance & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_worker_id() -> str:
    """A name that no worker had or will have, however often a process is restarted."""
    return f"w-{secrets.token_hex(8)}"


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
