//! One round of the benchmark: a closed loop of sagas for a fixed time.
//!
//! Owns: the loop, its warm-up, and the readings before and after the measured window. A saga is a
//! POST and the wait until a GET shows it decided; each connection has one at a time. Only sagas
//! that end within the window count; those still running at its end are waited for, so that the
//! ledger can be closed.
//!
//! Must not know: how hosts are started, or how rounds are compared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use crate::load::ledger::Ledger;
use crate::load::plan::PlannedOrder;
use crate::saga::latency::{Latency, Times};
use crate::saga::pace::Pace;
use crate::saga::timer::PreciseTimer;
use crate::saga::{self, SagaClocks};
use fastrand::Rng;
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{OrderClient, OrderState};
use saga_testkit::http::{BaseUrl, Client, RequestError};
use saga_testkit::usage::{Process, ProcessTree, mib};

/// The largest amount of an order, 9.99: small compared with the limits, so all orders are
/// approved.
const AMOUNT_MAX: u64 = 999;
/// Longest time that an order may be PENDING.
const PATIENCE: Duration = Duration::from_secs(30);

/// A round to run.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    /// The order service, at each host.
    pub(crate) orders: &'a [BaseUrl],
    /// The processes that serve it.
    pub(crate) processes: &'a [Process],
    /// The database server behind them.
    pub(crate) server: Option<&'a ProcessTree>,
    /// The ledger.
    pub(crate) ledger: &'a Arc<Ledger>,
    /// Connections, each with one saga at a time.
    pub(crate) connections: usize,
    /// Time before the window.
    pub(crate) warm_up: Duration,
    /// The measured window.
    pub(crate) window: Duration,
    /// The seed of customers and amounts.
    pub(crate) seed: u64,
}

/// The measurement of one round.
#[derive(Debug, Clone)]
pub(crate) struct MeasuredRound {
    /// Sagas that ended within the window, per second.
    pub(crate) sagas_per_second: f64,
    /// Time from sending the POST to its answer.
    pub(crate) posted: Latency,
    /// Time from sending the POST to the answer that shows APPROVED.
    pub(crate) decided: Latency,
    /// The usage of each process, in the order of [`Round::processes`].
    pub(crate) used: Vec<Used>,
    /// Processor seconds of the database server per 10,000 sagas; 0 without one.
    pub(crate) server_cpu: f64,
    /// Processor seconds of this program per 10,000 sagas.
    pub(crate) own_cpu: f64,
}

/// The usage of a process.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    /// Its name.
    pub(crate) name: String,
    /// Processor seconds per 10,000 sagas.
    pub(crate) cpu: f64,
    /// Bytes written to disks per saga.
    pub(crate) written: f64,
    /// Peak memory since its start, MiB.
    pub(crate) peak_mib: f64,
}

impl MeasuredRound {
    /// Processor seconds per 10,000 sagas, all of [`Round::processes`] together.
    pub(crate) fn cpu(&self) -> f64 {
        self.used.iter().map(|used| used.cpu).sum()
    }

    /// Bytes written to disks per saga, all of [`Round::processes`] together.
    pub(crate) fn written(&self) -> f64 {
        self.used.iter().map(|used| used.written).sum()
    }

    /// Peak memory in MiB, all of [`Round::processes`] together.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.used.iter().map(|used| used.peak_mib).sum()
    }
}

/// The median by sagas per second; None of an empty list.
pub(crate) fn median(mut rounds: Vec<MeasuredRound>) -> Option<MeasuredRound> {
    rounds.sort_by(|one, other| one.sagas_per_second.total_cmp(&other.sagas_per_second));
    let middle = rounds.len() / 2;
    rounds.into_iter().nth(middle)
}

