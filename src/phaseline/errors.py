"""Every error phaseline raises. A message says what happened, to which id, and what to do next.

The data behind a message is kept as attributes, so that a program never parses text.
Exceptions of other libraries are translated where they enter, with ``from``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from phaseline.masking import url_without_secrets

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from phaseline.rows import Definition, ErrorCategory, ErrorInfo
    from phaseline.run import Run
    from phaseline.usage import Budget, Quota, Usage


class PhaselineError(Exception):
    """Base of all errors of this library."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without any change by the caller."""
    category: ClassVar[ErrorCategory | None] = None
    """What kind of failure it is of a phase that it ends; None to have that told by its class."""


# --------------------------------------------------------------------- definition time
class DefinitionError(PhaselineError, ValueError):
    """A phase, pipeline, machine or runtime is declared in a way that cannot work, or asked with what makes no sense."""

    nodes: tuple[object, ...] = ()
    """What is at fault, innermost first, where that was found when a pipeline was compiled."""


class DuplicatePhaseError(DefinitionError):
    """Two phases of one pipeline share a path."""

    def __init__(self, pipeline: str, path: str) -> None:
        self.pipeline = pipeline
        """Name of the pipeline."""
        self.path = path
        """Path that two phases have."""
        super().__init__(
            f"pipeline {pipeline!r} has two phases at the path {path!r}; "
            "give one of them another name: phase.with_options(name=...), start_child(..., name=...)"
        )


class TypeMismatchError(DefinitionError):
    """The output of one phase is not what the next one takes."""

    def __init__(self, first: str, output: str, second: str, accepted: str) -> None:
        self.first = first
        """Title of the phase before."""
        self.output = output
        """The type that it gives."""
        self.second = second
        """Title of the phase after it."""
        self.accepted = accepted
        """The type that that one takes."""
        super().__init__(
            f"{first!r} returns {output}, but {second!r} takes {accepted}; "
            "change one of the annotations or put a converting phase between them"
        )


class NoCommonInputError(DefinitionError):
    """Steps that are to take the same value have no type in common."""

    def __init__(self, members: Sequence[tuple[str, str]]) -> None:
        self.members: tuple[tuple[str, str], ...] = tuple(members)
        """Title of each step, and the type that it takes."""
        takes = ", ".join(f"{title!r} takes {type_}" for title, type_ in self.members)
        super().__init__(
            f"{takes}: no value fits them all; change an annotation or put a converting phase before one of them"
        )


class TemplateProblem(NamedTuple):
    """One thing that is wrong with a template."""

    line: int | None
    """Counted from 1; None where it is the whole text, or cannot be told."""
    column: int | None
    """Counted from 1; None as ``line``."""
    where: str
    """Place in the data: ``steps[1].each``; empty for the whole."""
    text: str
    """What is wrong, and how to mend it."""


class TemplateError(DefinitionError):
    """A template cannot be made a pipeline; ``__cause__`` is the error of the pipeline, where there is one."""

    def __init__(self, source: str, problems: Sequence[TemplateProblem]) -> None:
        """Say what is wrong.

        Args:
            source: Path of the file, or what the text was called.
            problems: At least one.
        """
        self.source = source
        """Path of the file, or what the text was called."""
        self.problems: tuple[TemplateProblem, ...] = tuple(problems)
        """All that is wrong, at least one."""
        first = self.problems[0]
        self.line: int | None = first.line
        """Of the first problem."""
        self.column: int | None = first.column
        """Of the first problem."""
        super().__init__("\n".join(_located(source, problem) for problem in self.problems))


def _located(source: str, problem: TemplateProblem) -> str:
    place = [source, *(str(number) for number in (problem.line, problem.column) if number is not None)]
    return ": ".join(part for part in (":".join(place), problem.where, problem.text) if part)


class RetryPolicyError(PhaselineError):
    """A strategy of a retry policy raised instead of answering."""

    def __init__(self, option: str, strategy: object, problem: Exception) -> None:
        self.option = option
        """Which option of ``Retry`` it was given as."""
        self.problem = problem
        """What it raised."""
        name = getattr(strategy, "__name__", type(strategy).__name__)
        super().__init__(
            f"Retry({option}={name}) raised {type(problem).__name__} where it was asked about a failed attempt; mend it, "
            "and test it with Retry(...).delay(1, error)"
        )


