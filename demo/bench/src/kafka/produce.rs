//! The publishing of a backlog by a host's relay, compared with a bare producer.
//!
//! Owns: the backlog (orders that were placed while there was no Kafka), the rounds, and the
//! measurements of a round: the host's relay; a bare producer of the same records with the relay's
//! settings; and one with librdkafka's defaults. All write to topics on which the broker sets the
//! time.
//!
//! Must not know: how a relay works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::Run;
use super::bare::{self, AS_THE_RELAY, DEFAULTS};
use super::flow::{self, Spent, Throughput};
use super::names::TopicNames;
use super::stage::Prepared;
use crate::run::candidate::CUSTOMERS;
use crate::run::rounds;
use fastrand::Rng;
use saga_testkit::host::Host;
use saga_testkit::kafka::off_thread;
use saga_testkit::kafka::records::{self, TopicRecord};
use saga_testkit::kafka::topics::{self, Ends};
use saga_testkit::usage::Process;

/// The topics of the host with the backlog.
const TOPICS: TopicNames<'static> = TopicNames {
    orders: "backlogOrders",
    answers: "backlogAnswers",
};
/// Connections for placing the backlog.
const CONNECTIONS: usize = 64;
/// Longest time for publishing the backlog, which takes seconds.
const WITHIN: Duration = Duration::from_secs(300);
/// The seed of the orders: the same in every run.
const SEED: u64 = 2;

/// The median rounds.
#[derive(Debug)]
pub(super) struct Produced {
    /// The host's relay.
    pub(super) relay: Throughput,
    /// A bare producer with the relay's settings.
    pub(super) alike: Throughput,
    /// A bare producer with librdkafka's defaults.
    pub(super) defaults: Throughput,
    /// Average bytes of a record: key, value and headers.
    pub(super) bytes: usize,
}

/// The input of the next part: a topic for each round, with the records of the backlog.
#[derive(Debug)]
pub(super) struct BacklogTopics {
    /// The topics.
    pub(super) topics: Vec<String>,
}

/// Creates the backlog and measures all rounds.
pub(super) async fn measure(run: &Run<'_>) -> Result<(Produced, BacklogTopics)> {
    let count = run.bench.records;
    eprintln!("produce: placing {count} orders while there is no Kafka");
    let prepared = Prepared::make(run, "order", &TOPICS, async |host: &Host| {
        place(host, count).await
    })
    .await?;
    flow::create_topics(run, &[TOPICS.orders, TOPICS.answers]).await?;
    let (mut relay, mut alike, mut defaults) = (Vec::new(), Vec::new(), Vec::new());
    let mut backlog = BacklogTopics { topics: Vec::new() };
    let mut copies = None;
    for round in 1..=run.bench.rounds {
        eprintln!("produce: round {round}, the host's relay, then two bare producers");
        relay.push(relayed(run, &prepared, round).await?);
        let records = match &copies {
            Some(records) => Arc::clone(records),
            None => Arc::clone(copies.insert(read(run).await?)),
        };
        let topic = format!("bareAlike{round}");
        alike.push(barely(run, &topic, &records, &AS_THE_RELAY).await?);
        backlog.topics.push(topic);
        let topic = format!("bareDefaults{round}");
        defaults.push(barely(run, &topic, &records, &DEFAULTS).await?);
    }
    let records = copies.unwrap_or_default();
    let produced = Produced {
        relay: flow::median(relay).context("no round was run")?,
        alike: flow::median(alike).context("no round was run")?,
        defaults: flow::median(defaults).context("no round was run")?,
        bytes: records.iter().map(bytes).sum::<usize>() / records.len().max(1),
    };
    Ok((produced, backlog))
}

/// Places this many orders without waiting for decisions.
async fn place(host: &Host, count: u32) -> Result<()> {
    let order = host.service("order").context("the host serves no orders")?;
    let left = Arc::new(AtomicU32::new(count));
    let customers = u64::try_from(CUSTOMERS)?;
    let mut random = Rng::with_seed(SEED);
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for mut orders in rounds::connect(std::slice::from_ref(order), CONNECTIONS).await? {
        let (left, mut random) = (Arc::clone(&left), random.fork());
        tasks.spawn(async move {
            let take = |left: u32| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let order = rounds::draw(&mut random, customers);
                // Customer ids begin with 1.
                let customer_id = i64::try_from(order.customer)? + 1;
                orders.place(customer_id, order.total).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a connection's task broke")??;
    }
    Ok(())
}

/// A host publishes the backlog. Each round adds the same records to the topic.
async fn relayed(run: &Run<'_>, prepared: &Prepared, round: usize) -> Result<Throughput> {
    let count = run.bench.records;
    let before = i64::from(count) * i64::try_from(round - 1)?;
    let broker = Spent::now(run, Process::own())?;
    let on_stage = prepared.start(run, &TOPICS).await?;
    let process = on_stage.host.in_system();
    let end = before + i64::from(count);
    let published = topics::reaches(run.bootstrap, TOPICS.orders, end, WITHIN);
    on_stage.during(published).await?;
    let spent = Spent::now(run, process)?;
    on_stage.end().await?;
    let rate = flow::rate(run, TOPICS.orders, before, count).await?;
    // The process has just begun, so it has used nothing.
    Ok(spent.flow(&broker.without_client(), rate, count))
}

async fn read(run: &Run<'_>) -> Result<Arc<Vec<TopicRecord>>> {
    let until = Ends::from([((TOPICS.orders.to_owned(), 0), i64::from(run.bench.records))]);
    let records = records::read(run.bootstrap, Ends::new(), until, TopicRecord::of);
    Ok(Arc::new(records.await?))
}

async fn barely(
    run: &Run<'_>,
    topic: &str,
    records: &Arc<Vec<TopicRecord>>,
    settings: &'static [(&'static str, &'static str)],
) -> Result<Throughput> {
    flow::create_topics(run, &[topic]).await?;
    let before = Spent::now(run, Process::own())?;
    let (bootstrap, to) = (run.bootstrap.to_owned(), topic.to_owned());
    let records = Arc::clone(records);
    off_thread(move || bare::produce(&bootstrap, &to, &records, settings)).await?;
    let spent = Spent::now(run, Process::own())?;
    let rate = flow::rate(run, topic, 0, run.bench.records).await?;
    Ok(spent.flow(&before, rate, run.bench.records))
}

fn bytes(record: &TopicRecord) -> usize {
    let headers = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len());
    headers.sum::<usize>() + record.value.len() + record.key.as_ref().map_or(0, Vec::len)
}
