//! The customer service with a bug: it breaks on orders whose amount has cents.
//!
//! The demonstration applies it, lets an order become a dead letter, and repairs that. Apart from
//! the bug it is the participant of `plugins/customer`, whose files it uses as `demo/cautious` does.

#[path = "../../../plugins/customer/src/domain.rs"]
pub mod domain;
#[path = "../../../plugins/customer/src/messages.rs"]
pub mod messages;
#[path = "../../../plugins/customer/src/rules.rs"]
mod rules;

use domain::Account;
pub use rules::{CREDIT_ANSWERED, INVALID_CREDIT_LIMIT, ORDER_CANCELLED, ORDER_CREATED};
use saga_sdk::{Contract, Participant};

/// The participant.
pub struct FaultyCustomer;

impl Participant for FaultyCustomer {
    type State = Account;
    type Key = i64;

    fn contract() -> Contract<Account, i64> {
        rules::contract(env!("CARGO_PKG_VERSION"), |account, amount| {
            let has_cents = amount.to_string().contains('.');
            assert!(!has_cents, "an amount is a whole number, not {amount}");
            account.reserve(amount)
        })
    }
}

saga_sdk::export!(FaultyCustomer);
