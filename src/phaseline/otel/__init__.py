"""Spans and figures for OpenTelemetry: ``instrument(runtime)``."""

from __future__ import annotations

from importlib import import_module

from phaseline.errors import MissingExtraError

try:
    import_module("opentelemetry.trace")
except ImportError as _error:
    raise MissingExtraError("phaseline.otel", "otel") from _error

from phaseline.otel.instrument import instrument

__all__ = ["instrument"]