# --------------------------------------------------------------------- plugins
class PluginError(PhaselineError):
    """The plugin of an installed package cannot be used; ``__cause__`` is what happened."""

    def __init__(
        self, group: str, name: str, package: str, target: str, problem: Exception | SystemExit
    ) -> None:
        self.group = group
        """Group of entry points that it is offered in."""
        self.name = name
        """Name that it is offered under."""
        self.package = package
        """Name of the package that offers it."""
        self.target = target
        """Where its entry point says that it is."""
        self.problem = problem
        """What was raised when it was loaded."""
        super().__init__(
            f"plugin {name!r} of package {package!r} (entry point {target!r} in {group!r}) cannot be used: "
            f"{type(problem).__name__}: {problem}; mend or uninstall {package!r}, the other plugins are not affected"
        )


class PluginClashError(PhaselineError):
    """Two packages offer a plugin under one name, so none of them is taken."""

    def __init__(self, group: str, name: str, packages: Sequence[str]) -> None:
        self.group = group
        """Group of entry points that it is offered in."""
        self.name = name
        """Name that it is offered under."""
        self.packages: tuple[str, ...] = tuple(packages)
        """Names of the packages that offer it."""
        super().__init__(
            f"{' and '.join(map(repr, self.packages))} both offer a plugin {name!r} in {group!r}; uninstall one of them, "
            "or have its author give it another name"
        )


class UnknownPluginError(PhaselineError, KeyError):
    """No installed package offers a plugin of that name."""

    def __init__(self, group: str, name: str, known: Iterable[str]) -> None:
        self.group = group
        """Group of entry points that was looked into."""
        self.name = name
        """Name that was asked for."""
        self.known: tuple[str, ...] = tuple(sorted(known))
        """Names that are offered."""
        names = ", ".join(map(repr, self.known)) or "none"
        super().__init__(
            f"no installed package offers a plugin {name!r} in {group!r} (offered: {names}); install the one that does"
        )

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would show its quotes


# --------------------------------------------------------------------- state machines
class InvalidTransitionError(PhaselineError):
    """A state machine was asked for a move that its table, a guard or a hook refuses."""

    def __init__(
        self, machine: str, source: str, target: str, allowed: Iterable[str], reason: str = ""
    ) -> None:
        self.machine = machine
        """Name of the machine."""
        self.source = source
        """State that it is in."""
        self.target = target
        """State that was asked for."""
        self.allowed: tuple[str, ...] = tuple(sorted(allowed))
        """States that one may go to."""
        self.reason = reason
        """Why a guard or a hook refused; empty where the table did."""
        why = f" ({reason})" if reason else ""
        open_to = ", ".join(self.allowed) or "nothing, it is a final state"
        super().__init__(
            f"{machine}: {source} -> {target} is not allowed{why}; from {source} one may go to: {open_to}"
        )


class StaleTransitionError(PhaselineError):
    """The machine moved since the caller looked at it."""

    retryable = True

    def __init__(self, machine: str, expected: int, actual: int) -> None:
        self.machine = machine
        """Name of the machine."""
        self.expected = expected
        """Version that the caller knew."""
        self.actual = actual
        """Version that it is at."""
        super().__init__(
            f"{machine}: expected version {expected} but it is at {actual}; read the state again and decide anew"
        )


# --------------------------------------------------------------------- data
class CodecError(PhaselineError):
    """A value cannot go through the door between Python and storage."""


class EncodeError(CodecError, ValueError):
    """A value is not what its declared type says, or is outside what every backend can store."""

    def __init__(self, what: str, problems: Sequence[str], *, says: str = "cannot be stored") -> None:
        self.what = what
        """What could not be stored, such as ``input of 'orders'``."""
        self.problems: tuple[str, ...] = tuple(problems)
        """Each with its place in the value."""
        super().__init__(f"{what} {says}: " + "; ".join(self.problems))


class InvalidInputError(EncodeError):
    """The input of a run is not what its pipeline takes; nothing was stored."""


class InvalidSignalError(EncodeError):
    """What was sent with a signal is not of its type; nothing was stored."""


