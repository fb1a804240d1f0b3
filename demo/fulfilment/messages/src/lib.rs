//! The events between the participants of the fulfilment saga.
//!
//! Two events on one topic with one key keep their order. So whatever undoes a request is published on the
//! topic of the request, with its key: it can't overtake it.

use saga_sdk::EventType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order was placed and asks for stock. Key: the item.
pub const ORDER_PLACED: EventType<OrderPlaced> =
    EventType::new("fulfilment.order.placed", "fulfilment-orders");

/// An order ended: its stock has left, or is free again. Key: the item.
pub const ORDER_CLOSED: EventType<OrderClosed> =
    EventType::new("fulfilment.order.closed", "fulfilment-orders");

/// Stock was reserved for an order, or there was not enough. Key: the order.
pub const STOCK_ANSWERED: EventType<StockAnswered> =
    EventType::new("fulfilment.stock.answered", "fulfilment-stock");

/// An order asks for its payment. Key: the order.
pub const PAYMENT_REQUESTED: EventType<PaymentRequested> = EventType::new(
    "fulfilment.payment.requested",
    "fulfilment-payment-requests",
);

/// An order is given up: its money, if any was taken, goes back. Key: the order.
pub const PAYMENT_CANCELLED: EventType<Cancelled> = EventType::new(
    "fulfilment.payment.cancelled",
    "fulfilment-payment-requests",
);

/// The payment was made, or declined. Key: the order.
pub const PAYMENT_ANSWERED: EventType<PaymentAnswered> =
    EventType::new("fulfilment.payment.answered", "fulfilment-payments");

/// The money is back, or was never taken. Key: the order.
pub const PAYMENT_REFUNDED: EventType<PaymentRefunded> =
    EventType::new("fulfilment.payment.refunded", "fulfilment-payments");

/// An order asks for its shipment. Key: the order.
pub const SHIPMENT_REQUESTED: EventType<ShipmentRequested> = EventType::new(
    "fulfilment.shipment.requested",
    "fulfilment-shipment-requests",
);

/// An order is given up: it must not be shipped any more, if it is not too late. Key: the order.
pub const SHIPMENT_CANCELLED: EventType<Cancelled> = EventType::new(
    "fulfilment.shipment.cancelled",
    "fulfilment-shipment-requests",
);

/// The order was shipped, or will not be. Key: the order.
pub const SHIPMENT_ANSWERED: EventType<ShipmentAnswered> =
    EventType::new("fulfilment.shipment.answered", "fulfilment-shipments");

/// The body of [`ORDER_PLACED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderPlaced {
    /// Number of the order.
    pub order: u64,
    /// The item.
    pub item: String,
    /// How many of it.
    pub quantity: u32,
}

/// The body of [`ORDER_CLOSED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderClosed {
    /// Number of the order.
    pub order: u64,
    /// The item.
    pub item: String,
    /// True if it was shipped.
    pub shipped: bool,
}

/// The body of [`STOCK_ANSWERED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StockAnswered {
    /// Number of the order.
    pub order: u64,
    /// False if there was not enough.
    pub reserved: bool,
}

/// The body of [`PAYMENT_REQUESTED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRequested {
    /// Number of the order.
    pub order: u64,
    /// The amount, in cents.
    pub cents: u64,
}

/// The body of [`PAYMENT_CANCELLED`] and [`SHIPMENT_CANCELLED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    /// Number of the order.
    pub order: u64,
}

/// The body of [`PAYMENT_ANSWERED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentAnswered {
    /// Number of the order.
    pub order: u64,
    /// False if it was declined.
    pub paid: bool,
}

/// The body of [`PAYMENT_REFUNDED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefunded {
    /// Number of the order.
    pub order: u64,
}

/// The body of [`SHIPMENT_REQUESTED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentRequested {
    /// Number of the order.
    pub order: u64,
    /// The item.
    pub item: String,
    /// How many of it.
    pub quantity: u32,
}

/// The body of [`SHIPMENT_ANSWERED`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentAnswered {
    /// Number of the order.
    pub order: u64,
    /// False if it was stopped.
    pub shipped: bool,
}
