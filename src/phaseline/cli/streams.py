"""Where the command prints: a stream may be closed, and what it leads to may take nothing any more."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final, TextIO

_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE})
"""What writing to a stream fails with: the disk is full, the terminal or the reader is gone."""


@contextmanager
def closed_ones_replaced() -> Generator[None]:
    """Have what is printed go nowhere where a stream is closed, which Python tells by None."""
    with ExitStack() as stack:
        if _is_closed("stdout"):
            stack.enter_context(redirect_stdout(stack.enter_context(_nowhere())))
        if _is_closed("stderr"):
            stack.enter_context(redirect_stderr(stack.enter_context(_nowhere())))
        yield


def _is_closed(name: str) -> bool:
    return getattr(sys, name) is None


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def is_unwritable(error: OSError) -> bool:
    """Whether an error says that what was printed cannot be written; one of a file names that."""
    return error.errno in _UNWRITABLE and error.filename is None


def give_up(error: OSError) -> None:
    """Say that no more can be written, unless the reader left, as ``head`` does when it has enough."""
    if error.errno != errno.EPIPE:
        print(f"what was to be printed cannot be written: {error.strerror}", file=sys.stderr)
    with Path(os.devnull).open(
        "wb"
    ) as nowhere:  # else Python fails once more to write what is left, as it ends
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
