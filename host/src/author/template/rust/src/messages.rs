//! The state, what clients send and get, what events say, and what operators set.

use saga_sdk::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A reservation of a seat: the state of one aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The seat.
    pub seat: String,
    /// The guest who reserved it.
    pub guest: String,
    /// The price in cents.
    pub price_cents: u64,
    /// How far it is.
    pub status: Status,
    /// True once the payment has arrived, also if it came too late.
    pub is_paid: bool,
}

/// A reservation as clients see it, alone and in the list. The number is its key, which the state does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Number of the reservation.
    pub reservation: u64,
    /// What it says.
    #[serde(flatten)]
    pub content: Reservation,
}

/// How far a reservation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// The guest has to pay.
    AwaitingPayment,
    /// It was paid in time.
    Confirmed,
    /// The seat is free for others: it was not paid in time, the payment was declined, or the guest cancelled.
    Released,
}

/// A reservation to make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = Reserve { seat: "C7".into(), guest: "Ann".into(), price_cents: 2500 })]
pub struct Reserve {
    /// The seat.
    #[schemars(length(min = 1, max = 20))]
    pub seat: String,
    /// The guest.
    #[schemars(length(min = 1, max = 100))]
    pub guest: String,
    /// The price in cents.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub price_cents: u64,
}

/// A reservation that was made, and waits for its payment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reserved {
    /// Number of the reservation.
    pub reservation: u64,
    /// Time by which it has to be paid, in milliseconds since 1970-01-01T00:00:00Z.
    pub pay_before: u64,
}

/// What became of a payment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = Payment { is_paid: true, amount_cents: 2500 })]
pub struct Payment {
    /// False if it was declined.
    pub is_paid: bool,
    /// The amount in cents that was asked for.
    pub amount_cents: u64,
}

/// Body of `payment-reported`, the event by which a payment service reports.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentReported {
    /// Number of the reservation.
    pub reservation: u64,
    /// What became of the payment.
    pub payment: Payment,
}

/// Body of `payment-asked` and of `refund-asked`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoneyAsked {
    /// Number of the reservation.
    pub reservation: u64,
    /// The guest who pays, or is paid back.
    pub guest: String,
    /// The amount in cents.
    pub amount_cents: u64,
}

/// Body of `seat-released`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeatReleased {
    /// Number of the reservation.
    pub reservation: u64,
    /// The seat.
    pub seat: String,
}

/// The settings of the rules.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Time that a guest has to pay.
    pub payment_timeout: TimeSpan,
}
