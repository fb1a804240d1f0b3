//! Customers who order all the time, each order at the next host.
//!
//! Each order has an idempotency key. What one host does not acknowledge in time is sent to the next
//! one with the same key, so it counts once, whatever became of the first request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use saga_testkit::http::{BaseUrl, request};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::WITHIN;
use saga_demo_client::cents::Cents;
use saga_demo_client::contract;

/// Clients, each with one order at a time.
const CLIENTS: u64 = 6;
/// Pause of a client between two orders: the load is small.
const PAUSE: Duration = Duration::from_millis(150);
/// After this time a client turns to another host.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pause before that, where a host refuses at once.
const BEFORE_THE_NEXT: Duration = Duration::from_millis(50);

/// An order that a host has acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) id: i64,
    pub(super) customer: i64,
    pub(super) total: Cents,
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    orders: Vec<BaseUrl>,
    customers: Vec<i64>,
    next: AtomicU64,
    is_over: AtomicBool,
    /// Requests that a host refused, or broke off.
    refused: AtomicUsize,
    /// Requests that were not answered in time.
    late: AtomicUsize,
}

/// The clients.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<Result<()>>,
    news: mpsc::UnboundedReceiver<Placed>,
    placed: Vec<Placed>,
}

impl Load {
    /// Lets these customers order at the hosts.
    pub(super) fn start(orders: Vec<BaseUrl>, customers: Vec<i64>) -> Self {
        let shared = Arc::new(Shared {
            orders,
            customers,
            ..Shared::default()
        });
        let (tell, news) = mpsc::unbounded_channel();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (shared, tell) = (shared.clone(), tell.clone());
            clients.spawn(async move {
                while !shared.is_over.load(Ordering::Relaxed) {
                    // The other end is there until the clients have ended.
                    let _ = tell.send(shared.order().await?);
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(())
            });
        }
        Self {
            shared,
            clients,
            news,
            placed: Vec::new(),
        }
    }

    /// Waits until this many further orders are acknowledged. Returns the time that it took.
    ///
    /// # Errors
    /// They are not, or an answer is not as agreed.
    pub(super) async fn further(&mut self, orders: usize) -> Result<Duration> {
        let began = Instant::now();
        // What came before does not count.
        while let Ok(placed) = self.news.try_recv() {
            self.placed.push(placed);
        }
        for _ in 0..orders {
            let placed = tokio::select! {
                placed = tokio::time::timeout(WITHIN, self.news.recv()) => placed.ok().flatten(),
                Some(ended) = self.clients.join_next() => {
                    ended??;
                    None
                }
            };
            ensure!(placed.is_some(), "no host acknowledges orders");
            self.placed.extend(placed);
        }
        Ok(began.elapsed())
    }

    /// Requests so far that were refused or broken off, and those that were too late. All of them
    /// were repeated at another host.
    pub(super) fn repeated(&self) -> (usize, usize) {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        (count(&self.shared.refused), count(&self.shared.late))
    }

    /// Lets each client end its order. Returns all that were acknowledged.
    ///
    /// # Errors
    /// An answer was not as agreed.
    pub(super) async fn end(&mut self) -> Result<Vec<Placed>> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        while let Ok(placed) = self.news.try_recv() {
            self.placed.push(placed);
        }
        Ok(std::mem::take(&mut self.placed))
    }
}

impl Shared {
    /// Places the next order, at one host after the other until one acknowledges it.
    async fn order(&self) -> Result<Placed> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(number)?;
        let customer = self.customers.get(place % self.customers.len().max(1));
        let customer = *customer.context("there are no customers")?;
        let total = Cents(101 + i64::try_from(number * 37 % 900)?);
        let (key, began) = (format!("order-{number}"), Instant::now());
        let headers = [("idempotency-key", &*key)];
        for url in self
            .orders
            .iter()
            .cycle()
            .skip(place % self.orders.len().max(1))
        {
            let path = url.url(&contract::orders_path(url));
            let body = contract::order(customer, total).into();
            let answer = request("POST", &path, &headers, body);
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(answer)) if answer.is_success() => {
                    let read = contract::read_placed(&answer.body, customer, total);
                    let id = read.map_err(anyhow::Error::msg)?;
                    return Ok(Placed {
                        id,
                        customer,
                        total,
                    });
                }
                // 409: the first request with this key is still in flight.
                Ok(Ok(answer)) if answer.status < 500 && answer.status != 409 => {
                    bail!("{path} answered {} {}", answer.status, answer.text());
                }
                Ok(_) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(BEFORE_THE_NEXT).await;
                }
                Err(_) => {
                    self.late.fetch_add(1, Ordering::Relaxed);
                }
            }
            ensure!(began.elapsed() < WITHIN, "no host takes an order");
        }
        bail!("there are no hosts")
    }
}
