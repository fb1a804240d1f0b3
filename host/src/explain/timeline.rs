//! The decisions of one saga in the order of their commits, each with the one that caused it: the
//! decision that published its event or set its timer.
//!
//! They are a list, since a chain of causes may be as long as the journal.

use std::collections::{BTreeMap, BTreeSet};

use saga_core::identity::{Identity, source_of};
use saga_core::journal::Sizes;
use saga_core::message::Origin;
use saga_core::outcome::{Event, Outcome, Reply, StateChange, TimerChange};
use saga_core::record::Record;
use serde::Serialize;

use crate::rollout::probe::{self, ValueChange};
use crate::store::sample::Recorded;

/// Most changed places of one state that are kept.
const PLACES: usize = 64;

/// A decision of a participant.
#[derive(Debug, Clone)]
pub struct DecidedMessage {
    /// The participant.
    pub participant: String,
    /// The version that its rules declared; empty if it is not known any more.
    pub version: String,
    /// Its number in the journal.
    pub seq: i64,
    /// Time of the decision, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The decision; without its payload if that is not kept.
    pub recorded: Recorded,
    /// Bytes of its payload, if that is not kept.
    pub not_kept: Option<Sizes>,
}

/// The recorded material of a saga.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Its decisions.
    pub decisions: Vec<DecidedMessage>,
    /// Its records in this store.
    pub records: Vec<Record>,
    /// The participants of this store.
    pub participants: Vec<String>,
}

/// A record's place in the log of this store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordPlace {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// The decisions of a saga.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// Time of the first decision, in milliseconds since the Unix epoch.
    pub began: u64,
    /// Time of the last decision.
    pub ended: u64,
    /// Number of decisions.
    pub decisions: usize,
    /// The decisions, in the order of their commits.
    pub steps: Vec<TimelineStep>,
    /// Records that no known decision published: of other programs, or of decisions that are older
    /// than the journal.
    pub records: Vec<OtherRecord>,
    /// True if the cause of a decision was decided in this store, and was not found.
    pub is_cut_off: bool,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineStep {
    /// Its number in the journal.
    pub seq: i64,
    /// Participant.
    pub participant: String,
    /// Key of the aggregate.
    pub key: String,
    /// Time of the decision, in milliseconds since the Unix epoch.
    pub time: u64,
    /// When the message was made, if that is known: a record when it was published, a timer when it
    /// was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<u64>,
    /// command, event or timer.
    pub origin: Origin,
    /// Name of the message.
    pub name: String,
    /// Id of the message.
    pub id: String,
    /// The maker of the message.
    pub source: String,
    /// Id of the message that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// Number of the decision that caused it, which is an earlier one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<i64>,
    /// True if a participant of this store caused it by a decision that was not found.
    pub is_cause_missing: bool,
    /// The caller of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Digest of the rules that decided.
    pub digest: String,
    /// Their version.
    pub version: String,
    /// The change of the state.
    pub state: StateStep,
    /// The places of the state that changed.
    pub changes: Vec<ValueChange>,
    /// The reply to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// Published events.
    pub events: Vec<PublishedEvent>,
    /// Timers that were set or cancelled.
    pub timers: Vec<TimerChange>,
    /// Bytes of its payload, if that is not kept: texts are empty, and changes of the state not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<Sizes>,
}

/// The change of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateStep {
    /// It stayed as it was.
    Unchanged,
    /// There was none before.
    Created,
    /// It changed.
    Changed,
    /// It was removed.
    Removed,
}

/// An event that a decision published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedEvent {
    /// Event type.
    pub event_type: String,
    /// Record key.
    pub key: String,
    /// JSON text.
    pub body: String,
    /// Its id; None if its record was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its place; None if its record was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<RecordPlace>,
    /// The participants of this store that decided on it.
    pub decided_by: Vec<String>,
}

/// A record that no known decision published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherRecord {
    /// Its place.
    pub place: RecordPlace,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Event type.
    pub event_type: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// Its maker.
    pub source: Option<String>,
}

