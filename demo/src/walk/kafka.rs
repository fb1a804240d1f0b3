//! Kafka for a walk: the cluster and its topics.
//!
//! Owns: the advice if there is none, and if its records belong to other hosts.
//!
//! Must not know: the steps.

use anyhow::{Result, anyhow, ensure};
use saga_demo_client::contract::{CUSTOMER_TOPIC, ORDER_TOPIC};
use saga_testkit::broker::Unavailable;
use saga_testkit::host::Launch;
use saga_testkit::kafka::cluster::{BOOTSTRAP, Cluster, KafkaChoice, WITH_DOCKER};
use saga_testkit::kafka::topics::{self, Ends};

use crate::page::WalkPage;

/// Starts Kafka, or connects to an existing one.
pub(super) async fn open(wanted: &KafkaChoice, page: &mut WalkPage) -> Result<Cluster> {
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

/// Creates the missing topics; returns the end offsets of both.
pub(super) async fn create_topics(
    bootstrap: &str,
    launches: &[Launch],
    page: &mut WalkPage,
) -> Result<Ends> {
    let names = [ORDER_TOPIC, CUSTOMER_TOPIC];
    let is_new = topics::create(bootstrap, &names, &[]).await?;
    let ends = topics::ends(bootstrap, &names).await?;
    let records = topics::count(&Ends::new(), &ends);
    belong(records, launches, bootstrap)?;
    let created = if is_new.contains(&true) {
        "created with 1 partition and 1 replica each; in the article it is 1 partition and, on 2 brokers, 2 replicas".to_owned()
    } else {
        format!("there, with {records} records of earlier walks")
    };
    page.say(&format!(
        "topics {ORDER_TOPIC} and {CUSTOMER_TOPIC}: {created}\n"
    ))?;
    Ok(ends)
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

#[cfg(test)]
mod tests {
    use saga_demo_client::files::ServicePorts;
    use saga_demo_client::mock::script;

    use super::*;

    #[test]
    fn records_of_somebody_else_are_refused() {
        let data = tempfile::tempdir().unwrap();
        let launches = script().apart(data.path(), ServicePorts::default());
        belong(0, &launches, "k:1").unwrap();
        let error = belong(7, &launches, "k:1").unwrap_err().to_string();
        let said = "k:1 hold 7 records, but ";
        assert!(
            error.contains(said) && error.contains("customer is new"),
            "{error}"
        );
        for launch in &launches {
            std::fs::create_dir(&launch.data).unwrap();
        }
        belong(7, &launches, "k:1").unwrap();
    }
}
