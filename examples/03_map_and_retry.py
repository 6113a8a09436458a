"""One phase for each item of a list, at most two at once; items fail, are tried again, or are reported."""

from __future__ import annotations

from datetime import timedelta

from phaseline import Abort, Context, Err, Ok, Pipeline, Retry, Skip, Skipped, each, phase


@phase
def split(cities: str) -> list[str]:
    return cities.split()


@phase(retry=Retry(attempts=3, wait=timedelta(milliseconds=10)), timeout=timedelta(seconds=5))
async def temperature(city: str, ctx: Context) -> int:
    if city == "atlantis":
        raise Abort("no such city")  # fails for good, whatever the retry policy says
    if city == "home":
        raise Skip("looked out of the window")
    if city == "oslo" and ctx.attempt == 1:
        msg = "the service is busy"
        raise OSError(msg)
    return 10 * len(city)


@phase
def report(results: list[Ok[int] | Err | Skipped]) -> list[str]:
    lines: list[str] = []
    for result in results:
        match result:
            case Ok(value=value):
                lines.append(f"{value} degrees")
            case Err(type=kind, message=message):
                lines.append(f"{kind}: {message}")
            case Skipped(reason=reason):
                lines.append(f"skipped: {reason}")
    return lines


weather = Pipeline("weather", split >> each(temperature, limit=2, on_error="collect") >> report)

if __name__ == "__main__":
    run = weather.run_sync("rome oslo atlantis home")
    print(*run.output, sep="\n")
    for path, row in run.phases.items():
        print(f"{path}: {row.state}, attempts {row.attempt}, failures {row.failures}")
