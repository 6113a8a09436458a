"""What the work of a run uses up that is paid for: how much, how much it may be, and what is known of it in the run's row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import ROUND_UP, Context, Decimal
from typing import Any, Final

import msgspec
from msgspec.structs import force_setattr

from phaseline._values.spans import check_per
from phaseline.errors import DefinitionError, EncodeError

NANO: Decimal = Decimal("1e-9")
"""Costs are counted in billionths: so much a single token of the cheapest models costs, and sums of them are exact."""
_EXACT: Final = Context(prec=60)
"""In which costs are counted, whatever precision the host and bodies have set for their own arithmetic."""
MOST: int = 10**12
"""The largest amount that is recorded at once; the largest cost is a millionth of it. So sums fit into what databases count in."""


def _problem_of(amount: object, name: str) -> str | None:
    """Say what is the matter with an amount, if anything is."""
    if name != "cost":
        is_one = type(amount) is int and amount >= 0
        return None if is_one else f"{amount!r} is no whole number from 0 on"
    if type(amount) is int:
        amount = Decimal(amount)
    if not isinstance(amount, Decimal):
        return f"{amount!r} is no Decimal; write Decimal('0.25')"
    return None if amount.is_finite() and 0 <= amount < MOST else f"{amount} is no amount from 0 to {MOST:,}"


def _in_billionths(cost: Decimal | int) -> Decimal:
    """Round it up, and leave no zeros at its end."""
    rounded = Decimal(cost).quantize(NANO, ROUND_UP, _EXACT).normalize(_EXACT)
    is_whole = rounded == rounded.to_integral_value(context=_EXACT)
    return rounded.quantize(Decimal(1), context=_EXACT) if is_whole else rounded


def cost_text(cost: Decimal) -> str:
    """A cost as people write it, never with an exponent."""
    return f"{cost:f}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


AMOUNTS: tuple[str, ...] = ("requests", "input_tokens", "output_tokens", "cost")
"""What is counted of a usage."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was used: ``Usage(requests=1, input_tokens=1_200, output_tokens=80, cost=Decimal("0.0042"))``; they add up with ``+``.

    Raises:
        EncodeError: An amount is no whole number from 0 on, or the cost is no such Decimal.
    """

    requests: int = 0
    """Calls to whoever is paid."""
    input_tokens: int = 0
    """Tokens that were sent."""
    output_tokens: int = 0
    """Tokens that came back."""
    cost: Decimal = Decimal(0)
    """In whatever currency the host counts; ``phaseline.ai`` counts in US dollars. Rounded up to billionths."""

    def __post_init__(self) -> None:
        for name in AMOUNTS:
            if problem := _problem_of(getattr(self, name), name):
                raise EncodeError(f"{name} of a usage", [problem])
        force_setattr(self, "cost", _in_billionths(self.cost))

    @property
    def tokens(self) -> int:
        """Of both kinds."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            requests=self.requests + other.requests, input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens, cost=_EXACT.add(self.cost, other.cost),
        )  # fmt: skip

    def __str__(self) -> str:
        """Write it for people."""
        return usage_text(self.requests, self.tokens, self.cost)


def usage_text(requests: int, tokens: int, cost: Decimal) -> str:
    """Write what was used for people, in a line."""
    return f"{_counted(requests, 'request')}, {_counted(tokens, 'token')}, cost {cost_text(cost)}"


NOTHING_USED: Usage = Usage()
"""None of anything."""


