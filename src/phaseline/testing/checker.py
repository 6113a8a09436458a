"""Checks, at a quiet moment, that what is stored is what phaseline promises, whatever befell those who wrote it.

It compares three accounts that were written apart from each other: the rows and the events of a storage, what bodies
did, and what callers were told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from phaseline._definition.plan import UNDO_MARK
from phaseline._values.codec import same_json
from phaseline.abc import Storage
from phaseline.events import (
    CheckpointCreated,
    DeadLetterDiscarded,
    EpochBegun,
    Event,
    PhaseCompensated,
    PhaseCompleted,
    PhaseDeadLettered,
    PhaseFailed,
    PhaseRetrying,
    PhaseSkipped,
    PhaseStarted,
    PipelineCancelled,
    PipelineCompleted,
    PipelineFailed,
    PipelineRolledBack,
    PipelineRollingBack,
    SignalReceived,
)
from phaseline.rows import (
    ENDED_STATES,
    INPUT,
    SETTLED_STATES,
    TOO_LATE,
    Checkpoint,
    PhaseRecord,
    PhaseState,
    RunState,
    WaitKind,
)
from phaseline.testing import forks, keys, rates, sla, spending
from phaseline.testing.accounts import Effect, Moment, Reply
from phaseline.testing.families import between_runs
from phaseline.testing.stored import STATES_AFTER, StoredRun, stored_letters, stored_runs

CLOCKS_DIFFER = timedelta(seconds=5)
"""How far the clock of those who write effects down may be off from the storage's."""
LISTED = 40
"""Violations that a message lists."""

TEST_MARK = "?"
"""How the path of a test ends, after which there is no position."""

UNFINISHED = frozenset({PhaseState.PENDING, PhaseState.RUNNING, PhaseState.RETRYING})
"""States of phases that have not ended."""


class InvariantError(AssertionError):
    """What is stored is not what phaseline promises."""

    def __init__(self, violations: Sequence[str]) -> None:
        self.violations: tuple[str, ...] = tuple(violations)
        """All of them, each naming its run."""
        left_out = len(violations) - LISTED
        more = [f"… and {left_out} more"] if left_out > 0 else []
        super().__init__("\n".join([f"{len(violations)} violations:", *violations[:LISTED], *more]))


def check(
    storage: Storage,
    namespace: str = "default",
    *,
    effects: Iterable[Effect] = (),
    replies: Iterable[Reply] = (),
    clocks_differ: timedelta = CLOCKS_DIFFER,
    checkpoints: bool = True,
) -> None:
    """Check all runs of a namespace, while nobody writes to them.

    Args:
        storage: An open one.
        namespace: Where the runs live.
        effects: What bodies did, in the order in which they wrote it down. Phases of which nothing was written down by
            anybody are not judged by it.
        replies: What callers were told.
        clocks_differ: How far the clock of the effects may be off from the storage's.
        checkpoints: Whether all runtimes noted them; else some may be missing.

    Raises:
        InvariantError: Something does not hold; it lists everything that does not.
    """
    stored = {found.run.id: found for found in stored_runs(storage, namespace)}
    done, told = tuple(effects), tuple(replies)
    violations = [
        *(
            f"run {run_id}: {found}"
            for run_id, account in stored.items()
            for found in _of_run(account, checkpoints)
        ),
        *(
            f"run {letter.run_id}: it has a dead letter, and is not stored"
            for letter in stored_letters(storage, namespace)
            if letter.run_id not in stored
        ),
        *forks.of_all(stored),
        *between_runs(storage, namespace, stored),
        *rates.of_all(stored),
        *_of_effects(storage, stored, done, clocks_differ),
        *keys.of_all(stored, done),
        *_of_replies(stored, told),
    ]
    if violations:
        raise InvariantError(violations)


