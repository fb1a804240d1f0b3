//! `saga-bench replay`: which decisions a limit on single orders would change, by `saga replay` and
//! by a calculation from the clients' answers.
//!
//! Owns: the order of a run and its comparisons. A host gets orders; the calculation says which of
//! its decisions the more cautious build would make otherwise, and `saga replay` and `saga repair`
//! must say the same. A second host runs that build from the start with the same orders: its answers
//! must be those that a counterfactual replay is compared with.
//!
//! Must not know: host internals.

pub(crate) mod model;
mod placed;
mod told;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::load::plan::Plan;
use crate::replay::model::{CustomerRecord, Predicted};
use crate::replay::told::Told;
use saga_demo_client::cents::Cents;
use saga_demo_client::files::{Binaries, ServicePorts};
use saga_testkit::host::Hosts;

/// The limit of the cautious build.
const LARGEST: Cents = Cents::whole(10_000);
/// No limit.
const UNLIMITED: Cents = Cents(i64::MAX);
/// Factor of the amounts of a load run, so that about half of the orders are above the limit.
const SCALE: i64 = 200;
/// The share of orders beyond the customers' own limits.
const BEYOND_PER_MILLION: u64 = 100_000;
/// Customers whose counterfactual decisions are compared one by one.
const SAMPLE: usize = 20;
/// Most differences that are printed.
const SHOWN: usize = 20;

/// The options of a run.
#[derive(Debug)]
pub(crate) struct ReplayOptions {
    /// The program and the components of the host.
    pub(crate) binaries: Binaries,
    /// The build with the limit.
    pub(crate) cautious: PathBuf,
    /// Directory for the state of the run.
    pub(crate) scratch: PathBuf,
    /// Customers.
    pub(crate) customers: usize,
    /// Orders of all customers together.
    pub(crate) orders: usize,
    /// Connections, each with one customer at a time.
    pub(crate) connections: usize,
    /// The seed of the orders.
    pub(crate) seed: u64,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct ReplayOutcome {
    seed: u64,
    orders: usize,
    recorded: Predicted,
    counterfactual: Predicted,
    /// Durations of the replays in milliseconds.
    elapsed_ms: [u64; 2],
    differences: Vec<String>,
}

/// Places orders, replays them and compares.
///
/// # Errors
/// A host can't be started, a call fails, or `saga` prints something else than a report.
pub(crate) async fn run(options: &ReplayOptions) -> Result<ReplayOutcome> {
    ensure!(
        options.customers > 0 && options.connections > 0,
        "--customers and --connections must be at least 1"
    );
    let mut plan = Plan::draw(
        options.customers,
        options.orders,
        BEYOND_PER_MILLION,
        options.seed,
    );
    let limits = plan.limits.iter_mut();
    let totals = plan.orders.iter_mut().map(|order| &mut order.total);
    limits.chain(totals).for_each(|amount| amount.0 *= SCALE);

    let (data, fresh) = (options.scratch.join("one"), options.scratch.join("two"));
    eprintln!("placing {} orders", options.orders);
    let was = on_host(options, &options.binaries, &data, &plan).await?;
    eprintln!("placing them at a fresh host with the cautious build");
    let cautious = Binaries {
        customer: options.cautious.clone(),
        ..options.binaries.clone()
    };
    let would_be = on_host(options, &cautious, &fresh, &plan).await?;

    let mut differences = model::violations(&was, UNLIMITED);
    differences.extend(model::violations(&would_be, LARGEST));
    let recorded = model::recorded(&was, LARGEST);
    let counterfactual = model::counterfactual(&was, LARGEST);

    eprintln!("replaying, and comparing with the calculation");
    let told = Told {
        saga: &options.binaries.saga,
        data: &data,
        cautious: &options.cautious,
    };
    let decisions = options.orders + options.customers;
    let mut compare = |mode: &[&str], predicted: &Predicted| -> Result<u64> {
        let report = told.replay(mode)?;
        differences.extend(report.differences(decisions, predicted));
        Ok(report.elapsed_ms)
    };
    let elapsed_ms = [
        compare(&[], &recorded)?,
        compare(&["--counterfactual"], &counterfactual)?,
    ];
    for customer in was.iter().step_by((was.len() / SAMPLE).max(1)) {
        let key = customer.id.to_string();
        let report = told.replay(&["--counterfactual", "--key", &key])?;
        let predicted = model::of_customer(customer, LARGEST);
        let found = report.differences(customer.orders.len() + 1, &predicted);
        let found = found.into_iter();
        differences.extend(found.map(|text| format!("customer {key}: {text}")));
    }
    differences.extend(listed(&told, &recorded)?);
    Ok(ReplayOutcome {
        seed: options.seed,
        orders: options.orders,
        recorded,
        counterfactual,
        elapsed_ms,
        differences,
    })
}

/// The record of a fresh host that gets all orders.
async fn on_host(
    options: &ReplayOptions,
    binaries: &Binaries,
    data: &Path,
    plan: &Plan,
) -> Result<Vec<CustomerRecord>> {
    let hosts = Hosts::start(&[binaries.together(data, ServicePorts::default())]).await?;
    let placed = placed::all(&hosts, plan, options.connections).await;
    let placed = placed.map_err(|error| anyhow::anyhow!("{error:#}\n{}", hosts.log_tails()))?;
    hosts.drain(std::future::pending()).await?;
    Ok(placed)
}

/// The ways in which the list of `saga repair` differs from the set of orders that would be rejected.
fn listed(told: &Told<'_>, predicted: &Predicted) -> Result<Vec<String>> {
    let (listed, more) = told.repair()?;
    let of = |ids: &BTreeSet<i64>| ids.iter().take(3).map(i64::to_string).collect::<Vec<_>>();
    let mut differences = Vec::new();
    let unexpected = &listed - &predicted.rejected;
    if !unexpected.is_empty() {
        let some = of(&unexpected).join(", ");
        let count = unexpected.len();
        differences.push(format!(
            "{count} orders are listed that do not change: {some}…"
        ));
    }
    if listed.len() + more != predicted.rejected.len() {
        differences.push(format!(
            "{} orders are listed, and {more} more, of {} that change",
            listed.len(),
            predicted.rejected.len()
        ));
    }
    Ok(differences)
}

impl ReplayOutcome {
    /// True if all agree.
    pub(crate) fn right(&self) -> bool {
        self.differences.is_empty()
    }

