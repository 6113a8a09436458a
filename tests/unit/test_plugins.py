"""What installed packages add: found when asked for, imported one by one, told by name where something is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from phaseline import Pipeline, Runtime, phase, plugins
from phaseline.backends import queue_from, storage_from
from phaseline.errors import (
    PluginClashError,
    PluginError,
    QueueURLError,
    StorageURLError,
    UnknownPluginError,
)
from phaseline.queues.dramatiq import DramatiqQueue
from phaseline.queues.inprocess import InProcessQueue
from phaseline.storage.memory import MemoryStorage

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package: its module, and its entry points, group by group."""

    def add(package: str, source: str, points: dict[str, dict[str, str]]) -> None:
        place = tmp_path / package
        metadata = place / f"{package}-1.5.dist-info"
        metadata.mkdir(parents=True)
        (place / f"{package}.py").write_text(dedent(source))
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        sections = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
            for group, names in points.items()
        ]
        (metadata / "entry_points.txt").write_text("\n".join(sections))
        monkeypatch.syspath_prepend(place)
        monkeypatch.delitem(sys.modules, package, raising=False)

    return add


STORES = """
    from phaseline.queues.inprocess import InProcessQueue
    from phaseline.storage.memory import MemoryStorage

    class Storage(MemoryStorage):
        def __init__(self, url):
            super().__init__()
            self.url = url

    class Queue(InProcessQueue):
        def __init__(self, url):
            super().__init__()
            self.url = url

    def broken(url):
        raise OSError("no route to host")

    def nothing(url):
        return 7
"""


# --------------------------------------------------------------------- finding and importing
def test_a_plugin_is_imported_when_it_is_asked_for(install: Install) -> None:
    """The group is read when it is first asked; to ask for a name imports that one and no other."""
    install("acme_one", "value = 1", {plugins.PHASES: {"one": "acme_one:value"}})
    install("acme_two", "value = 2", {plugins.PHASES: {"two": "acme_two:value"}})
    offered = plugins.phases()
    assert {"one", "two"} <= set(offered)
    assert "one" in offered
    assert {"acme_one", "acme_two"}.isdisjoint(sys.modules)
    assert offered["two"] == 2
    assert "acme_one" not in sys.modules
    (plugin,) = offered.installed["two"]
    assert (plugin.package, plugin.version, plugin.target) == ("acme_two", "1.5", "acme_two:value")


def test_ones_own_go_before_what_is_installed(install: Install) -> None:
    """And still nothing is imported that nobody asks for, such as what cannot be."""
    install("acme_one", "value = 1", {plugins.PHASES: {"one": "acme_one:value"}})
    install(
        "acme_bad",
        "import no_such_module",
        {plugins.PHASES: {"bad": "acme_bad:value", "two": "acme_bad:value"}},
    )
    own = {"two": 2}
    both = plugins.phases() | own
    assert (1, 2) == (both["one"], both["two"])
    assert {"one", "two", "bad"} <= set(both)
    assert "acme_bad" not in sys.modules
    assert {"two": 2} == own


def test_a_plugin_that_cannot_be_imported_is_named_and_the_others_load(install: Install) -> None:
    """The error tells package, entry point and cause; it concerns nobody but those who ask for that plugin."""
    install("acme_good", "value = 1", {plugins.PHASES: {"good": "acme_good:value"}})
    install("acme_bad", "import no_such_module", {plugins.PHASES: {"bad": "acme_bad:value"}})
    install("acme_gone", "", {plugins.PHASES: {"gone": "acme_gone:value"}})
    install("acme_script", "raise SystemExit(3)", {plugins.PHASES: {"script": "acme_script:value"}})
    loaded = plugins.phases().load()
    assert loaded.members["good"] == 1
    by_name = {error.name: error for error in loaded.errors}
    assert {"bad", "gone", "script"} <= set(by_name)
    assert "SystemExit: 3" in str(by_name["script"])
    assert isinstance(by_name["gone"].__cause__, AttributeError)
    with pytest.raises(PluginError) as caught:
        _ = plugins.phases()["bad"]
    words = [
        "'bad'",
        "'acme_bad'",
        "'acme_bad:value'",
        "'phaseline.phases'",
        "No module named 'no_such_module'",
    ]
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_two_plugins_of_one_name(install: Install) -> None:
    """Neither is taken; the error names both packages, and the other plugins can be used."""
    install(
        "acme_first", "value = 1", {plugins.PHASES: {"shared": "acme_first:value", "own": "acme_first:value"}}
    )
    install("acme_second", "value = 2", {plugins.PHASES: {"shared": "acme_second:value"}})
    offered = plugins.phases()
    assert offered["own"] == 1
    with pytest.raises(PluginClashError) as caught:
        _ = offered["shared"]
    assert set(caught.value.packages) == {"acme_first", "acme_second"}
    assert all(repr(package) in str(caught.value) for package in caught.value.packages)
    assert [error.name for error in offered.load().errors if isinstance(error, PluginClashError)] == [
        "shared"
    ]