class DecodeError(CodecError):
    """A stored value no longer fits the type that the code declares for it."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.what = what
        """What could not be read."""
        self.problems: tuple[str, ...] = tuple(problems)
        """Each with its place in the value."""
        super().__init__(
            f"the stored {what} does not fit its declared type any more: "
            + "; ".join(self.problems)
            + "; bring back the old type, or accept both shapes in the new one"
        )


class DecryptionError(CodecError):
    """What is stored cannot be decrypted."""

    def __init__(self, key_id: str | None, problem: str) -> None:
        super().__init__(f"what is stored cannot be decrypted: {problem}")
        self.key_id = key_id
        """Of the key that it names; None if it is not encrypted."""


class WireError(CodecError):
    """What came from elsewhere is no event."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        """What is wrong with it."""
        super().__init__(
            f"this is no event: {problem}; the form of one is described in phaseline.wire, and another version of "
            "phaseline may write another one"
        )


class ReaderTooSlowError(PhaselineError):
    """Whoever walks through events is so far behind that it cannot be made up."""

    def __init__(self) -> None:
        super().__init__(
            "this reader of events is behind with more runs than can be remembered; begin again with "
            "runtime.events(after=..., since=...), and do the slow part of the work elsewhere"
        )


# --------------------------------------------------------------------- runs
class RunError(PhaselineError):
    """A run ended, or stands, otherwise than the caller hoped."""


class PipelineEndedError(RunError):
    """Base of the three ways a run ends without an output; ``run`` holds all that is known of it."""

    verb: ClassVar[str] = "ended"
    """How it ended, as a verb."""

    def __init__(self, run: Run[Any], error: ErrorInfo | None = None, advice: str = "") -> None:
        self.run = run
        """All that is known of the run."""
        self.run_id: str = run.id
        """Id of the run."""
        self.state: str = run.state
        """State that it ended in."""
        self.error = error
        """What it failed with; None if it did not fail."""
        cause = f": {error.type}: {error.message}" if error else ""
        where = f" in phase {error.phase!r}" if error and error.phase else ""
        super().__init__(
            f"run {run.id} of {run.pipeline!r} {self._ended(failed=error is not None)}{where}{cause}"
            + (f"; {advice}" if advice else "")
        )

    def _ended(self, *, failed: bool) -> str:  # noqa: ARG002  # asked by the one that may end so or so
        """How it ended, in words that what it failed with may follow."""
        return self.verb


class PipelineFailedError(PipelineEndedError):
    """A phase failed for good."""

    verb = "failed"


class PipelineCancelledError(PipelineEndedError):
    """The run was cancelled."""

    verb = "was cancelled"

    def _ended(self, *, failed: bool) -> str:  # noqa: ARG002  # as above
        """With who did it, and why, where that is known."""
        last = self.run.history[-1] if self.run.history else None
        who = f" by {last.actor}" if last is not None and last.actor else ""
        why = f": {last.reason}" if last is not None and last.reason else ""
        return f"{self.verb}{who}{why}"


class PipelineRolledBackError(PipelineEndedError):
    """The run was rolled back, by a command or, with ``on_failure="rollback"``, because it failed."""

    verb = "was rolled back"

    def _ended(self, *, failed: bool) -> str:
        return f"{self.verb}, for it failed" if failed else self.verb


class NoOutputError(RunError):
    """The run completed, but the phase that would give its output was skipped."""

    def __init__(self, run_id: str, reason: str) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.reason = reason
        """Why the phase was skipped."""
        super().__init__(f"run {run_id} completed without an output: {reason}")


class NoResultError(RunError, LookupError):
    """A phase has nothing to give: it has not come up yet, goes on, or ended without an output."""

    def __init__(self, run_id: str, phase: str, state: str, reason: str = "") -> None:
        self.run_id = run_id
        """Id of the run."""
        self.phase = phase
        """Path of the phase."""
        self.state = state
        """State that it is in; nothing where it has not come up."""
        self.reason = reason
        """Why it is in that state, as far as that is told."""
        why = f"it is {state}" + (f" ({reason})" if reason else "") if state else "it has not come up"
        super().__init__(
            f"phase {phase!r} of run {run_id} has no result: {why}; (await handle.run()).phases tells which have one"
        )


class ChildRunError(RunError):
    """A phase that waited for a child run fails with this: the child ended without an output."""

    def __init__(
        self, child_id: str, pipeline: str, state: str, error: ErrorInfo | None = None, *, reason: str = ""
    ) -> None:
        self.child_id = child_id
        """Id of the child run."""
        self.pipeline = pipeline
        """Name of the child's pipeline."""
        self.state = state
        """State that the child ended in."""
        self.error = error
        """What it failed with."""
        where = f" in phase {error.phase!r}" if error is not None and error.phase else ""
        why = (
            f"{where}: {error.type}: {error.message}"
            if error is not None
            else f", {reason}"
            if reason
            else ""
        )
        retried = (
            "retries it" if state == "FAILED" else "starts another one" if not reason else "comes to the same"
        )
        super().__init__(
            f"child run {child_id} of pipeline {pipeline!r} is {state}{why}; a retry of this run {retried}"
        )


