//! The adapter between the rules of payments and a payment gateway.
//!
//! Rules can't call anybody, so a program does it for them: it reads from their list what is to be done, calls the gateway,
//! and reports by a command. The adapter keeps nothing. Whatever is lost on the way (the call, the answer, the report,
//! the adapter itself), the payment stays in the list, and the next round does the same again, with the same key.
//!
//! - this file: what the adapter does about one payment
//! - [`fake`]: a gateway in memory that is slow, loses answers and repeats itself
//! - [`adapter`]: the rounds, over HTTP

pub mod adapter;
pub mod fake;

// The listings of the page for authors, which use this saga: they are compiled and run here.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/authors.md")]
mod authors {}

use fulfilment_payments::{Done, PaymentState, PaymentView, Report};

/// A call of which nothing is known: it may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// A payment gateway. Under one key it charges at most once, however often it is asked.
pub trait Gateway {
    /// Charges this amount; false if it declines.
    ///
    /// # Errors
    /// The answer is lost.
    fn charge(&mut self, key: &str, cents: u64) -> Result<bool, Lost>;

    /// Pays back what was charged under the key, if anything was, and never charges under it again.
    ///
    /// # Errors
    /// The answer is lost.
    fn refund(&mut self, key: &str) -> Result<(), Lost>;
}

/// The idempotency key of an order's payment.
#[must_use]
pub fn key_of(order: u64) -> String {
    format!("order-{order}")
}

/// Does what a payment asks for. None if there is nothing to do, or the answer is lost and has to be
/// asked for again.
pub fn perform(payment: &PaymentView, gateway: &mut impl Gateway) -> Option<Report> {
    let key = key_of(payment.order);
    let done = match payment.state {
        PaymentState::Requested => match gateway.charge(&key, payment.cents) {
            Ok(true) => Done::Charged,
            Ok(false) => Done::Declined,
            Err(Lost) => return None,
        },
        PaymentState::Refunding => match gateway.refund(&key) {
            Ok(()) => Done::Refunded,
            Err(Lost) => return None,
        },
        PaymentState::Charged | PaymentState::Declined | PaymentState::Refunded => return None,
    };
    Some(Report { done })
}
