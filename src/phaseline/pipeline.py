"""Pipelines: a definition that can be run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import anyio
from anyio import RunFinishedError, from_thread
from anyio.lowlevel import EventLoopToken

from phaseline._definition.compiler import compile_plan
from phaseline._definition.deps import Dep, check_provided, checked_deps
from phaseline._definition.drawing import to_dict, to_mermaid
from phaseline._definition.graph import Ref, Wires
from phaseline._definition.options import (
    OnFailure,
    check_budget,
    check_concurrency,
    check_name,
    check_rate,
    check_retry,
    check_sla,
    check_span,
    check_version,
)
from phaseline._definition.plan import Plan
from phaseline._definition.step import Node, Subgraph
from phaseline._shell.chains import Chain
from phaseline._shell.describing import describe
from phaseline._shell.driving import begin, drive, follow
from phaseline._shell.live import LiveRun
from phaseline._shell.runner import Runner
from phaseline._shell.waiting import ended_run, raise_unless_completed
from phaseline._shell.worker import Worker
from phaseline.errors import (
    AmbiguousRuntimeError,
    DefinitionError,
    PipelineNotRegisteredError,
    RunningLoopError,
    RuntimeNotOpenError,
    RuntimeUsageError,
)
from phaseline.event_loop import is_here, loop_here
from phaseline.limits import Rate
from phaseline.logs import Called, called
from phaseline.machine import Transitions
from phaseline.queues.inprocess import InProcessQueue
from phaseline.retry import Retry
from phaseline.rows import ENDED_STATES
from phaseline.run import Run
from phaseline.storage.memory_unread import UnreadMemory
from phaseline.usage import Budget

Selected: TypeAlias = "str | Pipeline[Any, Any]"
"""A pipeline by name, or itself."""

log: Final = logging.getLogger("phaseline.pipeline")

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class Host(Protocol):
    """An open runtime, as a pipeline sees it."""

    @property
    def token(self) -> EventLoopToken:
        """The event loop it lives on."""
        ...

    @property
    def pid(self) -> int:
        """The process it lives in."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it takes what it is asked for; not while it closes."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """Names of the pipelines it registered."""
        ...

    def has(self, pipeline: Pipeline[Any, Any]) -> bool:
        """Whether it registered the pipeline."""
        ...

    def around(self, called: Called | None, /) -> Host:
        """Itself, or its view in whose namespace a body is being called."""
        ...

    async def run(self, pipeline: Pipeline[Any, Any], value: Any, /) -> Run[Any]:
        """Run it to its end."""
        ...


def elsewhere(host: object, pid: int | None) -> RuntimeUsageError:
    """What is said of a runtime that another process has open, of which this one is a fork."""
    return RuntimeUsageError(
        f"{host!r} lives in process {pid}, of which this one is a fork: its event loop does not run here, and its "
        "connections are not this process's; open a runtime here"
    )


open_hosts: list[Host] = []
"""The open runtimes of this process. ``pipeline.run()`` must find them wherever it is called: a context variable
would not reach the request tasks of a web framework, and falling back to memory would lose data in silence."""


