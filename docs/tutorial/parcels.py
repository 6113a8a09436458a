"""Step 3: a parcel for each item; a delivery that fails is tried again, its label is bought once."""

from datetime import timedelta

from phaseline import Context, Pipeline, Retry, each, phase

SOLD: dict[str, str] = {}


async def buy_label(item: str, key: str) -> str:
    print(f"buying a label for {item}")
    return SOLD.setdefault(key, f"label for {item}")  # a shop for labels that sells one for each key


@phase(retry=Retry(attempts=3, wait=timedelta(seconds=1)), timeout=timedelta(seconds=30))
async def deliver(item: str, ctx: Context) -> str:
    label = await ctx.step("label", buy_label, item, ctx.idempotency_key)
    if item == "mug" and ctx.attempt == 1:
        raise OSError("the carrier does not answer")
    return f"{label}, delivered"


@phase
def count(delivered: list[str]) -> int:
    return len(delivered)


parcels = Pipeline("parcels", each(deliver, limit=2) >> count)

if __name__ == "__main__":
    run = parcels.run_sync(["tea", "mug"])
    print(run.output, "parcels")
    print({path: row.attempt for path, row in run.phases.items()})
