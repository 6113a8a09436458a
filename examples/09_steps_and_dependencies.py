"""A service that comes from the host, and a call that is paid for once although its phase runs twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from phaseline import Context, Dep, Pipeline, Retry, phase


class Payments(Protocol):
    """What the phase needs; it does not care whose class it is."""

    def charge(self, cents: int, *, key: str) -> str:
        """Take the money and give the receipt; a second call with an equal key takes nothing."""
        ...


PAYMENTS = Dep[Payments]("payments")


@phase(requires=(PAYMENTS,), retry=Retry(attempts=2, wait=timedelta(milliseconds=10)))
def checkout(cents: int, ctx: Context) -> str:
    print(f"attempt {ctx.attempt}")
    payments = ctx.dep(PAYMENTS)
    # The result is stored at once: a later attempt gets it without the call.
    # The key is equal across attempts, for the case that the process ends between the call and the storing.
    receipt = ctx.blocking.step("charge", payments.charge, cents, key=ctx.idempotency_key)
    if ctx.attempt == 1:
        msg = "the printer is out of paper"
        raise OSError(msg)
    return f"printed {receipt}"


shop = Pipeline("shop", checkout)


class Till:
    """Payments as the host of this example provides them."""

    def __init__(self) -> None:
        self.receipts: dict[str, str] = {}

    def charge(self, cents: int, *, key: str) -> str:
        """Take the money once for each key."""
        print(f"asked to charge {cents} cents")
        return self.receipts.setdefault(key, f"receipt {len(self.receipts) + 1}")


if __name__ == "__main__":
    till = Till()
    run = shop.run_sync(250, deps={PAYMENTS: till})
    print(run.output)
    print(f"charges: {len(till.receipts)}")
