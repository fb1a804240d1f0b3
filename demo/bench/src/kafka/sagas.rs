//! Sagas over Kafka in a closed loop, as `run` measures them without Kafka.
//!
//! Owns: the two hosts, their topics, and the rounds at each number of connections.
//!
//! Must not know: the output.

use anyhow::{Context, Result};

use super::Run;
use crate::run::candidate::Candidate;
use crate::run::rounds::{MeasuredRound, median};
use saga_demo_client::contract::{CUSTOMER_TOPIC, GROUPS, ORDER_TOPIC};
use saga_demo_client::files::{self, ServicePorts};
use saga_testkit::host::Hosts;
use saga_testkit::kafka::topics;

/// The measurement at one number of connections.
#[derive(Debug)]
pub(super) struct KafkaLevel {
    /// Connections.
    pub(super) connections: usize,
    /// The median round.
    pub(super) measured: MeasuredRound,
}

/// Starts the hosts, measures all levels, checks the ledger.
pub(super) async fn measure(run: &Run<'_>) -> Result<Vec<KafkaLevel>> {
    topics::create(run.bootstrap, &[ORDER_TOPIC, CUSTOMER_TOPIC], &[]).await?;
    let data = run.bench.scratch.join("sagas");
    let launches = run.bench.binaries.apart(&data, ServicePorts::default());
    launches.iter().try_for_each(files::check)?;
    let hosts = Hosts::start(&launches.map(|launch| launch.over(run.bootstrap))).await?;
    let complete = topics::groups_are_complete(run.bootstrap, &GROUPS, 1).await;
    complete.with_context(|| hosts.log_tails())?;
    let candidate = Candidate::new("sagas", hosts, std::slice::from_ref(&run.broker)).await?;
    let mut levels = Vec::new();
    for connections in &run.bench.connections {
        let mut rounds = Vec::new();
        for round in 1..=run.bench.rounds {
            let measured = candidate.measure(*connections, round, run.bench.window);
            rounds.push(measured.await?);
        }
        levels.push(KafkaLevel {
            connections: *connections,
            measured: median(rounds).context("no round was run")?,
        });
    }
    candidate.close().await?;
    Ok(levels)
}
