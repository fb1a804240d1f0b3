//! Customers of the fulfilment saga, who order at the same time until they are told to end.
//!
//! Owns: what a customer does, the counts of requests, and what became of each order.
//!
//! Must not know: swaps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fulfilment_gateway::fake::MOST_CENTS;
use saga_testkit::host::Hosts;
use saga_testkit::http::{Client, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::{self, Services};

/// Customers, each with one order at a time.
const CUSTOMERS: u64 = 8;
/// More than there is of any item.
const TOO_MANY: u64 = 2_000_000;
/// Longest wait for a state: longer than a compilation beside the load.
const STATE_WITHIN: Duration = Duration::from_secs(60);
/// Time between two looks at a state.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An order that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its number.
    pub(super) order: u64,
    /// The ordered item.
    pub(super) item: String,
    /// The ordered pieces.
    pub(super) quantity: u64,
    /// Its price in cents.
    pub(super) cents: u64,
    /// False if it was cancelled.
    pub(super) is_shipped: bool,
}

/// The counts of all customers.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    failed: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Counts {
    fn failed(&self) -> Vec<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.clone()
    }
}

/// The customers.
pub(super) struct Load {
    counts: Arc<Counts>,
    customers: JoinSet<()>,
    ends: mpsc::UnboundedReceiver<Ended>,
    ended: Vec<Ended>,
}

impl Load {
    /// Lets customers order these items.
    ///
    /// # Errors
    /// No host serves a participant.
    pub(super) fn start(hosts: &Hosts, items: Vec<String>) -> Result<Self> {
        let (say, ends) = mpsc::unbounded_channel();
        let (counts, items) = (Arc::<Counts>::default(), Arc::new(items));
        let mut customers = JoinSet::new();
        for number in 0..CUSTOMERS {
            let mut customer = Customer {
                services: Services::of(hosts)?,
                counts: counts.clone(),
                items: items.clone(),
            };
            let say = say.clone();
            customers.spawn(async move {
                let mut next = number;
                while !customer.counts.is_over.load(Ordering::Acquire) {
                    match customer.order(next).await {
                        Ok(ended) => {
                            let _ = say.send(ended);
                        }
                        Err(error) => {
                            let failed = &customer.counts.failed;
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.push(format!("{error:#}"));
                        }
                    }
                    next += CUSTOMERS;
                }
            });
        }
        Ok(Self {
            counts,
            customers,
            ends,
            ended: Vec::new(),
        })
    }

    /// Waits until this many further orders have ended.
    ///
    /// # Errors
    /// Orders fail instead.
    pub(super) async fn until_ended(&mut self, number: usize) -> Result<()> {
        for _ in 0..number {
            match tokio::time::timeout(STATE_WITHIN, self.ends.recv()).await {
                Ok(Some(ended)) => self.ended.push(ended),
                _ => bail!("orders fail: {}", self.counts.failed().join("; ")),
            }
        }
        Ok(())
    }

    /// The orders that have ended so far.
    pub(super) fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// The requests so far, and those that failed.
    pub(super) fn counts(&self) -> (u64, usize) {
        let requests = self.counts.requests.load(Ordering::Relaxed);
        (requests, self.counts.failed().len())
    }

    /// Lets each customer end the present order. Returns the number of requests, and the failed ones.
    ///
    /// # Errors
    /// A customer panicked.
    pub(super) async fn end(&mut self) -> Result<(u64, Vec<String>)> {
        self.counts.is_over.store(true, Ordering::Release);
        while let Some(customer) = self.customers.join_next().await {
            customer?;
        }
        self.ends.close();
        while let Some(ended) = self.ends.recv().await {
            self.ended.push(ended);
        }
        Ok((self.counts().0, self.counts.failed()))
    }
}

/// A customer, who is the warehouse too.
struct Customer {
    services: Services,
    counts: Arc<Counts>,
    items: Arc<Vec<String>>,
}

impl Customer {
    /// Orders, and sees it through: most are shipped; others are too large, declined, or cancelled once they are paid.
    async fn order(&mut self, number: u64) -> Result<Ended> {
        let kind = number % 6;
        let place = usize::try_from(number).unwrap_or_default() % self.items.len().max(1);
        let item = self.items.get(place).cloned().unwrap_or_default();
        let quantity = if kind == 1 { TOO_MANY } else { 1 + number % 3 };
        let cents = if kind == 2 {
            MOST_CENTS + 1
        } else {
            100 + number % 1_000
        };
        let body = json!({"item": item, "quantity": quantity, "cents": cents});
        let placed = self.asks(To::Orders, "/orders", Some(body), &[201]).await?;
        let order = number_in(&placed)?;
        let path = format!("/orders/{order}");
        let is_shipped = match kind {
            1 | 2 => false,
            3 => {
                self.becomes(To::Orders, &path, "/state", "APPROVED")
                    .await?;
                let cancel = format!("{path}/cancel");
                self.asks(To::Orders, &cancel, Some(Value::Null), &[200, 202])
                    .await?;
                false
            }
            _ => {
                self.becomes(To::Orders, &path, "/state", "APPROVED")
                    .await?;
                let shipment = format!("/shipments/{order}");
                self.becomes(To::Shipping, &shipment, "/shipment/state", "REQUESTED")
                    .await?;
                let dispatch = format!("{shipment}/dispatch");
                self.asks(To::Shipping, &dispatch, Some(Value::Null), &[200])
                    .await?;
                true
            }
        };
        let end = if is_shipped { "SHIPPED" } else { "CANCELLED" };
        self.becomes(To::Orders, &path, "/state", end).await?;
        Ok(Ended {
            order,
            item,
            quantity,
            cents,
            is_shipped,
        })
    }

    /// Sends a request, which must be answered with one of these.
    async fn asks(
        &mut self,
        to: To,
        path: &str,
        body: Option<Value>,
        may: &[u16],
    ) -> Result<Response> {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let client = self.client(to);
        let path = client::path(client, path);
        let answer = match body {
            None => client.get(&path).await?,
            Some(Value::Null) => client.post(&path, Vec::new().into()).await?,
            Some(body) => client.post(&path, body.to_string().into()).await?,
        };
        if !may.contains(&answer.status) {
            bail!("{path}: {} {}", answer.status, answer.text());
        }
        Ok(answer)
    }

    /// Looks until a resource has this state. The event that makes it may be on its way.
    async fn becomes(&mut self, to: To, path: &str, member: &str, state: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let answer = self.asks(to, path, None, &[200, 404]).await?;
            let body: Value = serde_json::from_slice(&answer.body)?;
            if body.pointer(member).and_then(Value::as_str) == Some(state) {
                return Ok(());
            }
            if start.elapsed() > STATE_WITHIN {
                bail!("{path} is not {state}, but {body}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn client(&mut self, to: To) -> &mut Client {
        match to {
            To::Orders => &mut self.services.orders,
            To::Shipping => &mut self.services.shipping,
        }
    }
}

/// Whom a customer asks.
#[derive(Clone, Copy)]
enum To {
    Orders,
    Shipping,
}

fn number_in(placed: &Response) -> Result<u64> {
    let body: Value = serde_json::from_slice(&placed.body)?;
    match body.pointer("/order").and_then(Value::as_u64) {
        Some(order) => Ok(order),
        None => bail!("the answer has no number of an order: {body}"),
    }
}
