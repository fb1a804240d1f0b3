//! Records of topics of the embedded log, over the admin interface: read page by page, and
//! published.
//!
//! ```text
//! GET  /topics/{topic}/records   a page  ?from=beginning|end|OFFSET, partition=, at=, key=, limit=
//! POST /topics/{topic}/records   publishes one ({"value": "…", "type": "…", "version": 2,
//!                                "key": "…", "id": "…", "source": "…", "correlation": "…",
//!                                "headers": {"name": "…"}, "by": "who", "unchecked": true})
//! ```
//!
//! Over Kafka, neither is there: brokers have tools of their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::access::Operator;
use super::dead_letters::of_store;
use super::publish::{self, PublishRequest, Taker};
use super::service::{BODY_TIME, LETTER_BYTES, answer, read_json};
use super::topic_report::{TopicPage, TopicRecord};
use crate::apidocs::problems::Kind;
use crate::base::budget::Budget;
use crate::http::answer::{Answered, check_encoding, method_not_allowed, read_body};
use crate::http::paging;
use crate::http::problem::Problem;
use crate::http::routes::percent_decode;
pub use crate::log::page::Start;
use crate::log::page::{self, PageWanted, Positions};
use crate::rollout::Reloader;
use crate::store::{ReadStore, Store, StoreResult};

/// Records on a page, unless the query has a limit.
const PAGE: usize = 100;

/// Most records on a page.
pub const LONGEST_PAGE: usize = 1_000;

/// Most partitions of a topic; see the setting `embedded.partitions`.
const PARTITIONS: i32 = 1_000;

/// The topics of the embedded log.
pub struct TopicRecords {
    store: Arc<Store>,
    reloader: Reloader,
    /// Partitions of each topic; None over Kafka.
    partitions: Option<i32>,
}

/// The query for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordQuery {
    /// Where a reading begins, unless `at` is given.
    pub from: Start,
    /// Only this partition.
    pub partition: Option<i32>,
    /// Where the page begins: `next` of the page before.
    pub at: Option<String>,
    /// Only records with this key.
    pub key: Option<String>,
    /// Most records on the page.
    pub limit: usize,
}

/// The topic whose records are at this path, percent-encoded.
pub(super) fn at(path: &str) -> Option<&str> {
    let topic = path.strip_prefix("/topics/")?.strip_suffix("/records")?;
    (!topic.is_empty() && !topic.contains('/')).then_some(topic)
}

impl RecordQuery {
    /// Reads `from=end&partition=0&key=17&limit=10` or `at=0:12,1:7&limit=10`.
    fn of(query: Option<&str>) -> Result<Self, Problem> {
        let mut wanted = Self {
            from: Start::Beginning,
            partition: None,
            at: None,
            key: None,
            limit: PAGE,
        };
        for (name, value) in paging::pairs(query.unwrap_or_default())? {
            let unknown = || {
                let detail = format!(
                    "the query `{name}={value}` is not known; there are from=beginning, from=end, from=OFFSET, partition=NUMBER, \
                     at=POSITIONS, key=TEXT and limit=1 to {LONGEST_PAGE}"
                );
                Problem::new(Kind::BadQuery, detail)
            };
            match &*name {
                "from" => wanted.from = start(&value).ok_or_else(unknown)?,
                "partition" => wanted.partition = Some(value.parse().map_err(|_| unknown())?),
                "at" => wanted.at = Some(value),
                "key" => wanted.key = Some(value),
                "limit" => match value.parse() {
                    Ok(limit @ 1..=LONGEST_PAGE) => wanted.limit = limit,
                    _ => return Err(unknown()),
                },
                _ => return Err(unknown()),
            }
        }
        if wanted
            .at
            .as_deref()
            .is_some_and(|at| positions(at).is_none())
        {
            let detail = "`at` is not PARTITION:OFFSET,…; take it from `next` of the page before";
            return Err(Problem::new(Kind::BadQuery, detail));
        }
        Ok(wanted)
    }
}

