//! `saga-bench run --kafka`: the saga over a real broker, with a process for each service; and the
//! publishing and consuming of the hosts, compared with bare clients of the same broker in the same
//! run.
//!
//! Owns: the order of the benchmark. The broker and all state are in a directory that is removed at
//! the end.
//!
//! # Layout
//!
//! - `sagas`: sagas per second, latency and processor time, as `run` measures them
//! - `produce`: a backlog that a host publishes; `consume`: waiting records that a host consumes
//! - `bare`: the bare clients
//! - `flow`: records per second by the broker's clock; `stage`: a host with a prepared state
//! - `names`: other names for topics and groups
//! - `report`: tables and JSON
//!
//! Must not know: host internals.

mod bare;
mod consume;
mod flow;
pub(crate) mod names;
mod produce;
mod report;
mod sagas;
mod stage;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run::floor;
use report::KafkaReport;
use saga_demo_client::files::Binaries;
use saga_testkit::kafka::cluster::{Cluster, KafkaChoice};
use saga_testkit::usage::Process;

/// The options of a benchmark over Kafka.
#[derive(Debug)]
pub(crate) struct BenchKafka {
    /// The program and the components of the hosts.
    pub(crate) binaries: Binaries,
    /// Directory for the state of the run.
    pub(crate) scratch: PathBuf,
    /// Numbers of connections to measure at.
    pub(crate) connections: Vec<usize>,
    /// The measured window of a round.
    pub(crate) window: Duration,
    /// Rounds of each measurement; the median counts.
    pub(crate) rounds: usize,
    /// Records that wait to be published, and to be consumed.
    pub(crate) records: u32,
}

/// Runs the benchmark.
///
/// # Errors
/// No broker can be run here, something failed, or the ledger is not correct.
pub(crate) async fn run(bench: &BenchKafka) -> Result<KafkaReport> {
    saga_testkit::broker::available().context("a broker can't be started for the benchmark")?;
    eprintln!("measuring the floor (fsync)");
    let floor = floor::measure(&bench.scratch)?;
    eprintln!("starting Apache Kafka (the first time, its libraries are fetched)");
    let cluster = Cluster::open(&KafkaChoice::Own {
        directory: bench.scratch.join("broker"),
        for_speed: true,
    })
    .await?;
    let own = cluster.own.as_ref().context("the broker is not ours")?;
    let broker_ready_after = own.ready_after;
    let run = Run {
        bench,
        bootstrap: &cluster.bootstrap,
        broker: own.process.clone(),
    };
    let sagas = sagas::measure(&run).await?;
    let (produced, backlog) = produce::measure(&run).await?;
    let consumed = consume::measure(&run, backlog).await?;
    cluster.stop().await?;
    Ok(KafkaReport {
        floor,
        broker_ready_after,
        rounds: bench.rounds,
        records: bench.records,
        sagas,
        produced,
        consumed,
    })
}

/// The broker and the options, for all parts of a run.
struct Run<'a> {
    bench: &'a BenchKafka,
    bootstrap: &'a str,
    broker: Process,
}