/// The timeline of this material.
#[must_use]
pub fn timeline(material: Material) -> Timeline {
    let Material {
        mut decisions,
        records,
        participants,
    } = material;
    decisions.sort_by_key(|one| one.seq);
    decisions.dedup_by_key(|one| one.seq);
    let mut published = Records::of(&records);
    let mut steps: Vec<TimelineStep> = (decisions.into_iter())
        .map(|decided| step(decided, &mut published))
        .collect();
    let own: BTreeSet<String> = participants.iter().map(|name| source_of(name)).collect();
    causes(&mut steps, &own);
    let takers = takers(&steps);
    for step in &mut steps {
        let source = source_of(&step.participant);
        for event in &mut step.events {
            let identity = event.id.clone().map(|id| (source.clone(), id));
            let found = identity.and_then(|identity| takers.get(&identity));
            event.decided_by = found.cloned().unwrap_or_default();
        }
    }
    let times = steps.iter().map(|step| step.time);
    let (began, ended) = (times.clone().min(), times.max());
    Timeline {
        began: began.unwrap_or_default(),
        ended: ended.unwrap_or_default(),
        decisions: steps.len(),
        is_cut_off: steps.iter().any(|step| step.is_cause_missing),
        steps,
        records: published.rest(),
    }
}

/// True if a message of this source was made by a participant of the store.
fn is_of(own: &BTreeSet<String>, source: &str, origin: Origin) -> bool {
    origin == Origin::Timer || own.contains(source)
}

fn step(decided: DecidedMessage, published: &mut Records<'_>) -> TimelineStep {
    let DecidedMessage {
        participant,
        version,
        seq,
        time,
        recorded,
        not_kept,
    } = decided;
    let (message, outcome) = (recorded.message, recorded.outcome);
    let (state, changes) = match &not_kept {
        Some(sizes) => (state_by_size(sizes, &outcome), Vec::new()),
        None => state(recorded.state.as_deref(), &outcome),
    };
    let source = source_of(&participant);
    let events = (outcome.events.into_iter())
        .map(|event| published.event(event, &source, &message.id))
        .collect();
    let made = match message.origin {
        Origin::Event => published.made(&message.source, &message.id),
        _ => None,
    };
    TimelineStep {
        seq,
        participant,
        key: message.key,
        time,
        made,
        origin: message.origin,
        name: message.name,
        id: message.id,
        source: message.source,
        causation: message.causation,
        cause: None,
        is_cause_missing: false,
        caller: message.caller.map(|caller| caller.subject),
        digest: recorded.digest,
        version,
        state,
        changes,
        reply: outcome.reply,
        events,
        timers: outcome.timers,
        not_kept,
    }
}

/// The change of a state that is not kept. A state that was written unchanged counts as changed.
fn state_by_size(sizes: &Sizes, outcome: &Outcome) -> StateStep {
    match (&outcome.state, sizes.state_before) {
        (StateChange::Unchanged, _) => StateStep::Unchanged,
        (StateChange::Remove, _) => StateStep::Removed,
        (StateChange::Put(_), None) => StateStep::Created,
        (StateChange::Put(_), Some(_)) => StateStep::Changed,
    }
}

fn state(before: Option<&str>, outcome: &Outcome) -> (StateStep, Vec<ValueChange>) {
    match &outcome.state {
        StateChange::Unchanged => (StateStep::Unchanged, Vec::new()),
        StateChange::Remove => (StateStep::Removed, Vec::new()),
        StateChange::Put(after) => {
            let changes = probe::changes(before, after, PLACES);
            match before {
                None => (StateStep::Created, changes),
                Some(_) if changes.is_empty() => (StateStep::Unchanged, changes),
                Some(_) => (StateStep::Changed, changes),
            }
        }
    }
}

/// Notes the decision that caused each one, which is an earlier one, and when its timer was due.
fn causes(steps: &mut [TimelineStep], own: &BTreeSet<String>) {
    // Participants' sources with the ids of the messages that they decided.
    let mut decided: BTreeMap<(String, String), usize> = BTreeMap::new();
    for number in 0..steps.len() {
        let (before, rest) = steps.split_at_mut(number);
        let Some(step) = rest.first_mut() else {
            continue;
        };
        let source = source_of(&step.participant);
        let by = match step.origin {
            Origin::Timer => &source,
            _ => &step.source,
        };
        let cause = (step.causation.clone()).map(|cause| (by.clone(), cause));
        let found = cause.and_then(|cause| before.get(*decided.get(&cause)?));
        step.cause = found.map(|found| found.seq);
        step.is_cause_missing =
            found.is_none() && step.causation.is_some() && is_of(own, &step.source, step.origin);
        if step.origin == Origin::Timer {
            step.made = found.and_then(|found| due(found, &step.name));
        }
        decided.insert((source, step.id.clone()), number);
    }
}