class DeadlinePassedError(PhaselineError, ValueError):
    """A run is to be started that should be over already."""

    def __init__(self, deadline: datetime | timedelta, now: datetime) -> None:
        super().__init__(
            f"a deadline of {deadline} has passed before the start, at {now.isoformat()}; give one to come"
        )
        self.deadline: datetime | timedelta = deadline
        """As it was given."""
        self.now: datetime = now
        """When the run would have begun."""


class InvalidMarkError(PhaselineError, ValueError):
    """A tag or an attribute that no run can have; nothing was stored."""

    def __init__(self, what: str, problem: str) -> None:
        self.what = what
        """The tag or attribute."""
        self.problem = problem
        """What is wrong with it."""
        super().__init__(f"{what} cannot be kept with a run: {problem}")


class KeyConflictError(RunError):
    """An idempotency key stands for a run that was started with another input; nothing was stored."""

    def __init__(self, key: str, pipeline: str, run_id: str) -> None:
        self.key = key
        """The idempotency key."""
        self.pipeline = pipeline
        """Name of the pipeline."""
        self.run_id = run_id
        """Id of the run that holds it."""
        super().__init__(
            f"the key {key!r} of pipeline {pipeline!r} stands for run {run_id}, which was started with another input; "
            "use a key of its own for this input"
        )


class ScheduleError(PhaselineError, ValueError):
    """A schedule is declared in a way that cannot work; nothing was stored."""

    def __init__(self, schedule: str, problem: str) -> None:
        self.schedule = schedule
        """Name of the schedule."""
        self.problem = problem
        """What is wrong, in words."""
        super().__init__(f"schedule {schedule!r}: {problem}")


class ScheduleNotFoundError(PhaselineError, LookupError):
    """There is no schedule of this name."""

    def __init__(self, schedule: str, known: Iterable[str] = ()) -> None:
        self.schedule = schedule
        """Name that was asked for."""
        self.known: tuple[str, ...] = tuple(sorted(known))
        """Names of those that there are in the namespace."""
        names = ", ".join(map(repr, self.known)) or "none"
        super().__init__(
            f"there is no schedule {schedule!r} in this namespace (known: {names}); store it: runtime.schedules.put(...)"
        )


class RunNotVisibleError(RunError):
    """A run was started in a transaction of the caller's that is not committed yet."""

    retryable = True

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        """Id of the run."""
        super().__init__(
            f"run {run_id} was started in a transaction of yours and cannot be seen yet; commit it first "
            "(if you rolled it back, there is no such run)"
        )


class RunNotSettledError(RunError):
    """The output of a run was asked for before it had one."""

    def __init__(self, run_id: str, state: str) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.state = state
        """State of the run."""
        super().__init__(f"run {run_id} is {state} and has no output yet; await handle.result() instead")


class ResultTimeoutError(RunError, TimeoutError):
    """A bounded wait for a run was over before the run was. The run goes on."""

    retryable = True

    def __init__(self, run_id: str, seconds: float) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.seconds = seconds
        """How long was waited."""
        super().__init__(
            f"run {run_id} did not settle within {seconds:g} s; it goes on, wait again or cancel it"
        )


class RunNotFoundError(RunError, LookupError):
    """No run of this id in this namespace."""

    def __init__(self, run_id: str, why: str = "") -> None:
        self.run_id = run_id
        """Id of the run."""
        super().__init__(
            f"run {run_id!r} is not what was asked for: {why}; check the id"
            if why
            else f"there is no run {run_id!r} here; check the id, the storage URL and the namespace"
        )


