//! One round of the benchmark: a closed loop of sagas against one host for a fixed time.
//!
//! Owns: the loop, its warm-up, and what is read before and after the measured window. A saga is a
//! POST and the wait until a GET shows it decided; each connection has one at a time. Only sagas that
//! end within the window count; those still running at its end are waited for, so that the books
//! can be closed.
//!
//! Must not know: how hosts are started, or how rounds are compared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cents::Cents;
use crate::check::Ledger;
use crate::contract::{OrderService, OrderState};
use crate::http::{Client, Endpoint, TransportError};
use crate::latency::{Latency, Times};
use crate::pace::Pace;
use crate::plan::PlannedOrder;
use crate::procfs;
use crate::random::Random;
use crate::saga::{self, Waiting};
use crate::timer::Timer;

/// The largest amount of an order, 9.99: small against the limits, so that credit decides nothing.
const AMOUNT_MAX: u64 = 999;
/// How long an order may be PENDING before the round counts it as a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Against whom and how long.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    /// The order service.
    pub(crate) order: &'a Endpoint,
    /// Process id of the host.
    pub(crate) pid: i32,
    /// The books that the orders are entered into.
    pub(crate) ledger: &'a Arc<Ledger>,
    /// Connections, each with one saga at a time.
    pub(crate) connections: usize,
    /// Time before the window.
    pub(crate) warm_up: Duration,
    /// The measured window.
    pub(crate) window: Duration,
    /// What customers and amounts are drawn from.
    pub(crate) seed: u64,
}

/// What one round measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Sagas that ended within the window, per second.
    pub(crate) sagas_per_second: f64,
    /// POST sent to answer read.
    pub(crate) posted: Latency,
    /// POST sent to the answer that said APPROVED.
    pub(crate) decided: Latency,
    /// Processor seconds of the host per 10,000 sagas.
    pub(crate) host_cpu: f64,
    /// Processor seconds of this program per 10,000 sagas.
    pub(crate) own_cpu: f64,
    /// Peak memory of the host since its start, MiB.
    pub(crate) peak_mib: f64,
}

impl Measured {
    /// For `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "sagas_per_second": self.sagas_per_second,
            "post": self.posted.json(),
            "decided": self.decided.json(),
            "host_cpu_seconds_per_10000_sagas": self.host_cpu,
            "generator_cpu_seconds_per_10000_sagas": self.own_cpu,
            "host_peak_mib": self.peak_mib,
        })
    }
}

impl Round<'_> {
    /// Runs the round.
    ///
    /// # Errors
    /// The host went away, or not one saga ended within the window.
    pub(crate) async fn run(&self) -> Result<Measured> {
        let connected = connect(self.order, self.connections).await?;
        let start = Instant::now();
        let shared = Arc::new(Shared {
            ledger: Arc::clone(self.ledger),
            times: Times::new()?,
            waiting: Waiting {
                timer: Timer::start()?,
                pace: Pace::new(self.connections),
                patience: PATIENCE,
            },
            from: start + self.warm_up,
            until: start + self.warm_up + self.window,
        });
        let mut random = Random::new(self.seed);
        let mut tasks = JoinSet::new();
        for orders in connected {
            tasks.spawn(repeat(
                orders,
                Random::new(random.bits()),
                Arc::clone(&shared),
            ));
        }
        tokio::time::sleep_until(shared.from.into()).await;
        let (before, from) = (Cpu::read(self.pid)?, Instant::now());
        tokio::time::sleep_until(shared.until.into()).await;
        let (after, until) = (Cpu::read(self.pid)?, Instant::now());
        while let Some(ended) = tasks.join_next().await {
            ended.context("a connection's task broke")?;
        }
        let (sagas, posted, decided) = shared.times.report();
        ensure!(
            sagas > 0,
            "not one saga ended within {:.1} s",
            self.window.as_secs_f64()
        );
        let sagas = f64::from(u32::try_from(sagas).unwrap_or(u32::MAX));
        let per_10000 = |time: Duration| time.as_secs_f64() * 10_000.0 / sagas;
        Ok(Measured {
            sagas_per_second: sagas / (until - from).as_secs_f64(),
            posted,
            decided,
            host_cpu: per_10000(after.host.saturating_sub(before.host)),
            own_cpu: per_10000(after.own.saturating_sub(before.own)),
            peak_mib: procfs::peak_memory_mib(&self.pid.to_string())?,
        })
    }
}

struct Shared {
    ledger: Arc<Ledger>,
    times: Times,
    waiting: Waiting,
    from: Instant,
    until: Instant,
}

struct Cpu {
    host: Duration,
    own: Duration,
}

impl Cpu {
    fn read(pid: i32) -> Result<Self> {
        let host = procfs::cpu_time(&pid.to_string()).context("is the host still running?")?;
        Ok(Self {
            host,
            own: procfs::cpu_time("self")?,
        })
    }
}

/// Opens so many connections, one after the other: 256 at once overflow a listener's queue, and wait a
/// second for it.
pub(crate) async fn connect(
    order: &Endpoint,
    connections: usize,
) -> Result<Vec<OrderService>, TransportError> {
    let mut connected = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = Client::new(order.clone(), false);
        client.connect().await?;
        connected.push(OrderService(client));
    }
    Ok(connected)
}

/// Draws an order that must be approved, of any of so many customers.
pub(crate) fn draw(random: &mut Random, customers: u64) -> PlannedOrder {
    PlannedOrder {
        customer: usize::try_from(random.below(customers)).unwrap_or(0),
        total: Cents(i64::try_from(1 + random.below(AMOUNT_MAX)).unwrap_or(1)),
        expected: Some(OrderState::Approved),
    }
}

async fn repeat(mut orders: OrderService, mut random: Random, shared: Arc<Shared>) {
    let customers = u64::try_from(shared.ledger.customers()).unwrap_or(u64::MAX);
    while Instant::now() < shared.until && !shared.ledger.hopeless() {
        let order = draw(&mut random, customers);
        let Some(customer_id) = shared.ledger.customer_id(order.customer) else {
            return;
        };
        let end = saga::run(&mut orders, &shared.waiting, customer_id, order.total).await;
        let now = Instant::now();
        if let Ok(decided) = &end
            && (shared.from..shared.until).contains(&now)
        {
            shared.times.take(decided);
        }
        shared.ledger.book(&order, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customers;
    use crate::mock::{Fault, Mock};

    #[tokio::test]
    async fn a_round_measures_and_keeps_right_books() {
        let mock = Mock::start(Fault::None).await;
        let limits = vec![Cents::whole(1_000_000); 10];
        let ids = customers::register_all(&mock.customer, &limits, 2, false)
            .await
            .unwrap();
        let ledger = Arc::new(Ledger::new(ids.into_iter().zip(limits), false));
        let round = Round {
            order: &mock.order,
            pid: i32::try_from(std::process::id()).unwrap(),
            ledger: &ledger,
            connections: 4,
            warm_up: Duration::from_millis(50),
            window: Duration::from_millis(200),
            seed: 1,
        };
        let measured = round.run().await.unwrap();
        customers::compare_all(&mock.customer, &ledger, 2, false)
            .await
            .unwrap();
        assert_eq!(ledger.close().len(), 0);
        assert!(
            measured.sagas_per_second > 0.0 && measured.peak_mib > 0.0,
            "{measured:?}"
        );
        assert!(measured.posted.p50 <= measured.decided.p50, "{measured:?}");
        let counted = measured.sagas_per_second * 0.2;
        let booked = u32::try_from(ledger.counts().approved).unwrap();
        assert!(counted < f64::from(booked), "the warm-up must not count");
    }
}
