//! An order and its life.
//!
//! Owns the one rule of the order service: a pending order is decided once, and the first answer
//! stands. Pure, without SDK, events or JSON of its own.

use saga_wire::{Money, OrderState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order that was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Number of the customer who placed it.
    pub customer_id: i64,
    /// What it costs.
    pub order_total: Money,
    /// How far it is.
    pub state: OrderState,
}

impl Order {
    /// A new order; none where it costs nothing.
    #[must_use]
    pub fn place(customer_id: i64, order_total: Money) -> Option<Self> {
        (order_total > Money::ZERO).then_some(Self {
            customer_id,
            order_total,
            state: OrderState::Pending,
        })
    }

    /// The order after the customer service's answer; none where it was decided before, whatever
    /// this answer says.
    #[must_use]
    pub fn decide(self, answer: OrderState) -> Option<Self> {
        (self.state == OrderState::Pending).then_some(Self {
            state: answer,
            ..self
        })
    }
}
