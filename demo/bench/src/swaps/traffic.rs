//! A closed loop of sagas that runs until it is told to stop, and keeps when each of them took place.
//!
//! Owns: the loop, and one sample for each saga that was decided. Unlike a round of the benchmark it sums
//! nothing up, because only afterwards it is known what happened meanwhile.
//!
//! Must not know: what that is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::load::ledger::Ledger;
use crate::run::rounds;
use crate::saga::pace::Pace;
use crate::saga::timer::Timer;
use crate::saga::{self, Waiting};
use fastrand::Rng;
use saga_demo::contract::OrderService;
use saga_testkit::http::BaseUrl;

/// How long an order may be PENDING before it counts as a failure.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection rests after a saga that broke off.
const BREAK_WAIT: Duration = Duration::from_millis(50);
/// Samples that are kept, 16 bytes each: more than an hour at 2,000 sagas per second.
const SAMPLES_MAX: usize = 8_000_000;

/// When one saga took place; microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The POST was sent so long after the traffic began.
    pub(crate) began: u64,
    /// POST sent to answer read.
    pub(crate) posted: u32,
    /// POST sent to the answer that said that the order is decided.
    pub(crate) decided: u32,
}

/// Traffic that goes on.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    waiting: Waiting,
    start: Instant,
    stop: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

impl Traffic {
    /// Opens the connections and begins.
    ///
    /// # Errors
    /// The service can't be reached.
    pub(crate) async fn start(
        order: &BaseUrl,
        ledger: &Arc<Ledger>,
        connections: usize,
        seed: u64,
    ) -> Result<Self> {
        let connected = rounds::connect(order, connections).await?;
        let shared = Arc::new(Shared {
            ledger: Arc::clone(ledger),
            waiting: Waiting {
                timer: Timer::start()?,
                pace: Pace::new(connections),
                patience: PATIENCE,
            },
            start: Instant::now(),
            stop: AtomicBool::new(false),
            samples: Mutex::new(Vec::new()),
        });
        let mut random = Rng::with_seed(seed);
        let mut tasks = JoinSet::new();
        for orders in connected {
            let random = random.fork();
            tasks.spawn(repeat(orders, random, Arc::clone(&shared)));
        }
        Ok(Self { shared, tasks })
    }

    /// Microseconds since it began.
    pub(crate) fn now(&self) -> u64 {
        micros(self.shared.start.elapsed())
    }

    /// Waits for the sagas in flight and gives all samples.
    ///
    /// # Errors
    /// A task broke.
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

async fn repeat(mut orders: OrderService, mut random: Rng, shared: Arc<Shared>) {
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
                began,
                posted: short(decided.posted),
                decided: short(decided.decided),
            }),
            Err(_) => tokio::time::sleep(BREAK_WAIT).await,
        }
        shared.ledger.book(&order, end);
    }
}

impl Shared {
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
