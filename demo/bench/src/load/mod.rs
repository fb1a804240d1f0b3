//! `saga-bench load`: many customers, many orders, and a ledger that proves the results correct.
//!
//! Owns: the order of a load run (register, place and wait, read back, check) and its report. Works
//! against any two services with the contract.
//!
//! Must not know: host processes.

pub(crate) mod customers;
pub(crate) mod ledger;
pub(crate) mod plan;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::load::ledger::{Counts, Ledger, Violation};
use crate::load::plan::Plan;
use crate::saga::latency::{Latency, Times};
use crate::saga::pace::Pace;
use crate::saga::timer::PreciseTimer;
use crate::saga::{self, SagaClocks};
use saga_demo_client::contract::{CallError, OrderClient, OrderState};
use saga_testkit::http::{BaseUrl, Client};

/// Interval of progress reports.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Most violations that are printed; the rest is counted.
const VIOLATIONS_SHOWN: usize = 20;
/// Pause of a connection after a saga that broke off.
const BREAK_WAIT: Duration = Duration::from_millis(50);
/// Interval at which an order is polled whose POST was not answered.
const UNSEEN_WAIT: Duration = Duration::from_millis(50);

/// The options of a load run.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// The customer service.
    pub(crate) customer: BaseUrl,
    /// The order service.
    pub(crate) order: BaseUrl,
    /// Number of customers, at least 1.
    pub(crate) customers: usize,
    /// Number of orders.
    pub(crate) orders: usize,
    /// Share of the orders beyond the limit, 0 to 1.
    pub(crate) beyond: f64,
    /// Connections to the order service, each with one saga at a time.
    pub(crate) connections: usize,
    /// The seed of the plan.
    pub(crate) seed: u64,
    /// True to wait for a service that is away; a POST that breaks off then has an unknown outcome.
    pub(crate) retry: bool,
    /// Longest time that an order may be PENDING.
    pub(crate) patience: Duration,
}

/// The outcome of a load run.
#[derive(Debug)]
pub(crate) struct LoadOutcome {
    /// Numbers of orders by their ends.
    pub(crate) counts: Counts,
    /// Orders whose POST was not answered, but which were found by their ids, all decided.
    pub(crate) found_later: usize,
    /// All violations.
    pub(crate) violations: Vec<Violation>,
    seed: u64,
    customers: usize,
    elapsed: Duration,
    sagas: u64,
    posted: Latency,
    decided: Latency,
}

/// Runs a load and checks its results.
///
/// # Errors
/// The run can't start: bad numbers, or the customers can't be registered. Later errors are in
/// [`LoadOutcome::violations`].
pub(crate) async fn run(load: &Load) -> Result<LoadOutcome> {
    ensure!(
        load.customers > 0 && load.connections > 0,
        "--customers and --connections must be at least 1"
    );
    ensure!(
        (0.0..=1.0).contains(&load.beyond),
        "--beyond must be between 0 and 1, is {}",
        load.beyond
    );
    let plan = Plan::draw(
        load.customers,
        load.orders,
        per_million(load.beyond),
        load.seed,
    );
    eprintln!("registering {} customers", load.customers);
    let ids =
        customers::register_all(&load.customer, &plan.limits, load.connections, load.retry).await?;
    let ledger = Arc::new(Ledger::new(
        ids.into_iter().zip(plan.limits.iter().copied()),
        load.retry,
    ));

    eprintln!(
        "placing {} orders over {} connections (seed {})",
        load.orders, load.connections, load.seed
    );
    let start = Instant::now();
    let placing = Arc::new(Placing {
        plan,
        ledger: Arc::clone(&ledger),
        next: AtomicUsize::new(0),
        times: Times::new()?,
        waiting: SagaClocks {
            timer: PreciseTimer::start()?,
            pace: Pace::new(load.connections),
            patience: load.patience,
        },
    });
    place_all(load, &placing).await?;
    let elapsed = start.elapsed();

    let found_later = if load.retry {
        find_unseen(load, &ledger).await
    } else {
        0
    };
    eprintln!("reading back what is left of {} limits", load.customers);
    customers::compare_all(&load.customer, &ledger, load.connections, load.retry).await?;
    let (sagas, posted, decided) = placing.times.report();
    Ok(LoadOutcome {
        counts: ledger.counts(),
        found_later,
        violations: ledger.close(),
        seed: load.seed,
        customers: load.customers,
        elapsed,
        sagas,
        posted,
        decided,
    })
}