# --------------------------------------------------------------------- one run
def _of_run(account: StoredRun, checkpoints: bool) -> Iterator[str]:
    yield from _numbers(account)
    yield from _moves(account)
    yield from _rollbacks(account)
    yield from _phases(account)
    yield from _checkpoints(account, checkpoints)
    yield from _values(account)
    yield from _signals(account)
    yield from _end(account)
    yield from _letter(account)
    yield from forks.of_run(account)
    yield from spending.of_run(account)
    yield from sla.of_run(account)


def _numbers(account: StoredRun) -> Iterator[str]:
    """Events are numbered without a gap, up to the number that the run's row tells."""
    numbers = [event.seq for event in account.events]
    if numbers != list(range(1, account.run.seq + 1)):
        yield f"its events are numbered {numbers}, and its row says 1 to {account.run.seq}"


def _moves(account: StoredRun) -> Iterator[str]:
    """Transitions are one chain from IDLE to the run's state; nothing starts in a state in which it may not."""
    state = str(RunState.IDLE)
    for event in account.events:
        move = event.transition
        if move is not None:
            if move.source != state:
                yield f"event {event.seq} moves it from {move.source}, but it was {state}"
            state = move.target
        is_undo = _is_undo(event.phase)
        if isinstance(event, PhaseStarted) and (
            state in SETTLED_STATES or (state == RunState.ROLLING_BACK) != is_undo
        ):
            yield f"event {event.seq} starts {event.phase!r} while it is {state}"
    if state != account.run.state:
        yield f"its events lead to {state}, and its row says {account.run.state}"


def _rollbacks(account: StoredRun) -> Iterator[str]:
    """What is undone was committed, is undone once, and what was committed later is undone before it."""
    committed: dict[str, int] = {}
    before: int | None = None
    for event in account.events:
        path, seq = event.phase or "", event.seq or 0
        if isinstance(event, PhaseCompleted):
            committed[path] = seq
        elif isinstance(event, PipelineRollingBack):
            before = seq
        elif isinstance(event, PhaseCompensated):
            commit = committed.pop(path.removesuffix(UNDO_MARK), None)
            if commit is None or before is None:
                yield f"event {seq} undoes {path!r}, which was not committed, or is undone already"
            elif commit > before:
                yield f"event {seq} undoes {path!r}, committed by event {commit}, after what event {before} committed"
            else:
                before = commit


def _is_undo(path: str | None) -> bool:
    return path is not None and path.endswith(UNDO_MARK)


def _checkpoints(account: StoredRun, all_: bool) -> Iterator[str]:
    """Each top-level phase that hands a value on has one checkpoint, the same in events and rows."""
    told = [event.position for event in account.events if isinstance(event, CheckpointCreated)]
    if [point for point in told if _is_there(account, point)] != list(account.checkpoints):
        yield f"its events tell of the checkpoints {told}, and stored are {list(account.checkpoints)}"
    due = Counter(
        event.phase or ""
        for event in account.events
        if _is_top_level(event.phase)
        and (
            (isinstance(event, PhaseCompleted) and event.held is None and not event.finishes)
            or (isinstance(event, PhaseSkipped) and event.live)
        )
    )
    due.update(_passing(account, {(point.phase, point.epoch) for point in told}))
    made = Counter(checkpoint.phase for checkpoint in told)
    if due != made and (all_ or not made <= due):
        yield f"checkpoints are due after {dict(due)}, and stored are those after {dict(made)}"
    if any(checkpoint.revision > account.run.revision for checkpoint in account.checkpoints):
        yield f"a checkpoint is newer than its revision {account.run.revision}"


def _passing(account: StoredRun, noted: Collection[tuple[str, int]]) -> Iterator[str]:
    """Of phases that were skipped together, those that handed on what they would have taken.

    Where a row that could tell is history by now, those with a checkpoint of that epoch.
    """
    epoch = 0
    for event in account.events:
        if isinstance(event, EpochBegun):
            epoch = event.epoch
        if not isinstance(event, PhaseSkipped) or not event.live:
            continue
        for path in filter(_is_top_level, event.paths):
            row = account.rows.get(path)
            if row is None or row.decided != event.seq:
                is_due = (path, epoch) in noted
            else:
                is_due = row.live is True and not path.endswith(TEST_MARK)
            if is_due:
                yield path