/// Reads `beginning`, `end` or an offset.
#[must_use]
pub fn start(text: &str) -> Option<Start> {
    match text {
        "beginning" => Some(Start::Beginning),
        "end" => Some(Start::End),
        offset => (offset.parse().ok())
            .filter(|offset| *offset >= 0)
            .map(Start::Offset),
    }
}

/// Reads `0:12,1:7`. Each partition is named once.
fn positions(text: &str) -> Option<Positions> {
    let mut positions = Positions::new();
    for part in text.split(',') {
        let (partition, offset) = part.split_once(':')?;
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        let is_new = positions.iter().all(|(known, _)| *known != partition);
        if !is_new || !(0..PARTITIONS).contains(&partition) || offset < 0 {
            return None;
        }
        positions.push((partition, offset));
    }
    Some(positions)
}

fn written(positions: &Positions) -> String {
    let parts = positions
        .iter()
        .map(|(partition, offset)| format!("{partition}:{offset}"));
    parts.collect::<Vec<_>>().join(",")
}

/// A page of a topic; None if there is no such topic or partition. `partitions` is the number of
/// partitions that a topic has at least.
///
/// # Errors
/// The store's error.
pub fn page(
    reading: &dyn ReadStore,
    topic: &str,
    query: &RecordQuery,
    partitions: i32,
) -> StoreResult<Option<TopicPage>> {
    let Some(row) = reading.topic(topic)? else {
        return Ok(None);
    };
    let mut from = match query.at.as_deref().and_then(positions) {
        Some(mut at) => {
            // A partition that has been added since the page before.
            let all = page::positions(reading, row, partitions, Start::Beginning)?;
            let is_new = |one: &(i32, i64)| at.iter().all(|(known, _)| *known != one.0);
            let new: Vec<_> = all.into_iter().filter(is_new).collect();
            at.extend(new);
            at
        }
        None => page::positions(reading, row, partitions, query.from)?,
    };
    if let Some(partition) = query.partition {
        from.retain(|(one, _)| *one == partition);
        if from.is_empty() {
            return Ok(None);
        }
    }
    let wanted = PageWanted {
        from,
        most: query.limit,
        key: query.key.as_ref().map(|key| key.as_bytes().to_vec()),
    };
    let page = page::read(reading, &(row, topic.into()), &wanted)?;
    Ok(Some(TopicPage {
        topic: topic.to_owned(),
        records: page.records.iter().map(TopicRecord::of).collect(),
        next: written(&page.next),
        is_last: page.is_last,
    }))
}

impl TopicRecords {
    /// The topics of this store. `partitions` is the number of partitions of each; None over Kafka.
    #[must_use]
    pub fn new(store: Arc<Store>, reloader: Reloader, partitions: Option<i32>) -> Self {
        Self {
            store,
            reloader,
            partitions,
        }
    }

    /// Answers a request for the records of a topic, whose name is percent-encoded.
    pub(super) async fn serve(
        &self,
        topic: &str,
        head: &Parts,
        body: Incoming,
        (bodies, operator): (&Budget, &Operator),
    ) -> Result<Answered, Problem> {
        let partitions = self.partitions.ok_or_else(on_kafka)?;
        let topic = percent_decode(topic)
            .ok_or_else(|| Problem::new(Kind::BadPath, "the topic is not percent-encoded UTF-8"))?;
        // hyper leaves out the body of an answer to HEAD.
        if matches!(head.method, Method::GET | Method::HEAD) {
            let query = RecordQuery::of(head.uri.query())?;
            return answer(StatusCode::OK, &self.read(topic, query, partitions).await?);
        }
        if head.method != Method::POST {
            let methods = ["GET", "HEAD", "POST"];
            return Err(method_not_allowed(&head.method, head.uri.path(), &methods));
        }
        check_encoding(&head.headers)?;
        let (bytes, _reserved) = read_body(body, LETTER_BYTES, BODY_TIME, bodies).await?;
        let request: PublishRequest = read_json(
            &bytes,
            "{\"value\": \"JSON text\", \"type\": \"event type\", …}",
        )?;
        let takers = self.takers(&topic);
        if takers.is_empty() {
            let why = format!("no participant of this host subscribes to topic `{topic}`");
            return Err(unknown(&why, &self.subscribed()));
        }
        let published =
            publish::publish((&self.store, partitions), topic, &takers, request, operator).await?;
        answer(StatusCode::OK, &published)
    }

