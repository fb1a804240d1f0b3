//! `saga-demo bench`: sagas per second, latency, processor time and memory, next to their floor.
//!
//! Owns: the order of a benchmark. A fresh host in a directory of its own, started twice (with nothing
//! cached, with compiled code cached); then rounds at each number of connections; in the same run this
//! machine's fsync, and, where such a host is built, the same rules called natively, in turn with the
//! components, since what a machine does differs from minute to minute. At the end the books of all
//! rounds must be right: a fast wrong host is no result.
//!
//! Must not know: host internals. Both hosts are told apart by their binary only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cents::Cents;
use crate::check::Ledger;
use crate::customers;
use crate::floor;
use crate::host::{Host, Launch};
use crate::load::shown;
use crate::report::{Level, Report, Startup};
use crate::rounds::{Measured, Round};
use crate::scratch::Scratch;

/// Customers that the orders are spread over.
const CUSTOMERS: usize = 1_000;
/// Far more than all rounds can spend.
const LIMIT: Cents = Cents::whole(1_000_000);
/// Connections for registering and reading back.
const CONNECTIONS: usize = 16;
/// Rounds of each host when two are compared; the median counts.
const ROUNDS: usize = 3;
/// The warm-up is this part of a window.
const WARM_UP_PART: u32 = 5;
/// Every run draws the same orders.
const SEED: u64 = 1;

/// What a benchmark is to do.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The host; its data directory and ports are chosen here.
    pub(crate) launch: Launch,
    /// A host with the same command line that calls the rules natively.
    pub(crate) native: Option<PathBuf>,
    /// Where the directory for the run's state is made.
    pub(crate) scratch: PathBuf,
    /// Numbers of connections to measure at.
    pub(crate) connections: Vec<usize>,
    /// The measured window of a round.
    pub(crate) window: Duration,
}

/// Runs the benchmark.
///
/// # Errors
/// A host failed, or the books are not right.
pub(crate) async fn run(bench: &Bench) -> Result<Report> {
    let scratch = Scratch::make(&bench.scratch, "bench-data")?;
    eprintln!("measuring the floor (fsync)");
    let floor = floor::measure(&scratch.path)?;
    let mut component = Candidate::start("component", &bench.launch, &scratch.path).await?;
    let mut native = match &bench.native {
        Some(saga) => {
            let launch = Launch {
                saga: saga.clone(),
                ..bench.launch.clone()
            };
            Some(Candidate::start("native", &launch, &scratch.path).await?)
        }
        None => None,
    };
    let mut levels = Vec::new();
    for connections in &bench.connections {
        let (mut own, mut natively) = (Vec::new(), Vec::new());
        for round in 1..=if native.is_some() { ROUNDS } else { 1 } {
            own.push(component.measure(*connections, round, bench.window).await?);
            if let Some(native) = &mut native {
                natively.push(native.measure(*connections, round, bench.window).await?);
            }
        }
        let component = median(own).context("no round was run")?;
        levels.push(Level {
            connections: *connections,
            component,
            native: median(natively),
        });
    }
    let startup = component.startup;
    component.close().await?;
    let native_startup = native.as_ref().map(|native| native.startup);
    if let Some(native) = native {
        native.close().await?;
    }
    Ok(Report {
        floor,
        startup,
        native_startup,
        levels,
    })
}

struct Candidate {
    name: &'static str,
    host: Host,
    startup: Startup,
    ledger: Arc<Ledger>,
}

