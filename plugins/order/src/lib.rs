//! The order service of the Customer/Order saga: takes orders and follows them until they are
//! approved or rejected.
//!
//! An order is stored as `PENDING` and published, both or neither. The customer service's answer
//! makes it `APPROVED` or `REJECTED`. The first answer stands: a second one changes nothing, even
//! if it says the opposite, because someone may have acted on the first. An answer for an order
//! that does not exist is malformed and so becomes a dead letter that an operator sees: it is never
//! right, and dropping it would hide the loss of an order. So is an answer that is still `PENDING`.

pub mod domain;

use domain::Order;
use saga_sdk::{Command, Contract, Decision, Declined, EventType, Listing, Method, Participant};
use saga_sdk::{Refusal, RefusalType, Subscription, Turn, Undecided};
use saga_wire::{Amount, Balance, Money, OrderDetails, OrderRecord, OrderState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order was created and waits for credit.
pub const ORDER_CREATED: EventType<OrderRecord> =
    EventType::new(saga_wire::ORDER_CREATED, saga_wire::ORDER_TOPIC);

/// Credit was reserved for an order, or refused.
pub const CREDIT_ANSWERED: EventType<OrderRecord> =
    EventType::new(saga_wire::CREDIT_ANSWERED, saga_wire::CUSTOMER_TOPIC);

/// An order of this total can't be placed.
pub const INVALID_ORDER_TOTAL: RefusalType = RefusalType::invalid(
    "invalid-order-total",
    "The order's total is no amount of money above zero: finer than a cent, say.",
);

/// The participant.
pub struct OrderService;

impl Participant for OrderService {
    type State = Order;

    fn contract() -> Contract<Order> {
        Contract::new(
            "order",
            env!("CARGO_PKG_VERSION"),
            "Takes orders and follows them until they are approved or rejected.",
        )
        .endpoint("/customer-order/order-service", 8082)
        .command(
            Command::create("place-order", Method::Post, "/orders", place)
                .summary("Places an order; the customer's credit decides on it later.")
                .readable_at("/orders/{orderId}")
                .refuses(INVALID_ORDER_TOTAL),
        )
        .command(
            Command::read("get-order", "/orders/{orderId}", order_state)
                .summary("Tells how far an order is.")
                .pending_while(|order: &Order| order.state == OrderState::Pending),
        )
        .listing(
            Listing::of("list-orders", "/orders", "get-order")
                .summary("Lists the orders, the oldest first.")
                .filter("customerId", "/customerId")
                .filter("state", "/state"),
        )
        .on(Subscription::to(CREDIT_ANSWERED, saga_wire::CUSTOMER_GROUP, "/id", decide).untyped())
        .publishes(ORDER_CREATED)
    }
}

saga_sdk::export!(OrderService);

fn place(request: PlaceOrder, turn: &Turn) -> Result<Decision<Order, Placed>, Declined> {
    let refused = |why: String| Refusal::new(INVALID_ORDER_TOTAL, why).at("/orderTotal/amount");
    let total = request.order_total.amount.money();
    let total = total.map_err(|error| refused(error.to_string()))?;
    let order = Order::place(request.customer_id, total)
        .ok_or_else(|| refused("the amount is zero: send more than zero".to_owned()))?;
    let number = turn.number()?;
    let created = OrderRecord {
        id: number.cast_signed(),
        state: order.state,
        order_details: OrderDetails {
            customer_id: order.customer_id,
            order_total: Balance {
                amount: total.into(),
            },
        },
    };
    let placed = Placed {
        order_id: number,
        order_state: order.state,
        customer_id: order.customer_id,
        order_total: total,
    };
    Ok(Decision::put(order)
        .publish(ORDER_CREATED, request.customer_id, &created)
        .pending(placed))
}

fn order_state(order: &Order, turn: &Turn) -> Result<Progress, Undecided> {
    Ok(Progress {
        order_id: turn.number()?,
        order_state: order.state,
    })
}

fn decide(order: Option<Order>, answer: OrderRecord, _: &Turn) -> Decision<Order> {
    if answer.state == OrderState::Pending {
        return Decision::malformed("the answer's state is PENDING, so it answers nothing");
    }
    let Some(order) = order else {
        return Decision::malformed(format!("there is no order {}", answer.id));
    };
    order
        .decide(answer.state)
        .map_or_else(Decision::unchanged, Decision::put)
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
        }
    }
}
