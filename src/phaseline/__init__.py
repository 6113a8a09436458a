"""Durable phase pipelines that live inside your application."""

from __future__ import annotations

from phaseline._definition.children import start_child
from phaseline._definition.compose import Err, Ok, Skipped, branch, each, parallel, when
from phaseline._definition.context import Context, CustomEvent
from phaseline._definition.control_flow import Abort, Again, Finish, RetryAfter, Skip
from phaseline._definition.deps import Dep
from phaseline._definition.graph import Ref
from phaseline._definition.phase import Phase, phase
from phaseline._definition.signals import Signal
from phaseline._definition.step import wait_for
from phaseline.bus import EventBus
from phaseline.errors import PhaselineError
from phaseline.events import Event, Transition
from phaseline.handle import RunHandle
from phaseline.limits import Rate
from phaseline.machine import StateMachine, Transitions
from phaseline.pipeline import Dag, Pipeline
from phaseline.retry import Retry
from phaseline.rows import Checkpoint, ErrorCategory, PhaseRecord, PhaseState, RunState
from phaseline.run import Run
from phaseline.run_filter import Commanded, Orphans, RunPage, RunSummary
from phaseline.runs import Runs
from phaseline.runtime import Runtime
from phaseline.schedule import Schedule
from phaseline.schedules import SLOT, Schedules
from phaseline.subscriptions import Subscription
from phaseline.usage import Budget, Quota, Usage

__all__ = [
    # definition
    "Pipeline", "Phase", "phase", "each", "parallel", "when", "branch", "Dag", "Ref",
    "Signal", "wait_for", "start_child",
    "Ok", "Err", "Skipped", "Retry", "Rate", "Budget", "Quota", "Dep",
    # what a body sees and may raise
    "Context", "CustomEvent", "Skip", "Abort", "Again", "RetryAfter", "Finish",
    # running
    "Runtime", "RunHandle", "Run", "RunState", "PhaseRecord", "PhaseState", "Checkpoint", "ErrorCategory",
    "Usage", "Commanded", "Runs", "RunPage", "RunSummary", "Orphans", "Schedules", "Schedule", "SLOT",
    # events
    "EventBus", "Subscription", "Event", "Transition",
    # state machines
    "Transitions", "StateMachine",
    # errors
    "PhaselineError",
]  # fmt: skip

__version__ = "0.1.0"