impl Round<'_> {
    /// Runs the round.
    ///
    /// # Errors
    /// The host ended, or no saga ended within the window.
    pub(crate) async fn run(&self) -> Result<MeasuredRound> {
        let connected = connect(self.orders, self.connections).await?;
        let start = Instant::now();
        let shared = Arc::new(SharedRound {
            ledger: Arc::clone(self.ledger),
            times: Times::new()?,
            waiting: SagaClocks {
                timer: PreciseTimer::start()?,
                pace: Pace::new(self.connections),
                patience: PATIENCE,
            },
            from: start + self.warm_up,
            until: start + self.warm_up + self.window,
        });
        let mut random = Rng::with_seed(self.seed);
        let mut tasks = JoinSet::new();
        for orders in connected {
            tasks.spawn(repeat(orders, random.fork(), Arc::clone(&shared)));
        }
        tokio::time::sleep_until(shared.from.into()).await;
        let (before, from) = (self.reading()?, Instant::now());
        tokio::time::sleep_until(shared.until.into()).await;
        let (after, until) = (self.reading()?, Instant::now());
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
        let mut used = Vec::new();
        let times = before.processes.iter().zip(&after.processes);
        for (process, (before, after)) in self.processes.iter().zip(times) {
            #[expect(clippy::cast_precision_loss, reason = "a report shows few digits")]
            let written = after.1.saturating_sub(before.1) as f64 / sagas;
            used.push(Used {
                name: process.name.clone(),
                cpu: per_10000(after.0.saturating_sub(before.0)),
                written,
                peak_mib: mib(process.peak_memory()?),
            });
        }
        Ok(MeasuredRound {
            sagas_per_second: sagas / (until - from).as_secs_f64(),
            posted,
            decided,
            used,
            server_cpu: per_10000(after.server.saturating_sub(before.server)),
            own_cpu: per_10000(after.own.saturating_sub(before.own)),
        })
    }

    fn reading(&self) -> Result<Reading> {
        let used = |process: &Process| Ok((process.cpu_time()?, process.written_bytes()?));
        let server = self.server.map(ProcessTree::cpu_time).transpose()?;
        Ok(Reading {
            processes: self.processes.iter().map(used).collect::<Result<_>>()?,
            server: server.unwrap_or_default(),
            own: Process::own().cpu_time()?,
        })
    }
}

struct SharedRound {
    ledger: Arc<Ledger>,
    times: Times,
    waiting: SagaClocks,
    from: Instant,
    until: Instant,
}

/// The resources that processes have used since their start.
struct Reading {
    /// Processor time and written bytes.
    processes: Vec<(Duration, u64)>,
    /// Processor time of the database server.
    server: Duration,
    /// Processor time of this program.
    own: Duration,
}

/// Opens this many connections, spread over the hosts, one after the other: 256 at once overflow a
/// listener's queue, and then wait a second.
pub(crate) async fn connect(
    orders: &[BaseUrl],
    connections: usize,
) -> Result<Vec<OrderClient>, RequestError> {
    let mut connected = Vec::with_capacity(connections);
    for order in orders.iter().cycle().take(connections) {
        let mut client = Client::new(order.clone(), false);
        client.connect().await?;
        connected.push(OrderClient(client));
    }
    Ok(connected)
}

/// Draws an order that must be approved, of any of this many customers.
pub(crate) fn draw(random: &mut Rng, customers: u64) -> PlannedOrder {
    PlannedOrder {
        customer: usize::try_from(random.u64(..customers)).unwrap_or(0),
        total: Cents(i64::try_from(1 + random.u64(..AMOUNT_MAX)).unwrap_or(1)),
        expected: Some(OrderState::Approved),
    }
}

async fn repeat(mut orders: OrderClient, mut random: Rng, shared: Arc<SharedRound>) {
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
    use crate::load::customers;
    use saga_demo_client::mock::{Mock, MockFault};

    #[tokio::test]
    async fn a_round_measures_and_keeps_right_books() {
        let mock = Mock::start(MockFault::None).await;
        let limits = vec![Cents::whole(1_000_000); 10];
        let ids = customers::register_all(&mock.customer, &limits, 2, false)
            .await
            .unwrap();
        let ledger = Arc::new(Ledger::new(ids.into_iter().zip(limits), false));
        let round = Round {
            orders: std::slice::from_ref(&mock.order),
            processes: &[Process::own()],
            server: Some(&ProcessTree(Process::own())),
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
            measured.sagas_per_second > 0.0 && measured.peak_mib() > 0.0,
            "{measured:?}"
        );
        assert!(measured.server_cpu > 0.0, "{measured:?}");
        assert!(measured.posted.p50 <= measured.decided.p50, "{measured:?}");
        let counted = measured.sagas_per_second * 0.2;
        let booked = u32::try_from(ledger.counts().approved).unwrap();
        assert!(counted < f64::from(booked), "the warm-up must not count");
    }
}
