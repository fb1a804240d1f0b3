//! Shipments, which people in a warehouse dispatch.
//!
//! A dispatch and a cancellation may meet. The one that comes first is right, and the order is told which: the goods are
//! on their way, or they never will be.

use fulfilment_messages::{
    Cancelled, SHIPMENT_ANSWERED, SHIPMENT_CANCELLED, SHIPMENT_REQUESTED, ShipmentAnswered,
    ShipmentRequested,
};
use saga_sdk::{Command, Contract, Decision, Listing, Method, Participant, Refusal, RefusalType};
use saga_sdk::{Subscription, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A shipment that was stopped can't be dispatched.
pub const STOPPED: RefusalType =
    RefusalType::conflict("stopped", "The order was cancelled: keep the goods.");

/// The shipment of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shipment {
    /// The item.
    pub item: String,
    /// How many of it.
    pub quantity: u32,
    /// How far it is.
    pub state: ShipmentState,
}

/// How far a shipment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ShipmentState {
    /// It is to be dispatched.
    Requested,
    /// It is on its way.
    Dispatched,
    /// It will not be dispatched.
    Stopped,
}

/// A shipment as the warehouse sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentView {
    /// Number of the order.
    pub order: u64,
    /// The shipment.
    pub shipment: Shipment,
}

/// The participant.
pub struct Shipping;

impl Participant for Shipping {
    type State = Shipment;
    type Key = u64;

    fn contract() -> Contract<Shipment, u64> {
        let summary = "Keeps the shipments that a warehouse dispatches.";
        Contract::new("shipping", env!("CARGO_PKG_VERSION"), summary)
            .endpoint("/fulfilment", 8094)
            .command(
                Command::change(
                    "dispatch",
                    Method::Post,
                    "/shipments/{order}/dispatch",
                    dispatch,
                )
                .summary("The goods have left the warehouse.")
                .requires("shipments:dispatch")
                .refuses(STOPPED),
            )
            .command(
                Command::read("get-shipment", "/shipments/{order}", view)
                    .summary("Tells how far a shipment is."),
            )
            .listing(
                Listing::of("list-shipments", "/shipments", "get-shipment")
                    .summary("Lists the shipments; REQUESTED is what the warehouse has to do.")
                    .filter("state", "/state"),
            )
            .on(Subscription::to(
                SHIPMENT_REQUESTED,
                "shipping",
                "/order",
                requested,
            ))
            .on(Subscription::to(
                SHIPMENT_CANCELLED,
                "shipping",
                "/order",
                cancelled,
            ))
            .publishes(SHIPMENT_ANSWERED)
    }
}

saga_sdk::export!(Shipping);

fn requested(
    shipment: Option<Shipment>,
    request: ShipmentRequested,
    _: &Turn<u64>,
) -> Decision<Shipment> {
    match shipment {
        Some(_) => Decision::unchanged(), // asked again
        None => Decision::put(Shipment {
            item: request.item,
            quantity: request.quantity,
            state: ShipmentState::Requested,
        }),
    }
}

fn dispatch(
    shipment: Shipment,
    (): (),
    turn: &Turn<u64>,
) -> Result<Decision<Shipment, ShipmentView>, Refusal> {
    match shipment.state {
        ShipmentState::Stopped => {
            let detail = format!("order {} was cancelled: keep the goods", turn.key());
            Err(Refusal::new(STOPPED, detail))
        }
        ShipmentState::Dispatched => Ok(Decision::unchanged().reply(view(&shipment, turn))),
        ShipmentState::Requested => {
            let shipment = Shipment {
                state: ShipmentState::Dispatched,
                ..shipment
            };
            let seen = view(&shipment, turn);
            Ok(answered(shipment, turn).reply(seen))
        }
    }
}

fn cancelled(shipment: Option<Shipment>, _: Cancelled, turn: &Turn<u64>) -> Decision<Shipment> {
    let Some(shipment) = shipment else {
        // The request is on the same topic with the same key, so it came first, or never.
        return Decision::malformed(format!("there is no shipment of order {}", turn.key()));
    };
    match shipment.state {
        ShipmentState::Requested => {
            let state = ShipmentState::Stopped;
            answered(Shipment { state, ..shipment }, turn)
        }
        // Too late, or known: the order has been told, or will be.
        ShipmentState::Dispatched | ShipmentState::Stopped => Decision::unchanged(),
    }
}

/// Stores a shipment that is decided, and tells the order.
fn answered(shipment: Shipment, turn: &Turn<u64>) -> Decision<Shipment> {
    let answer = ShipmentAnswered {
        order: *turn.key(),
        shipped: shipment.state == ShipmentState::Dispatched,
    };
    Decision::put(shipment).publish(SHIPMENT_ANSWERED, turn.key(), &answer)
}

fn view(shipment: &Shipment, turn: &Turn<u64>) -> ShipmentView {
    ShipmentView {
        order: *turn.key(),
        shipment: shipment.clone(),
    }
}
