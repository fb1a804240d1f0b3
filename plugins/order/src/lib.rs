//! The order service of the Customer/Order saga: takes orders and follows them until they are
//! approved, rejected or cancelled.
//!
//! An order is stored as `PENDING` and published, both or neither. The customer service's answer
//! makes it `APPROVED` or `REJECTED`. The first answer stands: a second one changes nothing, even
//! if it says the opposite, because someone may have acted on the first.
//!
//! An order that nobody answers in time ([`Settings::answer_timeout`]) is rejected with a reason, and
//! a client can cancel one that is pending or approved. If credit is reserved for such an order, or
//! turns out to be, it is published as cancelled, once, and the customer service gives the credit
//! back ([`domain`] has the table).
//!
//! An answer for an order that does not exist is malformed and so becomes a dead letter that an
//! operator sees: it is never right, and dropping it would hide the loss of an order. So is an
//! answer that is still `PENDING`.

pub mod domain;
pub mod messages;

use domain::{Effect, IsRejected, Order, OrderBeforeCancellation};
use messages::{PlaceOrder, Placed, Progress, Settings};
use saga_sdk::{Command, Contract, Decision, EventType, Listing, Method, Participant};
use saga_sdk::{Refusal, RefusalType, Subscription, TimeSpan, Timer, Turn, Undecided};
use saga_wire::{Balance, OrderDetails, OrderRecord, OrderState};

/// An order was created and waits for credit.
pub const ORDER_CREATED: EventType<OrderRecord> =
    EventType::new(saga_wire::ORDER_CREATED, saga_wire::ORDER_TOPIC);

/// Credit was reserved for an order, or refused.
pub const CREDIT_ANSWERED: EventType<OrderRecord> =
    EventType::new(saga_wire::CREDIT_ANSWERED, saga_wire::CUSTOMER_TOPIC);

/// An order for which credit is reserved was cancelled, or rejected for want of an answer in time.
pub const ORDER_CANCELLED: EventType<OrderRecord> =
    EventType::new(saga_wire::ORDER_CANCELLED, saga_wire::CANCELLATION_TOPIC);

/// The time for an answer, which it tells, is over. Timers of earlier builds tell none.
pub const ANSWER_TIMEOUT: Timer<Option<TimeSpan>> = Timer::new("answer-timeout");

/// An order of this total can't be placed.
pub const INVALID_ORDER_TOTAL: RefusalType = RefusalType::invalid(
    "invalid-order-total",
    "The order's total is no amount of money above zero: finer than a cent, say.",
);

/// An order that was rejected can't be cancelled.
pub const ORDER_REJECTED: RefusalType = RefusalType::conflict(
    "order-rejected",
    "The order was rejected, so there is nothing to cancel.",
);

/// The participant.
pub struct OrderService;

impl Participant for OrderService {
    type State = Order;
    type Key = u64;

    fn contract() -> Contract<Order, u64> {
        Contract::new(
            "order",
            env!("CARGO_PKG_VERSION"),
            "Takes orders and follows them until they are approved, rejected or cancelled.",
        )
        .endpoint("/customer-order/order-service", 8082)
        .settings(Settings {
            answer_timeout: TimeSpan::from_secs(300),
        })
        .state_version(2)
        .migrate(1, |old: OrderBeforeCancellation| Order::from(old))
        .command(
            Command::create("place-order", Method::Post, "/orders", place)
                .summary("Places an order; the customer's credit decides on it later.")
                .readable_at("/orders/{orderId}")
                .refuses(INVALID_ORDER_TOTAL),
        )
        .command(
            Command::change(
                "cancel-order",
                Method::Post,
                "/orders/{orderId}/cancel",
                cancel,
            )
            .summary("Cancels an order that is pending or approved; its credit is given back.")
            .refuses(ORDER_REJECTED),
        )
        .command(
            Command::read("get-order", "/orders/{orderId}", progress)
                .summary("Tells how far an order is.")
                .pending_while(|order: &Order| order.state == OrderState::Pending),
        )
        .listing(
            Listing::of("list-orders", "/orders", "get-order")
                .summary("Lists the orders, the oldest first.")
                .filter("customerId", "/customerId")
                .filter("state", "/state"),
        )
        .on(Subscription::to(CREDIT_ANSWERED, saga_wire::CUSTOMER_GROUP, "/id", answered).untyped())
        .timer(ANSWER_TIMEOUT, timed_out)
        .publishes(ORDER_CREATED)
        .publishes(ORDER_CANCELLED)
    }
}

