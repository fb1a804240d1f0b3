//! `saga-bench run --kafka --postgres`: two hosts of each participant over a real Kafka, next to one
//! of each.
//!
//! Owns: the two sets of hosts. Each has topics and stores of its own, one for each participant, on
//! the same broker and the same server. Both run all the time and are measured in turn.
//!
//! Must not know: host internals, the output (`report`).

mod report;

use anyhow::{Context, Result};

use super::BenchPostgres;
use super::server::BenchServer;
use crate::kafka::names::TopicNames;
use crate::run::candidate::Candidate;
use crate::run::floor;
use crate::run::rounds::median;
use report::{PairsLevel, PairsReport};
use saga_demo_client::files::{self, ServicePorts};
use saga_testkit::host::{Hosts, Launch};
use saga_testkit::kafka::cluster::{Cluster, KafkaChoice};
use saga_testkit::kafka::topics;

/// Partitions of each topic, in both sets: each of two hosts has some.
const PARTITIONS: usize = 4;

/// Hosts that together serve the saga.
struct HostSet {
    name: &'static str,
    topics: TopicNames<'static>,
    /// Hosts of each participant.
    hosts: usize,
}

const SETS: [HostSet; 2] = [
    HostSet {
        name: "one-each",
        topics: TopicNames {
            orders: "ordersOfOne",
            answers: "answersOfOne",
        },
        hosts: 1,
    },
    HostSet {
        name: "two-each",
        topics: TopicNames {
            orders: "ordersOfTwo",
            answers: "answersOfTwo",
        },
        hosts: 2,
    },
];

/// Runs the benchmark.
///
/// # Errors
/// No broker or no server can be run here, something failed, or the ledger is not correct.
pub(crate) async fn run(bench: &BenchPostgres) -> Result<PairsReport> {
    saga_testkit::broker::available().context("a broker can't be started for the benchmark")?;
    let server = BenchServer::start(&bench.place).await?;
    eprintln!("measuring the floor (fsync)");
    let floor = floor::measure(&bench.scratch)?;
    eprintln!("starting Apache Kafka (the first time, its libraries are fetched)");
    let cluster = Cluster::open(&KafkaChoice::Own {
        directory: bench.scratch.join("broker"),
        for_speed: true,
    })
    .await?;
    let [one, two] = &SETS;
    let (one, two) = (
        start(bench, &server, &cluster, one).await?,
        start(bench, &server, &cluster, two).await?,
    );
    let mut levels = Vec::new();
    for connections in &bench.connections {
        let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
        for round in 1..=bench.rounds {
            of_one.push(one.measure(*connections, round, bench.window).await?);
            of_two.push(two.measure(*connections, round, bench.window).await?);
        }
        levels.push(PairsLevel {
            connections: *connections,
            one: median(of_one).context("no round was run")?,
            two: median(of_two).context("no round was run")?,
        });
    }
    one.close().await?;
    two.close().await?;
    cluster.stop().await?;
    Ok(PairsReport {
        floor,
        version: server.version.clone(),
        partitions: PARTITIONS,
        rounds: bench.rounds,
        levels,
    })
}

async fn start(
    bench: &BenchPostgres,
    server: &BenchServer,
    cluster: &Cluster,
    set: &HostSet,
) -> Result<Candidate> {
    eprintln!("{}: starting {} hosts", set.name, 2 * set.hosts);
    let launches = set.launches(bench).into_iter();
    let launches: Vec<Launch> = launches
        .map(|(store, launch)| server.store(launch, &store).over(&cluster.bootstrap))
        .collect();
    launches.iter().try_for_each(files::check)?;
    let hosts = Hosts::start(&launches).await?;
    let groups = set.topics.groups();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let complete = topics::groups_are_complete(&cluster.bootstrap, &groups, set.hosts).await;
    complete.with_context(|| hosts.log_tails())?;
    let own = cluster.own.as_ref().context("the broker is not ours")?;
    let candidate = Candidate::new(set.name, hosts, std::slice::from_ref(&own.process)).await?;
    Ok(candidate.on(server.processes()?))
}

impl HostSet {
    /// The hosts, each with the schema of its store. All hosts of a participant have one store.
    fn launches(&self, bench: &BenchPostgres) -> Vec<(String, Launch)> {
        let data = bench.scratch.join(self.name);
        let mut all = Vec::new();
        for number in 1..=self.hosts {
            let data = data.join(number.to_string());
            for launch in bench.binaries.apart(&data, ServicePorts::default()) {
                let names = launch.participants.iter().map(|one| one.name.as_str());
                let participant: String = names.collect();
                let settings = self.topics.settings(&participant)
                    + &format!("[kafka]\npartitions = {PARTITIONS}\n");
                let schema = format!("{}-{participant}", self.name).replace('-', "_");
                all.push((schema, Launch { settings, ..launch }));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_demo_client::mock::script;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn hosts_of_one_participant_share_a_store_and_nothing_else() {
        let bench = BenchPostgres {
            binaries: script(),
            place: "place".into(),
            scratch: "scratch".into(),
            connections: Vec::new(),
            window: Duration::ZERO,
            rounds: 1,
        };
        let all: Vec<_> = SETS.iter().flat_map(|set| set.launches(&bench)).collect();
        let stores: Vec<&str> = all.iter().map(|(store, _)| store.as_str()).collect();
        let expected = [
            "one_each_customer",
            "one_each_order",
            "two_each_customer",
            "two_each_order",
            "two_each_customer",
            "two_each_order",
        ];
        assert_eq!(stores, expected);
        let data: BTreeSet<_> = all.iter().map(|(_, launch)| &launch.data).collect();
        assert_eq!(data.len(), all.len());
        assert!(all[5].1.settings.contains("orderTopic = \"ordersOfTwo\""));
    }
}
