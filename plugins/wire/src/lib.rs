//! The events between the customer and the order service.
//!
//! Owns the record on their topics, the names of topics, groups and event types, and money.
//! Knows no SDK, no host and no rule, so that either service can be replaced by a peer in another
//! language: the record's value is the whole contract between them, everything else travels in
//! record headers.
//!
//! ```
//! use saga_wire::{OrderRecord, OrderState};
//!
//! let text = r#"{"id":1,"state":"PENDING","orderDetails":{"customerId":7,"orderTotal":{"amount":300}}}"#;
//! let record: OrderRecord = serde_json::from_str(text)?;
//! assert_eq!(record.state, OrderState::Pending);
//! assert_eq!(serde_json::to_string(&record)?, text);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod money;
mod record;

pub use money::{Amount, Money, MoneyError};
pub use record::{Balance, OrderDetails, OrderRecord, OrderState};

/// Topic of the order service: an order was created.
pub const ORDER_TOPIC: &str = "orderTopic";

/// Topic of the customer service: credit was reserved, or refused.
pub const CUSTOMER_TOPIC: &str = "customerTopic";

/// Topic of the order service: an order that holds credit was cancelled, or rejected for want of an
/// answer in time. Peers that know nothing of it keep the credit.
pub const CANCELLATION_TOPIC: &str = "cancellationTopic";

/// Consumer group in which the customer service reads [`ORDER_TOPIC`].
pub const ORDER_GROUP: &str = "order";

/// Consumer group in which the order service reads [`CUSTOMER_TOPIC`].
pub const CUSTOMER_GROUP: &str = "customer";

/// Consumer group in which the customer service reads [`CANCELLATION_TOPIC`].
pub const CANCELLATION_GROUP: &str = "cancellation";

/// Type of the event on [`ORDER_TOPIC`]. Records of other peers may name none.
pub const ORDER_CREATED: &str = "saga.order.created";

/// Type of the event on [`CUSTOMER_TOPIC`], for both answers: `state` in the record tells them
/// apart, as it does for peers that know no event types.
pub const CREDIT_ANSWERED: &str = "saga.customer.credit-answered";

/// Type of the event on [`CANCELLATION_TOPIC`].
pub const ORDER_CANCELLED: &str = "saga.order.cancelled";
