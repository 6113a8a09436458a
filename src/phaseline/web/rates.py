"""How often one client may ask."""

from __future__ import annotations

from typing import Final

import attrs
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from phaseline.errors import DefinitionError
from phaseline.web.problems import TOO_MANY, RequestError

DEFAULT: Final = "1200/minute"


@attrs.frozen
class RateLimit:
    """Counts what each client asks, in this process."""

    item: RateLimitItem
    _limiter: SlidingWindowCounterRateLimiter = attrs.field(
        factory=lambda: SlidingWindowCounterRateLimiter(MemoryStorage())
    )

    def count(self, client: str) -> None:
        """Count one request.

        Raises:
            RequestError: It is one too many.
        """
        if not self._limiter.hit(self.item, client):
            seconds = self.item.get_expiry()
            detail = f"at most {self.item.amount} requests are taken in {seconds} s; wait, and ask less often"
            raise RequestError(TOO_MANY, detail, {"retry-after": str(seconds)})


def rate_limit(rate: object) -> RateLimit | None:
    """Read a rate, such as ``"1200/minute"``.

    Raises:
        DefinitionError: It is none.
    """
    if rate is None:
        return None
    try:
        return RateLimit(parse(rate))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # it refuses what is no text
    except (ValueError, TypeError, AttributeError) as error:
        raise DefinitionError(
            f"rate={rate!r} is no rate; write it as {DEFAULT!r}, or None for none"
        ) from error
