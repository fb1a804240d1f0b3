//! `saga-bench swaps`: swaps rules again and again under load, and measures the effect on requests.
//!
//! Owns: the order of a run and its checks. A fresh host (or several on one store) gets a closed loop of sagas that never
//! pauses, and meanwhile: the first swaps (which compile both builds, and after which memory
//! counts), a window without swaps, and the remaining swaps. Then the ledger must be correct, every
//! swap must have been answered as one, and the host's report on its generations must add up.
//!
//! # Layout
//!
//! - `traffic`: the sagas, with a sample of each
//! - `swapping`: the swaps
//! - `overlap`: samples by what they overlapped; `pauses`: times without any answer
//! - `report`: the tables and JSON
//!
//! Must not know: host internals. A slow swap is reported; only a wrong one is a failure.

pub(crate) mod overlap;
mod pauses;
pub(crate) mod report;
mod swapping;
pub(crate) mod traffic;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use bytes::Bytes;

use crate::load::customers;
use crate::load::ledger::Ledger;
use crate::load::shown;
use crate::swaps::overlap::{Swap, TimeWindow, groups};
use crate::swaps::pauses::Pauses;
use crate::swaps::report::{Memory, SwapsReport};
use crate::swaps::swapping::Swapping;
use crate::swaps::traffic::Traffic;
use saga_demo_client::admin::{AdminService, Generations};
use saga_demo_client::cents::Cents;
use saga_demo_client::files::{self, Binaries, ServicePorts};
use saga_testkit::host::{Hosts, Launch};
use saga_testkit::http::Client;
use saga_testkit::usage::mib;

/// The participant whose rules are swapped.
const PARTICIPANT: &str = "customer";
/// Customers of the orders.
const CUSTOMERS: usize = 1_000;
/// The limit of each customer, far more than a run can spend.
const LIMIT: Cents = Cents::whole(1_000_000);
/// Connections for registering and reading back.
const CONNECTIONS: usize = 16;
/// Traffic before the first swap, in waits between swaps: each host has answered often by then.
const WARM_UP: u32 = 4;
/// Swaps before the measurement, after which the memory is first read.
const FIRST_SWAPS: usize = 10;
/// The length of the window without swaps, as a share of the one with them.
const QUIET_PART: u32 = 4;
/// The seed of the orders: the same in every run.
const SEED: u64 = 1;

/// The options of a run.
#[derive(Debug)]
pub(crate) struct SwapsOptions {
    /// The program and the components of the host, with the first build.
    pub(crate) binaries: Binaries,
    /// The second build of the customer's rules.
    pub(crate) cautious: PathBuf,
    /// Directory for the state of the run.
    pub(crate) scratch: PathBuf,
    /// Number of swaps, at least 2.
    pub(crate) swaps: usize,
    /// Connections, each with one saga at a time.
    pub(crate) connections: usize,
    /// Wait between the answer to a swap and the next one.
    pub(crate) every: Duration,
}

/// Runs the swaps and checks them.
///
/// # Errors
/// The host can't be started, has no admin interface, or ended. Violations are in the report.
pub(crate) async fn run(swaps: &SwapsOptions) -> Result<SwapsReport> {
    let data = swaps.scratch.join("host");
    let launch = swaps.binaries.together(&data, ServicePorts::default());
    over(&[launch], swaps).await
}

/// The same over these hosts, which have one store. The first of them is asked for the swaps.
///
/// # Errors
/// As for [`run`].
pub(crate) async fn over(launches: &[Launch], swaps: &SwapsOptions) -> Result<SwapsReport> {
    let builds = [
        files::read(&swaps.binaries.customer)?,
        files::read(&swaps.cautious)?,
    ];
    launches.iter().try_for_each(files::check)?;
    let hosts = Hosts::start(launches).await?;
    let report = on(&hosts, swaps, builds).await;
    let report = report.map_err(|error| anyhow!("{error:#}\n{}", hosts.log_tails()))?;
    hosts.drain(std::future::pending()).await?;
    Ok(report)
}

