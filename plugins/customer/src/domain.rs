//! A customer's credit.
//!
//! Owns the rules of the customer service: an order takes its amount from the credit that is left,
//! or nothing; an order that is cancelled gives it back. Pure, without SDK, events or JSON of its
//! own.
//!
//! The credit that is left is one number, lowered once for each order and raised once for each that is
//! cancelled. A reservation can't be counted twice, and the state stays the same size however many
//! orders a customer makes.

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

    /// The account after the reservation of `amount` was given back; none where that is more than is
    /// reserved.
    #[must_use]
    pub fn release(self, amount: Money) -> Option<Self> {
        let available = self.available.checked_add(amount)?;
        (available <= self.credit_limit).then_some(Self { available, ..self })
    }
}