impl LoadOutcome {
    /// True if there are no violations.
    pub(crate) fn right(&self) -> bool {
        self.violations.is_empty()
    }

    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "right": self.right(),
            "seed": self.seed,
            "customers": self.customers,
            "approved": self.counts.approved,
            "rejected": self.counts.rejected,
            "unknown": self.counts.unknown,
            "found_later": self.found_later,
            "seconds": self.elapsed.as_secs_f64(),
            "sagas_per_second": self.rate(),
            "post": self.posted.json(),
            "decided": self.decided.json(),
            "violations": self.violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let Counts {
            approved,
            rejected,
            unknown,
        } = self.counts;
        let mut lines = vec![
            format!(
                "orders         {approved} approved, {rejected} rejected, {unknown} of unknown fate"
            ),
            format!(
                "sagas/s        {:.0} ({:.1} s)",
                self.rate(),
                self.elapsed.as_secs_f64()
            ),
            format!("POST           {} ms (p50 / p99 / max)", self.posted.text()),
            format!(
                "POST→decided   {} ms (p50 / p99 / max)",
                self.decided.text()
            ),
        ];
        if unknown > 0 {
            lines.push(format!(
                "found later    {} orders whose POST broke off exist, and are decided",
                self.found_later
            ));
        }
        if self.right() {
            lines.push(format!(
                "RIGHT          every order is decided, and limit - approved = credit left for all {} customers",
                self.customers
            ));
        } else {
            lines.push(format!(
                "WRONG          {} violations (seed {}):",
                self.violations.len(),
                self.seed
            ));
            lines.extend(shown(&self.violations));
        }
        lines.join("\n")
    }

    fn rate(&self) -> f64 {
        let sagas = u32::try_from(self.sagas).unwrap_or(u32::MAX);
        f64::from(sagas) / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// The first violations, one per line, and the number of further ones.
pub(crate) fn shown(violations: &[Violation]) -> impl Iterator<Item = String> {
    let more = violations.len().saturating_sub(VIOLATIONS_SHOWN);
    violations
        .iter()
        .take(VIOLATIONS_SHOWN)
        .map(|violation| format!("  {violation}"))
        .chain((more > 0).then(|| format!("  and {more} more")))
}

#[derive(Debug)]
struct Placing {
    plan: Plan,
    ledger: Arc<Ledger>,
    next: AtomicUsize,
    times: Times,
    waiting: SagaClocks,
}

async fn place_all(load: &Load, placing: &Arc<Placing>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..load.connections {
        let orders = OrderClient(Client::new(load.order.clone(), load.retry));
        tasks.spawn(place(orders, Arc::clone(placing)));
    }
    let mut progress =
        tokio::time::interval_at((Instant::now() + PROGRESS_EVERY).into(), PROGRESS_EVERY);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended.context("a connection's task broke")?,
                None => return Ok(()),
            },
            _ = progress.tick() => {
                let Counts { approved, rejected, .. } = placing.ledger.counts();
                eprintln!("  {} of {} decided", approved + rejected, load.orders);
            }
        }
    }
}

async fn place(mut orders: OrderClient, placing: Arc<Placing>) {
    let Placing {
        plan,
        ledger,
        next,
        times,
        waiting,
    } = &*placing;
    while let Some(order) = plan.orders.get(next.fetch_add(1, Ordering::Relaxed)) {
        let Some(customer_id) = ledger.customer_id(order.customer) else {
            return;
        };
        if ledger.hopeless() {
            return;
        }
        let end = saga::run(&mut orders, waiting, customer_id, order.total).await;
        match &end {
            Ok(decided) => times.take(decided),
            // Otherwise the remaining orders would be used up on a service that is going away.
            Err(_) => tokio::time::sleep(BREAK_WAIT).await,
        }
        ledger.book(order, end);
    }
}

/// Finds orders that were stored although their POST broke off: they have ids that no answer named,
/// and must be decided like any other.
async fn find_unseen(load: &Load, ledger: &Arc<Ledger>) -> usize {
    let ids: Arc<Mutex<VecDeque<i64>>> = Arc::new(Mutex::new(ledger.unseen_order_ids().into()));
    let mut tasks = JoinSet::new();
    for _ in 0..load.connections {
        let mut orders = OrderClient(Client::new(load.order.clone(), load.retry));
        let (ids, ledger, patience) = (Arc::clone(&ids), Arc::clone(ledger), load.patience);
        tasks.spawn(async move {
            let mut found = 0;
            loop {
                let id = ids
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let Some(id) = id else { return found };
                match decision(&mut orders, id, patience).await {
                    Ok(true) => found += 1,
                    Ok(false) => {}
                    Err(violation) => ledger.add(violation),
                }
            }
        });
    }
    tasks.join_all().await.into_iter().sum()
}