impl Candidate {
    async fn start(name: &'static str, launch: &Launch, scratch: &Path) -> Result<Self> {
        let data = scratch.join(name);
        let launch = Launch {
            data,
            customer_port: 0,
            order_port: 0,
            ..launch.clone()
        };
        eprintln!("{name}: starting with nothing cached, then again");
        let host = Host::start(&launch).await?;
        let cold = host.ready_after;
        host.drain(std::future::pending()).await?;
        let host = Host::start(&launch).await?;
        let startup = Startup {
            cold,
            cached: host.ready_after,
        };
        let limits = vec![LIMIT; CUSTOMERS];
        let ids = customers::register_all(&host.customer, &limits, CONNECTIONS, false)
            .await
            .with_context(|| host.log_tail())?;
        let ledger = Arc::new(Ledger::new(ids.into_iter().zip(limits), false));
        Ok(Self {
            name,
            host,
            startup,
            ledger,
        })
    }

    async fn measure(
        &mut self,
        connections: usize,
        round: usize,
        window: Duration,
    ) -> Result<Measured> {
        eprintln!(
            "{}: {connections} connections, round {round}, {:.0} s",
            self.name,
            window.as_secs_f64()
        );
        let round = Round {
            order: &self.host.order,
            pid: self.host.pid(),
            ledger: &self.ledger,
            connections,
            warm_up: window / WARM_UP_PART,
            window,
            seed: SEED,
        };
        let measured = round.run().await.with_context(|| self.host.log_tail())?;
        ensure!(!self.ledger.hopeless(), "{}", self.violations());
        Ok(measured)
    }

    async fn close(self) -> Result<()> {
        eprintln!(
            "{}: reading back what is left of {CUSTOMERS} limits",
            self.name
        );
        customers::compare_all(&self.host.customer, &self.ledger, CONNECTIONS, false).await?;
        let violations = self.violations();
        ensure!(violations.is_empty(), "{violations}");
        self.host.drain(std::future::pending()).await
    }

    fn violations(&self) -> String {
        let violations = self.ledger.close();
        if violations.is_empty() {
            return String::new();
        }
        let lines: Vec<String> = shown(&violations).collect();
        format!(
            "the books of the {} host are wrong:\n{}",
            self.name,
            lines.join("\n")
        )
    }
}

/// The round in the middle by sagas per second; none of none.
fn median(mut rounds: Vec<Measured>) -> Option<Measured> {
    rounds.sort_by(|one, other| one.sagas_per_second.total_cmp(&other.sagas_per_second));
    rounds.get(rounds.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::launch;
    use crate::mock::{Fault, Mock};

    /// The host is a script that points at a mock in this process.
    async fn bench(fault: Fault, native: bool) -> Result<Report> {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let launch = launch(directory.path());
        let says = format!(
            "listening customer {}\nlistening order {}\n",
            mock.customer, mock.order
        );
        for name in ["component", "native"] {
            // The data directory has this process's number in its name, so it is known beforehand.
            let data = directory
                .path()
                .join(format!("bench-data-{}", std::process::id()))
                .join(name);
            std::fs::create_dir_all(&data).unwrap();
            std::fs::write(data.join("stdout"), &says).unwrap();
        }
        let bench = Bench {
            native: native.then(|| launch.saga.clone()),
            launch,
            scratch: directory.path().to_owned(),
            connections: vec![1, 4],
            window: Duration::from_millis(200),
        };
        let report = run(&bench).await;
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            0,
            "the scratch must be removed"
        );
        report
    }

    #[tokio::test]
    async fn every_level_is_reported_with_its_ratio() {
        let report = bench(Fault::None, true).await.unwrap();
        let json = report.json();
        assert_eq!(json["levels"].as_array().unwrap().len(), 2);
        assert!(
            json["levels"][1]["component_to_native"]["sagas_per_second"]
                .as_f64()
                .unwrap()
                > 0.0
        );
        assert!(json["startup_ms"]["cached"].as_f64().unwrap() > 0.0);
        let text = report.text();
        for word in ["fsync", "sagas/s", "native", "cached"] {
            assert!(text.contains(word), "{word} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_fast_wrong_host_is_no_result() {
        let error = bench(Fault::LosesCent, false)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("books of the component host are wrong"),
            "{error}"
        );
        assert!(error.contains("but the service says"), "{error}");
    }
}
