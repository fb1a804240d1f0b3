//! The requests of clients to the customer service, and its answers.

use saga_wire::{Amount, Money};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A customer to register.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = Register::example())]
pub struct Register {
    /// Name of the customer: not blank, at most 200 characters.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    pub name: String,
    /// Credit to grant.
    pub credit_limit: CreditLimit,
}

/// A credit limit, as clients write it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreditLimit {
    /// Zero or more, at most 9·10¹⁶, at most two decimals.
    #[schemars(extend("minimum" = 0, "maximum" = 90_000_000_000_000_000_i64))]
    pub amount: Amount,
}

/// A customer who was registered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = Registered::example())]
pub struct Registered {
    /// Number that the customer was given.
    pub customer_id: u64,
    /// Name of the customer.
    pub name: String,
    /// The credit limit.
    pub amount: Money,
}

/// A customer and the credit that is left.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = CreditLeft::example())]
pub struct CreditLeft {
    /// Number of the customer.
    pub id: u64,
    /// Name of the customer.
    pub name: String,
    /// What is left of the credit limit.
    pub credit_limit: Money,
}

// What the API document shows: one customer, before and after an order of 300.

impl Register {
    fn example() -> Self {
        Self {
            name: "Ann".into(),
            credit_limit: CreditLimit {
                amount: Money::whole(1000).into(),
            },
        }
    }
}

impl Registered {
    fn example() -> Self {
        Self {
            customer_id: 1,
            name: "Ann".into(),
            amount: Money::whole(1000),
        }
    }
}

impl CreditLeft {
    fn example() -> Self {
        Self {
            id: 1,
            name: "Ann".into(),
            credit_limit: Money::whole(700),
        }
    }
}