/// Waits for the decision of an order that may not exist; returns false if it does not.
async fn decision(
    orders: &mut OrderClient,
    id: i64,
    patience: Duration,
) -> Result<bool, Violation> {
    let start = Instant::now();
    loop {
        match orders.state(id).await {
            Ok(OrderState::Pending) if start.elapsed() >= patience => {
                return Err(Violation::Failed(format!(
                    "order {id}, whose POST broke off, is stored and still PENDING after {} ms",
                    patience.as_millis()
                )));
            }
            Ok(OrderState::Pending) => tokio::time::sleep(UNSEEN_WAIT).await,
            Ok(_) => return Ok(true),
            Err(CallError::Status { status: 404, .. }) => return Ok(false),
            Err(error) => return Err(Violation::Failed(error.to_string())),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 1 was checked"
)]
fn per_million(share: f64) -> u64 {
    (share * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo_client::mock::{Mock, MockFault};

    async fn against(fault: MockFault, retry: bool) -> LoadOutcome {
        let mock = Mock::start(fault).await;
        let load = Load {
            customer: mock.customer,
            order: mock.order,
            customers: 20,
            orders: 600,
            beyond: 0.1,
            connections: 8,
            seed: 1,
            retry,
            patience: Duration::from_millis(200),
        };
        run(&load).await.unwrap()
    }

    fn found(outcome: &LoadOutcome, pick: impl Fn(&Violation) -> bool) -> usize {
        outcome
            .violations
            .iter()
            .filter(|violation| pick(violation))
            .count()
    }

    #[tokio::test]
    async fn a_service_that_keeps_the_contract_passes() {
        let outcome = against(MockFault::None, false).await;
        assert!(outcome.right(), "{}", outcome.text());
        assert_eq!(outcome.counts.approved + outcome.counts.rejected, 600);
        assert!(
            (30..120).contains(&outcome.counts.rejected),
            "{:?}",
            outcome.counts
        );
        assert_eq!(outcome.json()["right"], true);
    }

    #[tokio::test]
    async fn a_lost_cent_and_a_double_reservation_are_caught() {
        for fault in [MockFault::LosesCent, MockFault::TakesTwice] {
            let outcome = against(fault, false).await;
            let wrong = found(&outcome, |violation| {
                matches!(violation, Violation::Credit { .. })
            });
            assert!(wrong > 0, "{fault:?}: {}", outcome.text());
            assert!(outcome.text().contains("WRONG"), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn an_order_that_stays_pending_is_caught() {
        let outcome = against(MockFault::LeavesPending, false).await;
        let pending = found(&outcome, |violation| {
            violation.to_string().contains("still PENDING")
        });
        assert_eq!(
            (pending, outcome.violations.len()),
            (60, 60),
            "{}",
            outcome.text()
        );
    }

    #[tokio::test]
    async fn approval_beyond_the_limit_is_caught() {
        let outcome = against(MockFault::ApprovesBeyond, false).await;
        let wrong = found(&outcome, |violation| {
            matches!(
                violation,
                Violation::WrongDecision {
                    expected: OrderState::Rejected,
                    ..
                }
            )
        });
        let negative = found(
            &outcome,
            |violation| matches!(violation, Violation::Credit { left, .. } if left.0 < 0),
        );
        assert!(wrong > 0 && negative > 0, "{}", outcome.text());
    }

    #[tokio::test]
    async fn a_rejection_of_what_fits_is_caught() {
        let outcome = against(MockFault::RejectsFitting, false).await;
        let wrong = found(&outcome, |violation| {
            matches!(
                violation,
                Violation::WrongDecision {
                    expected: OrderState::Approved,
                    ..
                }
            )
        });
        let fits = found(&outcome, |violation| {
            matches!(violation, Violation::RejectedButFits { .. })
        });
        assert!(wrong > 0 && fits > 0, "{}", outcome.text());
    }

    #[tokio::test]
    async fn errors_and_broken_connections_are_caught() {
        for fault in [MockFault::Fails, MockFault::BreaksOff] {
            let outcome = against(fault, false).await;
            let failed = found(&outcome, |violation| {
                matches!(violation, Violation::Failed(_))
            });
            assert_eq!(
                (failed, outcome.violations.len()),
                (60, 60),
                "{fault:?}: {}",
                outcome.text()
            );
        }
    }

    #[tokio::test]
    async fn with_retry_orders_of_unknown_fate_are_taken_into_account() {
        let outcome = against(MockFault::BreaksOff, true).await;
        assert!(outcome.right(), "{}", outcome.text());
        assert_eq!((outcome.counts.unknown, outcome.found_later), (60, 60));
    }

    #[tokio::test]
    async fn with_retry_a_stored_order_that_nobody_decides_is_caught() {
        let outcome = against(MockFault::BreaksOffAndForgets, true).await;
        let pending = found(&outcome, |violation| {
            violation.to_string().contains("whose POST broke off")
        });
        assert_eq!(pending, 60, "{}", outcome.text());
    }

    #[tokio::test]
    async fn services_that_do_not_listen_are_an_error_with_their_address() {
        let endpoint = BaseUrl::parse("http://127.0.0.1:1/x").unwrap();
        let (customer, order) = (endpoint.clone(), endpoint);
        let load = Load {
            customer,
            order,
            customers: 1,
            orders: 1,
            beyond: 0.0,
            connections: 1,
            seed: 1,
            retry: false,
            patience: Duration::from_millis(1),
        };
        let error = run(&load).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("127.0.0.1:1 can't be reached"),
            "{error:#}"
        );
    }
}
