//! A customer's credit.
//!
//! Owns the one rule of the customer service: an order takes its amount from the credit that is
//! left, or nothing. Pure, without SDK, events or JSON of its own.
//!
//! What is left is one number, lowered once for each order. The limit it started from is kept
//! beside it and never enters the reckoning, so a reservation can't be counted twice, and the state
//! stays the same size however many orders a customer makes.

use saga_wire::Money;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A registered customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Name that the customer registered with.
    pub name: String,
    /// Credit that the customer was granted.
    pub credit_limit: Money,
    /// Credit that is left.
    pub available: Money,
}

impl Account {
    /// A new customer, with all of the limit left. A limit of zero is legal: such a customer's
    /// orders are all refused.
    pub fn open(name: String, credit_limit: Money) -> Self {
        Self {
            name,
            credit_limit,
            available: credit_limit,
        }
    }

    /// The account after `amount` was reserved; none where that is more than is left, or nothing
    /// at all. Using the credit up exactly is allowed.
    #[must_use]
    pub fn reserve(self, amount: Money) -> Option<Self> {
        if amount == Money::ZERO {
            return None;
        }
        let available = self.available.checked_sub(amount)?;
        Some(Self { available, ..self })
    }
}
