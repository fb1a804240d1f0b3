//! A closed loop of sagas that runs until it is stopped, and records the times of each.
//!
//! Owns: the loop, and one sample for each decided saga. Unlike a round of the benchmark it keeps
//! samples instead of sums, because they are grouped by swaps only afterwards.
//!
//! Must not know: the swaps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::load::ledger::Ledger;
use crate::run::rounds;
use crate::saga::pace::Pace;
use crate::saga::timer::PreciseTimer;
use crate::saga::{self, SagaClocks};
use fastrand::Rng;
use saga_demo_client::contract::OrderClient;
use saga_testkit::http::BaseUrl;

/// Longest time that an order may be PENDING.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause of a connection after a saga that broke off.
const BREAK_WAIT: Duration = Duration::from_millis(50);
/// Most samples, 24 bytes each: more than an hour at 2,000 sagas per second.
const SAMPLES_MAX: usize = 8_000_000;

/// The times of one saga, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Number of the host that was asked, from 0.
    pub(crate) host: u8,
    /// Time from the beginning of the traffic to sending the POST.
    pub(crate) began: u64,
    /// Time from sending the POST to its answer.
    pub(crate) posted: u32,
    /// Time from sending the POST to the answer that shows the decision.
    pub(crate) decided: u32,
}

/// Running traffic.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<SharedTraffic>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct SharedTraffic {
    ledger: Arc<Ledger>,
    waiting: SagaClocks,
    start: Instant,
    stop: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

impl Traffic {
    /// Opens the connections, spread over the hosts, and begins.
    ///
    /// # Errors
    /// The service can't be reached.
    pub(crate) async fn start(
        orders: &[BaseUrl],
        ledger: &Arc<Ledger>,
        connections: usize,
        seed: u64,
    ) -> Result<Self> {
        let connected = rounds::connect(orders, connections).await?;
        let shared = Arc::new(SharedTraffic {
            ledger: Arc::clone(ledger),
            waiting: SagaClocks {
                timer: PreciseTimer::start()?,
                pace: Pace::new(connections),
                patience: PATIENCE,
            },
            start: Instant::now(),
            stop: AtomicBool::new(false),
            samples: Mutex::new(Vec::new()),
        });
        let mut random = Rng::with_seed(seed);
        let mut tasks = JoinSet::new();
        let hosts = u8::try_from(orders.len()).unwrap_or(u8::MAX);
        for (orders, host) in connected.into_iter().zip((0..hosts).cycle()) {
            let random = random.fork();
            tasks.spawn(repeat((host, orders), random, Arc::clone(&shared)));
        }
        Ok(Self { shared, tasks })
    }

    /// Microseconds since it began.
    pub(crate) fn now(&self) -> u64 {
        micros(self.shared.start.elapsed())
    }

    /// Waits for the sagas in flight and returns all samples.
    ///
    /// # Errors
    /// A task panicked.
    pub(crate) async fn stop(mut self) -> Result<Vec<Sample>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a connection's task broke")?;
        }
        let mut samples = self
            .shared
            .samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *samples))
    }
}

async fn repeat(
    (host, mut orders): (u8, OrderClient),
    mut random: Rng,
    shared: Arc<SharedTraffic>,
) {
    let customers = u64::try_from(shared.ledger.customers()).unwrap_or(u64::MAX);
    while !shared.stop.load(Ordering::Relaxed) && !shared.ledger.hopeless() {
        let order = rounds::draw(&mut random, customers);
        let Some(customer_id) = shared.ledger.customer_id(order.customer) else {
            return;
        };
        let began = micros(shared.start.elapsed());
        let end = saga::run(&mut orders, &shared.waiting, customer_id, order.total).await;
        match &end {
            Ok(decided) => shared.take(Sample {
                host,
                began,
                posted: short(decided.posted),
                decided: short(decided.decided),
            }),
            Err(_) => tokio::time::sleep(BREAK_WAIT).await,
        }
        shared.ledger.book(&order, end);
    }
}

impl SharedTraffic {
    fn take(&self, sample: Sample) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() < SAMPLES_MAX {
            samples.push(sample);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn short(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
