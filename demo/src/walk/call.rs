//! A call of the walk: the request and its answer, both on the page.
//!
//! Owns: showing a request as a command that a reader can paste, and the wait for a decision.
//!
//! Must not know: the calls of a walk.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::page::WalkPage;
use crate::cents::Cents;
use crate::contract::{self, OrderState};
use saga_testkit::http::{Client, Response};

/// Longest wait for a decision, which takes milliseconds.
const DECIDED_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// Interval at which an order is polled: HTTP clients are not notified of decisions here.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// An order of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlacedOrder {
    /// Its id.
    pub(super) order_id: i64,
    /// The customer.
    pub(super) customer_id: i64,
    /// Its amount.
    pub(super) total: Cents,
    /// The state that it must reach.
    pub(super) state: OrderState,
}

/// Places an order and waits for its decision; notes on the page if that is not `state`. None if it
/// was not placed.
pub(super) async fn place<W: Write>(
    orders: &mut Client,
    customer_id: i64,
    total: Cents,
    state: OrderState,
    page: &mut WalkPage<W>,
) -> Result<Option<PlacedOrder>> {
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
    let is_decided = |answer: &Response| {
        contract::read_order_state(&answer.body, order_id) != Ok(OrderState::Pending)
    };
    let answer = get_until(orders, &path, is_decided).await?;
    page.request(&format!("curl -s {}", orders.url().url(&path)))?;
    page.answer(&answer, Some(start.elapsed()))?;
    let found = contract::read_order_state(&answer.body, order_id);
    if let Some(found) = page.check("the order has a state", &answer, found)? {
        page.must_be("state of the order", state, found)?;
    }
    Ok(Some(PlacedOrder {
        order_id,
        customer_id,
        total,
        state,
    }))
}

/// Cancels an order.
pub(super) async fn cancel<W: Write>(
    orders: &mut Client,
    order_id: i64,
    page: &mut WalkPage<W>,
) -> Result<()> {
    let path = contract::cancel_path(orders.url(), order_id);
    let answer = post(orders, &path, String::new(), page).await?;
    let found = contract::read_order_state(&answer.body, order_id);
    if let Some(found) = page.check("the order is cancelled", &answer, found)? {
        page.must_be("state of the order", OrderState::Cancelled, found)?;
    }
    Ok(())
}

/// Registers a customer; None if that failed.
pub(super) async fn register<W: Write>(
    customers: &mut Client,
    name: &str,
    limit: Cents,
    page: &mut WalkPage<W>,
) -> Result<Option<i64>> {
    let path = contract::customers_path(customers.url());
    let answer = post(customers, &path, contract::registration(name, limit), page).await?;
    let registered = contract::read_registered(&answer.body, name, limit);
    Ok(page.check("the customer is registered", &answer, registered)?)
}

/// [`credit_left`], once the credit is `left`, or after a while.
pub(super) async fn credit_becomes<W: Write>(
    customers: &mut Client,
    customer_id: i64,
    left: Cents,
    page: &mut WalkPage<W>,
) -> Result<Option<Cents>> {
    let path = contract::customer_path(customers.url(), customer_id);
    let is_left =
        |answer: &Response| contract::read_credit_left(&answer.body, customer_id) == Ok(left);
    get_until(customers, &path, is_left).await?;
    credit_left(customers, customer_id, left, page).await
}

/// Repeats a GET until its answer is the awaited one, or for [`DECIDED_WITHIN`]; returns the last
/// answer.
pub(crate) async fn get_until(
    client: &mut Client,
    path: &str,
    is_it: impl Fn(&Response) -> bool,
) -> Result<Response> {
    let start = Instant::now();
    loop {
        let answer = client.get(path).await?;
        if is_it(&answer) || start.elapsed() > DECIDED_WITHIN {
            return Ok(answer);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Reads a customer's credit, and notes on the page if it is not `left`. None if there was no such
/// answer.
pub(super) async fn credit_left<W: Write>(
    customers: &mut Client,
    customer_id: i64,
    left: Cents,
    page: &mut WalkPage<W>,
) -> Result<Option<Cents>> {
    let path = contract::customer_path(customers.url(), customer_id);
    page.request(&format!("curl -s {}", customers.url().url(&path)))?;
    let answer = page.answered(customers.get(&path).await)?;
    let found = contract::read_credit_left(&answer.body, customer_id);
    let Some(found) = page.check("the customer is known", &answer, found)? else {
        return Ok(None);
    };
    page.must_be("credit left", left, found)?;
    Ok(Some(found))
}

/// Sends a POST, and shows it with its answer.
pub(crate) async fn post<W: Write>(
    client: &mut Client,
    path: &str,
    body: String,
    page: &mut WalkPage<W>,
) -> Result<Response> {
    page.request(&curl_post(&client.url().url(path), &body))?;
    page.answered(client.post(path, Bytes::from(body)).await)
}

/// The command that POSTs a body.
pub(super) fn curl_post(url: &str, body: &str) -> String {
    format!("curl -s {url} -H 'Content-Type: application/json' -d '{body}'")
}
