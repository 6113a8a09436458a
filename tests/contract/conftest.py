"""The contracts live in the package: their assertions are to be explained like those of any test."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("phaseline.testing.storage", "phaseline.testing.queue")
