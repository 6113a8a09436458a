"""Models by their names."""

from __future__ import annotations

from typing import Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from phaseline.ai.problems import ModelSetupError


def model_named(name: str) -> Model:
    """Make the model of a name, as ``"openai:gpt-5"``, ``"anthropic:claude-sonnet-4-5"`` or ``"google:gemini-2.5-pro"``.

    What it sends is sent once: a failed request is the phase's to try again, whose attempts are stored and bounded. The
    clients of some providers would try again by themselves, within one attempt.

    Raises:
        ModelSetupError: No provider has such a model, its library is not installed, or its key is not there.
    """
    try:
        model = infer_model(name)
    except ImportError as error:
        raise ModelSetupError(
            f"model {name!r} needs the library of its provider: {error}", model=name
        ) from error
    except (UserError, ValueError) as error:
        first, _, _ = str(error).partition(" To try Pydantic AI without")
        raise ModelSetupError(f"model {name!r} cannot be used: {first}", model=name) from error
    client: Any = getattr(model, "client", None)  # of those that have one, made for this model alone
    if hasattr(client, "max_retries"):
        client.max_retries = 0
    return model
