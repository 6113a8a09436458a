"""Settings: what the environment says is read when asked for, checked as a whole, and never shows a secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phaseline import Budget, Pipeline, Quota, Retry, Runtime, phase
from phaseline.errors import DefinitionError, SettingsError
from phaseline.settings import Settings

EVERYTHING = {
    "DATABASE_URL": "sqlite:///here.db", "REDIS_HOST": "redis.local", "REDIS_PORT": "7000", "REDIS_PASSWORD": "s3:c@t/",
    "PIPELINE_ENABLE_CHECKPOINTS": "False", "PIPELINE_CHECKPOINT_INTERVAL": "250", "PIPELINE_MAX_RETRIES": "0", "PIPELINE_TIMEOUT_MS": "1500",
    "PIPELINE_NAMESPACE_OPEN_RUNS": "900", "PIPELINE_NAMESPACE_QUOTA_COST": "12.50", "PIPELINE_NAMESPACE_QUOTA_TOKENS": "1000",
    "PIPELINE_NAMESPACE_QUOTA_REQUESTS": "0", "PIPELINE_NAMESPACE_QUOTA_PER_MS": "3600000",
    "FRONTEND_URL": "https://app.example",
}  # fmt: skip


def test_an_empty_environment_gives_the_defaults() -> None:
    """Empty variables are as good as none."""
    defaults = Settings()
    assert Settings.from_env({}) == Settings.from_env(dict.fromkeys(EVERYTHING, " ")) == defaults
    assert (defaults.storage, defaults.queue) == ("memory", "memory")
    assert (defaults.retry, defaults.timeout) == (Retry(attempts=4), timedelta(minutes=10))
    assert defaults.enable_checkpoints
    assert defaults.checkpoint_interval == timedelta(minutes=1)
    assert Settings.from_env({"PIPELINE_CHECKPOINT_INTERVAL": "0"}).checkpoint_interval == timedelta(0)


def test_each_variable_is_read() -> None:
    """Each into its field; the password is quoted in the URL of the queue, and stands in no ``repr``."""
    settings = Settings.from_env(EVERYTHING)
    assert attrs.asdict(settings) == {
        "database_url": "sqlite:///here.db", "redis_host": "redis.local", "redis_port": 7000, "redis_password": "s3:c@t/",
        "enable_checkpoints": False, "checkpoint_interval": timedelta(seconds=0.25), "max_retries": 0, "timeout": timedelta(seconds=1.5),
        "namespace_open_runs": 900, "namespace_quota_cost": Decimal("12.50"), "namespace_quota_tokens": 1_000,
        "namespace_quota_requests": 0, "namespace_quota_per": timedelta(hours=1),
        "frontend_url": "https://app.example",
    }  # fmt: skip
    assert settings.namespace_quota == Quota(
        Budget(cost=Decimal("12.5"), tokens=1_000, requests=0), per=timedelta(hours=1)
    )
    assert Settings().namespace_quota is None
    assert settings.queue == "redis://:s3%3Ac%40t%2F@redis.local:7000/0"
    assert settings.retry == Retry(attempts=1)
    assert "s3" not in repr(settings)
    assert "here.db" not in repr(settings)
    assert Settings(redis_host="::1").queue == "redis://[::1]:6379/0"


def test_the_environment_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not by a runtime that is given no settings."""
    monkeypatch.setenv("PIPELINE_MAX_RETRIES", "7")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///never.db")
    assert Settings.from_env().max_retries == 7
    assert repr(Runtime()) == "Runtime(memory)"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PIPELINE_ENABLE_CHECKPOINTS", "maybe"), ("PIPELINE_MAX_RETRIES", "-1"), ("PIPELINE_MAX_RETRIES", "3.5"),
        ("PIPELINE_MAX_RETRIES", "٣"), ("PIPELINE_MAX_RETRIES", "9" * 5_000), ("PIPELINE_TIMEOUT_MS", "0"),
        ("PIPELINE_CHECKPOINT_INTERVAL", "-1"), ("PIPELINE_CHECKPOINT_INTERVAL", "1 min"),
        ("PIPELINE_TIMEOUT_MS", "10 min"), ("PIPELINE_TIMEOUT_MS", "1" + "0" * 30), ("REDIS_PORT", "0"),
        ("PIPELINE_NAMESPACE_OPEN_RUNS", "0"), ("PIPELINE_NAMESPACE_QUOTA_COST", "NaN"), ("PIPELINE_NAMESPACE_QUOTA_COST", "-1"),
        ("PIPELINE_NAMESPACE_QUOTA_COST", "ten"), ("PIPELINE_NAMESPACE_QUOTA_TOKENS", "1.5"),
        ("REDIS_PORT", "65536"), ("REDIS_PASSWORD", "a\nb"), ("DATABASE_URL", "sqlite:///\0"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(variable: str, text: str) -> None:
    """With what would do."""
    with pytest.raises(SettingsError, match=variable) as caught:
        Settings.from_env({variable: text})
    assert list(caught.value.problems) == [variable]
    assert len(str(caught.value)) < 300


def test_all_problems_are_told_at_once() -> None:
    """So that nobody has to start a process three times."""
    bad = {"PIPELINE_MAX_RETRIES": "many", "PIPELINE_TIMEOUT_MS": "long", "REDIS_PORT": "x"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**EVERYTHING, **bad})
    assert {*caught.value.problems} == {*bad}