def _is_there(account: StoredRun, point: Checkpoint) -> bool:
    """Whether the phase after which it stands is part of the run, as it was then."""
    row = account.present.get(point.phase)
    return row is not None and row.epoch == point.epoch


def _is_top_level(path: str | None) -> bool:
    return path is not None and "[" not in path


def _values(account: StoredRun) -> Iterator[str]:
    """The input is there, and an output where a phase completed, and nowhere else.

    A map's is put together when it is read, and what a test took, or what slept, is read where it came from.
    """
    if INPUT not in account.values:
        yield "its input is missing"
    tests = {e.phase for e in account.events if isinstance(e, PhaseCompleted) and e.held is not None}
    for path, row in account.present.items():
        is_stored = path in account.values
        hands_itself_on = row.total is None and row.wait_kind is not WaitKind.TIMER and path not in tests
        is_told = not row.is_taken_over  # else another run tells whether it is a test
        if row.state is PhaseState.COMPLETED and hands_itself_on and is_told and not is_stored:
            yield f"{path!r} is COMPLETED, and its output is missing"
        if is_stored and not row.live:
            yield f"{path!r} is {row.state} and hands nothing on, but has an output"
        kept = account.rows.get(row.same_as) if row.same_as else None
        if row.same_as and (kept is None or not kept.live or kept.same_as is not None):
            yield f"the output of {path!r} is said to be that of {row.same_as!r}, which keeps none"


def _signals(account: StoredRun) -> Iterator[str]:
    """Each signal is told of by the event of its number, and was taken by a phase that waited for it, or is kept."""
    told = {
        event.seq: (event.signal, event.key, event.id)
        for event in account.events
        if isinstance(event, SignalReceived)
    }
    stored = {signal.seq: (signal.name, signal.key, signal.id) for signal in account.signals}
    if told != stored:
        yield f"its events tell of the signals {told}, and stored are {stored}"
    if account.run.signals != len(stored):
        yield f"it received {len(stored)} signals, and its row says {account.run.signals}"
    for signal in account.signals:
        if (signal.value is None) != (signal.taken_by is not None):
            yield f"signal {signal.seq} was taken by {signal.taken_by}, and its value is {'gone' if signal.value is None else 'kept'}"
        row = None if signal.taken_by is None else account.rows.get(signal.taken_by)
        if signal.taken_by is not None and (row is None or row.wait_kind not in (WaitKind.SIGNAL, None)):
            yield f"signal {signal.seq} was taken by {signal.taken_by!r}, which waits for none"
    for path, row in account.rows.items():
        if row.wait_kind is not None and row.worker is not None:
            yield f"{path!r} waits, and {row.worker} holds a lease"


def _end(account: StoredRun) -> Iterator[str]:
    """Of a run that has ended nothing is left to do, and it says how it ended."""
    run = account.run
    has_ended = run.state in ENDED_STATES
    if has_ended != (run.ended_at is not None):
        yield f"it is {run.state}, and its end is {run.ended_at}"
    if (run.state == RunState.FAILED) != (run.error is not None):
        yield f"it is {run.state}, and its error is {run.error}"
    if has_ended and run.expires_at is not None:
        yield f"it is {run.state}, and is to expire at {run.expires_at}"
    ends = [
        event
        for event in account.events
        if isinstance(event, PipelineCompleted | PipelineFailed | PipelineCancelled | PipelineRolledBack)
    ]
    reopened = [
        event for event in account.events if event.transition and event.transition.source in ENDED_STATES
    ]
    if len(ends) != len(reopened) + has_ended:
        yield f"it is {run.state}, ended {len(ends)} times, and went on {len(reopened)} times"
    epochs = [event.epoch for event in account.events if isinstance(event, EpochBegun)]
    if epochs != list(range(1, run.epoch + 1)):
        yield f"its events begin the epochs {epochs}, and its row says {run.epoch}"
    for path, row in account.rows.items():
        if has_ended and row.state in UNFINISHED:
            yield f"it is {run.state}, but {path!r} is {row.state}"
        if row.worker is not None and (has_ended or row.state is not PhaseState.RUNNING):
            yield f"{path!r} is {row.state} in a run that is {run.state}, but {row.worker} holds a lease"


