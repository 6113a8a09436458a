"""How runs went over time."""

from __future__ import annotations

from itertools import pairwise

import attrs

from phaseline.views import PointView, SeriesView
from phaseline.web.calls import Call
from phaseline.web.problems import INVALID_REQUEST, RequestError
from phaseline.web.runs import show_statistics


async def show_series(call: Call) -> SeriesView:
    """Say how runs went over time, in numbers: those that were created in each of several parts of a time.

    Until now, where it is not said until when.
    """
    asked = call.query
    since, until = asked.since, asked.until or call.runtime.runner.clock.now()
    if since >= until:
        raise RequestError(INVALID_REQUEST, "the time ends before it begins: since is a moment before until")
    step = (until - since) / asked.parts
    ends = [*(since + step * number for number in range(asked.parts)), until]
    points: list[PointView] = []
    for begin, end in pairwise(ends):
        part = asked.model_copy(update={"since": begin, "until": end})
        found = await show_statistics(attrs.evolve(call, query=part))
        points.append(PointView(since=begin, until=end, groups=found.groups))
    return SeriesView(points=tuple(points))
