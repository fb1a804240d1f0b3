//! An order and its life, without events or JSON of its own.
//!
//! | | yes | no | given up (cancelled, or nobody answered in time) |
//! |---|---|---|---|
//! | `PENDING`: asks for stock | `RESERVED` | `CANCELLED` | `CANCELLED` |
//! | `RESERVED`: asks for payment | `APPROVED` | `CANCELLED` | `REFUNDING` |
//! | `APPROVED`: asks for shipment | `SHIPPED` | `REFUNDING` | `STOPPING` |
//! | `STOPPING`: is it too late? | `SHIPPED` | `REFUNDING` | – |
//! | `REFUNDING`: waits for the money | – | `CANCELLED` | – |
//!
//! An order that is given up while it waits for stock need not wait for the answer: its release follows its request on
//! the same topic. One that waits for its payment has to be refunded, since the gateway may have charged. One that waits
//! for its shipment has to ask first if it has left. Every answer that comes late finds a state in which it means nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The item.
    pub item: String,
    /// How many of it.
    pub quantity: u32,
    /// What it costs, in cents.
    pub cents: u64,
    /// How far it is.
    pub state: OrderState,
    /// Why it is cancelled, or will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderState {
    /// It waits for stock.
    Pending,
    /// It waits for its payment.
    Reserved,
    /// It waits for its shipment.
    Approved,
    /// It is given up, if it has not left.
    Stopping,
    /// It is given up, and its money comes back.
    Refunding,
    /// It was shipped.
    Shipped,
    /// It was cancelled, and everything is undone.
    Cancelled,
}

/// The messages and timers after a change of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask for the payment.
    Pay,
    /// Ask for the shipment.
    Ship,
    /// Ask if the shipment can be stopped.
    Stop,
    /// Ask for the money, and free the stock.
    Refund,
    /// Tell the inventory that the goods have left.
    Close,
    /// Free the stock.
    Release,
    /// Nothing.
    End,
}

/// An order after a change, and what is to be done; none if nothing changes.
pub type Change = Option<(Order, Next)>;

impl Order {
    /// The inventory answered.
    #[must_use]
    pub fn stock_answered(self, reserved: bool) -> Change {
        match (self.state, reserved) {
            (OrderState::Pending, true) => self.now(OrderState::Reserved, Next::Pay),
            (OrderState::Pending, false) => self
                .because("there is not enough stock")
                .now(OrderState::Cancelled, Next::End),
            _ => None,
        }
    }

    /// The gateway charged, or declined.
    #[must_use]
    pub fn payment_answered(self, paid: bool) -> Change {
        match (self.state, paid) {
            (OrderState::Reserved, true) => self.now(OrderState::Approved, Next::Ship),
            (OrderState::Reserved, false) => self
                .because("the payment was declined")
                .now(OrderState::Cancelled, Next::Release),
            // Declined: there is no money to wait for. The stock is free already.
            (OrderState::Refunding, false) => self.now(OrderState::Cancelled, Next::End),
            _ => None,
        }
    }

    /// The goods have left, or will not.
    #[must_use]
    pub fn shipment_answered(self, shipped: bool) -> Change {
        match (self.state, shipped) {
            (OrderState::Approved | OrderState::Stopping, true) => Self {
                reason: None,
                ..self
            }
            .now(OrderState::Shipped, Next::Close),
            (OrderState::Approved | OrderState::Stopping, false) => {
                self.now(OrderState::Refunding, Next::Refund)
            }
            _ => None,
        }
    }

    /// The money is back.
    #[must_use]
    pub fn refunded(self) -> Change {
        match self.state {
            OrderState::Refunding => self.now(OrderState::Cancelled, Next::End),
            _ => None,
        }
    }

    /// A client cancels it, or nobody answered in time.
    #[must_use]
    pub fn given_up(self, reason: &str) -> Change {
        match self.state {
            OrderState::Pending => self
                .because(reason)
                .now(OrderState::Cancelled, Next::Release),
            OrderState::Reserved => self
                .because(reason)
                .now(OrderState::Refunding, Next::Refund),
            OrderState::Approved => self.because(reason).now(OrderState::Stopping, Next::Stop),
            OrderState::Stopping
            | OrderState::Refunding
            | OrderState::Shipped
            | OrderState::Cancelled => None,
        }
    }

    /// True if it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, OrderState::Shipped | OrderState::Cancelled)
    }

    fn because(self, reason: &str) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            ..self
        }
    }

    fn now(self, state: OrderState, next: Next) -> Change {
        Some((Self { state, ..self }, next))
    }
}
