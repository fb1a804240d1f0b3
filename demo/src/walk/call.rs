//! A call of the walk: what is asked and what came back, both on the page.
//!
//! Owns: showing a request as a command that a reader can paste, and the wait for a decision.
//!
//! Must not know: which calls a walk makes.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;

use super::page::Page;
use crate::cents::Cents;
use crate::contract::{self, OrderState};
use saga_testkit::http::{Client, Response};

/// An order is decided in milliseconds; later than this is wrong.
const DECIDED_WITHIN: Duration = Duration::from_secs(10);
/// The wait between two looks at an order. Nothing announces a decision over HTTP.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// An order that a walk has placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its id.
    pub(super) order_id: i64,
    /// The customer.
    pub(super) customer_id: i64,
    /// Its amount.
    pub(super) total: Cents,
    /// The state that it must reach.
    pub(super) state: OrderState,
}

/// Places an order, waits for its decision, and notes on the page if it is not `state`. None if it was not
/// placed.
pub(super) async fn place<W: Write>(
    orders: &mut Client,
    customer_id: i64,
    total: Cents,
    state: OrderState,
    page: &mut Page<W>,
) -> Result<Option<Placed>> {
    let start = Instant::now();
    let path = contract::orders_path(orders.url());
    let answer = post(orders, &path, contract::order(customer_id, total), page).await?;
    let placed = contract::read_placed(&answer.body, customer_id, total);
    let Some(order_id) = page.check("the order is placed", &answer, placed)? else {
        return Ok(None);
    };
    page.say(
        "Stored as PENDING and answered; the event about it is on its way to the customer service.",
    )?;
    let path = contract::order_path(orders.url(), order_id);
    let answer = loop {
        let answer = orders.get(&path).await?;
        let pending = contract::read_order_state(&answer.body, order_id) == Ok(OrderState::Pending);
        if !pending || start.elapsed() > DECIDED_WITHIN {
            break answer;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    page.request(&format!("curl -s {}", orders.url().url(&path)))?;
    page.answer(&answer, Some(start.elapsed()))?;
    let found = contract::read_order_state(&answer.body, order_id);
    if let Some(found) = page.check("the order has a state", &answer, found)? {
        page.must_be("state of the order", state, found)?;
    }
    Ok(Some(Placed {
        order_id,
        customer_id,
        total,
        state,
    }))
}

/// Registers a customer; none if that failed.
pub(super) async fn register<W: Write>(
    customers: &mut Client,
    name: &str,
    limit: Cents,
    page: &mut Page<W>,
) -> Result<Option<i64>> {
    let path = contract::customers_path(customers.url());
    let answer = post(customers, &path, contract::registration(name, limit), page).await?;
    let registered = contract::read_registered(&answer.body, name, limit);
    Ok(page.check("the customer is registered", &answer, registered)?)
}

/// Asks what is left of a customer's limit, and notes on the page if it is not `left`. None if there was no
/// such answer.
pub(super) async fn credit_left<W: Write>(
    customers: &mut Client,
    customer_id: i64,
    left: Cents,
    page: &mut Page<W>,
) -> Result<Option<Cents>> {
    let path = contract::customer_path(customers.url(), customer_id);
    page.request(&format!("curl -s {}", customers.url().url(&path)))?;
    let answer = customers.get(&path).await.context("the walk can't go on")?;
    page.answer(&answer, None)?;
    let found = contract::read_credit_left(&answer.body, customer_id);
    let Some(found) = page.check("the customer is known", &answer, found)? else {
        return Ok(None);
    };
    page.must_be("credit left", left, found)?;
    Ok(Some(found))
}

async fn post<W: Write>(
    client: &mut Client,
    path: &str,
    body: String,
    page: &mut Page<W>,
) -> Result<Response> {
    page.request(&curl_post(&client.url().url(path), &body))?;
    let answer = client
        .post(path, Bytes::from(body))
        .await
        .context("the walk can't go on")?;
    page.answer(&answer, None)?;
    Ok(answer)
}

/// The command that POSTs a body.
pub(super) fn curl_post(url: &str, body: &str) -> String {
    format!("curl -s {url} -H 'Content-Type: application/json' -d '{body}'")
}
