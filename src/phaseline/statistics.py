"""How runs went, in numbers: how many came to which end, how long they took and waited, and what they used."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

import attrs

from phaseline.usage import NOTHING_USED, Usage, total

Grouping: TypeAlias = Literal["pipeline", "phase", "day"]
"""What is told apart: pipelines, phases of pipelines, or the days in UTC on which runs were created."""
GROUPINGS: Final[tuple[Grouping, ...]] = ("pipeline", "phase", "day")
"""By what runs may be put together."""
_INDEX: Final = re.compile(r"\[\d*\]")
QUANTILES: Final[tuple[int, ...]] = (50, 95, 99, 100)
"""Percent; the last one is the largest."""


@attrs.frozen
class Percentiles:
    """How long something took: so many percent of them no longer than this (the nearest rank, of all that there were)."""

    p50: timedelta
    """Half of them."""
    p95: timedelta
    """95 percent."""
    p99: timedelta
    """99 percent."""
    most: timedelta
    """All of them: the longest."""

    @classmethod
    def of(cls, spans: Iterable[timedelta]) -> Percentiles | None:
        """Work them out; None of none."""
        ordered = sorted(spans)
        return cls(*(ordered[rank(len(ordered), percent) - 1] for percent in QUANTILES)) if ordered else None


def rank(count: int, percent: int) -> int:
    """Which of so many, in order, from 1, is the one of a percentile."""
    return (count * percent + 99) // 100


@attrs.frozen(kw_only=True)
class Statistics:
    """How the runs of one group went, or the phases."""

    group: str
    """Name of the pipeline; its name and the path of the phase, ``shop/ship``; or the day, ``2030-01-31``."""
    states: Mapping[str, int]
    """How many there are in each state; items of a map count each by itself."""
    duration: Percentiles | None
    """How long those that are COMPLETED took: runs from the first start of a phase, phases from the start of the last attempt."""
    waited: Percentiles | None
    """How long until they were begun: runs from their creation, phases from the moment on at which they could be."""
    usage: Usage
    """What was used in all."""

    @property
    def count(self) -> int:
        """How many there are in all."""
        return sum(self.states.values())

    @property
    def success_rate(self) -> float | None:
        """The part that completed of those that completed or failed; None where there are none."""
        completed, failed = self.states.get("COMPLETED", 0), self.states.get("FAILED", 0)
        return completed / (completed + failed) if completed + failed else None


def without_indices(path: str, instead: str = "") -> str:
    """The path of a phase as people name it, ``enrich`` for ``enrich[3]``, or with something else in place of each index."""
    return _INDEX.sub(instead, path) if "[" in path else path


def phase_group(pipeline: str, path: str) -> str:
    """The name of the group of a phase."""
    return f"{pipeline}/{without_indices(path)}"


class Sample(NamedTuple):
    """One thing that is counted, or something that was used."""

    group: str
    """Name of the group that it belongs to."""
    state: str | None
    """None of what was used."""
    took: timedelta | None
    """From its start to its end; None if it has not ended."""
    waited: timedelta | None
    """From when it could start to its start; None if it has not started."""
    usage: Usage = NOTHING_USED
    """What was used in it."""


def summed_up(samples: Iterable[Sample]) -> Sequence[Statistics]:
    """Count, rank and add up, group by group; of a group of which nothing but a use is known nothing is told."""
    groups: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    return in_order(
        Statistics(
            group=group,
            states=dict(sorted(Counter(each.state for each in counted if each.state is not None).items())),
            duration=Percentiles.of(
                each.took for each in counted if each.took is not None and each.state == "COMPLETED"
            ),
            waited=Percentiles.of(each.waited for each in counted if each.waited is not None),
            usage=total(each.usage for each in counted),
        )
        for group, counted in groups.items()
        if any(each.state is not None for each in counted)
    )


def in_order(groups: Iterable[Statistics]) -> Sequence[Statistics]:
    """By the name of the group."""
    return sorted(groups, key=lambda each: each.group)
