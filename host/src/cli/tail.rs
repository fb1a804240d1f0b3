//! `saga tail`: the records of a topic of the embedded log.
//!
//! Pages are asked for one after another, so that neither the host nor this program holds more than
//! one. With `--follow`, the next one is asked for at intervals. A host that goes away meanwhile is
//! waited for: the next page begins where the last one ended.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use hyper::{Method, StatusCode};

use super::arguments::topic;
use super::client::{AdminClient, AdminClientError, AdminReply};
use super::operate::{HostAddress, find, stored_at, token, unreadable};
use super::reply::{CommandFailure, json_line, understand};
use super::{complain, exit};
use crate::admin::letter_report;
use crate::admin::topic_report::{TopicPage, TopicRecord};
use crate::admin::topics::{self, RecordQuery, Start};
use crate::apidocs::problems::percent_encode;
use crate::base::clock::rfc3339;
use crate::base::printable::Lines;
use crate::store::{RELAY, ReadStore, StoreFault, StoreLocation};

/// Longest wait for an answer.
const TIME: Duration = Duration::from_secs(30);

/// Interval at which new records are looked for.
const POLL: Duration = Duration::from_millis(250);

/// Records of one page.
const PAGE: usize = 200;

/// The records to show.
#[derive(Debug, Clone, Args)]
pub(crate) struct TailArguments {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = topic)]
    topic: String,
    /// Where to begin: beginning, end, or an offset (in each partition) [default: beginning; with --follow, end]
    #[arg(long, value_name = "PLACE", value_parser = place)]
    from: Option<Place>,
    /// Only this partition
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u16>,
    /// Only records with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Wait for further records
    #[arg(long, short)]
    follow: bool,
}

/// The place where a reading begins, as it was given.
#[derive(Debug, Clone)]
struct Place {
    text: String,
    start: Start,
}

/// The records to show, and where the host is.
#[derive(Debug)]
pub(crate) struct TailOperation {
    pub(crate) asked: TailArguments,
    pub(crate) host: HostAddress,
    pub(crate) token_file: Option<std::path::PathBuf>,
    pub(crate) json: bool,
}

/// Prints the records and returns the exit code.
pub(crate) fn tail(operation: &TailOperation) -> u8 {
    run(operation).unwrap_or_else(CommandFailure::report)
}

fn run(operation: &TailOperation) -> Result<u8, CommandFailure> {
    let TailOperation { asked, json, .. } = operation;
    let mut log = open(operation)?;
    let mut at = None;
    let mut left = asked.limit.unwrap_or(u64::MAX);
    let mut is_away = false;
    while left > 0 {
        let limit = PAGE.min(usize::try_from(left).unwrap_or(PAGE));
        let page = match log.page(asked, at.as_deref(), limit, *json)? {
            Asked::Page(page) => page,
            Asked::Away(reason) => {
                if !is_away {
                    complain(&format!(
                        "the host can't be asked: {reason}; the records after the last one follow when it can"
                    ));
                }
                is_away = true;
                std::thread::sleep(POLL);
                // It may have another address when it is back.
                log = again(operation)?.unwrap_or(log);
                continue;
            }
        };
        is_away = false;
        left = left.saturating_sub(page.records.len() as u64);
        if !print(&page.records, *json)? {
            // The reader has seen enough.
            return Ok(exit::DONE);
        }
        if page.is_last && !asked.follow {
            return Ok(exit::DONE);
        }
        if page.is_last && left > 0 {
            std::thread::sleep(POLL);
        }
        at = Some(page.next);
    }
    Ok(exit::DONE)
}

/// Where pages come from.
enum Log {
    OfHost(AdminClient),
    /// The store of a data directory on which no host can be asked.
    Stored(Box<dyn ReadStore>),
}

/// The answer to a request for a page.
enum Asked {
    Page(TopicPage),
    /// The host that was followed can't be asked at the moment, for this reason.
    Away(String),
}

