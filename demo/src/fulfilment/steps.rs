//! The steps of the walk.
//!
//! Must not know: processes.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use fulfilment_gateway::fake::{FakeGateway, MOST_CENTS, Trouble};
use fulfilment_gateway::key_of;
use serde_json::{Value, json};

use super::client::{Services, becomes, get, post};
use crate::walk::page::WalkPage;

/// Pieces that are delivered at the start.
const DELIVERED: u64 = 5;

/// All steps; deviations go to the page.
pub(super) async fn walk<W: Write>(
    services: &mut Services,
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage<W>,
) -> Result<()> {
    let item = deliver(services, page).await?;
    let shipped = ship(services, &item, gateway, page).await?;
    too_many(services, &item, page).await?;
    decline(services, &item, gateway, page).await?;
    cancel(services, &item, gateway, page).await?;
    lose(services, &item, gateway, page).await?;
    books(services, (&item, shipped), gateway, page).await
}

async fn deliver<W: Write>(services: &mut Services, page: &mut WalkPage<W>) -> Result<String> {
    page.heading("Stock comes in")?;
    // Each walk on the same directory has an item of its own.
    let items = get(&mut services.inventory, "/items?limit=200").await?;
    let number = items
        .pointer("/items")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let item = format!("lamp-{}", number + 1);
    let path = format!("/items/{item}/deliveries");
    post(
        &mut services.inventory,
        &path,
        &json!({"quantity": DELIVERED}),
        page,
    )
    .await?;
    Ok(item)
}

/// Places an order; returns its path and number.
async fn place<W: Write>(
    services: &mut Services,
    item: &str,
    (quantity, cents): (u64, u64),
    page: &mut WalkPage<W>,
) -> Result<(String, u64)> {
    let body = json!({"item": item, "quantity": quantity, "cents": cents});
    let placed = post(&mut services.orders, "/orders", &body, page).await?;
    let order = placed.pointer("/order").and_then(Value::as_u64);
    let order = order.context("the walk can't go on without an order")?;
    Ok((format!("/orders/{order}"), order))
}

/// An order that goes well; returns its amount.
async fn ship<W: Write>(
    services: &mut Services,
    item: &str,
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage<W>,
) -> Result<u64> {
    page.heading("An order is reserved, paid and shipped")?;
    let cents = 4_200;
    lock(gateway).goes(vec![Trouble::AnswerLost, Trouble::CallLost, Trouble::None]);
    let calls = lock(gateway).calls();
    let (path, order) = place(services, item, (2, cents), page).await?;
    page.say("The inventory reserves the stock. Rules can't call a payment gateway: payments writes down")?;
    page.say("that it must charge, an adapter finds that in the list and does it, and reports by a command.")?;
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("APPROVED")),
        page,
    )
    .await?;
    let calls = lock(gateway).calls() - calls;
    page.say(&format!("The gateway lost an answer, then a call, so the adapter called it {calls} times, always with"))?;
    page.say(&format!(
        "the key {}: it charged once. Now the warehouse dispatches:",
        key_of(order)
    ))?;
    page.must_be(
        "money that the gateway holds for the order",
        cents,
        lock(gateway).held(&key_of(order)),
    )?;
    becomes(
        &mut services.shipping,
        &format!("/shipments/{order}"),
        ("/shipment/state", json!("REQUESTED")),
        page,
    )
    .await?;
    post(
        &mut services.shipping,
        &format!("/shipments/{order}/dispatch"),
        &Value::Null,
        page,
    )
    .await?;
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("SHIPPED")),
        page,
    )
    .await?;
    Ok(cents)
}

async fn too_many<W: Write>(
    services: &mut Services,
    item: &str,
    page: &mut WalkPage<W>,
) -> Result<()> {
    page.heading("There is not enough stock")?;
    let (path, _) = place(services, item, (DELIVERED, 100), page).await?;
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("CANCELLED")),
        page,
    )
    .await?;
    Ok(())
}

