//! Everything that a candidate is checked for beyond that it can be loaded: another participant, what it
//! lacks of what is in use, what it can't do with what is recorded, stored or in flight.
//!
//! Reads the store and changes nothing, so it serves a host that runs as well as the check offline.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Connection;
use saga_contract::compatibility;
use saga_contract::description::Description;
use saga_contract::shapes::{Concerns, Found};
use saga_core::admit::{self, Admission};
use saga_core::limits::TurnLimits;
use saga_core::record::Record;

use super::flags::{ALLOW_BREAKING, DROP_USED, Flags, Objections};
use super::probe::{self, InFlight, Inputs, NotPassed, Terms};
use super::report::{Check, Probe, Refused};
use super::settings::ParticipantSettings;
use super::usage::Usage;
use crate::base::clock::now_ms;
use crate::base::generation::Build;
use crate::store::sample;
use crate::store::sample::waiting::Topic;
use crate::transport::Source;

/// What a candidate is compared with.
pub struct Present<'p> {
    /// What the active build says of itself.
    pub active: &'p Description,
    /// Row of the participant.
    pub participant: i64,
    /// What is read.
    pub sources: Vec<Arc<Source>>,
    /// Milliseconds for which something that was asked counts as in use.
    pub retention_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// What was found of the candidate beside the active build and the other participants.
    pub shapes: Arc<Found>,
}

/// What the comparison showed, where there is no reason to refuse.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Whether the candidate lacks anything, so that its first turn must not begin before the last turn of
    /// the active build has ended.
    pub lacks: bool,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Compares a candidate with what is there.
///
/// # Errors
/// Everything that speaks against it, or what SQLite said.
pub fn compare(
    sql: &Connection,
    present: &Present<'_>,
    candidate: &dyn Build,
    flags: Flags,
) -> rusqlite::Result<Result<Compared, Refused>> {
    let description = candidate.description();
    let lacks = compatibility::lacks(present.active, description);
    let usage = Usage {
        sql,
        participant: present.participant,
        consumers: (present.sources.iter())
            .map(|source| {
                let declared = source.declared_topic.clone();
                (source.consumer.clone(), source.topic_row, declared)
            })
            .collect(),
        retention_ms: present.retention_ms,
        now: present.now,
    };
    let conflicts = usage.conflicts(description, &lacks)?;
    let mut objections = Objections {
        hard: conflicts.hard,
        used: conflicts.used,
        breaking: Vec::new(),
    };
    let mut notes = conflicts.unused;
    notes.extend(usage.object(&present.shapes, &mut objections)?);
    // A timer may be set, or a state stored, until the first turn of the candidate.
    let mut breaks = present.shapes.breaks.iter();
    let may_come = breaks.any(|one| matches!(one.concerns, Concerns::Timer(_) | Concerns::States));
    Ok(objections
        .weigh(flags, candidate.digest())
        .map(|allowed| Compared {
            lacks: !lacks.is_empty() || may_come,
            notes: notes.into_iter().chain(allowed).collect(),
        }))
}

/// Compares where a candidate wants to be served with where the active build is: that would follow only at the next start.
/// Where it moves all routes it is as if they were dropped.
///
/// # Errors
/// That its routes would move.
pub fn endpoint(
    own: &ParticipantSettings,
    active: &Description,
    base_path: &str,
    candidate: &dyn Build,
    flags: Flags,
) -> Result<Option<String>, Refused> {
    let declared = &candidate.description().endpoint;
    if own.base_path.is_none() && declared.base_path != base_path {
        let moves = format!(
            "its base path is `{}`, not `{base_path}`: from the next start on, all routes would be elsewhere; set \
             base_path to keep them, or to move them",
            declared.base_path
        );
        if flags.drop_used {
            return Ok(Some(moves));
        }
        let digest = Some(candidate.digest().to_owned());
        return Err(Refused {
            allowed_by: vec![DROP_USED.to_owned()],
            ..Refused::new(Check::Compatibility, vec![moves], digest)
        });
    }
    let (now, then) = (active.endpoint.port, declared.port);
    let moves = own.listen.is_none() && now != then;
    Ok(moves.then(|| {
        format!("its port is {then}, not {now}: it is served there from the next start on; set listen to keep the other")
    }))
}