def _letter(account: StoredRun) -> Iterator[str]:
    """A run that failed has a dead letter, which agrees with its event, until somebody lets go of it; no other run has one."""
    run, letter, told = account.run, account.letter, None
    for event in account.events:
        if isinstance(event, PhaseDeadLettered):
            told = event
        elif isinstance(event, EpochBegun | DeadLetterDiscarded):
            told = None
    seq = None if told is None or run.state != RunState.FAILED else told.seq
    if run.letter != seq:
        yield f"it is {run.state}, its events tell of the dead letter {seq}, and its row of {run.letter}"
    if seq != (None if letter is None else letter.seq):
        yield f"it is {run.state}, its dead letter is to be {seq}, and stored is {letter}"
    elif letter is not None and told is not None:
        pairs = (
            (letter.phase, told.phase), (letter.error, run.error), (letter.at, told.at), (letter.pipeline, run.pipeline),
            (letter.category.value, told.category), (letter.attempts, told.attempts), (letter.crashes, told.crashes),
            (letter.input, told.input),
        )  # fmt: skip
        yield from (
            f"its dead letter says {found!r}, and not {true!r}" for found, true in pairs if found != true
        )


# --------------------------------------------------------------------- its phases
_MOVES: Mapping[PhaseState, frozenset[PhaseState]] = {
    PhaseState.PENDING: frozenset({PhaseState.RUNNING, PhaseState.SKIPPED}),
    PhaseState.RUNNING: frozenset(
        {PhaseState.COMPLETED, PhaseState.FAILED, PhaseState.RETRYING, PhaseState.SKIPPED}
    ),
    PhaseState.RETRYING: frozenset({PhaseState.RUNNING, PhaseState.SKIPPED, PhaseState.FAILED}),
}
"""What a phase may come to from each state; from the others nothing."""


def _phases(account: StoredRun) -> Iterator[str]:
    """There are some; each one's row agrees with its events, and those with each other."""
    if not account.rows:
        yield "it has no phases, though it was stored with its first one"
    for (path, epoch), life in account.lives.items():
        row = account.rows.get(path)
        if row is None:
            yield f"events tell of {path!r}, which has no row"
        elif row.epoch < epoch:
            yield f"events tell of {path!r} in epoch {epoch}, and its row is of epoch {row.epoch}"
        yield from (f"{path!r}: {found}" for found in _one_life(life))
    for path, row in account.rows.items():
        if row.is_taken_over:
            continue
        yield from (f"{path!r}: {found}" for found in _row(row, account.lives.get((path, row.epoch), ())))


def _one_life(life: Sequence[Event]) -> Iterator[str]:
    """A phase goes from state to state as it may; attempts are counted from 1, and each has one end."""
    state, attempt, fence = PhaseState.PENDING, 0, 0
    for event in life:
        target = STATES_AFTER[type(event)]
        if target not in _MOVES.get(state, ()):
            yield f"event {event.seq} makes it {target}, but it was {state}"
        state = target
        if isinstance(event, PhaseStarted):
            if (event.attempt, event.fence > fence) != (attempt + 1, True):
                yield (
                    f"event {event.seq} starts attempt {event.attempt} under fence {event.fence}, after attempt {attempt} "
                    f"under fence {fence}"
                )
            attempt, fence = event.attempt, event.fence
        elif (
            isinstance(event, PhaseCompleted | PhaseCompensated | PhaseFailed | PhaseRetrying)
            and event.attempt != attempt
        ):
            yield f"event {event.seq} ends attempt {event.attempt}, but attempt {attempt} was the latest"


