//! Payments, which a gateway outside performs.
//!
//! Rules have no network. They record what is to be done (`REQUESTED`, `REFUNDING`) and show it in a list. An adapter
//! (`demo/fulfilment/gateway`) reads the list, calls the gateway with a key that is made of the order's number, and
//! reports by a command. If the adapter, its call or its report is lost, the payment is still in the list, and the next
//! attempt has the same key, so the gateway does nothing twice. Reports may come late, or twice:
//!
//! | | charged | declined | refunded |
//! |---|---|---|---|
//! | `REQUESTED` | `CHARGED`, tells the order | `DECLINED`, tells the order | refused |
//! | `CHARGED` | known | refused | refused |
//! | `DECLINED` | refused | known | refused |
//! | `REFUNDING` | late, no effect | late, no effect | `REFUNDED`, tells the order |
//! | `REFUNDED` | late, no effect | late, no effect | known |
//!
//! A request that is cancelled before its report becomes `REFUNDING` too: nobody here knows if the gateway has charged.

use fulfilment_messages::{
    Cancelled, PAYMENT_ANSWERED, PAYMENT_CANCELLED, PAYMENT_REFUNDED, PAYMENT_REQUESTED,
    PaymentAnswered, PaymentRefunded, PaymentRequested,
};
use saga_sdk::{Command, Contract, Decision, Listing, Method, Participant, Refusal, RefusalType};
use saga_sdk::{Subscription, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A report that can't be, after those before it.
pub const CONTRADICTS: RefusalType = RefusalType::conflict(
    "contradicts",
    "The report contradicts what was reported or requested before.",
);

/// A payment of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    /// The amount, in cents.
    pub cents: u64,
    /// How far it is.
    pub state: PaymentState,
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum PaymentState {
    /// The gateway is to charge.
    Requested,
    /// The money is here.
    Charged,
    /// The gateway declined.
    Declined,
    /// The gateway is to pay back whatever it charged.
    Refunding,
    /// The money is back, or was never taken.
    Refunded,
}

/// A payment as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentView {
    /// Number of the order.
    pub order: u64,
    /// The amount, in cents.
    pub cents: u64,
    /// How far it is.
    pub state: PaymentState,
}

/// What the gateway did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Done {
    /// It charged.
    Charged,
    /// It declined to charge.
    Declined,
    /// It paid back what it charged, if it did, and never charges under this key again.
    Refunded,
}

/// A report of the adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// What the gateway did.
    pub done: Done,
}

/// The participant.
pub struct Payments;

impl Participant for Payments {
    type State = Payment;
    type Key = u64;

    fn contract() -> Contract<Payment, u64> {
        let summary = "Keeps the payments that a gateway performs.";
        Contract::new("payments", env!("CARGO_PKG_VERSION"), summary)
            .endpoint("/fulfilment", 8093)
            .command(
                Command::change("report", Method::Post, "/payments/{order}/report", report)
                    .summary("Reports what the gateway did.")
                    .requires("payments:report")
                    .refuses(CONTRADICTS),
            )
            .command(
                Command::read("get-payment", "/payments/{order}", view)
                    .summary("Tells how far a payment is."),
            )
            .listing(
                Listing::of("list-payments", "/payments", "get-payment")
                    .summary("Lists the payments; REQUESTED and REFUNDING is what the gateway has to do.")
                    .filter("state", "/state"),
            )
            .on(Subscription::to(PAYMENT_REQUESTED, "payments", "/order", requested))
            .on(Subscription::to(PAYMENT_CANCELLED, "payments", "/order", cancelled))
            .publishes(PAYMENT_ANSWERED)
            .publishes(PAYMENT_REFUNDED)
    }
}

saga_sdk::export!(Payments);

fn requested(
    payment: Option<Payment>,
    request: PaymentRequested,
    _: &Turn<u64>,
) -> Decision<Payment> {
    match payment {
        Some(_) => Decision::unchanged(), // asked again
        None => Decision::put(Payment {
            cents: request.cents,
            state: PaymentState::Requested,
        }),
    }
}

fn cancelled(payment: Option<Payment>, _: Cancelled, turn: &Turn<u64>) -> Decision<Payment> {
    let Some(payment) = payment else {
        // The request is on the same topic with the same key, so it came first, or never.
        return Decision::malformed(format!("there is no payment of order {}", turn.key()));
    };
    match payment.state {
        PaymentState::Requested | PaymentState::Charged => Decision::put(Payment {
            state: PaymentState::Refunding,
            ..payment
        }),
        // The order has been told, or will be.
        PaymentState::Declined | PaymentState::Refunding | PaymentState::Refunded => {
            Decision::unchanged()
        }
    }
}

fn report(
    payment: Payment,
    report: Report,
    turn: &Turn<u64>,
) -> Result<Decision<Payment, PaymentView>, Refusal> {
    use {Done as D, PaymentState as S};
    let state = match (payment.state, report.done) {
        (S::Requested, D::Charged) => S::Charged,
        (S::Requested, D::Declined) => S::Declined,
        (S::Refunding, D::Refunded) => S::Refunded,
        (S::Charged, D::Charged)
        | (S::Declined, D::Declined)
        | (S::Refunding, D::Charged | D::Declined)
        | (S::Refunded, _) => {
            return Ok(Decision::unchanged().reply(view(&payment, turn)));
        }
        (state, done) => {
            let detail = format!(
                "payment {} is {state:?}, and {done:?} was reported",
                turn.key()
            );
            return Err(Refusal::new(CONTRADICTS, detail).at("/done"));
        }
    };
    let payment = Payment { state, ..payment };
    let (order, seen) = (*turn.key(), view(&payment, turn));
    let decision = Decision::put(payment);
    Ok(match state {
        S::Refunded => decision.publish(PAYMENT_REFUNDED, order, &PaymentRefunded { order }),
        _ => {
            let paid = state == S::Charged;
            decision.publish(PAYMENT_ANSWERED, order, &PaymentAnswered { order, paid })
        }
    }
    .reply(seen))
}

fn view(payment: &Payment, turn: &Turn<u64>) -> PaymentView {
    PaymentView {
        order: *turn.key(),
        cents: payment.cents,
        state: payment.state,
    }
}
