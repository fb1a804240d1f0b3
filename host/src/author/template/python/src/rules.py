"""The rules of the participant `__name__`: guests reserve seats and pay for them in time.

| what happens            | the reservation                          | what is published                          |
|-------------------------|------------------------------------------|--------------------------------------------|
| it is made              | awaits its payment, until a timer is due | payment-asked                              |
| it is paid in time      | is confirmed                             |                                            |
| the payment is declined | is released                              | seat-released                              |
| the timer is due        | is released                              | seat-released                              |
| it is paid too late     | stays released                           | refund-asked, which compensates for it     |
| the guest cancels       | is released                              | seat-released; refund-asked if it was paid |

A payment is reported by an event, or by a command where an adapter of a payment gateway reports. Reports may come late,
twice, or not at all: each row of the table is a test in tests/test_rules.py.
"""

from dataclasses import replace

from messages import (
    ALREADY_RELEASED,
    PAYMENT_ASKED,
    PAYMENT_DUE,
    PAYMENT_REPORTED,
    REFUND_ASKED,
    SEAT_RELEASED,
    WRONG_AMOUNT,
    MoneyAsked,
    Payment,
    PaymentReported,
    Reservation,
    Reserve,
    Reserved,
    SeatReleased,
    Settings,
    Shown,
)
from saga_sdk import Command, Contract, Decision, Listing, Malformed, NoReply, Refusal, Subscription, TimeSpan, Turn, UInt64


def reserve(request: Reserve, turn: Turn[int]) -> Decision[Reserved]:
    reservation = Reservation(request.seat, request.guest, request.price_cents, "awaitingPayment", is_paid=False)
    pay_before = turn.time + turn.settings(Settings).payment_timeout.millis
    return (
        Decision.put(reservation)
        .publish(PAYMENT_ASKED, turn.key, money(reservation, turn))
        .set_timer(PAYMENT_DUE, pay_before)
        .pending(Reserved(turn.key, pay_before))
    )


def cancel(reservation: Reservation, _: None, turn: Turn[int]) -> Decision[Reservation]:
    if reservation.status == "released":
        raise Refusal(ALREADY_RELEASED, f"reservation {turn.key} was released already")
    decision = released(reservation, turn).cancel_timer(PAYMENT_DUE)
    if reservation.is_paid:
        decision = decision.publish(REFUND_ASKED, turn.key, money(reservation, turn))
    return decision.reply(replace(reservation, status="released"))


def report(reservation: Reservation, payment: Payment, turn: Turn[int]) -> Decision[None]:
    """A command reports a payment: a wrong amount is refused."""
    if payment.amount_cents != reservation.price_cents:
        raise Refusal(WRONG_AMOUNT, f"{reservation.price_cents} cents were asked for", at="/amountCents")
    return settled(reservation, payment, turn).reply(None)


def reported(reservation: Reservation | None, event: PaymentReported, turn: Turn[int]) -> Decision[NoReply]:
    """An event reports a payment: one that makes no sense becomes a dead letter, which an operator sees."""
    if reservation is None:
        raise Malformed(f"there is no reservation {turn.key}")
    if event.payment.amount_cents != reservation.price_cents:
        raise Malformed(f"{reservation.price_cents} cents were asked for")
    return settled(reservation, event.payment, turn)


def overdue(reservation: Reservation, _: None, turn: Turn[int]) -> Decision[NoReply]:
    """The timer is due. It was cancelled if the payment was reported, but rules don't rely on that."""
    return released(reservation, turn) if reservation.status == "awaitingPayment" else Decision.unchanged()


def show(reservation: Reservation, turn: Turn[int]) -> Shown:
    """A list shows its items by this too, so the key must be in it."""
    one = reservation
    return Shown(turn.key, one.seat, one.guest, one.price_cents, one.status, one.is_paid)


def settled(reservation: Reservation, payment: Payment, turn: Turn[int]) -> Decision[NoReply]:
    is_awaited = reservation.status == "awaitingPayment"
    if payment.is_paid and is_awaited:
        return Decision.put(replace(reservation, status="confirmed", is_paid=True)).cancel_timer(PAYMENT_DUE)
    # Too late: someone else may have the seat, so the money goes back. A report that comes again changes nothing.
    if payment.is_paid and not reservation.is_paid:
        paid = replace(reservation, is_paid=True)
        return Decision.put(paid).publish(REFUND_ASKED, turn.key, money(reservation, turn))
    if not payment.is_paid and is_awaited:
        return released(reservation, turn).cancel_timer(PAYMENT_DUE)
    return Decision.unchanged()


def released(reservation: Reservation, turn: Turn[int]) -> Decision[NoReply]:
    decision = Decision.put(replace(reservation, status="released"))
    return decision.publish(SEAT_RELEASED, turn.key, SeatReleased(turn.key, reservation.seat))


def money(reservation: Reservation, turn: Turn[int]) -> MoneyAsked:
    return MoneyAsked(turn.key, reservation.guest, reservation.price_cents)


def is_awaited(reservation: Reservation) -> bool:
    return reservation.status == "awaitingPayment"


# The host counts the reservations.
contract = (
    Contract("__name__", "0.1.0", "Reserves seats.", state=Reservation, key=UInt64)
    .endpoint("/__name__", 8080)
    .settings(Settings(payment_timeout=TimeSpan.minutes(15)))
    .command(
        Command.create("reserve", "POST", "/reservations", reserve)
        .summary("Reserves a seat, which is to be paid in time.")
        .readable_at("/reservations/{reservation}")
    )
    .command(
        Command.change("cancel", "POST", "/reservations/{reservation}/cancel", cancel)
        .summary("Cancels a reservation; what was paid is paid back.")
        .refuses(ALREADY_RELEASED)
    )
    .command(
        Command.change("report-payment", "POST", "/reservations/{reservation}/payment", report)
        .summary("Reports what became of the payment.")
        .refuses(WRONG_AMOUNT)
    )
    .command(
        Command.read("get-reservation", "/reservations/{reservation}", show)
        .summary("Shows a reservation.")
        .pending_while(is_awaited)
    )
    .listing(
        Listing.of("list-reservations", "/reservations", "get-reservation")
        .summary("Lists the reservations, the oldest first.")
        .filter("guest", "/guest")
        .filter("status", "/status")
    )
    .on(Subscription.to(PAYMENT_REPORTED, "__name__", "/reservation", reported))
    .timer(PAYMENT_DUE, overdue)
    .publishes(PAYMENT_ASKED, REFUND_ASKED, SEAT_RELEASED)
)
