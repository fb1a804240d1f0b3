//! The rules, given/when/then.

use __crate__::messages::{MoneyAsked, Payment, PaymentReported, Reservation, Reserve, Reserved};
use __crate__::messages::{SeatReleased, Settings, Shown, Status};
use __crate__::{ALREADY_RELEASED, PAYMENT_ASKED, PAYMENT_DUE, PAYMENT_REPORTED};
use __crate__::{REFUND_ASKED, SEAT_RELEASED, WRONG_AMOUNT};

use __crate__::__Name__Service;

use saga_sdk::testing::{given, given_nothing, migrated};
use saga_sdk::{NOT_FOUND, TimeSpan};

/// Ann's reservation of seat C7.
fn reservation(status: Status, is_paid: bool) -> Reservation {
    Reservation {
        seat: "C7".to_owned(),
        guest: "Ann".to_owned(),
        price_cents: 2500,
        status,
        is_paid,
    }
}

fn awaiting() -> Reservation {
    reservation(Status::AwaitingPayment, false)
}

fn payment(is_paid: bool) -> Payment {
    Payment {
        is_paid,
        amount_cents: 2500,
    }
}

fn reported(payment: Payment) -> PaymentReported {
    PaymentReported {
        reservation: 1,
        payment,
    }
}

fn asked() -> MoneyAsked {
    MoneyAsked {
        reservation: 1,
        guest: "Ann".to_owned(),
        amount_cents: 2500,
    }
}

fn released() -> SeatReleased {
    SeatReleased {
        reservation: 1,
        seat: "C7".to_owned(),
    }
}

#[test]
fn a_reservation_asks_for_the_payment_and_sets_a_timer() {
    given_nothing::<__Name__Service>()
        .time(1_000)
        .settings(&Settings {
            payment_timeout: TimeSpan::from_secs(60),
        })
        .when_command(
            "reserve",
            &Reserve {
                seat: "C7".to_owned(),
                guest: "Ann".to_owned(),
                price_cents: 2500,
            },
        )
        .state(&awaiting())
        .published(PAYMENT_ASKED, 1, &asked())
        .published_no_more()
        .timer_set(PAYMENT_DUE, 61_000, &())
        .replied_pending(&Reserved {
            reservation: 1,
            pay_before: 61_000,
        });
}

#[test]
fn a_payment_in_time_confirms_it() {
    given::<__Name__Service>(awaiting())
        .when_event(PAYMENT_REPORTED, &reported(payment(true)))
        .state(&reservation(Status::Confirmed, true))
        .timer_cancelled(PAYMENT_DUE)
        .published_no_more();
    given::<__Name__Service>(awaiting())
        .when_command("report-payment", &payment(true))
        .state(&reservation(Status::Confirmed, true))
        .timer_cancelled(PAYMENT_DUE)
        .published_no_more();
}

#[test]
fn a_declined_payment_releases_the_seat() {
    given::<__Name__Service>(awaiting())
        .when_event(PAYMENT_REPORTED, &reported(payment(false)))
        .state(&reservation(Status::Released, false))
        .timer_cancelled(PAYMENT_DUE)
        .published(SEAT_RELEASED, 1, &released())
        .published_no_more();
}

#[test]
fn a_reservation_that_nobody_pays_is_released() {
    given::<__Name__Service>(awaiting())
        .when_timer(PAYMENT_DUE, &())
        .state(&reservation(Status::Released, false))
        .published(SEAT_RELEASED, 1, &released())
        .published_no_more();
}

#[test]
fn a_timer_that_comes_after_the_payment_changes_nothing() {
    given::<__Name__Service>(reservation(Status::Confirmed, true))
        .when_timer(PAYMENT_DUE, &())
        .unchanged()
        .published_no_more();
}

#[test]
fn a_late_payment_is_paid_back_once() {
    given::<__Name__Service>(reservation(Status::Released, false))
        .when_event(PAYMENT_REPORTED, &reported(payment(true)))
        .state(&reservation(Status::Released, true))
        .published(REFUND_ASKED, 1, &asked())
        .published_no_more()
        .and_then()
        .when_event(PAYMENT_REPORTED, &reported(payment(true)))
        .unchanged()
        .published_no_more();
}

#[test]
fn a_report_that_comes_again_changes_nothing() {
    given::<__Name__Service>(reservation(Status::Confirmed, true))
        .when_event(PAYMENT_REPORTED, &reported(payment(true)))
        .unchanged()
        .published_no_more();
}

#[test]
fn a_cancellation_releases_the_seat_and_pays_back_what_was_paid() {
    given::<__Name__Service>(awaiting())
        .when_command("cancel", &())
        .state(&reservation(Status::Released, false))
        .timer_cancelled(PAYMENT_DUE)
        .published(SEAT_RELEASED, 1, &released())
        .published_no_more()
        .replied(&reservation(Status::Released, false))
        .and_then()
        .when_command("cancel", &())
        .refused(ALREADY_RELEASED);
    given::<__Name__Service>(reservation(Status::Confirmed, true))
        .when_command("cancel", &())
        .state(&reservation(Status::Released, true))
        .published(SEAT_RELEASED, 1, &released())
        .published(REFUND_ASKED, 1, &asked())
        .published_no_more();
}

#[test]
fn a_report_that_makes_no_sense_is_turned_down() {
    let wrong = Payment {
        amount_cents: 1,
        ..payment(true)
    };
    given::<__Name__Service>(awaiting())
        .when_command("report-payment", &wrong)
        .refused(WRONG_AMOUNT);
    given::<__Name__Service>(awaiting())
        .when_event(PAYMENT_REPORTED, &reported(wrong))
        .malformed("2500 cents");
    given_nothing::<__Name__Service>()
        .when_event(PAYMENT_REPORTED, &reported(payment(true)))
        .malformed("no reservation");
    given_nothing::<__Name__Service>()
        .when_command("cancel", &())
        .refused(NOT_FOUND);
}

#[test]
fn a_reservation_is_shown_with_its_number() {
    given::<__Name__Service>(awaiting())
        .key(7)
        .when_command("get-reservation", &())
        .replied_pending(&Shown {
            reservation: 7,
            content: awaiting(),
        });
}

/// Keep a state of each released version here: then a change that can't read it fails.
#[test]
fn a_stored_state_is_read() {
    let stored = r#"{"seat":"C7","guest":"Ann","priceCents":2500,"status":"awaitingPayment","isPaid":false}"#;
    assert_eq!(migrated::<__Name__Service>(1, stored), awaiting());
}
