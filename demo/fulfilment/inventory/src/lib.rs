//! The stock of an item: what is free, what is reserved for which order, what has left.
//!
//! An order's reservation is kept under its number, so a second request, or a second release, of the same order changes
//! nothing, and a release needs no quantity.

use std::collections::BTreeMap;

use fulfilment_messages::{ORDER_CLOSED, ORDER_PLACED, OrderClosed, OrderPlaced};
use fulfilment_messages::{STOCK_ANSWERED, StockAnswered};
use saga_sdk::{Command, Contract, Decision, Listing, Method, Participant, Refusal, RefusalType};
use saga_sdk::{Subscription, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A delivery must have something in it.
pub const NOTHING_DELIVERED: RefusalType =
    RefusalType::invalid("nothing-delivered", "The delivery is empty.");

/// All pieces of an item, with those that have left, are counted in 32 bits.
pub const TOO_MANY: RefusalType = RefusalType::conflict(
    "too-many",
    "There would be more pieces than can be counted.",
);

/// The stock of one item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// Pieces that are free.
    pub free: u32,
    /// Pieces that are reserved, by the number of the order.
    pub reserved: BTreeMap<u64, u32>,
    /// Pieces that have left.
    pub shipped: u32,
}

/// Pieces that come in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// How many.
    pub quantity: u32,
}

/// The participant.
pub struct Inventory;

impl Participant for Inventory {
    type State = Item;
    type Key = String;

    fn contract() -> Contract<Item> {
        let summary = "Keeps the stock of items and reserves it for orders.";
        Contract::new("inventory", env!("CARGO_PKG_VERSION"), summary)
            .endpoint("/fulfilment", 8092)
            .command(
                Command::upsert("deliver", Method::Post, "/items/{item}/deliveries", deliver)
                    .summary("Takes in a delivery of an item.")
                    .refuses(NOTHING_DELIVERED)
                    .refuses(TOO_MANY),
            )
            .command(
                Command::read("get-item", "/items/{item}", |item: &Item, _: &Turn| {
                    item.clone()
                })
                .summary("Tells the stock of an item."),
            )
            .listing(Listing::of("list-items", "/items", "get-item").summary("Lists the items."))
            .on(Subscription::to(
                ORDER_PLACED,
                "inventory",
                "/item",
                reserve,
            ))
            .on(Subscription::to(ORDER_CLOSED, "inventory", "/item", close))
            .publishes(STOCK_ANSWERED)
    }
}

saga_sdk::export!(Inventory);

fn deliver(
    item: Option<Item>,
    delivery: Delivery,
    _: &Turn,
) -> Result<Decision<Item, Item>, Refusal> {
    if delivery.quantity == 0 {
        let detail = "the delivery is empty: send a quantity above 0";
        return Err(Refusal::new(NOTHING_DELIVERED, detail).at("/quantity"));
    }
    let item = item.unwrap_or_default();
    let counted = item.reserved.values().chain([&item.free, &item.shipped]);
    let counted: u64 = counted.copied().map(u64::from).sum();
    // With this bound no later sum of these pieces overflows.
    if counted + u64::from(delivery.quantity) > u64::from(u32::MAX) {
        let detail = format!("{counted} pieces are counted already: send fewer");
        return Err(Refusal::new(TOO_MANY, detail).at("/quantity"));
    }
    let item = Item {
        free: item.free + delivery.quantity,
        ..item
    };
    Ok(Decision::put(item.clone()).reply(item))
}

fn reserve(item: Option<Item>, placed: OrderPlaced, _: &Turn) -> Decision<Item> {
    let answer = |reserved| StockAnswered {
        order: placed.order,
        reserved,
    };
    match item {
        // Asked again: the answer is the same.
        Some(item) if item.reserved.contains_key(&placed.order) => {
            Decision::unchanged().publish(STOCK_ANSWERED, placed.order, &answer(true))
        }
        Some(mut item) if item.free >= placed.quantity => {
            item.free -= placed.quantity;
            item.reserved.insert(placed.order, placed.quantity);
            Decision::put(item).publish(STOCK_ANSWERED, placed.order, &answer(true))
        }
        _ => Decision::unchanged().publish(STOCK_ANSWERED, placed.order, &answer(false)),
    }
}

fn close(item: Option<Item>, closed: OrderClosed, _: &Turn) -> Decision<Item> {
    let Some(mut item) = item else {
        return Decision::unchanged(); // of an item that was never in stock
    };
    let Some(quantity) = item.reserved.remove(&closed.order) else {
        return Decision::unchanged(); // nothing was reserved, or it was closed before
    };
    match closed.shipped {
        true => item.shipped += quantity,
        false => item.free += quantity,
    }
    Decision::put(item)
}
