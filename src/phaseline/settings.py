"""How a runtime is configured by its environment: read when it is asked for, and at no other time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Self
from urllib.parse import quote

import attrs

from phaseline._definition.options import check_bool, check_interval, check_open_runs, check_quota, check_span
from phaseline.errors import DefinitionError, SettingsError
from phaseline.retry import Retry
from phaseline.usage import MOST, Budget, Quota

HIGHEST_PORT = 65_535
MOST_RETRIES = 1_000_000
YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})
LONGEST_SHOWN = 40
"""Characters of a value that an error shows."""


@attrs.frozen(kw_only=True)
class Settings:
    """What the environment says; ``Runtime(settings=...)`` takes what its other arguments do not say."""

    database_url: str | None = attrs.field(default=None, repr=False)
    """DATABASE_URL: the storage, as ``Runtime(storage)``; None: in memory."""
    redis_host: str | None = None
    """REDIS_HOST: carries permits between workers; None: there are none elsewhere, or they look by themselves."""
    redis_port: int = 6_379
    """REDIS_PORT."""
    redis_password: str | None = attrs.field(default=None, repr=False)
    """REDIS_PASSWORD."""
    enable_checkpoints: bool = True
    """PIPELINE_ENABLE_CHECKPOINTS: false leaves out checkpoints, and events of them, and nothing else."""
    checkpoint_interval: timedelta = timedelta(seconds=60)
    """PIPELINE_CHECKPOINT_INTERVAL: least time between two ``ctx.save`` of an attempt that are stored; 0 stores each."""
    max_retries: int = 3
    """PIPELINE_MAX_RETRIES: attempts after the first, of phases of which nothing else says it."""
    timeout: timedelta | None = timedelta(minutes=10)
    """PIPELINE_TIMEOUT_MS: how long a run may be active of which nothing else says it; None: for ever."""
    namespace_open_runs: int | None = None
    """PIPELINE_NAMESPACE_OPEN_RUNS: how many runs of the namespace may be open, so that another one may be started."""
    namespace_quota_cost: Decimal | None = None
    """PIPELINE_NAMESPACE_QUOTA_COST: how much all its runs together may cost in a time; None: as much as they like."""
    namespace_quota_tokens: int | None = None
    """PIPELINE_NAMESPACE_QUOTA_TOKENS: how many tokens they may use in it."""
    namespace_quota_requests: int | None = None
    """PIPELINE_NAMESPACE_QUOTA_REQUESTS: how many requests they may make in it."""
    namespace_quota_per: timedelta = timedelta(days=1)
    """PIPELINE_NAMESPACE_QUOTA_PER_MS: the length of that time."""
    frontend_url: str | None = None
    """FRONTEND_URL: origin of the browsers that may ask; for the host that serves them."""

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense, and name the field.

        Raises:
            DefinitionError: A value is out of its range.
        """
        check_bool(self.enable_checkpoints, "enable_checkpoints", "Settings")
        check_span(self.timeout, "timeout", "Settings")
        check_interval(self.checkpoint_interval, "checkpoint_interval", "Settings")
        if not 0 <= self.max_retries <= MOST_RETRIES:
            msg = f"Settings(max_retries={self.max_retries}): 0 (no second attempt) to {MOST_RETRIES}"
            raise DefinitionError(msg)
        check_open_runs(self.namespace_open_runs, "namespace_open_runs", "Settings")
        check_quota(self.namespace_quota, "namespace_quota", "Settings")
        if not 0 < self.redis_port <= HIGHEST_PORT:
            msg = f"Settings(redis_port={self.redis_port}): a port is 1 to {HIGHEST_PORT}"
            raise DefinitionError(msg)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the environment; a variable that is not there, or empty, leaves the default.

        Args:
            env: What to read in place of the process's own environment.

        Raises:
            SettingsError: Values cannot be read; it names all of these variables, and shows no secret.
        """
        found = os.environ if env is None else env
        values: dict[str, Any] = {}
        problems: dict[str, str] = {}
        for variable, (field, read, is_secret) in _VARIABLES.items():
            text = found.get(variable, "").strip()
            if not text:
                continue
            try:
                values[field] = read(text)
            except ValueError as error:
                shown = "" if is_secret else f", not {text[:LONGEST_SHOWN]!r}"
                problems[variable] = f"{error}{shown}"
        if problems:
            raise SettingsError(problems)
        return cls(**values)

    @property
    def storage(self) -> str:
        """The URL of the storage."""
        return self.database_url or "memory"

    @property
    def queue(self) -> str:
        """The URL of the queue."""
        if self.redis_host is None:
            return "memory"
        password = "" if self.redis_password is None else f":{quote(self.redis_password, safe='')}@"
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        return f"redis://{password}{host}:{self.redis_port}/0"

    @property
    def namespace_quota(self) -> Quota | None:
        """The quota of the namespace; None where nothing is bounded."""
        bounds = self.namespace_quota_cost, self.namespace_quota_tokens, self.namespace_quota_requests
        if bounds == (None, None, None):
            return None
        cost, tokens, requests = bounds
        return Quota(Budget(cost=cost, tokens=tokens, requests=requests), per=self.namespace_quota_per)

    @property
    def retry(self) -> Retry:
        """The policy: it counts the first attempt too."""
        return Retry(attempts=self.max_retries + 1)


def _text(text: str) -> str:
    if not text.isprintable():
        msg = "a text that can be printed is needed"
        raise ValueError(msg)
    return text


def _bool(text: str) -> bool:
    if text.lower() in YES | NO:
        return text.lower() in YES
    msg = "write true or false"
    raise ValueError(msg)


def _whole(least: int, most: int, what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most:
            return int(text)
        msg = f"{what}: a whole number from {least} to {most}"
        raise ValueError(msg)

    return read


def _milliseconds(least: int) -> Callable[[str], timedelta]:
    ten_years = 10 * 365 * 24 * 3_600_000
    read = _whole(least, ten_years, "milliseconds")
    return lambda text: timedelta(milliseconds=read(text))


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount.is_finite() and 0 <= amount < MOST:
        return amount
    msg = f"an amount from 0 to {MOST}, such as 12.50"
    raise ValueError(msg)


_VARIABLES: Mapping[str, tuple[str, Callable[[str], Any], bool]] = {
    "DATABASE_URL": ("database_url", _text, True),
    "REDIS_HOST": ("redis_host", _text, True),
    "REDIS_PORT": ("redis_port", _whole(1, HIGHEST_PORT, "a port"), False),
    "REDIS_PASSWORD": ("redis_password", _text, True),
    "PIPELINE_ENABLE_CHECKPOINTS": ("enable_checkpoints", _bool, False),
    "PIPELINE_CHECKPOINT_INTERVAL": ("checkpoint_interval", _milliseconds(0), False),
    "PIPELINE_MAX_RETRIES": ("max_retries", _whole(0, MOST_RETRIES, "attempts after the first"), False),
    "PIPELINE_TIMEOUT_MS": ("timeout", _milliseconds(1), False),
    "PIPELINE_NAMESPACE_OPEN_RUNS": ("namespace_open_runs", _whole(1, MOST, "runs"), False),
    "PIPELINE_NAMESPACE_QUOTA_COST": ("namespace_quota_cost", _amount, False),
    "PIPELINE_NAMESPACE_QUOTA_TOKENS": ("namespace_quota_tokens", _whole(0, MOST, "tokens"), False),
    "PIPELINE_NAMESPACE_QUOTA_REQUESTS": ("namespace_quota_requests", _whole(0, MOST, "requests"), False),
    "PIPELINE_NAMESPACE_QUOTA_PER_MS": ("namespace_quota_per", _milliseconds(1), False),
    "FRONTEND_URL": ("frontend_url", _text, True),
}
"""Each variable with its field, how it is read, and whether its value is kept out of errors."""

WITHOUT_SETTINGS = Settings(max_retries=0, timeout=None)
"""What holds for a runtime that was given none: nothing is tried again, or bounded, that does not ask for it."""
