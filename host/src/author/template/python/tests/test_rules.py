"""The rules, given/when/then."""

import pytest
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
from rules import contract

from saga_sdk import NOT_FOUND, TimeSpan
from saga_sdk.testing import contract_problems, given, given_nothing, migrated


def reservation(status, is_paid=False):
    """Ann's reservation of seat C7."""
    return Reservation("C7", "Ann", 2500, status, is_paid)


def reported(is_paid, amount_cents=2500):
    return PaymentReported(1, Payment(is_paid, amount_cents))


AWAITING, ASKED, SEAT = reservation("awaitingPayment"), MoneyAsked(1, "Ann", 2500), SeatReleased(1, "C7")


def test_the_contract_is_in_order():
    assert contract_problems(contract) == []


def test_a_reservation_asks_for_the_payment_and_sets_a_timer():
    asked = given_nothing(contract).time(1_000).settings(Settings(TimeSpan.minutes(1)))
    then = asked.when_command("reserve", Reserve("C7", "Ann", 2500)).state(AWAITING)
    then.published(PAYMENT_ASKED, 1, ASKED).published_no_more()
    then.timer_set(PAYMENT_DUE, 61_000).replied_pending(Reserved(1, 61_000))


def test_a_payment_in_time_confirms_it():
    by_event = given(contract, AWAITING).when_event(PAYMENT_REPORTED, reported(True))
    by_command = given(contract, AWAITING).when_command("report-payment", Payment(True, 2500))
    for then in (by_event, by_command):
        then.state(reservation("confirmed", True)).timer_cancelled(PAYMENT_DUE).published_no_more()


def test_a_declined_payment_releases_the_seat():
    then = given(contract, AWAITING).when_event(PAYMENT_REPORTED, reported(False))
    then.state(reservation("released")).timer_cancelled(PAYMENT_DUE)
    then.published(SEAT_RELEASED, 1, SEAT).published_no_more()


def test_a_reservation_that_nobody_pays_is_released():
    then = given(contract, AWAITING).when_timer(PAYMENT_DUE).state(reservation("released"))
    then.published(SEAT_RELEASED, 1, SEAT).published_no_more()


def test_a_timer_that_comes_after_the_payment_changes_nothing():
    given(contract, reservation("confirmed", True)).when_timer(PAYMENT_DUE).unchanged().published_no_more()


def test_a_late_payment_is_paid_back_once():
    then = given(contract, reservation("released")).when_event(PAYMENT_REPORTED, reported(True))
    then.state(reservation("released", True)).published(REFUND_ASKED, 1, ASKED).published_no_more()
    then.and_then().when_event(PAYMENT_REPORTED, reported(True)).unchanged().published_no_more()


def test_a_report_that_comes_again_changes_nothing():
    then = given(contract, reservation("confirmed", True)).when_event(PAYMENT_REPORTED, reported(True))
    then.unchanged().published_no_more()


def test_a_cancellation_releases_the_seat_and_pays_back_what_was_paid():
    then = given(contract, AWAITING).when_command("cancel").state(reservation("released"))
    then.timer_cancelled(PAYMENT_DUE).published(SEAT_RELEASED, 1, SEAT).published_no_more()
    then.replied(reservation("released")).and_then().when_command("cancel").refused(ALREADY_RELEASED)
    then = given(contract, reservation("confirmed", True)).when_command("cancel").state(reservation("released", True))
    then.published(SEAT_RELEASED, 1, SEAT).published(REFUND_ASKED, 1, ASKED).published_no_more()


def test_a_report_that_makes_no_sense_is_turned_down():
    given(contract, AWAITING).when_command("report-payment", Payment(True, 1)).refused(WRONG_AMOUNT)
    given(contract, AWAITING).when_event(PAYMENT_REPORTED, reported(True, 1)).malformed("2500 cents")
    given_nothing(contract).when_event(PAYMENT_REPORTED, reported(True)).malformed("no reservation")
    given_nothing(contract).when_command("cancel").refused(NOT_FOUND)


def test_a_reservation_is_shown_with_its_number():
    shown = given(contract, AWAITING).key(7).when_command("get-reservation")
    shown.replied_pending(Shown(7, "C7", "Ann", 2500, "awaitingPayment", False))


# Keep a state of each released version here: then a change that can't read it fails.
@pytest.mark.parametrize(
    ("version", "stored"),
    [(1, '{"seat":"C7","guest":"Ann","priceCents":2500,"status":"awaitingPayment","isPaid":false}')],
)
def test_a_stored_state_is_read(version, stored):
    assert migrated(contract, version, stored) == AWAITING
