"""Runs in PostgreSQL, carried out by workers of Dramatiq's, which Redis wakes.

    pip install 'phaseline[postgres,redis,cli]'
    export DATABASE_URL=postgresql://user:password@localhost/shop REDIS_URL=redis://localhost:6379/0
    phaseline db upgrade $DATABASE_URL
    dramatiq 08_postgres_dramatiq:broker --processes 1 --threads 2
    python 08_postgres_dramatiq.py

The fourth line starts a worker: as many as you like, on any machine. The last begins a run, and carries out none of it.
"""

from __future__ import annotations

import os

import anyio

from phaseline import Pipeline, Runtime, each, phase
from phaseline.queues.dramatiq import worker_broker

DATABASE, REDIS = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]


@phase
async def split(order: str) -> list[str]:
    return order.split()


@phase(queue="parcels")  # workers with Runtime(queues=["parcels"]) take these alone
async def pack(article: str) -> str:
    return f"{article} in a box"


@phase
def tell(parcels: list[str]) -> str:
    return f"{len(parcels)} parcels: {'; '.join(parcels)}; by process {os.getpid()}"


orders = Pipeline("orders", split >> each(pack, limit=10) >> tell)
broker = worker_broker(Runtime(DATABASE, queue=REDIS, pipelines=[orders]))


async def main() -> None:
    async with Runtime(DATABASE, queue=REDIS, pipelines=[orders], serve=False) as runtime:
        handle = await runtime.start(orders, "tea milk sugar", key="order 7")
        again = await runtime.start(orders, "tea milk sugar", key="order 7")
        print("begun once:", again.id == handle.id)
        told, _, process = (await handle.result()).rpartition("; by process ")
        print(told)
        print("carried out by another process:", int(process) != os.getpid())


if __name__ == "__main__":
    anyio.run(main)
