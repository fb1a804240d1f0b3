//! An order and its life.
//!
//! Owns the rules of the order service: a pending order is decided once, by the first answer, by a
//! client who cancels it, or by time; and credit that is reserved for an order that ended otherwise
//! is given back, once. Pure, without SDK, events or JSON of its own.
//!
//! | | answered: reserved | answered: refused | no answer in time | cancelled |
//! |---|---|---|---|---|
//! | pending | approved | rejected | rejected | cancelled |
//! | approved | – | – | – | cancelled, credit given back |
//! | rejected by an answer | – | – | – | refused |
//! | rejected by time | credit given back | – | – | refused |
//! | cancelled while pending | credit given back | – | – | – |
//! | cancelled when approved | – | – | – | – |
//!
//! An answer counts once. Credit is given back only after an answer that it is reserved, so a
//! release can't overtake its reservation.

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
    /// The customer's credit for it.
    pub credit: Credit,
    /// The reason why it was rejected, if it is not the customer's credit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The customer's credit for an order, as far as the order service was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Credit {
    /// The customer service was asked, and has not answered.
    Asked,
    /// It is reserved.
    Reserved,
    /// It was refused.
    Refused,
    /// It was reserved, and is given back.
    Released,
}

/// The effect of something that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None.
    Nothing,
    /// The order is now this one.
    Stored(Order),
    /// The same, and its credit is to be given back.
    Released(Order),
}

/// An order that was rejected can't be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsRejected;

impl Order {
    /// A new order; none where it costs nothing.
    #[must_use]
    pub fn place(customer_id: i64, order_total: Money) -> Option<Self> {
        (order_total > Money::ZERO).then_some(Self {
            customer_id,
            order_total,
            state: OrderState::Pending,
            credit: Credit::Asked,
            reason: None,
        })
    }

    /// The customer service answered that credit is reserved, or that it is refused.
    #[must_use]
    pub fn answered(self, is_reserved: bool) -> Effect {
        let is_pending = self.state == OrderState::Pending;
        match (self.credit, is_reserved) {
            (Credit::Reserved | Credit::Refused | Credit::Released, _) => Effect::Nothing,
            (Credit::Asked, true) if is_pending => {
                Effect::Stored(self.with(OrderState::Approved, Credit::Reserved))
            }
            (Credit::Asked, true) => {
                let state = self.state;
                Effect::Released(self.with(state, Credit::Released))
            }
            (Credit::Asked, false) if is_pending => {
                Effect::Stored(self.with(OrderState::Rejected, Credit::Refused))
            }
            (Credit::Asked, false) => {
                let state = self.state;
                Effect::Stored(self.with(state, Credit::Refused))
            }
        }
    }

    /// Nobody answered in time.
    #[must_use]
    pub fn timed_out(self, reason: String) -> Effect {
        if self.state != OrderState::Pending {
            return Effect::Nothing;
        }
        Effect::Stored(Self {
            state: OrderState::Rejected,
            reason: Some(reason),
            ..self
        })
    }

    /// A client cancels it.
    ///
    /// # Errors
    /// If it was rejected.
    pub fn cancelled(self) -> Result<Effect, IsRejected> {
        let credit = self.credit;
        match self.state {
            OrderState::Rejected => Err(IsRejected),
            OrderState::Cancelled => Ok(Effect::Nothing),
            OrderState::Pending => Ok(Effect::Stored(self.with(OrderState::Cancelled, credit))),
            OrderState::Approved => Ok(Effect::Released(
                self.with(OrderState::Cancelled, Credit::Released),
            )),
        }
    }

    fn with(self, state: OrderState, credit: Credit) -> Self {
        Self {
            state,
            credit,
            ..self
        }
    }
}

/// An order as builds before cancellation stored it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderBeforeCancellation {
    customer_id: i64,
    order_total: Money,
    state: OrderState,
}

impl From<OrderBeforeCancellation> for Order {
    fn from(order: OrderBeforeCancellation) -> Self {
        Self {
            customer_id: order.customer_id,
            order_total: order.order_total,
            state: order.state,
            credit: match order.state {
                OrderState::Pending | OrderState::Cancelled => Credit::Asked,
                OrderState::Approved => Credit::Reserved,
                OrderState::Rejected => Credit::Refused,
            },
            reason: None,
        }
    }
}
