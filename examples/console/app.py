"""The console, mounted in one line, over a shop whose orders go well, badly, slowly, and wait for people.

    pip install 'phaseline[web]' 'uvicorn[standard]'
    uvicorn app:app

Then open http://localhost:8000/console/. Whoever can reach it may do everything: give ``authorize=`` a function of yours.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.routing import Mount

from phaseline import Abort, Context, Pipeline, Retry, Runtime, Signal, each, phase
from phaseline.web import allow_all, console


class Line(BaseModel):
    """Something that is ordered."""

    article: str = Field(description="Number in the catalogue", examples=["A-100"])
    count: int = Field(default=1, ge=1, le=99)


class Order(BaseModel):
    """What a customer wants."""

    customer: str = Field(description="Name, as on the parcel")
    lines: list[Line] = Field(min_length=1)
    express: bool = Field(default=False, description="Leaves the house today")
    note: str = ""


class Picked(BaseModel):
    """A line that lies on the packing table."""

    article: str
    shelf: str
    cents: int


APPROVED = Signal[bool]("approved")


@phase
async def check(order: Order) -> list[Line]:
    await anyio.sleep(0.3)
    if order.customer == "Nobody":
        raise Abort("we do not deliver to Nobody: the address is unknown to the carrier")
    return order.lines


@phase(retry=Retry(attempts=3, wait=1.0))
async def pick(line: Line, ctx: Context) -> Picked:
    for step in range(4):
        await anyio.sleep(0.1 * line.count)
        ctx.progress(step + 1, 4, note=f"shelf {step + 1}")
    if line.article == "A-404":
        raise LookupError(f"article {line.article} is in no shelf; look in the returns")
    return Picked(article=line.article, shelf=f"R{len(line.article)}", cents=line.count * 1_250)


@phase
async def invoice(picked: list[Picked]) -> int:
    await anyio.sleep(0.5)
    return sum(each.cents for each in picked)


@phase
async def ship(pair: tuple[int, bool]) -> str:
    if not pair[1]:
        raise Abort("the payment was not approved")
    await anyio.sleep(0.6)
    return f"parcel of {pair[0] / 100:.2f}"


orders = Pipeline("orders", check >> each(pick, limit=4) >> invoice.wait_for(APPROVED) >> ship)


@phase
async def fetch(day: str) -> list[int]:
    await anyio.sleep(0.4)
    return [len(day) * hour % 17 for hour in range(24)]


@phase
async def weigh(number: int) -> int:
    await anyio.sleep(0.01 * number)
    return number * number


@phase
async def report(numbers: list[int]) -> dict[str, int]:
    return {"hours": len(numbers), "sum": sum(numbers), "most": max(numbers)}


reports = Pipeline("nightly-report", fetch >> each(weigh, limit=6) >> report, version="2")


def example() -> Starlette:
    """Make the application; nothing is opened before it is served."""
    runtime = Runtime("sqlite:///shop.db", pipelines=[orders, reports], tracebacks=True)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with runtime:
            await runtime.schedules.put(
                "report", reports, input="yesterday", cron="0 3 * * *", tz="Europe/Berlin"
            )
            yield

    return Starlette(routes=[Mount("/console", console(runtime, authorize=allow_all))], lifespan=lifespan)


app = example()
