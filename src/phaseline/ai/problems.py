"""What goes wrong with a model, as errors of this library: which of them another attempt may mend, and what to do."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, cast

from pydantic_ai.exceptions import (
    AgentRunError,
    ConcurrencyLimitExceeded,
    ContentFilterError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelRequestTimeout,
    ModelServerError,
    ModelUnavailableError,
    RunTimedOut,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
    UserError,
)

from phaseline.errors import DefinitionError, PhaselineError
from phaseline.masking import without_secrets
from phaseline.rows import ErrorCategory

LONGEST_ACCOUNT: Final = 1_000
"""Characters that are kept of what a provider says."""
_KEY: Final = re.compile(r"\b(?:(?:sk|pk|rk|gsk|xai|key)[-_]|AIza|Bearer\s+)[\w*.…-]{4,}", re.IGNORECASE)
"""What the keys of providers look like, also cut short or masked in part, as some quote them in their answers."""


class ModelCallError(PhaselineError):
    """A model gave no usable answer; the kinds of it say whether another attempt may get one."""

    category: ClassVar[ErrorCategory | None] = ErrorCategory.VALIDATION

    def __init__(
        self,
        message: str,
        *,
        model: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Say what happened.

        Args:
            message: For readers; what looks like a key is masked.
            model: Name of the model, where it is known.
            status: The provider's HTTP status, where there was one.
            retry_after: Seconds the provider asks to wait; the next attempt waits as long.
        """
        self.model = model
        """Name of the model."""
        self.status = status
        """HTTP status of the answer; None if there was none."""
        self.retry_after = retry_after
        """How soon the provider may be asked again; None if it did not say."""
        super().__init__(without_keys(message))


class ModelOutageError(ModelCallError):
    """The provider could not be reached, was overloaded, or limits the rate: another attempt may succeed."""

    retryable: ClassVar[bool] = True
    category: ClassVar[ErrorCategory | None] = ErrorCategory.SYSTEM


class ModelSetupError(ModelCallError):
    """The key, the name of the model, the account or an installed library is not right; no other attempt mends it."""


class ModelRefusedError(ModelCallError):
    """The provider or the model refused the request or its content."""


class ModelAnswerError(ModelCallError):
    """The model answered, but with nothing that can be used, also after it was told why."""


def without_keys(text: str) -> str:
    """Mask in a text what looks like the key of a provider, or like a password."""
    return without_secrets(_KEY.sub("***", text))


@contextmanager
def translated() -> Generator[None]:
    """Raise what pydantic-ai raises as errors of this library; everything else, as of a tool, is left as it is."""
    try:
        yield
    except (AgentRunError, UserError, FallbackExceptionGroup) as error:
        told = translation(error)
        if told is None:
            raise
        if isinstance(told, ModelSetupError):  # what it came from may quote the key
            raise told from None
        raise told from error


def follows_from_answers(error: BaseException) -> bool:
    """Whether it comes of what the model has answered, so that the same answers will always lead to it."""
    return isinstance(error, UnexpectedModelBehavior | UsageLimitExceeded)


def translation(error: Exception) -> PhaselineError | None:
    """Say in errors of this library what an exception of pydantic-ai's means; None if it is to be left as it is."""
    told: PhaselineError | None = None
    match error:
        case FallbackExceptionGroup():
            told = _of_all(error)
        case ModelAPIError():
            told = _of_provider(error)
        case ContentFilterError():
            told = ModelRefusedError(f"the model refuses: {_cut(error.message)}; put the request another way")
        case UsageLimitExceeded():
            told = ModelAnswerError(f"the limits that the agent was given do not suffice: {error.message}")
        case UnexpectedModelBehavior():
            told = ModelAnswerError(
                f"the model gave no usable answer: {_cut(error.message)}{_reasons(error)}"
            )
        case RunTimedOut() | ConcurrencyLimitExceeded():
            told = ModelOutageError(error.message)
        case UserError():
            told = DefinitionError(without_keys(error.message))
        case _:  # of a run that was cancelled, and of tools
            pass
    return told


def _of_all(group: FallbackExceptionGroup) -> PhaselineError | None:
    """Of several models that were tried: if one of them is only out of reach, another attempt may succeed."""
    told = [translation(error) for error in group.exceptions if isinstance(error, Exception)]
    outages = [error for error in told if isinstance(error, ModelOutageError)]
    return next(iter([*outages, *told]), None)


def _of_provider(error: ModelAPIError) -> ModelCallError:
    model = error.model_name
    status = error.status_code if isinstance(error, ModelHTTPError) else None
    code = error.provider_error_code or error.provider_error_type
    about = ", ".join(part for part in (f"status {status}" if status else "", code or "") if part)
    about = f" ({about})" if about else ""
    kind = _kind(error, status)
    match error:
        case _ if kind is ModelOutageError:
            said = "does not answer" if status is None else "cannot serve the request now"
            message = f"model {model!r} {said}{about}: {_account(error)}"
        case ModelAuthenticationError():
            message = (
                f"the provider of model {model!r} does not take the key{about}; check the environment variable that "
                "it is read from, and that the account may use this model"
            )
        case ModelQuotaExceededError():
            message = f"the account at the provider of model {model!r} has nothing left{about}; top it up"
        case ModelNotFoundError():
            meant = isinstance(error, ModelHTTPError) and error.suggested_model_id
            hint = f"; did you mean {meant!r}?" if meant else "; check its name"
            message = f"the provider knows no model {model!r}{about}{hint}"
        case _:
            message = f"the provider of model {model!r} refuses the request{about}: {_account(error)}"
    return kind(message, model=model, status=status, retry_after=error.retry_after)


def _kind(error: ModelAPIError, status: int | None) -> type[ModelCallError]:
    match error:
        case ModelQuotaExceededError() | ModelAuthenticationError() | ModelNotFoundError():
            return ModelSetupError
        case ModelRequestRejectedError():
            return ModelRefusedError
        case (
            ModelRateLimitError()
            | ModelUnavailableError()
            | ModelServerError()
            | ModelConnectionError()
            | ModelRequestTimeout()
        ):
            return ModelOutageError
        case _ if status is None or status in (408, 409, 425, 429) or status >= 500:  # noqa: PLR2004  # as HTTP has it
            return ModelOutageError
        case _:
            return ModelSetupError if status in (401, 402, 403, 404) else ModelRefusedError


def _account(error: ModelAPIError) -> str:
    """What the provider says of it, and not all that it sent."""
    said: Any = error.body
    for name in ("error", "message"):
        if isinstance(said, Mapping):
            said = cast("Mapping[str, Any]", said).get(name, said if name == "error" else None)  # JSON
    if said is None:
        said = type(error).__name__ if isinstance(error, ModelHTTPError) else error.message
    return _cut(str(said))


def _reasons(error: UnexpectedModelBehavior) -> str:
    """Why the last answer was not taken, where that is known: the innermost cause knows it best."""
    cause, reason = error.__cause__, ""
    while cause is not None:
        reason = str(getattr(cause, "message", "") or cause) or reason
        cause = cause.__cause__
    return f"; the last answer was refused: {_cut(reason)}" if reason else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ACCOUNT else f"{text[:LONGEST_ACCOUNT]}…"
