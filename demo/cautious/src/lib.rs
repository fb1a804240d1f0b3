//! The customer service with a more cautious rule: it approves no single order above 10,000,
//! whatever credit is left.
//!
//! The demonstration and the swap benchmark replace `plugins/customer` with it. It is the same
//! participant (name, routes, topics, state; a test compares the descriptions), so a running host
//! accepts it; only decisions on large orders differ. Domain, messages and rules are the files of
//! that crate, not copies: linking the crate would export its participant too.

#[path = "../../../plugins/customer/src/domain.rs"]
pub mod domain;
#[path = "../../../plugins/customer/src/messages.rs"]
pub mod messages;
#[path = "../../../plugins/customer/src/rules.rs"]
mod rules;

use domain::Account;
pub use rules::{CREDIT_ANSWERED, INVALID_CREDIT_LIMIT, ORDER_CANCELLED, ORDER_CREATED};
use saga_sdk::{Contract, Participant};
use saga_wire::Money;

/// The largest order that may be approved. The load generator's orders that must be approved are
/// far smaller, so its ledger holds for both builds.
pub const LARGEST_ORDER: Money = Money::whole(10_000);

/// The participant.
pub struct CautiousCustomer;

impl Participant for CautiousCustomer {
    type State = Account;
    type Key = i64;

    fn contract() -> Contract<Account, i64> {
        rules::contract(env!("CARGO_PKG_VERSION"), |account, amount| {
            account.reserve(amount).filter(|_| amount <= LARGEST_ORDER)
        })
    }
}

saga_sdk::export!(CautiousCustomer);