async fn on(hosts: &Hosts, swaps: &SwapsOptions, builds: [Bytes; 2]) -> Result<SwapsReport> {
    let customer = hosts.service("customer")?;
    let admin = hosts.admin(PARTICIPANT)?.clone();
    let processes = hosts.processes();
    let memory = || -> Result<f64> {
        let resident = processes.iter().map(|one| Ok(mib(one.resident_memory()?)));
        resident.sum()
    };
    let limits = vec![LIMIT; CUSTOMERS];
    let ids = customers::register_all(customer, &limits, CONNECTIONS, false).await?;
    let ledger = Arc::new(Ledger::new(ids.into_iter().zip(limits), false));
    let traffic =
        Traffic::start(&hosts.services("order"), &ledger, swaps.connections, SEED).await?;
    let mut swapping = Swapping {
        admin: AdminService(Client::new(admin, false)),
        builds,
        every: swaps.every,
        done: Vec::new(),
        wrong: Vec::new(),
        traffic: &traffic,
        ledger: &ledger,
    };

    tokio::time::sleep(swaps.every * WARM_UP).await;
    let first = FIRST_SWAPS.min(swaps.swaps / 2);
    eprintln!("{first} swaps, which compile both builds");
    swapping.repeat(first).await;
    let after_first = memory()?;

    let remaining = swaps.swaps.saturating_sub(first);
    let each = swapping.typical() + swaps.every;
    let length = each.saturating_mul(u32::try_from(remaining).unwrap_or(u32::MAX)) / QUIET_PART;
    eprintln!("{:.1} s without swaps", length.as_secs_f64());
    let from = traffic.now();
    tokio::time::sleep(length).await;
    let until = traffic.now();
    let quiet = TimeWindow { from, until };
    let after_quiet = memory()?;

    eprintln!("{remaining} swaps");
    let from = traffic.now();
    swapping.repeat(remaining).await;
    let until = traffic.now();
    let busy = TimeWindow { from, until };
    let at_end = memory()?;
    let (done, mut wrong, mut admin) = (swapping.done, swapping.wrong, swapping.admin);

    let samples = traffic.stop().await?;
    let services = hosts.services("customer");
    let violations = customers::settle(&services, &ledger, CONNECTIONS).await?;
    let counts = ledger.counts();
    let orders = counts.approved + counts.rejected;
    let failed = violations.iter().filter(|one| one.is_failure()).count();
    wrong.extend(shown(&violations).map(|line| line.trim_start().to_owned()));
    if done.len() != swaps.swaps {
        wrong.push(format!("{} of {} swaps were done", done.len(), swaps.swaps));
    }
    let generations = admin.generations(PARTICIPANT).await;
    let versions = match generations {
        Ok(found) => {
            wrong.extend(judge(&found, done.len(), CUSTOMERS + orders));
            found
                .generations
                .iter()
                .map(|one| (one.version.clone(), one.decisions))
                .collect()
        }
        Err(error) => {
            wrong.push(error.to_string());
            Vec::new()
        }
    };

    let moments: Vec<Swap> = done.iter().map(|(moment, _)| *moment).collect();
    Ok(SwapsReport {
        checked: done.iter().map(|(_, one)| one.checked_us).collect(),
        handed_over: done.iter().map(|(_, one)| one.swapped_us).collect(),
        every: swaps.every,
        hosts: processes.len(),
        connections: swaps.connections,
        versions,
        orders,
        failed,
        pauses: Pauses::of(&samples, quiet, &moments),
        quiet,
        busy,
        posted: groups(&samples, quiet, busy, &moments, |one| one.posted),
        decided: groups(&samples, quiet, busy, &moments, |one| one.decided),
        memory: Memory {
            first,
            after_first,
            after_quiet,
            at_end,
        },
        wrong,
    })
}

