"""An outcome in words: for machines and for people. Figures are medians over the rounds unless they say otherwise."""

from __future__ import annotations

import json
from statistics import median

from benchmarks.cases import OURS
from benchmarks.runner import Outcome


def as_json(outcome: Outcome) -> str:
    """The outcome as one JSON object on one line; ``ratio`` is how many times better than that peer we are."""
    plan, case = outcome.plan, outcome.plan.case
    names = plan.contenders
    medians = {name: _digits(median(outcome.values(name))) for name in names}
    line = {
        "name": case.name,
        "unit": case.unit,
        "ours": medians.get(OURS),
        "peers": {name: value for name, value in medians.items() if name != OURS},
        "ratio": ratios(outcome),
        "runs": plan.runs,
        "phases": case.phases,
        **({"storage": plan.storage} if plan.storage else {}),
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "min": {name: _digits(min(outcome.values(name))) for name in names},
        "max": {name: _digits(max(outcome.values(name))) for name in names},
        "run_p50_ms": {name: _digits(median(each.p50_ms for each in outcome.rounds[name])) for name in names},
        "run_p95_ms": {name: _digits(median(each.p95_ms for each in outcome.rounds[name])) for name in names},
    }
    return json.dumps(line)


def as_table(outcome: Outcome) -> str:
    """The outcome as a small table."""
    plan, case = outcome.plan, outcome.plan.case
    where = f" on {plan.storage}" if plan.storage else ""
    head = f"{case.name}{where}: {plan.runs} at once, {case.phases} phase(s) a run, {plan.rounds} rounds of {plan.seconds:g} s"
    rows: list[tuple[str, ...]] = [("", case.unit, "min", "max", "run p50 ms", "p95 ms", "phaseline is")]
    better = ratios(outcome)
    for name in plan.contenders:
        values, each = outcome.values(name), outcome.rounds[name]
        figures = [median(values), min(values), max(values)]
        figures += [median(one.p50_ms for one in each), median(one.p95_ms for one in each)]
        label = "phaseline" if name == OURS else name
        rows.append((label, *map(_text, figures), f"{better[name]:g}x" if name in better else ""))
    lines = [f"{row[0]:<15}" + "".join(f"{cell:>13}" for cell in row[1:]) for row in rows]
    return "\n".join([head, *lines, ""])


def ratios(outcome: Outcome) -> dict[str, float]:
    """Peer to how many times better than it we are; nothing if we were not measured."""
    names = outcome.plan.contenders
    if OURS not in names:
        return {}
    ours = median(outcome.values(OURS))
    peers = {name: median(outcome.values(name)) for name in names if name != OURS}
    return {name: _digits(outcome.plan.case.ratio(ours, value)) for name, value in peers.items()}


def _digits(value: float) -> float:
    """Four significant digits; the noise is in the third or before."""
    return float(f"{value:.4g}")


def _text(value: float) -> str:
    return f"{_digits(value):,.10g}"
