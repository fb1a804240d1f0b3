"""`Money`: whole cents from nothing to 90,000,000,000,000,000, never rounded."""

from __future__ import annotations

from decimal import Decimal
from functools import total_ordering
from typing import Any

from ._json import Written


class MoneyError(ValueError):
    """A number is no money. The text says why, and what to send."""


@total_ordering
class Money:
    """A sum of money: whole cents from 0 to `Money.MAX`, in an `int`. ``300``, ``300.00`` and ``3e2`` are the same money."""

    __slots__ = ("_cents",)
    _cents: int

    #: The largest sum in units. Its cents fit into 64 bits.
    MAX = 90_000_000_000_000_000

    def __init__(self, amount: Decimal | int | str) -> None:
        """Raises `MoneyError` for a number that is negative, finer than a cent or too large."""
        if isinstance(amount, (float, bool)):
            raise TypeError("money is made of a Decimal, an int or a str: a float loses cents")
        try:
            number = Decimal(amount) if isinstance(amount, int) else Written(amount) if isinstance(amount, str) else amount
        except ArithmeticError:
            raise MoneyError("the amount is no number: write it like 10.25") from None
        object.__setattr__(self, "_cents", _cents(number))

    @classmethod
    def of_cents(cls, cents: int) -> Money:
        """This many cents."""
        if cents < 0:
            raise MoneyError("the amount is negative: send zero or more")
        if cents > cls.MAX * 100:
            raise MoneyError(f"the amount is too large: send at most {cls.MAX}")
        money = cls(0)
        object.__setattr__(money, "_cents", cents)
        return money

    @classmethod
    def above_zero(cls, amount: Decimal | int | str) -> Money:
        """The same, and nothing is no such money either."""
        money = cls(amount)
        if not money:
            raise MoneyError("the amount is zero: send more than zero")
        return money

    @property
    def cents(self) -> int:
        """In cents."""
        return self._cents

    @property
    def decimal(self) -> Decimal:
        """As a number in its shortest form: ``1000``, ``10.5``, ``10.25``."""
        return Written(str(self))

    def __add__(self, other: Money) -> Money:
        return Money.of_cents(self._cents + other._cents) if isinstance(other, Money) else NotImplemented

    def __sub__(self, other: Money) -> Money:
        return Money.of_cents(self._cents - other._cents) if isinstance(other, Money) else NotImplemented

    def __mul__(self, times: int) -> Money:
        return Money.of_cents(self._cents * times) if type(times) is int else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self._cents == other._cents if isinstance(other, Money) else NotImplemented

    def __lt__(self, other: Money) -> bool:
        return self._cents < other._cents if isinstance(other, Money) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._cents)

    def __bool__(self) -> bool:
        return self._cents != 0

    def __setattr__(self, *_: Any) -> None:
        raise AttributeError("money does not change: make another")

    def __str__(self) -> str:
        whole, cents = divmod(self._cents, 100)
        if not cents:
            return str(whole)
        return f"{whole}.{cents // 10}" if cents % 10 == 0 else f"{whole}.{cents:02}"

    def __repr__(self) -> str:
        return f"Money({str(self)!r})"

    @classmethod
    def __json_read__(cls, value: Any) -> Money:
        if isinstance(value, Decimal) or type(value) is int:
            return cls(value)
        raise MoneyError("the amount is no number: write it like 10.25")

    def __json_write__(self) -> Decimal:
        return self.decimal

    @classmethod
    def __json_schema__(cls) -> dict[str, Any]:
        return {"type": "number", "minimum": 0, "maximum": cls.MAX}


def _cents(number: Decimal) -> int:
    if not number.is_finite():
        raise MoneyError("the amount is no number: write it like 10.25")
    if not number:
        return 0
    if number < 0:
        raise MoneyError("the amount is negative: send zero or more")
    # Beyond the bound and finer than a cent: the bound is the plainer complaint, as long as it has more digits.
    if number.adjusted() + 1 > 17:
        raise MoneyError(f"the amount is too large: send at most {Money.MAX}")
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).rstrip("0")
    shift = exponent + len(digits) - len(significant) + 2
    if shift < 0:
        raise MoneyError("the amount is finer than a cent: send at most two decimals")
    cents: int = int(significant) * 10**shift
    if cents > Money.MAX * 100:
        raise MoneyError(f"the amount is too large: send at most {Money.MAX}")
    return cents