class CommandRefusedError(RunError):
    """A run was commanded what it cannot do now; nothing changed."""

    def __init__(
        self, run_id: str, command: str, state: str, allowed: Iterable[str], reason: str = ""
    ) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.command = command
        """What was commanded."""
        self.state = state
        """State of the run."""
        self.allowed: tuple[str, ...] = tuple(allowed)
        """The commands that it obeys in this state."""
        self.reason = reason
        """Why, where the state alone does not say it."""
        open_to = ", ".join(self.allowed) or "nothing more"
        why = f": {reason}" if reason else ""
        super().__init__(
            f"run {run_id} is {state}, where {command} is not possible{why}; in {state} it takes: {open_to}"
        )


class SignalRefusedError(RunError):
    """A run was sent a signal that it cannot take now; nothing was stored."""

    def __init__(self, run_id: str, signal: str, state: str, reason: str = "") -> None:
        self.run_id = run_id
        """Id of the run."""
        self.signal = signal
        """Name of the signal."""
        self.state = state
        """State of the run."""
        self.reason = reason
        """Why, where the state alone does not say it."""
        advice = "start another run" + (
            "" if state == "CANCELLED" else ", or take this one up again and send it then"
        )
        super().__init__(
            f"run {run_id} is {state} and did not take the signal {signal!r}: "
            + (reason or f"it waits for nothing any more; {advice}")
        )


class UnknownSignalError(RunError, LookupError):
    """A run was sent a signal that nothing in its pipeline waits for; nothing was stored."""

    def __init__(self, run_id: str, signal: str, known: Iterable[str]) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.signal = signal
        """Name of the signal."""
        self.known: tuple[str, ...] = tuple(known)
        """Names of the signals that it waits for."""
        names = ", ".join(map(repr, self.known)) or "no signal"
        super().__init__(
            f"nothing in the pipeline of run {run_id} waits for the signal {signal!r}; it waits for {names}"
        )


class UnknownPhaseError(RunError, LookupError):
    """A command names a phase that the run's pipeline does not have; nothing changed."""

    def __init__(self, run_id: str, phase: str, known: Iterable[str]) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.phase = phase
        """Path that was named."""
        self.known: tuple[str, ...] = tuple(known)
        """Paths of its pipeline's phases outside of maps."""
        super().__init__(
            f"the pipeline of run {run_id} has no phase {phase!r} outside of maps; name one of: {', '.join(self.known)}"
        )


class UnknownCheckpointError(RunError, LookupError):
    """A command names a place that the run has not, or has no more; nothing changed."""

    def __init__(self, run_id: str, named: str, checkpoints: Iterable[str], phases: Iterable[str]) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.named = named
        """What was named."""
        self.checkpoints: tuple[str, ...] = tuple(checkpoints)
        """Ids of the checkpoints that it has now, oldest first."""
        self.phases: tuple[str, ...] = tuple(phases)
        """Paths of its pipeline's phases outside of maps."""
        of, _, number = named.rpartition(":")
        is_other = bool(of) and number.isdigit() and of != run_id
        why = f"it is one of run {of}" if is_other else "it never had it, or was taken back to before it"
        points = ", ".join(self.checkpoints) or "none"
        super().__init__(
            f"run {run_id} has no checkpoint {named!r}: {why}; name one of its checkpoints ({points}) or phases "
            f"({', '.join(self.phases)})"
        )


class BudgetExceededError(RunError):
    """A body was about to use more than the budget of its pipeline allows; what it did not use yet, it does not use.

    It is of the category STATE, which is not retried: the run fails. It goes on with ``retry`` where its pipeline has a
    larger budget.
    """

    def __init__(
        self,
        run_id: str,
        phase: str,
        key: str,
        *,
        budget: Budget,
        bounds: Sequence[str],
        at_most: Usage,
        used: Usage,
        reserved: Usage,
        cut_off: Usage,
    ) -> None:
        super().__init__(
            f"phase {phase!r} of run {run_id} was about to use {at_most} for {key!r}, which goes beyond its pipeline's budget "
            f"of {budget} by its {' and '.join(bounds)}. Used: {used}; reserved by calls on their way: {reserved}; by calls "
            f"that were cut off: {cut_off}. Give the pipeline a larger budget= and retry the run"
        )
        self.run_id: str = run_id
        """Id of the run."""
        self.phase: str = phase
        """Path of the phase."""
        self.key: str = key
        """Name of what it was about to use."""
        self.budget: Budget = budget
        """That of the pipeline."""
        self.bounds: tuple[str, ...] = tuple(bounds)
        """Those that it would pass: ``cost``, ``tokens``, ``requests``."""
        self.at_most: Usage = at_most
        """How much it was about to use."""
        self.used: Usage = used
        """By all phases of the run so far."""
        self.reserved: Usage = reserved
        """By calls that are on their way: what they do not use is there for others once they have ended."""
        self.cut_off: Usage = cut_off
        """By calls that were cut off: it stays reserved."""


