//! `saga-bench run --postgres`: the host on a PostgreSQL server next to the same host on SQLite.
//!
//! Owns: the order of the benchmark. Both hosts run all the time and are measured in turn, since a
//! machine's speed varies from minute to minute; the ledger of each must be correct at the end.
//!
//! # Layout
//!
//! - `server`: the server
//! - `pairs`: with `--kafka`: two hosts of each participant next to one of each
//! - `report`: the table and JSON
//!
//! Must not know: host internals, SQL.

pub(crate) mod pairs;
mod report;
pub(crate) mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run::candidate::Candidate;
use crate::run::rounds::median;
use crate::run::{self, floor};
use report::{PostgresLevel, PostgresReport};
use saga_demo_client::files::{Binaries, ServicePorts};
use saga_testkit::host::Launch;
use saga_testkit::usage::ProcessTree;
use server::BenchServer;

/// The options of a benchmark.
#[derive(Debug)]
pub(crate) struct BenchPostgres {
    /// The program and the components of the hosts.
    pub(crate) binaries: Binaries,
    /// Directory in which the server makes one of its own. Its user must be able to enter it.
    pub(crate) place: PathBuf,
    /// Directory for the state of the hosts, on the same disk.
    pub(crate) scratch: PathBuf,
    /// Numbers of connections to measure at.
    pub(crate) connections: Vec<usize>,
    /// The measured window of a round.
    pub(crate) window: Duration,
    /// Rounds of each host; the median counts.
    pub(crate) rounds: usize,
}

/// Runs the benchmark.
///
/// # Errors
/// No server can be run here, a host failed, or the ledger is not correct.
pub(crate) async fn run(bench: &BenchPostgres) -> Result<PostgresReport> {
    let server = BenchServer::start(&bench.place).await?;
    let on_server = server.store(bench.host("postgres"), "saga");
    let report = compare(bench, &on_server, server.processes()?).await?;
    Ok(PostgresReport {
        version: server.version.clone(),
        ..report
    })
}

impl BenchPostgres {
    fn host(&self, name: &str) -> Launch {
        let data = self.scratch.join(name);
        self.binaries.together(&data, ServicePorts::default())
    }
}

async fn compare(
    bench: &BenchPostgres,
    on_server: &Launch,
    server: ProcessTree,
) -> Result<PostgresReport> {
    eprintln!("measuring the floor (fsync)");
    let floor = floor::measure(&bench.scratch)?;
    let (sqlite, sqlite_startup) = run::start("sqlite", &bench.host("sqlite")).await?;
    let (postgres, postgres_startup) = run::start("postgres", on_server).await?;
    let (sqlite, postgres) = (
        sqlite.with_fresh_keys(),
        postgres.with_fresh_keys().on(server),
    );
    let mut levels = Vec::new();
    for connections in &bench.connections {
        levels.push(level(bench, *connections, &sqlite, &postgres).await?);
    }
    sqlite.close().await?;
    postgres.close().await?;
    Ok(PostgresReport {
        version: String::new(),
        floor,
        rounds: bench.rounds,
        sqlite_startup,
        postgres_startup,
        levels,
    })
}

async fn level(
    bench: &BenchPostgres,
    connections: usize,
    sqlite: &Candidate,
    postgres: &Candidate,
) -> Result<PostgresLevel> {
    let (mut on_file, mut on_server) = (Vec::new(), Vec::new());
    for round in 1..=bench.rounds {
        on_file.push(sqlite.measure(connections, round, bench.window).await?);
        on_server.push(postgres.measure(connections, round, bench.window).await?);
    }
    Ok(PostgresLevel {
        connections,
        sqlite: median(on_file).context("no round was run")?,
        postgres: median(on_server).context("no round was run")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo_client::mock::{Mock, MockFault, script};
    use saga_testkit::usage::Process;

    /// The hosts are scripts that point at a mock in this process, which is the server too.
    async fn compared(fault: MockFault) -> Result<PostgresReport> {
        let mock = Mock::start(fault).await;
        let directory = tempfile::tempdir().unwrap();
        let says = format!(
            "listening customer {}\nlistening order {}\n",
            mock.customer, mock.order
        );
        for name in ["sqlite", "postgres"] {
            let data = directory.path().join(name);
            std::fs::create_dir_all(&data).unwrap();
            std::fs::write(data.join("stdout"), &says).unwrap();
        }
        let bench = BenchPostgres {
            binaries: script(),
            place: directory.path().to_owned(),
            scratch: directory.path().to_owned(),
            connections: vec![1, 4],
            window: Duration::from_millis(200),
            rounds: 1,
        };
        let server = ProcessTree(Process::own());
        compare(&bench, &bench.host("postgres"), server).await
    }

    #[tokio::test]
    async fn both_hosts_are_reported_with_their_ratios_and_the_server_s_work() {
        let report = compared(MockFault::None).await.unwrap();
        let json = report.json();
        assert_eq!(json["levels"].as_array().unwrap().len(), 2);
        let level = &json["levels"][1];
        for figure in [
            "/postgres_to_sqlite/sagas_per_second",
            "/sqlite/post/p99_ms",
            "/postgres/decided/p50_ms",
            "/postgres/database_cpu_micros_per_decision",
        ] {
            let found = level.pointer(figure).and_then(serde_json::Value::as_f64);
            assert!(found.unwrap_or(0.0) > 0.0, "{figure}: {json:#}");
        }
        let text = report.text();
        for words in ["fsync", "postgres / sqlite", "µs/decision", "code cached"] {
            assert!(text.contains(words), "{words} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_fast_wrong_host_is_no_result() {
        let error = compared(MockFault::LosesCent).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("books of the sqlite are wrong"), "{error}");
    }
}
