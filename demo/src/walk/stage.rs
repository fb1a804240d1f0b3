//! The setting of a walk: Kafka with its topics, if wanted, and the hosts.
//!
//! Owns: starting them in this order, showing their addresses, and the hints after the walk.
//!
//! Must not know: the steps.

use std::io::Write;

use anyhow::{Result, anyhow, ensure};
use saga_testkit::broker::Unavailable;

use super::call::curl_post;
use super::page::WalkPage;
use crate::cents::Cents;
use crate::contract;
use crate::hosts::Hosts;
use crate::kafka::cluster::{BOOTSTRAP, Cluster, KafkaChoice, WITH_DOCKER};
use crate::kafka::topics::{self, Ends};
use crate::kafka::{CUSTOMER_TOPIC, ORDER_TOPIC};
use saga_testkit::host::Launch;

/// Kafka for a walk.
pub(super) struct Carrier<'a> {
    /// The cluster.
    pub(super) cluster: &'a Cluster,
    /// The end offsets of the topics before the walk.
    pub(super) before: Ends,
}

/// Starts Kafka, or connects to an existing one.
pub(super) async fn open<W: Write>(
    wanted: &KafkaChoice,
    page: &mut WalkPage<W>,
) -> Result<Cluster> {
    page.say(match wanted {
        KafkaChoice::Own { .. } => {
            "starting Apache Kafka, one broker (the first time, its libraries are fetched)"
        }
        KafkaChoice::Existing(_) => "looking for the Kafka that is there",
    })?;
    let cluster = Cluster::open(wanted).await;
    let cluster = cluster.map_err(|error| match error.downcast_ref::<Unavailable>() {
        Some(missing) => anyhow!(
            "{missing}. Or, with Docker: `{WITH_DOCKER}`, and then this with {BOOTSTRAP}=localhost:9092 in the \
             environment"
        ),
        None => error,
    })?;
    let bootstrap = &cluster.bootstrap;
    page.say(&match (&cluster.own, wanted) {
        (Some(own), KafkaChoice::Own { directory, .. }) => format!(
            "ready after {:.1} s at {bootstrap}; its data and its log are in {}",
            own.ready_after.as_secs_f64(),
            directory.display()
        ),
        _ => format!("it answers at {bootstrap}"),
    })?;
    Ok(cluster)
}

/// Creates the missing topics.
pub(super) async fn create_topics<'a, W: Write>(
    cluster: &'a Cluster,
    launches: &[Launch],
    page: &mut WalkPage<W>,
) -> Result<Carrier<'a>> {
    let bootstrap = &cluster.bootstrap;
    let names = [ORDER_TOPIC, CUSTOMER_TOPIC];
    let is_new = topics::create(bootstrap, &names, &[]).await?;
    let before = topics::ends(bootstrap, &names).await?;
    let records = topics::count(&Ends::new(), &before);
    belong(records, launches, bootstrap)?;
    let created = if is_new.contains(&true) {
        "created with 1 partition and 1 replica each; in the article it is 1 partition and, on 2 brokers, 2 replicas".to_owned()
    } else {
        format!("there, with {records} records of earlier walks")
    };
    page.say(&format!(
        "topics {ORDER_TOPIC} and {CUSTOMER_TOPIC}: {created}\n"
    ))?;
    Ok(Carrier { cluster, before })
}

/// Checks that the records on the topics belong to the state of these hosts.
fn belong(records: i64, launches: &[Launch], bootstrap: &str) -> Result<()> {
    for launch in launches {
        ensure!(
            records == 0 || launch.data.exists(),
            "{ORDER_TOPIC} and {CUSTOMER_TOPIC} at {bootstrap} hold {records} records, but {} is new: they are of other \
             services, or of a state that is gone, and their orders would be mistaken for new ones. Delete the topics, \
             or say with --data where the state is that belongs to them",
            launch.data.display()
        );
    }
    Ok(())
}

/// Starts the hosts and prints their addresses.
pub(super) async fn start<W: Write>(launches: &[Launch], page: &mut WalkPage<W>) -> Result<Hosts> {
    page.say(match launches {
        [_] => "starting the host",
        _ => "starting two hosts, one for each service",
    })?;
    for launch in launches {
        page.request(&launch.command_line())?;
    }
    let hosts = Hosts::start(launches).await?;
    let mut text = format!("ready after {} ms\n", hosts.ready_after().as_millis());
    for (host, launch) in hosts.all().iter().zip(launches) {
        text.push('\n');
        let mut line = |what: &str, where_: String| {
            text.push_str(&format!("  {what:<17} {where_}\n"));
        };
        for (name, url) in &host.services {
            line(&format!("{name} service"), url.to_string());
        }
        if let Some(admin) = &host.admin {
            line("admin interface", admin.to_string());
        }
        line("state", launch.data.display().to_string());
        line("the host's log", host.log_path().display().to_string());
    }
    page.say(text.trim_end())?;
    Ok(hosts)
}

/// Prints what a reader can try now.
pub(super) fn invite<W: Write>(
    hosts: &Hosts,
    cluster: Option<&Cluster>,
    page: &mut WalkPage<W>,
) -> Result<()> {
    let (customer, order) = (&hosts.customer, &hosts.order);
    let customers = customer.url(&contract::customers_path(customer));
    let orders = order.url(&contract::orders_path(order));
    page.say("\nBoth services stay up. Try:\n")?;
    page.request(&curl_post(
        &customers,
        &contract::registration("Bob", Cents::whole(50)),
    ))?;
    page.request(&curl_post(&orders, &contract::order(1, Cents(1_025))))?;
    page.request(&format!(
        "curl -s {}",
        order.url(&contract::order_path(order, 1))
    ))?;
    page.request(&format!(
        "curl -s {}",
        customer.url(&contract::customer_path(customer, 1))
    ))?;
    if let Some(cluster) = cluster {
        page.request(&cluster.command_to_read(CUSTOMER_TOPIC))?;
    }
    page.say("\nCtrl-C drains and ends.")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::ServicePorts;
    use crate::mock::script;

    #[test]
    fn records_of_somebody_else_are_refused() {
        let data = tempfile::tempdir().unwrap();
        let launches = script().apart(data.path(), ServicePorts::default());
        belong(0, &launches, "k:1").unwrap();
        let error = belong(7, &launches, "k:1").unwrap_err().to_string();
        assert!(
            error.contains("k:1 hold 7 records") && error.contains("customer is new"),
            "{error}"
        );
        for launch in &launches {
            std::fs::create_dir(&launch.data).unwrap();
        }
        belong(7, &launches, "k:1").unwrap();
    }
}