class NamespaceFullError(PhaselineError):
    """The runs of a namespace have all that they may have together; nothing was stored, or used."""

    def __init__(self, message: str, namespace: str) -> None:
        super().__init__(message)
        self.namespace: str = namespace
        """Namespace that is full."""


class QuotaExceededError(NamespaceFullError):
    """Runs of the namespace have used what its quota allows, or are about to use more.

    Raised by a body, it is of the category STATE, which is not retried: the run fails. It goes on with ``retry`` once the
    quota has room for it.
    """

    def __init__(
        self, namespace: str, quota: Quota, bounds: Sequence[str], used: Usage, at_most: Usage | None = None
    ) -> None:
        about_to = "" if at_most is None else f", and was about to use {at_most}"
        super().__init__(
            f"namespace {namespace!r} has used {used} by runs that were created within {quota.per}{about_to}; its quota is "
            f"{quota}, and the {' and the '.join(bounds)} of it {'are' if len(bounds) > 1 else 'is'} used up. Try again when older "
            "runs do not count any more, or give the runtime a larger namespace_quota=",
            namespace,
        )
        self.quota: Quota = quota
        """What its runs may use together."""
        self.bounds: tuple[str, ...] = tuple(bounds)
        """Those that are reached, or would be passed: ``cost``, ``tokens``, ``requests``."""
        self.used: Usage = used
        """What those of the period have used."""
        self.at_most: Usage | None = at_most
        """What a body was about to use; None where a run was to be started."""


class TooManyOpenRunsError(NamespaceFullError):
    """As many runs of the namespace as there may be are not over."""

    def __init__(self, namespace: str, open_runs: int, most: int) -> None:
        super().__init__(
            f"namespace {namespace!r} has {open_runs:,} or more runs that are not over, and namespace_open_runs={most:,} lets no more be "
            "started. Try again when some are, cancel those that nobody needs, or give the runtime a larger number",
            namespace,
        )
        self.open_runs: int = open_runs
        """How many are not over, counted no further than there may be."""
        self.most: int = most
        """How many there may be."""


class LeaseLostError(RunError):
    """A worker tried to finish a phase that is no longer its own; nothing of it was stored."""

    def __init__(self, run_id: str, phase: str, fence: int) -> None:
        self.run_id = run_id
        """Id of the run."""
        self.phase = phase
        """Path of the phase."""
        self.fence = fence
        """Fence that this worker held."""
        super().__init__(
            f"phase {phase!r} of run {run_id} was taken over or ended while this worker held fence {fence}; "
            "its result was refused and nothing was stored"
        )


# --------------------------------------------------------------------- runtimes
class RuntimeUsageError(PhaselineError, RuntimeError):
    """A runtime or pipeline is used at the wrong time or place."""


class RuntimeNotOpenError(RuntimeUsageError):
    """A verb of a runtime was called outside its ``async with``."""

    def __init__(self, waiting_for: str | None = None, *, view: str | None = None) -> None:
        """Say so.

        Args:
            waiting_for: The run that was waited for when the runtime closed.
            view: What was used, where that is a view of a runtime which was closed and opened again.
        """
        self.waiting_for = waiting_for
        """Id of the run that was waited for when the runtime closed; None where it was none."""
        if view is not None:
            msg = f"{view} is a view of an earlier opening, and is not open any more; call within() again"
        elif waiting_for is None:
            msg = (
                "this runtime is not open; use it inside 'async with Runtime(...) as runtime:', or, without an event loop, "
                "'with SyncRuntime(...) as runtime:'"
            )
        else:
            msg = (
                f"this runtime was closed before run {waiting_for} was over; open one on the same storage, where "
                "the run goes on, and get it there: runtime.get(run_id)"
            )
        super().__init__(msg)


