//! All orders of one customer, placed at several hosts at once.
//!
//! Owns: the traffic, its times, and the check of the one account at each host.
//!
//! Must not know: the store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use crate::load::ledger::Ledger;
use crate::load::{customers, shown};
use crate::swaps::overlap::{Distribution, TimeWindow};
use crate::swaps::report::{distribution_json, header, row};
use crate::swaps::traffic::Traffic;
use saga_demo_client::cents::Cents;
use saga_demo_client::files;
use saga_testkit::host::{Hosts, Launch};

/// The limit of the customer, far more than a run can spend.
const LIMIT: Cents = Cents::whole(1_000_000_000);
/// The share of the warm-up in the window.
const WARM_UP_PART: u32 = 5;
/// The seed of the orders: the same in every run.
const SEED: u64 = 1;

/// The results.
#[derive(Debug)]
pub(super) struct HotKey {
    hosts: usize,
    connections: usize,
    /// Length of the window, in seconds.
    seconds: f64,
    /// Time from sending the POST to its answer, of the orders that were decided in the window.
    posted: Option<Distribution>,
    /// Time from sending the POST to the answer that shows the decision.
    decided: Option<Distribution>,
    /// Requests that failed, and orders that stayed PENDING.
    failed: usize,
    /// All violations.
    wrong: Vec<String>,
}

/// Starts the hosts, which have one store, and lets the customer order at all of them.
///
/// # Errors
/// A host can't be started, or ended. Violations are in the result.
pub(super) async fn measure(
    launches: &[Launch],
    connections: usize,
    window: Duration,
) -> Result<HotKey> {
    launches.iter().try_for_each(files::check)?;
    let hosts = Hosts::start(launches).await?;
    let measured = on(&hosts, connections, window).await;
    let measured = measured.map_err(|error| anyhow!("{error:#}\n{}", hosts.log_tails()))?;
    hosts.drain(std::future::pending()).await?;
    Ok(measured)
}

async fn on(hosts: &Hosts, connections: usize, window: Duration) -> Result<HotKey> {
    let ids = customers::register_all(hosts.service("customer")?, &[LIMIT], 1, false).await?;
    let ledger = Arc::new(Ledger::new(ids.into_iter().map(|id| (id, LIMIT)), false));
    let orders = hosts.services("order");
    let traffic = Traffic::start(&orders, &ledger, connections, SEED).await?;
    tokio::time::sleep(window / WARM_UP_PART).await;
    let from = traffic.now();
    tokio::time::sleep(window).await;
    let until = traffic.now();
    let samples = traffic.stop().await?;
    let violations = customers::settle(&hosts.services("customer"), &ledger, 1).await?;
    let window = TimeWindow { from, until };
    let ended = samples.iter().filter(|sample| {
        let end = sample.began + u64::from(sample.decided);
        (from..until).contains(&end)
    });
    let (posted, decided) = ended.map(|sample| (sample.posted, sample.decided)).unzip();
    Ok(HotKey {
        hosts: orders.len(),
        connections,
        seconds: window.seconds(),
        posted: Distribution::of(posted),
        decided: Distribution::of(decided),
        failed: violations.iter().filter(|one| one.is_failure()).count(),
        wrong: shown(&violations)
            .map(|line| line.trim_start().to_owned())
            .collect(),
    })
}

impl HotKey {
    /// True if there are no violations, and any order was decided.
    pub(super) fn right(&self) -> bool {
        self.wrong.is_empty() && self.decided.is_some()
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        json!({
            "hosts": self.hosts,
            "connections": self.connections,
            "seconds": self.seconds,
            "orders": self.orders(),
            "failed_requests": self.failed,
            "post": distribution_json(self.posted.as_ref()),
            "decided": distribution_json(self.decided.as_ref()),
            "wrong": self.wrong,
        })
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "one customer, ordering at {} hosts over {} connections: {} orders in {:.1} s, {} failed requests",
                self.hosts,
                self.connections,
                self.orders(),
                self.seconds,
                self.failed
            ),
            header("ms", "orders"),
            row("POST", self.posted.as_ref()),
            row("POST→decided", self.decided.as_ref()),
        ];
        lines.push(match (self.right(), self.orders()) {
            (true, _) => "RIGHT: every command was answered, every order is decided, the customer's credit adds up at each host".to_owned(),
            (false, 0) => "WRONG: no order was decided".to_owned(),
            (false, _) => format!("WRONG: {} things", self.wrong.len()),
        });
        lines.extend(self.wrong.iter().map(|wrong| format!("  {wrong}")));
        lines.join("\n")
    }

    fn orders(&self) -> usize {
        self.decided.map_or(0, |decided| decided.count)
    }
}