def _row(row: PhaseRecord, life: Sequence[Event]) -> Iterator[str]:
    """State and counters of a row are what its events come to."""
    starts = [event for event in life if isinstance(event, PhaseStarted)]
    reasons = Counter(event.reason for event in life if isinstance(event, PhaseRetrying))
    failed = [event for event in life if isinstance(event, PhaseFailed)]
    poison = sum(event.error.type == "WorkerLost" and row.total is None for event in failed)
    told = {
        "attempt": len(starts),
        "crashes": reasons["lost"] + poison,
        "failures": reasons["failed"] + len(failed),
        "postponed": reasons["again"],
    }
    stored = {name: getattr(row, name) for name in told}
    if told != stored:
        yield f"its events come to {told}, and its row says {stored}"
    fence = starts[-1].fence if starts else 0
    if row.total is not None and starts and starts[-1].total is None:
        fence += 1  # a worker counted the list, and was fenced off from the map
    is_known = bool(starts) or row.epoch == 0  # else it goes on from the one before, if there was one
    if is_known and row.fence != fence + _is_fenced_off(row) + (row.wait_kind is WaitKind.CHILD):
        yield f"its latest fence is {fence}, and its row ({row.state}) says {row.fence}"
    state = STATES_AFTER[type(life[-1])] if life else PhaseState.PENDING
    if row.state is not state and not (_is_fenced_off(row) and state in UNFINISHED):
        yield f"its events make it {state}, and its row says {row.state}"


def _is_fenced_off(row: PhaseRecord) -> bool:
    """Whether it was ended from outside; of many that end at once the event names the first ones alone."""
    if row.state is not PhaseState.SKIPPED:
        return False
    return (
        row.decided is None
        or row.reason == "cancelled"
        or (row.attempt > 0 and row.reason.endswith(TOO_LATE))
    )


# --------------------------------------------------------------------- what bodies did
def _of_effects(
    storage: Storage, stored: Mapping[str, StoredRun], effects: Sequence[Effect], clocks_differ: timedelta
) -> Iterator[str]:
    by_phase: dict[tuple[str, str], list[Effect]] = {}
    for effect in effects:
        by_phase.setdefault((effect.run_id, effect.phase), []).append(effect)
    known = {(effect.phase, effect.moment) for effect in effects if effect.step is None}
    for (run_id, path), done in by_phase.items():
        account = stored.get(run_id)
        row = account.rows.get(path) if account is not None else None
        if account is None or row is None:
            yield f"run {run_id}: the body of {path!r} was called, but neither run nor phase is stored"
            continue
        found = [
            *_order(done, account.run.epoch + 1),
            *_late(account, path, done, clocks_differ),
            *_kept(storage, account, row, done),
        ]
        yield from (f"run {run_id}: {path!r}: {text}" for text in found)
    for account in stored.values():
        yield from _undone(account, by_phase, known)


def _order(done: Sequence[Effect], epochs: int) -> Iterator[str]:
    """An attempt is made once in each epoch, and a step that is kept is not made again."""
    begun: Counter[tuple[int, str | None]] = Counter()
    kept: dict[str, int] = {}
    for effect in done:
        if effect.moment is Moment.BEGIN:
            begun[effect.attempt, effect.step] += 1
            if epochs == 1 and effect.step in kept and effect.attempt > kept[effect.step]:
                yield f"step {effect.step!r} was kept in attempt {kept[effect.step]}, and made again in {effect.attempt}"
        elif effect.moment is Moment.KEPT and effect.step is not None:
            kept.setdefault(effect.step, effect.attempt)
    for (attempt, step), times in begun.items():
        if times > epochs:
            yield f"{'the body' if step is None else f'step {step!r}'} of attempt {attempt} was called {times} times"


