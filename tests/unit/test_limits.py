"""What is left of limits, by counting alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from phaseline.limits import MOMENTS, Limit, Starts

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@given(
    size=st.integers(1, 400),
    per=st.timedeltas(timedelta(microseconds=1), timedelta(days=1)),
    steps=st.lists(
        st.tuples(st.floats(0, 1.1, exclude_min=True), st.integers(1, 150)), min_size=1, max_size=20
    ),
)
def test_a_rate_holds_in_every_span(size: int, per: timedelta, steps: list[tuple[float, int]]) -> None:
    """However many are told apart: no more in any span of its time, and what has to wait does so hardly longer than it must."""
    rate, known = Limit(size, "key x", per), Starts()
    at: list[datetime] = []
    now = NOW
    for part, wanted in steps:
        now += per * part
        number = min(wanted, known.left(rate, now))
        at += [now] * number
        if number:
            known.note(rate, now, number)
        within = sum(moment > now - per for moment in at)
        assert within <= size
        late = per / MOMENTS if size > MOMENTS else timedelta(0)
        assert known.left(rate, now + late) >= size - within


def test_few_moments_are_remembered() -> None:
    """However many are started, one by one."""
    rate, known = Limit(10_000, "key x", 100 * SECOND), Starts()
    for number in range(3_000):
        known.note(rate, NOW + number * SECOND / 10)
    assert MOMENTS <= len(known._of["key x"]) <= MOMENTS + 2