class Pipeline(Subgraph[In_contra, Out_co]):
    """Phases composed under a name; a definition is told apart by name and version.

    A pipeline is itself a node: inside another one its phases' paths begin with its name.
    """

    def __init__(
        self,
        name: str,
        body: Node[In_contra, Out_co],
        *,
        version: str = "1",
        retry: Retry | None = None,
        timeout: timedelta | None = None,
        sla: timedelta | None = None,
        concurrency: int | None = None,
        rate: Rate | None = None,
        budget: Budget | None = None,
        on_failure: OnFailure = "stay",
    ) -> None:
        """Compile the phases into a plan.

        Args:
            name: Letters, digits, ``_``, ``-`` and ``.``.
            body: A phase, or what ``>>``, ``each`` and the like made.
            version: Text that tells definitions of the same name apart, of at most 500 characters.
            retry: For phases that say nothing themselves; by default what the runtime says, else one attempt.
            timeout: How long a run may be active, without pauses, waits and delays; then it fails. By default what the
                runtime says, else for ever. Inside of another pipeline that one's timeout counts.
            sla: Within what time a run should be over, from when it could begin, pauses, waits and delays included. One that
                takes longer is told of, once, by ``SLA_BREACHED``, and goes on all the same. Inside of another pipeline that
                one's counts.
            concurrency: How many bodies of its runs may run at once, in all processes together; None for any number.
                Inside of another pipeline that one's counts.
            rate: How many of them may be begun in a time, each attempt by itself: ``Rate(10, per=timedelta(minutes=1))``.
            budget: How much a run may use of what is paid for, as far as its bodies say so with ``ctx.reserve`` before they use
                it. Inside of another pipeline that one's counts.
            on_failure: ``stay``: a run that fails stays FAILED, until somebody commands it. ``rollback``: the compensations of all that
                it had committed are called, the latest first, and it ends ROLLED_BACK; its failure and the first of them are one
                commit. One that had committed nothing that has a compensation stays FAILED. Inside of another pipeline
                that one's counts.

        Raises:
            DefinitionError: Two phases share a path, types are missing or do not fit, a label or the version is misused, ….
        """
        check_name(name, "a pipeline")
        check_version(version, f"pipeline {name!r}")
        check_retry(retry, f"pipeline {name!r}")
        check_span(timeout, "timeout", f"pipeline {name!r}")
        check_sla(sla, f"pipeline {name!r}")
        check_concurrency(concurrency, "concurrency", f"pipeline {name!r}")
        check_rate(rate, "rate", f"pipeline {name!r}")
        check_budget(budget, f"pipeline {name!r}")
        super().__init__(name, body)
        self.version = version
        """Version text of this definition."""
        self.retry = retry
        self.plan: Plan = compile_plan(
            name,
            version,
            self.body,
            retry,
            timeout,
            sla=sla,
            concurrency=concurrency,
            rate=rate,
            budget=budget,
            on_failure=on_failure,
        )
        warn_of_endless(self.plan, self.plan.endless)

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, version={self.version!r})"

    @property
    def transitions(self) -> Transitions[str]:
        """The state machine of its runs, derived from the graph."""
        return self.plan.transitions

    def to_mermaid(self) -> str:
        """The graph as the text of a Mermaid flowchart; ``transitions.to_mermaid()`` draws the states of a run."""
        return to_mermaid(self.plan)

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON data: nodes with paths, kinds, labels and queues, where their values come from, states."""
        return to_dict(self.plan)

    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of what a run takes.

        Raises:
            DefinitionError: The type holds something that JSON schema cannot describe.
        """
        return self.plan.input.json_schema()

    def output_schema(self) -> dict[str, Any]:
        """The JSON schema of what a run gives.

        Raises:
            DefinitionError: The type holds something that JSON schema cannot describe.
        """
        return self.plan.whole.json_schema()

    def signal_schemas(self) -> dict[str, dict[str, Any]]:
        """The JSON schemas of the signals that runs wait for, by name.

        Raises:
            DefinitionError: A type holds something that JSON schema cannot describe.
        """
        return {name: door.json_schema() for name, door in self.plan.signals.items()}

    async def run(
        self,
        value: In_contra,
        /,
        *,
        runtime: Host | None = None,
        deps: Mapping[Dep[Any], Any] | None = None,
    ) -> Run[Out_co]:
        """Run to the end, and give the run with its output.

        It runs on ``runtime``; else on the one open runtime that registered this pipeline; else, if no runtime is
        open in this process, in memory. Cancelling the caller does not cancel a run on a runtime.

        Args:
            value: The input; validated before anything is stored.
            runtime: Where to run.
            deps: What the phases need from their host; for runs in memory, a runtime has its own.

        Raises:
            InvalidInputError: The value is not what the first phase takes.
            PipelineFailedError: A phase failed for good; ``.run`` tells all, ``__cause__`` the exception.
            PipelineCancelledError: It was cancelled.
            PipelineRolledBackError: It was rolled back.
            PipelineNotRegisteredError: A runtime is open, but none registered this pipeline.
            AmbiguousRuntimeError: Several did.
            RuntimeNotOpenError: The runtime that registered it is being closed.
            RuntimeUsageError: No runtime is open, and the pipeline waits for a signal that nobody could send; or the runtime was
                opened before this process was forked.
        """
        host = self._host(runtime, deps)
        if host is None:
            return await self._run_in_memory(value, deps)
        if not is_here(host.token):
            msg = f"{host!r} lives on another event loop than this call; use run_sync() in a thread, or the loop it is on"
            raise RuntimeUsageError(msg)
        return await host.run(self, value)

    async def __call__(self, value: In_contra, /) -> Out_co:
        """Run to the end, and give just the output."""
        return (await self.run(value)).output

    def run_sync(
        self, value: In_contra, /, *, runtime: Host | None = None, deps: Mapping[Dep[Any], Any] | None = None
    ) -> Run[Out_co]:
        """Do as ``run`` does, from code without an event loop.

        Raises:
            RunningLoopError: An event loop runs in this thread.
            RuntimeNotOpenError: The runtime was closed meanwhile.
            RuntimeUsageError: As ``run``.
        """
        if loop_here() is not None:
            raise RunningLoopError("run_sync()", "await pipeline.run(value)")
        host = self._host(runtime, deps)
        if host is None:  # not asked again by the loop in between: one may open meanwhile in another thread
            return anyio.run(self._run_in_memory, value, deps)
        token = host.token
        try:
            return from_thread.run(partial(host.run, self, value), token=token)
        except RunFinishedError as error:
            raise RuntimeNotOpenError from error

    def _host(self, runtime: Host | None, deps: Mapping[Dep[Any], Any] | None) -> Host | None:
        host = runtime or self._open_host()
        if host is not None and deps is not None:
            msg = f"pipeline {self.name!r} runs on {host!r}; give the dependencies to it: Runtime(..., deps=...)"
            raise RuntimeUsageError(msg)
        if host is not None and host.pid != os.getpid():
            raise elsewhere(host, host.pid)
        return host

    def _open_host(self) -> Host | None:
        if not open_hosts:
            return None
        here = os.getpid()  # one that was open at a fork is known to the child, and lives in its parent
        hosts = [host for host in open_hosts if host.pid == here]
        registered = [host for host in hosts or open_hosts if host.has(self)]
        # What is asked of one that closes is refused there: it must not be done in a memory that nobody looks at.
        registered = [host for host in registered if host.is_open] or registered[:1]
        if not registered and not hosts:
            return None
        if not registered:
            names = frozenset[str]().union(*(host.names for host in hosts))
            raise PipelineNotRegisteredError(self.name, " or ".join(map(repr, hosts)), names)
        if len(registered) > 1:
            raise AmbiguousRuntimeError(self.name, [repr(host) for host in registered])
        return registered[0].around(called.get())

    async def _run_in_memory(self, value: In_contra, deps: Mapping[Dep[Any], Any] | None) -> Run[Out_co]:
        family = self.plan.family
        endless = [path for plan in family if plan.endless_waits for path in plan.endless_waits]
        if endless:
            path = endless[0]
            msg = (
                f"pipeline {self.name!r} waits at {path!r} for a signal, and nobody could send one to a run in memory; open "
                "a runtime: async with Runtime(pipelines=[...]), or give the wait a timeout"
            )
            raise RuntimeUsageError(msg)
        given = checked_deps(deps) or {}
        check_provided(family, given)
        runner = Runner(UnreadMemory(), InProcessQueue(), plans=family, deps=given)
        try:
            live: LiveRun | None = None
            # A line has nothing that runs beside anything else: it needs no other task, unless it has to wait.
            if self.plan.is_line:
                live = await self._drive(runner, value)
            if live is None or live.snapshot.run.state not in ENDED_STATES:
                live = await self._drive_in_tasks(runner, value, live)
            run = await describe(runner, live)
        finally:
            # Its threads have but to return and are not waited for: that takes longer than such a run.
            runner.close()
        raise_unless_completed(run, live.cause)
        return run

    async def _drive(self, runner: Runner, value: object) -> LiveRun:
        live, job = await begin(runner, self.plan, value)
        if job is not None:
            # Nothing stops the body of a line from outside, so it needs nothing by which it can be.
            await (follow if self.plan.is_line else drive)(runner, Chain(job))
        return live

    async def _drive_in_tasks(self, runner: Runner, value: object, live: LiveRun | None) -> LiveRun:
        outcome: LiveRun | Exception | None = None
        async with anyio.create_task_group() as tasks:
            runner.open(tasks)
            Worker(runner).serve()
            try:
                outcome = await ended_run(runner, live or await self._drive(runner, value))
            except Exception as error:  # noqa: BLE001  # raised below, where the task group does not wrap it
                outcome = error
            tasks.cancel_scope.cancel()
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None  # noqa: S101  # else there was an error
        return outcome


