"""A saga: each booking knows how to undo itself, and what was booked is undone in reverse order when a later one fails."""

from __future__ import annotations

from dataclasses import dataclass, replace

import anyio

from phaseline import Abort, Pipeline, Runtime, phase
from phaseline.errors import PipelineRolledBackError


@dataclass(frozen=True)
class Trip:
    """What is booked so far."""

    traveller: str
    flight: str = ""
    hotel: str = ""


async def cancel_flight(_: Trip, booked: Trip) -> None:  # what the phase took, and what it gave
    print(f"cancelled {booked.flight}")


async def cancel_hotel(_: Trip, booked: Trip) -> None:
    print(f"cancelled {booked.hotel}")


@phase(compensate=cancel_flight)
async def book_flight(trip: Trip) -> Trip:
    return replace(trip, flight="flight 714")


@phase(compensate=cancel_hotel)
async def book_hotel(trip: Trip) -> Trip:
    return replace(trip, hotel="hotel Cornavin")


@phase
async def rent_car(trip: Trip) -> Trip:
    raise Abort(f"no car is left for {trip.traveller}")


trips = Pipeline("trips", book_flight >> book_hotel >> rent_car, on_failure="rollback")


async def main() -> None:
    async with Runtime("sqlite:///trips.db", pipelines=[trips]) as runtime:
        handle = await runtime.start(trips, Trip("Ada"))
        try:
            await handle.result()
        except PipelineRolledBackError as error:  # all is undone, by another process if this one ended before
            print(error.error.message)
            print(" > ".join(error.run.states))


if __name__ == "__main__":
    anyio.run(main)
