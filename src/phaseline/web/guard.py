"""From a connection to the runtime whose runs it may see, and from the id of a run to the run, if it may be seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import attrs
from starlette.requests import HTTPConnection

from phaseline.errors import (
    DefinitionError,
    ForbiddenError,
    InvalidMarkError,
    RunNotFoundError,
    UnauthenticatedError,
)
from phaseline.run_filter import RunSummary
from phaseline.runs import summary_by_id
from phaseline.runtime import Runtime
from phaseline.schedules import Schedules
from phaseline.web.access import Access, Action, Authorize, asked, everything

Source: TypeAlias = Runtime | Callable[[str | None], Runtime | Awaitable[Runtime | None] | None]
"""The one runtime, or what gives that of a namespace, and None where there is none."""


@attrs.frozen
class Visitor:
    """Somebody who is known, and the runtime in whose namespace he is."""

    access: Access
    runtime: Runtime

    async def require(self, action: Action) -> None:
        """Go on only if he may do that at all.

        Raises:
            ForbiddenError: He may not.
        """
        if not await self.access.allows(action):
            raise ForbiddenError(action)

    async def run(self, action: Action, run_id: str) -> RunSummary:
        """Give a run, if he may do that to it: of one that he may not he learns no more than of one that is not there.

        Raises:
            RunNotFoundError: There is no such run in his namespace, or not for him.
            RuntimeNotOpenError: The runtime is not open.
            StorageError: It cannot be read.
        """
        found = await summary_by_id(self.runtime.runner, run_id)
        if not await self.access.allows(action, found):
            raise RunNotFoundError(run_id)
        return found

    def schedules(self, action: Action) -> Schedules:
        """Give the schedules to which he may do that: of others he learns no more than of ones that are not there.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
        """
        found, may = self.runtime.schedules, self.access.may
        return found if may is everything else found.restricted(partial(self.access.allows, action))


@attrs.frozen
class Guard:
    """Lets in those whom the host knows, each to the runtime of his namespace."""

    source: Source
    authorize: Authorize

    async def admit(self, connection: HTTPConnection) -> Visitor:
        """Ask the host who this is.

        Raises:
            UnauthenticatedError: It does not know him, or does no more.
            ForbiddenError: There is no runtime of his namespace.
            RuntimeNotOpenError: It is not open.
            RuntimeError: The host made an ``Access`` that cannot be, or something else.
        """
        try:
            access = await asked(self.authorize, connection)
        except (
            DefinitionError,
            InvalidMarkError,
        ) as error:  # no fault of who asks, and nothing for him to read
            raise RuntimeError("authorize made an Access that cannot be") from error
        if access is None:
            raise UnauthenticatedError
        if access.has_expired():
            raise UnauthenticatedError(expired=True)
        runtime = await self._runtime_of(access.namespace)
        if runtime is None:
            raise ForbiddenError("namespace")
        _ = runtime.runner  # refuses if it is not open
        return Visitor(access, runtime)

    async def _runtime_of(self, namespace: str | None) -> Runtime | None:
        given = self.source if isinstance(self.source, Runtime) else self.source(namespace)
        found = await given if isinstance(given, Awaitable) else given
        # Whatever was found: nobody gets to see another namespace than his.
        return found if found is None or namespace in (None, found.namespace) else None
