//! The value of the records on all topics.
//!
//! Field names and spelling are fixed by the peers already in production. Fields that a peer adds
//! are read past.

use crate::money::{Amount, Money};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One order, as the services tell each other of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = OrderRecord::example())]
pub struct OrderRecord {
    /// Number of the order.
    pub id: i64,
    /// `PENDING` on `orderTopic`; `APPROVED` or `REJECTED` on `customerTopic`; `CANCELLED` or
    /// `REJECTED` on `cancellationTopic`.
    pub state: OrderState,
    /// Who ordered, for how much.
    pub order_details: OrderDetails,
}

impl OrderRecord {
    fn example() -> Self {
        Self {
            id: 1,
            state: OrderState::Pending,
            order_details: OrderDetails {
                customer_id: 1,
                order_total: Balance {
                    amount: Money::whole(300).into(),
                },
            },
        }
    }

    /// The same order in another state.
    #[must_use]
    pub fn with_state(self, state: OrderState) -> Self {
        Self { state, ..self }
    }
}

/// Who ordered, for how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderDetails {
    /// Number of the customer.
    pub customer_id: i64,
    /// What the order costs.
    pub order_total: Balance,
}

/// An amount in an object of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// The amount, as the peer wrote it.
    pub amount: Amount,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderState {
    /// The customer's credit has yet to be asked.
    Pending,
    /// Credit was reserved.
    Approved,
    /// There was no credit for it, or no answer in time.
    Rejected,
    /// A client cancelled it.
    Cancelled,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_amount_goes_through_with_every_digit() {
        for amount in [
            "10.25",
            "300.00",
            "123456789012345678901234567890",
            "-0.001",
        ] {
            let text = format!(
                r#"{{"id":9,"state":"REJECTED","orderDetails":{{"customerId":7,"orderTotal":{{"amount":{amount}}}}}}}"#
            );
            let record: OrderRecord = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
        }
    }

    #[test]
    fn fields_of_others_are_read_past() {
        let text = r#"{"id":1,"note":{},"state":"APPROVED","orderDetails":{"customerId":1,"orderTotal":{"amount":1,"currency":"KRW"}}}"#;
        let record: OrderRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.state, OrderState::Approved);
    }
}
