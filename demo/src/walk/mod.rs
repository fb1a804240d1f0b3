//! `saga-demo walk`: the saga step by step, for a reader.
//!
//! Owns: the order of a walk. It has one host with both participants over the embedded log, or two
//! hosts over Kafka, and the same steps. State is kept in files, so a second walk continues with
//! the next ids. Everything is checked; deviations are printed as expected and found.
//!
//! # Layout
//!
//! - `kafka`: the cluster and its topics
//! - `orders`, `records` (over Kafka), `swap`, `repair`: the steps
//! - `client`: requests of a client and of an operator, on the page
//!
//! Must not know: host internals; it sees the HTTP contract, the records and the processes.

mod client;
mod kafka;
mod orders;
mod records;
mod repair;
mod swap;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use saga_demo_client::contract::{CUSTOMER_TOPIC, GROUPS};
use saga_demo_client::files::{self, Binaries, ServicePorts};
use saga_testkit::host::{Hosts, Launch};
use saga_testkit::interrupt::Interrupt;
use saga_testkit::kafka::cluster::{Cluster, KafkaChoice};
use saga_testkit::kafka::topics;

use crate::page::WalkPage;
use crate::session;
use client::Walk;

/// The options of a walk.
#[derive(Debug)]
pub struct WalkOptions {
    /// The program and the components of the hosts.
    pub binaries: Binaries,
    /// The build of the customer's rules for the swap.
    pub cautious: PathBuf,
    /// The build of the customer's rules with a bug.
    pub faulty: PathBuf,
    /// The directory of the state.
    pub data: PathBuf,
    /// The ports of the services.
    pub ports: ServicePorts,
    /// The Kafka between two hosts; None for one host.
    pub kafka: Option<KafkaChoice>,
    /// True to end after the walk.
    pub once: bool,
}

/// Starts Kafka, if wanted, and the hosts; walks through the saga; and, without [`WalkOptions::once`],
/// keeps the services running until Ctrl-C. Exit code 0 means that there were no deviations.
///
/// # Errors
/// A host or Kafka did not start, ended by itself, or did not end cleanly.
pub async fn run(task: &WalkOptions, page: &mut WalkPage) -> Result<ExitCode> {
    let mut interrupt = Interrupt::new()?;
    let launches = match task.kafka {
        Some(_) => task.binaries.apart(&task.data, task.ports).to_vec(),
        None => vec![task.binaries.together(&task.data, task.ports)],
    };
    launches.iter().try_for_each(files::check)?;
    let Some(wanted) = &task.kafka else {
        return over(task, &launches, None, &mut interrupt, page).await;
    };
    let cluster = tokio::select! {
        cluster = kafka::open(wanted, page) => cluster?,
        () = interrupt.recv() => return Err(anyhow!("interrupted before Kafka answered")),
    };
    let launches = launches.into_iter();
    let launches: Vec<Launch> = launches
        .map(|launch| launch.over(&cluster.bootstrap))
        .collect();
    let walked = over(task, &launches, Some(&cluster), &mut interrupt, page).await;
    let is_own = cluster.own.is_some();
    let stopped = cluster.stop().await;
    let code = walked?;
    stopped?;
    if is_own {
        page.say("Kafka has stopped; its records are kept")?;
    }
    Ok(code)
}

/// The walk, once Kafka is ready.
async fn over(
    task: &WalkOptions,
    launches: &[Launch],
    cluster: Option<&Cluster>,
    interrupt: &mut Interrupt,
    page: &mut WalkPage,
) -> Result<ExitCode> {
    let before = match cluster {
        Some(cluster) => tokio::select! {
            ends = kafka::create_topics(&cluster.bootstrap, launches, page) => Some(ends?),
            () = interrupt.recv() => return Err(anyhow!("interrupted before the walk began")),
        },
        None => None,
    };
    let walk = async |hosts: &Hosts, page: &mut WalkPage| {
        if let Some(cluster) = cluster {
            topics::groups_are_complete(&cluster.bootstrap, &GROUPS, 1).await?;
            page.say("\nboth consumer groups have their partitions")?;
        }
        let mut walk = Walk::of(hosts, page)?;
        let placed = orders::walk(&mut walk).await?;
        if let (Some(cluster), Some(before)) = (cluster, before) {
            records::show(&cluster.bootstrap, before, &placed, walk.page).await?;
            records::by_hand(cluster, &mut walk).await?;
        }
        swap::walk(&mut walk, &task.cautious).await?;
        repair::walk(&mut walk, &task.faulty, &task.binaries.customer).await
    };
    let invite = |hosts: &Hosts, page: &mut WalkPage| {
        Walk::of(hosts, page)?.invite()?;
        if let Some(cluster) = cluster {
            page.request(&cluster.command_to_read(CUSTOMER_TOPIC))?;
        }
        page.say("\nCtrl-C drains and ends.")?;
        Ok(())
    };
    let invite = (!task.once).then_some(invite);
    session::run(launches, interrupt, page, walk, invite).await
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use saga_demo_client::mock::{Mock, MockFault, script};
    use tempfile::NamedTempFile;

    use super::*;

    /// A component of the mock: a file with the version that it declares.
    pub(super) fn component(version: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(version.as_bytes()).unwrap();
        file
    }

    /// Walks on a mock with a fault. Returns whether all was found right, and the page.
    pub(super) async fn walked(
        fault: MockFault,
        steps: impl AsyncFnOnce(&mut Walk<'_>) -> Result<()>,
    ) -> (bool, String) {
        let mock = Mock::start(fault).await;
        let mut page = WalkPage::kept();
        let services = [&mock.customer, &mock.order];
        let mut walk = Walk::at(services, [&mock.admin, &mock.admin], &mut page);
        let ended = steps(&mut walk).await;
        page.verdict().unwrap();
        assert!(ended.is_ok() || !page.right(), "{ended:?}");
        (page.right(), page.text().to_owned())
    }

    #[tokio::test]
    async fn the_whole_walk_starts_and_drains_a_host() {
        let mock = Mock::start(MockFault::None).await;
        let data = tempfile::tempdir().unwrap();
        let says = format!(
            "listening customer {}\nlistening order {}\nadmin {}\n",
            mock.customer, mock.order, mock.admin
        );
        std::fs::write(data.path().join("stdout"), says).unwrap();
        let (cautious, faulty) = (component("0.2.0"), component("0.3.0"));
        let task = WalkOptions {
            binaries: script(),
            cautious: cautious.path().to_owned(),
            faulty: faulty.path().to_owned(),
            data: data.path().to_owned(),
            ports: ServicePorts::default(),
            kafka: None,
            once: true,
        };
        let mut page = WalkPage::kept();
        let code = run(&task, &mut page).await.unwrap();
        let text = page.text();
        assert_eq!(code, ExitCode::SUCCESS, "{text}");
        assert!(text.contains("7. The customer's rules"), "{text}");
        let log = std::fs::read_to_string(data.path().join("host.log")).unwrap();
        assert!(log.contains("drained"), "{log}");
    }
}
