"""The state, what clients send and get, what events say, and what operators set."""

from dataclasses import dataclass
from typing import Annotated, Literal

from saga_sdk import Doc, EventType, Length, Range, RefusalType, TimeSpan, Timer, UInt64, camel_case, example

# Until its payment arrives a reservation waits; released, its seat is free for others.
Status = Literal["awaitingPayment", "confirmed", "released"]
Seat = Annotated[str, Length(1, 20), Doc("The seat.")]
Guest = Annotated[str, Length(1, 100), Doc("The guest.")]
Cents = Annotated[UInt64, Range(1, 100_000_000), Doc("The price in cents.")]
Number = Annotated[UInt64, Doc("Number of the reservation.")]


@camel_case
@dataclass(frozen=True)
class Reservation:
    """A reservation of a seat: the state of one aggregate."""

    seat: Seat
    guest: Guest
    price_cents: Cents
    status: Status
    is_paid: Annotated[bool, Doc("True once the payment has arrived, also if it came too late.")]


@camel_case
@dataclass(frozen=True)
class Shown:
    """A reservation as clients see it, alone and in the list. The number is its key, which the state does not have."""

    reservation: Number
    seat: Seat
    guest: Guest
    price_cents: Cents
    status: Status
    is_paid: bool


@example({"seat": "C7", "guest": "Ann", "priceCents": 2500})
@camel_case
@dataclass(frozen=True)
class Reserve:
    """A reservation to make."""

    seat: Seat
    guest: Guest
    price_cents: Cents


@camel_case
@dataclass(frozen=True)
class Reserved:
    """A reservation that was made, and waits for its payment."""

    reservation: Number
    pay_before: Annotated[UInt64, Doc("In milliseconds since 1970.")]


@example({"isPaid": True, "amountCents": 2500})
@camel_case
@dataclass(frozen=True)
class Payment:
    """What became of a payment."""

    is_paid: Annotated[bool, Doc("False if it was declined.")]
    amount_cents: Cents


@dataclass(frozen=True)
class PaymentReported:
    """Body of `payment-reported`, the event by which a payment service reports."""

    reservation: Number
    payment: Payment


@camel_case
@dataclass(frozen=True)
class MoneyAsked:
    """Body of `payment-asked` and of `refund-asked`."""

    reservation: Number
    guest: Guest
    amount_cents: Cents


@dataclass(frozen=True)
class SeatReleased:
    """Body of `seat-released`."""

    reservation: Number
    seat: Seat


@dataclass(frozen=True)
class Settings:
    """The settings of the rules."""

    payment_timeout: Annotated[TimeSpan, Doc("Time that a guest has to pay.")]


# A guest has to pay.
PAYMENT_ASKED = EventType("payment-asked", "__name__-payment-requests", MoneyAsked)
# A guest is to be paid back.
REFUND_ASKED = EventType("refund-asked", "__name__-payment-requests", MoneyAsked)
# A seat is free again.
SEAT_RELEASED = EventType("seat-released", "__name__-seats", SeatReleased)
# A payment service reports.
PAYMENT_REPORTED = EventType("payment-reported", "__name__-payments", PaymentReported)

# The time to pay is over. Its body says nothing: the reservation is its aggregate.
PAYMENT_DUE = Timer("payment-due")

# Only what is not over can be cancelled.
ALREADY_RELEASED = RefusalType.conflict(
    "already-released", "The reservation was released, so there is nothing to cancel."
)
# A payment is reported with the amount that was asked for.
WRONG_AMOUNT = RefusalType.invalid("wrong-amount", "The amount is not the one that was asked for.")