/// The host that is followed, as it is found now; `None` if none is there.
fn again(operation: &TailOperation) -> Result<Option<Log>, CommandFailure> {
    match open(operation) {
        Ok(log) => Ok(Some(log)),
        Err(failure) if failure.code == exit::UNAVAILABLE => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The host, or the store of the data directory if no host can be asked there.
fn open(operation: &TailOperation) -> Result<Log, CommandFailure> {
    let (host, asked) = (&operation.host, &operation.asked);
    let token = token(operation.token_file.as_deref())?;
    let stored = |data: &StoreLocation| stored(data, &asked.topic).map(Log::Stored);
    match (find(host, token), host) {
        // Only a host gets further records.
        (found, _) if asked.follow => found.map(Log::OfHost),
        (Err(failure), HostAddress::Data(data)) if failure.code == exit::UNAVAILABLE => {
            stored(data)
        }
        // A host that crashed has left its address behind.
        (Ok(client), HostAddress::Data(data))
            if (client.ask(Method::GET, "/livez", Bytes::new(), TIME)).is_err() =>
        {
            stored(data)
        }
        (found, _) => found.map(Log::OfHost),
    }
}

fn stored(data: &StoreLocation, topic: &str) -> Result<Box<dyn ReadStore>, CommandFailure> {
    let reading = stored_at(data)?;
    if is_on_kafka(&*reading, topic).map_err(unreadable)? {
        let said = format!(
            "topic `{topic}` was published to Kafka from {}: use Kafka's own tools (kafka-console-consumer, kcat) to read it",
            data
        );
        return Err(CommandFailure::new(exit::UNAVAILABLE, said));
    }
    Ok(reading)
}

/// True if the relay has published records of this topic to Kafka.
fn is_on_kafka(reading: &dyn ReadStore, topic: &str) -> Result<bool, StoreFault> {
    let Some(row) = reading.topic(topic)? else {
        return Ok(false);
    };
    for partition in 0..reading.partitions(row)? {
        if reading.offset(RELAY, row, partition)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Log {
    fn page(
        &self,
        asked: &TailArguments,
        at: Option<&str>,
        limit: usize,
        json: bool,
    ) -> Result<Asked, CommandFailure> {
        match self {
            Self::OfHost(client) => {
                let path = path(asked, at, limit);
                let reply = client.ask(Method::GET, &path, Bytes::new(), TIME);
                if asked.follow
                    && at.is_some()
                    && let Some(reason) = away(&reply)
                {
                    return Ok(Asked::Away(reason));
                }
                understand::<TopicPage>(reply, json).map(|(page, _)| Asked::Page(page))
            }
            Self::Stored(reading) => {
                let query = RecordQuery {
                    from: asked.start(),
                    partition: asked.partition.map(i32::from),
                    at: at.map(str::to_owned),
                    key: asked.key.clone(),
                    limit,
                };
                let page = topics::page(&**reading, &asked.topic, &query, 1);
                page.map_err(unreadable)?.map(Asked::Page).ok_or_else(|| {
                    let said = format!(
                        "the store has no such topic or partition: `{}`",
                        asked.topic
                    );
                    CommandFailure::new(exit::USAGE, said)
                })
            }
        }
    }
}

/// The reason why a host can't be asked, if it may answer later.
fn away(reply: &Result<AdminReply, AdminClientError>) -> Option<String> {
    match reply {
        Err(error) => Some(error.to_string()),
        Ok(reply) => match reply.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => {
                Some(format!("it answers {}", reply.status))
            }
            _ => None,
        },
    }
}

impl TailArguments {
    fn start(&self) -> Start {
        match &self.from {
            Some(place) => place.start,
            None if self.follow => Start::End,
            None => Start::Beginning,
        }
    }
}

fn path(asked: &TailArguments, at: Option<&str>, limit: usize) -> String {
    let topic = percent_encode(&asked.topic);
    let mut path = format!("/topics/{topic}/records?limit={limit}");
    match (at, &asked.from) {
        (Some(at), _) => path.push_str(&format!("&at={at}")),
        (None, Some(place)) => path.push_str(&format!("&from={}", place.text)),
        (None, None) if asked.follow => path.push_str("&from=end"),
        (None, None) => {}
    }
    if let Some(partition) = asked.partition {
        path.push_str(&format!("&partition={partition}"));
    }
    if let Some(key) = &asked.key {
        path.push_str(&format!("&key={}", percent_encode(key)));
    }
    path
}

/// Prints these records; false if nobody reads them any more.
fn print(records: &[TopicRecord], json: bool) -> Result<bool, CommandFailure> {
    let mut text = String::new();
    for record in records {
        match json {
            true => text.push_str(&json_line(record)?),
            false => text.push_str(&line(record)),
        }
    }
    let mut out = std::io::stdout();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(printed.is_ok())
}

/// One line: time, partition and offset, key, type and value.
fn line(record: &TopicRecord) -> String {
    let text = |bytes: &Option<letter_report::Bytes>| match bytes {
        None => "-".to_owned(),
        Some(letter_report::Bytes::Text(text)) => text.clone(),
        Some(letter_report::Bytes::Base64(text)) => format!("base64:{text}"),
    };
    // JSON text may have several lines.
    let value = text(&record.value).replace(['\n', '\r'], " ");
    let mut line = Lines::default();
    line.add(format_args!(
        "{} {}/{} {} {} {value}",
        rfc3339(record.time),
        record.partition,
        record.offset,
        text(&record.key),
        record.event_type.as_deref().unwrap_or("-"),
    ));
    line.text()
}

fn place(text: &str) -> Result<Place, String> {
    let start = topics::start(text).ok_or("give beginning, end or an offset")?;
    Ok(Place {
        text: text.to_owned(),
        start,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_record_is_one_line_that_steers_no_terminal() {
        let record = TopicRecord {
            topic: "t".into(),
            partition: 2,
            offset: 17,
            time: 1_700_000_000_123,
            key: Some(letter_report::Bytes::Text("k\n\u{1b}[2J".into())),
            event_type: None,
            headers: BTreeMap::new(),
            value: Some(letter_report::Bytes::Text("{\n  \"a\": 1}".into())),
        };
        assert_eq!(
            line(&record),
            "2023-11-14T22:13:20.123Z 2/17 k\\n\\u{1b}[2J - {   \"a\": 1}\n"
        );
        let bytes = TopicRecord {
            key: None,
            event_type: Some("made".into()),
            value: Some(letter_report::Bytes::Base64("/w==".into())),
            ..record
        };
        assert_eq!(
            line(&bytes),
            "2023-11-14T22:13:20.123Z 2/17 - made base64:/w==\n"
        );
    }

    #[test]
    fn a_reading_begins_at_a_place_that_is_one() {
        for text in ["beginning", "end", "0", "17"] {
            assert!(place(text).is_ok(), "{text}");
        }
        for text in ["", "-1", "now", "1.5"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
