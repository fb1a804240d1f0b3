//! `saga seek`: sets the offset at which a stopped host resumes a partition.

use clap::Args;

use super::data_argument::DataArgument;
use super::operate::DATA;
use super::reply::CommandFailure;
use super::{exit, say};
use crate::base::clock::now_ms;
use crate::base::printable::Lines;
use crate::store::{ReadPartition, Stopped, StoreLocation};

/// The partition and its new offset.
#[derive(Debug, Args)]
pub(crate) struct Seek {
    /// The topic, as it is called on the broker
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// The partition
    #[arg(value_name = "PARTITION", value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// The offset of the first record to read
    #[arg(value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    offset: i64,
    /// The consumer group, if several read the topic
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Records without a ce_id are new ones, even if they were read before
    #[arg(long)]
    as_new: bool,
    /// The data directory of the host, or the postgres:// URL of its store
    #[arg(long, value_name = "DIR|URL", default_value = DATA)]
    data: DataArgument,
}

/// Stores the offset, prints its effect and returns the exit code.
pub(super) fn run(request: &Seek) -> u8 {
    match write(request) {
        Ok(text) => {
            say(&text);
            exit::DONE
        }
        Err(failure) => failure.report(),
    }
}

fn write(request: &Seek) -> Result<String, CommandFailure> {
    let unusable =
        |error: &dyn std::fmt::Display| CommandFailure::new(exit::STORE, error.to_string());
    let mut store = open(&request.data.location(None)?)?;
    let read = store.reading().read_partitions();
    let read = read.map_err(|error| unusable(&error))?;
    let chosen = choose(&read, request)?;
    let log = request.as_new.then(|| format!("{:x}", now_ms()));
    store
        .seek(chosen, request.offset, log.as_deref())
        .map_err(|error| unusable(&error))?;
    let without_id = if request.as_new {
        "are new ones"
    } else if request.offset < chosen.next {
        "are known by their offsets and content; to apply them again, say --as-new"
    } else {
        "are known by their offsets and content"
    };
    let mut lines = Lines::default();
    lines.add(format_args!(
        "topic {}, partition {}, in group {}: read on from offset {}; it was {}.",
        chosen.topic, chosen.partition, chosen.group, request.offset, chosen.next
    ));
    lines.add(format_args!(
        "Events that were applied within `[store] retention_hours` are known by their ce_id, and not applied again."
    ));
    lines.add(format_args!("Records without a ce_id {without_id}."));
    Ok(lines.text())
}

/// Opens the store of this directory, which no host may be using.
fn open(data: &StoreLocation) -> Result<Box<dyn Stopped>, CommandFailure> {
    let found =
        (data.own()).map_err(|error| CommandFailure::new(exit::STORE, error.to_string()))?;
    found.ok_or_else(|| CommandFailure::no_store(data))
}

/// The one partition that the request names.
fn choose<'r>(
    read: &'r [ReadPartition],
    request: &Seek,
) -> Result<&'r ReadPartition, CommandFailure> {
    let is_meant = |one: &&ReadPartition| {
        let group = request.group.as_ref();
        one.topic == request.topic
            && one.partition == request.partition
            && group.is_none_or(|group| *group == one.group)
    };
    let mut found = read.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (one, _) => {
            let why = match one {
                Some(_) => "several groups read it: choose one by --group",
                None => "nothing was read of it over Kafka",
            };
            let known = read.iter().map(|one| {
                let ReadPartition {
                    topic,
                    partition,
                    group,
                    next,
                    ..
                } = one;
                format!("read is: topic {topic}, partition {partition}, --group {group}, up to offset {next}")
            });
            let first = format!(
                "topic {}, partition {}: {why}",
                request.topic, request.partition
            );
            Err(CommandFailure {
                said: std::iter::once(first).chain(known).collect(),
                code: exit::USAGE,
            })
        }
    }
}
