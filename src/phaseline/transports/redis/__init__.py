"""Events over Redis; needs the extra ``redis``."""

from __future__ import annotations

from phaseline.transports.redis.transport import RedisTransport

__all__ = ["RedisTransport"]