/// When a timer was due that this decision set. If it set it more than once, the last time counts.
fn due(step: &TimelineStep, name: &str) -> Option<u64> {
    let mut changes = step.timers.iter().rev();
    changes.find_map(|change| match change {
        TimerChange::Set(timer) if timer.name == name => Some(timer.due),
        _ => None,
    })
}

/// The participants that decided on each event.
fn takers(steps: &[TimelineStep]) -> BTreeMap<(String, String), Vec<String>> {
    let mut takers: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.origin == Origin::Event) {
        let by = takers
            .entry((step.source.clone(), step.id.clone()))
            .or_default();
        if !by.contains(&step.participant) {
            by.push(step.participant.clone());
        }
    }
    takers
}

/// The records of a saga, by the decisions that published them.
struct Records<'r> {
    all: &'r [Record],
    /// Source, causation, type and key, with the numbers of the records in the order of the log.
    by_cause: BTreeMap<[&'r str; 3], Vec<usize>>,
    by_identity: BTreeMap<Identity, u64>,
    is_known: Vec<bool>,
}

impl<'r> Records<'r> {
    fn of(all: &'r [Record]) -> Self {
        let mut by_cause: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut by_identity = BTreeMap::new();
        for (number, record) in all.iter().enumerate() {
            let of = &record.attributes;
            if let (Some(source), Some(cause), Some(name)) =
                (&of.source, &of.causation, &of.event_type)
            {
                let cause = [source.as_str(), cause.as_str(), name.as_str()];
                by_cause.entry(cause).or_default().push(number);
            }
            if let (Some(source), Some(id)) = (of.source.clone(), of.id.clone()) {
                by_identity.insert(Identity { source, id }, record.timestamp);
            }
        }
        Self {
            all,
            by_cause,
            by_identity,
            is_known: vec![false; all.len()],
        }
    }

    /// An event that was published on the message `cause`, with its record.
    fn event(&mut self, event: Event, source: &str, cause: &str) -> PublishedEvent {
        let Event {
            event_type,
            key,
            body,
        } = event;
        let same = self.by_cause.get(&[source, cause, event_type.as_str()]);
        let number = same.into_iter().flatten().copied().find(|number| {
            let is_free = self.is_known.get(*number) == Some(&false);
            let record = self.all.get(*number);
            is_free && record.is_some_and(|record| record.key.as_deref() == Some(key.as_bytes()))
        });
        let record = number.and_then(|number| {
            if let Some(known) = self.is_known.get_mut(number) {
                *known = true;
            }
            self.all.get(number)
        });
        PublishedEvent {
            event_type,
            key,
            body,
            id: record.and_then(|record| record.attributes.id.clone()),
            place: record.map(place),
            decided_by: Vec::new(),
        }
    }

    fn made(&self, source: &str, id: &str) -> Option<u64> {
        let identity = Identity {
            source: source.to_owned(),
            id: id.to_owned(),
        };
        self.by_identity.get(&identity).copied()
    }

    fn rest(self) -> Vec<OtherRecord> {
        let unknown = self.all.iter().zip(self.is_known);
        let unknown = unknown.filter(|(record, is_known)| {
            // A copy on a dead-letter topic is told with its dead letter.
            let is_letter = |(name, _): &(String, String)| name == "dlq-reason";
            !is_known && !record.attributes.extra.iter().any(is_letter)
        });
        let mut rest: Vec<_> = unknown
            .map(|(record, _)| OtherRecord {
                place: place(record),
                time: record.timestamp,
                event_type: record.attributes.event_type.clone(),
                id: record.attributes.id.clone(),
                source: record.attributes.source.clone(),
            })
            .collect();
        rest.sort_by_key(|record| record.time);
        rest
    }
}

pub(super) fn place(record: &Record) -> RecordPlace {
    RecordPlace {
        topic: record.position.topic.to_string(),
        partition: record.position.partition,
        offset: record.position.offset,
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