@given(
    st.dictionaries(st.sampled_from(sorted(EVERYTHING)), st.text(max_size=12)),
    st.text(alphabet="xyz", min_size=8, max_size=12),
)
def test_no_error_shows_a_secret(env: Mapping[str, str], secret: str) -> None:
    """Whatever else is wrong, and also where the secret itself cannot be read."""
    hidden = {"DATABASE_URL": f"postgresql://u:{secret}@h/d\x07", "REDIS_PASSWORD": f"{secret}\x07"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**env, **hidden})
    others = "".join(text for name, text in env.items() if name not in hidden)
    assert secret in others or secret not in str(caught.value)


@pytest.mark.parametrize(
    "fields", [{"max_retries": -1}, {"redis_port": 0}, {"redis_port": 70_000}, {"timeout": timedelta(0)}, {"timeout": 5}]
)  # fmt: skip
def test_fields_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    """By whoever makes settings himself."""
    with pytest.raises(DefinitionError, match=next(iter(fields))):
        Settings(**fields)


@phase
async def fail(number: int) -> int:
    raise ValueError(number)


FAILING = Pipeline("failing", fail)


@phase
async def give(number: int) -> int:
    return number


GIVING = Pipeline("giving", give >> give.with_options(name="again"))


async def test_what_a_runtime_is_given_itself_goes_before_its_settings() -> None:
    """Else the settings hold."""
    settings = Settings(max_retries=0)
    for policy, attempts in ((None, 1), (Retry(attempts=2, wait=0), 2)):
        async with Runtime(settings=settings, pipelines=[FAILING], retry=policy) as runtime:
            run = await (await runtime.start(FAILING, 1)).wait()
            assert run.phases["fail"].attempt == attempts


async def test_without_checkpoints_nothing_else_is_missing() -> None:
    """Neither their rows nor their events are there; the run is the same."""
    runs = {}
    for enabled in (True, False):
        settings = Settings(enable_checkpoints=enabled)
        async with Runtime(settings=settings, pipelines=[GIVING]) as runtime:
            handle = await runtime.start(GIVING, 1)
            assert await handle.result() == 1
            runs[enabled] = [event.type async for event in handle.events()]
            assert len(await handle.checkpoints()) == (2 if enabled else 0)
            assert len(runtime.runner.storage.checkpoints("default", handle.id)) == (2 if enabled else 0)
    assert [type_ for type_ in runs[True] if type_ != "CHECKPOINT_CREATED"] == runs[False]
    async with Runtime(
        settings=Settings(enable_checkpoints=False), pipelines=[GIVING], checkpoints=True
    ) as runtime:
        handle = await runtime.start(GIVING, 1)
        await handle.result()
        assert len(await handle.checkpoints()) == 2
