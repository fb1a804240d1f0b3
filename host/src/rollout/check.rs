//! Checks of a loaded candidate: the participant, what it drops that is in use, and the probe on
//! recorded, stored and waiting messages and states.
//!
//! Reads the store and changes nothing, so it serves a running host as well as offline checks.

use saga_contract::compatibility;
use saga_contract::description::Description;
use saga_contract::shapes::{Concerns, ShapeFinding};
use std::collections::BTreeSet;
use std::sync::Arc;

use saga_core::admit::{self, Admission};
use saga_core::limits::TurnLimits;
use saga_core::record::Record;

use super::flags::{ALLOW_BREAKING, DROP_USED, Flags, Objections};
use super::probe::{self, Inputs, NotPassed, PendingRecord, Terms};
use super::report::{Check, ProbeReport, Refused};
use super::settings::ParticipantSettings;
use super::usage::Usage;
use crate::base::clock::now_ms;
use crate::base::generation::CompiledRules;
use crate::store::sample::{self, Keyed, SampledTopic};
use crate::store::{ReadStore, StoreResult};
use crate::transport::Source;

/// The present state that a candidate is compared with.
pub struct Present<'p> {
    /// Description of the active generation.
    pub active: &'p Description,
    /// Row of the participant.
    pub participant: i64,
    /// Sources of the active generation.
    pub sources: Vec<Arc<Source>>,
    /// Milliseconds for which a request counts as use.
    pub retention_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// Findings of the schema comparison with the active generation and the other participants.
    pub shapes: Arc<ShapeFinding>,
}

/// Result of a comparison that found no reason to refuse.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CandidateComparison {
    /// True if the candidate drops anything, so that its first turn must not begin before the last
    /// turn of the active generation has ended.
    pub lacks: bool,
    /// True if the candidate drops or breaks anything, whether that is in use or not.
    pub breaks: bool,
    /// Notes for the operator.
    pub notes: Vec<String>,
}

/// Compares a candidate with the present state.
///
/// # Errors
/// All reasons against it, or an error of the store.
pub fn compare(
    reading: &dyn ReadStore,
    present: &Present<'_>,
    candidate: &dyn CompiledRules,
    flags: Flags,
) -> StoreResult<Result<CandidateComparison, Refused>> {
    let description = candidate.description();
    let lacks = compatibility::lacks(present.active, description);
    let usage = Usage {
        reading,
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
    // Until the candidate's first turn, the active generation may still set a timer or store a
    // state.
    let mut breaks = present.shapes.breaks.iter();
    let may_come = breaks.any(|one| matches!(one.concerns, Concerns::Timer(_) | Concerns::States));
    Ok(objections
        .weigh(flags, candidate.digest())
        .map(|allowed| CandidateComparison {
            lacks: !lacks.is_empty() || may_come,
            breaks: !lacks.is_empty() || !present.shapes.breaks.is_empty(),
            notes: notes.into_iter().chain(allowed).collect(),
        }))
}

/// True if the routes of a candidate would move from this path at the next start.
#[must_use]
pub fn moves(own: &ParticipantSettings, base_path: &str, candidate: &dyn CompiledRules) -> bool {
    own.base_path.is_none() && candidate.description().endpoint.base_path != base_path
}

/// Compares a candidate's endpoint with the active one, which would change only at the next start.
/// A candidate that moves all routes is treated as if it dropped them.
///
/// # Errors
/// If its routes would move.
pub fn endpoint(
    own: &ParticipantSettings,
    active: &Description,
    base_path: &str,
    candidate: &dyn CompiledRules,
    flags: Flags,
) -> Result<Option<String>, Refused> {
    let declared = &candidate.description().endpoint;
    if moves(own, base_path, candidate) {
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

/// Inputs for the probe of a candidate, at most `most` of each kind. `sources` are those that it
/// would read.
///
/// # Errors
/// An error of the store.
pub fn inputs(
    reading: &dyn ReadStore,
    participant: i64,
    sources: &[Arc<Source>],
    candidate: &dyn CompiledRules,
    limits: &TurnLimits,
    most: usize,
) -> StoreResult<Inputs> {
    Ok(Inputs {
        recorded: reading.sample_journal(participant, most)?,
        states: reading.sample_states(participant, most)?,
        quarantined: reading.sample_quarantined(participant, most)?,
        timers: reading.sample_timers(participant, most)?,
        in_flight: in_flight(reading, participant, sources, candidate, limits, most)?,
    })
}

/// Records examined per record chosen: several may belong to one aggregate.
const RECORDS: usize = 4;

/// Bytes of waiting records to choose from (invariant 9).
const BYTES: usize = 64 << 20;

/// A record to choose from, with the key of the aggregate that the candidate assigns it to.
struct WaitingRecord {
    declared_topic: Arc<str>,
    record: Record,
    key: Option<String>,
    is_parked: bool,
}

/// Records that wait for a candidate, parked or unread, from all topics and of all event types. Per
/// topic, only the first record of an aggregate is taken, since the present state precedes that
/// one.
fn in_flight(
    reading: &dyn ReadStore,
    participant: i64,
    sources: &[Arc<Source>],
    candidate: &dyn CompiledRules,
    limits: &TurnLimits,
    most: usize,
) -> StoreResult<Vec<PendingRecord>> {
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
    // Parked records precede newer ones.
    let mut parked = BTreeSet::new();
    for event in reading.sample_parked(participant, looked_at)? {
        let Some(key) = key_of(&event.record, &event.declared_topic) else {
            continue;
        };
        if key.is_none() || parked.insert(key.clone()) {
            waiting.push(WaitingRecord {
                declared_topic: event.declared_topic.into(),
                record: event.record,
                key,
                is_parked: true,
            });
        }
    }
    for source in sources {
        let topic = SampledTopic {
            consumer: source
                .consumer
                .starts_with("log:")
                .then_some(&source.consumer),
            row: source.topic_row,
            name: &source.topic,
        };
        let (mut keys, mut room) = (parked.clone(), BYTES / sources.len());
        let mut left = most;
        for record in reading.sample_unread(participant, topic, looked_at)? {
            let declared_topic = source.declared_topic.clone();
            let Some(key) = key_of(&record, &declared_topic) else {
                continue;
            };
            let bytes = record.value.as_ref().map_or(0, Vec::len);
            if left == 0 || bytes > room || (key.is_some() && !keys.insert(key.clone())) {
                continue;
            }
            (left, room) = (left - 1, room - bytes);
            waiting.push(WaitingRecord {
                declared_topic,
                record,
                key,
                is_parked: false,
            });
        }
    }
    let kind = |one: &WaitingRecord| {
        let event_type = one.record.attributes.event_type.clone();
        (one.is_parked, one.declared_topic.clone(), event_type)
    };
    let chosen = sample::evenly(waiting, most, kind).into_iter();
    let with_aggregate = chosen.map(|one| {
        let aggregate = one.key.map(|key| -> StoreResult<_> {
            let stored = reading.aggregate(participant, &key)?;
            Ok(Keyed { key, stored })
        });
        Ok(PendingRecord {
            declared_topic: one.declared_topic,
            record: one.record,
            aggregate: aggregate.transpose()?,
        })
    });
    with_aggregate.collect()
}

/// Probes a candidate. The active generation, if any, gets the inputs that the candidate fails.
///
/// # Errors
/// The inputs that it fails and the active generation does not.
pub fn probe(
    candidate: &dyn CompiledRules,
    active: Option<&dyn CompiledRules>,
    terms: Terms<'_>,
    inputs: &Inputs,
) -> Result<ProbeReport, Refused> {
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
