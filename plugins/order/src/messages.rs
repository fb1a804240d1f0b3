//! The requests of clients to the order service, its answers, and the settings for operators.

use saga_sdk::TimeSpan;
use saga_wire::{Amount, Money, OrderState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Time after which an order that nobody answered is rejected.
    pub answer_timeout: TimeSpan,
}

/// An order to place.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = PlaceOrder::example())]
pub struct PlaceOrder {
    /// Number of the customer who orders.
    #[schemars(range(min = 1, max = 9_223_372_036_854_775_807_i64))]
    pub customer_id: i64,
    /// What the order costs.
    pub order_total: OrderTotal,
}

/// An order's total, as clients write it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderTotal {
    /// More than zero, at most 9·10¹⁶, at most two decimals.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 90_000_000_000_000_000_i64))]
    pub amount: Amount,
}

/// An order that was placed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = Placed::example())]
pub struct Placed {
    /// Number that the order was given.
    pub order_id: u64,
    /// `PENDING`.
    pub order_state: OrderState,
    /// Number of the customer who ordered.
    pub customer_id: i64,
    /// What the order costs.
    pub order_total: Money,
}

/// How far an order is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = Progress::example())]
pub struct Progress {
    /// Number of the order.
    pub order_id: u64,
    /// How far it is.
    pub order_state: OrderState,
    /// The reason why it was rejected, if it is not the customer's credit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

// What the API document shows: one order, when it is placed and when it is decided.

impl PlaceOrder {
    fn example() -> Self {
        Self {
            customer_id: 1,
            order_total: OrderTotal {
                amount: Money::whole(300).into(),
            },
        }
    }
}

impl Placed {
    fn example() -> Self {
        Self {
            order_id: 1,
            order_state: OrderState::Pending,
            customer_id: 1,
            order_total: Money::whole(300),
        }
    }
}

impl Progress {
    fn example() -> Self {
        Self {
            order_id: 1,
            order_state: OrderState::Approved,
            reason: None,
        }
    }
}