def test_a_name_that_nobody_offers(install: Install) -> None:
    """The error lists what is offered, and is a KeyError for those who use the mapping as one."""
    install("acme_known", "value = 1", {plugins.PHASES: {"known": "acme_known:value"}})
    with pytest.raises(UnknownPluginError, match=r"no installed package offers a plugin 'knwon'.*'known'"):
        _ = plugins.phases()["knwon"]
    assert plugins.phases().get("knwon") is None


def test_nothing_is_read_at_import() -> None:
    """To import the package, and to make a runtime of built-in parts, reads no entry points."""
    probe = """
import importlib.metadata
read, asked = importlib.metadata.entry_points, []
def entry_points(**which):
    asked.append(which.get("group", ""))
    return read(**which)
importlib.metadata.entry_points = entry_points
from phaseline import Runtime, plugins
Runtime("memory"); Runtime("sqlite:///runs.db")
assert not [group for group in asked if group.startswith("phaseline")], asked
plugins.phases().get("nobody")
assert "phaseline.phases" in asked, asked
"""
    subprocess.run([sys.executable, "-c", probe], check=True, timeout=50)


# --------------------------------------------------------------------- URLs
@phase
async def double(n: int) -> int:
    return 2 * n


@pytest.fixture
def runtime(install: Install) -> Runtime:
    """One whose storage and queue are a plugin's."""
    groups = {
        plugins.STORAGE: {"acme": "acme_store:Storage"},
        plugins.QUEUES: {"acme": "acme_store:Queue"},
    }
    install("acme_store", STORES, groups)
    return Runtime("acme://host/runs", queue="ACME+tls://host", pipelines=[Pipeline("double", double)])


async def test_a_storage_and_a_queue_by_url(runtime: Runtime) -> None:
    """The scheme names the plugin, which takes the whole URL; a run on them ends as on any other."""
    pipeline = Pipeline("double", double)
    async with runtime:
        assert (await pipeline.run(21)).output == 42
        storage, queue = runtime.runner.storage, runtime.runner.queue
    assert isinstance(storage, MemoryStorage)
    assert isinstance(queue, InProcessQueue)
    assert (vars(storage)["url"], vars(queue)["url"]) == ("acme://host/runs", "ACME+tls://host")


def test_a_scheme_that_nobody_has(install: Install) -> None:
    """The error lists those that are known, of phaseline and of plugins, and tells no password."""
    install("acme_store", STORES, {
        plugins.STORAGE: {"acme": "acme_store:Storage"}, plugins.QUEUES: {"acmeq": "acme_store:Queue"},
    })  # fmt: skip
    with pytest.raises(StorageURLError) as caught:
        Runtime("acne://me:hunter2@host/runs")
    for word in ("'memory'", "sqlite:///", "postgresql://", "'acme://' (of acme_store)"):
        assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(QueueURLError, match=r"known are 'memory'.*'acmeq://' \(of acme_store\)"):
        Runtime(queue="kafka://me:hunter2@host")
    assert "acme_store" not in sys.modules


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost/0",
        "rediss://localhost/0",
        "unix:///run/redis.sock",
        "amqp://localhost",
        "amqps://localhost",
    ],
)
def test_a_queue_by_the_url_of_a_broker(url: str) -> None:
    """Whatever the queue on Dramatiq takes is taken where only its URL is given."""
    assert isinstance(queue_from(url), DramatiqQueue)


def test_a_storage_by_a_url_in_capitals(tmp_path: Path) -> None:
    """Schemes are told apart by their letters, and not by how these are written."""
    storage = storage_from(f"SQLITE:///{tmp_path / 'runs.db'}")
    storage.migrate()
    assert (tmp_path / "runs.db").exists()


@pytest.mark.parametrize("url", ["redis:localhost", "amqp:localhost", "kafka://localhost"])
def test_a_url_of_no_broker(url: str) -> None:
    """It is refused where it is written, and not where the queue is used."""
    with pytest.raises(QueueURLError, match="known are"):
        queue_from(url)


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("broken", ["'broken'", "'acme_store'", "OSError: no route to host"]),
        ("nothing", ["it gave 7, which is no phaseline.abc.Storage"]),
        ("missing", ["has no attribute 'missing'"]),
    ],
)
def test_a_storage_plugin_that_fails(install: Install, scheme: str, words: list[str]) -> None:
    """What a plugin raises, or gives in place of a storage, is told with the plugin's name."""
    names = {name: f"acme_store:{name}" for name in ("broken", "nothing", "missing")}
    install("acme_store", STORES, {plugins.STORAGE: names})
    with pytest.raises((PluginError, StorageURLError)) as caught:
        Runtime(f"{scheme}://host")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_plugin_cannot_take_the_name_of_a_built_in_one(install: Install) -> None:
    """Nobody gets another storage than the one that the documentation describes."""
    install("acme_store", STORES, {plugins.STORAGE: {"memory": "acme_store:Storage"}})
    assert type(Runtime("memory")._storage) is MemoryStorage
    with pytest.raises(PluginClashError, match="'phaseline' and 'acme_store' both offer"):
        _ = plugins.Plugins(plugins.STORAGE, taken=("memory",))["memory"]