saga_sdk::export!(OrderService);

fn place(request: PlaceOrder, turn: &Turn<u64>) -> Result<Decision<Order, Placed>, Refusal> {
    let refused = |why: String| Refusal::new(INVALID_ORDER_TOTAL, why).at("/orderTotal/amount");
    let total = request.order_total.amount.money();
    let total = total.map_err(|error| refused(error.to_string()))?;
    let order = Order::place(request.customer_id, total)
        .ok_or_else(|| refused("the amount is zero: send more than zero".to_owned()))?;
    let placed = Placed {
        order_id: *turn.key(),
        order_state: order.state,
        customer_id: order.customer_id,
        order_total: total,
    };
    let created = record(&order, turn);
    let timeout = turn.settings::<Settings>().answer_timeout;
    let due = turn.time().saturating_add(timeout.as_millis());
    Ok(Decision::put(order)
        .publish(ORDER_CREATED, request.customer_id, &created)
        .set_timer(ANSWER_TIMEOUT, due, &Some(timeout))
        .pending(placed))
}

fn cancel(order: Order, (): (), turn: &Turn<u64>) -> Result<Decision<Order, Progress>, Refusal> {
    let effect = order.clone().cancelled().map_err(|IsRejected| {
        let detail = format!(
            "order {} was rejected, so it can't be cancelled",
            turn.key()
        );
        Refusal::new(ORDER_REJECTED, detail)
    })?;
    let now = match &effect {
        Effect::Nothing => &order,
        Effect::Stored(order) | Effect::Released(order) => order,
    };
    let progress = progress(now, turn);
    Ok(decision(effect, turn).reply(progress))
}

fn progress(order: &Order, turn: &Turn<u64>) -> Progress {
    Progress {
        order_id: *turn.key(),
        order_state: order.state,
        reason: order.reason.clone(),
    }
}

fn answered(
    order: Option<Order>,
    answer: OrderRecord,
    turn: &Turn<u64>,
) -> Result<Decision<Order>, Undecided> {
    let is_reserved = match answer.state {
        OrderState::Approved => true,
        OrderState::Rejected => false,
        OrderState::Pending | OrderState::Cancelled => {
            return Err(Undecided::malformed(
                "the answer's state is neither APPROVED nor REJECTED, so it answers nothing",
            ));
        }
    };
    let Some(order) = order else {
        let reason = format!("there is no order {}", answer.id);
        return Err(Undecided::malformed(reason));
    };
    Ok(decision(order.answered(is_reserved), turn))
}

fn timed_out(order: Order, timeout: Option<TimeSpan>, turn: &Turn<u64>) -> Decision<Order> {
    let within = timeout.map_or("in time".into(), |timeout| format!("within {timeout}"));
    let reason = format!("the customer service did not answer {within}");
    decision(order.timed_out(reason), turn)
}

/// The decision that has this effect. An order that ended waits for no answer.
fn decision(effect: Effect, turn: &Turn<u64>) -> Decision<Order> {
    match effect {
        Effect::Nothing => Decision::unchanged(),
        Effect::Stored(order) => Decision::put(order).cancel_timer(ANSWER_TIMEOUT),
        Effect::Released(order) => {
            let (customer, cancelled) = (order.customer_id, record(&order, turn));
            Decision::put(order).publish(ORDER_CANCELLED, customer, &cancelled)
        }
    }
}

/// The order as the services tell each other of it.
fn record(order: &Order, turn: &Turn<u64>) -> OrderRecord {
    OrderRecord {
        id: turn.key().cast_signed(),
        state: order.state,
        order_details: OrderDetails {
            customer_id: order.customer_id,
            order_total: Balance {
                amount: order.order_total.into(),
            },
        },
    }
}
