"""From a URL to the storage or queue that it names: those of phaseline, and those of installed plugins."""

from __future__ import annotations

from phaseline import plugins
from phaseline.abc import Queue, Storage
from phaseline.errors import QueueURLError, StorageURLError, TransportURLError
from phaseline.queues.inprocess import InProcessQueue
from phaseline.schemes import POSTGRES, RABBITMQ, REDIS, REDIS_BROKER, SQLITE, base_of, scheme_of
from phaseline.storage.memory import MemoryStorage
from phaseline.transport import Transport

DATABASES = (*SQLITE, *POSTGRES)
BROKERS = (*REDIS_BROKER, *RABBITMQ)
STORAGES = ("memory", *DATABASES)
"""Schemes that no plugin can have."""
QUEUES = ("memory", *BROKERS)
"""As ``STORAGES``."""


def storage_from(url: str) -> Storage:
    """Make the storage that a URL names.

    Raises:
        StorageURLError: It names none.
        PluginError: The plugin that it names cannot be used.
        PluginClashError: Several packages offer that plugin.
    """
    if url == "memory":
        return MemoryStorage()
    if scheme_of(url) in SQLITE or base_of(url) in POSTGRES:
        from phaseline.storage.sql.store import SqlStorage  # noqa: PLC0415  # sqlalchemy takes 150 ms to import

        return SqlStorage(url)
    offered = plugins.Plugins(plugins.STORAGE, taken=STORAGES)
    storage = plugins.made(offered, url, Storage)  # type: ignore[type-abstract]  # only asked whether it is one
    if storage is None:
        known = ["'memory'", "'sqlite:///path/to/file.db'", "'postgresql://user:password@host/database'"]
        raise StorageURLError(url, f"known are {', '.join([*known, *_schemes(offered)])}")
    return storage


def queue_from(url: str) -> Queue:
    """Make the queue that a URL names.

    Raises:
        QueueURLError: It names none.
        MissingExtraError: What it needs is not installed.
        PluginError: The plugin that it names cannot be used.
        PluginClashError: Several packages offer that plugin.
    """
    if url == "memory":
        return InProcessQueue()
    if scheme_of(url) in BROKERS:
        from phaseline.queues.dramatiq import DramatiqQueue  # noqa: PLC0415  # an extra

        return DramatiqQueue(url)
    offered = plugins.Plugins(plugins.QUEUES, taken=QUEUES)
    queue = plugins.made(offered, url, Queue)  # type: ignore[type-abstract]  # only asked whether it is one
    if queue is None:
        known = [
            "'memory' (the workers of this process)",
            "'redis://host:6379/0'",
            "'amqp://user:password@host:5672'",
            *_schemes(offered),
        ]
        raise QueueURLError(url, f"known are {', '.join(known)}; a queue object may be given in its place")
    return queue


def transport_from(url: str) -> Transport:
    """Make the transport of events that a URL names.

    Raises:
        TransportURLError: It names none.
        MissingExtraError: What it needs is not installed.
        PluginError: The plugin that it names cannot be used.
        PluginClashError: Several packages offer that plugin.
    """
    if scheme_of(url) in REDIS:
        from phaseline.transports.redis import RedisTransport  # noqa: PLC0415  # an extra

        return RedisTransport(url)
    offered = plugins.Plugins(plugins.TRANSPORTS, taken=REDIS)
    transport = plugins.made(offered, url, Transport)  # type: ignore[type-abstract]  # only asked whether it is one
    if transport is None:
        known = ["'redis://host:6379/0'", *_schemes(offered)]
        raise TransportURLError(
            url, f"known are {', '.join(known)}; a transport object may be given in its place"
        )
    return transport


def _schemes(offered: plugins.Plugins) -> list[str]:
    return [
        f"{name + '://'!r} (of {' and '.join(plugin.package for plugin in plugins_)})"
        for name, plugins_ in offered.installed.items()
    ]
