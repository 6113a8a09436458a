"""One request as a handler gets it, once it is known who asks, and that he may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import attrs
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from phaseline.arguments import meant
from phaseline.inspection import state_of
from phaseline.pipeline import Pipeline
from phaseline.run_filter import RunSummary
from phaseline.runs import summary_by_id
from phaseline.runtime import Runtime
from phaseline.views import StateView, View
from phaseline.web.access import Access, Action
from phaseline.web.asked import Body, Query
from phaseline.web.guard import Visitor
from phaseline.web.problems import INVALID_REQUEST, UNKNOWN_PIPELINE, RequestError

OfRun = TypeVar("OfRun", bound=View)


@attrs.frozen(kw_only=True)
class Call:
    """A request that is allowed."""

    visitor: Visitor
    request: Request
    found: RunSummary | None
    """The run that it is about."""
    query: Any
    """Of the class that the route names."""
    body: Any
    """Of the class that the route names."""
    hidden: frozenset[str] = frozenset()
    """Names of members of values of which nothing is shown."""
    read_only: bool = False
    """Whether nothing may be changed."""

    @property
    def runtime(self) -> Runtime:
        """Whose runs he may see."""
        return self.visitor.runtime

    @property
    def access(self) -> Access:
        """Who asks."""
        return self.visitor.access

    @property
    def run(self) -> RunSummary:
        """The run that it is about, of a route that names one."""
        assert self.found is not None  # noqa: S101  # the route says so
        return self.found

    @property
    def name(self) -> str:
        """The schedule or pipeline that the path names."""
        return str(self.request.path_params["name"])

    async def summary(self, run_id: str) -> RunSummary:
        """A run as it is now."""
        return await summary_by_id(self.runtime.runner, run_id)

    async def state(self, run_id: str | None = None) -> StateView:
        """Where a run is now; by default the one that it is about."""
        return await state_of(self.runtime, run_id or self.run.id)

    def shown(self, view: OfRun) -> OfRun:
        """A run as it is shown here: one that nobody may command obeys nothing."""
        return view.model_copy(update={"allowed": ()}) if self.read_only else view

    def pipeline(self, name: str | None, version: str | None) -> Pipeline[Any, Any]:
        """Give the pipeline that is named; where only one is served, it need not be, and of several versions the first is meant.

        Raises:
            RequestError: There is none, or it cannot be told which.
        """
        found = meant(self.runtime.pipelines, name, version)
        if len(found) == 1:
            return found[0]
        if not found:
            which = f"no pipeline {name!a}" + ("" if version is None else f" of version {version!a}")
            raise RequestError(
                UNKNOWN_PIPELINE, f"{which} is served here; GET pipelines lists them", pipeline=name
            )
        known = [*dict.fromkeys(each.name for each in found)]
        raise RequestError(INVALID_REQUEST, "name one pipeline", known=known)


Handler: TypeAlias = Callable[[Call], Awaitable[BaseModel | Response | None]]


@attrs.frozen(kw_only=True)
class Route:
    """One thing that may be asked for: how it is reached, who may, and what comes of it. OpenAPI is made of it too."""

    method: str
    path: str
    name: str
    """Of the operation, in OpenAPI."""
    action: Action | None
    """What he must be allowed; None where it is enough to be known."""
    handler: Handler
    query: type[Query] = Query
    body: type[Body] | None = None
    """None where no body is read."""
    status: int = 200
    answer: type[BaseModel] | None = None
    also: Mapping[int, str] = attrs.field(factory=dict[int, str])
    """Other statuses that it may answer with, alike, and what they mean."""
    media_type: str = "application/json"
    problems: tuple[str, ...] = ()
    """Kinds of problems beside those that every such route has."""
    follow: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict[str, Mapping[str, str]])
    """By the name of another operation, its parameters, as places in the answer: what may be asked for next."""
    headers: tuple[str, ...] = ()
    """Names of headers that it reads."""

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.handler.__doc__ or "").partition("\n")[0]

    @property
    def changes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"

    @property
    def is_of_run(self) -> bool:
        """Whether the path names a run."""
        return "{id}" in self.path

    @property
    def run_in_body(self) -> bool:
        """Whether the body names a run."""
        return self.body is not None and "id" in self.body.model_fields and not self.is_of_run
