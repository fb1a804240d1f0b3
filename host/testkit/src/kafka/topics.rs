//! Topics and groups: creation, end offsets, complete groups.
//!
//! Owns: topics as the saga's article creates them (one partition each), and the messages on a broker
//! that does not answer.
//!
//! Must not know: the content of a record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;

use super::{ANSWERED_WITHIN, client, off_thread};

/// The end offsets of topics: the offset of the next record, by topic and partition.
pub type Ends = BTreeMap<(String, i32), i64>;

/// Longest wait for a group; on a new broker it waits some seconds for further members.
const GROUPS_WITHIN: Duration = Duration::from_secs(30);
/// Interval at which groups and topics are polled.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until a broker answers.
///
/// # Errors
/// None answers within this time.
pub async fn answers(bootstrap: &str, within: Duration) -> Result<()> {
    let bootstrap = bootstrap.to_owned();
    off_thread(move || {
        let consumer: BaseConsumer = client(&bootstrap).create()?;
        let metadata = consumer.fetch_metadata(None, within);
        metadata
            .map(drop)
            .map_err(|_| anyhow!("no Kafka answers at {bootstrap}"))
    })
    .await
}

/// Creates topics with one partition and one replica, and with these settings; returns the new
/// ones.
///
/// # Errors
/// The broker refuses one, or does not answer.
pub async fn create(
    bootstrap: &str,
    names: &[&str],
    settings: &[(&str, &str)],
) -> Result<Vec<bool>> {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create()?;
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| {
            let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
            settings
                .iter()
                .fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWERED_WITHIN))
        .operation_timeout(Some(ANSWERED_WITHIN));
    let results = admin.create_topics(&topics, &options).await;
    let results = results.with_context(|| {
        format!(
            "Kafka at {bootstrap} answers, but creates no topics: are the addresses that it advertises reachable from here?"
        )
    })?;
    let mut is_new = Vec::new();
    for result in results {
        match result {
            Ok(_) => is_new.push(true),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => is_new.push(false),
            Err((name, code)) => bail!("can't create the topic {name}: {code}"),
        }
    }
    Ok(is_new)
}

/// The present end offsets of topics, of all partitions.
///
/// # Errors
/// A topic is missing, or the broker does not answer.
pub async fn ends(bootstrap: &str, names: &[&str]) -> Result<Ends> {
    let bootstrap = bootstrap.to_owned();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    off_thread(move || {
        let consumer: BaseConsumer = client(&bootstrap).create()?;
        let mut ends = Ends::new();
        for name in names {
            let metadata = consumer.fetch_metadata(Some(&name), ANSWERED_WITHIN)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let topic = topic.filter(|topic| !topic.partitions().is_empty());
            let topic = topic.with_context(|| format!("Kafka has no topic {name}"))?;
            for partition in topic.partitions() {
                let id = partition.id();
                let (_, end) = consumer.fetch_watermarks(&name, id, ANSWERED_WITHIN)?;
                ends.insert((name.clone(), id), end);
            }
        }
        Ok(ends)
    })
    .await
}

/// The number of records of topics since `from`, over all partitions.
pub fn count(from: &Ends, until: &Ends) -> i64 {
    let before = |partition| from.get(partition).copied().unwrap_or(0);
    until
        .iter()
        .map(|(partition, end)| end - before(partition))
        .sum()
}

/// Waits until the first partition of a topic has had this many records.
///
/// # Errors
/// It has not within this time, or the broker does not answer.
pub async fn reaches(bootstrap: &str, name: &str, count: i64, within: Duration) -> Result<()> {
    let consumer: BaseConsumer = client(bootstrap).create()?;
    let name = name.to_owned();
    off_thread(move || {
        let until = Instant::now() + within;
        loop {
            let (_, end) = consumer.fetch_watermarks(&name, 0, ANSWERED_WITHIN)?;
            if end >= count {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{end} of {count} records are on {name} after {} s",
                within.as_secs()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    })
    .await
}

/// Waits until each of these groups is stable and has at least this many members.
///
/// # Errors
/// A group is not stable within 30 seconds; with its state.
pub async fn groups_are_complete(bootstrap: &str, groups: &[&str], members: usize) -> Result<()> {
    let consumer: BaseConsumer = client(bootstrap).create()?;
    let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
    off_thread(move || {
        let until = Instant::now() + GROUPS_WITHIN;
        for group in groups {
            while let Err(how) = is_complete(&consumer, &group, members) {
                ensure!(
                    Instant::now() < until,
                    "nobody reads the topic of the group {group}: {how}"
                );
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    })
    .await
}

/// Checks that a group has at least this many members and all its partitions; returns its state if not.
/// A broker that has just started does not know its groups yet.
fn is_complete(consumer: &BaseConsumer, group: &str, least: usize) -> Result<(), String> {
    let list = consumer.fetch_group_list(Some(group), ANSWERED_WITHIN);
    let list = list.map_err(|error| error.to_string())?;
    let found = list.groups().iter().find(|found| found.name() == group);
    let Some(found) = found else {
        return Err("it is not there".to_owned());
    };
    let (state, members) = (found.state(), found.members().len());
    if state == "Stable" && members >= least {
        Ok(())
    } else {
        Err(format!("it is {state} and has {members} members"))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[tokio::test]
    async fn an_unreachable_broker_is_an_error_with_its_address() {
        let soon = Duration::from_millis(100);
        let error = answers("127.0.0.1:1", soon).await.unwrap_err().to_string();
        assert_eq!(error, "no Kafka answers at 127.0.0.1:1");
    }

    #[tokio::test]
    async fn ends_are_those_of_all_partitions_and_a_missing_topic_is_named() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let bootstrap = cluster.bootstrap_servers();
        answers(&bootstrap, ANSWERED_WITHIN).await.unwrap();
        let ends = ends(&bootstrap, &["t"]).await.unwrap();
        let expected = [(("t".to_owned(), 0), 0), (("t".to_owned(), 1), 0)];
        assert_eq!(ends, Ends::from(expected));
        let later = Ends::from([(("t".to_owned(), 0), 3), (("t".to_owned(), 1), 2)]);
        assert_eq!(count(&ends, &later), 5);
    }
}
