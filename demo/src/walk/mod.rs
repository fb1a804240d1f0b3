//! `saga-demo walk`: the saga step by step, for a reader.
//!
//! Owns: the order of a walk. It has one host with both participants over the embedded log, or two
//! hosts over Kafka, and the same steps. State is kept in files, so a second walk continues with
//! the next ids. Everything is checked; deviations are printed as expected and found.
//!
//! # Layout
//!
//! - `stage`: the hosts and Kafka, and the hints at the end
//! - `orders`, `records` (over Kafka), `swap`, `repair`: the steps
//! - `call`, `operator`: requests of a client and of an operator, on the page
//! - `page`: the printed page, and the verdict
//!
//! Must not know: host internals; it sees the HTTP contract, the records and the processes.

pub(crate) mod call;
mod operator;
mod orders;
pub mod page;
mod records;
mod repair;
mod stage;
mod swap;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

use crate::hosts::Hosts;
use crate::interrupt::Interrupt;
use crate::kafka::GROUPS;
use crate::kafka::cluster::{Cluster, KafkaChoice};
use crate::kafka::topics;
use saga_testkit::host::Launch;

use crate::files::{self, Binaries, ServicePorts};
use page::WalkPage;
use stage::Carrier;

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
pub async fn run<W: Write>(task: &WalkOptions, page: &mut WalkPage<W>) -> Result<ExitCode> {
    let mut interrupt = Interrupt::new()?;
    let launches = match task.kafka {
        Some(_) => task.binaries.apart(&task.data, task.ports).to_vec(),
        None => vec![task.binaries.together(&task.data, task.ports)],
    };
    for launch in &launches {
        files::check(launch)?;
    }
    let Some(wanted) = &task.kafka else {
        return over(task, &launches, None, &mut interrupt, page).await;
    };
    let cluster = tokio::select! {
        cluster = stage::open(wanted, page) => cluster?,
        () = interrupt.recv() => return Err(anyhow!("interrupted before Kafka answered")),
    };
    let launches: Vec<Launch> = launches
        .into_iter()
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
async fn over<W: Write>(
    task: &WalkOptions,
    launches: &[Launch],
    cluster: Option<&Cluster>,
    interrupt: &mut Interrupt,
    page: &mut WalkPage<W>,
) -> Result<ExitCode> {
    let ready = async {
        let carrier = match cluster {
            Some(cluster) => Some(stage::create_topics(cluster, launches, page).await?),
            None => None,
        };
        let hosts = stage::start(launches, page).await?;
        Ok::<_, anyhow::Error>((carrier, hosts))
    };
    let (carrier, hosts) = tokio::select! {
        ready = ready => ready?,
        () = interrupt.recv() => return Err(anyhow!("interrupted before the walk began")),
    };
    let walked = tokio::select! {
        walked = walk(task, &hosts, carrier, page) => {
            walked.map_err(|error| anyhow!("{error:#}\n{}", hosts.log_tails()))
        }
        ended = hosts.exited() => Err(anyhow!(ended)),
        () = interrupt.recv() => Err(anyhow!("interrupted before the walk was over")),
    };
    if let Err(error) = walked {
        // The error of the walk is more useful than that of the drain after it.
        let _ = hosts.drain(interrupt.recv()).await;
        return Err(error);
    }
    page.verdict()?;
    if !task.once {
        stage::invite(&hosts, cluster, page)?;
        let ended = tokio::select! {
            () = interrupt.recv() => None,
            ended = hosts.exited() => Some(ended),
        };
        if let Some(ended) = ended {
            let _ = hosts.drain(interrupt.recv()).await;
            return Err(anyhow!(ended));
        }
        page.say("\ndraining: what is in flight is finished; Ctrl-C again ends at once")?;
    }
    hosts.drain(interrupt.recv()).await?;
    page.say(match launches {
        [_] => "the host has ended; its state is kept",
        _ => "the hosts have ended; their state is kept",
    })?;
    Ok(if page.right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All steps; deviations go to the page.
async fn walk<W: Write>(
    task: &WalkOptions,
    hosts: &Hosts,
    carrier: Option<Carrier<'_>>,
    page: &mut WalkPage<W>,
) -> Result<()> {
    let (customer, order) = (&hosts.customer, &hosts.order);
    if let Some(carrier) = &carrier {
        topics::groups_are_complete(&carrier.cluster.bootstrap, &GROUPS).await?;
        page.say("\nboth consumer groups have their partitions")?;
    }
    let placed = orders::walk(customer, order, page).await?;
    if let Some(Carrier { cluster, before }) = carrier {
        records::show(cluster, before, &placed, page).await?;
        records::by_hand(cluster, customer, page).await?;
    }
    if let Some(admin) = hosts.admin("customer") {
        swap::walk(customer, order, admin, &task.cautious, page).await?;
    }
    if let Some(mut repair) = repair::Repair::of(hosts) {
        repair
            .walk(&task.faulty, &task.binaries.customer, page)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::script;
    use crate::mock::{Mock, MockFault};

    #[tokio::test]
    async fn the_whole_walk_starts_and_drains_a_host() {
        let mock = Mock::start(MockFault::None).await;
        let data = tempfile::tempdir().unwrap();
        let says = format!(
            "listening customer {}\nlistening order {}\nadmin {}\n",
            mock.customer, mock.order, mock.admin
        );
        std::fs::write(data.path().join("stdout"), says).unwrap();
        let cautious = data.path().join("cautious");
        std::fs::write(&cautious, "0.2.0").unwrap();
        let faulty = data.path().join("faulty");
        std::fs::write(&faulty, "0.3.0").unwrap();
        let task = WalkOptions {
            binaries: script(),
            cautious,
            faulty,
            data: data.path().to_owned(),
            ports: ServicePorts::default(),
            kafka: None,
            once: true,
        };
        let mut page = WalkPage::new(Vec::new(), false);
        let code = run(&task, &mut page).await.unwrap();
        let text = page.text();
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", ExitCode::SUCCESS),
            "{text}"
        );
        assert!(text.contains("7. The customer's rules"), "{text}");
        let log = std::fs::read_to_string(data.path().join("host.log")).unwrap();
        assert!(log.contains("drained"), "{log}");
    }
}
