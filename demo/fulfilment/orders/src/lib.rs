//! Orders: the participant that leads the saga. It reserves stock, asks for the payment, then for the shipment, and undoes
//! what was done if one of them fails, is cancelled, or takes too long ([`domain`] has the table).

pub mod domain;

use domain::{Change, Next, Order, OrderState};
use fulfilment_messages::{
    Cancelled, ORDER_CLOSED, ORDER_PLACED, OrderClosed, OrderPlaced, PAYMENT_ANSWERED,
    PAYMENT_CANCELLED, PAYMENT_REFUNDED, PAYMENT_REQUESTED, PaymentRequested, SHIPMENT_ANSWERED,
    SHIPMENT_CANCELLED, SHIPMENT_REQUESTED, STOCK_ANSWERED, ShipmentRequested,
};
use saga_sdk::{Command, Contract, Decision, EventType, Listing, Method, Participant, Refusal};
use saga_sdk::{RefusalType, Subscription, TimeSpan, Timer, Turn};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Nobody answered in time. The body is the state in which the order waited.
pub const DEADLINE: Timer<OrderState> = Timer::new("deadline");

/// An order of nothing, or for nothing.
pub const EMPTY_ORDER: RefusalType =
    RefusalType::invalid("empty-order", "The quantity or the amount is 0.");

/// An order that has left can't be cancelled.
pub const ALREADY_SHIPPED: RefusalType =
    RefusalType::conflict("already-shipped", "The order was shipped.");

/// What a client orders.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlaceOrder {
    /// The item.
    pub item: String,
    /// How many of it.
    pub quantity: u32,
    /// What it costs, in cents.
    pub cents: u64,
}

/// How far an order is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Its number.
    pub order: u64,
    /// How far it is.
    pub state: OrderState,
    /// Why it is cancelled, or will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How long an order waits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Time for the inventory to answer.
    pub stock_within: TimeSpan,
    /// Time for the gateway to charge.
    pub payment_within: TimeSpan,
    /// Time for the warehouse to dispatch.
    pub shipment_within: TimeSpan,
}

/// The participant.
pub struct Orders;

impl Participant for Orders {
    type State = Order;
    type Key = u64;

    fn contract() -> Contract<Order, u64> {
        let summary = "Takes orders, and leads them through stock, payment and shipment.";
        Contract::new("orders", env!("CARGO_PKG_VERSION"), summary)
            .endpoint("/fulfilment", 8091)
            .settings(Settings {
                stock_within: TimeSpan::from_secs(60),
                payment_within: TimeSpan::from_secs(900),
                shipment_within: TimeSpan::from_secs(7 * 86_400),
            })
            .command(
                Command::create("place-order", Method::Post, "/orders", place)
                    .summary("Places an order.")
                    .readable_at("/orders/{order}")
                    .refuses(EMPTY_ORDER),
            )
            .command(
                Command::change(
                    "cancel-order",
                    Method::Post,
                    "/orders/{order}/cancel",
                    cancel,
                )
                .summary("Cancels an order, if it has not left.")
                .refuses(ALREADY_SHIPPED),
            )
            .command(
                Command::read("get-order", "/orders/{order}", progress)
                    .summary("Tells how far an order is.")
                    .pending_while(|order: &Order| !order.is_over()),
            )
            .listing(
                Listing::of("list-orders", "/orders", "get-order")
                    .summary("Lists the orders.")
                    .filter("state", "/state"),
            )
            .on(answer(STOCK_ANSWERED, |order, answer| {
                order.stock_answered(answer.reserved)
            }))
            .on(answer(PAYMENT_ANSWERED, |order, answer| {
                order.payment_answered(answer.paid)
            }))
            .on(answer(PAYMENT_REFUNDED, |order, _| order.refunded()))
            .on(answer(SHIPMENT_ANSWERED, |order, answer| {
                order.shipment_answered(answer.shipped)
            }))
            .timer(DEADLINE, too_late)
            .publishes(ORDER_PLACED)
            .publishes(ORDER_CLOSED)
            .publishes(PAYMENT_REQUESTED)
            .publishes(PAYMENT_CANCELLED)
            .publishes(SHIPMENT_REQUESTED)
            .publishes(SHIPMENT_CANCELLED)
    }
}

saga_sdk::export!(Orders);

