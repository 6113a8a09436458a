from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROBE = """
import json, sys, threading, time
started = time.perf_counter()
import phaseline
seconds = time.perf_counter() - started
found = {"seconds": seconds, "modules": sorted(sys.modules), "threads": threading.active_count()}
import phaseline.recipes.task_preparation
json.dump(found | {"of_recipe": sorted(sys.modules)}, sys.stdout)
"""


@pytest.fixture(scope="module")
def fresh() -> dict[str, object]:
    """What a new interpreter holds after ``import phaseline``, and the seconds it took."""
    # Without the measuring of coverage, which loads modules of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    probe = subprocess.run([sys.executable, "-c", PROBE], env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(probe.stdout)


def test_import_is_light(fresh, record_property):
    """Importing the package loads no backend library, no framework of the web or the command line and no pytest; the time is reported, not judged."""
    record_property("import_seconds", fresh["seconds"])
    heavy = {
        "sqlalchemy", "redis", "dramatiq", "pytest", "hypothesis", "starlette", "fastapi", "limits", "pydantic_ai", "typer", "rich",
        "opentelemetry", "prometheus_client",
    }  # fmt: skip
    loaded = {name.partition(".")[0] for name in fresh["modules"]}

    assert set() == heavy & loaded


def test_import_has_no_effects(fresh):
    """Importing the package starts no thread."""
    assert 1 == fresh["threads"]


def test_the_recipe_asks_no_model_by_itself(fresh):
    """Its parts that do are imported by whoever wants them."""
    assert "pydantic_ai" not in fresh["of_recipe"]