/// Contradictions in the host's report on its generations, after this many swaps and decisions.
fn judge(found: &Generations, swaps: usize, decisions: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut must_be = |what: &str, expected: u64, found: u64| {
        if expected != found {
            wrong.push(format!("{what} must be {expected}, is said to be {found}"));
        }
    };
    let generations = &found.generations;
    must_be("the number of builds", 2, count(generations.len()));
    let sum = |figure: fn(&saga_demo_client::admin::ListedGeneration) -> u64| {
        generations.iter().map(figure).sum()
    };
    // The start of the host activated the first build.
    must_be(
        "the sum of activations",
        count(swaps + 1),
        sum(|one| one.activations),
    );
    must_be(
        "the sum of decisions",
        count(decisions),
        sum(|one| one.decisions),
    );
    must_be("the number of faults", 0, sum(|one| one.faults));
    for one in generations.iter().filter(|one| one.decisions == 0) {
        wrong.push(format!(
            "the build {} ({}) is said to have decided nothing",
            one.version, one.digest
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo_client::mock::{Mock, MockFault, script};

    /// The host is a script that points at a mock in this process.
    async fn swapped(fault: MockFault, has_admin: bool) -> Result<SwapsReport> {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let mut says = format!(
            "listening customer {}\nlistening order {}\n",
            mock.customer, mock.order
        );
        if has_admin {
            says.push_str(&format!("admin {}\n", mock.admin));
        }
        let data = directory.path().join("host");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("stdout"), &says).unwrap();
        // The mock takes a component's text as its declared version.
        let builds = ["0.1.0", "0.2.0"].map(|version| {
            let path = directory.path().join(version);
            std::fs::write(&path, version).unwrap();
            path
        });
        let [customer, cautious] = builds;
        run(&SwapsOptions {
            binaries: Binaries {
                customer,
                ..script()
            },
            cautious,
            scratch: directory.path().to_owned(),
            swaps: 20,
            connections: 4,
            every: Duration::from_millis(10),
        })
        .await
    }

    #[tokio::test]
    async fn swaps_that_are_right_are_reported() {
        let report = swapped(MockFault::None, true).await.unwrap();
        assert!(report.right(), "{}", report.text());
        let json = report.json();
        assert_eq!(json["swaps"], 20);
        assert!(json["orders"].as_u64().unwrap() > 20, "{json:#}");
        // It is chance here if a request meets a hand-over.
        for group in ["quiet", "between"] {
            let post = &json["post"][group];
            assert!(post["requests"].as_u64().unwrap() > 0, "{group}: {json:#}");
            assert!(post["p99_ms"].as_f64().unwrap() > 0.0, "{group}: {json:#}");
        }
        assert!(json["memory"]["ratio"].as_f64().unwrap() > 0.0, "{json:#}");
        let text = report.text();
        for words in ["20 swaps", "handed over", "added", "RIGHT"] {
            assert!(text.contains(words), "{words} is missing in:\n{text}");
        }
    }

    async fn wrong(fault: MockFault) -> String {
        let report = swapped(fault, true).await.unwrap();
        assert!(!report.right(), "{}", report.text());
        report.text()
    }

    #[tokio::test]
    async fn a_swap_that_fails_or_changes_nothing_is_wrong() {
        let text = wrong(MockFault::RefusesSwaps).await;
        assert!(text.contains("answered 422"), "{text}");
        assert!(text.contains("swaps were done"), "{text}");
        let text = wrong(MockFault::SwapsNothing).await;
        assert!(
            text.contains("swap 1 is said to have changed nothing"),
            "{text}"
        );
        assert!(text.contains("sum of activations must be 21"), "{text}");
    }

    #[tokio::test]
    async fn decisions_that_do_not_add_up_are_wrong() {
        let text = wrong(MockFault::ForgetsDecisions).await;
        assert!(text.contains("the sum of decisions must be"), "{text}");
    }

    #[tokio::test]
    async fn wrong_books_and_failed_requests_are_wrong() {
        let text = wrong(MockFault::LosesCent).await;
        assert!(text.contains("but the service says"), "{text}");
        let text = wrong(MockFault::Fails).await;
        assert!(text.contains("answered 500"), "{text}");
    }

    #[tokio::test]
    async fn a_host_without_an_admin_interface_is_refused() {
        let error = swapped(MockFault::None, false).await.unwrap_err();
        assert!(format!("{error:#}").contains("admin URL"), "{error:#}");
    }
}