fn place(request: PlaceOrder, turn: &Turn<u64>) -> Result<Decision<Order, Progress>, Refusal> {
    if request.quantity == 0 || request.cents == 0 {
        let detail = "the quantity or the amount is 0: send more";
        return Err(Refusal::new(EMPTY_ORDER, detail));
    }
    let order = Order {
        item: request.item,
        quantity: request.quantity,
        cents: request.cents,
        state: OrderState::Pending,
        reason: None,
    };
    let placed = OrderPlaced {
        order: *turn.key(),
        item: order.item.clone(),
        quantity: order.quantity,
    };
    let seen = progress(&order, turn);
    let decision = waiting(order, turn).publish(ORDER_PLACED, &placed.item, &placed);
    Ok(decision.pending(seen))
}

fn cancel(order: Order, (): (), turn: &Turn<u64>) -> Result<Decision<Order, Progress>, Refusal> {
    if order.state == OrderState::Shipped {
        let detail = format!("order {} has left: send it back instead", turn.key());
        return Err(Refusal::new(ALREADY_SHIPPED, detail));
    }
    let change = order.clone().given_up("a client cancelled it");
    let now = change.as_ref().map_or(&order, |(order, _)| order);
    let (seen, is_over) = (progress(now, turn), now.is_over());
    let decision = decision(change, turn);
    Ok(match is_over {
        true => decision.reply(seen),
        false => decision.pending(seen),
    })
}

fn too_late(order: Order, waited: OrderState, turn: &Turn<u64>) -> Decision<Order> {
    if order.state != waited {
        return Decision::unchanged();
    }
    let reason = match waited {
        OrderState::Pending => "the inventory did not answer in time",
        OrderState::Reserved => "the payment took too long",
        _ => "the shipment took too long",
    };
    decision(order.given_up(reason), turn)
}

/// Listens to an answer of another participant.
fn answer<B>(event: EventType<B>, change: fn(Order, B) -> Change) -> Subscription<Order, u64>
where
    B: DeserializeOwned + JsonSchema + 'static,
{
    let decide = move |order: Option<Order>, answer: B, turn: &Turn<u64>| match order {
        Some(order) => decision(change(order, answer), turn),
        None => Decision::malformed(format!("there is no order {}", turn.key())),
    };
    Subscription::to(event, "orders", "/order", decide)
}

/// Stores the change, and does what is to be done next.
fn decision(change: Change, turn: &Turn<u64>) -> Decision<Order> {
    let Some((order, next)) = change else {
        return Decision::unchanged();
    };
    let number = *turn.key();
    let (item, quantity, cents) = (order.item.clone(), order.quantity, order.cents);
    let closed = |shipped| OrderClosed {
        order: number,
        item: item.clone(),
        shipped,
    };
    let cancelled = Cancelled { order: number };
    let untimed = |order| Decision::put(order).cancel_timer(DEADLINE);
    match next {
        Next::Pay => {
            let request = PaymentRequested {
                order: number,
                cents,
            };
            waiting(order, turn).publish(PAYMENT_REQUESTED, number, &request)
        }
        Next::Ship => {
            let item = item.clone();
            let request = ShipmentRequested {
                order: number,
                item,
                quantity,
            };
            waiting(order, turn).publish(SHIPMENT_REQUESTED, number, &request)
        }
        Next::Stop => untimed(order).publish(SHIPMENT_CANCELLED, number, &cancelled),
        Next::Refund => untimed(order)
            .publish(PAYMENT_CANCELLED, number, &cancelled)
            .publish(ORDER_CLOSED, &item, &closed(false)),
        Next::Close => untimed(order).publish(ORDER_CLOSED, &item, &closed(true)),
        Next::Release => untimed(order).publish(ORDER_CLOSED, &item, &closed(false)),
        Next::End => untimed(order),
    }
}

/// Stores an order that waits for an answer, but not for ever. The timer replaces that of the wait before.
fn waiting(order: Order, turn: &Turn<u64>) -> Decision<Order> {
    let settings = turn.settings::<Settings>();
    let within = match order.state {
        OrderState::Pending => settings.stock_within,
        OrderState::Reserved => settings.payment_within,
        _ => settings.shipment_within,
    };
    let due = turn.time().saturating_add(within.as_millis());
    let waits = order.state;
    Decision::put(order).set_timer(DEADLINE, due, &waits)
}

fn progress(order: &Order, turn: &Turn<u64>) -> Progress {
    Progress {
        order: *turn.key(),
        state: order.state,
        reason: order.reason.clone(),
    }
}
