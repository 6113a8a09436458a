"""What undoes a phase: read from its annotations, and held against what the phase takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phaseline._definition.context import Context
from phaseline._definition.phase import Phase
from phaseline._definition.plan import Call, Plan
from phaseline._values.signature import Signature, accepts, signature_of, type_name
from phaseline.errors import DefinitionError


def undo_of(phase: Phase[Any, Any]) -> Call | None:
    """How what undoes a phase is called: with what the phase took, what it gave, and a context if it wants one.

    Raises:
        DefinitionError: It could not be called with these.
    """
    fn = phase.options.compensate
    if fn is None:
        return None
    named, signature = _named(phase), _signature_of(phase, fn)
    given = (*phase.signature.inputs, phase.signature.output)
    if len(signature.inputs) != len(given):
        expected = ", ".join(type_name(type_) for type_ in given)
        msg = f"{named} takes {len(signature.inputs)} values; it is given {len(given)}: {expected}, plus a Context"
        raise DefinitionError(msg)
    for place, (takes, type_) in enumerate(zip(signature.inputs, given, strict=True), start=1):
        if not accepts(takes, type_):
            told = "what the phase gives" if place == len(given) else "what the phase takes"
            raise DefinitionError(f"{named} takes {type_name(takes)} for {told}, which is {type_name(type_)}")
    if phase.options.transactional and (signature.is_async or signature.context is None):
        msg = f"{named} is transactional, as the phase is: make it a plain def that takes a Context, where its connection is"
        raise DefinitionError(msg)
    if phase.options.heartbeat is not None and signature.context is None:
        msg = f"{named} has the phase's heartbeat, but takes no Context, by which it would give signs of life"
        raise DefinitionError(msg)
    body = _awaited(fn) if signature.is_async else _called(fn)
    return Call(body, signature.context, signature.is_async, tuple)


def check_finishers(plan: Plan) -> None:
    """Refuse what undoes a phase that may end the run, if it does not take the output of that.

    Raises:
        DefinitionError: It names the phase.
    """
    for node, binding in zip(plan.nodes, plan.bindings, strict=True):
        phase = binding.phase
        if phase is None or phase.options.compensate is None or not node.may_finish:
            continue
        takes = _signature_of(phase, phase.options.compensate).inputs[-1]
        if not accepts(takes, plan.output_type):
            msg = (
                f"{_named(phase)} takes {type_name(takes)} for what the phase gives; where that ends the run, by Finish, it is "
                f"the output of pipeline {plan.name!r}, {type_name(plan.output_type)}; have it take both"
            )
            raise DefinitionError(msg)


def _named(phase: Phase[Any, Any]) -> str:
    return f"what undoes phase {phase.title!r}"


def _signature_of(phase: Phase[Any, Any], fn: Callable[..., Any]) -> Signature:
    return signature_of(fn, context_type=Context, what=_named(phase), localns=phase.names)


def _awaited(fn: Callable[..., Any]) -> Callable[..., Any]:
    async def undo(*args: Any, **kwargs: Any) -> None:
        await fn(*args, **kwargs)

    return undo


def _called(fn: Callable[..., Any]) -> Callable[..., Any]:
    def undo(*args: Any, **kwargs: Any) -> None:
        fn(*args, **kwargs)

    return undo