BOUNDS: tuple[str, ...] = ("cost", "tokens", "requests")
"""What a budget may bound."""


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How much a run may use at most: ``Budget(cost=Decimal("2.50"))``; None: as much as it likes.

    Raises:
        DefinitionError: A bound is none, or there is none.
    """

    cost: Decimal | None = None
    """In the currency in which ``Usage`` counts."""
    tokens: int | None = None
    """Of both kinds."""
    requests: int | None = None
    """Calls to whoever is paid."""

    def __post_init__(self) -> None:
        given = {name: bound for name in BOUNDS if (bound := getattr(self, name)) is not None}
        if not given:
            msg = "a Budget() without a bound bounds nothing; say Budget(cost=Decimal('2.50')), tokens= or requests="
            raise DefinitionError(msg)
        for name, bound in given.items():
            if problem := _problem_of(bound, name):
                msg = f"{name} of a budget: {problem}"
                raise DefinitionError(msg)
        if self.cost is not None:
            force_setattr(self, "cost", _in_billionths(self.cost))

    def __str__(self) -> str:
        """Write it for people."""
        cost = [] if self.cost is None else [f"a cost of {cost_text(self.cost)}"]
        tokens = [] if self.tokens is None else [_counted(self.tokens, "token")]
        requests = [] if self.requests is None else [_counted(self.requests, "request")]
        return " and ".join([*cost, *tokens, *requests])

    def reached_by(self, usage: Usage) -> tuple[str, ...]:
        """The names of the bounds of which so much leaves nothing."""
        return tuple(
            name
            for name in BOUNDS
            if (bound := getattr(self, name)) is not None and getattr(usage, name) >= bound
        )

    def passed_by(self, usage: Usage) -> tuple[str, ...]:
        """The names of the bounds that so much would go beyond."""
        return tuple(
            name
            for name in BOUNDS
            if (bound := getattr(self, name)) is not None and getattr(usage, name) > bound
        )


class Quota(msgspec.Struct, frozen=True, gc=False):
    """How much all runs of a namespace may use in a time: ``Quota(Budget(cost=Decimal("50")), per=timedelta(days=1))``.

    What counts is what was used by runs that were created within the last ``per``.

    Raises:
        DefinitionError: There is no budget, or no time.
    """

    budget: Budget
    """How much that is at most."""
    per: timedelta
    """In any span of this length."""

    def __post_init__(self) -> None:
        if not isinstance(self.budget, Budget):  # pyright: ignore[reportUnnecessaryIsInstance]  # for who runs no type checker
            raise DefinitionError(
                f"Quota({self.budget!r}, ...) has no budget; write Quota(Budget(cost=Decimal('50')), per=timedelta(days=1))"
            )
        check_per(self.per, "Quota")

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.budget} in {self.per}"


def check_recordable(usage: object, what: str) -> None:
    """Refuse what is no usage, or more than can be meant.

    Raises:
        EncodeError: It is.
    """
    if not isinstance(usage, Usage):
        raise EncodeError(
            what, [f"expected a Usage, got {type(usage).__name__}; write Usage(requests=1, ...)"]
        )
    amounts = max(usage.requests, usage.input_tokens, usage.output_tokens)
    if amounts > MOST or usage.cost > MOST // 1_000_000:
        raise EncodeError(
            what,
            [
                f"{usage} is more than can be meant: at most {MOST:,} at once, and {MOST // 1_000_000:,} of cost"
            ],
        )


class Spent(msgspec.Struct, frozen=True, gc=False):
    """What a body used, under the name that it gave to it."""

    key: str
    """Name that the body gave to it."""
    usage: Usage
    """How much."""


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """What an attempt of a phase may be about to use."""

    path: str
    """Of the phase."""
    fence: int
    """Of the attempt."""
    key: str
    """Name that the body gave to it."""
    usage: Usage
    """How much at most."""


class Spending(msgspec.Struct, frozen=True, gc=False):
    """What is known of a run in its row."""

    phases: Mapping[str, Usage] = {}
    """What was used, by path of the phase in the pipeline: items of a map are counted together."""
    reserved: tuple[Reservation, ...] = ()
    """What is being used, or was when an attempt was cut off: nobody knows of such a call whether it was paid."""

    @property
    def used(self) -> Usage:
        """What was used in all."""
        return total(self.phases.values())

    def reserved_by(self, fence_of: Callable[[str], int | None]) -> tuple[Usage, Usage]:
        """What is reserved by attempts that are under way, and by those that were cut off, who will not let go of it.

        Args:
            fence_of: Gives the fence of the attempt of a phase that is under way; None if there is none.
        """
        under_way = total(each.usage for each in self.reserved if fence_of(each.path) == each.fence)
        return under_way, total(each.usage for each in self.reserved if fence_of(each.path) != each.fence)

    @property
    def claimed(self) -> Usage:
        """That, and what is reserved."""
        return self.used + total(reservation.usage for reservation in self.reserved)


NO_SPENDING: Spending = Spending()
"""Of a run in which nothing was used."""


def total(usages: Iterable[Usage]) -> Usage:
    """Add up."""
    return sum(usages, NOTHING_USED)


# --------------------------------------------------------------------- as texts
def usage_data(usage: Usage) -> dict[str, int]:
    """What was used as plain data; the cost in billionths."""
    return {
        "requests": usage.requests, "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens,
        "cost": int(_EXACT.divide(usage.cost, NANO)),
    }  # fmt: skip


def usage_of(data: Mapping[str, Any]) -> Usage:
    """Read what ``usage_data`` made."""
    amounts = {name: int(data[name]) for name in ("requests", "input_tokens", "output_tokens")}
    return Usage(**amounts, cost=_EXACT.multiply(int(data["cost"]), NANO))


def spending_text(spending: Spending | None) -> str | None:
    """As it stands in a run's row: an object with the sums, by which a database adds up runs, and their parts."""
    if spending is None:
        return None
    parts: dict[str, Any] = {
        **usage_data(spending.used),
        "phases": {path: usage_data(usage) for path, usage in spending.phases.items()},
    }
    if spending.reserved:
        parts["reserved"] = [[r.path, r.fence, r.key, usage_data(r.usage)] for r in spending.reserved]
    return msgspec.json.encode(parts).decode()


def spending_from(text: str | None) -> Spending | None:
    """Read what ``spending_text`` wrote."""
    if text is None:
        return None
    parts = msgspec.json.decode(text)
    return Spending(
        {path: usage_of(usage) for path, usage in parts["phases"].items()},
        tuple(
            Reservation(path, fence, key, usage_of(usage))
            for path, fence, key, usage, *_ in parts.get("reserved", ())
        ),
    )
