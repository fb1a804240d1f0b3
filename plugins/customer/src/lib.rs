//! The customer service of the Customer/Order saga: keeps each customer's credit, reserves it for
//! orders, and takes it back for orders that are cancelled.
//!
//! On every order it answers with exactly one event, `APPROVED` or `REJECTED`. Refused are an
//! unknown customer, more than what is left, and an amount that is no money (zero, negative, finer
//! than a cent, beyond 9·10¹⁶): the order was placed, so its saga has to end. A record that is no
//! pending order is malformed.
//!
//! A cancellation raises the credit by the order's amount. The order service publishes it once, and
//! only after it was told that credit is reserved, so nothing is kept here for each order. One that
//! would release more than is reserved is malformed.
//!
//! Mistakes of the first implementations of this saga, and what rules them out here:
//!
//! | defect | here |
//! |---|---|
//! | a reservation is taken off the limit and off a sum of reservations | one number is lowered, once ([`domain::Account`]) |
//! | save, then publish: a crash between the two loses the event | state and event are one decision |
//! | a record that comes twice is applied twice | the host offers one event id once |
//! | any exception, an outage included, becomes a rejection | a rule sees no outage; only these rules reject |
//! | the consumer swallows its errors | `malformed` becomes a dead letter with its reason |

pub mod domain;
pub mod messages;
mod rules;

pub use rules::{CREDIT_ANSWERED, INVALID_CREDIT_LIMIT, ORDER_CANCELLED, ORDER_CREATED};
use saga_sdk::{Contract, Participant};

/// The participant.
pub struct Customer;

impl Participant for Customer {
    type State = domain::Account;
    type Key = i64;

    fn contract() -> Contract<Self::State, i64> {
        rules::contract(env!("CARGO_PKG_VERSION"), domain::Account::reserve)
    }
}

saga_sdk::export!(Customer);
