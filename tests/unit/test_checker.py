"""The checker reports each invariant that is broken on purpose, and nothing where all hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from phaseline import Context, Pipeline, Retry, Runtime, each, phase
from phaseline.events import (
    CheckpointCreated,
    Event,
    PhaseCompleted,
    PhaseRetrying,
    PhaseStarted,
    SlaBreached,
)
from phaseline.rows import PhaseState
from phaseline.storage.memory import MemoryStorage
from phaseline.testing import accounts
from phaseline.testing.accounts import Effect, Moment, Reply
from phaseline.testing.checker import LISTED, InvariantError, check

KEY = "order 1"
done: list[Effect] = []


def note(ctx: Context, moment: Moment, step: str | None = None) -> None:
    done.append(
        Effect(
            run_id=ctx.run_id, phase=ctx.phase, attempt=ctx.attempt, moment=moment, at=datetime.now(UTC), step=step,
            key=ctx.idempotency_key,
        )
    )  # fmt: skip


@phase
async def receive(number: int, ctx: Context) -> list[int]:
    note(ctx, Moment.BEGIN)
    note(ctx, Moment.END)
    return [number, number + 1]


@phase
async def weigh(number: int, ctx: Context) -> int:
    note(ctx, Moment.BEGIN)
    note(ctx, Moment.END)
    return number * 10


@phase(retry=Retry(attempts=2, wait=timedelta(0)), sla=timedelta(hours=1))
async def settle(weights: list[int], ctx: Context) -> int:
    async def pay() -> int:
        note(ctx, Moment.BEGIN, "pay")
        return sum(weights)

    note(ctx, Moment.BEGIN)
    paid = await ctx.step("pay", pay)
    note(ctx, Moment.KEPT, "pay")
    if ctx.attempt == 1:
        raise OSError
    note(ctx, Moment.END)
    return paid


ORDER = Pipeline("order", receive >> each(weigh) >> settle)


async def _three_runs(storage: MemoryStorage) -> list[Reply]:
    replies: list[Reply] = []
    async with Runtime(storage, pipelines=[ORDER]) as runtime:
        for number, key in enumerate((None, KEY, None)):
            handle = await runtime.start(ORDER, number, key=key)
            outputs = {"settle": json.dumps(await handle.result())}
            replies.append(Reply(run_id=handle.id, key=key, state="COMPLETED", outputs=outputs))
    return replies


class Sample:
    """Three runs that went well, what their bodies did, and what their caller was told; made to be tampered with."""

    def __init__(self, storage: MemoryStorage, effects: list[Effect], replies: list[Reply]) -> None:
        self.storage, self.effects, self.replies = storage, effects, replies
        self.run: Any = storage._runs["default", replies[1].run_id]
        self.run.events = [*self.run.events]  # to be spoilt

    def check(self) -> None:
        check(self.storage, effects=self.effects, replies=self.replies)

    def set_run(self, **changes: Any) -> None:
        self.run.run = replace(self.run.run, **changes)

    def set_row(self, path: str, **changes: Any) -> None:
        self.run.phases[path] = replace(self.run.phases[path], **changes)

    def drop_event(self, found: Event) -> None:
        """Take an event out and close the gap."""
        kept = [event for event in self.run.events if event is not found]
        self.run.events = [replace(event, seq=number) for number, event in enumerate(kept, 1)]
        self.set_run(seq=len(kept))

    def add_event(self, event: Event) -> None:
        """Tell one more event, at the end."""
        self.run.events.append(replace(event, seq=len(self.run.events) + 1))
        self.set_run(seq=len(self.run.events))

    def event(self, kind: type[Event], path: str | None = None) -> Any:
        return next(event for event in self.run.events if type(event) is kind and path in (None, event.phase))

    def set_event(self, found: Event, **changes: Any) -> None:
        self.run.events[self.run.events.index(found)] = replace(found, **changes)

    def effect(self, phase: str, moment: Moment, step: str | None = None) -> Effect:
        """The last one of the run that is tampered with."""
        return [
            effect
            for effect in self.effects
            if (effect.run_id, effect.phase, effect.moment, effect.step)
            == (self.run.run.id, phase, moment, step)
        ][-1]


@pytest.fixture(scope="module")
def good() -> Sample:
    """What is not tampered with."""
    storage = MemoryStorage()
    done.clear()
    return Sample(storage, done, anyio.run(_three_runs, storage))


@pytest.fixture
def sample(good: Sample) -> Sample:
    """A copy to tamper with."""
    return Sample(deepcopy(good.storage), list(good.effects), list(good.replies))


def test_nothing_to_report(sample: Sample) -> None:
    """Where all hold, nothing is raised."""
    sample.check()
    assert len(sample.effects) == 3 * 12


@pytest.mark.anyio
async def test_maps_whose_lists_a_worker_has_to_count() -> None:
    """It is fenced off from the map when it has counted, which no event tells."""

    @phase
    async def double(number: int) -> int:
        return 2 * number

    matrix, storage = Pipeline("matrix", each(each(double))), MemoryStorage()
    async with Runtime(storage, pipelines=[matrix]) as runtime:
        assert (await matrix.run([[1, 2], [], [3]], runtime=runtime)).output == [[2, 4], [], [6]]
        check(storage)


def test_finds_everything_at_once(sample: Sample) -> None:
    """Each violation is listed, with the run that it is of."""
    sample.set_run(seq=99)
    del sample.run.values["settle"]
    with pytest.raises(InvariantError) as caught:
        sample.check()
    assert len(caught.value.violations) == 3  # the reply as well
    assert all(sample.run.run.id in violation for violation in caught.value.violations)


def test_a_long_list_is_cut_in_the_message_alone(sample: Sample) -> None:
    """The message stays readable; all violations are in the attribute."""
    sample.replies += [Reply(run_id=f"lost-{number}") for number in range(LISTED + 2)]
    with pytest.raises(InvariantError, match="and 2 more") as caught:
        sample.check()
    assert len(caught.value.violations) == LISTED + 2


Tamper = Callable[[Sample], object]


def take_key_of(phase: str, key: str | None) -> Tamper:
    """Have a body write down another key, or, without one, that of another phase."""

    def tamper(sample: Sample) -> None:
        effect = sample.effect("weigh[0]", Moment.BEGIN)
        other = sample.effect(phase, Moment.BEGIN).key if key is None else key
        sample.effects[sample.effects.index(effect)] = replace(effect, key=other)

    return tamper


def lose_event(sample: Sample) -> None:
    sample.run.events.pop(3)


def swap_events(sample: Sample) -> None:
    events = sample.run.events
    events[1], events[2] = events[2], events[1]


def commit_twice(sample: Sample) -> None:
    sample.add_event(replace(sample.event(PhaseCompleted, "receive"), transition=None))


def start_again(sample: Sample) -> None:
    """Begun anew after the commit, and committed again, as by a body that ran twice."""
    sample.add_event(replace(sample.event(PhaseStarted, "weigh[1]"), transition=None))
    sample.add_event(replace(sample.event(PhaseCompleted, "weigh[1]"), transition=None))


def skip_attempt(sample: Sample) -> None:
    first, second = (
        event for event in sample.run.events if event.phase == "settle" and type(event) is PhaseStarted
    )
    assert (first.attempt, second.attempt) == (1, 2)
    sample.set_event(second, attempt=3)


def reuse_fence(sample: Sample) -> None:
    second = [
        event for event in sample.run.events if event.phase == "settle" and type(event) is PhaseStarted
    ][1]
    sample.set_event(second, fence=1)


def begin_late(sample: Sample) -> None:
    effect = sample.effect("weigh[0]", Moment.BEGIN)
    sample.effects[sample.effects.index(effect)] = replace(effect, at=effect.at + timedelta(hours=1))


def begin_twice(sample: Sample) -> None:
    sample.effects.append(sample.effect("weigh[0]", Moment.BEGIN))


def begin_ungranted(sample: Sample) -> None:
    sample.effects.append(replace(sample.effect("weigh[0]", Moment.BEGIN), attempt=2))


def pay_twice(sample: Sample) -> None:
    paid = sample.effect("settle", Moment.BEGIN, "pay")
    sample.effects.append(replace(paid, attempt=2))


def forget(phase: str, moment: Moment) -> Tamper:
    return lambda sample: sample.effects.remove(sample.effect(phase, moment))


def body_of(**changes: str) -> Tamper:
    """Have a body called that nothing is stored of."""
    return lambda sample: sample.effects.append(replace(sample.effects[0], **changes))


def told(**changes: Any) -> Tamper:
    """Have the caller told something else."""

    def tamper(sample: Sample) -> None:
        sample.replies[1] = replace(sample.replies[1], **changes)

    return tamper


def row(path: str, **changes: Any) -> Tamper:
    return lambda sample: sample.set_row(path, **changes)


def run(**changes: Any) -> Tamper:
    return lambda sample: sample.set_run(**changes)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def told_late(times: int, **fields: Any) -> Tamper:
    """Have it told of a phase, or of the run, that it is late."""

    def tamper(sample: Sample) -> None:
        fact = sample.run.events[-1]
        for _ in range(times):
            late = SlaBreached(
                run_id=fact.run_id, pipeline=fact.pipeline, seq=0, at=fact.at + timedelta(hours=2),
                **{"sla_at": EPOCH, "state": "RUNNING", **fields},
            )  # fmt: skip
            sample.add_event(late)

    return tamper


def exceed_rate(sample: Sample) -> None:
    for path in ("weigh[0]", "weigh[1]"):
        sample.set_row(path, limits="1/3600000000 phase order/weigh[]")


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "two phases have one key": (take_key_of("weigh[1]", None), "of 'weigh[0]' of run" ),
    "the key of a phase changes": (take_key_of("weigh[0]", "another"), "'weigh[0]' had the keys ["),
    "a rate is exceeded": (exceed_rate, "'phase order/weigh[]' lets 1 be started in 1:00:00"),
    "an event is lost": (lose_event, "its events are numbered"),
    "events are out of order": (swap_events, "its events are numbered"),
    "the row counts on": (run(seq=99), "its row says 1 to 99"),
    "a transition is missing": (
        lambda s: s.set_event(s.event(PhaseCompleted, "receive"), transition=None),
        "moves it from WEIGH, but it was RECEIVE",
    ),
    "the run is in another state": (run(state="SETTLE", ended_at=None), "its events lead to COMPLETED, and its row says SETTLE"),
    "a phase starts after the end": (start_again, "starts 'weigh[1]' while it is COMPLETED"),
    "a phase is begun anew in its epoch": (start_again, "makes it RUNNING, but it was COMPLETED"),
    "what ended late was not told": (row("settle", sla_at=EPOCH), "and nothing tells of it"),
    "a run that ended late was not told": (run(sla_at=EPOCH), "the run ended at"),
    "what is late is told twice": (told_late(2, phase="settle"), "tell more than once that settle is late"),
    "what is late is told after its end": (
        lambda s: (told_late(1, phase="settle")(s), s.set_row("settle", breached=s.run.run.seq)), "is late, after its end at"
    ),
    "what is late is told too early": (told_late(1, sla_at=datetime(9999, 1, 1, tzinfo=UTC)), "that it was not over at 9999"),
    "it is told of another one that it is late": (row("settle", breached=1), "no event 1 tells that settle is late"),
    "a phase is committed twice": (commit_twice, "makes it COMPLETED, but it was COMPLETED"),
    "an attempt is left out": (skip_attempt, "starts attempt 3 under fence 2, after attempt 1"),
    "a fence does not rise": (reuse_fence, "under fence 1, after attempt 1 under fence 1"),
    "an end of another attempt": (
        lambda s: s.set_event(s.event(PhaseRetrying), attempt=7), "ends attempt 7, but attempt 1 was the latest"
    ),
    "an attempt has no end": (lambda s: s.drop_event(s.event(PhaseRetrying)), "makes it RUNNING, but it was RUNNING"),
    "a row lags behind its events": (row("receive", state=PhaseState.PENDING), "its events make it COMPLETED"),
    "a row is missing": (lambda s: s.run.phases.pop("receive"), "events tell of 'receive', which has no row"),
    "attempts were not counted": (row("settle", attempt=1), "'attempt': 1"),
    "crashes were made up": (row("settle", crashes=1), "'crashes': 1"),
    "failures were not counted": (row("settle", failures=0), "'failures': 0"),
    "postponements were made up": (row("settle", postponed=1), "'postponed': 1"),
    "a fence was taken back": (row("settle", fence=1), "its latest fence is 2"),
    "a checkpoint is missing": (
        lambda s: s.drop_event(s.event(CheckpointCreated, "receive")), "checkpoints are due after"
    ),
    "a checkpoint is of the future": (
        lambda s: s.set_event(s.event(CheckpointCreated), revision=99), "a checkpoint is newer than its revision"
    ),
    "a value is kept nowhere": (
        lambda s: s.set_row("settle", same_as="nobody"), "the output of 'settle' is said to be that of 'nobody'",
    ),
    "a value is kept by none that keeps one": (
        lambda s: (s.set_row("settle", same_as="receive"), s.set_row("receive", same_as="")),
        "the output of 'settle' is said to be that of 'receive', which keeps none",
    ),
    "an output is missing": (lambda s: s.run.values.pop("weigh[1]"), "'weigh[1]' is COMPLETED, and its output is missing"),
    "an output of nothing": (row("receive", live=False), "hands nothing on, but has an output"),
    "the input is missing": (lambda s: s.run.values.pop(""), "its input is missing"),
    "an ended run has work left": (row("settle", state=PhaseState.RETRYING), "but 'settle' is RETRYING"),
    "an ended run holds a lease": (row("settle", worker="w-1"), "w-1 holds a lease"),
    "an ended run has no end": (run(ended_at=None), "its end is None"),
    "a failed run has no error": (run(state="FAILED"), "its error is None"),
    "a body begins after the commit": (begin_late, "after the commit of event"),
    "a body is called twice": (begin_twice, "the body of attempt 1 was called 2 times"),
    "a body is called without a grant": (begin_ungranted, "attempt 2 was begun, but only 1 were granted"),
    "a step is made again": (pay_twice, "step 'pay' was kept in attempt 1, and made again in 2"),
    "a step is lost": (lambda s: s.run.extras.steps.clear(), "step 'pay' was kept, but its result is missing"),
    "a commit without a begin": (forget("weigh[0]", Moment.BEGIN), "is committed without the begin of its body"),
    "a commit without an end": (forget("settle", Moment.END), "attempt 2 is committed without the end of its body"),
    "a body of no run": (body_of(run_id="gone"), "run gone: the body of 'receive' was called"),
    "a body of no phase": (body_of(phase="gone"), "the body of 'gone' was called"),
    "an acknowledged start is lost": (told(run_id="gone"), "run gone: its start was acknowledged"),
    "an acknowledged end is another": (told(state="FAILED"), "its end was told as FAILED"),
    "an acknowledged result is another": (told(outputs={"settle": "7"}), "the output of 'settle' was told as 7"),
    "a key is another's": (told(key="order 2"), "it was given for the key 'order 2'"),
    "a key has two runs": (
        lambda s: s.replies.append(Reply(run_id=s.replies[0].run_id, key=KEY)), f"it was given for the key {KEY!r}, and so was"
    ),
}  # fmt: skip
"""For each invariant a way to break it, and what is reported."""


@pytest.mark.parametrize("name", TAMPERED)
def test_reports_what_is_broken(sample: Sample, name: str) -> None:
    """What was tampered with is reported, for the run that it was done to."""
    tamper, expected = TAMPERED[name]
    tamper(sample)
    with pytest.raises(InvariantError) as caught:
        sample.check()
    assert any(expected in violation for violation in caught.value.violations), str(caught.value)


def test_reports_a_run_that_ended_twice(sample: Sample) -> None:
    """One end in each epoch."""
    sample.add_event(sample.run.events[-1])
    with pytest.raises(InvariantError, match="ended 2 times, and went on 0 times"):
        sample.check()


def test_reports_a_run_without_its_row(sample: Sample) -> None:
    """A run that is listed but cannot be read has nothing that its row tells of."""
    sample.storage.load = lambda *_: None  # type: ignore[method-assign]  # a storage that disagrees with itself
    with pytest.raises(InvariantError, match="its events are numbered"):
        sample.check()


def test_a_stopped_worker_may_begin_what_was_taken_from_it(sample: Sample) -> None:
    """An earlier attempt that begins after the commit is no violation: it cannot write."""
    effect = sample.effect("settle", Moment.BEGIN)
    first = replace(effect, attempt=1, at=effect.at + timedelta(hours=1))
    sample.effects = [
        e for e in sample.effects if (e.run_id, e.phase, e.attempt) != (effect.run_id, "settle", 1)
    ]
    sample.effects.append(first)
    sample.check()


def test_phases_of_which_nothing_was_written_down_are_not_judged(sample: Sample) -> None:
    """A log of some phases says nothing of the others."""
    sample.effects = [effect for effect in sample.effects if effect.phase == "receive"]
    sample.check()


def test_accounts_survive_their_log(sample: Sample) -> None:
    """What is written line by line is read again, but for a line that was not finished."""
    log = b"".join(accounts.to_line(account) for account in (*sample.effects, *sample.replies))
    assert (sample.effects, sample.replies) == accounts.from_lines(log + b'{"type": "Eff')


def test_finds_a_run_without_phases(sample: Sample) -> None:
    """It was stored in parts: nobody would ever carry it forward."""
    sample.run.phases.clear()
    with pytest.raises(InvariantError, match="it has no phases"):
        sample.check()