class AmbiguousRuntimeError(RuntimeUsageError):
    """Two open runtimes registered the pipeline, so ``run()`` cannot tell which one is meant."""

    def __init__(self, pipeline: str, runtimes: Sequence[str]) -> None:
        self.pipeline = pipeline
        """Name of the pipeline."""
        self.runtimes: tuple[str, ...] = tuple(runtimes)
        """Those that registered it."""
        super().__init__(
            f"pipeline {pipeline!r} is registered with {len(self.runtimes)} open runtimes ({', '.join(self.runtimes)}); "
            "name one: pipeline.run(value, runtime=...) or runtime.run(pipeline, value)"
        )


class PipelineNotRegisteredError(RuntimeUsageError, LookupError):
    """A runtime was asked to run a pipeline that it was not given."""

    def __init__(
        self, pipeline: str, runtime: str, registered: Iterable[str], *, version: str | None = None
    ) -> None:
        self.pipeline = pipeline
        """Name of the pipeline."""
        self.runtime = runtime
        """The one that was asked."""
        self.registered: tuple[str, ...] = tuple(sorted(registered))
        """Names of the pipelines that it has."""
        self.version = version
        """Of the pipeline, where a stored run asks for it."""
        known = ", ".join(map(repr, self.registered)) or "none"
        which = f"pipeline {pipeline!r}" + ("" if version is None else f", version {version!r},")
        others = f"{which} is not registered with {runtime} in this shape (one of that name is, with another version or other phases)"
        super().__init__(
            f"{others}; register the definition that the run began under too, and give the changed one a new version="
            if pipeline in self.registered and version is not None
            else f"{others}; register this one too, Runtime(..., pipelines=[...]), where the two differ in version="
            if pipeline in self.registered
            else f"{which} is not registered with {runtime} (registered: {known}); add it: Runtime(..., pipelines=[...])"
        )


class CompensationNotRegisteredError(PipelineNotRegisteredError):
    """A run is being undone by a compensation that its pipeline, as it was registered here, does not have."""

    def __init__(self, run_id: str, definition: Definition, phase: str) -> None:
        self.run_id = run_id
        """Which run."""
        self.phase = phase
        """Path of what undoes a phase: that of the phase, with ``~`` behind it."""
        pipeline, version = definition.pipeline, definition.version
        super().__init__(pipeline, "this runtime", (pipeline,), version=version)
        super(PipelineNotRegisteredError, self).__init__(  # another sentence
            f"run {run_id} of pipeline {pipeline!r}, version {version!r}, is being undone by {phase!r}, and what is registered "
            "here has no compensate= for that phase; give it back to it, or look from a process that has it"
        )


class QueueURLError(RuntimeUsageError, ValueError):
    """A queue URL names no queue that can be made."""

    def __init__(self, url: str, problem: str) -> None:
        self.url: str = url_without_secrets(url)
        """The URL, without a password."""
        super().__init__(f"queue URL {self.url!r}: {problem}")


class TransportURLError(RuntimeUsageError, ValueError):
    """A URL names no transport of events that can be made."""

    def __init__(self, url: str, problem: str) -> None:
        self.url: str = url_without_secrets(url)
        """The URL, without a password."""
        super().__init__(f"transport URL {self.url!r}: {problem}")


class RunningLoopError(RuntimeUsageError):
    """A sync verb was called where an event loop is already running."""

    def __init__(self, verb: str, instead: str) -> None:
        self.verb = verb
        """What was called."""
        super().__init__(
            f"{verb} would block the event loop that is running in this thread; use '{instead}' here"
        )


class MissingDependencyError(PhaselineError, LookupError):
    """A phase asks for a dependency that nobody provided."""

    def __init__(self, name: str, phase: str, *, has_namesake: bool = False) -> None:
        self.name = name
        """Name of the dependency."""
        self.phase = phase
        """Name of the phase."""
        self.has_namesake = has_namesake
        """Whether something was provided under another token of that name."""
        super().__init__(
            f"phase {phase!r} needs the dependency {name!r}; what was provided under that name stands under another token: "
            "make a Dep once, and import it where it is asked for and where it is provided"
            if has_namesake
            else f"phase {phase!r} needs the dependency {name!r}; provide it: Runtime(deps={{TOKEN: value}}) "
            "or pipeline.run(value, deps={TOKEN: value})"
        )


