"""Step 1: an order on its way through three phases."""

from phaseline import Pipeline, phase

PRICES = {"tea": 4, "mug": 9}


@phase
def add_up(items: list[str]) -> int:
    return sum(PRICES[item] for item in items)


@phase
async def charge(euros: int) -> str:
    print(f"charging {euros} euros")
    return f"receipt for {euros} euros"


@phase
def confirm(receipt: str) -> str:
    return f"Thank you! Here is your {receipt}."


orders = Pipeline("orders", add_up >> charge >> confirm)

if __name__ == "__main__":
    run = orders.run_sync(["tea", "mug"])
    print(run.output)
    print(run.states)