class Dag(Wires[In]):
    """Any graph, step by step: ``add`` gives a typed reference on what a step hands on, ``build`` the pipeline."""

    def build(
        self,
        output: Ref[Out],
        /,
        *,
        also: Sequence[Ref[Any]] = (),
        version: str = "1",
        retry: Retry | None = None,
        timeout: timedelta | None = None,
        sla: timedelta | None = None,
        concurrency: int | None = None,
        rate: Rate | None = None,
        budget: Budget | None = None,
        on_failure: OnFailure = "stay",
    ) -> Pipeline[In, Out]:
        """Make a pipeline of what was added.

        Args:
            output: What a run of it gives.
            also: Steps whose output nobody takes, because they are there for their effect.
            version: As with ``Pipeline``.
            retry: As with ``Pipeline``.
            timeout: As with ``Pipeline``.
            sla: As with ``Pipeline``.
            concurrency: As with ``Pipeline``.
            rate: As with ``Pipeline``.
            budget: As with ``Pipeline``.
            on_failure: As with ``Pipeline``.

        Raises:
            DefinitionError: A step leads nowhere, a reference stands in another graph, or as with ``Pipeline``.
        """
        return Pipeline(
            self.name,
            self.output(output, also=also),
            version=version,
            retry=retry,
            timeout=timeout,
            sla=sla,
            concurrency=concurrency,
            rate=rate,
            budget=budget,
            on_failure=on_failure,
        )


def warn_of_endless(plan: Plan, phases: Sequence[str]) -> None:
    """Say that a run may never end: that is allowed, and rarely meant."""
    if phases:
        log.warning(
            "pipeline %r: nothing ends the retries of %s if they always fail", plan.name, ", ".join(phases)
        )


def names_of(selected: Selected | Iterable[Selected] | None) -> frozenset[str] | None:
    """Names of pipelines that were given by name or themselves; None for all."""
    if selected is None:
        return None
    given = [selected] if isinstance(selected, str | Pipeline) else selected
    if not hasattr(given, "__iter__"):
        raise DefinitionError(f"pipeline={given!r} is neither a pipeline nor the name of one")
    return frozenset(str(each) if isinstance(each, str) else each.name for each in given)
