"""What runtimes and runs are asked with: refused before anything is opened or stored, with what to write instead."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from phaseline._definition.options import (
    check_bool,
    check_concurrency,
    check_interval,
    check_name,
    check_open_runs,
    check_priority,
    check_quota,
    check_rate,
    check_retry,
    check_span,
)
from phaseline._definition.step import Node, advice_on
from phaseline._shell.starting import AT_ONCE, StartOptions
from phaseline._values.spans import LONGEST, check_unit
from phaseline._values.texts import did_you_mean, storable_key
from phaseline.abc import Clock, Queue, Storage
from phaseline.backends import queue_from, storage_from, transport_from
from phaseline.bus import EventBus
from phaseline.errors import DefinitionError, PipelineNotRegisteredError
from phaseline.pipeline import Host, Pipeline
from phaseline.query_arguments import SPAN_OR_TO_COME, check_moment
from phaseline.settings import Settings
from phaseline.transport import Transport

log: Final = logging.getLogger("phaseline.runtime")

LONGEST_LIMIT_KEY: Final = 200
SHORTEST_LEASE: Final = timedelta(milliseconds=100)
"""It is renewed three times while it lasts, each time by a commit; a pause of that length costs a body its work."""

Pipelines = Mapping[tuple[str, str], Pipeline[Any, Any]]
"""By name and version."""


# --------------------------------------------------------------------- a runtime
def checked_storage(storage: object) -> Storage:
    """Give the storage, or that which its URL names."""
    given = storage_from(storage) if isinstance(storage, str) else storage
    if not isinstance(given, Storage):
        raise DefinitionError(
            f"Runtime(storage={storage!r}): give a URL or a storage; 'memory', the default, keeps nothing"
        )
    return given


def checked_queue(queue: object) -> Queue:
    """Give the queue, or that which its URL names."""
    given = queue_from(queue) if isinstance(queue, str) else queue
    if not isinstance(given, Queue):
        raise DefinitionError(f"Runtime(queue={queue!r}): give a URL or a queue; 'memory' is the default")
    return given


def checked_transport(transport: object) -> Transport | None:
    """Give the transport of events, or that which its URL names; None where there is none."""
    given = transport_from(transport) if isinstance(transport, str) else transport
    if given is not None and not isinstance(given, Transport):
        raise DefinitionError(
            f"Runtime(transport={transport!r}): give a URL, such as 'redis://host:6379/0', or a transport"
        )
    return given


def checked_clock(clock: Clock | None) -> Clock | None:
    """Refuse a clock that lacks what a runtime asks of one: it would wait for ever."""
    asked = ("now", "sql_now", "follow", "sleep_until", "rest")
    lacks = [name for name in asked if clock is not None and not callable(getattr(clock, name, None))]
    if lacks:
        raise DefinitionError(
            f"Runtime(clock={clock!r}): a clock has the methods {', '.join(asked)}; it lacks {', '.join(lacks)}"
        )
    return clock


def check_kinds(*, settings: object, bus: object, classify: object) -> None:
    """Refuse what is of another kind: it would be met with the first run, or with the first failure."""
    if settings is not None and not isinstance(settings, Settings):
        raise DefinitionError(f"Runtime(settings={settings!r}) is no Settings; write Settings.from_env()")
    if bus is not None and not isinstance(bus, EventBus):
        raise DefinitionError(f"Runtime(bus={bus!r}) is no EventBus; write EventBus(), or leave it out")
    if classify is not None and not callable(classify):
        msg = f"Runtime(classify={classify!r}) is no function; give one that takes an exception and gives an ErrorCategory or None"
        raise DefinitionError(msg)


def meant(
    pipelines: Iterable[Pipeline[Any, Any]], name: str | None, version: str | None
) -> Sequence[Pipeline[Any, Any]]:
    """Give the pipelines that may be meant by a name and a version, either of which may be left out.

    Several only where these are of several names: of several versions the one that was listed first is meant.
    """
    found = [each for each in pipelines if name in (None, each.name) and version in (None, each.version)]
    return found if len({each.name for each in found}) > 1 else found[:1]


def checked_pipelines(pipelines: Any) -> Pipelines:
    """Give pipelines by name and version."""
    if isinstance(pipelines, Node | str):
        raise DefinitionError(
            f"Runtime(pipelines={pipelines!r}): several pipelines are expected; write pipelines=[pipeline]"
        )
    if not hasattr(pipelines, "__iter__"):
        raise DefinitionError(f"Runtime(pipelines={pipelines!r}): a list of pipelines is expected")
    found: dict[tuple[str, str], Pipeline[Any, Any]] = {}
    for each in pipelines:
        pipeline = checked_pipeline(each, "Runtime(pipelines=[...])")
        if found.setdefault((pipeline.name, pipeline.version), pipeline) is not pipeline:
            msg = f"two different pipelines are named {pipeline.name!r}, version {pipeline.version!r}; raise one's version"
            raise DefinitionError(msg)
    for pipeline in found.values():
        _check_children(pipeline, found)
    return found


def _check_children(pipeline: Pipeline[Any, Any], registered: Pipelines) -> None:
    """Refuse a pipeline whose runs would start runs that nobody here could carry forward."""
    for path, plan in pipeline.plan.starts:
        known = registered.get((plan.name, plan.version))
        if known is None or known.plan.fingerprint != plan.fingerprint:
            shape = "" if known is None else " in this shape"
            raise DefinitionError(
                f"pipeline {pipeline.name!r} starts runs of {plan.name!r}, version {plan.version!r}, at {path!r}, which is "
                f"not registered{shape}; add it: Runtime(pipelines=[{pipeline.name}, {plan.name}])"
            )


def checked_pipeline(pipeline: object, what: str) -> Pipeline[Any, Any]:
    """Refuse what is no pipeline."""
    if isinstance(pipeline, Pipeline):
        return pipeline  # pyright: ignore[reportUnknownVariableType]  # isinstance cannot see type arguments
    raise DefinitionError(f"{what}: {pipeline!r} {advice_on(pipeline)}")


def check_bounds(
    *,
    namespace: object,
    concurrency: object,
    sync_threads: object,
    lease: object,
    drain: object,
    retain: object,
    retry: object,
    timeout: object,
    serve: object,
    tracebacks: object,
    namespace_concurrency: object,
    checkpoints: object,
    checkpoint_interval: object,
    namespace_rate: object,
    age_after: object,
    namespace_quota: object,
    namespace_open_runs: object,
) -> None:
    """Refuse what a runtime could not work with."""
    what = "Runtime"
    check_namespace(namespace, "Runtime(namespace=...)")
    _check_count(concurrency, "concurrency")
    _check_count(sync_threads, "sync_threads")
    check_span(lease, "lease", what)
    if check_unit(lease, "lease", what) < SHORTEST_LEASE:
        msg = f"Runtime(lease={lease}): it would run out before it could be renewed; it lasts at least {SHORTEST_LEASE}"
        raise DefinitionError(msg)
    if not timedelta(0) <= check_unit(drain, "drain", what) <= LONGEST:
        raise DefinitionError(f"Runtime(drain={drain}): bodies may go on for no time, or for up to ten years")
    if retain is not None and check_unit(retain, "retain", what) <= timedelta(0):
        msg = f"Runtime(retain={retain}): runs are kept for some time, or for ever, which is None"
        raise DefinitionError(msg)
    check_retry(retry, what)
    check_span(timeout, "timeout", what)
    check_bool(serve, "serve", what)
    check_bool(tracebacks, "tracebacks", what)
    check_concurrency(namespace_concurrency, "namespace_concurrency", what)
    if checkpoints is not None:
        check_bool(checkpoints, "checkpoints", what)
    if checkpoint_interval is not None:
        check_interval(checkpoint_interval, "checkpoint_interval", what)
    check_rate(namespace_rate, "namespace_rate", what)
    check_quota(namespace_quota, "namespace_quota", what)
    check_open_runs(namespace_open_runs, "namespace_open_runs", what)
    if age_after is not None and not timedelta(0) < check_unit(age_after, "age_after", what) <= LONGEST:
        msg = f"Runtime(age_after={age_after}): what waits goes first after some time of up to ten years; None: never by that"
        raise DefinitionError(msg)


def check_namespace(namespace: object, verb: str) -> None:
    """Refuse what can be the name of no namespace; of the verb the dots stand for what was given."""
    if not isinstance(namespace, str) or not namespace.isprintable() or not namespace:
        raise DefinitionError(
            f"{verb.replace('...', repr(namespace))}: it must be a printable text, and not empty"
        )
    storable_key(namespace, what="the namespace")


def checked_namespaces(namespaces: Any) -> tuple[str, ...]:
    """Give the names of namespaces that a runtime was given as a list."""
    if isinstance(namespaces, str) or not hasattr(namespaces, "__iter__"):
        raise DefinitionError(
            f"Runtime(namespaces={namespaces!r}): a list of names is needed: [{namespaces!r}]"
        )
    names: tuple[str, ...] = (*namespaces,)
    for name in names:
        check_namespace(name, "Runtime(namespaces=[...])")
    return names


def _check_count(count: object, option: str) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise DefinitionError(f"Runtime({option}={count!r}): it is a whole number, of at least 1")


def checked_queues(queues: Any, named: frozenset[str]) -> frozenset[str] | None:
    """Give the names of the queues to serve; say which of them hold nothing for the pipelines here.

    Args:
        queues: As a runtime was given them.
        named: Those that phases of its pipelines name.
    """
    if queues is None:
        return None
    if isinstance(queues, str) or not hasattr(queues, "__iter__"):
        raise DefinitionError(f"Runtime(queues={queues!r}): a list of names is needed: [{queues!r}]")
    names: list[str] = [*queues]
    for name in names:
        check_name(name, "a queue of Runtime(queues=[...])")
        if named and name not in named:
            log.warning(
                "Runtime(queues=[...]): no phase of its pipelines is in the queue %r, so nothing is served from it%s",
                name,
                did_you_mean(name, named),
            )
    return frozenset(names)


# --------------------------------------------------------------------- runs
def _check_limit(key: object, concurrency: object, rate: object) -> None:
    """Refuse what is no limit that runs share under a key."""
    check_concurrency(concurrency, "concurrency", "start")
    check_rate(rate, "rate", "start")
    for name, given in (("concurrency", concurrency), ("rate", rate)):
        if key is None and given is not None:
            msg = f"{name}={given} bounds what shares a key; give concurrency_key too"
            raise DefinitionError(msg)
    if key is not None and not (
        isinstance(key, str) and 0 < len(key) <= LONGEST_LIMIT_KEY and key.isprintable()
    ):
        msg = f"concurrency_key={key!r} is no text of 1 to {LONGEST_LIMIT_KEY} characters that can be printed"
        raise DefinitionError(msg)


def check_startable(host: Host, pipeline: object, options: StartOptions) -> None:
    """Refuse to start what was not registered with a runtime, or in a way that makes no sense."""
    asked = checked_pipeline(pipeline, "start")
    if not host.has(asked):
        raise PipelineNotRegisteredError(asked.name, repr(host), host.names)
    if options is not AT_ONCE:
        check_start(options)


def check_start(options: StartOptions) -> None:
    """Refuse what makes no sense for the start of a run."""
    check_priority(options.priority)
    if check_unit(options.delay, "delay", "start") < timedelta(0):
        msg = f"a delay of {options.delay} is negative; leave it out to start at once"
        raise DefinitionError(msg)
    _check_limit(options.concurrency_key, options.concurrency, options.rate)
    check_span(options.timeout, "timeout", "start")
    if not isinstance(options.deadline, timedelta):
        check_moment(options.deadline, "deadline", SPAN_OR_TO_COME)
    check_bool(options.while_open, "while_open", "start")
    if options.key is None:
        if options.while_open:
            msg = "while_open says how long a key is held; give the key too"
            raise DefinitionError(msg)
    elif not storable_key(options.key, what="the key of a run").isprintable():
        msg = f"the key {options.key!r} is not printable; leave it out for none"
        raise DefinitionError(msg)
