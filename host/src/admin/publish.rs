//! A record that an operator publishes: its checks, its log line.
//!
//! It is checked as each participant that reads the topic will do, and its body by the schema of
//! the subscription's version too, which no record is checked by later.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_contract::json;
use saga_contract::schema::out_of_range;
use saga_core::admit::{self, Admission};
use saga_core::identity::{self, Identity};
use saga_core::limits::TurnLimits;
use saga_core::record::{Attributes, Position, Record, header};
use serde::Deserialize;
use serde_json::json;

use super::access::Operator;
use super::dead_letters::of_store;
use super::publish_headers;
use super::topic_report::Published;
use crate::apidocs::problems::Kind;
use crate::base::clock::{now_ms, random_tail};
use crate::http::problem::Problem;
use crate::log::append::{NewRecord, append};
use crate::store::{ReadStore, Store, StoreResult};
use crate::turn::Active;
use saga_contract::values::Schema;

/// Source of a record, unless another one is given.
const SOURCE: &str = "/saga/operator";

/// Header with the operator's name.
pub(super) const BY: &str = "saga-published-by";

/// The record to publish: the body of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishRequest {
    value: String,
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Version of the event. Default: the present one of the participants that take it.
    version: Option<u32>,
    /// Headers that rules ask for.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Default: the key of the aggregate that takes it.
    key: Option<String>,
    id: Option<String>,
    source: Option<String>,
    correlation: Option<String>,
    /// The author.
    by: Option<String>,
    /// True to publish it even if nobody can take it.
    #[serde(default)]
    unchecked: bool,
}

/// A participant that reads the topic.
pub(super) struct Taker {
    pub(super) participant: String,
    /// Its row in the store.
    pub(super) row: i64,
    pub(super) active: Arc<Active>,
    /// Its name for the topic.
    pub(super) declared_topic: Arc<str>,
    /// Row of the topic.
    pub(super) topic_row: i64,
    pub(super) limits: TurnLimits,
}

/// The check of a record by all participants that read the topic.
#[derive(Debug, Default)]
struct RecordCheck {
    participants: Vec<String>,
    /// Keys of their aggregates, without duplicates.
    keys: Vec<String>,
    reasons: Vec<String>,
}

/// Publishes a record to a topic that at least one participant reads.
pub(super) async fn publish(
    (store, partitions): (&Arc<Store>, i32),
    topic: String,
    takers: &[Taker],
    request: PublishRequest,
    operator: &Operator,
) -> Result<Published, Problem> {
    let (now, by) = (now_ms(), operator.name(request.by));
    let id = request.id;
    let is_new = id.is_none();
    let id = id.unwrap_or_else(|| identity::uuid_v8(now, random_tail()));
    let source = request.source.unwrap_or_else(|| SOURCE.into());
    publish_headers::check(&request.headers)?;
    let version = match request.version {
        Some(version) => Some(version),
        None => publish_headers::present_version(takers, request.event_type.as_deref())?,
    };
    let attributes = Attributes {
        event_type: request.event_type,
        correlation: Some(request.correlation.unwrap_or_else(|| id.clone())),
        id: Some(id.clone()),
        source: Some(source.clone()),
        extra: extra_headers(&request.headers, version),
        ..Attributes::default()
    };
    check_bounds(takers, &attributes, request.key.as_deref())?;
    let record = not_placed(&topic, request.value.into_bytes(), attributes, now);
    let mut check = check(takers, &record, &request.headers, now);
    if !request.unchecked && !check.reasons.is_empty() {
        return Err(refused(&check.reasons));
    }
    let key = match (request.key, check.keys.len()) {
        (Some(key), _) => key,
        (None, 1) => check.keys.pop().unwrap_or_default(),
        (None, _) => return Err(without_key(&check.keys)),
    };
    let mut attributes = record.attributes;
    attributes.extra.push((BY.into(), by.clone()));
    let new = NewRecord {
        topic: takers.first().map_or(0, |taker| taker.topic_row),
        key: key.clone().into_bytes(),
        value: record.value.unwrap_or_default(),
        attributes,
        time: now,
    };
    let identity = Identity {
        source: source.clone(),
        id: id.clone(),
    };
    let is_taking = |taker: &&Taker| check.participants.contains(&taker.participant);
    let taking = takers.iter().filter(|taker| !is_new && is_taking(taker));
    let taking = taking.map(|taker| (taker.row, taker.participant.clone()));
    let taking: Vec<_> = taking.collect();
    let store = store.clone();
    let written = of_store(move || write(&*store, partitions, new, taking, &identity));
    let ((partition, offset), known_to) = written.await?;
    tracing::info!(
        topic,
        partition,
        offset,
        id,
        by,
        unchecked = request.unchecked,
        "an operator has published a record"
    );
    Ok(Published {
        topic,
        partition,
        offset,
        key,
        id,
        source,
        version,
        participants: check.participants,
        known_to,
    })
}

/// The given headers, and that of the event's version.
fn extra_headers(given: &BTreeMap<String, String>, version: Option<u32>) -> Vec<(String, String)> {
    let version = version.map(|version| (header::DATA_VERSION.into(), version.to_string()));
    given.clone().into_iter().chain(version).collect()
}

/// Appends a record; returns its partition and offset, and those of these participants to which it
/// came before.
fn write(
    store: &Store,
    partitions: i32,
    new: NewRecord,
    taking: Vec<(i64, String)>,
    identity: &Identity,
) -> StoreResult<((i32, i64), Vec<String>)> {
    if let Some(standstill) = store.condition().holds_up() {
        return Err(standstill);
    }
    let known = known_to(&*store.reader()?, taking, identity)?;
    append(store, new, partitions).map(|place| (place, known))
}

