//! `saga-bench run`: sagas per second, latency, processor time and memory, compared with the disk.
//!
//! Owns: the order of a benchmark. A fresh host in a directory of its own is started twice (with
//! nothing cached, with compiled code cached); then there are rounds at each number of connections.
//! The same run measures this machine's fsync, and SQLite alone; the same host without metrics, checks of bodies and
//! idempotency keys, for their cost; and, if such a host is built, the same rules called natively.
//! All take turns, since a machine's speed varies from minute to minute. At the end the ledger of
//! all rounds must be correct: a fast wrong host is no result.
//!
//! Must not know: host internals. The hosts differ only in their binary and their settings.

pub(crate) mod baseline;
pub(crate) mod candidate;
pub(crate) mod floor;
pub(crate) mod report;
pub(crate) mod rounds;
pub(crate) mod sqlite_floor;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run::candidate::Candidate;
use saga_testkit::host::Hosts;
use saga_testkit::host::Launch;

use crate::run::report::{RunLevel, RunReport, Startup};
use crate::run::rounds::median;
use saga_demo_client::files::{self, Binaries, ServicePorts};

/// Rounds of each host; the median counts.
pub(crate) const ROUNDS: usize = 3;

/// Settings without the optional parts. POSTs then carry no idempotency keys either.
const BARE: &str = "[metrics]\nenabled = false\n[http]\ncheck_bodies = false\n";

/// The options of a benchmark.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The program and the components of the host.
    pub(crate) binaries: Binaries,
    /// A host with the same command line that calls the rules natively.
    pub(crate) native: Option<PathBuf>,
    /// Directory for the state of the run.
    pub(crate) scratch: PathBuf,
    /// Numbers of connections to measure at.
    pub(crate) connections: Vec<usize>,
    /// The measured window of a round.
    pub(crate) window: Duration,
}

/// Runs the benchmark.
///
/// # Errors
/// A host failed, or the ledger is not correct.
pub(crate) async fn run(bench: &Bench) -> Result<RunReport> {
    eprintln!("measuring the floor (fsync, SQLite alone)");
    let floor = floor::measure(&bench.scratch)?;
    let sqlite_decisions = sqlite_floor::measure(&bench.scratch)?;
    let host = |name| {
        bench
            .binaries
            .together(&bench.scratch.join(name), ServicePorts::default())
    };
    let (component, startup) = start("component", &host("component")).await?;
    let component = component.with_fresh_keys();
    let bare = Launch {
        settings: BARE.to_owned(),
        ..host("bare")
    };
    let (bare, _) = start("bare", &bare).await?;
    let native = match &bench.native {
        Some(saga) => {
            let launch = Launch {
                program: saga.clone(),
                ..host("native")
            };
            let (native, startup) = start("native", &launch).await?;
            Some((native.with_fresh_keys(), startup))
        }
        None => None,
    };
    let mut levels = Vec::new();
    for connections in &bench.connections {
        let (mut own, mut barely, mut natively) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            own.push(component.measure(*connections, round, bench.window).await?);
            barely.push(bare.measure(*connections, round, bench.window).await?);
            if let Some((native, _)) = &native {
                natively.push(native.measure(*connections, round, bench.window).await?);
            }
        }
        let component = median(own).context("no round was run")?;
        levels.push(RunLevel {
            connections: *connections,
            component,
            bare: median(barely).context("no round was run")?,
            native: median(natively),
        });
    }
    component.close().await?;
    bare.close().await?;
    let mut native_startup = None;
    if let Some((native, startup)) = native {
        native_startup = Some(startup);
        native.close().await?;
    }
    Ok(RunReport {
        floor,
        sqlite_decisions,
        startup,
        native_startup,
        levels,
    })
}

/// Starts a host with nothing cached, and again.
pub(crate) async fn start(name: &'static str, launch: &Launch) -> Result<(Candidate, Startup)> {
    files::check(launch)?;
    eprintln!("{name}: starting with nothing cached, then again");
    let launch = std::slice::from_ref(launch);
    let hosts = Hosts::start(launch).await?;
    let cold = hosts.ready_after();
    hosts.drain(std::future::pending()).await?;
    let hosts = Hosts::start(launch).await?;
    let startup = Startup {
        cold,
        cached: hosts.ready_after(),
    };
    let candidate = Candidate::new(name, hosts, &[]).await?;
    Ok((candidate, startup))
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo_client::mock::{Mock, MockFault, script};

    /// The host is a script that points at a mock in this process.
    async fn bench(fault: MockFault, native: bool) -> Result<RunReport> {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let binaries = script();
        let says = format!(
            "listening customer {}\nlistening order {}\n",
            mock.customer, mock.order
        );
        for name in ["component", "bare", "native"] {
            let data = directory.path().join(name);
            std::fs::create_dir_all(&data).unwrap();
            std::fs::write(data.join("stdout"), &says).unwrap();
        }
        let bench = Bench {
            native: native.then(|| binaries.saga.clone()),
            binaries,
            scratch: directory.path().to_owned(),
            connections: vec![1, 4],
            window: Duration::from_millis(200),
        };
        run(&bench).await
    }

    #[tokio::test]
    async fn every_level_is_reported_with_its_ratio() {
        let report = bench(MockFault::None, true).await.unwrap();
        let json = report.json();
        assert_eq!(json["levels"].as_array().unwrap().len(), 2);
        assert!(
            json["levels"][1]["component_to_native"]["sagas_per_second"]
                .as_f64()
                .unwrap()
                > 0.0
        );
        assert!(
            json["levels"][0]["component_to_bare"]["host_cpu"]
                .as_f64()
                .is_some()
        );
        assert!(json["startup_ms"]["cached"].as_f64().unwrap() > 0.0);
        let text = report.text();
        for word in ["fsync", "sagas/s", "native", "bare", "cached"] {
            assert!(text.contains(word), "{word} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_fast_wrong_host_is_no_result() {
        let error = bench(MockFault::LosesCent, false)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("books of the component are wrong"),
            "{error}"
        );
        assert!(error.contains("but the service says"), "{error}");
    }
}