def _late(account: StoredRun, path: str, done: Sequence[Effect], clocks_differ: timedelta) -> Iterator[str]:
    """No body begins under an attempt that was not granted, or after the commit of its phase."""
    lives = [account.lives.get((path, epoch), ()) for epoch in range(account.run.epoch + 1)]
    life = next((life for life in reversed(lives) if life), ())
    starts = (event for life in lives for event in life if isinstance(event, PhaseStarted))
    granted = max((event.attempt for event in starts), default=0)
    commit = next((event for event in life if isinstance(event, PhaseCompleted | PhaseCompensated)), None)
    for effect in done:
        if effect.moment is not Moment.BEGIN:
            continue
        if effect.attempt > granted:
            yield f"attempt {effect.attempt} was begun, but only {granted} were granted"
        # A worker that was stopped may begin what was taken from it meanwhile: that is an earlier attempt.
        if commit is not None and effect.attempt >= commit.attempt and effect.at > commit.at + clocks_differ:
            yield f"attempt {effect.attempt} began at {effect.at}, after the commit of event {commit.seq} at {commit.at}"


def _kept(storage: Storage, account: StoredRun, row: PhaseRecord, done: Sequence[Effect]) -> Iterator[str]:
    """The result of a step that was kept is stored."""
    kept = {effect.step for effect in done if effect.moment is Moment.KEPT}
    if kept:
        run = account.run
        found = {
            step
            for generation in range(row.generation + 1)
            for step in storage.steps(run.namespace, run.id, row.path, generation)
        }
        yield from (f"step {step!r} was kept, but its result is missing" for step in kept - found)


def _undone(
    account: StoredRun,
    by_phase: Mapping[tuple[str, str], Sequence[Effect]],
    known: Collection[tuple[str, Moment]],
) -> Iterator[str]:
    """What is committed was done, in the attempt that is committed."""
    for event in account.events:
        if not isinstance(event, PhaseCompleted | PhaseCompensated) or event.phase is None:
            continue
        done = {
            effect.moment
            for effect in by_phase.get((account.run.id, event.phase), ())
            if effect.step is None and effect.attempt == event.attempt
        }
        for moment in (Moment.BEGIN, Moment.END):
            if (event.phase, moment) in known and moment not in done:
                yield (
                    f"run {account.run.id}: {event.phase!r}: attempt {event.attempt} is committed without the {moment} "
                    "of its body"
                )


# --------------------------------------------------------------------- what callers were told
def _of_replies(stored: Mapping[str, StoredRun], replies: Sequence[Reply]) -> Iterator[str]:
    holders: dict[tuple[str, str], str] = {}
    for reply in replies:
        account = stored.get(reply.run_id)
        if account is None:
            yield f"run {reply.run_id}: its start was acknowledged, but it is not stored"
            continue
        yield from (f"run {reply.run_id}: {found}" for found in _of_reply(account, reply))
        if reply.key is not None:
            holder = holders.setdefault((account.run.pipeline, reply.key), reply.run_id)
            if holder != reply.run_id and not account.run.while_open:
                yield f"run {reply.run_id}: it was given for the key {reply.key!r}, and so was {holder}"


def _of_reply(account: StoredRun, reply: Reply) -> Iterator[str]:
    if reply.key is not None and reply.key != account.run.key:
        yield f"it was given for the key {reply.key!r}, and its row says {account.run.key!r}"
    if reply.state is not None and reply.state != account.run.state:
        yield f"its end was told as {reply.state}, and its row says {account.run.state}"
    for path, text in reply.outputs.items():
        found = account.values.get(path)
        if found is None or not same_json(found, text):
            yield f"the output of {path!r} was told as {text}, and stored is {found}"
