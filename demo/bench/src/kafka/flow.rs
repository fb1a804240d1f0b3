//! Throughput of records: per second by the broker's clock, and its cost in processor time.
//!
//! Owns: topics on which the broker sets the time of records when it appends them, and the rate
//! that follows. So every writer is measured by the same clock, and by nothing that runs beside it.
//! Records of the first append are not counted: the work for them was done before the clock began.
//!
//! Must not know: the writers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::message::Message;

use super::Run;
use saga_testkit::kafka::topics::Ends;
use saga_testkit::kafka::{records, topics};
use saga_testkit::usage::Process;

/// A throughput and its cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throughput {
    /// Records per second.
    pub(super) rate: f64,
    /// Processor seconds of the host, or of the bare client, per 10,000 records.
    pub(super) cpu: f64,
    /// Processor seconds of the broker per 10,000 records.
    pub(super) broker_cpu: f64,
}

/// The processor time of processes up to a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    client: Duration,
    broker: Duration,
}

impl Spent {
    /// Of a client and the broker, so far.
    pub(super) fn now(run: &Run<'_>, client: Process) -> Result<Self> {
        Ok(Self {
            client: client.cpu_time()?,
            broker: run.broker.cpu_time()?,
        })
    }

    /// The same for a client that has used nothing yet.
    pub(super) fn without_client(&self) -> Self {
        Self {
            client: Duration::ZERO,
            ..*self
        }
    }

    /// The throughput of this many records, with the processor time since `before`.
    pub(super) fn flow(&self, before: &Self, rate: f64, records: u32) -> Throughput {
        let per_10000 = |after: Duration, before: Duration| {
            (after.saturating_sub(before)).as_secs_f64() * 10_000.0 / f64::from(records)
        };
        Throughput {
            rate,
            cpu: per_10000(self.client, before.client),
            broker_cpu: per_10000(self.broker, before.broker),
        }
    }
}

/// The median by rate; None of an empty list.
pub(super) fn median(mut flows: Vec<Throughput>) -> Option<Throughput> {
    flows.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    flows.get(flows.len() / 2).copied()
}

/// Creates topics on which the broker sets the time of records.
pub(super) async fn create_topics(run: &Run<'_>, names: &[&str]) -> Result<()> {
    let append_time = ("message.timestamp.type", "LogAppendTime");
    topics::create(run.bootstrap, names, &[append_time]).await?;
    Ok(())
}

/// Records per second on a topic, of this many records from `from` on.
pub(super) async fn rate(run: &Run<'_>, topic: &str, from: i64, records: u32) -> Result<f64> {
    let key = (topic.to_owned(), 0);
    let from = Ends::from([(key.clone(), from)]);
    let until = topics::ends(run.bootstrap, &[topic]).await?;
    let appended = |message: &rdkafka::message::BorrowedMessage<'_>| {
        message.timestamp().to_millis().unwrap_or(0)
    };
    let times = records::read(run.bootstrap, from, until, appended).await?;
    ensure!(
        times.len() == usize::try_from(records).unwrap_or(usize::MAX),
        "{} records must be on {topic}, there are {}",
        records,
        times.len()
    );
    of_times(&times)
        .with_context(|| format!("all records on {topic} came at once: take more, with --records"))
}

/// The rate of the records after the first moment; times in milliseconds, ascending.
fn of_times(times: &[i64]) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    let later = times.iter().filter(|time| *time > first).count();
    let millis = u32::try_from(last - first)
        .ok()
        .filter(|millis| *millis > 0)?;
    let later = u32::try_from(later).ok()?;
    Some(f64::from(later) * 1_000.0 / f64::from(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_the_first_moment_only_start_the_clock() {
        assert_eq!(of_times(&[5, 5, 5, 15, 15, 25]), Some(150.0));
        assert_eq!(of_times(&[5, 5]), None);
        assert_eq!(of_times(&[]), None);
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let flow = |rate| Throughput {
            rate,
            cpu: 0.0,
            broker_cpu: 0.0,
        };
        let middle = median(vec![flow(3.0), flow(1.0), flow(2.0)]).map(|flow| flow.rate);
        assert_eq!(middle, Some(2.0));
        assert!(median(Vec::new()).is_none());
    }
}