/// What a candidate is to be tried on: of each kind at most so much. `sources` is what it would read.
///
/// # Errors
/// What SQLite said.
pub fn inputs(
    sql: &Connection,
    participant: i64,
    sources: &[Arc<Source>],
    candidate: &dyn Build,
    limits: &TurnLimits,
    most: usize,
) -> rusqlite::Result<Inputs> {
    Ok(Inputs {
        recorded: sample::journal::recorded(sql, participant, most)?,
        states: sample::states::stored(sql, participant, most)?,
        quarantined: sample::states::quarantined(sql, participant, most)?,
        timers: sample::waiting::timers(sql, participant, most)?,
        in_flight: in_flight(sql, participant, sources, candidate, limits, most)?,
    })
}

/// Records that are looked at for each that is taken: several may be of one aggregate.
const RECORDS: usize = 4;

/// Bytes of records that wait from which is chosen (invariant 9).
const BYTES: usize = 64 << 20;

/// A record from which is chosen, and the key of the aggregate that a candidate takes it for.
struct Waiting {
    declared_topic: Arc<str>,
    record: Record,
    key: Option<String>,
    is_parked: bool,
}

/// The records that wait for a candidate, parked or not yet read, of all topics and event types: of each aggregate the first one
/// of a topic, for it is what the state of now is for.
fn in_flight(
    sql: &Connection,
    participant: i64,
    sources: &[Arc<Source>],
    candidate: &dyn Build,
    limits: &TurnLimits,
    most: usize,
) -> rusqlite::Result<Vec<InFlight>> {
    let now = now_ms();
    let key_of = |record: &Record, declared: &str| match admit::record(
        record,
        declared,
        candidate.description(),
        limits,
        now,
    ) {
        Admission::Skip => None,
        Admission::Malformed(_) => Some(None),
        Admission::Offer(envelope) => Some(Some(envelope.message.key)),
    };
    let mut waiting = Vec::new();
    let looked_at = most.saturating_mul(RECORDS);
    // What is parked comes before what is newer.
    let mut parked = BTreeSet::new();
    for event in sample::waiting::parked(sql, participant, looked_at)? {
        let Some(key) = key_of(&event.record, &event.declared_topic) else {
            continue;
        };
        if key.is_none() || parked.insert(key.clone()) {
            waiting.push(Waiting {
                declared_topic: event.declared_topic.into(),
                record: event.record,
                key,
                is_parked: true,
            });
        }
    }
    for source in sources {
        let topic = Topic {
            consumer: source
                .consumer
                .starts_with("log:")
                .then_some(&source.consumer),
            row: source.topic_row,
            name: &source.topic,
        };
        let (mut keys, mut room) = (parked.clone(), BYTES / sources.len());
        let mut left = most;
        for record in sample::waiting::unread(sql, participant, topic, looked_at)? {
            let declared_topic = source.declared_topic.clone();
            let Some(key) = key_of(&record, &declared_topic) else {
                continue;
            };
            let bytes = record.value.as_ref().map_or(0, Vec::len);
            if left == 0 || bytes > room || (key.is_some() && !keys.insert(key.clone())) {
                continue;
            }
            (left, room) = (left - 1, room - bytes);
            waiting.push(Waiting {
                declared_topic,
                record,
                key,
                is_parked: false,
            });
        }
    }
    let kind = |one: &Waiting| {
        let event_type = one.record.attributes.event_type.clone();
        (one.is_parked, one.declared_topic.clone(), event_type)
    };
    let chosen = sample::evenly(waiting, most, kind).into_iter();
    let with_aggregate = chosen.map(|one| {
        let aggregate = one
            .key
            .map(|key| sample::states::aggregate(sql, participant, key));
        Ok(InFlight {
            declared_topic: one.declared_topic,
            record: one.record,
            aggregate: aggregate.transpose()?,
        })
    });
    with_aggregate.collect()
}

/// Tries a candidate, and the active build, if there is one, on what the candidate fails.
///
/// # Errors
/// On what it failed though the active build does not.
pub fn probe(
    candidate: &dyn Build,
    active: Option<&dyn Build>,
    terms: Terms<'_>,
    inputs: &Inputs,
) -> Result<Probe, Refused> {
    let refused =
        |reasons| Refused::new(Check::Probe, reasons, Some(candidate.digest().to_owned()));
    probe::probe(candidate, active, terms, inputs).map_err(|not_passed| match not_passed {
        NotPassed::NoInstance(why) => refused(vec![why]),
        NotPassed::Fails(reasons) => Refused {
            allowed_by: vec![ALLOW_BREAKING.to_owned()],
            ..refused(reasons)
        },
    })
}
