//! The rules of payments: late, lost and repeated reports.

use fulfilment_messages::{
    Cancelled, PAYMENT_ANSWERED, PAYMENT_CANCELLED, PAYMENT_REFUNDED, PAYMENT_REQUESTED,
    PaymentAnswered, PaymentRefunded, PaymentRequested,
};
use fulfilment_payments::{
    CONTRADICTS, Done, Payment, PaymentState, PaymentView, Payments, Report,
};
use saga_sdk::testing::{Scenario, Then, given, given_nothing};

const CENTS: u64 = 4_200;

fn payment(state: PaymentState) -> Payment {
    Payment {
        cents: CENTS,
        state,
    }
}

fn given_a(state: PaymentState) -> Scenario<Payments> {
    given::<Payments>(payment(state)).key(7)
}

fn reported(state: PaymentState, done: Done) -> Then<Payments> {
    given_a(state).when_command("report", &Report { done })
}

fn seen(state: PaymentState) -> PaymentView {
    PaymentView {
        order: 7,
        cents: CENTS,
        state,
    }
}

#[test]
fn a_request_is_recorded_and_nothing_else() {
    given_nothing::<Payments>()
        .when_event(
            PAYMENT_REQUESTED,
            &PaymentRequested {
                order: 7,
                cents: CENTS,
            },
        )
        .state(&payment(PaymentState::Requested))
        .published_no_more();
}

#[test]
fn a_repeated_request_changes_nothing() {
    for state in [
        PaymentState::Requested,
        PaymentState::Charged,
        PaymentState::Refunded,
    ] {
        given_a(state)
            .when_event(
                PAYMENT_REQUESTED,
                &PaymentRequested {
                    order: 7,
                    cents: CENTS,
                },
            )
            .unchanged()
            .published_no_more();
    }
}

#[test]
fn the_first_report_decides_and_tells_the_order() {
    for (done, state, paid) in [
        (Done::Charged, PaymentState::Charged, true),
        (Done::Declined, PaymentState::Declined, false),
    ] {
        reported(PaymentState::Requested, done)
            .state(&payment(state))
            .published(PAYMENT_ANSWERED, 7, &PaymentAnswered { order: 7, paid })
            .published_no_more()
            .replied(&seen(state));
    }
}

#[test]
fn a_repeated_report_is_answered_as_the_first_and_tells_nobody_again() {
    for (state, done) in [
        (PaymentState::Charged, Done::Charged),
        (PaymentState::Declined, Done::Declined),
        (PaymentState::Refunded, Done::Refunded),
    ] {
        reported(state, done)
            .unchanged()
            .published_no_more()
            .replied(&seen(state));
    }
}

#[test]
fn a_late_report_of_a_payment_that_is_given_up_changes_nothing() {
    for state in [PaymentState::Refunding, PaymentState::Refunded] {
        for done in [Done::Charged, Done::Declined] {
            reported(state, done)
                .unchanged()
                .published_no_more()
                .replied(&seen(state));
        }
    }
}

#[test]
fn a_lost_report_leaves_the_payment_in_the_list_until_it_is_given_up() {
    // The gateway has charged, but its report is lost: the order gives up, and the money is to come back.
    given_a(PaymentState::Requested)
        .when_event(PAYMENT_CANCELLED, &Cancelled { order: 7 })
        .state(&payment(PaymentState::Refunding))
        .published_no_more()
        .and_then()
        .when_command(
            "report",
            &Report {
                done: Done::Refunded,
            },
        )
        .state(&payment(PaymentState::Refunded))
        .published(PAYMENT_REFUNDED, 7, &PaymentRefunded { order: 7 })
        .published_no_more();
}

#[test]
fn a_charge_is_refunded_when_its_order_is_given_up() {
    given_a(PaymentState::Charged)
        .when_event(PAYMENT_CANCELLED, &Cancelled { order: 7 })
        .state(&payment(PaymentState::Refunding));
}

#[test]
fn there_is_nothing_to_give_back_of_a_declined_payment() {
    for state in [
        PaymentState::Declined,
        PaymentState::Refunding,
        PaymentState::Refunded,
    ] {
        given_a(state)
            .when_event(PAYMENT_CANCELLED, &Cancelled { order: 7 })
            .unchanged()
            .published_no_more();
    }
}

#[test]
fn a_report_that_contradicts_is_refused() {
    for (state, done) in [
        (PaymentState::Charged, Done::Declined),
        (PaymentState::Charged, Done::Refunded),
        (PaymentState::Declined, Done::Charged),
        (PaymentState::Requested, Done::Refunded),
    ] {
        reported(state, done)
            .refused(CONTRADICTS)
            .refused_at("/done");
    }
}

#[test]
fn a_cancellation_without_a_request_is_malformed() {
    given_nothing::<Payments>()
        .when_event(PAYMENT_CANCELLED, &Cancelled { order: 7 })
        .malformed("there is no payment of order 7");
}