    async fn read(
        &self,
        topic: String,
        query: RecordQuery,
        partitions: i32,
    ) -> Result<TopicPage, Problem> {
        let store = self.store.clone();
        let (name, partition) = (topic.clone(), query.partition);
        let read = move || page(&*store.reader()?, &name, &query, partitions);
        let found = of_store(read).await?;
        found.ok_or_else(|| {
            let of =
                partition.map_or_else(String::new, |number| format!(" with a partition {number}"));
            unknown(&format!("there is no topic `{topic}`{of}"), &self.known())
        })
    }

    /// The participants that subscribe to a topic.
    fn takers(&self, topic: &str) -> Vec<Taker> {
        let mut takers = Vec::new();
        for hosted in self.reloader.hosted() {
            let sources = hosted.sources().into_iter();
            for source in sources.filter(|source| *source.topic == *topic) {
                takers.push(Taker {
                    participant: hosted.participant.name().to_owned(),
                    row: hosted.participant.row(),
                    active: hosted.participant.active(),
                    declared_topic: source.declared_topic.clone(),
                    topic_row: source.topic_row,
                    limits: *hosted.participant.limits(),
                });
            }
        }
        takers
    }

    /// The topics that participants read.
    fn subscribed(&self) -> BTreeSet<String> {
        (self.reloader.hosted())
            .flat_map(|hosted| hosted.sources())
            .map(|source| source.topic.to_string())
            .collect()
    }

    /// The topics that participants read and publish to, without those of dead letters.
    fn known(&self) -> BTreeSet<String> {
        let mut known = self.subscribed();
        for hosted in self.reloader.hosted() {
            let active = hosted.participant.active();
            known.extend(active.description().publications.iter().map(|published| {
                let name = hosted.own.topics.get(&published.topic);
                name.unwrap_or(&published.topic).clone()
            }));
        }
        known
    }
}

fn on_kafka() -> Problem {
    let detail = "records travel over Kafka here, not over the embedded log: use Kafka's own tools \
                  (kafka-console-consumer and kafka-console-producer, kcat, or those of the broker)";
    Problem::new(Kind::NoEmbeddedLog, detail)
}

fn unknown(why: &str, known: &BTreeSet<String>) -> Problem {
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let detail = format!("{why}; there are: {}", known.join(", "));
    Problem::new(Kind::UnknownTopic, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_records_names_a_topic() {
        assert_eq!(at("/topics/orderTopic/records"), Some("orderTopic"));
        for other in [
            "/topics//records",
            "/topics/a",
            "/topics/a/b/records",
            "/topics/records",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn positions_are_read_as_they_were_written() {
        let some = vec![(3, 12), (0, 0)];
        assert_eq!(positions(&written(&some)), Some(some));
        for wrong in [
            "", "0", "0:", ":1", "0:-1", "-1:0", "0:1,0:2", "0:1,", "1000:1", "0:x",
        ] {
            assert_eq!(positions(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_query_says_where_a_reading_begins() {
        let read = |query| RecordQuery::of(Some(query)).map_err(|problem| problem.detail);
        assert_eq!(read("from=7").map(|query| query.from), Ok(Start::Offset(7)));
        assert_eq!(read("from=end").map(|query| query.from), Ok(Start::End));
        assert_eq!(read("key=a%20b&limit=3").map(|query| query.limit), Ok(3));
        for wrong in [
            "from=-1",
            "from=now",
            "limit=0",
            "limit=1001",
            "at=x",
            "partition=a",
            "a=b",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