    /// As JSON, for `--json`.
    pub(crate) fn json(&self) -> Value {
        let of = |predicted: &Predicted, elapsed_ms: u64| {
            json!({
                "changed": predicted.changed(),
                "rejected": predicted.rejected.len(),
                "approved": predicted.approved.len(),
                "other_credit": predicted.other_credit,
                "elapsed_ms": elapsed_ms,
            })
        };
        let [recorded, counterfactual] = self.elapsed_ms;
        json!({
            "right": self.right(),
            "seed": self.seed,
            "orders": self.orders,
            "recorded": of(&self.recorded, recorded),
            "counterfactual": of(&self.counterfactual, counterfactual),
            "differences": self.differences,
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let of = |mode: &str, predicted: &Predicted, elapsed_ms: u64| {
            format!(
                "{mode:<15}{} of {} decisions change ({} to REJECTED, {} to APPROVED, {} leave other credit), replayed in {elapsed_ms} ms",
                predicted.changed(),
                self.orders,
                predicted.rejected.len(),
                predicted.approved.len(),
                predicted.other_credit
            )
        };
        let [recorded, counterfactual] = self.elapsed_ms;
        let mut lines = vec![
            of("recorded", &self.recorded, recorded),
            of("counterfactual", &self.counterfactual, counterfactual),
        ];
        match self.differences.len() {
            0 => lines.push(
                "RIGHT          replay, repair, the calculation and a fresh host with the cautious build agree".to_owned(),
            ),
            count => {
                lines.push(format!("WRONG          {count} differences (seed {}):", self.seed));
                let shown = self.differences.iter().take(SHOWN);
                lines.extend(shown.map(|text| format!("  {text}")));
            }
        }
        lines.join("\n")
    }
}