/// The participants to which a record with this id and source came before.
fn known_to(
    reading: &dyn ReadStore,
    participants: Vec<(i64, String)>,
    identity: &Identity,
) -> StoreResult<Vec<String>> {
    let mut known = Vec::new();
    for (row, participant) in participants {
        if reading.was_applied(row, identity)? {
            known.push(participant);
        }
    }
    Ok(known)
}

/// A record without a key and a place, as it is checked.
fn not_placed(topic: &str, value: Vec<u8>, attributes: Attributes, now: u64) -> Record {
    Record {
        position: Position {
            topic: topic.into(),
            incarnation: None,
            partition: 0,
            offset: 0,
        },
        timestamp: now,
        key: None,
        value: Some(value),
        attributes,
    }
}

/// Checks what has to hold for every record: lengths, and that an attribute that is given is not
/// empty.
fn check_bounds(
    takers: &[Taker],
    attributes: &Attributes,
    key: Option<&str>,
) -> Result<(), Problem> {
    let Some(limits) = takers.first().map(|taker| taker.limits) else {
        return Ok(());
    };
    let texts = attributes.named().into_iter();
    let texts = texts.filter_map(|(name, text)| Some((name, text.as_deref()?)));
    let extra = attributes.extra.iter();
    let texts = texts.chain(extra.map(|(name, text)| (&**name, &**text)));
    let bounds = texts.map(|(name, text)| (name, text, limits.attribute_bytes));
    let key = key.map(|key| ("key", key, limits.key_bytes));
    for (name, text, most) in bounds.chain(key) {
        if text.is_empty() || text.len() > most {
            let is = match text.len() {
                0 => "is empty".to_owned(),
                bytes => format!("of {bytes} bytes is over the limit of {most}"),
            };
            let detail = format!("{name} {is}");
            return Err(Problem::new(Kind::RecordRefused, detail));
        }
    }
    Ok(())
}

fn check(
    takers: &[Taker],
    record: &Record,
    headers: &BTreeMap<String, String>,
    now: u64,
) -> RecordCheck {
    let mut check = RecordCheck::default();
    for taker in takers {
        let description = taker.active.description();
        let (topic, limits) = (&taker.declared_topic, &taker.limits);
        let mut reason = |reason: String| {
            check
                .reasons
                .push(format!("{}: {reason}", taker.participant));
        };
        match admit::record(record, topic, description, limits, now) {
            Admission::Skip => continue,
            Admission::Malformed(why) => reason(why),
            Admission::Offer(envelope) => {
                let event_type = record.attributes.event_type.as_deref();
                let subscription = description.subscription(topic, event_type);
                let message = &envelope.message;
                let shape =
                    subscription.and_then(|subscription| subscription.shape(message.version));
                let schema = shape.map_or("true", |(_, schema)| schema);
                for why in wrong_places(schema, &message.body) {
                    reason(why);
                }
                check.participants.push(taker.participant.clone());
                if !check.keys.contains(&envelope.message.key) {
                    check.keys.push(envelope.message.key);
                }
            }
        }
    }
    if check.participants.is_empty() && check.reasons.is_empty() {
        check.reasons.push(nobody_takes(takers, record));
    }
    if !check.participants.is_empty() {
        let unasked = publish_headers::unasked(headers, takers, &check.participants);
        check.reasons.extend(unasked);
    }
    check
}

/// The places of a body that are not as the schema says, or out of the range of its formats.
fn wrong_places(schema: &str, body: &str) -> Vec<String> {
    let (compiled, value) = match (Schema::compile(schema), json::parse(body)) {
        (Ok(compiled), Ok(value)) => (compiled, value),
        (Err(reason), _) | (_, Err(reason)) => return vec![reason],
    };
    let wrong = |pointer: &str, reason: &str| match pointer {
        "" => format!("the value: {reason}"),
        pointer => format!("the value at {pointer}: {reason}"),
    };
    match compiled.check(&value, body.len()) {
        Ok(()) => {
            let places = out_of_range(&value, schema).into_iter();
            places.map(|(at, reason)| wrong(&at, &reason)).collect()
        }
        Err(error) => {
            let places = error.places().into_iter();
            places.map(|at| wrong(&at.pointer, &at.detail)).collect()
        }
    }
}

fn nobody_takes(takers: &[Taker], record: &Record) -> String {
    let mut types: Vec<_> = (takers.iter())
        .flat_map(|taker| {
            let subscriptions = taker.active.description().subscriptions.iter();
            subscriptions.filter(|one| *one.topic == *taker.declared_topic)
        })
        .map(|subscription| subscription.event_type.as_str())
        .collect();
    types.sort_unstable();
    types.dedup();
    let event_type = record.attributes.event_type.as_deref().unwrap_or_default();
    format!(
        "no participant takes events of type `{event_type}` from topic `{}`; they take: {}",
        record.position.topic,
        types.join(", ")
    )
}

fn refused(reasons: &[String]) -> Problem {
    let detail = format!(
        "{}; with `unchecked` (`--unchecked`) it is published all the same",
        reasons.join("; ")
    );
    let members = serde_json::Map::from_iter([("reasons".to_owned(), json!(reasons))]);
    Problem::new(Kind::RecordRefused, detail).with_members(members)
}

fn without_key(keys: &[String]) -> Problem {
    let why = match keys {
        [] => "no participant takes it, so nothing says what its key is".to_owned(),
        several => format!(
            "participants find different keys in it ({})",
            several.join(", ")
        ),
    };
    let detail = format!("{why}; give the record a `key` (`--key`)");
    Problem::new(Kind::RecordRefused, detail)
}