class MissingExtraError(PhaselineError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        """What was asked for."""
        self.extra = extra
        """Name of the extra that brings it."""
        super().__init__(f"{feature} needs an optional dependency: pip install 'phaseline[{extra}]'")


# --------------------------------------------------------------------- the network
class AccessError(PhaselineError):
    """Somebody asked over the network for what he may not have; he is told no more than that."""


class UnauthenticatedError(AccessError):
    """The host does not say who asks, or it says so no more."""

    def __init__(self, *, expired: bool = False) -> None:
        self.expired = expired
        """Whether he was known, and his access has ended."""
        super().__init__(
            "this access has expired; get a new one" if expired else "say who you are, as this host wants it"
        )


class ForbiddenError(AccessError):
    """Who asks is known, and may not do that."""

    def __init__(self, action: str) -> None:
        self.action = action
        """What he may not do."""
        super().__init__(f"you may not do that here: {action}")


class ForeignOriginError(AccessError):
    """A page that is not one of the host's tried to do something with what its reader's browser knows."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        """Where the page is from."""
        super().__init__(f"pages of {origin!a} may not do that here; the host can allow them: origins=[...]")


class SubscriptionError(PhaselineError):
    """A client cannot be told of what it asks for."""


class SubscriptionLimitError(SubscriptionError):
    """A client has as many subscriptions as it may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """How many he may have."""
        super().__init__(
            f"{limit} subscriptions are the most that a client may have; unsubscribe from some, or subscribe to a pipeline"
        )


# --------------------------------------------------------------------- storage
class StorageError(PhaselineError):
    """Base of what can go wrong in a storage."""


class StorageURLError(StorageError, ValueError):
    """A storage URL names no storage that this runtime can open."""

    def __init__(self, url: str, problem: str) -> None:
        self.url: str = url_without_secrets(url)
        """The URL, without a password."""
        super().__init__(f"storage URL {self.url!r}: {problem}")


class StorageUnavailableError(StorageError):
    """The storage cannot be reached or written now."""

    retryable = True

    def __init__(self, where: str, problem: str, advice: str, *, busy: bool = False) -> None:
        self.where = where
        """Which storage, without a password."""
        self.problem = problem
        """What is wrong, in words."""
        self.busy = busy
        """Whether it answers, but is held by others."""
        super().__init__(f"storage {where}: {problem}; {advice}")


class StorageRefusedError(StorageError):
    """The storage cannot store this, now or later; what else is written is not touched by it."""

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        """Which storage, without a password."""
        self.problem = problem
        """What is wrong, in words."""
        super().__init__(
            f"storage {where} refuses what was to be written: {problem}; trying again would come to the same: "
            "store less, or something else"
        )


class SchemaVersionError(StorageError):
    """The tables are of another version than this code's."""

    def __init__(self, where: str, found: int, known: int) -> None:
        self.where = where
        """Which storage, without a password."""
        self.found = found
        """Version of the tables."""
        self.known = known
        """Version that this code writes."""
        with_password = " with the password in the URL" if "***" in where else ""
        super().__init__(
            f"storage {where} has schema version {found}, this phaseline knows up to {known}; "
            "upgrade phaseline, or open a database that it wrote"
            if found > known
            else f"storage {where} has schema version {found}, this phaseline needs {known}; run "
            f"'phaseline db upgrade {where}'{with_password}, or 'await Runtime(url).migrate()'"
        )


class SettingsError(PhaselineError, ValueError):
    """Variables of the environment cannot be read as settings."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems: Mapping[str, str] = dict(problems)
        """What is wrong, by the name of the variable."""
        told = "; ".join(f"{variable}: {problem}" for variable, problem in problems.items())
        super().__init__(f"the environment holds settings that cannot be read: {told}; correct or unset them")


# --------------------------------------------------------------------- queue
class QueueUnavailableError(PhaselineError):
    """Nobody who carries permits can be reached; nothing is lost by that, but work is found later."""

    retryable = True

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        """Which broker, without a password."""
        self.problem = problem
        """What is wrong, in words."""
        super().__init__(
            f"queue {where}: {problem}; see that the broker runs and can be reached. Meanwhile workers find what waits "
            "when they look by themselves"
        )
