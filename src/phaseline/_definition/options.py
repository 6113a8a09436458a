"""What the options of phases may be: refused where they are written, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from inspect import get_annotations, isfunction
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from phaseline._definition.deps import Dep
from phaseline._values.spans import LONGEST, check_unit
from phaseline._values.texts import did_you_mean, storable_key
from phaseline.errors import DefinitionError, EncodeError
from phaseline.limits import Rate
from phaseline.retry import Retry
from phaseline.usage import Budget, Quota

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
LABEL = re.compile(r"[A-Z_][A-Z0-9_]*\Z")
LONGEST_NAME = 200
LOWEST_PRIORITY = 999
NAME_RULE = "letters, digits, '_', '-' and '.', beginning with a letter or '_'"

OnFailure = Literal["stay", "rollback"]
"""What becomes of a run that fails: it stays where it is, or is taken back to before its first phase."""

_LOOKS: Mapping[Any, tuple[type, ...]] = {
    Retry: (int, Retry),
    Rate: (int, Rate),
    timedelta: (int, float, timedelta),
    tuple: (tuple, list),
}
"""What is written for a value of some type by mistake; of other types only such values are."""
_OTHER_WORDS: Mapping[str, str] = {
    "attempts": "retry", "max_attempts": "retry", "max_retries": "retry", "retry_policy": "retry",
    "time_limit": "timeout", "timeout_seconds": "timeout", "heartbeat_timeout": "heartbeat", "task_queue": "queue", "queue_name": "queue",
    "deps": "requires", "dependencies": "requires", "state": "label", "state_label": "label",
    "rate_limit": "rate", "throttle": "rate", "service_level": "sla", "slo": "sla",
}  # fmt: skip


def check_function(fn: object) -> None:
    """Refuse what ``@phase`` cannot make a phase of."""
    if fn is not None and not callable(fn):
        instead = f"@phase(name={fn!r})" if isinstance(fn, str) else "@phase or @phase(...)"
        raise DefinitionError(f"phase({fn!r}) was given no function; write {instead} above a 'def'")


def check_no_method(fn: object) -> None:
    """Refuse a function in the body of a class: it would be called without its object."""
    if not isfunction(fn):
        return
    first = fn.__code__.co_varnames[0] if fn.__code__.co_argcount else ""
    if first in ("self", "cls") and first not in fn.__annotations__:
        raise DefinitionError(
            f"{fn.__qualname__!r} is a method: its object would be missing when it is called; write a class phase, "
            f"'class {fn.__name__.capitalize()}(Phase[In, Out])' with run(self, value, ctx), or phase(an_object.{fn.__name__})"
        )


def check_pause(after: object, wish: str) -> None:
    """Refuse a wish to be called again that does not say when."""
    if not isinstance(after, timedelta):
        raise DefinitionError(f"{wish}({after!r}) has no unit; write {wish}(timedelta(seconds=30))")
    if after < timedelta(0):
        raise DefinitionError(f"{wish}({after}): a pause cannot be negative; leave it at timedelta(0)")


def check_name(name: object, what: str) -> None:
    """Refuse a name that cannot stand in a path."""
    if not isinstance(name, str) or not NAME.match(name):
        raise DefinitionError(f"{name!r} is no name for {what}: {NAME_RULE}")
    if len(name) > LONGEST_NAME:
        raise DefinitionError(
            f"{name[:20]}… is no name for {what}: it has {len(name)} characters, {LONGEST_NAME} are allowed"
        )


def check_version(version: object, what: str) -> None:
    """Refuse a version that no storage could tell from another."""
    if isinstance(version, int | float):
        raise DefinitionError(f"{what}: version={version!r} is no text; write version={str(version)!r}")
    try:
        storable_key(version, what="version")
    except EncodeError as error:
        problem = "; ".join(error.problems)
        raise DefinitionError(f"{what}: version={version!r} names no definition: {problem}") from error


def check_key(key: object, what: str) -> None:
    """Refuse a key that cannot be stored."""
    try:
        storable_key(key, what=what)
    except EncodeError as error:
        raise DefinitionError(f"{what}: {'; '.join(error.problems)}") from error


def check_label(label: object, phase: str) -> None:
    """Refuse a label that cannot be a state."""
    if label is None or (isinstance(label, str) and LABEL.match(label)):
        return
    better = re.sub(r"[^A-Z0-9]+", "_", str(label).upper()).strip("_")
    proposal = f"write label={better!r}" if LABEL.match(better) else "leave it out to have it from the name"
    raise DefinitionError(
        f"phase {phase!r}: the label {label!r} is no name for a state: capitals, digits and '_'; {proposal}"
    )


def check_priority(priority: object) -> None:
    """Refuse a priority that there is not."""
    if type(priority) is not int:  # a float would be another number on each storage
        raise DefinitionError(f"priority={priority!r} is no whole number; 100 is the default")
    if not 0 <= priority <= LOWEST_PRIORITY:
        msg = f"priority {priority} is outside of 0 (first) to {LOWEST_PRIORITY} (last)"
        raise DefinitionError(msg)


def check_retry(retry: object, what: str) -> None:
    """Refuse what is no policy."""
    if retry is None or isinstance(retry, Retry):
        return
    number = retry if isinstance(retry, int) and not isinstance(retry, bool) else "3"
    raise DefinitionError(f"{what}: retry={retry!r} is no policy; write retry=Retry(attempts={number})")


def check_span(span: object, option: str, what: str) -> None:
    """Refuse what is no span of time in which something may end, or give a sign of life."""
    if span is None:
        return
    span = check_unit(span, option, what)
    if span <= timedelta(0):
        raise DefinitionError(f"{what}: a {option} of {span} would end it before it began")
    if span > LONGEST:
        raise DefinitionError(f"{what}: a {option} of {span} is over ten years; leave it out to have none")


def check_sla(sla: object, what: str) -> None:
    """Refuse what is no time within which something could be over."""
    if sla is None:
        return
    sla = check_unit(sla, "sla", what)
    if sla <= timedelta(0):
        msg = f"{what}: an sla of {sla} would be passed before it began; say within what time it should be over, or leave it out"
        raise DefinitionError(msg)
    if sla > LONGEST:
        raise DefinitionError(f"{what}: an sla of {sla} is over ten years; leave it out to have none")


def check_on_failure(wish: object, what: str, *, compensates: bool) -> None:
    """Refuse what does not tell what becomes of a run that fails, and a rollback that could undo nothing."""
    if wish not in get_args(OnFailure):
        known = "known are 'stay' and 'rollback'"
        raise DefinitionError(
            f"{what}: on_failure={wish!r}: {known}{did_you_mean(str(wish), get_args(OnFailure))}"
        )
    if wish == "rollback" and not compensates:
        raise DefinitionError(
            f"{what}: on_failure='rollback' would undo nothing, for no phase of it has a compensation; give those that are to be "
            "undone one, @phase(compensate=...) or a method compensate, or leave it out"
        )


def check_interval(span: object, option: str, what: str) -> None:
    """Refuse what is no span of time between two things; none at all is one."""
    if not timedelta(0) <= check_unit(span, option, what) <= LONGEST:
        raise DefinitionError(f"{what}: {option}={span}: it is no time at all, or up to ten years")


def check_concurrency(concurrency: object, option: str, what: str) -> None:
    """Refuse what is no limit on how many bodies run at once."""
    if concurrency is None or (type(concurrency) is int and concurrency >= 1):
        return
    if concurrency == 0:
        msg = f"{what}: {option}=0 would let nothing run, ever; leave it out to have no limit, or pause what is to stand"
        raise DefinitionError(msg)
    raise DefinitionError(f"{what}: {option}={concurrency!r} is no number of bodies; write {option}=4")


def check_rate(rate: object, option: str, what: str) -> None:
    """Refuse what is no limit on how many bodies are begun."""
    if rate is None:
        return
    if not isinstance(rate, Rate):
        number = rate if type(rate) is int and rate > 0 else 10
        raise DefinitionError(
            f"{what}: {option}={rate!r} has no time; write {option}=Rate({number}, per=timedelta(minutes=1))"
        )


def check_budget(budget: object, what: str) -> None:
    """Refuse what is no budget."""
    if budget is not None and not isinstance(budget, Budget):
        raise DefinitionError(f"{what}: budget={budget!r} is none; write budget=Budget(cost=Decimal('2.50'))")


def check_quota(quota: object, option: str, what: str) -> None:
    """Refuse what is no quota."""
    if quota is None:
        return
    written = "Quota(Budget(cost=Decimal('50')), per=timedelta(days=1))"
    if not isinstance(quota, Quota):
        raise DefinitionError(f"{what}: {option}={quota!r} is no quota; write {option}={written}")


def check_open_runs(number: object, option: str, what: str) -> None:
    """Refuse what is no number of runs."""
    if number is not None and (type(number) is not int or number < 1):
        raise DefinitionError(
            f"{what}: {option}={number!r} is no number of runs, of at least 1; leave it out for any number"
        )


def check_requires(requires: object, phase: str) -> None:
    """Refuse what is no tuple of tokens."""
    if isinstance(requires, tuple) and all(isinstance(token, Dep) for token in requires):  # pyright: ignore[reportUnknownVariableType]  # isinstance cannot see type arguments
        return
    raise DefinitionError(
        f"phase {phase!r}: requires={requires!r} is no tuple of Dep tokens; write requires=(TOKEN,), "
        "with TOKEN = Dep[Type]('name')"
    )


def check_bool(answer: object, option: str, what: str) -> None:
    """Refuse what is neither yes nor no."""
    if not isinstance(answer, bool):
        raise DefinitionError(
            f"{what}: {option}={answer!r} is no answer; write {option}=True or {option}=False"
        )


def check_compensate(compensate: object, phase: str) -> None:
    """Refuse what cannot be called to undo a phase."""
    if compensate is not None and not callable(compensate):
        raise DefinitionError(
            f"phase {phase!r}: compensate={compensate!r} is no function; write compensate=undo, with def undo(value, output)"
        )


# --------------------------------------------------------------------- misspelt options
Kinds = Mapping[str, tuple[type, ...]]
"""Options of a phase, each with the types by which a misspelt one is known from an attribute of the user's."""


