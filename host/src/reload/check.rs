//! Everything that a candidate is checked for beyond that it can be loaded: another participant, what it
//! lacks of what is in use, what it can't do with what is recorded, stored or in flight.
//!
//! Reads the store and changes nothing, so it serves a host that runs as well as the check offline.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Connection;
use saga_core::admit::{self, Admission};
use saga_core::compatibility;
use saga_core::description::Description;
use saga_core::limits::TurnLimits;
use saga_core::record::Record;

use super::probe::{self, InFlight, Inputs};
use super::report::{Check, Probe, Refused};
use super::usage::Usage;
use crate::clock::now_ms;
use crate::config::ParticipantConfig;
use crate::generation::Build;
use crate::store::sample;
use crate::store::sample::waiting::Topic;
use crate::transport::Source;

/// How strict the check is about what would be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drops {
    /// What is in use must not be.
    Unused,
    /// Anything may be, as the operator said so.
    Any,
}

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
    drops: Drops,
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
    let mut reasons = conflicts.hard;
    let mut notes = conflicts.unused;
    match drops {
        Drops::Unused => reasons.extend(conflicts.used),
        Drops::Any => notes.extend(conflicts.used),
    }
    Ok(if reasons.is_empty() {
        Ok(Compared {
            lacks: !lacks.is_empty(),
            notes,
        })
    } else {
        Err(Refused::new(
            Check::Compatibility,
            reasons,
            Some(candidate.digest().to_owned()),
        ))
    })
}

/// Compares where a candidate wants to be served with where the active build is: that would follow only at the next start.
/// Where it moves all routes it is as if they were dropped.
///
/// # Errors
/// That its routes would move.
pub fn endpoint(
    own: &ParticipantConfig,
    active: &Description,
    base_path: &str,
    candidate: &dyn Build,
    drops: Drops,
) -> Result<Option<String>, Refused> {
    let declared = &candidate.description().endpoint;
    if own.base_path.is_none() && declared.base_path != base_path {
        let moves = format!(
            "its base path is `{}`, not `{base_path}`: from the next start on, all routes would be elsewhere; set \
             base_path to keep them",
            declared.base_path
        );
        return match drops {
            Drops::Unused => Err(Refused::new(
                Check::Compatibility,
                vec![moves],
                Some(candidate.digest().to_owned()),
            )),
            Drops::Any => Ok(Some(moves)),
        };
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

/// The records that wait for a candidate, parked or not yet read: of each aggregate the first one, for it is what the state of now is for.
fn in_flight(
    sql: &Connection,
    participant: i64,
    sources: &[Arc<Source>],
    candidate: &dyn Build,
    limits: &TurnLimits,
    most: usize,
) -> rusqlite::Result<Vec<InFlight>> {
    let mut keys = BTreeSet::new();
    let mut waiting = Vec::new();
    let mut look_at = |declared: Arc<str>, record: Record| -> rusqlite::Result<bool> {
        let described = candidate.description();
        let aggregate = match admit::record(&record, &declared, described, limits, now_ms()) {
            Admission::Skip => return Ok(true),
            Admission::Malformed(_) => None,
            Admission::Offer(envelope) => {
                let key = envelope.message.key;
                if !keys.insert(key.clone()) {
                    return Ok(true);
                }
                Some(sample::states::aggregate(sql, participant, key)?)
            }
        };
        waiting.push(InFlight {
            declared_topic: declared,
            record,
            aggregate,
        });
        Ok(waiting.len() < most)
    };
    // What is parked comes before what is newer.
    for event in sample::waiting::parked(sql, participant, most)? {
        if !look_at(event.declared_topic.into(), event.record)? {
            return Ok(waiting);
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
        let looked_at = most.saturating_mul(RECORDS);
        for record in sample::waiting::unread(sql, participant, topic, looked_at)? {
            if !look_at(source.declared_topic.clone(), record)? {
                return Ok(waiting);
            }
        }
    }
    Ok(waiting)
}

/// Tries a candidate, and the active build, if there is one, on what the candidate fails.
///
/// # Errors
/// On what it failed though the active build does not.
pub fn probe(
    candidate: &dyn Build,
    active: Option<&dyn Build>,
    limits: &TurnLimits,
    inputs: &Inputs,
) -> Result<Probe, Refused> {
    probe::probe(candidate, active, limits, inputs)
        .map_err(|reasons| Refused::new(Check::Probe, reasons, Some(candidate.digest().to_owned())))
}
