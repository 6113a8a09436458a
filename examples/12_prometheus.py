"""Counts runs for Prometheus, and asks for the figures over HTTP as Prometheus would."""

from __future__ import annotations

from urllib.request import urlopen

import anyio
from anyio import to_thread
from prometheus_client import CollectorRegistry, start_http_server

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import PipelineFailedError
from phaseline.prometheus import instrument


@phase
async def brew(cups: int) -> int:
    """Refuse what is no order."""
    if cups < 1:
        raise ValueError(f"{cups} cups")
    return cups


coffee = Pipeline("coffee", brew)
registry = CollectorRegistry()  # a host has one already, and says nothing here
runtime = Runtime("sqlite:///coffee.db", pipelines=[coffee])
instrument(runtime, registry=registry)


def scrape(port: int) -> str:
    """Ask as Prometheus does."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:  # of our own
        text: str = answer.read().decode()
    return text


async def main() -> None:
    """Run three, one of which fails."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    await runtime.migrate()
    async with runtime:
        for cups in (1, 2, 0):
            try:
                await runtime.run(coffee, cups)
            except PipelineFailedError as error:
                print(error.run.state)
        figures = await to_thread.run_sync(scrape, server.server_port)
    for line in figures.splitlines():
        if "_created" not in line and line.startswith(
            ("phaseline_runs", "phaseline_phase_duration_seconds_count", "phaseline_queue", "phaseline_dead")
        ):
            print(line)
    server.shutdown()
    thread.join()
    server.server_close()


if __name__ == "__main__":
    anyio.run(main)