def option_kinds(base: type) -> Kinds:
    """Read the options of class phases off the attributes that their base declares."""
    hints = get_annotations(base, eval_str=True)
    return {name: tuple(_kinds_of(hint)) for name, hint in hints.items() if not name.startswith("_")}


def _kinds_of(hint: Any) -> Iterable[type]:
    (declared,) = get_args(hint)  # what is in ClassVar[...]
    for member in (declared,) if get_origin(declared) is tuple else get_args(declared) or (declared,):
        kind: type = get_origin(member) or member
        if kind is not NoneType:
            yield from _LOOKS.get(kind, (kind,))


def check_options(given: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse keyword arguments that are no options."""
    for name in given:
        if name not in known:
            meant = _OTHER_WORDS.get(name)
            question = f"; did you mean {meant!r}?" if meant else did_you_mean(name, known)
            raise DefinitionError(
                f"{what}: {name!r} is no option of a phase{question} (there are {', '.join(known)})"
            )


def check_spelling(cls: type, kinds: Kinds) -> None:
    """Refuse an attribute of a class phase that was meant for an option but is none."""
    for name, value in cls.__dict__.items():
        if name.startswith("_") or name in kinds or name.isupper():
            continue
        meant = _meant(name, value, kinds)
        if meant is not None:
            raise DefinitionError(
                f"{cls.__name__}.{name} = {value!r} is no option of a phase; did you mean {meant!r}? "
                "(if it is an attribute of your own, give it another name)"
            )


def _meant(name: str, value: Any, kinds: Kinds) -> str | None:
    meant = _OTHER_WORDS.get(name)
    if meant is None:
        question = did_you_mean(name.replace("_", "").lower(), kinds)
        meant = next((option for option in kinds if repr(option) in question), None)
    plausible = meant is not None and isinstance(value, kinds[meant])
    return meant if plausible else None
