"""Limits on how many bodies run at once, and how many are begun in a time: as texts that stand in rows, and what is left of them.

A phase that runs holds a slot of each limit on what runs at once: that is its lease, and nothing else. So a slot is given back by
whatever ends the attempt, and cannot leak. Of each rate it is counted when it is started, and it counts for as long as the rate
says, whatever becomes of the attempt.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import attrs

from phaseline._values.spans import check_per
from phaseline.errors import DefinitionError

T = TypeVar("T")
Kind: TypeAlias = Literal["namespace", "pipeline", "phase", "key"]
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
MOST_STARTS = 10_000
"""Starts of a rate: of all of them it is remembered when they were made."""
MOMENTS = 256
"""Moments within its time by which the starts under a rate are told apart, where it lets more be started than that."""


@attrs.frozen
class Rate:
    """A limit on how many bodies are begun: ``Rate(10, per=timedelta(minutes=1))``.

    Raises:
        DefinitionError: It is no such number, or no time.
    """

    starts: int
    """How many, in every span of time of that length: 1 to 10,000."""
    per: timedelta
    """How long a start counts."""

    def __attrs_post_init__(self) -> None:
        """Refuse what is no limit, or one that lets nothing begin."""
        if type(self.starts) is not int or self.starts < 0:
            raise DefinitionError(
                f"Rate({self.starts!r}, ...) is no number of bodies; write Rate(10, per=timedelta(minutes=1))"
            )
        if self.starts == 0:
            msg = "a Rate(0, ...) would let nothing run, ever; leave it out to have none, or pause what is to stand"
            raise DefinitionError(msg)
        if self.starts > MOST_STARTS:
            raise DefinitionError(
                f"Rate({self.starts}, ...): each of its starts is remembered, and these are over {MOST_STARTS:,}; say it of a shorter time"
            )
        check_per(self.per, f"Rate({self.starts}, ...)")


class Limit(NamedTuple):
    """One limit that a phase is under."""

    size: int
    name: str
    """By which is counted; two sizes of one name count the same phases."""
    per: timedelta | None = None
    """Of a rate: how long a start counts."""

    @property
    def is_rate(self) -> bool:
        """Whether it counts what is started, and not what runs."""
        return self.per is not None


def limit_text(size: int, kind: Kind, name: str) -> str:
    """A limit as it stands in the rows that are under it; of its name, not of its size, slots are counted."""
    return f"{size} {kind} {name}"


def rate_text(rate: Rate, kind: Kind, name: str) -> str:
    """A rate as it stands there."""
    return f"{rate.starts}/{rate.per // _MICROSECOND} {kind} {name}"


def limits_text(concurrency: int | None, rate: Rate | None, kind: Kind, name: str) -> str | None:
    """Both of one kind, where there are any."""
    return joined(
        None if concurrency is None else limit_text(concurrency, kind, name),
        None if rate is None else rate_text(rate, kind, name),
    )


def joined(*limits: str | None) -> str | None:
    """Several limits as one text, a line each; None for none."""
    return "\n".join(limit for limit in limits if limit is not None) or None


@lru_cache(maxsize=10_000)
def parted(limits: str) -> tuple[Limit, ...]:
    """The limits in a text."""
    return tuple(_parted(limits))


@lru_cache(maxsize=10_000)
def rates_in(limits: str) -> tuple[Limit, ...]:
    """The rates among them."""
    return tuple(limit for limit in parted(limits) if limit.per is not None)


def _parted(limits: str) -> Iterator[Limit]:
    for line in limits.split("\n"):
        sizes, _, name = line.partition(" ")
        size, _, per = sizes.partition("/")
        yield Limit(int(size), name, int(per) * _MICROSECOND if per else None)


def counted_from(rate: Limit, now: datetime) -> datetime:
    """From when a start counts that is made now, as long as the rate says.

    Each claim reads what counts. Under a rate that lets many be started, a start is counted with others: from the next of some
    moments on, so a little too long and never too briefly.
    """
    assert rate.per is not None  # noqa: S101  # it is a rate
    apart = rate.per // MOMENTS
    if rate.size <= MOMENTS or not apart:
        return now
    return _EPOCH - (_EPOCH - now) // apart * apart


class Started(NamedTuple):
    """What counts from one moment on under rates of one name."""

    number: int
    until: datetime
    """When it counts no more, by the longest of those rates."""


class Starts:
    """When phases under rates were started, as far as that is known; moments of one name are counted together.

    A start counts for as long as the rate says that it was started under (of several at one moment: the longest of theirs), and,
    where that is less, the rate that is asked of.
    """

    def __init__(self, known: Iterable[tuple[str, datetime, int, datetime]] = ()) -> None:
        """Note them.

        Args:
            known: Names of rates, each with a moment, how many were started then, and until when those count.
        """
        self._of: dict[str, dict[datetime, Started]] = {}
        for name, moment, number, until in known:
            self._of.setdefault(name, {})[moment] = Started(number, until)

    def copy(self) -> Starts:
        """Count on, apart from this one."""
        other = Starts()
        other._of = {name: moments.copy() for name, moments in self._of.items()}
        return other

    def left(self, rate: Limit, now: datetime) -> int:
        """How many could be started now; what is known of moments to come counts too."""
        return rate.size - sum(number for _, number in self._counting(rate, now))

    def next_at(self, rate: Limit, now: datetime) -> datetime | None:
        """When the next one could be started, where none could be now."""
        too_many = 1 - self.left(rate, now)
        if too_many <= 0:
            return None
        for over, number in sorted(self._counting(rate, now)):
            too_many -= number
            if too_many <= 0:
                return over
        return None

    def note(self, rate: Limit, now: datetime, number: int = 1) -> None:
        """Note that some are started, and forget what counts no more."""
        assert rate.per is not None  # noqa: S101  # it is a rate
        known: Mapping[datetime, Started] = self._of.get(rate.name, {})
        kept = {at: some for at, some in known.items() if some.until > now}
        at = counted_from(rate, now)
        before = kept.get(at, Started(0, at))
        kept[at] = Started(before.number + number, max(before.until, at + rate.per))
        self._of[rate.name] = kept

    def _counting(self, rate: Limit, now: datetime) -> Iterator[tuple[datetime, int]]:
        """Until when what counts does so, with how many those are."""
        assert rate.per is not None  # noqa: S101  # it is a rate
        known: Mapping[datetime, Started] = self._of.get(rate.name, {})
        for moment, some in known.items():
            over = min(moment + rate.per, some.until)
            if over > now:
                yield over, some.number


class Slots:
    """How many phases could be started: how many slots of which limits are held, and what was started lately."""

    def __init__(
        self, held: Iterable[tuple[str, int]] = (), starts: Starts | None = None, now: datetime | None = None
    ) -> None:
        """Count them.

        Args:
            held: Limits of phases that run, with how many of those there are.
            starts: What was started under rates.
            now: The moment of what is started next.
        """
        self._held: Counter[str] = Counter()
        self._starts: Starts = starts or Starts()
        self._now = now
        self.begun: Counter[Limit] = Counter()
        """What was started here, by rate."""
        for limits, count in held:
            for limit in parted(limits):
                if limit.per is None:
                    self._held[limit.name] += count

    def copy(self, starts: Starts | None = None, now: datetime | None = None) -> Slots:
        """Count on, apart from this one; from now on with these starts, if they are given."""
        other = Slots((), (starts or self._starts).copy(), now or self._now)
        other._held = self._held.copy()
        return other

    def free(self, limits: str) -> int:
        """How many phases under these limits could be started now."""
        return min(map(self._free, parted(limits)), default=sys.maxsize)

    def _free(self, limit: Limit) -> int:
        if limit.per is None:
            return limit.size - self._held[limit.name]
        assert self._now is not None  # noqa: S101  # who starts something knows when
        return self._starts.left(limit, self._now)

    def free_at(self, rated: Iterable[str]) -> list[datetime]:
        """When rates let the next phase start, for each of these limits of which one lets none start now."""
        moments = (self._next_at(limits) for limits in rated)
        return [moment for moment in moments if moment is not None]

    def _next_at(self, limits: str) -> datetime | None:
        now = self._now
        assert now is not None  # noqa: S101  # as above
        moments = (self._starts.next_at(rate, now) for rate in rates_in(limits))
        return max((moment for moment in moments if moment is not None), default=None)

    def hold(self, limits: str) -> None:
        """Note that a phase under these limits is started, or, where no moment was told, that it runs."""
        for limit in parted(limits):
            if limit.per is None:
                self._held[limit.name] += 1
            elif self._now is not None:
                self._starts.note(limit, self._now)
                self.begun[limit] += 1

    def fitting(self, phases: Iterable[tuple[T, str | None]]) -> list[T]:
        """Which of these phases, each with its limits, could be started together; the first ones go first."""
        free: dict[Limit, int] = {}
        taken: Counter[tuple[str, bool]] = Counter()
        found: list[T] = []
        for phase, limits in phases:
            under = () if limits is None else parted(limits)
            for limit in under:
                if limit not in free:
                    free[limit] = self._free(limit)
            if all(free[limit] > taken[limit.name, limit.is_rate] for limit in under):
                taken.update((limit.name, limit.is_rate) for limit in under)
                found.append(phase)
        return found

    def hold_of(self, started: Iterable[tuple[str | None, str | None]]) -> None:
        """Note which phases run, each told by its worker and its limits."""
        for worker, limits in started:
            if worker is not None and limits is not None:
                self.hold(limits)

    def give(self, limits: str) -> None:
        """Note that one runs no more."""
        for limit in parted(limits):
            if limit.per is None:
                self._held[limit.name] -= 1
                if not self._held[limit.name]:
                    del self._held[limit.name]
