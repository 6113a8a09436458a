"""Connections of a pool that were lost while nobody used them: found before anybody does.

SQLAlchemy's own ``pool_pre_ping`` asks at each use, which costs a short read as much as the read itself.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

IDLE = 1.0
"""Seconds of rest after which a connection is asked whether it still is one."""
_USED_AT = "phaseline_used_at"


def watch(engine: Engine) -> None:
    """Have connections that rested replaced, if they were lost meanwhile, before they are handed out."""

    def note_use(_driver: Any, record: Any) -> None:
        record.info[_USED_AT] = monotonic()

    def ask_after_rest(driver: Any, record: Any, _proxy: Any) -> None:
        if monotonic() - record.info.get(_USED_AT, monotonic()) < IDLE:
            return
        try:
            engine.dialect.do_ping(driver)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError(str(error)) from error  # the pool makes another one in its place

    event.listen(engine, "checkin", note_use)
    event.listen(engine, "checkout", ask_after_rest)