async fn decline<W: Write>(
    services: &mut Services,
    item: &str,
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage<W>,
) -> Result<()> {
    page.heading("The gateway declines, and the stock is free again")?;
    lock(gateway).goes(Vec::new());
    let (path, _) = place(services, item, (3, MOST_CENTS + 1), page).await?;
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("CANCELLED")),
        page,
    )
    .await?;
    becomes(
        &mut services.inventory,
        &format!("/items/{item}"),
        ("/free", json!(DELIVERED - 2)),
        page,
    )
    .await?;
    Ok(())
}

async fn cancel<W: Write>(
    services: &mut Services,
    item: &str,
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage<W>,
) -> Result<()> {
    page.heading("A client cancels an order that is paid")?;
    let (path, order) = place(services, item, (1, 900), page).await?;
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("APPROVED")),
        page,
    )
    .await?;
    post(
        &mut services.orders,
        &format!("{path}/cancel"),
        &Value::Null,
        page,
    )
    .await?;
    page.say("First the shipment is stopped, if it has not left. Then the money goes back, and the stock is free.")?;
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("CANCELLED")),
        page,
    )
    .await?;
    becomes(
        &mut services.shipping,
        &format!("/shipments/{order}"),
        ("/shipment/state", json!("STOPPED")),
        page,
    )
    .await?;
    page.must_be(
        "money that the gateway holds for the order",
        0,
        lock(gateway).held(&key_of(order)),
    )?;
    Ok(())
}

async fn lose<W: Write>(
    services: &mut Services,
    item: &str,
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage<W>,
) -> Result<()> {
    page.heading("The gateway charges, but all its answers are lost")?;
    lock(gateway).goes(vec![Trouble::AnswerLost]);
    let (path, order) = place(services, item, (1, 1_500), page).await?;
    page.say(
        "The order waits for its payment for 3 seconds (a setting of the rules), then gives up:",
    )?;
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("REFUNDING")),
        page,
    )
    .await?;
    page.say(
        "Nobody here knows if the gateway has charged, so the order asks for a refund in any case.",
    )?;
    page.say("Once the gateway answers again, the adapter finds that in the list:")?;
    lock(gateway).goes(Vec::new());
    becomes(
        &mut services.orders,
        &path,
        ("/state", json!("CANCELLED")),
        page,
    )
    .await?;
    page.must_be(
        "money that the gateway holds for the order",
        0,
        lock(gateway).held(&key_of(order)),
    )?;
    page.say("The report of the charge arrives now, much too late. It changes nothing:")?;
    let report = format!("/payments/{order}/report");
    let late = post(
        &mut services.payments,
        &report,
        &json!({"done": "CHARGED"}),
        page,
    )
    .await?;
    let state = late
        .pointer("/state")
        .and_then(Value::as_str)
        .unwrap_or_default();
    page.must_be("state of the payment", "REFUNDED", state)?;
    Ok(())
}

async fn books<W: Write>(
    services: &mut Services,
    (item, shipped): (&str, u64),
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage<W>,
) -> Result<()> {
    page.heading("The books")?;
    let stock = becomes(
        &mut services.inventory,
        &format!("/items/{item}"),
        ("/free", json!(DELIVERED - 2)),
        page,
    )
    .await?;
    page.must_be(
        "reserved stock",
        json!({}),
        stock.pointer("/reserved").cloned().unwrap_or_default(),
    )?;
    page.must_be(
        "shipped stock",
        json!(2),
        stock.pointer("/shipped").cloned().unwrap_or_default(),
    )?;
    page.say("Of 5 lamps, 2 have left and 3 are free.")?;
    let balance = lock(gateway).balance();
    page.must_be("money that the gateway holds", shipped, balance)?;
    page.say(&format!(
        "The gateway holds {balance} cents, the amount of the order that was shipped."
    ))?;
    Ok(())
}

fn lock(gateway: &Mutex<FakeGateway>) -> MutexGuard<'_, FakeGateway> {
    gateway.lock().unwrap_or_else(PoisonError::into_inner)
}
